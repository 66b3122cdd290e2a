use std::fs;
use std::ops::Range;

use delivery::{Epoch, Ledger, Series};

use super::super::batch::{Batch, Form, Rendered, RunKind};
use super::super::lines::Lines;
use super::super::progress::Progress;
use super::*;

const SERIES: Series = Series { ledger: Ledger([1; 16]), epoch: Epoch(1), domain: 1 };

/// A directory that is gone after the test, and an output in it.
struct World {
    directory: PathBuf,
    progress: Arc<Progress>,
    ticket: u64,
}

impl World {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("output-{:016x}", getrandom::u64().unwrap()));
        fs::create_dir(&directory).unwrap();
        Self { directory, progress: Progress::new(1), ticket: 0 }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("flows.jsonl")
    }

    fn open(&self, limits: Option<Limits>) -> FileOutput {
        self.open_as(Some(0), limits)
    }

    fn open_as(&self, slot: Option<usize>, limits: Option<Limits>) -> FileOutput {
        let path = self.path();
        let health = Arc::new(Health::new("flows", path.clone(), true));
        let metrics = OutputMetrics::new("flows", 1, false);
        let format = Box::new(Lines::json());
        let plan = Plan { path: &path, slot, options_records: true, format, limits };
        FileOutput::open(plan, health, metrics).unwrap()
    }

    /// Records of these numbers, each a line.
    fn share(&mut self, numbers: Range<u64>) -> Share {
        let mut rendered = Rendered::default();
        rendered.forms.push(Form::default());
        for number in numbers {
            rendered.begin(RunKind::Identified { series: SERIES, first: number });
            rendered.forms[0].octets.extend_from_slice(format!("{number}\n").as_bytes());
        }
        self.ticket += 1;
        Batch::new(rendered, Arc::clone(&self.progress), self.ticket).share(0)
    }

    fn take(&mut self, output: &mut FileOutput, numbers: Range<u64>) {
        output.take(&self.share(numbers));
        output.write().unwrap();
        output.sync().unwrap();
    }

    /// Names and contents of all files but the sidecar, in order.
    fn files(&self) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(&self.directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().unwrap() != "durable")
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    /// The contents of all files, and whether each is finished.
    fn contents(&self) -> Vec<(String, bool)> {
        self.files().into_iter().map(|(name, text)| (text, !name.ends_with(".part"))).collect()
    }

    fn part(&self, at: usize) -> PathBuf {
        self.directory.join(&self.files()[at].0)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn text(numbers: Range<u64>) -> String {
    numbers.map(|number| format!("{number}\n")).collect()
}

/// Files that never end by themselves.
const ROTATING: Option<Limits> =
    Some(Limits { every: None, octets: Some(1 << 30), keep: None, max_octets: None });

#[test]
fn what_a_failed_sync_may_have_lost_is_written_again_before_the_next_one() {
    let mut world = World::new();
    let mut output = world.open(None);
    world.take(&mut output, 0..1);
    assert_eq!(world.progress.synced(), Some(1));

    output.take(&world.share(1..2));
    output.write().unwrap();
    // What a kernel does that could not write its pages, and what a write left that had no room for more.
    fs::write(world.path(), "0\n\0\0\0thi").unwrap();
    output.suspect = true;
    output.take(&world.share(2..3));
    output.sync().unwrap();
    assert_eq!(world.progress.synced(), Some(3));
    assert_eq!(fs::read_to_string(world.path()).unwrap(), text(0..3));
    assert_eq!(sidecar::read(&world.path()).unwrap().unwrap().offset, 6);
}

#[test]
fn files_take_turns_and_a_finished_one_has_a_name_of_its_own() {
    let mut world = World::new();
    let mut output = world.open(ROTATING);
    world.take(&mut output, 0..2);
    output.rotate().unwrap();
    world.take(&mut output, 1..4);
    let files = world.files();
    let contents = [(text(0..2), true), (text(2..4), false)];
    assert_eq!(world.contents(), contents, "a repeat from the finished file is known");
    assert!(files[0].0.starts_with("flows-2") && files[0].0.ends_with("Z.jsonl"), "{files:?}");
    let sidecar = sidecar::read(&world.path()).unwrap().unwrap();
    assert_eq!((sidecar.file, sidecar.offset), (files[1].0.clone(), 4));
    output.close().unwrap();
    assert_eq!(world.contents(), [(text(0..2), true), (text(2..4), true)]);

    // The next collector knows what all of them hold.
    let mut output = world.open(ROTATING);
    world.take(&mut output, 0..5);
    output.close().unwrap();
    assert_eq!(world.contents()[2..], [(text(4..5), true)]);
    // One without a record leaves nothing behind.
    world.open(ROTATING).close().unwrap();
    assert_eq!(world.files().len(), 3);
}

#[test]
fn a_stop_between_any_two_steps_of_a_rotation_loses_and_repeats_nothing() {
    for step in 0..4 {
        let mut world = World::new();
        let mut output = world.open(ROTATING);
        world.take(&mut output, 0..2);
        let first = world.part(0);
        let names = output.rotation.as_ref().unwrap().names.clone();
        match step {
            // Killed while it wrote what was not synced.
            0 => {
                output.take(&world.share(2..3));
                output.write().unwrap();
                let mut file = OpenOptions::new().append(true).open(&first).unwrap();
                file.write_all(b"torn").unwrap();
            }
            // The next file is made.
            1 => drop(parts::create(&names).unwrap()),
            // The sidecar tells of it.
            2 | 3 => {
                let (next, _) = parts::create(&names).unwrap();
                sidecar::write(&world.path(), &next, 0, output.intake.journal.holdings()).unwrap();
                if step == 3 {
                    parts::finish(&first).unwrap();
                }
            }
            _ => {}
        }
        drop(output);
        let mut output = world.open(ROTATING);
        assert_eq!(world.contents(), [(text(0..2), true), (String::new(), false)], "step {step}");
        world.take(&mut output, 0..4);
        assert_eq!(world.contents()[1..], [(text(2..4), false)], "step {step}");
    }
}

#[test]
fn an_output_that_begins_or_ends_to_rotate_goes_on_without_a_repeat() {
    let mut world = World::new();
    let mut output = world.open(None);
    world.take(&mut output, 0..2);
    drop(output);
    fs::write(world.path(), "0\n1\ntorn").unwrap();
    let mut output = world.open(ROTATING);
    world.take(&mut output, 1..4);
    drop(output);
    fs::write(world.part(0), "2\n3\n4\ntor").unwrap();
    let mut output = world.open(None);
    world.take(&mut output, 0..6);
    let contents = [(text(2..4), true), (text(0..2) + &text(4..6), true)];
    assert_eq!(world.contents(), contents);
}

#[test]
fn what_is_not_durable_is_cut_behind_its_last_line_and_finished() {
    let mut world = World::new();
    let mut output = world.open_as(None, ROTATING);
    output.take(&world.share(0..2));
    output.write().unwrap();
    let mut file = OpenOptions::new().append(true).open(world.part(0)).unwrap();
    file.write_all(b"torn").unwrap();
    drop(output);
    let output = world.open_as(None, ROTATING);
    assert_eq!(world.contents(), [(text(0..2), true), (String::new(), false)]);
    output.run(&queue_of(&[])).unwrap();
    assert_eq!(world.contents(), [(text(0..2), true)]);
}

/// A queue with these shares that is closed behind them.
fn queue_of(shares: &[Share]) -> Backlog {
    let metrics = OutputMetrics::new("flows", 1, false);
    let (queue, backlog) = super::super::queue::bounded(1 << 20, &metrics);
    for share in shares {
        assert!(queue.try_push(share.clone()).unwrap().is_none());
    }
    backlog
}

#[test]
fn a_file_ends_at_its_size_and_the_oldest_make_room() {
    let mut world = World::new();
    let limits = Limits { octets: Some(4), keep: Some(2), ..Limits::default() };
    let output = world.open(Some(limits));
    let keeper = output.rotation.as_ref().unwrap().keeper();
    let shares: Vec<_> = (0..5).map(|at| world.share(2 * at..2 * at + 2)).collect();
    output.run(&queue_of(&shares)).unwrap();
    keeper.tidy().unwrap();
    assert_eq!(world.contents(), [(text(6..8), true), (text(8..10), true)]);
    assert_eq!(world.progress.synced(), Some(5));

    let names = world.files();
    let mut keeper = keeper;
    keeper.limits.max_octets = Some(4);
    keeper.tidy().unwrap();
    assert_eq!(world.files(), names[1..]);
}

#[test]
fn a_file_ends_with_its_period() {
    let mut world = World::new();
    let limits = Limits { every: Some(Duration::from_secs(3600)), ..Limits::default() };
    let mut output = world.open(Some(limits));
    let until = output.until_work();
    assert_eq!(until, IDLE, "a file without a record does not end");
    world.take(&mut output, 0..1);
    assert!(!output.is_over() && output.until_work() <= Duration::from_secs(3600));
    output.rotation.as_mut().unwrap().backdate();
    assert!(output.is_over());
    output.rotate().unwrap();
    assert!(!output.is_over());
    assert_eq!(world.contents(), [(text(0..1), true), (String::new(), false)]);
}
