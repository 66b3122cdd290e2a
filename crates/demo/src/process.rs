//! The daemons as child processes: this executable again, in another role.
//!
//! A child holds the reading end of a pipe from us and ends when it closes, so that nothing is
//! left behind however the demo ends.
#![expect(clippy::disallowed_methods, reason = "the demo watches other processes and has nothing to wait on")]

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// The first argument that makes this executable a daemon.
pub const ROLE: &str = "--as";

/// Runs a command of the demo's executable in a role until it ends, and returns how it did and what it said.
///
/// Fails if it cannot be started.
pub fn output(command: &mut Command) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // It would end at once without this pipe.
    let stdin = child.stdin.take();
    let output = child.wait_with_output();
    drop(stdin);
    output
}

/// One daemon, with its log in a file of its own.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// The file with its log.
    pub log: PathBuf,
}

impl Daemon {
    /// Starts `program`, the demo's executable, as `role` with the configuration file `config`, in `directory`.
    pub fn start(
        program: &Path,
        role: &str,
        name: &str,
        config: &Path,
        directory: &Path,
    ) -> io::Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let child = Command::new(program)
            .args([ROLE, role, "run", "--config"])
            .arg(config)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(File::create(directory.join(format!("{name}.out")))?)
            .stderr(File::options().create(true).append(true).open(&log)?)
            .spawn()?;
        Ok(Self { child, log })
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with SIGKILL: it can neither flush nor say goodbye.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Returns how it ended, if it did.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends it a signal, for instance `STOP`.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        signal(self.pid(), name)
    }

    /// Asks it to end with SIGTERM and waits; after `patience` it is killed.
    pub fn stop(mut self, patience: Duration) -> io::Result<ExitStatus> {
        self.signal("TERM")?;
        let ended = wait_until(patience, || Ok(self.child.try_wait()?.is_some()))?;
        if ended { self.child.wait() } else { self.kill() }
    }

    /// Returns what it has logged, over all its starts.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns the end of its log, for an error message.
    pub fn last_words(&self) -> String {
        let text = self.logged();
        let lines: Vec<&str> = text.lines().rev().take(8).collect();
        lines.into_iter().rev().map(|line| format!("    {line}\n")).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Sends a process a signal, for instance `STOP`.
pub fn signal(pid: u32, name: &str) -> io::Result<()> {
    // The standard library sends no signal but SIGKILL.
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("kill -{name}: {status}"))) }
}

/// Polls `condition` until it holds or `patience` is over; returns whether it held.
pub fn wait_until(patience: Duration, mut condition: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
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
pub fn pause(length: Duration) {
    std::thread::sleep(length);
}

/// Ends this process when the pipe from the demo closes: the demo is gone.
pub fn end_with_the_demo() {
    std::thread::spawn(|| {
        let mut octet = [0];
        while !matches!(io::stdin().read(&mut octet), Ok(0) | Err(_)) {}
        std::process::exit(1);
    });
}
