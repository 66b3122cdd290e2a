//! The demo: a pool of real processes on loopback, and the books after a collector was killed.
