//! A process that appends is killed: what it had synced is there.

mod world;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use spool::Spool;
use world::{Folder, append, config, read_all, text};

const FOLDER: &str = "SPOOL_FOLDER";

/// The process: appends for ever, and prints how many messages are synced.
#[test]
fn appending_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = std::mem::ManuallyDrop::new(Folder(folder.into()));
    let capacity = u64::MAX;
    let (mut spool, _) = Spool::open(spool::Config { capacity, ..config(&folder) }).unwrap();
    for number in 0.. {
        append(&mut spool, number).unwrap();
        if number % 3 == 0 {
            spool.sync().unwrap();
            println!("\nsynced {}", spool.synced().0);
        }
    }
}

#[test]
fn what_was_synced_before_a_kill_is_there() {
    for lines in [1, 10, 50, 200] {
        let folder = Folder::new();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["appending_process", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut synced = output.filter_map(|line| line.unwrap().strip_prefix("synced ")?.parse::<u64>().ok());
        let told = synced.nth(lines - 1).unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        let (spool, found) = Spool::open(config(&folder)).unwrap();
        assert!(found.messages >= told, "{} of {told}", found.messages);
        assert!(found.damage.iter().all(|damage| damage.torn), "{found:?}");
        for (position, sets) in read_all(&spool) {
            assert_eq!(sets, text(position.0).into_bytes());
        }
    }
}
