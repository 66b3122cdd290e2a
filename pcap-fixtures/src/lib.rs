//! Real packet captures for tests and the demo.
