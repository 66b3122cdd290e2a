//! The collector of the model: sessions, one durable output on a disk that survives, a process that does not.
//!
//! The machines are those of the real collector, and they meet as there: a session numbers its records and queues them as a
//! batch; the writer takes batches, writes, syncs, replaces the sidecar and tells the sessions. While it syncs, batches wait.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Instant;

use delivery::cookie::State;
use delivery::journal::{Fresh, SyncPoint};
use delivery::{Holdings, Identity, Journal, KeyRing, Numberings, Series, SessionAcks, Sidecar};
use simnet::Random;

use crate::exporter::SERIES;
use crate::message::{Item, Reader, STREAM, identity};

/// What survives a kill: the data file (a record is its unit of length), the sidecar and the dead letters.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    file: Vec<Identity>,
    synced: usize,
    sidecar: Vec<u8>,
    /// What the messages in the dead-letter file carried.
    pub(crate) letters: Holdings,
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

struct Process {
    incarnation: u64,
    sessions: BTreeMap<u64, Session>,
    queue: VecDeque<Batch>,
    journal: Journal<u64>,
    /// The writer syncs.
    sync_point: Option<SyncPoint<u64>>,
    state: State,
}

struct Session {
    reader: Reader,
    numberings: Numberings,
    acks: SessionAcks,
    /// Last batch synced, last letter written.
    synced: u64,
    letter: u64,
}

/// Runs of consecutive numbers.
type Runs = Vec<(Series, Range<u64>)>;

/// Records on their way to the writer.
#[derive(Debug)]
struct Batch {
    session: u64,
    ticket: u64,
    runs: Runs,
}

/// Octets of a message on their way to the dead-letter file.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    session: u64,
    number: u64,
    records: Vec<Identity>,
}

#[derive(Default)]
pub(crate) struct Collector {
    pub(crate) disk: Disk,
    process: Option<Process>,
}

/// A sync under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sync {
    /// Records it makes durable.
    pub(crate) records: usize,
    offset: usize,
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
        let (sessions, queue) = (BTreeMap::new(), VecDeque::new());
        let journal = Journal::new(holdings);
        let (sync_point, state) = (None, State::Ok);
        self.process = Some(Process { incarnation, sessions, queue, journal, sync_point, state });
    }

    /// Ends the process; some of what was written and not synced is on disk, by chance. Returns how much is not.
    pub(crate) fn kill(&mut self, random: &mut Random) -> u64 {
        let queued = self.process.take().map_or(0, |process| process.queued());
        let unsynced = (self.disk.file.len() - self.disk.synced) as u64;
        let kept = random.below(unsynced + 1);
        self.disk.file.truncate(self.disk.synced + usize::try_from(kept).unwrap());
        unsynced - kept + queued
    }

    pub(crate) fn incarnation(&self) -> Option<u64> {
        self.process.as_ref().map(|process| process.incarnation)
    }

    /// Takes an IPFIX message; returns the letter to the dead-letter file if it is malformed, as `spoiled` says: then these
    /// records are in it.
    pub(crate) fn handle_message(
        &mut self,
        now: Instant,
        association: u64,
        (stream, octets): (u16, &[u8]),
        spoiled: Option<Vec<Identity>>,
    ) -> Option<Letter> {
        let process = self.process.as_mut().unwrap();
        let state = process.state;
        let session = process.sessions.entry(association).or_insert_with(|| Session::new(state));
        if let Some(records) = spoiled {
            session.numberings.refuse_stream(stream);
            let number = session.acks.wait_for([], false, true).letter;
            return Some(Letter { session: association, number, records });
        }
        let (runs, refused) = session.number(now, stream, octets);
        if !runs.is_empty() {
            let numbers = runs.iter().cloned().chain(refused);
            let ticket = session.acks.wait_for(numbers, true, false).batch;
            process.queue.push_back(Batch { session: association, ticket, runs });
            process.write(&mut self.disk);
        }
        None
    }

    /// Tells all exporters how the collector is. One that drains does so until it ends.
    pub(crate) fn set_state(&mut self, state: State) {
        if let Some(process) = self.process.as_mut().filter(|process| process.state != State::Draining) {
            process.state = state;
            process.sessions.values_mut().for_each(|session| session.acks.set_state(state));
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.state == State::Draining)
    }

    pub(crate) fn letter_written(&mut self, letter: &Letter) {
        for &identity in &letter.records {
            self.disk.letters.insert(identity);
        }
        if let Some(session) =
            self.process.as_mut().and_then(|process| process.sessions.get_mut(&letter.session))
        {
            session.letter = letter.number;
            session.collect();
        }
    }

    pub(crate) fn handle_lost(&mut self, association: u64) {
        if let Some(process) = &mut self.process {
            process.sessions.remove(&association);
        }
    }

    pub(crate) fn begin_sync(&mut self) -> Option<Sync> {
        let process = self.process.as_mut()?;
        if !process.journal.has_news() {
            return None;
        }
        process.sync_point = Some(process.journal.sync_point());
        let offset = self.disk.file.len();
        Some(Sync { records: offset - self.disk.synced, offset })
    }

    pub(crate) fn data_synced(&mut self, sync: Sync) {
        self.disk.synced = sync.offset;
    }

    pub(crate) fn sidecar_synced(&mut self, sync: Sync) {
        let Some(process) = &mut self.process else { return };
        let holdings = process.journal.holdings().clone();
        self.disk.sidecar = Sidecar { file: "flows".into(), offset: sync.offset as u64, holdings }.encode();
        for (session, ticket) in process.sync_point.take().unwrap().tickets() {
            if let Some(session) = process.sessions.get_mut(&session) {
                session.synced = ticket;
                session.collect();
            }
        }
        process.write(&mut self.disk);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let sessions = self.process.as_ref()?.sessions.values();
        sessions.filter_map(|session| session.acks.poll_timeout()).min()
    }

    /// The cookies due, by association.
    pub(crate) fn cookies(&mut self, now: Instant, keys: &KeyRing) -> Vec<(u64, Vec<u8>)> {
        let mut cookies = Vec::new();
        let Some(Process { incarnation, sessions, .. }) = &mut self.process else { return cookies };
        for (&association, session) in sessions {
            let Some(cookie) = session.acks.cookie(now, *incarnation) else { continue };
            let mut on_disk = self.disk.sidecar().holdings;
            on_disk.union(&self.disk.letters);
            let is_on_disk = |(series, numbers): (Series, Range<u64>)| {
                on_disk.ranges(series).is_some_and(|held| held.covers(numbers))
            };
            let told = cookie.entries.iter().map(|entry| (entry.series, entry.numbers.clone()));
            assert!(told.into_iter().all(is_on_disk), "a cookie speaks of what is on disk only");
            cookies.push((association, cookie.encode(keys)));
        }
        cookies
    }
}

