//! Encodes one Data Record, field by field (RFC 7011 sections 6 and 7).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::{FieldSpecifier, ListSemantic, NtpTime};

/// A buffer that takes a record's fields in template order. The caller keeps to the template's lengths;
/// [`ExportingSession::record`](crate::ExportingSession::record) checks the result.
///
/// ```
/// let mut writer = ipfix::RecordWriter::new();
/// writer.unsigned(1500, 4).ipv4([192, 0, 2, 1].into()).string("eth0");
/// assert_eq!(writer.octets(), [0, 0, 5, 220, 192, 0, 2, 1, 4, b'e', b't', b'h', b'0']);
/// ```
#[derive(Clone, Debug, Default)]
pub struct RecordWriter {
    octets: Vec<u8>,
}

impl RecordWriter {
    /// Returns an empty writer.
    #[must_use]
    pub const fn new() -> Self {
        Self { octets: Vec::new() }
    }

    /// Empties the writer for the next record, keeping its memory.
    pub fn clear(&mut self) -> &mut Self {
        self.octets.clear();
        self
    }

    /// Returns what was written since the last `clear`.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Appends an unsigned integer in `length` octets, 1 to 8. A value that does not fit becomes the largest
    /// that does: a saturated counter misleads less than a wrapped one.
    pub fn unsigned(&mut self, value: u64, length: u16) -> &mut Self {
        let length = usize::from(length.clamp(1, 8));
        let largest = u64::MAX >> (64 - 8 * length);
        self.octets.extend_from_slice(&value.min(largest).to_be_bytes()[8 - length..]);
        self
    }

    /// Appends a signed integer in `length` octets, 1 to 8, saturating.
    pub fn signed(&mut self, value: i64, length: u16) -> &mut Self {
        let length = usize::from(length.clamp(1, 8));
        let largest = i64::MAX >> (64 - 8 * length);
        let value = value.clamp(-largest - 1, largest);
        self.octets.extend_from_slice(&value.to_be_bytes()[8 - length..]);
        self
    }

    /// Appends a float32, or a float64 reduced to 4 octets (RFC 7011 section 6.2).
    pub fn float32(&mut self, value: f32) -> &mut Self {
        self.fixed(&value.to_be_bytes())
    }

    /// Appends a float64.
    pub fn float64(&mut self, value: f64) -> &mut Self {
        self.fixed(&value.to_be_bytes())
    }

    /// Appends a boolean: 1 for true, 2 for false (RFC 7011 section 6.1.5).
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.fixed(&[if value { 1 } else { 2 }])
    }

    /// Appends an ipv4Address.
    pub fn ipv4(&mut self, address: Ipv4Addr) -> &mut Self {
        self.fixed(&address.octets())
    }

    /// Appends an ipv6Address.
    pub fn ipv6(&mut self, address: Ipv6Addr) -> &mut Self {
        self.fixed(&address.octets())
    }

    /// Appends an ipv4Address or an ipv6Address, as `address` is.
    pub fn ip(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => self.ipv4(address),
            IpAddr::V6(address) => self.ipv6(address),
        }
    }

    /// Appends a macAddress.
    pub fn mac(&mut self, address: [u8; 6]) -> &mut Self {
        self.fixed(&address)
    }

    /// Appends a dateTimeSeconds of a time since the Unix epoch, saturating at 2106.
    pub fn seconds(&mut self, time: Duration) -> &mut Self {
        self.unsigned(time.as_secs(), 4)
    }

    /// Appends a dateTimeMilliseconds of a time since the Unix epoch.
    pub fn milliseconds(&mut self, time: Duration) -> &mut Self {
        self.unsigned(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), 8)
    }

    /// Appends a dateTimeMicroseconds or dateTimeNanoseconds.
    pub fn ntp(&mut self, time: NtpTime) -> &mut Self {
        self.fixed(&time.to_be_bytes())
    }

    /// Appends octets of a fixed-length field as they are.
    pub fn fixed(&mut self, octets: &[u8]) -> &mut Self {
        self.octets.extend_from_slice(octets);
        self
    }

    /// Appends a string of variable length; see [`variable`](Self::variable).
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.variable(text.as_bytes())
    }

    /// Appends a field of variable length: the 1-octet form below 255 octets, the 3-octet form from there.
    /// What is beyond 65535 octets is cut off.
    pub fn variable(&mut self, octets: &[u8]) -> &mut Self {
        write_variable(&mut self.octets, octets);
        self
    }

    /// Appends a basicList (RFC 6313 section 4.5.1) of the values that `values` writes, each in `element.length` octets or,
    /// if that is 65535, of variable length.
    pub fn basic_list(
        &mut self,
        semantic: ListSemantic,
        element: FieldSpecifier,
        values: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.with_length(|writer| {
            writer.octets.push(semantic.number());
            element.encode(&mut writer.octets);
            values(writer);
        })
    }

    /// Appends a subTemplateList (RFC 6313 section 4.5.2) of the records that `records` writes.
    pub fn sub_template_list(
        &mut self,
        semantic: ListSemantic,
        template: u16,
        records: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.with_length(|writer| {
            writer.octets.push(semantic.number());
            writer.octets.extend_from_slice(&template.to_be_bytes());
            records(writer);
        })
    }

    /// Appends a subTemplateMultiList (RFC 6313 section 4.5.3) of the parts that `parts` writes with
    /// [`sub_template_part`](Self::sub_template_part).
    pub fn sub_template_multi_list(
        &mut self,
        semantic: ListSemantic,
        parts: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.with_length(|writer| {
            writer.octets.push(semantic.number());
            parts(writer);
        })
    }

    /// Appends one part of a subTemplateMultiList: the records of one template that `records` writes.
    pub fn sub_template_part(&mut self, template: u16, records: impl FnOnce(&mut Self)) -> &mut Self {
        self.octets.extend_from_slice(&template.to_be_bytes());
        let at = self.octets.len();
        self.octets.extend_from_slice(&[0; 2]);
        records(self);
        self.put_length(at, self.octets.len() - at + 2);
        self
    }

    /// Appends what `body` writes as a field of variable length, in the 3-octet form (RFC 6313 section 5.1). What is
    /// longer than 65535 octets makes a record that no session takes.
    fn with_length(&mut self, body: impl FnOnce(&mut Self)) -> &mut Self {
        self.octets.extend_from_slice(&[255, 0, 0]);
        let at = self.octets.len();
        body(self);
        self.put_length(at - 2, self.octets.len() - at);
        self
    }

    fn put_length(&mut self, at: usize, length: usize) {
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.octets[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }

    /// Appends a field of variable length in the 3-octet form, whatever its length.
    pub fn variable_long(&mut self, octets: &[u8]) -> &mut Self {
        write_variable_long(&mut self.octets, octets);
        self
    }
}

/// Appends the octets of a field of variable length behind their length (RFC 7011 section 7).
#[expect(clippy::cast_possible_truncation, reason = "below 255")]
pub(crate) fn write_variable(out: &mut Vec<u8>, octets: &[u8]) {
    if octets.len() >= 255 {
        return write_variable_long(out, octets);
    }
    out.push(octets.len() as u8);
    out.extend_from_slice(octets);
}

fn write_variable_long(out: &mut Vec<u8>, octets: &[u8]) {
    let length = u16::try_from(octets.len()).unwrap_or(u16::MAX);
    out.push(255);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&octets[..length.into()]);
}
