//! deploy/systemd: units that systemd finds nothing wrong with, and that leave a daemon next to nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{failed, needs, read, scratch, target_directory, verdict};
use crate::ci::DAEMONS;
use crate::steps::Outcome;

/// The highest exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE: &str = "--threshold=15";

pub(super) fn check(root: &Path) -> Outcome {
    needs("systemd-analyze", "systemd")?;
    let (folder, binaries) = (scratch(root, "units")?, target_directory(root)?.join("release"));
    let mut wrong = Vec::new();
    // The drop-in is verified with its unit; the exposure is that without it.
    let drop_ins = folder.join("ipfix-exporter.service.d");
    let capture = root.join("deploy/systemd/ipfix-exporter-capture.conf");
    fs::create_dir(&drop_ins)
        .and_then(|()| fs::copy(&capture, drop_ins.join("capture.conf")))
        .map_err(|error| failed(capture.display(), error))?;
    for daemon in DAEMONS {
        let unit = format!("deploy/systemd/{}.service", daemon.binary);
        let security = ["security", "--offline=yes", "--no-pager", EXPOSURE];
        match said(root, "systemd-analyze", &security, &unit) {
            Ok(report) => println!("{}", report.lines().last().unwrap_or_default()),
            Err(report) => wrong.push(report),
        }
        // As it is, but for the program, which is not installed here.
        let text = read(root, &unit)?;
        let installed = format!("/usr/bin/{}", daemon.binary);
        let built = binaries.join(daemon.binary).display().to_string();
        let copy = folder.join(format!("{}.service", daemon.binary));
        fs::write(&copy, text.replace(&installed, &built)).map_err(|error| failed(copy.display(), error))?;
        // It may complain and be content in the end.
        match said(root, "systemd-analyze", &["verify", "--man=no"], &copy.display().to_string()) {
            Ok(complaints) if complaints.is_empty() => {}
            Ok(complaints) | Err(complaints) => wrong.push(complaints),
        }
    }
    let users = root.join("deploy/systemd/sysusers.d/flowpool.conf").display().to_string();
    wrong.extend(said(root, "systemd-sysusers", &["--dry-run"], &users).err());
    verdict(&wrong)
}

/// What a program of systemd says about a file, on both of its outputs; an error where it fails.
fn said(root: &Path, program: &str, arguments: &[&str], file: &str) -> Result<String, String> {
    println!("$ {program} {} {file}", arguments.join(" "));
    let output = Command::new(program).args(arguments).arg(file).current_dir(root).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if output.status.success() {
        return Ok(text);
    }
    let wrong: Vec<&str> = text.lines().filter(|line| !line.starts_with('✓')).collect();
    Err(format!("{file}: {program}: {}", wrong.join("\n")))
}
