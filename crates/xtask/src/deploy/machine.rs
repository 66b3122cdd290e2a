//! The packages under a real systemd: installed, started, reloaded, broken and purged in a virtual machine whose process 1 it is;
//! and the tutorial there.

use std::path::Path;
use std::time::Duration;

use super::{debian, failed, needs};
use crate::steps::{Outcome, Steps, Unpassed};
use crate::vm::{self, Init, Options};

/// Boot included. A quiet machine of two processors needs some three minutes, a busy one ten.
const LIMIT: Duration = Duration::from_secs(900);

/// The programs that the scripts call, beside those of the machine, with their packages.
const PROGRAMS: [(&str, &str); 4] =
    [("systemctl", "systemd"), ("openssl", "openssl"), ("curl", "curl"), ("prometheus", "prometheus")];

pub(super) fn steps(steps: &mut Steps) {
    steps.step("Debian packages in a machine with systemd", |root| run(root, None));
    steps.step("the tutorial, in a machine with systemd", |root| run(root, Some("tutorial")));
}

/// Runs a part of deploy/debian/machine.d, or those that belong together.
fn run(root: &Path, part: Option<&str>) -> Outcome {
    needs("dpkg", "dpkg")?;
    let packages = debian::folder(root)?;
    vm::prepare(&PROGRAMS).map_err(|error| Unpassed::Skipped(error.to_string()))?;
    let script = root.join("deploy/debian/machine").display().to_string();
    let command: Vec<String> = [script, packages].into_iter().chain(part.map(str::to_owned)).collect();
    println!("$ cargo xtask vm --init systemd -- {}", command.join(" "));
    let options = Options { init: Init::Systemd, limit: LIMIT, ..Options::default() };
    match vm::run_command(&options, &command).map_err(|error| failed("the machine", error))? {
        0 => Ok(()),
        vm::TIMED_OUT => Err(Unpassed::Failed(format!("not done within {} s", LIMIT.as_secs()))),
        status => Err(Unpassed::Failed(format!("exit status {status}"))),
    }
}
