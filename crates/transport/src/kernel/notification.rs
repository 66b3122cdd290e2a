//! Notifications of a one-to-one socket (RFC 6458 section 6.1), as Linux lays them out.

use std::net::SocketAddr;

use super::sockaddr;

/// Types of `sn_type`.
pub(super) const ASSOC_CHANGE: u16 = 0x8001;
pub(super) const PEER_ADDR_CHANGE: u16 = 0x8002;
pub(super) const SHUTDOWN: u16 = 0x8005;
pub(super) const PARTIAL_DELIVERY: u16 = 0x8006;
pub(super) const SENDER_DRY: u16 = 0x8009;
pub(super) const SEND_FAILED: u16 = 0x800d;

/// Those every association asks for.
pub(super) const WANTED: [u16; 5] = [ASSOC_CHANGE, PEER_ADDR_CHANGE, SHUTDOWN, PARTIAL_DELIVERY, SEND_FAILED];

/// Offsets in `linux/sctp.h`.
pub(super) mod offset {
    pub(in super::super) const SAC_STATE: usize = 8;
    pub(in super::super) const SAC_ERROR: usize = 10;
    pub(in super::super) const SAC_OUTBOUND: usize = 12;
    pub(in super::super) const SAC_INFO: usize = 20;
    pub(in super::super) const SPC_ADDRESS: usize = 8;
    pub(in super::super) const SPC_STATE: usize = 136;
    pub(in super::super) const SSF_ERROR: usize = 8;
    pub(in super::super) const SSF_CONTEXT: usize = 20;
}

/// What a notification says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Notification {
    /// The association is up.
    Up { streams: u16 },
    /// The association is lost. With a text if the peer aborted it.
    Lost { error: u16, peer: Option<String> },
    /// The peer set it up anew.
    Restarted { streams: u16 },
    /// It is closed gracefully.
    Closed,
    /// It could not be set up.
    CannotStart { error: u16 },
    /// A path works, again or now confirmed.
    PathUp(SocketAddr),
    /// A path fails, or its address was removed.
    PathDown(SocketAddr),
    /// A message, or a fragment of one, was given up.
    SendFailed { context: u32, error: u32 },
    /// Nothing waits for an acknowledgement.
    Dry,
    /// The peer closes.
    Shutdown,
    /// The rest of a message whose first pieces were read does not come.
    PartialDeliveryAborted,
    /// Nothing we act on.
    Other(u16),
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}

/// None if it is cut short or an address in it makes no sense.
pub(super) fn parse(octets: &[u8]) -> Option<Notification> {
    let kind = u16_at(octets, 0)?;
    // The kernel tells the length too; what was read is what counts.
    octets.get(..8)?;
    Some(match kind {
        ASSOC_CHANGE => assoc_change(octets)?,
        PEER_ADDR_CHANGE => peer_addr_change(octets)?,
        SEND_FAILED => Notification::SendFailed {
            context: u32_at(octets, offset::SSF_CONTEXT)?,
            error: u32_at(octets, offset::SSF_ERROR)?,
        },
        SENDER_DRY => Notification::Dry,
        SHUTDOWN => Notification::Shutdown,
        PARTIAL_DELIVERY => Notification::PartialDeliveryAborted,
        other => Notification::Other(other),
    })
}

fn assoc_change(octets: &[u8]) -> Option<Notification> {
    let state = u16_at(octets, offset::SAC_STATE)?;
    let error = u16_at(octets, offset::SAC_ERROR)?;
    let streams = u16_at(octets, offset::SAC_OUTBOUND)?;
    let info = octets.get(offset::SAC_INFO..)?;
    Some(match state {
        0 => Notification::Up { streams },
        1 => Notification::Lost { error, peer: (!info.is_empty()).then(|| causes(info)) },
        2 => Notification::Restarted { streams },
        3 => Notification::Closed,
        4 => Notification::CannotStart { error },
        _ => return None,
    })
}

/// The first error cause of the peer's ABORT (RFC 9260 section 3.3.10) in words.
fn causes(octets: &[u8]) -> String {
    let Some(header) = octets.get(..4) else { return "ABORT".to_owned() };
    let code = u16::from_be_bytes([header[0], header[1]]);
    let text = match code {
        1 => "invalid stream identifier",
        2 => "missing mandatory parameter",
        3 => "stale cookie",
        4 => "out of resource",
        5 => "unresolvable address",
        6 => "unrecognized chunk type",
        7 => "invalid mandatory parameter",
        8 => "unrecognized parameters",
        9 => "no user data",
        10 => "cookie received while shutting down",
        11 => "restart of an association with new addresses",
        12 => "user-initiated abort",
        13 => "protocol violation",
        _ => return format!("error cause {code}"),
    };
    text.to_owned()
}

fn peer_addr_change(octets: &[u8]) -> Option<Notification> {
    let storage = octets.get(offset::SPC_ADDRESS..offset::SPC_ADDRESS + sockaddr::STORAGE)?;
    let (address, _) = sockaddr::decode(storage)?;
    let state = u32_at(octets, offset::SPC_STATE)?;
    Some(match state {
        // SCTP_ADDR_AVAILABLE, SCTP_ADDR_CONFIRMED.
        0 | 5 => Notification::PathUp(address),
        // SCTP_ADDR_UNREACHABLE, SCTP_ADDR_REMOVED.
        1 | 2 => Notification::PathDown(address),
        _ => Notification::Other(PEER_ADDR_CHANGE),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(state: u16, info: &[u8]) -> Vec<u8> {
        let mut octets = ASSOC_CHANGE.to_ne_bytes().to_vec();
        octets.resize(offset::SAC_STATE, 0);
        for value in [state, 0, 64, 32] {
            octets.extend(value.to_ne_bytes());
        }
        octets.resize(offset::SAC_INFO, 0);
        octets.extend(info);
        octets
    }

    #[test]
    fn a_change_of_the_association_is_told_apart() {
        assert_eq!(parse(&change(0, &[])), Some(Notification::Up { streams: 64 }));
        assert_eq!(parse(&change(2, &[])), Some(Notification::Restarted { streams: 64 }));
        assert_eq!(parse(&change(1, &[])), Some(Notification::Lost { error: 0, peer: None }));
        let peer = Some("user-initiated abort".to_owned());
        assert_eq!(parse(&change(1, &[0, 12, 0, 4])), Some(Notification::Lost { error: 0, peer }));
    }

    #[test]
    fn a_path_is_named_by_its_address() {
        let mut octets = PEER_ADDR_CHANGE.to_ne_bytes().to_vec();
        octets.resize(offset::SPC_ADDRESS, 0);
        octets.extend(sockaddr::encode("192.0.2.7:9".parse().unwrap()));
        octets.resize(offset::SPC_STATE, 0);
        octets.extend(1_u32.to_ne_bytes());
        octets.resize(148, 0);
        assert_eq!(parse(&octets), Some(Notification::PathDown("192.0.2.7:9".parse().unwrap())));
    }

    #[test]
    fn a_notification_cut_anywhere_is_none_and_no_panic() {
        let whole = change(2, &[0, 12, 0, 4]);
        for end in 0..offset::SAC_INFO {
            assert_eq!(parse(&whole[..end]), None, "{end}");
        }
        let mut failed = SEND_FAILED.to_ne_bytes().to_vec();
        failed.resize(23, 0);
        assert_eq!(parse(&failed), None);
    }
}
