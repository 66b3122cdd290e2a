//! The daemons as child processes: this executable again, in another role.
//!
//! A child holds the reading end of a pipe from us and ends when it closes, so that nothing is
//! left behind however the demo ends.
#![expect(clippy::disallowed_methods, reason = "the demo watches other processes and has nothing to wait on")]

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The first argument that makes this executable a daemon.
pub(crate) const ROLE: &str = "--as";

/// One daemon, with its log in a file of its own.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    pub(crate) log: PathBuf,
}

impl Daemon {
    /// Starts `role` with the configuration file `config`, in `directory`.
    pub(crate) fn start(role: &str, name: &str, config: &Path, directory: &Path) -> io::Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let child = Command::new(std::env::current_exe()?)
            .args([ROLE, role, "run", "--config"])
            .arg(config)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(File::create(directory.join(format!("{name}.out")))?)
            .stderr(File::options().create(true).append(true).open(&log)?)
            .spawn()?;
        Ok(Self { child, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with SIGKILL: it can neither flush nor say goodbye.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Returns how it ended, if it did.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks it to end with SIGTERM and waits; after `patience` it is killed.
    pub(crate) fn stop(mut self, patience: Duration) -> io::Result<ExitStatus> {
        // The standard library sends no signal but SIGKILL.
        Command::new("sh").args(["-c", &format!("kill -TERM {}", self.pid())]).status()?;
        let ended = wait_until(patience, || Ok(self.child.try_wait()?.is_some()))?;
        if ended { self.child.wait() } else { self.kill() }
    }

    /// Returns the end of its log, for an error message.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(8).collect();
        lines.into_iter().rev().map(|line| format!("    {line}\n")).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Polls `condition` until it holds or `patience` is over; returns whether it held.
pub(crate) fn wait_until(
    patience: Duration,
    mut condition: impl FnMut() -> io::Result<bool>,
) -> io::Result<bool> {
    let begin = Instant::now();
    while !condition()? {
        if begin.elapsed() > patience {
            return Ok(false);
        }
        pause(Duration::from_millis(10));
    }
    Ok(true)
}

/// Lets the daemons work.
pub(crate) fn pause(length: Duration) {
    std::thread::sleep(length);
}

/// Ends this process when the pipe from the demo closes: the demo is gone.
pub(crate) fn end_with_the_demo() {
    std::thread::spawn(|| {
        let mut octet = [0];
        while !matches!(io::stdin().read(&mut octet), Ok(0) | Err(_)) {}
        std::process::exit(1);
    });
}
