//! What a spool keeps, for how long, and what it does when the disk refuses.

mod world;

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;

use spool::{Cursor, Disk, Medium, New, Position, Spool, SpoolError, Writing};
use world::{Folder, TEMPLATES, append, config, read_all, text};

#[test]
fn messages_come_back_in_order_with_the_templates_of_their_process() {
    let folder = Folder::new();
    let (mut spool, found) = Spool::open(config(&folder)).unwrap();
    assert_eq!((found.messages, spool.end()), (0, Position(0)));
    for number in 0..10 {
        assert_eq!(append(&mut spool, number).unwrap(), Position(number));
        spool.sync().unwrap();
    }
    drop(spool);
    let newer = spool::Config { templates: b"newer".to_vec(), ..config(&folder) };
    let (mut spool, found) = Spool::open(newer).unwrap();
    assert_eq!((found.messages, found.flow_records, found.damage), (10, 10, vec![]));
    append(&mut spool, 10).unwrap();
    spool.sync().unwrap();
    let mut cursor = Cursor::default();
    for number in 0..=10 {
        let message = spool.read(&mut cursor).unwrap().unwrap();
        assert_eq!(message.position, Position(number));
        assert_eq!(message.sets, text(number).as_bytes());
        assert_eq!((message.flow_records, message.export_time), (1, 1_000));
        assert_eq!(message.templates, if number < 10 { TEMPLATES } else { b"newer" });
    }
    assert_eq!(spool.read(&mut cursor).unwrap(), None);
}

#[test]
fn messages_have_the_templates_of_when_they_were_appended_or_more() {
    let folder = Folder::new();
    let (mut spool, _) = Spool::open(config(&folder)).unwrap();
    append(&mut spool, 0).unwrap();
    spool.sync().unwrap();
    append(&mut spool, 1).unwrap();
    spool.set_templates(b"templates and more".to_vec()).unwrap();
    append(&mut spool, 2).unwrap();
    spool.sync().unwrap();
    // The same once more is no reason for another segment.
    spool.set_templates(b"templates and more".to_vec()).unwrap();
    append(&mut spool, 3).unwrap();
    spool.sync().unwrap();
    assert!(matches!(spool.set_templates(vec![0; 65_536]), Err(SpoolError::TooLong { octets: 65_536 })));
    let read = |spool: &Spool| {
        let mut cursor = Cursor::default();
        let mut templates = Vec::new();
        while let Some(message) = spool.read(&mut cursor).unwrap() {
            assert_eq!(message.sets, text(message.position.0).as_bytes());
            templates.push(message.templates.len());
        }
        templates
    };
    assert_eq!((read(&spool), spool.segments()), (vec![9, 18, 18, 18], 2));
    drop(spool);
    assert_eq!(read(&Spool::open(config(&folder)).unwrap().0), [9, 18, 18, 18]);
}

#[test]
fn what_is_not_synced_is_not_read_yet() {
    let folder = Folder::new();
    let (mut spool, _) = Spool::open(config(&folder)).unwrap();
    append(&mut spool, 0).unwrap();
    let mut cursor = Cursor::default();
    assert_eq!(spool.read(&mut cursor).unwrap(), None);
    spool.sync().unwrap();
    assert_eq!(spool.synced(), Position(1));
    assert!(spool.read(&mut cursor).unwrap().is_some());
}

#[test]
fn a_cursor_begins_anywhere() {
    let folder = Folder::new();
    let (mut spool, _) = Spool::open(config(&folder)).unwrap();
    for number in 0..200 {
        append(&mut spool, number).unwrap();
        spool.sync().unwrap();
    }
    assert!(spool.segments() > 3);
    for start in [0, 1, 57, 199] {
        let message =
            spool.read(&mut Cursor::at(Position(start))).unwrap().map(|message| message.sets.to_vec());
        assert_eq!(message, Some(text(start).into_bytes()));
    }
    assert_eq!(spool.read(&mut Cursor::at(Position(200))).unwrap(), None);
}

#[test]
fn segments_leave_when_they_are_released_and_nothing_stays_after_a_clean_end() {
    let folder = Folder::new();
    let (mut spool, _) = Spool::open(config(&folder)).unwrap();
    for number in 0..200 {
        append(&mut spool, number).unwrap();
        spool.sync().unwrap();
    }
    let before = spool.segments();
    spool.release(Position(100));
    assert!(spool.segments() < before);
    let first = spool.read(&mut Cursor::default()).unwrap().unwrap().position;
    assert!(first <= Position(100), "what was not released is there: {first:?}");
    spool.release(Position(200));
    assert!(folder.files().len() <= 1, "the one that is written may stay");
    spool.close(Position(200)).unwrap();
    assert!(folder.files().is_empty());
}

