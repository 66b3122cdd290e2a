//! Which records somebody wants to see: `destinationTransportPort = 53,853 and sourceIPv4Address = 10.0.0.0/8`.
//!
//! ```text
//! filter     = [condition *("and" condition)]
//! condition  = element operator value *("," value)
//! element    = a name as the registries spell it
//! operator   = "=" | "!=" | "<" | "<=" | ">" | ">="
//! value      = number | "true" | "false" | address | prefix | MAC address | text, between quotation marks where it has blanks
//! ```
//!
//! Of several values after `=` the field must have one, and none of those after `!=`. A record without the element does not match
//! either way; of an element that occurs several times the first counts.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipfix::ie::{self, DataType};
use ipfix::{InformationElement, Record, Value};

/// Conditions of one filter, and values of one condition, at most.
const MOST: usize = 32;

/// Conditions that a record must meet, all of them. Without any every record does.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    pen: u32,
    id: u16,
    operator: Operator,
    wanted: Vec<Wanted>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Longer ones first: one is the beginning of another.
const OPERATORS: [(&str, Operator); 6] = [
    ("!=", Operator::Unequal),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    /// Every integer an element can have.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// The first address of a prefix and the last.
    Ipv4(u32, u32),
    Ipv6(u128, u128),
    Mac([u8; 6]),
    Text(String),
}

/// Why a filter is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("there is no element `{0}`{1}")]
    Element(String, String),
    #[error("`{0}` is no condition such as `destinationTransportPort = 53`")]
    Condition(String),
    #[error("`{value}` is no value of {element}: expected {expected}")]
    Value { element: String, value: String, expected: &'static str },
    #[error("{0} has no order: only = and != mean something")]
    Order(String),
    #[error("values of {0} cannot be compared")]
    Type(String),
    #[error("more than {MOST} conditions, or values of one")]
    Long,
}

impl Filter {
    /// Reads a filter. Nothing but blanks is the filter that all records match.
    pub(crate) fn parse(text: &str) -> Result<Self, FilterError> {
        let mut conditions = Vec::new();
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        for part in split(text, "and") {
            if conditions.len() == MOST {
                return Err(FilterError::Long);
            }
            conditions.push(Condition::parse(part)?);
        }
        Ok(Self { conditions })
    }

    /// Returns whether the record meets all conditions.
    #[inline]
    pub(crate) fn matches(&self, record: &Record<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(record))
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self, FilterError> {
        let no_condition = || FilterError::Condition(text.trim().to_owned());
        let end = text.find(|character: char| "=!<>".contains(character)).ok_or_else(no_condition)?;
        let (name, rest) = (text[..end].trim(), &text[end..]);
        let (operator, values) = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)))
            .ok_or_else(no_condition)?;
        let InformationElement { pen, id, data_type, .. } = *element(name)?;
        let mut wanted = Vec::new();
        for value in split(values, ",") {
            if wanted.len() == MOST {
                return Err(FilterError::Long);
            }
            wanted.push(Wanted::parse(name, data_type, unquoted(value.trim()))?);
        }
        let has_order = matches!(wanted[..], [Wanted::Integer(_) | Wanted::Float(_)]);
        if !matches!(operator, Operator::Equal | Operator::Unequal) && !has_order {
            return Err(FilterError::Order(name.to_owned()));
        }
        Ok(Self { pen, id, operator, wanted })
    }

    #[inline]
    fn holds(&self, record: &Record<'_>) -> bool {
        let Some(field) = record.find(self.pen, self.id) else { return false };
        let value = field.value();
        let is_any = || self.wanted.iter().any(|wanted| wanted.is(value));
        let order = || self.wanted.first().and_then(|wanted| wanted.order(value));
        match self.operator {
            Operator::Equal => is_any(),
            Operator::Unequal => !is_any(),
            Operator::Less => order().is_some_and(std::cmp::Ordering::is_lt),
            Operator::AtMost => order().is_some_and(std::cmp::Ordering::is_le),
            Operator::Greater => order().is_some_and(std::cmp::Ordering::is_gt),
            Operator::AtLeast => order().is_some_and(std::cmp::Ordering::is_ge),
        }
    }
}

/// Returns the element of this name.
fn element(name: &str) -> Result<&'static InformationElement, FilterError> {
    ie::by_name(name).ok_or_else(|| {
        let alike = ie::all().iter().find(|element| element.name.eq_ignore_ascii_case(name));
        let hint = alike.map_or_else(String::new, |element| format!("; did you mean `{}`?", element.name));
        FilterError::Element(name.to_owned(), hint)
    })
}

