//! Pool element parameter (RFC 5354 section 3.10).
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x000a         |            Length             |
//! +-------------------------------+-------------------------------+
//! |                         PE Identifier                         |
//! |                   Home ENRP Server Identifier                 |
//! |                       Registration Life                       |
//! +---------------------------------------------------------------+
//! :                    User Transport parameter                   :
//! :               Member Selection Policy parameter               :
//! :             ASAP Transport parameter (SCTP, optional)         :
//! :        Encapsulation port (0x8f01, optional, ours)            :
//! +---------------------------------------------------------------+
//! ```
//!
//! The first transport is the user transport, the second the ASAP transport.

use std::time::Duration;

use super::long_pe_identifier::LongPeId;
use super::policy::Policy;
use super::transport::{SctpTransport, Transport};
use super::{ParameterType, encapsulation};
use crate::wire::unknown::{Found, Report, UnknownParameter, encode_all, parameters};
use crate::wire::{EncodeError, WireError, writer};
use crate::{PeId, RegistrarId};

/// How long a registration lasts, as on the wire.
///
/// RFC 5354 counts seconds; the reference implementation counts milliseconds: see [`LifeUnit`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct RegistrationLife(pub u32);

/// What one unit of a registration life is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LifeUnit {
    /// RFC 5354 section 3.10.
    #[default]
    Seconds,
    /// The reference implementation.
    Milliseconds,
}

impl RegistrationLife {
    /// Never expires ("-1").
    pub const INFINITE: RegistrationLife = RegistrationLife(u32::MAX);

    /// Returns `life` in `unit`, rounded up and at most the largest finite value.
    pub fn from_duration(life: Duration, unit: LifeUnit) -> RegistrationLife {
        let units = match unit {
            LifeUnit::Seconds => life.as_millis().div_ceil(1000),
            LifeUnit::Milliseconds => life.as_millis(),
        };
        RegistrationLife(u32::try_from(units).unwrap_or(u32::MAX).min(i32::MAX.unsigned_abs()))
    }

    /// Returns the life as a duration, `None` for infinite.
    pub fn duration(self, unit: LifeUnit) -> Option<Duration> {
        let value = u64::from(self.0);
        match unit {
            _ if self == Self::INFINITE => None,
            LifeUnit::Seconds => Some(Duration::from_secs(value)),
            LifeUnit::Milliseconds => Some(Duration::from_millis(value)),
        }
    }
}

/// A pool element as registered and as resolved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PoolElementParameter {
    /// Identifies the element within its pool.
    pub pe: PeId,
    /// The registrar that owns the registration, zero when not known.
    pub home: RegistrarId,
    /// How long the registration lasts.
    pub life: RegistrationLife,
    /// Where the element serves.
    pub user_transport: Transport,
    /// Policy and its values.
    pub policy: Policy,
    /// Where the element's ASAP endpoint is; filled in by the home registrar.
    pub asap_transport: Option<SctpTransport>,
    /// UDP port of the SCTP user transport where it is not the usual one (extension).
    pub encapsulation: Option<u16>,
    /// Skipped parameters, kept.
    pub unknown: Vec<UnknownParameter>,
}

