//! What is told beside flow records, in options records.

pub mod reliability;
