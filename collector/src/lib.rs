//! The IPFIX collector: a pool element that decodes, stores and acknowledges flow records.

mod json;
