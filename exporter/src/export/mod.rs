//! Flow records to IPFIX: templates, and the classes of reliability that rules sort records into.

pub mod class;
pub mod fields;
pub mod flows;
pub mod options;
pub mod rules;
pub mod templates;

pub use class::{Class, ClassIndex, Classes, Kind};
pub use fields::{FieldSelection, Preset, TimeUnit};
pub use flows::{FlowEncoder, FlowKind};
pub use rules::{Classifier, OpenRules};
pub use templates::{TemplateIndex, Templates};
