use super::*;
use proptest::prelude::*;

fn keys() -> KeyRing {
    KeyRing::parse("7 000102030405060708090a0b0c0d0e0f").unwrap()
}

fn example() -> Cookie {
    let ledger = "00112233445566778899aabbccddeeff".parse().unwrap();
    let series = Series { ledger, epoch: Epoch(3), domain: 1 };
    let entries = vec![Entry { series, numbers: 0..60 }, Entry { series, numbers: 100..4711 }];
    Cookie { incarnation: 0x0102_0304_0506_0708, state: State::Slow, entries }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// `octets` with the signature made anew, so that only the rule under test is broken.
fn signed(mut octets: Vec<u8>) -> Vec<u8> {
    octets.truncate(octets.len() - MAC_LENGTH);
    octets.extend(keys().sign(&octets));
    octets
}

#[test]
fn the_octets_are_those_of_the_wire_document() {
    let octets = example().encode(&keys());
    let (signed, tag) = octets.split_at(octets.len() - MAC_LENGTH);
    let expected = "46504443 01 01 0007 0102030405060708 \
        00112233445566778899aabbccddeeff 00000003 00000001 0000000000000000 000000000000003c \
        00112233445566778899aabbccddeeff 00000003 00000001 0000000000000064 0000000000001267";
    assert_eq!(hex(signed), expected.replace(' ', ""));
    // openssl dgst -sha256 -mac HMAC -macopt hexkey:000102030405060708090a0b0c0d0e0f
    assert_eq!(hex(tag), "6c9ccf7165e241807fc244b2f5dc39be1ef9d18dfba8a7918c1b67a5292016d9");
    assert_eq!(Cookie::decode(&octets, &keys()), Ok(example()));
}

#[test]
fn a_cookie_without_entries_says_alive() {
    let alive = Cookie { entries: Vec::new(), ..example() };
    let octets = alive.encode(&keys());
    assert_eq!(octets.len(), 48);
    assert_eq!(Cookie::decode(&octets, &keys()), Ok(alive));
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let octets = example().encode(&keys());
    for at in 0..octets.len() {
        let mut flipped = octets.clone();
        flipped[at] ^= 0x10;
        assert!(Cookie::decode(&flipped, &keys()).is_err(), "octet {at}");
    }
}

#[test]
fn each_broken_rule_is_named_with_its_place() {
    let octets = example().encode(&keys());
    let with = |at: usize, value: u8| {
        let mut changed = octets.clone();
        changed[at] = value;
        Cookie::decode(&signed(changed), &keys()).unwrap_err()
    };
    assert_eq!(Cookie::decode(b"<PP-TD1>", &keys()), Err(CookieError::Magic));
    assert_eq!(Cookie::decode(b"FPDC", &keys()), Err(CookieError::Length { length: 4 }));
    assert_eq!(Cookie::decode(&octets[1..], &keys()), Err(CookieError::Magic));
    let cut = &octets[..octets.len() - 1];
    assert_eq!(Cookie::decode(cut, &keys()), Err(CookieError::Length { length: 127 }));
    assert_eq!(with(4, 2), CookieError::Version { version: 2 });
    assert_eq!(with(5, 3), CookieError::State { state: 3 });
    assert_eq!(with(7, 8), CookieError::UnknownKey { id: 8 });
    assert_eq!(with(55, 0), CookieError::Range { offset: 40, base: 0, end: 0 });
    let mut forged = octets.clone();
    forged[127] ^= 1;
    assert_eq!(Cookie::decode(&forged, &keys()), Err(CookieError::Signature { offset: 96 }));
}

#[test]
fn entries_beyond_the_limit_are_left_for_a_later_cookie() {
    let series = example().entries[0].series;
    let entries = (0..MAX_ENTRIES as u64 + 5).map(|at| Entry { series, numbers: 2 * at..2 * at + 1 });
    let cookie = Cookie { entries: entries.collect(), ..example() };
    let octets = cookie.encode(&keys());
    assert!(octets.len() <= MAX_LENGTH);
    assert_eq!(Cookie::decode(&octets, &keys()).unwrap().entries, cookie.entries[..MAX_ENTRIES]);
}

proptest! {
    #[test]
    fn any_octets_decode_to_a_value_or_an_error(mut octets in prop::collection::vec(any::<u8>(), 48..200)) {
        let _ = Cookie::decode(&octets, &keys());
        octets[..8].copy_from_slice(&[b'F', b'P', b'D', b'C', 1, 0, 0, 7]);
        let _ = Cookie::decode(&signed(octets), &keys());
    }
}