impl PoolElementParameter {
    pub(crate) fn decode(found: &Found<'_>, report: &mut Report) -> Result<PoolElementParameter, WireError> {
        let mut value = found.value.clone();
        let pe = PeId(value.u32()?);
        let home = RegistrarId(value.u32()?);
        let life = RegistrationLife(value.u32()?);
        let (mut user, mut policy, mut asap, mut port) = (None, None, None, None);
        let unknown = parameters(value, report, |found, report| match found.kind {
            ParameterType::POLICY => found.once(&mut policy, Policy::decode(found)?),
            ParameterType::ENCAPSULATION_PORT => found.once(&mut port, encapsulation::decode(found)?),
            _ => match (Transport::decode(found, report)?, &user) {
                (None, _) => Ok(false),
                (Some(transport), None) => found.once(&mut user, transport),
                (Some(Transport::Sctp(sctp)), Some(_)) => found.once(&mut asap, sctp),
                (Some(_), Some(_)) => {
                    Err(WireError::DuplicateParameter { offset: found.offset, kind: found.kind })
                }
            },
        })?;
        let offset = found.offset + found.octets.len();
        let missing = |kind| WireError::MissingParameter { offset, kind };
        Ok(PoolElementParameter {
            pe,
            home,
            life,
            user_transport: user.ok_or(missing(ParameterType::SCTP_TRANSPORT))?,
            policy: policy.ok_or(missing(ParameterType::POLICY))?,
            asap_transport: asap,
            encapsulation: port,
            unknown,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_with(self.asap_transport.as_ref(), out)
    }

    /// Appends the parameter without the ASAP transport, which is not for pool users.
    pub(crate) fn encode_for_users(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_with(None, out)
    }

    fn encode_with(&self, asap: Option<&SctpTransport>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        writer::parameter(out, ParameterType::POOL_ELEMENT, |out| {
            out.extend(self.pe.0.to_be_bytes());
            out.extend(self.home.0.to_be_bytes());
            out.extend(self.life.0.to_be_bytes());
            self.user_transport.encode(out)?;
            self.policy.encode(out)?;
            if let Some(asap) = asap {
                asap.encode(out)?;
            }
            if let Some(port) = self.encapsulation {
                encapsulation::encode(port, out)?;
            }
            encode_all(&self.unknown, out)
        })
    }

    /// Returns the long identifier (docs/wire.md section 17), if one was told; a malformed one is as good as none.
    pub fn long_id(&self) -> Option<LongPeId> {
        LongPeId::find(&self.unknown).ok().flatten()
    }

    /// Returns whether the long identifier is one of the short one, where there is one.
    pub(crate) fn has_its_own_long_id(&self) -> bool {
        self.long_id().is_none_or(|long| long.short() == self.pe)
    }

    /// Returns whether both told long identifiers, and different ones: they are two elements.
    pub(crate) fn is_other_than(&self, other: &PoolElementParameter) -> bool {
        matches!((self.long_id(), other.long_id()), (Some(one), Some(other)) if one != other)
    }

    /// Returns the octets of the whole parameter, for an error cause.
    pub(crate) fn to_octets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // A decoded parameter always fits; one that does not is reported without its octets.
        let _ = self.encode(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;
    use crate::wire::param::transport::TransportUse;
    use std::net::IpAddr;

    fn element() -> PoolElementParameter {
        let sctp = |port| SctpTransport {
            port,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            addresses: vec![IpAddr::from([127, 1, 2, 3])],
            unknown: vec![],
        };
        PoolElementParameter {
            pe: PeId(0xa1),
            home: RegistrarId(0),
            life: RegistrationLife(30),
            user_transport: Transport::Sctp(sctp(4739)),
            policy: Policy::RoundRobin,
            asap_transport: Some(sctp(50000)),
            encapsulation: Some(9900),
            unknown: vec![UnknownParameter { kind: ParameterType(0x8bbb), value: vec![1, 2, 3] }],
        }
    }

    fn registration(element: PoolElementParameter) -> Vec<u8> {
        use crate::wire::asap::registration::Registration;
        let pool = crate::PoolHandle::new("P").unwrap();
        Message::Registration(Registration { pool, element, unknown: vec![] }).to_octets().unwrap()
    }

    #[test]
    fn both_transports_the_encapsulation_port_and_the_unknown_survive() {
        let octets = registration(element());
        let Ok(Message::Registration(decoded)) = Message::decode(&octets) else { panic!() };
        assert_eq!(decoded.element, element());
    }

    #[test]
    fn a_third_transport_is_refused_with_its_offset() {
        let mut octets =
            registration(PoolElementParameter { encapsulation: None, unknown: vec![], ..element() });
        let at = octets.len();
        octets.extend([0, 4, 0, 16, 0, 1, 0, 0, 0, 1, 0, 8, 10, 0, 0, 1]);
        let length = u16::try_from(octets.len()).unwrap();
        octets[2..4].copy_from_slice(&length.to_be_bytes());
        octets[14..16].copy_from_slice(&(length - 12).to_be_bytes());
        let error = Message::decode(&octets).unwrap_err();
        assert_eq!(error, WireError::DuplicateParameter { offset: at, kind: ParameterType::SCTP_TRANSPORT });
    }

    #[test]
    fn a_life_is_converted_by_its_unit_and_minus_one_never_ends() {
        let life = RegistrationLife(90_000);
        assert_eq!(life.duration(LifeUnit::Milliseconds), Some(Duration::from_secs(90)));
        assert_eq!(life.duration(LifeUnit::Seconds), Some(Duration::from_secs(90_000)));
        assert_eq!(RegistrationLife::INFINITE.duration(LifeUnit::Seconds), None);
        let round = RegistrationLife::from_duration(Duration::from_millis(1500), LifeUnit::Seconds);
        assert_eq!(round, RegistrationLife(2));
    }
}
