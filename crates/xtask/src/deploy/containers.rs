//! deploy/container: images are built and live for a while.

use std::path::Path;

use super::{needs, needs_root, scratch, script, target_directory};
use crate::steps::{Outcome, Steps};

pub(super) fn steps(steps: &mut Steps) {
    steps.step("container images", images);
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
