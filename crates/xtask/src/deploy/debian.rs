//! Debian packages: built by dpkg's own tools, read by lintian, and installed, started and purged in a copy of this
//! machine's files that is thrown away.

use std::path::Path;

use super::{needs, scratch, script, target_directory};
use crate::steps::{Outcome, Steps, Unpassed, run};

/// Where the packages are, below the target directory.
const PACKAGES: &str = "packages";

pub(super) fn steps(steps: &mut Steps) {
    steps.step("Debian packages, with systemd units", build);
    steps.step("lintian", lintian);
    steps.step("Debian packages installed and purged", |root| with_packages(root, "deploy/debian/test"));
    steps.step("the tutorial, with the Debian packages", |root| {
        needs("prometheus", "prometheus")?;
        needs("curl", "curl")?;
        needs("ip", "iproute2")?;
        with_packages(root, "deploy/debian/tutorial")
    });
}

fn build(root: &Path) -> Outcome {
    needs("dpkg-shlibdeps", "dpkg-dev")?;
    needs("strip", "binutils")?;
    let packages = scratch(root, PACKAGES)?.display().to_string();
    let binaries = target_directory(root)?.join("release").display().to_string();
    run(root, "deploy/debian/build", &[&binaries, &packages])
}

fn lintian(root: &Path) -> Outcome {
    needs("lintian", "lintian")?;
    let packages = packages(root)?;
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    run(root, "lintian", &[["--fail-on", "error", "--allow-root"].as_slice(), &packages].concat())
}

/// Runs a script on the folder of the packages.
fn with_packages(root: &Path, name: &str) -> Outcome {
    script(root, &[name, &folder(root)?])
}

/// The folder with the packages that [`build`] made.
pub(super) fn folder(root: &Path) -> Result<String, Unpassed> {
    packages(root)?;
    Ok(target_directory(root)?.join("deploy-check").join(PACKAGES).display().to_string())
}

/// The packages that [`build`] made; where there are none it did not pass.
fn packages(root: &Path) -> Result<Vec<String>, Unpassed> {
    let folder = target_directory(root)?.join("deploy-check").join(PACKAGES);
    let entries = std::fs::read_dir(&folder).map(|entries| entries.flatten().map(|entry| entry.path()));
    let mut files: Vec<_> = entries.into_iter().flatten().map(|path| path.display().to_string()).collect();
    files.sort();
    if files.is_empty() { Err(Unpassed::Skipped("there are no packages".to_owned())) } else { Ok(files) }
}
