//! Durable delivery between exporter and collectors, sans-IO: identity, ranges, cookies, retention.