impl Process {
    /// Writes what is queued, unless the writer syncs.
    fn write(&mut self, disk: &mut Disk) {
        while self.sync_point.is_none()
            && let Some(Batch { session, ticket, runs }) = self.queue.pop_front()
        {
            for (series, numbers) in runs {
                let fresh = match self.journal.take(series, numbers.clone()) {
                    Fresh::All => vec![numbers],
                    Fresh::Only(fresh) => fresh,
                };
                disk.file.extend(fresh.into_iter().flatten().map(|number| series.identity(number)));
            }
            self.journal.note(session, ticket);
        }
    }

    fn queued(&self) -> u64 {
        let runs = self.queue.iter().flat_map(|batch| &batch.runs);
        runs.map(|(_, numbers)| numbers.end - numbers.start).sum()
    }
}

impl Session {
    fn new(state: State) -> Self {
        let mut acks = SessionAcks::new();
        acks.set_state(state);
        Self { reader: Reader::new(), numberings: Numberings::new(), acks, synced: 0, letter: 0 }
    }

    /// Returns the numbers of the message's records, and those refused before it.
    fn number(&mut self, now: Instant, stream: u16, octets: &[u8]) -> (Runs, Runs) {
        let (mut runs, mut refused) = (Runs::new(), Runs::new());
        self.numberings.select(stream, SERIES.domain);
        for item in self.reader.read(stream, octets) {
            match item {
                Item::Session { sequence, record } => {
                    let Series { ledger, domain, .. } = record.series;
                    assert_eq!((stream, ledger, domain), (STREAM, SERIES.ledger, SERIES.domain));
                    self.numberings.session_record(sequence, &record).unwrap();
                    self.acks.ask(now);
                }
                Item::Flow { sequence, name } => {
                    let numbered = self.numberings.record(sequence).expect("a flow record has an identity");
                    let (series, number) = (numbered.series, numbered.number);
                    assert_eq!(series.identity(number), identity(name), "numbered as the exporter did");
                    refused.extend(numbered.refused.map(|range| (series, range)));
                    match runs.last_mut().filter(|(of, numbers)| *of == series && numbers.end == number) {
                        Some((_, numbers)) => numbers.end += 1,
                        None => runs.push((series, number..number + 1)),
                    }
                }
                Item::Lossy | Item::Other => {}
            }
        }
        (runs, refused)
    }

    fn collect(&mut self) {
        self.acks.collect(Some(self.synced), self.letter);
    }
}
