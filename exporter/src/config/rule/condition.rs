//! `match = { ELEMENT = VALUES }`: numbers, ranges, addresses, prefixes, and lists of these.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipfix::ie::{DataType, InformationElement};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de::Error as _};

use crate::export::fields::elements;
use crate::export::rules::Ranges;

/// The IANA elements of a rule and the values they may have.
#[derive(Clone, Debug, Default)]
pub struct Conditions(pub(super) Vec<(u16, Ranges)>);

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Conditions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("information elements and their values, such as `{ protocolIdentifier = 6 }`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Conditions, A::Error> {
                let mut conditions = Vec::new();
                while let Some(field) = map.next_key::<Field>()? {
                    conditions.push((field.element.id, map.next_value_seed(field)?));
                }
                Ok(Conditions(conditions))
            }
        }
        deserializer.deserialize_map(Elements)
    }
}

/// An element that flow records can have; also reads its values.
#[derive(Clone, Copy)]
struct Field {
    element: &'static InformationElement,
    /// Octets.
    length: u16,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = elements().find(|(element, _)| element.name == name);
        let found = found.or_else(|| of_others(&name));
        found.map(|(element, length)| Self { element, length }).ok_or_else(|| {
            // In serde's words, so that the nearest name is suggested.
            let known: Vec<String> = elements().map(|(element, _)| format!("`{}`", element.name)).collect();
            D::Error::custom(format!("unknown field `{name}`, expected one of {}", known.join(", ")))
        })
    }
}

/// Returns an IANA element that only records of routers can have, if it is a number or an address, with its longest length.
fn of_others(name: &str) -> Option<(&'static InformationElement, u16)> {
    let element = ipfix::ie::by_name(name).filter(|element| element.pen == 0)?;
    let length = match element.data_type {
        DataType::Unsigned8 => 1,
        DataType::Unsigned16 => 2,
        DataType::Unsigned32 | DataType::Ipv4Address => 4,
        DataType::Unsigned64 => 8,
        DataType::Ipv6Address => 16,
        _ => return None,
    };
    Some((element, length))
}

/// What stands in the file: addresses or numbers.
enum Value {
    Numbers(RangeInclusive<u64>),
    Prefix(IpAddr, u8),
}

impl Field {
    fn ranges(values: Vec<Value>) -> Ranges {
        let mut numbers = Vec::new();
        let mut prefixes = Vec::new();
        for value in values {
            match value {
                Value::Numbers(range) => numbers.push(range),
                Value::Prefix(address, length) => prefixes.push((address, length)),
            }
        }
        if prefixes.is_empty() { Ranges::numbers(numbers) } else { Ranges::prefixes(prefixes) }
    }

    fn is_address(self) -> bool {
        matches!(self.element.data_type, DataType::Ipv4Address | DataType::Ipv6Address)
    }

    /// The greatest number a field of its length holds.
    fn max(self) -> u64 {
        u64::MAX >> (64 - 8 * u32::from(self.length.min(8)))
    }

    fn number<E: de::Error>(self, number: u64) -> Result<u64, E> {
        if self.is_address() {
            return Err(E::custom(format!(
                "`{}` is an address: expected one such as {}",
                self.element.name,
                self.example()
            )));
        }
        if number > self.max() {
            return Err(E::custom(format!("`{}` is at most {}", self.element.name, self.max())));
        }
        Ok(number)
    }

    fn example(self) -> &'static str {
        match self.element.data_type {
            DataType::Ipv4Address => "\"192.0.2.1\" or \"192.0.2.0/24\"",
            DataType::Ipv6Address => "\"2001:db8::1\" or \"2001:db8::/32\"",
            _ => "6, { min = 1024 } or [53, 853]",
        }
    }

    fn prefix(self, text: &str) -> Option<(IpAddr, u8)> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, data_type) = match address {
            IpAddr::V4(_) => (32, DataType::Ipv4Address),
            IpAddr::V6(_) => (128, DataType::Ipv6Address),
        };
        let length = length.unwrap_or(bits);
        (length <= bits && self.element.data_type == data_type).then_some((address, length))
    }
}

impl<'de> DeserializeSeed<'de> for Field {
    type Value = Ranges;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Ranges, D::Error> {
        let mut values = Vec::new();
        deserializer.deserialize_any(Values { field: self, values: &mut values, nested: false })?;
        Ok(Self::ranges(values))
    }
}

struct Values<'a> {
    field: Field,
    values: &'a mut Vec<Value>,
    nested: bool,
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "values of `{}` such as {}", self.field.element.name, self.field.example())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        let number = self.field.number(number)?;
        self.values.push(Value::Numbers(number..=number));
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        let (address, length) =
            self.field.prefix(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))?;
        self.values.push(Value::Prefix(address, length));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bounds {
            min: Option<u64>,
            max: Option<u64>,
        }
        let Bounds { min, max } = Bounds::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let min = self.field.number(min.unwrap_or(0))?;
        let max = self.field.number(max.unwrap_or(self.field.max()))?;
        if min > max {
            return Err(A::Error::custom(format!("no number is from {min} to {max}")));
        }
        self.values.push(Value::Numbers(min..=max));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.nested {
            return Err(A::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        let mut any = false;
        while list
            .next_element_seed(Values { field: self.field, values: &mut *self.values, nested: true })?
            .is_some()
        {
            any = true;
        }
        if any { Ok(()) } else { Err(A::Error::custom("an empty list matches no record")) }
    }
}
