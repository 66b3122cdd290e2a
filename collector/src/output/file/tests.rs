use std::fs::{self, OpenOptions};
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
    /// As in [`Plan`].
    direct: Option<usize>,
    /// Digits of a number in its line.
    width: usize,
    progress: Arc<Progress>,
    ticket: u64,
}

impl World {
    /// Tests files that are written through the page cache, and with lines of which two are a block, past it.
    fn each(test: impl Fn(Self)) {
        test(Self::new(None, 0));
        test(Self::new(Some(buffer::BLOCK), 3_000));
    }

    fn new(direct: Option<usize>, width: usize) -> Self {
        let directory = std::env::temp_dir().join(format!("output-{:016x}", getrandom::u64().unwrap()));
        fs::create_dir(&directory).unwrap();
        Self { directory, direct, width, progress: Progress::new(1), ticket: 0 }
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
        let direct = self.direct;
        let plan = Plan { path: &path, slot, options_records: true, format, limits, direct };
        FileOutput::open(plan, health, metrics).unwrap()
    }

    /// Records of these numbers, each a line.
    fn share(&mut self, numbers: Range<u64>) -> Share {
        let mut rendered = Rendered::default();
        rendered.forms.push(Form::default());
        for number in numbers {
            rendered.begin(RunKind::Identified { series: SERIES, first: number });
            rendered.forms[0].octets.extend_from_slice(self.text(number..number + 1).as_bytes());
        }
        self.ticket += 1;
        Batch::new(rendered, Arc::clone(&self.progress), self.ticket).share(0)
    }

    fn take(&mut self, output: &mut FileOutput, numbers: Range<u64>) {
        output.take(&self.share(numbers));
        output.write().unwrap();
        output.sync().unwrap();
    }

    /// The lines of these numbers.
    fn text(&self, numbers: Range<u64>) -> String {
        numbers.map(|number| format!("{number:0width$}\n", width = self.width)).collect()
    }

