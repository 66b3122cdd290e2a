//! deploy/container, deploy/compose and deploy/kubernetes: images are built and live for a while, the pool of the compose
//! file runs in namespaces and survives its chaos, manifests are rendered and read. Then all three under a container engine:
//! podman in namespaces of its own.

use std::cell::OnceCell;
use std::path::Path;

use super::{needs, needs_root, scratch, script, target_directory};
use crate::steps::{Outcome, Steps, Unpassed, capture, run};

/// Kubernetes' schemas, as a module for Python.
const SCHEMAS: &str = "kubernetes-validate==1.37.0";
/// Debian 12's podman-compose, 1.0.3, cannot read files in which services say more of a network than its name.
const COMPOSE: &str = "podman-compose==1.6.0";

/// How a script is started beside a container engine of its own.
const ENGINE: &str = "deploy/container/engine";

pub(super) fn steps(steps: &mut Steps) {
    // Built once, by the first step that needs them.
    let built = OnceCell::new();
    let images = |root: &Path| built.get_or_init(|| images(root)).clone();
    steps.step("container images", |root| script(root, &["deploy/container/test", &images(root)?]));
    steps.step("compose file", |root| with_binaries(root, &["deploy/compose/test", "check"]));
    steps.step("pool of the compose file, and its chaos", |root| {
        needs("ip", "iproute2")?;
        needs("strip", "binutils")?;
        with_binaries(root, &["deploy/compose/test", "run"])
    });
    steps.step("Kubernetes manifests", |root| with_binaries(root, &["deploy/kubernetes/test", "check"]));
    steps.step("Kubernetes schemas", schemas);
    steps.step("container engine: images", |root| {
        needs("podman", "podman")?;
        script(root, &[ENGINE, &images(root)?, "deploy/container/test-engine"])
    });
    steps.step("container engine: pool of the compose file, and its chaos", |root| {
        needs("podman", "podman")?;
        let python = installed_by_pip(root, COMPOSE, "podman_compose")?;
        let compose = Path::new(&python).with_file_name("podman-compose").display().to_string();
        script(root, &[ENGINE, &images(root)?, &python, "deploy/compose/test-engine", &compose])
    });
    steps.step("container engine: Kubernetes pods", |root| {
        needs("podman", "podman")?;
        script(root, &[ENGINE, &images(root)?, "deploy/kubernetes/test-engine"])
    });
}

/// Builds the images; returns the folder of their archives.
fn images(root: &Path) -> Result<String, Unpassed> {
    needs("buildah", "buildah")?;
    needs("strip", "binutils")?;
    needs_root(root, "builds images here")?;
    let archives = scratch(root, "images")?.display().to_string();
    let binaries = target_directory(root)?.join("release").display().to_string();
    script(root, &["deploy/container/build", &binaries, &archives])?;
    Ok(archives)
}

fn schemas(root: &Path) -> Outcome {
    let python = installed_by_pip(root, SCHEMAS, "kubernetes_validate")?;
    script(root, &[&python, "deploy/kubernetes/test", "schemas"])
}

/// Installs a package of that version where no other program sees it; returns the Python that imports its `module`.
fn installed_by_pip(root: &Path, package: &str, module: &str) -> Result<String, Unpassed> {
    let folder = target_directory(root)?.join("deploy-check").join(package);
    let python = folder.join("bin/python").display().to_string();
    if capture(root, &python, &["-c", &format!("import {module}")]).is_err() {
        let folder = folder.display().to_string();
        let made = run(root, "python3", &["-m", "venv", "--clear", &folder])
            .and_then(|()| run(root, &python, &["-m", "pip", "install", "--quiet", package]));
        if made.is_err() {
            return Err(Unpassed::Skipped(format!("{package} cannot be installed (Debian: python3-venv)")));
        }
    }
    Ok(python)
}

/// [`script`] with the folder of the release binaries as last argument.
fn with_binaries(root: &Path, words: &[&str]) -> Outcome {
    let binaries = target_directory(root)?.join("release").display().to_string();
    script(root, &[words, &[&binaries]].concat())
}
