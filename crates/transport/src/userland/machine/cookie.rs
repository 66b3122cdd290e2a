//! The envelope of the state cookie (RFC 9260 section 5.1.3).
//!
//! dcsctp's cookie is neither signed nor limited in time. In an INIT ACK that leaves it is wrapped:
//!
//! ```text
//! | milliseconds since the endpoint's start, 8 octets | MAC, 16 octets | dcsctp's cookie |
//! ```
//!
//! The MAC is HMAC-SHA-256, cut to 128 bits so that an INIT ACK stays small against its INIT. It covers
//! time, cookie, the peer's address and both SCTP ports; its key is random and never leaves the endpoint.
//! In a COOKIE ECHO that arrives the envelope is verified and taken off.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::crc32c;
use super::packet::{self, HEADER, Header, chunk};

/// Valid.Cookie.Life (RFC 9260 section 16).
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);

const MAC: usize = 16;
pub(crate) const ENVELOPE: usize = 8 + MAC;
/// The State Cookie parameter of an INIT ACK (RFC 9260 section 3.3.3.1).
const STATE_COOKIE: u16 = 7;
/// Where the parameters of an INIT ACK begin, from its chunk header.
const INIT_ACK_FIXED: usize = 20;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rejected {
    /// No COOKIE ECHO with an envelope.
    Malformed,
    /// The MAC is wrong.
    Forged,
    /// The MAC is right, but it came this much too late.
    Stale(Duration),
}

pub(in crate::userland) struct CookieKey([u8; 32]);

impl CookieKey {
    pub(crate) fn new(random: [u64; 4]) -> CookieKey {
        let mut key = [0; 32];
        for (octets, random) in key.as_chunks_mut().0.iter_mut().zip(random) {
            *octets = random.to_ne_bytes();
        }
        CookieKey(key)
    }

