//! Observed address, an extension of ours in ASAP_REGISTRATION_RESPONSE: where the registrar sees the association
//! that registered addresses which are not its own, as from behind a network address translator.
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |         Type = 0x8f10         |       Length = 8 or 20        |
//! +-------------------------------+-------------------------------+
//! :                     IPv4 or IPv6 address                      :
//! +---------------------------------------------------------------+
//! ```
//!
//! The type's upper bits are `10`, so an implementation that does not know it skips it silently.

use std::net::IpAddr;

use super::ParameterType;
use crate::wire::UnknownParameter;

/// Returns the parameter, to stand among the skipped ones of a response.
pub(crate) fn parameter(address: IpAddr) -> UnknownParameter {
    let value = match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    UnknownParameter { kind: ParameterType::OBSERVED_ADDRESS, value }
}

/// Returns the address told among the skipped parameters of a response; one of a wrong length is skipped.
pub(crate) fn find(unknown: &[UnknownParameter]) -> Option<IpAddr> {
    let told = unknown.iter().find(|found| found.kind == ParameterType::OBSERVED_ADDRESS)?;
    let v4 = <[u8; 4]>::try_from(&told.value[..]).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(&told.value[..]).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_again_and_a_mapped_one_is_ipv4() {
        for text in ["192.0.2.1", "2001:db8::1"] {
            let address = text.parse().unwrap();
            assert_eq!(find(&[parameter(address)]), Some(address));
        }
        let mapped = parameter("::ffff:192.0.2.1".parse().unwrap());
        let mut out = Vec::new();
        mapped.encode(&mut out).unwrap();
        assert_eq!(out, [0x8f, 0x10, 0, 8, 192, 0, 2, 1]);
    }

    #[test]
    fn what_has_no_addresss_length_is_skipped() {
        let kind = ParameterType::OBSERVED_ADDRESS;
        assert_eq!(find(&[UnknownParameter { kind, value: vec![1; 5] }]), None);
        assert_eq!(find(&[]), None);
    }
}
