use super::*;
use pcap_fixtures::{Frame, PcapNgWriter, PcapWriter};
use proptest::prelude::*;

const TIME: u64 = 1_750_000_000_123_456_789;

fn frame(octets: usize) -> Vec<u8> {
    let (source, destination) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap());
    Frame::udp(source, destination).unwrap().payload(octets).ethernet()
}

/// Timestamp, original length, captured octets, interface, link type.
type Seen = (u64, u32, usize, u32, LinkType);

/// Reads all there is, and the error it ends with.
fn read(octets: &[u8]) -> (Vec<Seen>, Option<CaptureError>) {
    let mut seen = Vec::new();
    let mut file = match PcapFile::new(octets) {
        Ok(file) => file,
        Err(error) => return (seen, Some(error)),
    };
    loop {
        match file.next_packet() {
            Ok(Some(packet)) => seen.push((
                packet.timestamp,
                packet.original_length,
                packet.octets.len(),
                packet.interface,
                packet.link,
            )),
            Ok(None) => return (seen, None),
            Err(error) => {
                assert!(matches!(file.next_packet(), Ok(None)), "an error ends the source");
                return (seen, Some(error));
            }
        }
    }
}

fn error(octets: &[u8]) -> String {
    read(octets).1.expect("a damaged file").to_string()
}

fn three_packets() -> Vec<u8> {
    let mut file = PcapWriter::new(96);
    for number in 0..3 {
        file.packet(TIME + number, &frame(58));
    }
    file.octets
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_resolutions() {
    for big_endian in [false, true] {
        for (nanoseconds, time) in [(false, TIME / 1_000 * 1_000), (true, TIME)] {
            let mut file = PcapWriter::with(big_endian, nanoseconds, 96, 1);
            file.packet(TIME, &frame(10));
            file.packet(TIME, &frame(1000));
            let (seen, end) = read(&file.octets);
            let expected = [(time, 52, 52, 0, LinkType::Ethernet), (time, 1042, 96, 0, LinkType::Ethernet)];
            assert_eq!(seen, expected);
            assert!(end.is_none());
        }
    }
}

#[test]
fn pcapng_is_read_in_both_byte_orders_and_passes_over_unknown_blocks() {
    for big_endian in [false, true] {
        let mut file = PcapNgWriter::new(big_endian);
        file.interface(1, 96, &[(2, b"veth0"), (9, &[9])]);
        file.block(0x0bad_0bad, &[0xff; 40]);
        file.interface(101, 0, &[]);
        file.packet(0, TIME, &frame(1), 1500);
        file.packet(1, TIME / 1_000, &frame(2), 44);
        file.simple_packet(&frame(3), 45);
        file.section(!big_endian);
        file.interface(276, 0, &[]);
        file.packet(0, 7, &frame(4), 46);
        let (seen, end) = read(&file.octets);
        let cut = TIME / 1_000 * 1_000;
        let expected = [
            (TIME, 1500, 43, 1, LinkType::Ethernet),
            (cut, 44, 44, 2, LinkType::RawIp),
            (cut, 45, 45, 1, LinkType::Ethernet),
            (7_000, 46, 46, 1, LinkType::LinuxSll2),
        ];
        assert_eq!(seen, expected);
        assert!(end.is_none(), "{end:?}");
    }
}

#[test]
fn interfaces_have_the_names_and_texts_of_their_blocks() {
    let mut file = PcapNgWriter::new(false);
    file.interface(1, 0, &[(2, b"eth0\0"), (3, "Köln".as_bytes()), (9, &[9])]);
    file.packet(0, TIME, &frame(1), 43);
    file.interface(1, 0, &[(3, &[b'x'; 300])]);
    file.section(true);
    file.interface(1, 0, &[(2, b"lan\xff")]);
    file.packet(0, TIME, &frame(1), 43);
    let mut source = PcapFile::new(&file.octets[..]).unwrap();
    let name = |index, name: &str, description: &str| Interface {
        index,
        name: name.to_owned(),
        description: description.to_owned(),
    };
    assert_eq!(source.take_interfaces(), []);
    assert_eq!(source.next_packet().unwrap().unwrap().interface, 1);
    assert_eq!(source.take_interfaces(), [name(1, "eth0", "Köln")]);
    source.next_packet().unwrap().unwrap();
    let long = "x".repeat(254);
    assert_eq!(source.take_interfaces(), [name(2, "", &long), name(1, "lan\u{fffd}", "")]);
    assert_eq!(source.take_interfaces(), []);
}

#[test]
fn every_resolution_and_offset_of_pcapng_gives_nanoseconds() {
    let seconds = 1_750_000_000u64;
    for (resolution, time, expected) in [
        (0, seconds, seconds * 1_000_000_000),
        (3, seconds * 1_000, seconds * 1_000_000_000),
        (6, 1, 1_000),
        (9, 1, 1),
        (12, 5_000_000, 5_000),
        (127, u64::MAX, 1),
        (0x80 | 10, seconds * 1024 + 512, seconds * 1_000_000_000 + 500_000_000),
        (0x80 | 127, u64::MAX, 0),
        (0, u64::MAX, u64::MAX),
        (0x80, u64::MAX, u64::MAX),
    ] {
        let mut file = PcapNgWriter::new(false);
        file.interface(1, 0, &[(9, &[resolution])]);
        file.packet(0, time, &frame(0), 42);
        let (seen, _) = read(&file.octets);
        assert_eq!(seen[0].0, expected, "if_tsresol {resolution:#x}");
    }
    let mut file = PcapNgWriter::new(true);
    file.interface(1, 0, &[(14, &(-2i64).to_be_bytes())]);
    file.packet(0, 5_000_000, &frame(0), 42);
    assert_eq!(read(&file.octets).0[0].0, 3_000_000_000);
}

#[test]
fn a_block_longer_than_the_window_is_passed_over() {
    let mut file = PcapNgWriter::new(false);
    file.interface(1, 0, &[]);
    file.block(99, &vec![0; 3 << 20]);
    file.packet(0, 1, &frame(0), 42);
    assert_eq!(read(&file.octets).0.len(), 1);
}

#[test]
fn a_file_longer_than_the_window_is_read_octet_by_octet() {
    let frames = || (0..3_000u32).map(|number| number.to_be_bytes().repeat(15 + number as usize % 200));
    let mut pcap = PcapWriter::new(2_000);
    let mut pcapng = PcapNgWriter::new(false);
    pcapng.interface(1, 0, &[]);
    for frame in frames() {
        pcap.packet(0, &frame);
        pcapng.packet(0, 0, &frame, 0);
    }
    for octets in [&pcap.octets, &pcapng.octets] {
        let mut file = PcapFile::new(Halting(octets)).unwrap();
        for frame in frames() {
            assert_eq!(file.next_packet().unwrap().unwrap().octets, frame);
        }
        assert!(file.next_packet().unwrap().is_none());
    }
}

/// Gives a few octets at a time.
struct Halting<'a>(&'a [u8]);

