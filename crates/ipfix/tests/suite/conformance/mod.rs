//! The points of docs/conformance.md that no other test shows, by RFC, and the rules of templates for every kind of
//! transport session.

mod listed;
mod rfc5103;
mod rfc5153;
mod rfc5471;
mod rfc5655;
mod rfc6526;
mod rfc7011;
mod session_kinds;
mod sources;
