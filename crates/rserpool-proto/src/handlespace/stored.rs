//! How a pool stores an element: most have one IPv4 address in each transport and nothing unknown but a long
//! identifier, and such an element needs a fraction of the memory of its parameter. All others are kept as they are.

use std::net::{IpAddr, Ipv4Addr};

use crate::wire::param::long_pe_identifier::LongPeId;
use crate::wire::param::policy::Fields;
use crate::wire::param::transport::UdpTransport;
use crate::wire::{
    EncodeError, ParameterType, Policy, PolicyType, PoolElementParameter, RegistrationLife, SctpTransport,
    TcpTransport, Transport, TransportUse, UnknownParameter,
};
use crate::{PeId, RegistrarId};

/// An element without its identifier.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) enum Stored {
    #[default]
    Vacant,
    Packed(Packed),
    Whole(Box<PoolElementParameter>),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Packed {
    home: RegistrarId,
    life: RegistrationLife,
    policy_type: PolicyType,
    policy_values: [u32; Fields::MAX],
    kind: Kind,
    user: Endpoint,
    asap: Option<Endpoint>,
    encapsulation: Option<u16>,
    /// It told a long identifier, whose upper half this is; an `Option` would need more room.
    has_long: bool,
    upper: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Sctp,
    Tcp,
    Udp,
}

/// Address, port, and what follows the port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Endpoint {
    address: [u8; 4],
    port: u16,
    more: u16,
}

impl Stored {
    pub(super) fn new(element: PoolElementParameter) -> Stored {
        match pack(&element) {
            Some(packed) => Stored::Packed(packed),
            None => Stored::Whole(Box::new(element)),
        }
    }

    /// The element again; `None` of a vacant slot.
    pub(super) fn element(&self, pe: PeId) -> Option<PoolElementParameter> {
        match self {
            Stored::Vacant => None,
            Stored::Packed(packed) => Some(packed.element(pe, packed.asap)),
            Stored::Whole(element) => Some((**element).clone()),
        }
    }

    /// The same without the ASAP transport.
    pub(super) fn element_for_users(&self, pe: PeId) -> Option<PoolElementParameter> {
        match self {
            Stored::Packed(packed) => Some(packed.element(pe, None)),
            other => Some(PoolElementParameter { asap_transport: None, ..other.element(pe)? }),
        }
    }

    /// Appends the same as a parameter; nothing for a vacant slot.
    pub(super) fn encode_for_users(&self, pe: PeId, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Stored::Vacant => Ok(()),
            Stored::Packed(packed) => {
                packed.encode_for_users(pe, out);
                Ok(())
            }
            Stored::Whole(element) => element.encode_for_users(out),
        }
    }

    pub(super) fn policy(&self) -> Option<Policy> {
        match self {
            Stored::Vacant => None,
            Stored::Packed(packed) => Some(Policy::from_values(packed.policy_type, packed.policy_values)),
            Stored::Whole(element) => Some(element.policy.clone()),
        }
    }

    pub(super) fn has_policy_of(&self, other: &Stored) -> bool {
        match (self, other) {
            (Stored::Packed(one), Stored::Packed(other)) => {
                (one.policy_type, one.policy_values) == (other.policy_type, other.policy_values)
            }
            _ => self.policy() == other.policy(),
        }
    }

    pub(super) fn home(&self) -> Option<RegistrarId> {
        match self {
            Stored::Vacant => None,
            Stored::Packed(packed) => Some(packed.home),
            Stored::Whole(element) => Some(element.home),
        }
    }

    /// The type and use of the user transport.
    pub(super) fn transport(&self) -> (ParameterType, TransportUse) {
        match self {
            Stored::Vacant => (ParameterType::OPAQUE_TRANSPORT, TransportUse::DATA_ONLY),
            Stored::Packed(packed) => match packed.kind {
                Kind::Sctp => (ParameterType::SCTP_TRANSPORT, TransportUse(packed.user.more)),
                Kind::Tcp => (ParameterType::TCP_TRANSPORT, TransportUse::DATA_ONLY),
                Kind::Udp => (ParameterType::UDP_TRANSPORT, TransportUse::DATA_ONLY),
            },
            Stored::Whole(element) => (element.user_transport.kind(), element.user_transport.transport_use()),
        }
    }

    /// Whether pool users find `element` where they find this one.
    pub(super) fn is_where(&self, element: &PoolElementParameter) -> bool {
        match self {
            Stored::Vacant => false,
            Stored::Packed(packed) => {
                pack_user(&element.user_transport) == Some((packed.kind, packed.user))
                    && packed.encapsulation == element.encapsulation
            }
            Stored::Whole(known) => {
                (&known.user_transport, known.encapsulation)
                    == (&element.user_transport, element.encapsulation)
            }
        }
    }

    pub(super) fn set_home(&mut self, home: RegistrarId) {
        match self {
            Stored::Vacant => {}
            Stored::Packed(packed) => packed.home = home,
            Stored::Whole(element) => element.home = home,
        }
    }
}