impl Read for Halting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let some = self.0.len() % 1_499;
        let some = if some == 0 { 1_499 } else { some };
        let count = self.0.len().min(buffer.len()).min(some);
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

#[test]
fn an_error_of_the_reader_is_told_with_its_offset() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk on fire"))
        }
    }
    let whole = three_packets();
    let mut file = PcapFile::new(whole[..40].chain(Failing)).unwrap();
    assert_eq!(file.next_packet().unwrap_err().to_string(), "octet 40: cannot read the capture");
}

#[test]
fn a_cut_file_yields_the_packets_before_and_says_where_it_ends() {
    let whole = three_packets();
    for kept in 0..whole.len() {
        let (seen, end) = read(&whole[..kept]);
        assert_eq!(seen.len(), kept.saturating_sub(24) / 112, "{kept} octets");
        assert_eq!(end.is_none(), kept >= 24 && (kept - 24).is_multiple_of(112), "{kept} octets");
    }
    assert_eq!(error(&whole[..24 + 112 + 50]), "octet 136: the file ends after 50 of 112 octets of a packet");
    assert_eq!(error(&whole[..30]), "octet 24: the file ends after 6 of 16 octets of a packet header");
    assert_eq!(error(&whole[..10]), "octet 0: the file ends after 10 of 24 octets of a file header");
    assert_eq!(error(&[]), "octet 0: the file ends after 0 of 4 octets of a file header");
}

#[test]
fn a_cut_pcapng_file_never_ends_without_saying_so_inside_a_block() {
    let mut file = PcapNgWriter::new(false);
    let mut ends = vec![28];
    file.interface(1, 0, &[(9, &[9])]);
    ends.push(file.octets.len());
    file.block(5, &[0; 8]);
    ends.push(file.octets.len());
    file.packet(0, 1, &frame(0), 42);
    ends.push(file.octets.len());
    for kept in 0..=file.octets.len() {
        let (seen, end) = read(&file.octets[..kept]);
        assert_eq!(seen.len(), usize::from(kept == file.octets.len()));
        assert_eq!(end.is_none(), ends.contains(&kept), "{kept} octets: {end:?}");
    }
}

