//! What a decoded message is handed to.

use crate::{Header, Record, Template};

/// Receives the content of one checked message, in wire order.
pub trait Visitor {
    /// The message's header; comes first.
    fn message(&mut self, _header: &Header) {}

    /// A template was defined, changed or repeated.
    fn template(&mut self, _domain: u32, _template: &Template) {}

    /// Templates were withdrawn.
    fn withdrawal(&mut self, _domain: u32, _withdrawal: Withdrawal) {}

    /// A Data Record, of a data template or an options template.
    fn record(&mut self, record: &Record<'_>);

    /// The octets of a data set (without its header) whose template is not known.
    fn no_template(&mut self, _domain: u32, _set_id: u16, _octets: &[u8]) {}
}

/// Which templates of a domain are withdrawn (RFC 7011 section 8.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Withdrawal {
    /// The template with this id.
    One {
        /// Template ID.
        id: u16,
        /// Whether it is an options template.
        options: bool,
    },
    /// All data templates, or all options templates.
    All {
        /// Whether the options templates are meant.
        options: bool,
    },
}
