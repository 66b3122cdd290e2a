//! The collector of the model: intake, one durable output on a disk that survives, a process that does not.

use std::collections::BTreeMap;
use std::time::Instant;

use delivery::books::Limits;
use delivery::cookie::State;
use delivery::{
    Books, Cookie, CookieSchedule, Epoch, Holdings, Identity, Intake, Journal, KeyRing, Ledger,
    SessionRecord, Sidecar, Verdict,
};
use simnet::Random;

/// An IPFIX message of one stream, as far as the model needs it.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) domain: u32,
    pub(crate) sequence: u32,
    pub(crate) records: Vec<Item>,
}

#[derive(Clone, Debug)]
pub(crate) enum Item {
    SessionRecord(Vec<u8>),
    Flow(Vec<u8>),
}

pub(crate) const STREAM: u16 = 1;

/// Flow records of the model say who they are, so that the collector's arithmetic can be checked.
pub(crate) fn flow(epoch: u32, domain: u32, number: u64) -> Vec<u8> {
    [&epoch.to_be_bytes()[..], &domain.to_be_bytes(), &number.to_be_bytes()].concat()
}

fn identity_of(ledger: Ledger, octets: &[u8]) -> Identity {
    let word = |at: usize| u32::from_be_bytes(octets[at..at + 4].try_into().unwrap());
    let number = u64::from_be_bytes(octets[8..].try_into().unwrap());
    Identity { ledger, epoch: Epoch(word(0)), domain: word(4), number }
}

/// What survives a kill: the data file (a record is its unit of length) and the sidecar.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    file: Vec<Identity>,
    synced: usize,
    sidecar: Vec<u8>,
}

impl Disk {
    fn sidecar(&self) -> Sidecar {
        if self.sidecar.is_empty() { Sidecar::default() } else { Sidecar::decode(&self.sidecar).unwrap() }
    }

    /// What a reader finds after a start has cut the file to its sidecar.
    pub(crate) fn records(&self) -> &[Identity] {
        &self.file[..usize::try_from(self.sidecar().offset).unwrap()]
    }
}

#[derive(Debug)]
struct Process {
    incarnation: u64,
    books: Books,
    journal: Journal,
    associations: BTreeMap<u64, (Intake, CookieSchedule)>,
}

#[derive(Debug, Default)]
pub(crate) struct Collector {
    pub(crate) disk: Disk,
    process: Option<Process>,
}

/// A sync under way.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    pub(crate) batch: Holdings,
    pub(crate) offset: usize,
}

impl Collector {
    pub(crate) fn start(&mut self, incarnation: u64) {
        let Sidecar { offset, holdings, .. } = self.disk.sidecar();
        let offset = usize::try_from(offset).unwrap();
        assert!(offset <= self.disk.synced, "a sidecar speaks of synced octets only");
        self.disk.file.truncate(offset);
        self.disk.synced = offset;
        let mut found = Holdings::new();
        assert!(self.disk.file.iter().all(|&identity| found.insert(identity)), "a file has no repeats");
        assert_eq!(found, holdings, "the sidecar tells what is in the file");
        let books = Books::new(Limits::default(), vec![holdings.clone()]);
        let journal = Journal::new(holdings);
        self.process = Some(Process { incarnation, books, journal, associations: BTreeMap::new() });
    }

    /// Ends the process; some of what was written and not synced is on disk, by chance. Returns how much is not.
    pub(crate) fn kill(&mut self, random: &mut Random) -> u64 {
        self.process = None;
        let unsynced = (self.disk.file.len() - self.disk.synced) as u64;
        let kept = random.below(unsynced + 1);
        self.disk.file.truncate(self.disk.synced + usize::try_from(kept).unwrap());
        unsynced - kept
    }

    pub(crate) fn incarnation(&self) -> Option<u64> {
        self.process.as_ref().map(|process| process.incarnation)
    }

    pub(crate) fn handle_message(
        &mut self,
        now: Instant,
        association: u64,
        ledger: Ledger,
        message: &Message,
    ) {
        let Process { books, journal, associations, .. } = self.process.as_mut().unwrap();
        let (intake, schedule) = associations.entry(association).or_default();
        let mut sequence = message.sequence;
        for item in &message.records {
            match item {
                Item::SessionRecord(octets) => {
                    let record = SessionRecord::decode(message.domain, octets).unwrap();
                    intake.session_record(STREAM, sequence, &record).unwrap();
                    schedule.handle_session_record(now);
                }
                Item::Flow(octets) => {
                    let expected = identity_of(ledger, octets);
                    match intake.record(books, STREAM, message.domain, sequence).unwrap() {
                        Verdict::New(identity) => {
                            assert_eq!(identity, expected);
                            assert!(journal.note(identity));
                            self.disk.file.push(identity);
                        }
                        Verdict::Duplicate(identity) => {
                            assert_eq!(identity, expected);
                            schedule.handle_news(intake.is_uncovered(books));
                        }
                        Verdict::Plain => panic!("a flow record without identity"),
                    }
                    schedule.handle_received();
                }
            }
            sequence = sequence.wrapping_add(1);
        }
    }

    pub(crate) fn handle_lost(&mut self, association: u64) {
        if let Some(process) = &mut self.process {
            process.associations.remove(&association);
        }
    }

    pub(crate) fn begin_sync(&mut self) -> Option<Sync> {
        let process = self.process.as_mut()?;
        let sync = Sync { batch: process.journal.take_pending(), offset: self.disk.file.len() };
        (!sync.batch.is_empty()).then_some(sync)
    }

    pub(crate) fn data_synced(&mut self, sync: &Sync) {
        self.disk.synced = sync.offset;
    }

    pub(crate) fn sidecar_synced(&mut self, sync: &Sync) {
        let Some(Process { books, journal, associations, .. }) = &mut self.process else { return };
        let holdings = journal.durable_with(&sync.batch);
        self.disk.sidecar = Sidecar { file: "flows".into(), offset: sync.offset as u64, holdings }.encode();
        journal.commit(&sync.batch);
        books.commit(0, &sync.batch);
        for (intake, schedule) in associations.values_mut() {
            schedule.handle_news(intake.is_uncovered(books));
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let associations = self.process.as_ref()?.associations.values();
        associations.filter_map(|(_, schedule)| schedule.poll_timeout()).min()
    }

    /// The cookies due, by association.
    pub(crate) fn cookies(&mut self, now: Instant, keys: &KeyRing) -> Vec<(u64, Vec<u8>)> {
        let mut cookies = Vec::new();
        let Some(Process { incarnation, books, associations, .. }) = &mut self.process else {
            return cookies;
        };
        for (&association, (intake, schedule)) in associations.iter_mut() {
            if !schedule.is_due(now) {
                continue;
            }
            let entries = intake.cookie_entries(books);
            let mut told = Holdings::new();
            entries.iter().for_each(|entry| told.insert_range(entry.series, entry.numbers.clone()));
            assert!(told.is_within(&self.disk.sidecar().holdings), "a cookie speaks of what is on disk only");
            let cookie = Cookie { incarnation: *incarnation, state: State::Ok, entries };
            cookies.push((association, cookie.encode(keys)));
            schedule.handle_sent(now, intake.is_uncovered(books));
        }
        cookies
    }
}
