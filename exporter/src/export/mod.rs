//! Flow records to IPFIX: templates, classes of reliability, batches for the driver.

pub mod reliability;
pub mod templates;

pub use reliability::Class;
pub use templates::{FlowEncoder, FlowTemplate};
