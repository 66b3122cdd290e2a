//! `[metering]`: packets to flows.

use serde::{Deserialize, Deserializer, de::Error as _};
use service::config::{Faults, Period};

use crate::export::fields::{self, FieldSelection, Preset, TimeUnit};
use crate::metering::{Keys, MeteringConfig};
use crate::packet::Layers;

/// `[metering]`: packets to flows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Metering {
    /// A flow without packets for longer than this ends.
    pub idle_timeout: Period,
    /// A flow older than this ends and goes on as a new one.
    pub active_timeout: Period,
    /// Flows kept at a time.
    pub max_flows: usize,
    /// How long a TCP flow waits for further packets once a RST, or the FIN of both directions, has ended it. Without it, flows end by
    /// the time-outs only.
    pub tcp_linger: Option<Period>,
    /// Which packet is metered where one travels in another.
    pub layers: TunnelLayers,
    /// The set of fields that records have.
    pub fields: Fields,
    /// Further fields, by the names of their elements.
    pub add_fields: Vec<AddedField>,
    /// Whether times are told in milliseconds or nanoseconds.
    pub times: Times,
    /// What tells flows apart beside addresses and protocol. What is not named has no field either.
    pub keys: Vec<KeyName>,
    /// Observation Domain ID of the exported messages.
    pub observation_domain: u32,
}

/// Which packet is metered where one travels in another, in a tunnel.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelLayers {
    /// The one on the wire.
    #[default]
    Outer,
    /// The innermost one.
    Inner,
    /// Each of them.
    Both,
}

/// A set of fields.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fields {
    /// Keys, counts, times, TCP's control bits, class of service, TTLs, why the flow ended.
    #[default]
    Basic,
    /// These, and lengths of packets, MAC addresses, the network in a tunnel, the top MPLS label.
    Full,
    /// Those of `basic`, for both directions in one record (RFC 5103).
    Biflow,
}

/// The unit of times.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Times {
    /// flowStartMilliseconds and the like.
    #[default]
    Milliseconds,
    /// flowStartNanoseconds and the like.
    Nanoseconds,
}

/// Part of a flow's key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum KeyName {
    /// Ports, or ICMP's type and code.
    Ports,
    /// Both VLAN identifiers.
    Vlan,
    /// The network in a tunnel.
    Segment,
    /// The interface.
    Interface,
}

impl KeyName {
    const ALL: [Self; 4] = [Self::Ports, Self::Vlan, Self::Segment, Self::Interface];
}

/// A field beside the set: the number of an IANA element, by its name.
#[derive(Clone, Copy, Debug)]
pub struct AddedField(u16);

impl<'de> Deserialize<'de> for AddedField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = fields::addable().find(|element| element.name == name);
        found.map(|element| Self(element.id)).ok_or_else(|| {
            // In serde's words, so that the nearest name is suggested.
            let known: Vec<String> = fields::addable().map(|element| format!("`{}`", element.name)).collect();
            D::Error::custom(format!("unknown variant `{name}`, expected one of {}", known.join(", ")))
        })
    }
}

impl From<TunnelLayers> for Layers {
    fn from(layers: TunnelLayers) -> Self {
        match layers {
            TunnelLayers::Outer => Self::Outer,
            TunnelLayers::Inner => Self::Inner,
            TunnelLayers::Both => Self::Both,
        }
    }
}

impl Default for Metering {
    fn default() -> Self {
        let MeteringConfig { idle_timeout, active_timeout, max_flows, .. } = MeteringConfig::default();
        Self {
            idle_timeout: Period(idle_timeout),
            active_timeout: Period(active_timeout),
            max_flows,
            tcp_linger: None,
            layers: TunnelLayers::default(),
            fields: Fields::default(),
            add_fields: Vec::new(),
            times: Times::default(),
            keys: KeyName::ALL.to_vec(),
            observation_domain: 1,
        }
    }
}

impl Metering {
    /// Returns the fields of flow records; `sampled`: not all packets are metered.
    pub fn selection(&self, sampled: bool) -> FieldSelection {
        FieldSelection {
            preset: match self.fields {
                Fields::Basic => Preset::Basic,
                Fields::Full => Preset::Full,
                Fields::Biflow => Preset::Biflow,
            },
            added: self.add_fields.iter().map(|field| field.0).collect(),
            times: match self.times {
                Times::Milliseconds => TimeUnit::Milliseconds,
                Times::Nanoseconds => TimeUnit::Nanoseconds,
            },
            keys: self.keys(),
            sampled,
        }
    }

    fn keys(&self) -> Keys {
        let has = |key| self.keys.contains(&key);
        Keys {
            ports: has(KeyName::Ports),
            vlan: has(KeyName::Vlan),
            segment: has(KeyName::Segment),
            interface: has(KeyName::Interface),
        }
    }

    /// Returns the settings of the metering process, which meters all packets.
    pub fn metering(&self) -> MeteringConfig {
        let selection = self.selection(false);
        MeteringConfig {
            end_of_flow: self.tcp_linger.map(|linger| linger.0),
            keys: selection.keys,
            biflows: selection.biflows(),
            details: selection.details(),
            idle_timeout: self.idle_timeout.0,
            active_timeout: self.active_timeout.0,
            max_flows: self.max_flows,
            layers: self.layers.into(),
            ..MeteringConfig::default()
        }
    }

    pub(super) fn validate(&self, faults: &mut Faults) {
        for (key, period) in
            [("metering.idle-timeout", self.idle_timeout), ("metering.active-timeout", self.active_timeout)]
        {
            if period.0.is_zero() {
                faults.add(key, "must be longer than 0");
            }
        }
        if let Some(field) = self.add_fields.iter().find(|field| fields::needs_biflows(field.0))
            && !self.selection(false).biflows()
        {
            let name = ipfix::ie::lookup(0, field.0).map_or("", |element| element.name);
            faults.add(
                "metering.add-fields",
                format!("`{name}` tells the two directions of a flow apart: needs `fields = \"biflow\"`"),
            );
        }
        if self.tcp_linger.is_some() && !self.keys().ports {
            faults.add(
                "metering.tcp-linger",
                "without `ports` in `keys`, all connections of two hosts are one flow, which the end of one does not end",
            );
        }
        if self.max_flows == 0 {
            faults.add("metering.max-flows", "must be at least 1");
        }
    }
}
