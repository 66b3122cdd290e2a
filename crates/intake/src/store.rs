//! Templates on disk, so that a collector that starts again reads its UDP sources at once: they repeat their templates only
//! from time to time (RFC 7011 section 8.4). Associations bring theirs anew and need none of this.
//!
//! ```text
//! "FPTEMPL1"  number of entries (4)
//! each:  address (16, IPv4 mapped)  port (2)  version (2)  last seen, Unix time (8)  octets (4)  datagram with the template
//! CRC-32C of all before (4)
//! ```
//!
//! All numbers are big endian. The file is replaced whole: written under another name, synced, renamed. One that is damaged,
//! too long, or of another version is not read, and the log says so. A template keeps its age.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, PoisonError};

use tracing::{debug, warn};

use crate::Key;
use crate::netflow::Version;

const MAGIC: &[u8; 8] = b"FPTEMPL1";
/// Octets of an entry without its datagram.
const ENTRY: usize = 16 + 2 + 2 + 8 + 4;
/// Octets of the longest file. What does not fit is not kept.
const MAX_FILE: usize = 16 << 20;

/// A template of a source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// When it came last, in seconds since the Unix epoch.
    pub seen: u64,
    /// A datagram of the source's version with this template alone.
    pub datagram: Vec<u8>,
}

/// The templates of all sources.
pub type Sources = Vec<(Key, Vec<Kept>)>;

/// What was on disk at the start, for the sources that come back.
#[derive(Debug, Default)]
pub struct Loaded(Mutex<HashMap<Key, Vec<Kept>>>);

impl Loaded {
    /// Reads the file.
    pub fn read(path: &Path) -> Self {
        let sources = read(path).unwrap_or_else(|error| {
            warn!(path = %path.display(), %error, "templates of UDP sources not read");
            Vec::new()
        });
        debug!(path = %path.display(), sources = sources.len(), "templates of UDP sources read");
        Self(Mutex::new(sources.into_iter().collect()))
    }

    /// Takes what a source had.
    pub(crate) fn take(&self, key: Key) -> Vec<Kept> {
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.remove(&key).unwrap_or_default()
    }

    /// What nobody has come back for, and was seen at this time or later.
    fn rest(&self, since: u64) -> Sources {
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.values_mut().for_each(|kept| kept.retain(|kept| kept.seen >= since));
        loaded.retain(|_, kept| !kept.is_empty());
        loaded.iter().map(|(key, kept)| (*key, kept.clone())).collect()
    }
}

/// What a socket's thread hands to the writer.
#[derive(Debug)]
pub struct Deposit {
    /// Which socket.
    pub socket: usize,
    /// What its sources have.
    pub sources: Sources,
    /// Templates seen before are too old, in seconds since the Unix epoch.
    pub since: u64,
}

/// A socket's way to the writer.
#[derive(Clone, Debug)]
pub struct Depositor {
    /// Which socket.
    pub socket: usize,
    /// The writer.
    pub to: Sender<Deposit>,
}

/// Writes what all sockets have, each time there is news, until no socket is left.
pub fn write_all(path: &Path, loaded: &Loaded, deposits: &Receiver<Deposit>) {
    let mut sockets = HashMap::new();
    while let Ok(deposit) = deposits.recv() {
        let mut since = deposit.since;
        sockets.insert(deposit.socket, deposit.sources);
        for deposit in deposits.try_iter() {
            since = since.max(deposit.since);
            sockets.insert(deposit.socket, deposit.sources);
        }
        let rest = loaded.rest(since);
        let octets = encode(sockets.values().flatten().chain(&rest));
        if let Err(error) = replace(path, &octets) {
            warn!(path = %path.display(), %error, "templates of UDP sources not written");
        }
    }
}

fn replace(path: &Path, octets: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn encode<'a>(sources: impl Iterator<Item = &'a (Key, Vec<Kept>)>) -> Vec<u8> {
    let (mut out, mut entries) = (MAGIC.to_vec(), 0_u32);
    out.extend([0; 4]);
    let each = sources.flat_map(|(key, kept)| kept.iter().map(move |kept| (key, kept)));
    for ((address, version), Kept { seen, datagram }) in each {
        if out.len() + ENTRY + datagram.len() + 4 > MAX_FILE {
            break;
        }
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        out.extend(ip.octets());
        out.extend(address.port().to_be_bytes());
        out.extend(version.number().to_be_bytes());
        out.extend(seen.to_be_bytes());
        out.extend(u32::try_from(datagram.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(datagram);
        entries += 1;
    }
    out[8..12].copy_from_slice(&entries.to_be_bytes());
    out.extend(crc32c::crc32c(&out).to_be_bytes());
    out
}

fn read(path: &Path) -> io::Result<Sources> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut octets = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut octets)?;
    decode(&octets).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the file is damaged or of another version")
    })
}

/// Returns the entries by source; None unless all is as it was written.
fn decode(octets: &[u8]) -> Option<Sources> {
    let (content, sum) = octets.split_last_chunk()?;
    if octets.len() > MAX_FILE || u32::from_be_bytes(*sum) != crc32c::crc32c(content) {
        return None;
    }
    let mut rest = content.strip_prefix(MAGIC)?;
    let mut entries = u32::from_be_bytes(*take(&mut rest)?);
    let mut sources: HashMap<Key, Vec<Kept>> = HashMap::new();
    while entries > 0 {
        let ip = Ipv6Addr::from(*take::<16>(&mut rest)?).to_canonical();
        let port = u16::from_be_bytes(*take(&mut rest)?);
        let version = Version::from_number(u16::from_be_bytes(*take(&mut rest)?))?;
        let seen = u64::from_be_bytes(*take(&mut rest)?);
        let length = u32::from_be_bytes(*take(&mut rest)?);
        let (datagram, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        let kept = Kept { seen, datagram: datagram.to_vec() };
        sources.entry((SocketAddr::new(ip, port), version)).or_default().push(kept);
        (rest, entries) = (after, entries - 1);
    }
    rest.is_empty().then(|| sources.into_iter().collect())
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        let kept = |seen, octet| Kept { seen, datagram: vec![octet; 20] };
        vec![
            (("192.0.2.1:4000".parse().unwrap(), Version::V9), vec![kept(5, 1), kept(6, 2)]),
            (("[2001:db8::1]:4001".parse().unwrap(), Version::Ipfix), vec![kept(7, 3)]),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        let mut read = decode(&encode(sources().iter())).unwrap();
        read.sort_by_key(|(key, _)| key.0);
        assert_eq!(read, sources());
    }

    #[test]
    fn a_file_with_any_octet_changed_or_missing_is_not_read() {
        let octets = encode(sources().iter());
        for at in 0..octets.len() {
            let mut damaged = octets.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&damaged), None, "octet {at}");
            assert_eq!(decode(&octets[..at]), None, "{at} octets");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let kept = vec![Kept { seen: 1, datagram: vec![7; 60_000] }; 300];
        let key = ("192.0.2.1:4000".parse().unwrap(), Version::V9);
        let octets = encode([(key, kept)].iter());
        assert!(octets.len() <= MAX_FILE && octets.len() > MAX_FILE - 61_000);
        assert!(decode(&octets).is_some());
    }
}
