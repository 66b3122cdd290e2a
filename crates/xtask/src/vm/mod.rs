//! `cargo xtask vm`: runs one command in a small virtual machine whose Linux kernel has SCTP.
//!
//! Debian's kernel is booted by QEMU with software emulation, so this works in containers and needs no root.
//! The host's files are the machine's files, through 9p and read-only; an overlay in memory takes what is written.
//! `packages` says what must be installed, `image` fetches the kernel and packs an initramfs, `machine` runs it.

mod image;
mod machine;
mod options;
mod packages;

use std::fmt;
use std::process::ExitCode;

pub(crate) use options::{Init, Options};

const USAGE: &str = "\
Runs a command in a virtual machine whose Linux kernel has SCTP.

Usage: cargo xtask vm [OPTIONS] -- COMMAND [ARGUMENT...]

COMMAND runs as root in the current folder and sees this machine's files. What it writes is gone afterwards, except
under /out. Its output comes on stdout, its exit status is that of this command. 124: the time limit passed.
125: the machine could not be prepared or started. There is no network but what COMMAND makes inside: loopback is up,
and the modules sctp, sch_netem and veth are loaded. Build programs outside; inside, everything is some 10 times slower.

Options:
  --cpus N       Processors of the machine [default: 2]
  --mem MB       Its memory, which also holds what is written [default: 2048]
  --timeout S    Stop after so many seconds, boot included [default: 300]
  --out DIR      Folder that is /out in the machine [default: none]
  --init NAME    Process 1: shell (the command and nothing else), or systemd (up to basic.target, with journald and
                 udevd; the command is a service of it) [default: shell]

It needs the Debian packages qemu-system-x86, busybox-static, kmod and iproute2, and systemd for --init systemd. The
kernel package is downloaded once (apt-get download, 70 MB) to $XDG_CACHE_HOME/flowpool/vm, or ~/.cache/flowpool/vm.

Example:
  cargo xtask vm --timeout 60 -- sh -c 'uname -r; grep SCTP /proc/net/protocols'
";

/// Exit status when the time limit passed, as of timeout(1).
pub(crate) const TIMED_OUT: u8 = 124;
/// Exit status when the command was not run.
pub(crate) const UNPREPARED: u8 = 125;

/// Why a command did not run in the machine.
#[derive(Debug)]
pub(crate) enum Error {
    /// These Debian packages are not installed.
    Missing(Vec<&'static str>),
    /// The kernel could not be had; the text says why.
    Kernel(String),
    /// The machine did not start.
    Start(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing(packages) => {
                write!(f, "not installed (Debian packages): {}", packages.join(" "))
            }
            Error::Kernel(reason) => write!(f, "no kernel for the machine: {reason}"),
            Error::Start(reason) => write!(f, "the machine did not start: {reason}"),
        }
    }
}

/// `cargo xtask vm ARGUMENTS`.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if arguments.first().is_some_and(|first| first == "--help" || first == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let (options, command) = match options::parse(arguments) {
        Ok(parsed) => parsed,
        Err(reason) => {
            eprint!("cargo xtask vm: {reason}\n\n{USAGE}");
            return ExitCode::from(UNPREPARED);
        }
    };
    match run_command(&options, &command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("cargo xtask vm: {error}");
            ExitCode::from(UNPREPARED)
        }
    }
}

/// Runs a command in the machine and returns its exit status, or [`TIMED_OUT`].
pub(crate) fn run_command(options: &Options, command: &[String]) -> Result<u8, Error> {
    let init: &[_] = match options.init {
        Init::Shell => &[],
        Init::Systemd => &[("systemctl", "systemd")],
    };
    packages::check(init)?;
    let kernel = image::kernel()?;
    machine::run(&kernel, options, command)
}

/// Looks for what the machine needs, and for further programs with the packages that bring them, and fetches the
/// kernel, so that a run does not fail for want of it.
pub(crate) fn prepare(programs: &[(&'static str, &'static str)]) -> Result<(), Error> {
    packages::check(programs)?;
    image::kernel().map(|_| ())
}