#[test]
fn a_length_that_cannot_be_right_is_refused_with_its_offset() {
    let mut file = three_packets();
    file[24 + 112 + 8..][..4].copy_from_slice(&[0xff; 4]);
    let (seen, end) = read(&file);
    assert_eq!(seen.len(), 1);
    let text = end.unwrap().to_string();
    assert_eq!(text, "octet 144: captured length 4294967295 is not within 0 to 262144");

    let mut file = PcapNgWriter::new(false);
    file.interface(1, 0, &[]);
    let start = file.octets.len();
    file.packet(0, 1, &frame(0), 42);
    let change = |at: usize, field: u32| {
        let mut damaged = file.octets.clone();
        damaged[start + at..][..4].copy_from_slice(&field.to_le_bytes());
        error(&damaged)
    };
    assert_eq!(change(4, 16), "octet 52: block length 16 is not within 32 to 1048576");
    assert_eq!(change(4, 77), "octet 52: block length (a multiple of 4) 77 is not within 32 to 1048576");
    assert_eq!(change(20, 45), "octet 68: captured length 45 is not within 0 to 44");
    assert_eq!(change(72, 80), "octet 120: a block of 76 octets ends with the length 80");
    assert_eq!(change(8, 3), "octet 56: interface 3 was not described, the section has 1");
}

#[test]
fn an_option_longer_than_its_block_is_refused_with_its_offset() {
    let mut file = PcapNgWriter::new(false);
    file.interface(1, 0, &[(2, b"veth0"), (9, &[9])]);
    let at = 28 + 16 + 12 + 2;
    file.octets[at] = 9;
    assert_eq!(error(&file.octets), "octet 58: option length 12 is not within 0 to 8");
}

#[test]
fn what_is_no_capture_or_of_an_unknown_kind_is_named() {
    assert_eq!(error(b"#!/bin/sh"), "octet 0: 0x23212f62 is the mark of neither pcap nor pcapng");
    let usb = PcapWriter::with(false, false, 96, 189).octets;
    assert_eq!(error(&usb), "octet 20: link type 189 is not supported");
    let mut old = three_packets();
    old[4] = 1;
    assert_eq!(error(&old), "octet 4: version 1.4 of the file format is not supported");
    let mut file = PcapNgWriter::new(false);
    file.interface(189, 0, &[]);
    assert!(read(&file.octets).1.is_none(), "an interface without packets does no harm");
    file.packet(0, 1, &frame(0), 42);
    assert_eq!(error(&file.octets), "octet 48: link type 189 is not supported");
}

#[test]
fn a_link_type_with_the_length_of_a_frame_check_sequence_is_still_ethernet() {
    let mut file = PcapWriter::with(false, false, 96, 0x2400_0001);
    file.packet(0, &frame(0));
    assert_eq!(read(&file.octets).0[0].4, LinkType::Ethernet);
}

fn samples() -> Vec<Vec<u8>> {
    let mut ng = PcapNgWriter::new(false);
    ng.interface(1, 96, &[(2, b"veth0"), (9, &[9]), (14, &[0; 8])]);
    ng.packet(0, TIME, &frame(20), 1500);
    ng.simple_packet(&frame(3), 45);
    ng.block(4, &[0; 16]);
    ng.section(true);
    ng.interface(101, 96, &[(9, &[0x8a])]);
    ng.packet(0, TIME, &frame(20), 1500);
    let mut big = PcapWriter::with(true, true, 96, 1);
    big.packet(TIME, &frame(20));
    vec![three_packets(), big.octets, ng.octets]
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic(
        octets in proptest::collection::vec(any::<u8>(), 0..400),
        which in 0usize..3,
    ) {
        let _ = read(&octets);
        let head = &samples()[which][..24];
        let _ = read(&[head, &octets].concat());
    }

    #[test]
    fn a_damaged_file_never_panics_nor_yields_more_octets_than_it_has(
        which in 0usize..3,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut octets = samples()[which].clone();
        for (at, octet) in damage {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        let (seen, _) = read(&octets);
        prop_assert!(seen.iter().map(|packet| packet.2).sum::<usize>() <= octets.len());
    }
}
