//! The two tiers with a real spool: full memory, full disk, broken disk, killed exporter, another version.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ::spool::{Disk, Medium, New, Spool, Writing};

use super::*;
use crate::export::templates::session_record_id;
use crate::spooling::Worker;

const INTERVAL: Duration = Duration::from_millis(100);

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let number = getrandom::u64().unwrap();
        Self(std::env::temp_dir().join(format!("flowpool-tiers-{number:016x}")))
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The disk, unless it is broken.
#[derive(Clone, Default)]
struct Fragile(Rc<Cell<bool>>);

struct FragileFile(File, Fragile);

impl Fragile {
    fn check(&self) -> io::Result<()> {
        if self.0.get() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Medium for Fragile {
    type File = FragileFile;

    fn create(&self, path: &Path) -> io::Result<FragileFile> {
        self.check()?;
        Ok(FragileFile(Disk.create(path)?, self.clone()))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Disk.sync_folder(folder)
    }
}

impl Writing for FragileFile {
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.1.check()?;
        self.0.write_at(octets, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.0.cut(length)
    }
}

#[derive(Clone, Copy)]
struct Options {
    durability: Durability,
    capacity: u64,
    epoch: u32,
    per_stream: bool,
}

const DEFAULT: Options =
    Options { durability: Durability::Memory, capacity: 1 << 30, epoch: 2, per_stream: false };

/// An exporter with a spool, and the collector it delivers to.
struct Exporter {
    failover: Failover,
    worker: Worker<Fragile>,
    broken: Fragile,
    per_stream: bool,
    now: Instant,
    metered: u64,
    /// (epoch, number) of what the collector has.
    received: BTreeSet<(u32, u64)>,
}

impl Exporter {
    fn open(folder: &Folder, options: Options) -> Self {
        let Options { durability, capacity, epoch, per_stream } = options;
        let broken = Fragile::default();
        let (spool, found) = Spool::open_on(broken.clone(), settings(folder, capacity)).unwrap();
        let (messages, flow_records) = (found.messages, found.flow_records);
        let spool_config = SpoolConfig { durability, capacity, interval: INTERVAL, messages, flow_records };
        let config = config(Classes::single(Kind::Reliable));
        let config = FailoverConfig { spool: Some(spool_config), per_stream, ..config };
        let incarnation = ExporterState { ledger: SERIES.ledger, epoch: Epoch(epoch) };
        Self {
            failover: Failover::new(config, incarnation, 1),
            worker: Worker::new(spool),
            broken,
            per_stream,
            now: start(),
            metered: 0,
            received: BTreeSet::new(),
        }
    }

    /// Meters flows whose source ports are their numbers.
    fn meter(&mut self, flows: u64) {
        let encoder = FlowEncoder::new();
        let mut record = Vec::new();
        for number in self.metered..self.metered + flows {
            record.clear();
            let template = encoder.encode(&flow(port(number)), &mut record);
            self.failover.push(ClassIndex::default(), template, &record).unwrap();
            if number.is_multiple_of(500) {
                self.turn();
            }
        }
        self.metered += flows;
        self.sync();
    }

    /// Lets the spool do what it is asked for.
    fn turn(&mut self) {
        for _ in 0..1_000 {
            let mut idle = true;
            while let Some(command) = self.failover.poll_spool(self.now, EXPORT_TIME) {
                idle = false;
                self.worker.handle(command);
            }
            self.worker.sync();
            while let Some(event) = self.worker.poll_event() {
                idle = false;
                self.failover.handle_spool(event);
            }
            self.check();
            if idle {
                return;
            }
        }
        panic!("the spool never rests");
    }

    fn sync(&mut self) {
        self.turn();
        self.now += INTERVAL;
        self.turn();
    }

    fn check(&self) {
        let books = self.failover.books();
        let gone = books.covered + books.dropped() + books.waiting;
        assert_eq!(books.metered + books.recovered, gone, "{books:?} {:?}", self.failover.spool_counts());
    }

    /// Delivers everything to a collector that has it on disk at once.
    fn deliver(&mut self) {
        connect(&mut self.failover, true);
        let mut session = CollectingSession::new(CollectingConfig::default());
        let mut flows = Flows { series: None, received: &mut self.received };
        let key = KeyRing::parse(KEY).unwrap();
        let mut quiet_turns = 0;
        for _ in 0..100_000 {
            self.now += Duration::from_millis(50);
            let mut quiet = true;
            while let Some(message) = self.failover.poll_transmit(self.now, EXPORT_TIME) {
                quiet = false;
                if message.ppid == Ppid::IPFIX {
                    session.decode(message.stream, &message.octets, &mut flows).unwrap();
                }
            }
            let entries = ranges(flows.received)
                .into_iter()
                .map(|(epoch, numbers)| Entry { series: Series { epoch: Epoch(epoch), ..SERIES }, numbers });
            let entries = entries.collect();
            let cookie = Cookie { incarnation: 1, state: State::Ok, entries }.encode(&key);
            self.failover.handle_cookie(self.now, &cookie).unwrap();
            while let Some(command) = self.failover.poll_spool(self.now, EXPORT_TIME) {
                quiet = false;
                self.worker.handle(command);
            }
            self.worker.sync();
            while let Some(event) = self.worker.poll_event() {
                quiet = false;
                self.failover.handle_spool(event);
            }
            quiet_turns = if quiet { quiet_turns + 1 } else { 0 };
            if quiet_turns == 3 {
                assert_eq!(session.per_stream() == ipfix::PerStream::Enabled, self.per_stream);
                return;
            }
        }
        panic!("never delivered: {:?}", self.failover.books());
    }

    /// Ends in good order; returns the last books.
    fn close(mut self) -> Books {
        let until = self.failover.spill().unwrap();
        while let Some(command) = self.failover.poll_spool(self.now, EXPORT_TIME) {
            self.worker.handle(command);
        }
        while let Some(event) = self.worker.poll_event() {
            self.failover.handle_spool(event);
        }
        self.worker.close(until).unwrap();
        self.failover.books()
    }
}

fn settings(folder: &Folder, capacity: u64) -> ::spool::Config {
    let templates = crate::spooling::templates(FlowEncoder::new().templates());
    let segment = (capacity / 8).min(1 << 20);
    ::spool::Config { folder: folder.0.clone(), capacity, segment, domain: SERIES.domain, templates }
}

fn port(number: u64) -> u16 {
    u16::try_from(number % 65_536).unwrap()
}

/// Numbers what a collector gets, and compares it.
struct Flows<'a> {
    series: Option<(u32, u64)>,
    received: &'a mut BTreeSet<(u32, u64)>,
}

impl Visitor for Flows<'_> {
    fn record(&mut self, record: &Record<'_>) {
        let fields = record.fields().map(|field| (field.pen(), field.id(), field.octets()));
        if let Ok(session) = SessionRecord::from_fields(record.domain, fields) {
            self.series = Some((session.series.epoch.0, session.first_number));
            return;
        }
        if record.template.is_options() {
            self.series = None;
            return;
        }
        let (epoch, number) = self.series.unwrap();
        let octets = record.find(0, 7).unwrap().octets();
        assert_eq!(octets, port(number).to_be_bytes(), "number {number} of epoch {epoch}");
        assert!(self.received.insert((epoch, number)), "number {number} twice");
        self.series = Some((epoch, number + 1));
    }
}

