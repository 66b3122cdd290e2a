//! The Debian packages the machine is made from.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::Error;

/// A program, and the package that brings it.
const PROGRAMS: [(&str, &str); 6] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("depmod", "kmod"),
    ("ip", "iproute2"),
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
    ("setpriv", "util-linux"),
];

/// The shell of the initramfs.
pub(super) const BUSYBOX: &str = "/bin/busybox";

/// Names every package that is missing, for the machine and for these programs.
pub(super) fn check(programs: &[(&'static str, &'static str)]) -> Result<(), Error> {
    let all = PROGRAMS.iter().chain(programs);
    let missing = all.filter(|(program, _)| find(program).is_none());
    let mut missing: Vec<&'static str> = missing.map(|(_, package)| *package).collect();
    if !fs::read(BUSYBOX).is_ok_and(|program| is_static(&program)) {
        missing.push("busybox-static");
    }
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() { Ok(()) } else { Err(Error::Missing(missing)) }
}

/// Looks in the PATH and in the folders of system programs, which a user's PATH need not have.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A program that names a dynamic loader cannot run in the initramfs (Debian's package busybox has such a one).
fn is_static(program: &[u8]) -> bool {
    const LOADER: &[u8] = b"/ld-linux";
    !program.windows(LOADER.len()).any(|window| window == LOADER)
}

/// Returns `path` with symbolic links followed, as the machine needs it.
pub(super) fn real(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|error| Error::Start(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_dynamic_loader_is_not_static() {
        assert!(is_static(b"\x7fELF busybox"));
        assert!(!is_static(b"\x7fELF\0/lib64/ld-linux-x86-64.so.2\0"));
    }
}
