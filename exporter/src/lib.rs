//! The IPFIX exporter: meters packets into flows and streams them to a collector pool.

pub mod capture;
pub mod metering;
pub mod packet;
