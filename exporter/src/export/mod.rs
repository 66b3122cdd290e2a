//! Flow records to IPFIX: templates, and the classes of reliability that rules sort records into.

pub mod class;
pub mod flows;
pub mod options;
pub mod rules;
pub mod templates;

pub use class::{Class, ClassIndex, Classes, Kind};
pub use flows::{FlowEncoder, FlowKind};
pub use rules::Classifier;
pub use templates::{TemplateIndex, Templates};
