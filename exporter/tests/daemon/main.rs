//! The exporter's process against a registrar and collectors on loopback.
//!
//! Every test has random addresses of its own, so ports are the well-known ones and nothing collides.

mod addresses;
mod command_line;
mod delivering;
mod doctor;
mod ending;
mod searching;
mod spooling;
mod status;
mod world;