impl Wanted {
    fn parse(element: &str, data_type: DataType, text: &str) -> Result<Self, FilterError> {
        let (parsed, expected) = match data_type {
            DataType::Unsigned8
            | DataType::Unsigned16
            | DataType::Unsigned32
            | DataType::Unsigned64
            | DataType::Signed8
            | DataType::Signed16
            | DataType::Signed32
            | DataType::Signed64 => (text.parse().ok().map(Self::Integer), "a number"),
            DataType::Float32 | DataType::Float64 => (text.parse().ok().map(Self::Float), "a number"),
            DataType::Boolean => (text.parse().ok().map(Self::Boolean), "true or false"),
            DataType::Ipv4Address => (Self::ipv4(text), "an address such as 192.0.2.1 or 192.0.2.0/24"),
            DataType::Ipv6Address => (Self::ipv6(text), "an address such as 2001:db8::1 or 2001:db8::/32"),
            DataType::MacAddress => (mac(text).map(Self::Mac), "an address such as 00:00:5e:00:53:01"),
            DataType::String => (Some(Self::Text(text.to_owned())), "a text"),
            _ => return Err(FilterError::Type(element.to_owned())),
        };
        let (element, value) = (element.to_owned(), text.to_owned());
        parsed.ok_or(FilterError::Value { element, value, expected })
    }

    fn ipv4(text: &str) -> Option<Self> {
        let (address, length) = prefix(text, 32)?;
        let first: u32 = address.parse::<Ipv4Addr>().ok()?.into();
        let host = u32::MAX.checked_shr(length).unwrap_or(0);
        Some(Self::Ipv4(first & !host, first | host))
    }

    fn ipv6(text: &str) -> Option<Self> {
        let (address, length) = prefix(text, 128)?;
        let first: u128 = address.parse::<Ipv6Addr>().ok()?.into();
        let host = u128::MAX.checked_shr(length).unwrap_or(0);
        Some(Self::Ipv6(first & !host, first | host))
    }

    #[inline]
    fn is(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Ipv4(first, last), Value::Ipv4(address)) => (*first..=*last).contains(&address.into()),
            (Self::Ipv6(first, last), Value::Ipv6(address)) => (*first..=*last).contains(&address.into()),
            (Self::Boolean(wanted), Value::Boolean(value)) => *wanted == value,
            (Self::Mac(wanted), Value::Mac(value)) => *wanted == value,
            (Self::Text(wanted), Value::String(value)) => wanted.as_bytes() == value.0,
            _ => self.order(value).is_some_and(std::cmp::Ordering::is_eq),
        }
    }

    /// Returns how the value stands to the wanted number.
    fn order(&self, value: Value<'_>) -> Option<std::cmp::Ordering> {
        match (self, value) {
            (Self::Integer(wanted), Value::Unsigned(value)) => Some(i128::from(value).cmp(wanted)),
            (Self::Integer(wanted), Value::Signed(value)) => Some(i128::from(value).cmp(wanted)),
            (Self::Float(wanted), Value::Float(value)) => value.partial_cmp(wanted),
            _ => None,
        }
    }
}

/// Splits the address from the length of its prefix, which is that of a whole address without one.
fn prefix(text: &str, bits: u32) -> Option<(&str, u32)> {
    let Some((address, length)) = text.split_once('/') else { return Some((text, bits)) };
    let length = length.parse().ok().filter(|length| *length <= bits)?;
    Some((address, length))
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut octets = [0; 6];
    let mut parts = text.split(':');
    for octet in &mut octets {
        *octet =
            parts.next().filter(|part| part.len() == 2).and_then(|part| u8::from_str_radix(part, 16).ok())?;
    }
    parts.next().is_none().then_some(octets)
}

/// Takes the quotation marks off.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// Splits a text at a word that stands alone, or at a comma, outside of quotation marks.
fn split<'a>(text: &'a str, at: &'a str) -> impl Iterator<Item = &'a str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = separator(text, at);
        let (part, next) = end.map_or((text, None), |end| (&text[..end], Some(&text[end + at.len()..])));
        rest = next;
        Some(part)
    })
}

