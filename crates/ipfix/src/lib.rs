//! IPFIX (RFC 7011) without I/O: wire codec, information elements, templates and the two sessions.
//!
//! * [`CollectingSession`] decodes the messages of one transport session: it checks a message whole,
//!   commits its templates, then hands its records to a [`Visitor`].
//! * [`ExportingSession`] packs encoded records ([`RecordWriter`]) into messages, templates first.
//! * [`ie`] knows the information elements; [`view`] prints a message for people.
//!
//! Nothing here reads a clock or touches a socket; times are the messages' Export Times, in seconds.
//! Structured data (RFC 6313) is checked with the message and read by [`SubTemplates::list`].

mod biflow;
mod collecting;
mod error;
mod exporting;
mod header;
pub mod ie;
mod record;
mod record_writer;
mod structured;
mod template;
mod value;
pub mod view;

pub use biflow::{BiflowSplitter, Direction};
pub use collecting::{
    Breach, CollectingConfig, CollectingSession, PerStream, Summary, Transport, Visitor, Withdrawal,
};
pub use error::DecodeError;
pub use exporting::{
    Content, DefineError, ExportingConfig, ExportingSession, MIN_MESSAGE, OutMessage, RecordError,
};
pub use header::Header;
pub use ie::{DataType, ElementDescription, InformationElement, Semantics};
pub use record::{Field, Fields, Record};
pub use record_writer::RecordWriter;
pub use structured::{
    BasicList, List, ListSemantic, MAX_DEPTH, SubTemplateList, SubTemplateMultiList, SubTemplates,
};
pub use template::{FieldSpecifier, InvalidTemplate, PlanField, Template, TemplateRecord};
pub use value::{NtpTime, Text, Value};

/// Version Number of IPFIX messages (RFC 7011 section 3.1).
pub const VERSION: u16 = 10;

/// Set ID of Template Sets (RFC 7011 section 3.3.2).
pub const TEMPLATE_SET: u16 = 2;

/// Set ID of Options Template Sets (RFC 7011 section 3.3.2).
pub const OPTIONS_TEMPLATE_SET: u16 = 3;

/// The smallest Template ID (RFC 7011 section 3.4.1).
pub const FIRST_TEMPLATE_ID: u16 = 256;

/// Field length that says "variable" (RFC 7011 section 7).
pub const VARIABLE: u16 = 65535;
