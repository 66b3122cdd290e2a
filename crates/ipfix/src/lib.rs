//! IPFIX (RFC 7011) as sans-IO sessions: wire codec, information elements, templates.
