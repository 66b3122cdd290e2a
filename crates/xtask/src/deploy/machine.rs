//! The packages under a real systemd: installed, started, reloaded, broken and purged in a virtual machine whose process 1 it is.

use std::path::Path;
use std::time::Duration;

use super::{debian, failed, needs};
use crate::steps::{Outcome, Unpassed};
use crate::vm::{self, Init, Options};

/// Boot included. On a quiet machine of two processors it takes some three minutes.
const LIMIT: Duration = Duration::from_secs(900);

/// The programs that the script calls, beside those of the machine, with their packages.
const PROGRAMS: [(&str, &str); 4] =
    [("systemctl", "systemd"), ("openssl", "openssl"), ("curl", "curl"), ("prometheus", "prometheus")];

pub(super) fn check(root: &Path) -> Outcome {
    needs("dpkg", "dpkg")?;
    let packages = debian::folder(root)?;
    vm::prepare(&PROGRAMS).map_err(|error| Unpassed::Skipped(error.to_string()))?;
    let script = root.join("deploy/debian/machine").display().to_string();
    println!("$ cargo xtask vm --init systemd -- {script} {packages}");
    let options = Options { init: Init::Systemd, limit: LIMIT, ..Options::default() };
    match vm::run_command(&options, &[script, packages]).map_err(|error| failed("the machine", error))? {
        0 => Ok(()),
        vm::TIMED_OUT => Err(Unpassed::Failed(format!("not done within {} s", LIMIT.as_secs()))),
        status => Err(Unpassed::Failed(format!("exit status {status}"))),
    }
}