    /// All files but the sidecar, in order.
    fn paths(&self) -> Vec<PathBuf> {
        let mut paths: Vec<_> =
            fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().unwrap() != "durable");
        paths.sort();
        paths
    }

    /// Their names and contents.
    fn files(&self) -> Vec<(String, String)> {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        self.paths().iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
    }

    /// The contents of all files, and whether each is finished.
    fn contents(&self) -> Vec<(String, bool)> {
        self.files().into_iter().map(|(name, text)| (text, !name.ends_with(".part"))).collect()
    }

    fn part(&self, at: usize) -> PathBuf {
        self.paths().swap_remove(at)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Files that never end by themselves.
const ROTATING: Option<Limits> =
    Some(Limits { every: None, octets: Some(1 << 30), keep: None, max_octets: None, compress: None });

#[test]
fn what_a_failed_sync_may_have_lost_is_written_again_before_the_next_one() {
    World::each(|mut world| {
        let mut output = world.open(None);
        world.take(&mut output, 0..1);
        assert_eq!(world.progress.synced(), Some(1));

        output.take(&world.share(1..2));
        output.write().unwrap();
        // What a kernel does that could not write its pages, and what a write left that had no room for more.
        fs::write(world.path(), world.text(0..1) + "\0\0\0thi").unwrap();
        output.suspect = true;
        output.take(&world.share(2..3));
        output.sync().unwrap();
        assert_eq!(world.progress.synced(), Some(3));
        assert_eq!(fs::read_to_string(world.path()).unwrap(), world.text(0..3));
        assert_eq!(sidecar::read(&world.path()).unwrap().unwrap().offset, world.text(0..3).len() as u64);
    });
}

#[test]
fn files_take_turns_and_a_finished_one_has_a_name_of_its_own() {
    World::each(|mut world| {
        let mut output = world.open(ROTATING);
        world.take(&mut output, 0..2);
        output.rotate().unwrap();
        world.take(&mut output, 1..4);
        let files = world.files();
        let contents = [(world.text(0..2), true), (world.text(2..4), false)];
        assert_eq!(world.contents(), contents, "a repeat from the finished file is known");
        assert!(files[0].0.starts_with("flows-2") && files[0].0.ends_with("Z.jsonl"), "{files:?}");
        let sidecar = sidecar::read(&world.path()).unwrap().unwrap();
        assert_eq!((sidecar.file, sidecar.offset), (files[1].0.clone(), world.text(2..4).len() as u64));
        output.close().unwrap();
        assert_eq!(world.contents(), [(world.text(0..2), true), (world.text(2..4), true)]);

        // The next collector knows what all of them hold.
        let mut output = world.open(ROTATING);
        world.take(&mut output, 0..5);
        output.close().unwrap();
        assert_eq!(world.contents()[2..], [(world.text(4..5), true)]);
        // One without a record leaves nothing behind.
        world.open(ROTATING).close().unwrap();
        assert_eq!(world.files().len(), 3);
    });
}

#[test]
fn a_stop_between_any_two_steps_of_a_rotation_loses_and_repeats_nothing() {
    for step in 0..4 {
        World::each(|mut world| {
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
            assert_eq!(world.contents(), [(world.text(0..2), true), (String::new(), false)], "step {step}");
            world.take(&mut output, 0..4);
            assert_eq!(world.contents()[1..], [(world.text(2..4), false)], "step {step}");
        });
    }
}

#[test]
fn an_output_that_begins_or_ends_to_rotate_goes_on_without_a_repeat() {
    World::each(|mut world| {
        let mut output = world.open(None);
        world.take(&mut output, 0..2);
        drop(output);
        fs::write(world.path(), world.text(0..2) + "torn").unwrap();
        let mut output = world.open(ROTATING);
        world.take(&mut output, 1..4);
        drop(output);
        fs::write(world.part(0), world.text(2..5) + "tor").unwrap();
        let mut output = world.open(None);
        world.take(&mut output, 0..6);
        let contents = [(world.text(2..4), true), (world.text(0..2) + &world.text(4..6), true)];
        assert_eq!(world.contents(), contents);
    });
}

#[test]
fn what_is_not_durable_is_cut_behind_its_last_line_and_finished() {
    World::each(|mut world| {
        let mut output = world.open_as(None, ROTATING);
        output.take(&world.share(0..2));
        output.write().unwrap();
        let mut file = OpenOptions::new().append(true).open(world.part(0)).unwrap();
        file.write_all(b"torn").unwrap();
        drop(output);
        let output = world.open_as(None, ROTATING);
        assert_eq!(world.contents(), [(world.text(0..2), true), (String::new(), false)]);
        output.run(&queue_of(&[])).unwrap();
        assert_eq!(world.contents(), [(world.text(0..2), true)]);
    });
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
    World::each(|mut world| {
        let two_lines = Some(world.text(0..2).len() as u64);
        let limits = Limits { octets: two_lines, keep: Some(2), ..Limits::default() };
        let output = world.open(Some(limits));
        let keeper = output.rotation.as_ref().unwrap().keeper();
        let shares: Vec<_> = (0..5).map(|at| world.share(2 * at..2 * at + 2)).collect();
        output.run(&queue_of(&shares)).unwrap();
        keeper.tidy().unwrap();
        assert_eq!(world.contents(), [(world.text(6..8), true), (world.text(8..10), true)]);
        assert_eq!(world.progress.synced(), Some(5));

        let names = world.files();
        let mut keeper = keeper;
        keeper.limits.max_octets = two_lines;
        keeper.tidy().unwrap();
        assert_eq!(world.files(), names[1..]);
    });
}

/// Returns what keeps the finished files, without its thread.
fn keeper_of(world: &World, limits: Limits) -> rotation::Keeper {
    let metrics = OutputMetrics::new("flows", 1, false);
    Rotation::start(&world.path(), limits, &metrics).unwrap().keeper()
}

#[test]
fn finished_files_are_compressed_and_what_a_kill_left_is_cleared_away() {
    World::each(|mut world| {
        let limits = Limits { octets: Some(world.text(0..2).len() as u64), ..Limits::default() };
        let shares: Vec<_> = (0..2).map(|at| world.share(2 * at..2 * at + 2)).collect();
        world.open(Some(limits)).run(&queue_of(&shares)).unwrap();
        // Killed while it compressed, and between the last two steps.
        let [first, second] = [world.part(0), world.part(1)].map(|path| path.display().to_string());
        fs::write(format!("{first}.zst.part"), "half").unwrap();
        compression::zstd(Path::new(&second)).unwrap();
        fs::write(&second, "not compressed again").unwrap();
        let limits = Limits { compress: Some(crate::config::Compression::Zstd), ..limits };
        let keeper = keeper_of(&world, limits);
        keeper.compress().unwrap();
        let names: Vec<_> = world.paths().iter().map(|path| path.display().to_string()).collect();
        assert_eq!(names, [first + ".zst", second + ".zst"]);
        for (name, numbers) in names.iter().zip([0..2, 2..4]) {
            let compressed = fs::read(name).unwrap();
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(compressed.as_slice()).unwrap();
            let mut plain = String::new();
            io::Read::read_to_string(&mut decoder, &mut plain).unwrap();
            assert_eq!(plain, world.text(numbers));
        }
        // They count as any other.
        let keeper = keeper_of(&world, Limits { keep: Some(1), ..limits });
        keeper.tidy().unwrap();
        assert_eq!(world.paths().len(), 1);
    });
}

#[test]
fn a_file_ends_with_its_period() {
    World::each(|mut world| {
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
        assert_eq!(world.contents(), [(world.text(0..1), true), (String::new(), false)]);
    });
}
