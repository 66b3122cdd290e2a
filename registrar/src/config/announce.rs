//! The section `[announce]`: multicast, for networks in which registrars are found and not configured.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rserpool::{ASAP_PORT, Timers};
use rserpool_proto::registrar::Announcement;
use rserpool_proto::wire::{TcpTransport, Transport, TransportUse};
use rserpool_proto::{Protocol, UserTransport};
use serde::Deserialize;
use service::config::Faults;
use transport::udp::GroupOptions;

use super::Config;
use super::enrp::ENRP_PORT;

/// Addresses over TCP in one announce.
const MAX_TCP: usize = 4;

/// The section `[announce]`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Announce {
    /// Where this registrar announces itself to pool elements and pool users.
    pub asap: Option<AsapGroup>,
    /// Where it announces itself to other registrars, and hears of them.
    pub enrp: Option<EnrpGroup>,
}

/// A multicast group for ASAP.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AsapGroup {
    /// Its address. Default: IANA's, 224.0.1.185; the reference implementation's with its profile.
    pub group: Option<IpAddr>,
    /// Its UDP port, which announces also come from.
    pub port: u16,
    /// How many routers an announce passes, and one.
    pub ttl: u8,
}

/// A multicast group for ENRP.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EnrpGroup {
    /// Its address. Default: the reference implementation's, 239.0.0.51; RFC 5353 names none.
    pub group: IpAddr,
    /// Its UDP port.
    pub port: u16,
    /// How many routers an announce passes, and one.
    pub ttl: u8,
}

impl Default for AsapGroup {
    fn default() -> AsapGroup {
        AsapGroup { group: None, port: ASAP_PORT, ttl: 1 }
    }
}

impl Default for EnrpGroup {
    fn default() -> EnrpGroup {
        EnrpGroup { group: REFERENCE_ENRP.into(), port: ENRP_PORT, ttl: 1 }
    }
}

/// IANA's group for ASAP.
const ASAP: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 185);
/// The groups of the reference implementation.
const REFERENCE_ASAP: Ipv4Addr = Ipv4Addr::new(239, 0, 0, 50);
const REFERENCE_ENRP: Ipv4Addr = Ipv4Addr::new(239, 0, 0, 51);

impl Config {
    /// Returns the groups of ASAP and ENRP.
    pub(crate) fn groups(&self) -> [Option<GroupOptions>; 2] {
        let first = |list: &[SocketAddr]| list.first().map(SocketAddr::ip);
        let options = |group: IpAddr, port, ttl, own: Option<IpAddr>| GroupOptions {
            group: SocketAddr::new(group, port),
            interface: own.filter(|own| own.is_ipv4() && group.is_ipv4()),
            ttl,
        };
        let usual = match self.profile.timers {
            Timers::Rsplib => REFERENCE_ASAP,
            Timers::Fast | Timers::Rfc => ASAP,
        };
        let asap = self.announce.asap.map(|asap| {
            options(asap.group.unwrap_or(usual.into()), asap.port, asap.ttl, first(&self.listen.asap))
        });
        let enrp =
            self.announce.enrp.map(|enrp| options(enrp.group, enrp.port, enrp.ttl, first(&self.listen.enrp)));
        [asap, enrp]
    }

    /// Returns what is announced to pool elements and pool users. The reference implementation tells no addresses.
    pub(super) fn announcement(&self) -> Option<Announcement> {
        self.announce.asap?;
        let port = self.listen.asap.first()?.port();
        let encapsulation = self.listen.encapsulation_port;
        let addresses = self.listen.asap.iter().map(SocketAddr::ip).collect();
        let (protocol, transport_use) = (Protocol::Sctp, TransportUse::DATA_ONLY);
        let transport = UserTransport { protocol, addresses, port, transport_use, encapsulation };
        let transports = match self.profile.timers {
            Timers::Rsplib => vec![],
            Timers::Fast | Timers::Rfc => {
                let sctp = transport.to_wire().map(|(transport, _)| transport);
                sctp.into_iter().chain(self.announced_over_tcp()).collect()
            }
        };
        Some(Announcement { transports, encapsulation })
    }

    /// With the next generation, where ASAP is spoken over TCP as well; SCTP stands first (docs/wire.md section 18).
    fn announced_over_tcp(&self) -> Vec<Transport> {
        let told = |address: &&SocketAddr| self.enrp.next_generation && !address.ip().is_unspecified();
        let tcp = |address: &SocketAddr| {
            let (port, address) = (address.port(), address.ip());
            Transport::Tcp(TcpTransport { port, reserved: 0, address, unknown: Vec::new() })
        };
        self.listen.asap_tcp.iter().filter(told).take(MAX_TCP).map(tcp).collect()
    }

    pub(super) fn validate_announce(&self, faults: &mut Faults) {
        let groups = self.groups();
        for (key, group) in [("asap", groups[0]), ("enrp", groups[1])] {
            let Some(group) = group else { continue };
            if !group.group.ip().is_multicast() {
                faults.add(format!("announce.{key}.group"), "is no multicast address");
            }
            if group.group.port() == 0 {
                faults.add(format!("announce.{key}.port"), "must not be 0");
            }
        }
        if self.announce.asap.is_some() && self.listen.asap.is_empty() {
            faults.add("announce.asap", "needs asap in [listen]: an announce promises no security");
        }
        if self.announce.enrp.is_some() && self.listen.enrp.is_empty() {
            faults.add("announce.enrp", "needs enrp in [listen]");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(text: &str) -> Vec<Transport> {
        let text = format!("[announce]\nasap = {{}}\n{text}");
        let config = service::config::parse("registrar.toml", &text, |_, _| {}).map_err(|e| e.to_string());
        let config: Config = config.unwrap();
        config.announcement().unwrap().transports
    }

    #[test]
    fn tcp_is_announced_behind_sctp_with_the_next_generation_only() {
        let listen = "[listen]\nasap-tcp = [\"127.0.0.1:3863\", \"0.0.0.0:3864\"]\n";
        assert!(matches!(announced(listen)[..], [Transport::Sctp(_)]));
        let told = announced(&format!("{listen}[enrp]\nnext-generation = true\n"));
        let [Transport::Sctp(_), Transport::Tcp(tcp)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((tcp.address, tcp.port), (IpAddr::from([127, 0, 0, 1]), 3863));
    }
}
