//! Identifiers of the handlespace: who is meant, in a message and in a log line.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::hashing;

/// Identifies one pool element within its pool (RFC 5354 section 3.14); never zero on the wire.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeId(pub u32);

impl fmt::Display for PeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(self.0, f)
    }
}

/// Identifies one registrar (ENRP server); zero means "not known yet" (RFC 5354 section 3.10).
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RegistrarId(pub u32);

impl RegistrarId {
    /// The home registrar is not known yet.
    pub const UNDETERMINED: RegistrarId = RegistrarId(0);
}

impl fmt::Display for RegistrarId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(self.0, f)
    }
}

/// Writes eight digits, as `{:08x}` does in three times the time: each line of the audit log has some.
fn write_hex(number: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digits = number
        .to_be_bytes()
        .map(|octet| [octet >> 4, octet & 0xf].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    f.write_str(str::from_utf8(digits.as_flattened()).unwrap_or_default())
}

impl fmt::Debug for PeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeId({self})")
    }
}

impl fmt::Debug for RegistrarId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistrarId({self})")
    }
}

/// Names a pool: one or more octets (RFC 5354 section 3.9). Cloning shares the octets.
#[derive(Clone)]
pub struct PoolHandle {
    octets: Arc<[u8]>,
    /// Of the octets, so that a machine that finds an element by its handle again and again reads them once.
    hash: u64,
}

/// Says why octets are no pool handle.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a pool handle has 1 to {} octets, not {length}", PoolHandle::MAX_LENGTH)]
pub struct InvalidPoolHandle {
    /// Number of octets offered.
    pub length: usize,
}

impl PoolHandle {
    /// The longest handle a message can carry, in octets.
    pub const MAX_LENGTH: usize = 65_527;

    /// Returns the handle with these octets; fails when there are none or too many.
    pub fn new(octets: impl AsRef<[u8]>) -> Result<PoolHandle, InvalidPoolHandle> {
        let octets = octets.as_ref();
        if octets.is_empty() || octets.len() > Self::MAX_LENGTH {
            return Err(InvalidPoolHandle { length: octets.len() });
        }
        Ok(PoolHandle { octets: octets.into(), hash: hashing::of_octets(octets) })
    }

    /// Returns the octets of the handle.
    pub fn as_octets(&self) -> &[u8] {
        &self.octets
    }

    /// Returns what `Display` prints, without a copy where nothing is escaped.
    pub fn to_text(&self) -> Cow<'_, str> {
        let plain = |octet: &u8| matches!(octet, b' '..=b'~') && !matches!(octet, b'\\' | b'\'' | b'"');
        match str::from_utf8(&self.octets) {
            Ok(text) if self.octets.iter().all(plain) => text.into(),
            _ => self.octets.escape_ascii().to_string().into(),
        }
    }
}

impl PartialEq for PoolHandle {
    fn eq(&self, other: &PoolHandle) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.octets, &other.octets) || self.octets == other.octets)
    }
}

impl Eq for PoolHandle {}

impl Ord for PoolHandle {
    /// As the octets are.
    fn cmp(&self, other: &PoolHandle) -> Ordering {
        match Arc::ptr_eq(&self.octets, &other.octets) {
            true => Ordering::Equal,
            false => self.octets.cmp(&other.octets),
        }
    }
}

impl PartialOrd for PoolHandle {
    fn partial_cmp(&self, other: &PoolHandle) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for PoolHandle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for PoolHandle {
    /// Prints the handle as text; octets outside printable ASCII are escaped (`\x00`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolHandle({self})")
    }
}

/// Names one association or connection between a machine and its driver.
///
/// The machine chooses it in `Output::Connect`; the driver chooses it for accepted
/// connections. The driver must never use one twice within a machine's life, and must
/// set [`ConnectionId::ACCEPTED`] in those it chooses, so that the two never meet.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// The bit that tells connections named by the driver from those named by the machine.
    pub const ACCEPTED: u64 = 1 << 63;

    /// Returns the name of the `number`th accepted connection.
    pub const fn accepted(number: u64) -> ConnectionId {
        ConnectionId(number | Self::ACCEPTED)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & Self::ACCEPTED == 0 {
            write!(f, "out-{}", self.0)
        } else {
            write!(f, "in-{}", self.0 & !Self::ACCEPTED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_as_eight_hex_digits() {
        assert_eq!(PeId(0xa1).to_string(), "000000a1");
        assert_eq!(RegistrarId(0x0a0b_0c01).to_string(), "0a0b0c01");
    }

    #[test]
    fn a_handle_needs_at_least_one_octet_and_prints_escaped() {
        assert_eq!(PoolHandle::new([]), Err(InvalidPoolHandle { length: 0 }));
        assert_eq!(PoolHandle::new(b"a\n\xff").unwrap().to_string(), "a\\n\\xff");
        assert_eq!(PoolHandle::new("A pool ~").unwrap().to_string(), "A pool ~");
        assert_eq!(PoolHandle::new("it's").unwrap().to_string(), "it\\'s");
    }
}