    fn mac(&self, time: &[u8], peer: SocketAddr, ports: (u16, u16), cookie: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(time);
        match peer.ip() {
            IpAddr::V4(ip) => mac.update(&ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        for port in [peer.port(), ports.0, ports.1] {
            mac.update(&port.to_be_bytes());
        }
        mac.update(cookie);
        mac
    }

    /// Wraps the cookie of an INIT ACK to `peer`; `now` counts from the endpoint's start. None when
    /// there is no cookie to wrap.
    pub(crate) fn wrap(&self, packet: &[u8], peer: SocketAddr, now: Duration) -> Option<Vec<u8>> {
        let header = Header::read(packet)?;
        let init_ack = packet::chunks(packet).next().filter(|chunk| chunk.kind == chunk::INIT_ACK)?;
        let end = init_ack.at + 4 + init_ack.value.len();
        let mut at = init_ack.at + INIT_ACK_FIXED;
        while at + 4 <= end {
            let length = usize::from(packet::u16_at(packet, at + 2)?);
            if packet::u16_at(packet, at)? == STATE_COOKIE {
                break;
            }
            at += length.max(4).next_multiple_of(4);
        }
        let length = usize::from(packet::u16_at(packet, at + 2)?);
        let cookie = packet.get(at + 4..at + length)?;
        let time = u64::try_from(now.as_millis()).ok()?.to_be_bytes();
        let mac = self.mac(&time, peer, (header.destination, header.source), cookie);

        let mut out = Vec::with_capacity(packet.len() + ENVELOPE);
        out.extend(&packet[..at + 4]);
        out.extend(time);
        out.extend(&mac.finalize().into_bytes()[..MAC]);
        out.extend(&packet[at + 4..]);
        for length_at in [init_ack.at + 2, at + 2] {
            let length = packet::u16_at(&out, length_at)?.checked_add(u16::try_from(ENVELOPE).ok()?)?;
            out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        }
        crc32c::seal(&mut out);
        Some(out)
    }

    /// Verifies the cookie of a COOKIE ECHO from `peer` and writes the packet without the envelope.
    pub(crate) fn unwrap(
        &self,
        packet: &[u8],
        peer: SocketAddr,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<(), Rejected> {
        let header = Header::read(packet).ok_or(Rejected::Malformed)?;
        let echo = packet::chunks(packet).next().filter(|chunk| chunk.kind == chunk::COOKIE_ECHO);
        let echo = echo.ok_or(Rejected::Malformed)?;
        let (envelope, cookie) = echo.value.split_at_checked(ENVELOPE).ok_or(Rejected::Malformed)?;
        let (time, mac) = envelope.split_at(8);
        self.mac(time, peer, (header.source, header.destination), cookie)
            .verify_truncated_left(mac)
            .map_err(|_| Rejected::Forged)?;
        let time = u64::from_be_bytes(time.try_into().map_err(|_| Rejected::Malformed)?);
        let age = now.saturating_sub(Duration::from_millis(time));
        if age > LIFETIME {
            return Err(Rejected::Stale(age - LIFETIME));
        }
        out.clear();
        out.extend(&packet[..HEADER + 2]);
        #[expect(clippy::cast_possible_truncation, reason = "shorter than the chunk it came in")]
        out.extend((4 + cookie.len() as u16).to_be_bytes());
        out.extend(cookie);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(packet.get(echo.end()..).unwrap_or_default());
        crc32c::seal(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5_000);
    const COOKIE: [u8; 9] = *b"cookie...";

    /// An INIT ACK from port 4739 to port 4000 with a parameter before and one after the cookie.
    fn init_ack() -> Vec<u8> {
        let mut packet = vec![0x12, 0x83, 0x0f, 0xa0, 0, 0, 0, 9, 0, 0, 0, 0];
        packet.extend([2, 0, 0, 44]);
        packet.extend([1; 16]);
        packet.extend([0xc0, 0, 0, 4]);
        packet.extend([0, 7, 0, 13]);
        packet.extend(COOKIE);
        packet.extend([0; 3]);
        packet.extend([0x80, 0x08, 0, 4]);
        crc32c::seal(&mut packet);
        packet
    }

    /// The COOKIE ECHO a peer makes of a wrapped INIT ACK, with a chunk of DATA behind.
    fn cookie_echo(init_ack: &[u8]) -> Vec<u8> {
        let length = usize::from(packet::u16_at(init_ack, 38).unwrap());
        let mut packet = vec![0x0f, 0xa0, 0x12, 0x83, 1, 1, 1, 1, 0, 0, 0, 0, 10, 0];
        packet.extend(u16::try_from(length).unwrap().to_be_bytes());
        packet.extend(&init_ack[40..36 + length]);
        packet.resize(packet.len().next_multiple_of(4), 0);
        packet.extend([0, 3, 0, 4]);
        packet
    }

    fn unwrap(at: Duration, peer: SocketAddr) -> Result<Vec<u8>, Rejected> {
        let key = CookieKey([7; 32]);
        let wrapped = key.wrap(&init_ack(), PEER, Duration::from_millis(1_000)).unwrap();
        assert!(crc32c::verify(&wrapped));
        assert_eq!(packet::chunks(&wrapped).next().unwrap().end(), wrapped.len());
        let mut out = Vec::new();
        key.unwrap(&cookie_echo(&wrapped), peer, at, &mut out).map(|()| out)
    }

    #[test]
    fn a_cookie_comes_back_as_it_was_with_the_chunks_behind_it() {
        let packet = unwrap(Duration::from_secs(2), PEER).unwrap();
        assert!(crc32c::verify(&packet));
        let chunks: Vec<_> = packet::chunks(&packet).map(|chunk| (chunk.kind, chunk.value)).collect();
        assert_eq!(chunks, [(chunk::COOKIE_ECHO, &COOKIE[..]), (0, &[])]);
    }

    #[test]
    fn a_cookie_is_good_for_60_seconds() {
        assert!(unwrap(Duration::from_secs(61), PEER).is_ok());
        let late = Duration::from_secs(63);
        assert_eq!(unwrap(late, PEER), Err(Rejected::Stale(Duration::from_secs(2))));
    }

    #[test]
    fn a_cookie_is_good_for_one_address_only() {
        let other = SocketAddr::new(PEER.ip(), 5_001);
        assert_eq!(unwrap(Duration::from_secs(2), other), Err(Rejected::Forged));
    }

    #[test]
    fn a_cookie_of_another_key_or_without_envelope_is_rejected() {
        let wrapped = CookieKey([8; 32]).wrap(&init_ack(), PEER, Duration::ZERO).unwrap();
        let key = CookieKey([7; 32]);
        let mut out = Vec::new();
        let result = key.unwrap(&cookie_echo(&wrapped), PEER, Duration::ZERO, &mut out);
        assert_eq!(result, Err(Rejected::Forged));
        let bare = cookie_echo(&init_ack());
        assert_eq!(key.unwrap(&bare, PEER, Duration::ZERO, &mut out), Err(Rejected::Malformed));
    }
}
