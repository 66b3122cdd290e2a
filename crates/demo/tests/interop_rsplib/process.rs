//! A program on a host, with what it says in a file.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::check::wait_for;
use crate::network::{Host, Network};

/// A running program. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    /// What it says, on both channels.
    said: PathBuf,
}

impl Process {
    /// Starts a program on a host. `name` is unique in the network.
    pub(crate) fn start<'a>(
        network: &Network,
        host: &Host,
        name: &str,
        program: &str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let said = network.folder.join(format!("{name}.out"));
        let output = File::options().create(true).append(true).open(&said).unwrap();
        let child = host
            .command(program)
            .args(arguments)
            .current_dir(&network.folder)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn();
        Self { child: child.unwrap(), said }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to it.
    pub(crate) fn tell(&self, line: &str) {
        writeln!(self.child.stdin.as_ref().unwrap(), "{line}").unwrap();
    }

    /// Returns all that it has said.
    pub(crate) fn said(&self) -> String {
        read(&self.said)
    }

    /// Waits until it has said `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        wait_for(&format!("{text:?}"), || self.said(), || self.said().contains(text).then_some(()));
    }

    /// Asks it to end, by SIGINT as from a terminal, and returns all that it has said until then.
    pub(crate) fn stop_saying(mut self) -> String {
        self.end();
        self.said()
    }

    /// Sends a signal, for instance `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(status.unwrap().success());
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, by SIGINT as from a terminal, and waits.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.end()
    }

    fn end(&mut self) -> ExitStatus {
        self.signal("INT");
        let said = self.said.clone();
        wait_for("end", || read(&said), || self.child.try_wait().unwrap())
    }
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = self.said();
            let lines: Vec<&str> = text.lines().collect();
            println!("---- end of {}", self.said.display());
            lines[lines.len().saturating_sub(30)..].iter().for_each(|line| println!("  {line}"));
        }
        self.kill();
    }
}