fn separator(text: &str, at: &str) -> Option<usize> {
    let mut is_quoted = false;
    for (place, character) in text.char_indices() {
        is_quoted ^= character == '"';
        if is_quoted || !text[place..].starts_with(at) {
            continue;
        }
        let is_blank = |character: Option<char>| character.is_none_or(char::is_whitespace);
        let stands_alone =
            is_blank(text[..place].chars().next_back()) && is_blank(text[place + at.len()..].chars().next());
        if at == "," || stands_alone {
            return Some(place);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ipfix::{
        CollectingConfig, CollectingSession, ExportingConfig, ExportingSession, FieldSpecifier, RecordWriter,
        TemplateRecord, Visitor,
    };

    use super::*;

    /// Which of these filters the record of a message matches.
    struct Matching<'a>(&'a [Filter], Vec<bool>);

    impl Visitor for Matching<'_> {
        fn record(&mut self, record: &Record<'_>) {
            self.1.extend(self.0.iter().map(|filter| filter.matches(record)));
        }
    }

    /// A flow of 1500 octets from 192.0.2.1 port 53 over "eth 0,1", by TCP, from 00:00:5e:00:53:01.
    fn matches(filters: &[&str]) -> Vec<bool> {
        let fields = [(8, 4), (7, 2), (4, 1), (1, 8), (82, 65535), (56, 6), (152, 8)];
        let fields = fields.map(|(id, length)| FieldSpecifier::iana(id, length)).to_vec();
        let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 1400 });
        exporting.define(0, TemplateRecord { id: 256, scope_fields: 0, fields }).unwrap();
        let mut record = RecordWriter::new();
        record.ipv4(Ipv4Addr::new(192, 0, 2, 1)).unsigned(53, 2).unsigned(6, 1).unsigned(1500, 8);
        record.variable(b"eth 0,1").mac([0, 0, 0x5e, 0, 0x53, 1]).milliseconds(Duration::from_secs(1));
        exporting.record(0, 256, record.octets(), 0).unwrap();
        exporting.flush_all(0);
        let filters: Vec<Filter> = filters.iter().map(|text| Filter::parse(text).unwrap()).collect();
        let mut matching = Matching(&filters, Vec::new());
        let mut collecting = CollectingSession::new(CollectingConfig::default());
        // Templates come in a message before the data.
        while let Some(message) = exporting.poll_message() {
            collecting.decode(0, &message.octets, &mut matching).unwrap();
        }
        matching.1
    }

    #[test]
    fn a_record_matches_where_all_conditions_hold() {
        let (yes, no): (Vec<_>, Vec<_>) = [
            ("", true),
            (" ", true),
            ("sourceTransportPort = 53", true),
            ("sourceTransportPort=53,853", true),
            ("sourceTransportPort = 853", false),
            ("sourceTransportPort != 53", false),
            ("sourceTransportPort != 80,443", true),
            ("octetDeltaCount >= 1500 and octetDeltaCount <= 1500", true),
            ("octetDeltaCount > 1500", false),
            ("octetDeltaCount < 1501", true),
            ("sourceIPv4Address = 192.0.2.1", true),
            ("sourceIPv4Address = 192.0.2.0/24", true),
            ("sourceIPv4Address = 0.0.0.0/0", true),
            ("sourceIPv4Address != 10.0.0.0/8, 192.0.2.1/32", false),
            ("interfaceName = \"eth 0,1\" and protocolIdentifier = 6", true),
            ("interfaceName = eth", false),
            ("sourceMacAddress = 00:00:5e:00:53:01", true),
            ("sourceIPv6Address != ::1", false),
            ("sourceTransportPort = 53 and protocolIdentifier = 17", false),
        ]
        .into_iter()
        .partition(|(_, matches)| *matches);
        let texts = |of: &[(&'static str, bool)]| of.iter().map(|(text, _)| *text).collect::<Vec<_>>();
        assert_eq!(matches(&texts(&yes)), vec![true; yes.len()]);
        assert_eq!(matches(&texts(&no)), vec![false; no.len()]);
    }

    #[test]
    fn a_filter_that_says_nothing_is_refused_with_the_reason() {
        let refused = |text: &str| Filter::parse(text).unwrap_err().to_string();
        assert_eq!(refused("port = 1"), "there is no element `port`");
        assert_eq!(
            refused("sourceTransportport = 1"),
            "there is no element `sourceTransportport`; did you mean `sourceTransportPort`?"
        );
        assert_eq!(
            refused("sourceTransportPort"),
            "`sourceTransportPort` is no condition such as `destinationTransportPort = 53`"
        );
        assert_eq!(
            refused("sourceTransportPort = 1 and"),
            "`` is no condition such as `destinationTransportPort = 53`"
        );
        assert_eq!(
            refused("sourceTransportPort = dns"),
            "`dns` is no value of sourceTransportPort: expected a number"
        );
        assert_eq!(
            refused("sourceIPv4Address = 10.0.0.0/33"),
            "`10.0.0.0/33` is no value of sourceIPv4Address: expected an address such as 192.0.2.1 or 192.0.2.0/24"
        );
        assert_eq!(
            refused("sourceIPv4Address < 10.0.0.1"),
            "sourceIPv4Address has no order: only = and != mean something"
        );
        assert_eq!(
            refused("octetDeltaCount < 1,2"),
            "octetDeltaCount has no order: only = and != mean something"
        );
        assert_eq!(
            refused("flowStartMilliseconds = 1"),
            "values of flowStartMilliseconds cannot be compared"
        );
        assert_eq!(refused(&"octetDeltaCount = 1 and ".repeat(40)), FilterError::Long.to_string());
        assert_eq!(refused(&format!("octetDeltaCount = {}", "1,".repeat(40))), FilterError::Long.to_string());
    }
}
