//! One end's process, seen from the test: started in a namespace, it tells what happens line by line.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use transport::Stack;

use crate::net::Side;

/// What an end is told, and the names of the variables for it.
pub(crate) const ROLE: &str = "INTEROP_ROLE";
pub(crate) const STACK: &str = "INTEROP_STACK";
pub(crate) const LOCAL: &str = "INTEROP_LOCAL";
pub(crate) const PEER: &str = "INTEROP_PEER";
pub(crate) const PORT: &str = "INTEROP_PORT";
pub(crate) const PROFILE: &str = "INTEROP_PROFILE";
/// What a line for the test starts with; others are the test framework's.
pub(crate) const MARK: &str = "@ ";

/// A started end. Dropping it kills the process.
pub(crate) struct End {
    name: String,
    process: Child,
    lines: Receiver<String>,
    /// Every line so far, for the message of a failure.
    seen: Vec<String>,
}

/// What an end is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub(crate) role: &'static str,
    pub(crate) stack: Stack,
    pub(crate) profile: &'static str,
    pub(crate) ipv6: bool,
}

impl End {
    /// Starts an end in the namespace `side`; `peer` is where it connects to, if its role does.
    pub(crate) fn start(side: &Side, spec: Spec, peer: Option<IpAddr>) -> End {
        End::start_at_port(side, spec, peer, 0)
    }

    /// As [`End::start`], with an SCTP port for roles that take one.
    pub(crate) fn start_at_port(side: &Side, spec: Spec, peer: Option<IpAddr>, port: u16) -> End {
        if spec.stack == Stack::Kernel {
            side.open_kernel_encapsulation();
        }
        let mut command = side.command(std::env::current_exe().unwrap());
        command.args(["end_process", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, spec.role).env(STACK, name(spec.stack)).env(PROFILE, spec.profile);
        command.env(PORT, port.to_string());
        command.env(LOCAL, side.address(spec.ipv6).to_string());
        command.env(PEER, peer.map(|peer| peer.to_string()).unwrap_or_default());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            let marked = output.lines().map_while(Result::ok).filter_map(|line| {
                let (_, text) = line.split_once(MARK)?;
                Some(text.to_owned())
            });
            for line in marked {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let name = format!("{} on {}", spec.role, name(spec.stack));
        End { name, process, lines, seen: Vec::new() }
    }

    /// Waits for a line that starts with `prefix`, and returns the rest of it.
    pub(crate) fn expect(&mut self, prefix: &str, limit: Duration) -> String {
        self.find(prefix, limit).unwrap_or_else(|| {
            panic!("{}: no line {prefix:?} within {limit:?}; there were {:#?}", self.name, self.seen)
        })
    }

    /// As [`End::expect`], and none if no such line came.
    pub(crate) fn find(&mut self, prefix: &str, limit: Duration) -> Option<String> {
        let deadline = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return Some(rest.trim().to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// What it told up to the last line waited for.
    pub(crate) fn seen(&self) -> &[String] {
        &self.seen
    }

    /// The SCTP port of this end, once it has connected.
    pub(crate) fn sctp_port(&self) -> u16 {
        let line = self.seen.iter().find_map(|line| line.strip_prefix("connected from "));
        line.and_then(|line| line.split(' ').next()?.parse().ok()).expect("connected")
    }

    /// Sends a signal such as `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// As in the configuration files.
pub(crate) fn name(stack: Stack) -> &'static str {
    match stack {
        Stack::Auto => "auto",
        Stack::Kernel => "kernel",
        Stack::Userland => "userland",
    }
}
