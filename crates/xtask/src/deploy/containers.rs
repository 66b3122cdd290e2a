//! deploy/container and deploy/compose: images are built and live for a while, the pool of the compose file runs in
//! namespaces and survives its chaos.

use std::path::Path;

use super::{needs, needs_root, scratch, script, target_directory};
use crate::steps::{Outcome, Steps};

pub(super) fn steps(steps: &mut Steps) {
    steps.step("container images", images);
    steps.step("compose file", |root| with_binaries(root, &["deploy/compose/test", "check"]));
    steps.step("pool of the compose file, and its chaos", |root| {
        needs("ip", "iproute2")?;
        needs("strip", "binutils")?;
        with_binaries(root, &["deploy/compose/test", "run"])
    });
}

fn images(root: &Path) -> Outcome {
    needs("buildah", "buildah")?;
    needs("strip", "binutils")?;
    needs_root(root, "builds images here")?;
    let archives = scratch(root, "images")?.display().to_string();
    let binaries = target_directory(root)?.join("release").display().to_string();
    script(root, &["deploy/container/build", &binaries, &archives])?;
    script(root, &["deploy/container/test", &archives])
}

/// [`script`] with the folder of the release binaries as last argument.
fn with_binaries(root: &Path, words: &[&str]) -> Outcome {
    let binaries = target_directory(root)?.join("release").display().to_string();
    script(root, &[words, &[&binaries]].concat())
}