fn pack(element: &PoolElementParameter) -> Option<Packed> {
    if matches!(element.policy, Policy::Other { .. }) {
        return None;
    }
    let long = match &element.unknown[..] {
        [] => None,
        [told] => Some(own_long_id(told, element.pe)?),
        _ => return None,
    };
    let (kind, user) = pack_user(&element.user_transport)?;
    let asap = match &element.asap_transport {
        Some(sctp) => Some(pack_sctp(sctp)?),
        None => None,
    };
    Some(Packed {
        home: element.home,
        life: element.life,
        policy_type: element.policy.policy_type(),
        policy_values: element.policy.fields().values(),
        kind,
        user,
        asap,
        encapsulation: element.encapsulation,
        has_long: long.is_some(),
        upper: long.map_or(0, LongPeId::upper),
    })
}

fn pack_user(transport: &Transport) -> Option<(Kind, Endpoint)> {
    match transport {
        Transport::Sctp(sctp) => Some((Kind::Sctp, pack_sctp(sctp)?)),
        Transport::Tcp(TcpTransport { port, reserved, address: IpAddr::V4(address), unknown })
            if unknown.is_empty() =>
        {
            Some((Kind::Tcp, Endpoint { address: address.octets(), port: *port, more: *reserved }))
        }
        Transport::Udp(UdpTransport { port, address: IpAddr::V4(address), unknown })
            if unknown.is_empty() =>
        {
            Some((Kind::Udp, Endpoint { address: address.octets(), port: *port, more: 0 }))
        }
        Transport::Tcp(_)
        | Transport::Udp(_)
        | Transport::Dccp(_)
        | Transport::UdpLite(_)
        | Transport::Opaque(_) => None,
    }
}

/// The long identifier of this element, if the parameter is nothing else.
fn own_long_id(told: &UnknownParameter, pe: PeId) -> Option<LongPeId> {
    let value = told.value[..].try_into().ok()?;
    let long = LongPeId(u64::from_be_bytes(value));
    (told.kind == ParameterType::LONG_PE_IDENTIFIER && long.short() == pe).then_some(long)
}

fn pack_sctp(sctp: &SctpTransport) -> Option<Endpoint> {
    match sctp.addresses[..] {
        [IpAddr::V4(address)] if sctp.unknown.is_empty() => {
            Some(Endpoint { address: address.octets(), port: sctp.port, more: sctp.transport_use.0 })
        }
        _ => None,
    }
}

/// The header of a parameter.
fn header(kind: ParameterType, octets: u32) -> u32 {
    u32::from(kind.0) << 16 | octets
}

impl Packed {
    /// Writes the octets of [`Packed::element`] without making one: this is what most of an answer is.
    fn encode_for_users(&self, pe: PeId, out: &mut Vec<u8>) {
        const HEADER: u32 = 4;
        const TRANSPORT: u32 = HEADER + 4 + HEADER + 4;
        const ENCAPSULATION: u32 = HEADER + 4;
        const LONG: u32 = HEADER + 8;
        let fields = Policy::from_values(self.policy_type, self.policy_values).fields();
        let (fields, Endpoint { address, port, more }) = (fields.as_slice(), self.user);
        #[expect(clippy::cast_possible_truncation, reason = "at most four fields")]
        let policy = HEADER + 4 + 4 * fields.len() as u32;
        let more_octets =
            u32::from(self.encapsulation.is_some()) * ENCAPSULATION + u32::from(self.has_long) * LONG;
        let transport = match self.kind {
            Kind::Sctp => ParameterType::SCTP_TRANSPORT,
            Kind::Tcp => ParameterType::TCP_TRANSPORT,
            Kind::Udp => ParameterType::UDP_TRANSPORT,
        };
        let mut write =
            |words: &[u32]| words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
        write(&[
            header(ParameterType::POOL_ELEMENT, HEADER + 12 + TRANSPORT + policy + more_octets),
            pe.0,
            self.home.0,
            self.life.0,
            header(transport, TRANSPORT),
            u32::from(port) << 16 | u32::from(more),
            header(ParameterType::IPV4_ADDRESS, HEADER + 4),
            u32::from_be_bytes(address),
            header(ParameterType::POLICY, policy),
            self.policy_type.0,
        ]);
        write(fields);
        if let Some(port) = self.encapsulation {
            write(&[header(ParameterType::ENCAPSULATION_PORT, ENCAPSULATION), u32::from(port) << 16]);
        }
        if self.has_long {
            write(&[header(ParameterType::LONG_PE_IDENTIFIER, LONG), self.upper, pe.0]);
        }
    }

    fn element(&self, pe: PeId, asap: Option<Endpoint>) -> PoolElementParameter {
        let Endpoint { address, port, more } = self.user;
        let address = IpAddr::V4(Ipv4Addr::from(address));
        let user_transport = match self.kind {
            Kind::Sctp => Transport::Sctp(self.user.sctp()),
            Kind::Tcp => Transport::Tcp(TcpTransport { port, reserved: more, address, unknown: Vec::new() }),
            Kind::Udp => Transport::Udp(UdpTransport { port, address, unknown: Vec::new() }),
        };
        let long = self.has_long.then(|| LongPeId::new(self.upper, pe).to_parameter());
        PoolElementParameter {
            pe,
            home: self.home,
            life: self.life,
            user_transport,
            policy: Policy::from_values(self.policy_type, self.policy_values),
            asap_transport: asap.map(Endpoint::sctp),
            encapsulation: self.encapsulation,
            unknown: long.into_iter().collect(),
        }
    }
}