/// Returns the numbers of each epoch that follow each other.
fn ranges(received: &BTreeSet<(u32, u64)>) -> Vec<(u32, Range<u64>)> {
    let mut ranges: Vec<(u32, Range<u64>)> = Vec::new();
    for &(epoch, number) in received {
        match ranges.last_mut() {
            Some((last, numbers)) if *last == epoch && numbers.end == number => numbers.end += 1,
            _ => ranges.push((epoch, number..number + 1)),
        }
    }
    ranges
}

#[test]
fn what_memory_has_no_room_for_waits_on_disk_and_comes_back_in_order() {
    let folder = Folder::new();
    let mut exporter = Exporter::open(&folder, DEFAULT);
    exporter.meter(30_000);
    let (books, spool) = (exporter.failover.books(), exporter.failover.spool_counts());
    assert_eq!((books.waiting, books.dropped()), (30_000, 0));
    assert!(books.waiting_octets < 1 << 20 && spool.waiting > 15_000, "{books:?} {spool:?}");
    assert!(folder.files().len() > 1, "{:?}", folder.files());
    exporter.deliver();
    assert_eq!(ranges(&exporter.received), [(2, 0..30_000)]);
    assert!(folder.files().len() <= 1, "what a collector has leaves the disk: {:?}", folder.files());
    assert!(exporter.failover.spool_counts().octets < 1 << 20);
    assert_eq!(exporter.failover.books().covered, 30_000);
    // With memory to spare the disk is left alone.
    let spooled = exporter.failover.spool_counts().spooled;
    exporter.meter(100);
    assert_eq!(exporter.failover.spool_counts().spooled, spooled);
    exporter.deliver();
    exporter.close();
    assert!(folder.files().is_empty(), "{:?}", folder.files());
}

