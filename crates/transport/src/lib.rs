//! Message transports behind one `Association`: userland SCTP in UDP, TCP, simulated.
