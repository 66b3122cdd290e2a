//! Simulated networks for the protocol machines: virtual clock, seeded links, ladder traces.
