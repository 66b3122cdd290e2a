use super::*;
use pcap_fixtures::{DEMO, PcapWriter, fixture};

const SECOND: u64 = 1_000_000_000;

fn timestamps(options: LoopOptions, limit: usize) -> Vec<u64> {
    let mut source = Looped::open(fixture(DEMO), options).unwrap();
    let mut times = Vec::new();
    while times.len() < limit
        && let Some(packet) = source.next_packet().unwrap()
    {
        times.push(packet.timestamp);
    }
    times
}

#[test]
fn one_round_is_the_file_as_it_is() {
    let mut file = PcapFile::open(&fixture(DEMO)).unwrap();
    let mut plain = Vec::new();
    while let Some(packet) = file.next_packet().unwrap() {
        plain.push(packet.timestamp);
    }
    assert_eq!(timestamps(LoopOptions::default(), usize::MAX), plain);
}

#[test]
fn each_round_follows_the_former_after_the_gap() {
    let once = timestamps(LoopOptions::default(), usize::MAX);
    let gap = Duration::from_millis(250);
    let thrice = timestamps(LoopOptions { loops: Some(3), gap, start: None }, usize::MAX);
    assert_eq!(thrice.len(), 3 * once.len());
    assert!(thrice.is_sorted());
    let period = once[once.len() - 1] - once[0] + 250_000_000;
    for (round, times) in (0u64..).zip(thrice.chunks(once.len())) {
        assert!(times.iter().zip(&once).all(|(time, first)| *time == first + round * period));
    }
}

#[test]
fn the_first_packet_is_put_at_the_time_asked_for() {
    let start = 2_000_000_000 * SECOND;
    let once = timestamps(LoopOptions::default(), usize::MAX);
    let shifted = timestamps(LoopOptions { start: Some(start), ..LoopOptions::default() }, usize::MAX);
    assert_eq!(shifted[0], start);
    assert_eq!(shifted[100] - shifted[0], once[100] - once[0]);
}

#[test]
fn a_replay_for_ever_goes_on() {
    let options = LoopOptions { loops: None, ..LoopOptions::default() };
    assert_eq!(timestamps(options, 10_000).len(), 10_000);
}

/// A file that is gone when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, octets: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("flowpool-{}-{name}.pcap", std::process::id()));
        std::fs::write(&path, octets).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn packets(times: &[u64]) -> PcapWriter {
    let mut file = PcapWriter::new(96);
    times.iter().for_each(|second| file.packet(second * SECOND, &[0; 60]));
    file
}

#[test]
fn a_damaged_file_is_read_once_up_to_its_damage() {
    let mut file = packets(&[1, 1]);
    file.octets[24 + 76 + 8..][..4].fill(0xff);
    let scratch = Scratch::new("damaged", &file.octets);
    let options = LoopOptions { loops: None, ..LoopOptions::default() };
    let mut source = Looped::open(&scratch.0, options).unwrap();
    assert!(source.next_packet().unwrap().is_some());
    assert_eq!(source.next_packet().unwrap_err().offset(), 24 + 76 + 8);
    assert!(source.next_packet().unwrap().is_none());
}

#[test]
fn files_follow_each_other_and_one_cut_within_a_packet_is_read_up_to_there() {
    let mut cut = packets(&[1, 2, 3]);
    cut.octets.truncate(cut.octets.len() - 1);
    let files = [
        Scratch::new("order-1", &cut.octets),
        Scratch::new("order-2", &packets(&[]).octets),
        Scratch::new("order-3", &packets(&[5]).octets),
    ];
    let first = files[0].0.to_str().unwrap();
    let pattern = first.replace("order-1", "order-?");
    for names in [files.each_ref().map(|file| file.0.to_str().unwrap()).to_vec(), vec![pattern.as_str()]] {
        let captures = Captures::find(names).unwrap();
        let (size, octets) = (captures.size(), captures.octets());
        let options = LoopOptions { loops: Some(2), gap: Duration::from_secs(1), start: None };
        let mut source = Looped::all(captures, options).unwrap();
        let mut times = Vec::new();
        while let Some(packet) = source.next_packet().unwrap() {
            times.push(packet.timestamp / SECOND);
        }
        assert_eq!(times, [1, 2, 5, 6, 7, 10]);
        assert_eq!((source.truncated(), source.rounds()), (2, 2));
        assert_eq!(octets.load(std::sync::atomic::Ordering::Relaxed), 2 * size.unwrap());
    }
}

#[test]
fn a_pattern_without_files_is_told() {
    let error = Captures::find(["/nowhere/*.pcap"]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let folder = std::env::temp_dir().join("no-such-name-*.pcapng");
    let error = Captures::find([folder.to_str().unwrap()]).unwrap_err();
    assert!(error.to_string().contains("no file is named like"), "{error}");
}

#[test]
fn a_file_without_packets_ends_even_a_replay_for_ever() {
    let scratch = Scratch::new("empty", &PcapWriter::new(96).octets);
    let options = LoopOptions { loops: None, ..LoopOptions::default() };
    assert!(Looped::open(&scratch.0, options).unwrap().next_packet().unwrap().is_none());
}
