//! Datagrams of NetFlow versions 5, 7 and 9.

/// Of every header, in seconds since the Unix epoch.
pub const SECONDS: u32 = 1_795_219_200;
/// Of every header, in milliseconds.
pub const UPTIME: u32 = 600_000;

/// Returns 16-bit words as they go over the wire.
pub fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Returns a datagram of version 9 from a source ID, with these FlowSets.
pub fn v9_from(source_id: u32, sequence: u32, sets: &[Vec<u8>]) -> Vec<u8> {
    let mut datagram = words(&[9, 1]);
    datagram.extend([UPTIME, SECONDS, sequence, source_id].map(u32::to_be_bytes).as_flattened());
    datagram.extend(sets.concat());
    datagram
}

/// Returns a datagram of version 9 from source ID 1.
pub fn v9(sets: &[Vec<u8>]) -> Vec<u8> {
    v9_from(1, 1, sets)
}

/// Returns a FlowSet.
pub fn set(id: u16, content: &[u8]) -> Vec<u8> {
    let mut set = words(&[id, u16::try_from(content.len()).unwrap() + 4]);
    set.extend(content);
    set
}

/// A template set; fields are kind and length.
pub fn template(id: u16, fields: &[(u16, u16)]) -> Vec<u8> {
    let mut record = words(&[id, u16::try_from(fields.len()).unwrap()]);
    fields.iter().for_each(|&(kind, length)| record.extend(words(&[kind, length])));
    set(0, &record)
}

/// Returns a datagram of version 5 with `count` flows, the numbers of which begin with `sequence`, and the header's field of sampling.
pub fn v5(count: u16, sequence: u32, sampling: u16) -> Vec<u8> {
    let mut datagram = words(&[5, count]);
    datagram.extend([UPTIME, SECONDS, 250_000_000, sequence].map(u32::to_be_bytes).as_flattened());
    datagram.extend([1, 2]);
    datagram.extend(sampling.to_be_bytes());
    for flow in 0..count {
        datagram.extend([192, 0, 2, 1, 198, 51, 100, 2, 192, 0, 2, 254]);
        datagram.extend(words(&[3, 4]));
        datagram.extend(
            [5, 6_000 + u32::from(flow), UPTIME - 2_000, UPTIME - 500].map(u32::to_be_bytes).as_flattened(),
        );
        datagram.extend(words(&[1_024, 80]));
        datagram.extend([0, 0x1b, 6, 8]);
        datagram.extend(words(&[64_496, 64_497]));
        datagram.extend([24, 16, 0, 0]);
    }
    datagram
}

/// Returns a datagram of version 7 with one flow.
pub fn v7() -> Vec<u8> {
    let mut datagram = words(&[7, 1]);
    datagram.extend([UPTIME, SECONDS, 0, 9, 0].map(u32::to_be_bytes).as_flattened());
    datagram.extend(&v5(1, 0, 0)[24..]);
    datagram.extend([192, 0, 2, 200]);
    datagram
}
