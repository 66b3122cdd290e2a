//! Tests of the crate from outside: sessions against each other, against captured octets, against other
//! programs, and against whatever else may arrive.

mod conformance;
mod exporting;
mod hostile;
mod malformed;
mod oracle;
mod properties;
mod random;
mod session;
mod softflowd;
mod support;
mod templates;
mod tshark;
mod type_information;
