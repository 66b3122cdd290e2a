//! Messages written octet by octet, and a visitor that keeps what it sees as text.

use ipfix::{
    CollectingConfig, CollectingSession, DecodeError, Header, Record, Summary, Template, Visitor, Withdrawal,
};

/// Returns a message of these sets.
pub(crate) fn message(domain: u32, sequence: u32, sets: &[Vec<u8>]) -> Vec<u8> {
    let body = sets.concat();
    let length = u16::try_from(Header::LENGTH + body.len()).unwrap();
    let header = Header { length, export_time: 1_700_000_000, sequence, domain };
    [&header.to_octets()[..], &body].concat()
}

/// Returns a set with its header.
pub(crate) fn set(id: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 4).unwrap();
    [&id.to_be_bytes()[..], &length.to_be_bytes(), body].concat()
}

/// Returns the octets of 16-bit words.
pub(crate) fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Returns a template set that defines a template of IANA elements.
pub(crate) fn template_set(id: u16, fields: &[(u16, u16)]) -> Vec<u8> {
    let mut record = vec![id, u16::try_from(fields.len()).unwrap()];
    record.extend(fields.iter().flat_map(|&(id, length)| [id, length]));
    set(2, &words(&record))
}

/// Returns an options template set that defines a template whose first field is scope.
pub(crate) fn options_template_set(id: u16, fields: &[(u16, u16)]) -> Vec<u8> {
    let mut record = vec![id, u16::try_from(fields.len()).unwrap(), 1];
    record.extend(fields.iter().flat_map(|&(id, length)| [id, length]));
    set(3, &words(&record))
}

/// Keeps one line per thing visited.
#[derive(Debug, Default)]
pub(crate) struct Seen(pub(crate) Vec<String>);

impl Visitor for Seen {
    fn template(&mut self, domain: u32, template: &Template) {
        self.0.push(format!("template {domain}/{}", template.id()));
    }

    fn withdrawal(&mut self, domain: u32, withdrawal: Withdrawal) {
        self.0.push(match withdrawal {
            Withdrawal::One { id, .. } => format!("withdrawal {domain}/{id}"),
            Withdrawal::All { options } => format!("withdrawal {domain}/all options={options}"),
        });
    }

    fn record(&mut self, record: &Record<'_>) {
        let values: Vec<_> = record.fields().map(|field| field.value().to_string()).collect();
        let Record { domain, sequence, .. } = *record;
        self.0.push(format!("record {sequence} of {domain}/{}: {}", record.template.id(), values.join(" ")));
    }

    fn no_template(&mut self, domain: u32, set_id: u16, octets: &[u8]) {
        self.0.push(format!("no template {domain}/{set_id}: {} octets", octets.len()));
    }
}

pub(crate) fn collecting() -> CollectingSession {
    CollectingSession::new(CollectingConfig::default())
}

/// Decodes a message on stream 0 and returns its summary and what was seen of it.
pub(crate) fn decode(
    session: &mut CollectingSession,
    message: &[u8],
) -> Result<(Summary, Vec<String>), DecodeError> {
    let mut seen = Seen::default();
    let summary = session.decode(0, message, &mut seen)?;
    Ok((summary, seen.0))
}

/// Decodes a message that must be well formed and returns what was seen of it.
pub(crate) fn seen(session: &mut CollectingSession, message: &[u8]) -> Vec<String> {
    decode(session, message).unwrap().1
}