#[test]
fn with_durability_spool_nothing_is_sent_before_it_is_on_disk() {
    let folder = Folder::new();
    let mut exporter = Exporter::open(&folder, Options { durability: Durability::Spool, ..DEFAULT });
    connect(&mut exporter.failover, true);
    meter(&mut exporter.failover, 3);
    exporter.failover.finish();
    let (_, seen) = collect(&mut exporter.failover, exporter.now);
    assert!(!seen.contains(&"0".to_owned()), "{seen:?}");
    exporter.sync();
    let (_, seen) = collect(&mut exporter.failover, exporter.now);
    assert_eq!(seen, ["templates", "session 0<0", "templates", "0", "1", "2"]);
    assert_eq!(exporter.failover.spool_counts().synced_numbers, 3);
}

#[test]
fn what_was_on_disk_before_a_kill_is_delivered_by_the_next_start_under_its_identity() {
    let folder = Folder::new();
    let options = Options { durability: Durability::Spool, ..DEFAULT };
    let mut exporter = Exporter::open(&folder, options);
    exporter.meter(20_000);
    assert_eq!(exporter.failover.spool_counts().synced_numbers, 20_000);
    // Without a last sync these are gone with the process.
    meter(&mut exporter.failover, 5);
    drop(exporter);
    let mut exporter = Exporter::open(&folder, Options { epoch: 3, ..options });
    assert_eq!(exporter.failover.books().recovered, 20_000);
    exporter.meter(10);
    exporter.deliver();
    assert_eq!(ranges(&exporter.received), [(2, 0..20_000), (3, 0..10)]);
    let books = exporter.failover.books();
    assert_eq!((books.covered, books.waiting), (20_010, 0));
    exporter.close();
    assert!(folder.files().is_empty());
}

#[test]
fn what_no_collector_has_at_the_end_is_on_disk_for_the_next_start() {
    let folder = Folder::new();
    let mut exporter = Exporter::open(&folder, DEFAULT);
    exporter.meter(100);
    exporter.deliver();
    exporter.failover.handle_lost(exporter.now);
    exporter.meter(50);
    assert_eq!(exporter.failover.spool_counts().spooled, 0);
    exporter.close();
    let mut exporter = Exporter::open(&folder, Options { epoch: 3, ..DEFAULT });
    exporter.deliver();
    assert_eq!(ranges(&exporter.received), [(2, 100..150)]);
    exporter.close();
    assert!(folder.files().is_empty());
}

#[test]
fn at_the_end_what_is_in_memory_joins_what_is_on_disk_and_replaces_none_of_it() {
    let folder = Folder::new();
    let mut exporter = Exporter::open(&folder, DEFAULT);
    exporter.meter(30_000);
    let on_disk = exporter.failover.spool_counts().waiting;
    assert!((10_000..25_000).contains(&on_disk), "both have some: {on_disk}");
    exporter.close();
    let mut exporter = Exporter::open(&folder, Options { epoch: 3, ..DEFAULT });
    assert_eq!(exporter.failover.books().recovered, 30_000);
    exporter.deliver();
    assert_eq!(ranges(&exporter.received), [(2, 0..30_000)]);
}

#[test]
fn at_the_end_what_memory_holds_is_on_disk_though_it_had_made_room_there() {
    let folder = Folder::new();
    let options = Options { durability: Durability::Spool, capacity: 2 << 20, ..DEFAULT };
    let mut exporter = Exporter::open(&folder, options);
    exporter.meter(60_000);
    let in_memory = exporter.failover.books().waiting - exporter.failover.spool_counts().waiting;
    assert!(in_memory > 5_000, "{in_memory}");
    let books = exporter.close();
    let mut exporter = Exporter::open(&folder, Options { epoch: 3, ..options });
    exporter.deliver();
    let received = ranges(&exporter.received);
    assert_eq!(received[0], (2, 0..in_memory), "{received:?}");
    assert_eq!((exporter.received.len() as u64, 60_000), (books.waiting, books.waiting + books.dropped()));
}

#[test]
fn a_full_spool_loses_its_oldest_records_and_counts_them() {
    let folder = Folder::new();
    let mut exporter = Exporter::open(&folder, Options { capacity: 2 << 20, ..DEFAULT });
    exporter.meter(60_000);
    let books = exporter.failover.books();
    let dropped = books.dropped[DropReason::SpoolFull as usize];
    assert!(dropped > 10_000 && books.dropped() == dropped, "{books:?}");
    assert!(exporter.failover.spool_counts().octets <= 2 << 20);
    exporter.deliver();
    // What memory had is older than what the disk had.
    let [(2, first), (2, rest)] = &ranges(&exporter.received)[..] else { panic!("in more than two pieces") };
    assert_eq!((first.start, rest.start - first.end, rest.end), (0, dropped, 60_000));
}