#[test]
fn a_full_spool_says_so_and_drops_whole_segments_with_exact_counts() {
    let folder = Folder::new();
    let (mut spool, _) = Spool::open(spool::Config { capacity: 4_000, ..config(&folder) }).unwrap();
    let mut taken = 0;
    let held = loop {
        match append(&mut spool, taken) {
            Ok(_) => taken += 1,
            Err(SpoolError::Full { held, capacity }) => {
                assert_eq!(capacity, 4_000);
                break held;
            }
            Err(error) => panic!("{error}"),
        }
        spool.sync().unwrap();
    };
    assert!(held <= 4_000 && held == spool.octets());
    let dropped = spool.drop_oldest().unwrap();
    assert_eq!(dropped.flow_records, u32::try_from(dropped.end.0).unwrap().into());
    assert_eq!(spool.octets(), held - dropped.octets);
    let numbers: Vec<u64> = read_all(&spool).into_iter().map(|(position, _)| position.0).collect();
    assert_eq!(numbers, (dropped.end.0..taken).collect::<Vec<_>>());
    append(&mut spool, taken).unwrap();
}

#[test]
fn a_message_that_cannot_be_one_is_refused() {
    let folder = Folder::new();
    let (mut spool, _) = Spool::open(spool::Config { capacity: 1 << 20, ..config(&folder) }).unwrap();
    let new = |sets| New { export_time: 0, sets, flow_records: 1, options_records: 0 };
    let octets = vec![7; spool::MAX_SETS + 1];
    assert!(matches!(spool.append(new(&octets)), Err(SpoolError::TooLong { .. })));
    spool.append(new(&octets[1..])).unwrap();
    spool.sync().unwrap();
    assert_eq!(read_all(&spool), [(Position(0), octets[1..].to_vec())]);
}

/// A disk on which the write, sync or creation with a certain number fails, after half of it was done.
#[derive(Clone, Debug)]
struct Failing {
    /// Calls until the one that fails.
    left: Rc<Cell<u32>>,
}

#[derive(Debug)]
struct FailingFile {
    file: File,
    medium: Failing,
}

impl Failing {
    fn call(&self) -> io::Result<()> {
        let left = self.left.get();
        self.left.set(left.wrapping_sub(1));
        if left == 0 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

impl Medium for Failing {
    type File = FailingFile;

    fn create(&self, path: &Path) -> io::Result<FailingFile> {
        let file = Disk.create(path)?;
        self.call()?;
        Ok(FailingFile { file, medium: self.clone() })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.call()?;
        Disk.sync_folder(folder)
    }
}

impl Writing for FailingFile {
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        if let Err(error) = self.medium.call() {
            Writing::write_at(&self.file, &octets[..octets.len() / 2], offset)?;
            return Err(error);
        }
        Writing::write_at(&self.file, octets, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.medium.call()?;
        Writing::sync(&self.file)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.medium.call()?;
        self.file.cut(length)
    }
}

#[test]
fn whichever_call_fails_nothing_is_lost_or_twice_and_the_next_sync_goes_on() {
    for failing in 0..90 {
        let folder = Folder::new();
        let medium = Failing { left: Rc::new(Cell::new(failing)) };
        let (mut spool, _) = Spool::open_on(medium, config(&folder)).unwrap();
        let mut failures = 0;
        for number in 0..40 {
            append(&mut spool, number).unwrap();
            if let Err(error) = spool.sync() {
                failures += 1;
                assert!(matches!(error, SpoolError::Io { .. }), "{error}");
                assert_eq!(spool.synced(), Position(number), "call {failing}");
            }
        }
        spool.sync().unwrap();
        assert_eq!(failures, 1, "call {failing}");
        let expected: Vec<_> = (0..40).map(|number| (Position(number), text(number).into_bytes())).collect();
        assert_eq!(read_all(&spool), expected, "call {failing}");
        drop(spool);
        let (spool, found) = Spool::open(config(&folder)).unwrap();
        assert_eq!((found.messages, found.damage), (40, vec![]), "call {failing}");
        assert_eq!(read_all(&spool), expected, "call {failing}");
    }
}
