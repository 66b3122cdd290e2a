//! deploy/container, deploy/compose and deploy/kubernetes: images are built and live for a while, the pool of the compose
//! file runs in namespaces and survives its chaos, manifests are rendered and read.

use std::path::Path;

use super::{needs, needs_root, scratch, script, target_directory};
use crate::steps::{Outcome, Steps, Unpassed, capture, run};

/// Kubernetes' schemas, as a module for Python.
const SCHEMAS: &str = "kubernetes-validate==1.37.0";

pub(super) fn steps(steps: &mut Steps) {
    steps.step("container images", images);
    steps.step("compose file", |root| with_binaries(root, &["deploy/compose/test", "check"]));
    steps.step("pool of the compose file, and its chaos", |root| {
        needs("ip", "iproute2")?;
        needs("strip", "binutils")?;
        with_binaries(root, &["deploy/compose/test", "run"])
    });
    steps.step("Kubernetes manifests", |root| with_binaries(root, &["deploy/kubernetes/test", "check"]));
    steps.step("Kubernetes schemas", schemas);
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

fn schemas(root: &Path) -> Outcome {
    let folder = target_directory(root)?.join("deploy-check/schemas");
    let python = folder.join("bin/python").display().to_string();
    if capture(root, &python, &["-c", "import kubernetes_validate"]).is_err() {
        let folder = folder.display().to_string();
        let made = run(root, "python3", &["-m", "venv", "--clear", &folder])
            .and_then(|()| run(root, &python, &["-m", "pip", "install", "--quiet", SCHEMAS]));
        if made.is_err() {
            return Err(Unpassed::Skipped(format!("{SCHEMAS} cannot be installed (Debian: python3-venv)")));
        }
    }
    script(root, &[&python, "deploy/kubernetes/test", "schemas"])
}

/// [`script`] with the folder of the release binaries as last argument.
fn with_binaries(root: &Path, words: &[&str]) -> Outcome {
    let binaries = target_directory(root)?.join("release").display().to_string();
    script(root, &[words, &[&binaries]].concat())
}