#[test]
fn a_broken_disk_costs_nothing_as_long_as_memory_has_room_and_is_used_again_when_it_works() {
    let folder = Folder::new();
    let mut exporter = Exporter::open(&folder, Options { durability: Durability::Spool, ..DEFAULT });
    exporter.meter(1_000);
    exporter.broken.0.set(true);
    exporter.meter(1_000);
    assert!(exporter.failover.spool_failing().is_some_and(|error| error.contains("no storage space")));
    exporter.deliver();
    assert_eq!(exporter.received.len(), 2_000, "the export goes on");
    exporter.failover.handle_lost(exporter.now);
    exporter.meter(30_000);
    let dropped = exporter.failover.books().dropped[DropReason::BufferFull as usize];
    assert!(dropped > 10_000, "memory alone");
    exporter.broken.0.set(false);
    exporter.meter(30_000);
    assert_eq!(exporter.failover.spool_failing(), None);
    assert_eq!(exporter.failover.books().dropped(), dropped, "from here on the disk takes the rest");
    exporter.deliver();
    assert_eq!(exporter.received.len() as u64 + dropped, 62_000);
}

#[test]
fn records_that_cannot_be_read_back_are_counted() {
    let folder = Folder::new();
    let mut exporter = Exporter::open(&folder, DEFAULT);
    exporter.meter(30_000);
    let file = folder.files().swap_remove(0);
    let mut octets = fs::read(&file).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    fs::write(&file, octets).unwrap();
    exporter.deliver();
    let lost = exporter.failover.books().dropped[DropReason::Unreadable as usize];
    assert!(lost > 0 && lost < 1_000, "one message: {lost}");
    assert_eq!(exporter.received.len() as u64 + lost, 30_000);
    exporter.check();
}

#[test]
fn records_of_another_version_are_sent_with_its_templates() {
    let folder = Folder::new();
    keep_records_of_another_version(&folder);
    let mut exporter = Exporter::open(&folder, Options { epoch: 3, ..DEFAULT });
    exporter.deliver();
    assert_eq!(ranges(&exporter.received), [(2, 7..9)]);
    assert_eq!(exporter.failover.books().covered, 2);
}

#[test]
fn records_of_a_template_learned_on_the_way_are_read_by_the_next_start() {
    let folder = Folder::new();
    let mut exporter = Exporter::open(&folder, DEFAULT);
    exporter.meter(3);
    let mut templates = FlowEncoder::new().templates().clone();
    let fields = vec![ipfix::FieldSpecifier::iana(7, 2), ipfix::FieldSpecifier::iana(4, 1)];
    let index = templates.add_unnamed(0, fields).unwrap();
    exporter.failover.follow_templates(&templates);
    for number in 3..5 {
        exporter.failover.push(ClassIndex::default(), index, &[0, number, 6]).unwrap();
    }
    exporter.sync();
    exporter.close();
    let mut exporter = Exporter::open(&folder, Options { epoch: 3, ..DEFAULT });
    exporter.deliver();
    assert_eq!(ranges(&exporter.received), [(2, 0..5)]);
    assert_eq!(exporter.failover.books().covered, 5);
}

/// RFC 6526 section 4.2: wherever in the session they are defined. What tells it ends the numbering, which goes on behind it.
#[test]
fn templates_of_another_version_have_their_reliability_told_as_well() {
    let folder = Folder::new();
    keep_records_of_another_version(&folder);
    let mut exporter = Exporter::open(&folder, Options { epoch: 3, per_stream: true, ..DEFAULT });
    exporter.meter(1);
    exporter.deliver();
    assert_eq!(ranges(&exporter.received), [(2, 7..9), (3, 0..1)]);
    assert_eq!(exporter.failover.books().covered, 3);
}

/// Two flow records of a template that this version does not have.
fn keep_records_of_another_version(folder: &Folder) {
    let template = ipfix::TemplateRecord {
        id: 300,
        scope_fields: 0,
        // sourceTransportPort, protocolIdentifier
        fields: vec![ipfix::FieldSpecifier::iana(7, 2), ipfix::FieldSpecifier::iana(4, 1)],
    };
    let mut templates = crate::spooling::templates(FlowEncoder::new().templates());
    let mut set = vec![0, 2, 0, 16];
    template.encode(&mut set);
    templates.extend(set);
    let settings = ::spool::Config { templates, ..settings(folder, 1 << 30) };
    let (mut spool, _) = Spool::open(settings).unwrap();
    let mut sets = session_record_id(Classes::RELIABLE_STREAM).to_be_bytes().to_vec();
    sets.extend([0, 44]);
    let record = SessionRecord { series: SERIES, first_number: 7, possible_duplicate_until: 0 };
    record.encode(&mut sets);
    sets.extend([1, 44, 0, 10, 0, 7, 6, 0, 8, 17]);
    spool.append(New { export_time: EXPORT_TIME, sets: &sets, flow_records: 2, options_records: 1 }).unwrap();
    spool.close(::spool::Position(0)).unwrap();
}