impl Endpoint {
    fn sctp(self) -> SctpTransport {
        SctpTransport {
            port: self.port,
            transport_use: TransportUse(self.more),
            addresses: vec![IpAddr::V4(Ipv4Addr::from(self.address))],
            unknown: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Load;

    fn sctp(address: &str) -> SctpTransport {
        SctpTransport {
            port: 4739,
            transport_use: TransportUse::DATA_PLUS_CONTROL,
            addresses: vec![address.parse().unwrap()],
            unknown: vec![],
        }
    }

    fn element(user_transport: Transport) -> PoolElementParameter {
        PoolElementParameter {
            pe: PeId(7),
            home: RegistrarId(1),
            life: RegistrationLife(30),
            user_transport,
            policy: Policy::LeastUsedDegradationDpf {
                load: Load(1),
                degradation: Load(2),
                load_dpf: Load(3),
                distance: 4,
            },
            asap_transport: Some(sctp("192.0.2.9")),
            encapsulation: Some(9899),
            unknown: vec![],
        }
    }

    fn assert_survives(element: PoolElementParameter, packed: bool) {
        let stored = Stored::new(element.clone());
        assert_eq!(matches!(stored, Stored::Packed(_)), packed, "{element:?}");
        assert_eq!(stored.home(), Some(element.home));
        assert_eq!(stored.policy().as_ref(), Some(&element.policy));
        let for_users = PoolElementParameter { asap_transport: None, ..element.clone() };
        let mut octets = Vec::new();
        stored.encode_for_users(element.pe, &mut octets).unwrap();
        assert_eq!(octets, for_users.to_octets());
        assert_eq!(stored.element_for_users(element.pe), Some(for_users));
        assert!(stored.is_where(&element));
        assert!(!stored.is_where(&PoolElementParameter { encapsulation: Some(1), ..element.clone() }));
        let user_transport = Transport::Sctp(sctp("192.0.2.250"));
        assert!(!stored.is_where(&PoolElementParameter { user_transport, ..element.clone() }));
        assert_eq!(stored.element(element.pe), Some(element));
    }

    #[test]
    fn an_element_with_one_ipv4_address_is_packed_and_survives() {
        let address = "192.0.2.1".parse().unwrap();
        let tcp = TcpTransport { port: 1, reserved: 1, address, unknown: vec![] };
        let udp = UdpTransport { port: 2, address, unknown: vec![] };
        for transport in [Transport::Sctp(sctp("192.0.2.1")), Transport::Tcp(tcp), Transport::Udp(udp)] {
            assert_survives(element(transport.clone()), true);
            assert_survives(PoolElementParameter { asap_transport: None, ..element(transport) }, true);
        }
        assert_eq!(size_of::<Stored>(), 56);
    }

    #[test]
    fn a_long_identifier_takes_no_more_memory_unless_it_is_of_another_element() {
        let plain = element(Transport::Sctp(sctp("192.0.2.1")));
        let telling = |unknown| PoolElementParameter { unknown, ..plain.clone() };
        for upper in [0, 0x0102_0304, u32::MAX] {
            assert_survives(telling(vec![LongPeId::new(upper, plain.pe).to_parameter()]), true);
        }
        let long = LongPeId::new(1, plain.pe).to_parameter();
        assert_survives(telling(vec![LongPeId::new(1, PeId(8)).to_parameter()]), false);
        assert_survives(telling(vec![long.clone(), long.clone()]), false);
        assert_survives(
            telling(vec![UnknownParameter { kind: ParameterType(0x8bbb), ..long.clone() }]),
            false,
        );
        let value = long.value[..7].to_vec();
        assert_survives(telling(vec![UnknownParameter { value, ..long }]), false);
    }

    #[test]
    fn any_other_element_survives_whole() {
        let six = Transport::Sctp(sctp("2001:db8::1"));
        assert_survives(element(six), false);
        let mut two = sctp("192.0.2.1");
        two.addresses.push("192.0.2.2".parse().unwrap());
        assert_survives(element(Transport::Sctp(two)), false);
        let plain = element(Transport::Sctp(sctp("192.0.2.1")));
        let unknown = vec![UnknownParameter { kind: ParameterType(0x8bbb), value: vec![1] }];
        assert_survives(PoolElementParameter { unknown: unknown.clone(), ..plain.clone() }, false);
        let asap_transport = Some(SctpTransport { unknown, ..sctp("192.0.2.1") });
        assert_survives(PoolElementParameter { asap_transport, ..plain.clone() }, false);
        let policy = Policy::Other { policy_type: PolicyType(0xb000_2004), data: vec![1] };
        assert_survives(PoolElementParameter { policy, ..plain }, false);
    }
}
