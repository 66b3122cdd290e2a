//! Data Records Reliability (RFC 6526 section 4.2): which templates' records an SCTP stream may lose.

use ipfix::{FieldSpecifier, TemplateRecord};

use crate::export::templates::options_ids;

/// IANA's templateId and dataRecordsReliability.
const TEMPLATE_ID: u16 = 145;
const DATA_RECORDS_RELIABILITY: u16 = 276;

/// Returns the id of the options template on `stream`.
pub const fn id(stream: u16) -> u16 {
    options_ids(stream).start
}

/// Returns the options template on `stream`: scope templateId, then dataRecordsReliability.
pub fn template(stream: u16) -> TemplateRecord {
    let fields =
        vec![FieldSpecifier::iana(TEMPLATE_ID, 2), FieldSpecifier::iana(DATA_RECORDS_RELIABILITY, 1)];
    TemplateRecord { id: id(stream), scope_fields: 1, fields }
}

/// Returns the record that tells whether all records of `template` are sent reliably (boolean, RFC 7011 section 6.1.5).
pub const fn record(template: u16, is_reliable: bool) -> [u8; 3] {
    let [high, low] = template.to_be_bytes();
    [high, low, if is_reliable { 1 } else { 2 }]
}
