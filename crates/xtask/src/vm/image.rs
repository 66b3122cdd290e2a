//! The machine's kernel, downloaded once, and its initramfs, packed anew for each run (some milliseconds).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use super::Error;
use super::packages::{BUSYBOX, find};

/// What must be loaded before the host's files can be mounted; `boot.sh` loads the others.
const BOOT_MODULES: [&str; 5] = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"];

/// A kernel and its modules.
#[derive(Debug)]
pub(super) struct Kernel {
    /// Below the cache folder; named after the package.
    folder: PathBuf,
    version: String,
}

impl Kernel {
    pub(super) fn image(&self) -> PathBuf {
        self.folder.join("boot").join(format!("vmlinuz-{}", self.version))
    }

    pub(super) fn modules(&self) -> PathBuf {
        self.folder.join("lib/modules").join(&self.version)
    }
}

/// Returns the kernel in the cache, or downloads Debian's.
pub(super) fn kernel() -> Result<Kernel, Error> {
    let cache = cache_folder()?;
    if let Some(kernel) = cached(&cache) {
        return Ok(kernel);
    }
    download(&cache).map_err(Error::Kernel)?;
    cached(&cache).ok_or_else(|| Error::Kernel("the package has no kernel or no modules".to_owned()))
}

fn cache_folder() -> Result<PathBuf, Error> {
    let of = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")));
    let cache = caches.ok_or_else(|| Error::Kernel("neither XDG_CACHE_HOME nor HOME is set".to_owned()))?;
    Ok(cache.join("flowpool/vm"))
}

/// The newest complete kernel in the cache.
fn cached(cache: &Path) -> Option<Kernel> {
    let mut folders: Vec<_> = fs::read_dir(cache).ok()?.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders.into_iter().rev().find_map(|folder| {
        let name = folder.file_name()?.to_str()?;
        let version = name.strip_prefix("linux-image-")?.to_owned();
        let kernel = Kernel { folder, version };
        (kernel.image().is_file() && kernel.modules().join("modules.dep").is_file()).then_some(kernel)
    })
}

/// Downloads and unpacks in a folder of its own, which gets its name when it is complete.
fn download(cache: &Path) -> Result<(), String> {
    let package = package()?;
    eprintln!("downloading {package} for the virtual machine, once");
    let work = cache.join(format!("incomplete-{}", process::id()));
    fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    let unpacked = unpack(&work, &package);
    let done = cache.join(&package);
    let named = unpacked.and_then(|tree| {
        // Another run may have been faster; then its folder stays.
        fs::rename(&tree, &done).or_else(|error| if done.exists() { Ok(()) } else { Err(error.to_string()) })
    });
    let _ = fs::remove_dir_all(&work);
    named
}

/// The kernel package that linux-image-amd64 depends on at present.
fn package() -> Result<String, String> {
    let known = || output(Command::new("apt-cache").args(["depends", "linux-image-amd64"]));
    let named = |depends: &str| {
        let mut names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        names.find(|name| name.starts_with("linux-image-")).map(str::to_owned)
    };
    if let Some(name) = known().ok().as_deref().and_then(named) {
        return Ok(name);
    }
    // Without lists of packages, as in a fresh container, apt knows nothing; only root can change that.
    output(Command::new("apt-get").args(["update", "--quiet"]))?;
    named(&known()?).ok_or_else(|| "apt knows no linux-image-amd64 (is this Debian?)".to_owned())
}

fn unpack(work: &Path, package: &str) -> Result<PathBuf, String> {
    output(Command::new("apt-get").args(["download", "--quiet", package]).current_dir(work))?;
    let files = fs::read_dir(work).map_err(|error| error.to_string())?;
    let archive =
        files.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "deb"));
    let archive = archive.ok_or_else(|| format!("apt-get download left no file of {package}"))?;
    let tree = work.join("tree");
    output(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&tree))?;
    let version = package.trim_start_matches("linux-image-");
    let depmod = find("depmod").unwrap_or_else(|| PathBuf::from("depmod"));
    output(Command::new(depmod).arg("-b").arg(&tree).arg(version))?;
    Ok(tree)
}

fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(format!("{name}: {}: {reason}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Packs the initramfs: a shell, `init.sh` and the modules, numbered in the order they are loaded.
pub(super) fn initramfs(kernel: &Kernel) -> Result<Vec<u8>, Error> {
    let read =
        |path: &Path| fs::read(path).map_err(|error| Error::Kernel(format!("{}: {error}", path.display())));
    let mut archive = Archive::default();
    for folder in ["bin", "modules", "root"] {
        archive.folder(folder);
    }
    archive.file("init", include_bytes!("init.sh"));
    archive.file("bin/busybox", &read(Path::new(BUSYBOX))?);
    archive.link("bin/sh", "busybox");
    let modules = kernel.modules();
    let dependencies = String::from_utf8_lossy(&read(&modules.join("modules.dep"))?).into_owned();
    for (number, module) in load_order(&dependencies, &BOOT_MODULES).into_iter().enumerate() {
        archive.file(&format!("modules/{number:02}.ko"), &read(&modules.join(module))?);
    }
    Ok(archive.finish())
}

/// The files to load, dependencies first. A module that has no file is part of the kernel.
/// A line of modules.dep is `FILE: DEPENDENCY...`, each dependency before what it depends on.
fn load_order<'a>(dependencies: &'a str, names: &[&str]) -> Vec<&'a str> {
    let mut order: Vec<&str> = Vec::new();
    for name in names {
        let is_it = |file: &str| {
            let stem = file.rsplit('/').next().and_then(|file| file.split('.').next());
            stem.is_some_and(|stem| stem.replace('-', "_") == *name)
        };
        let lines = dependencies.lines().filter_map(|line| line.split_once(':'));
        let Some((file, needs)) = lines.into_iter().find(|(file, _)| is_it(file)) else { continue };
        for file in needs.split_whitespace().rev().chain([file]) {
            if !order.contains(&file) {
                order.push(file);
            }
        }
    }
    order
}

/// An archive in cpio's format "newc", which the kernel unpacks.
#[derive(Default)]
struct Archive {
    octets: Vec<u8>,
    entries: usize,
}

impl Archive {
    fn folder(&mut self, name: &str) {
        self.entry(name, 0o040_755, &[]);
    }

    fn file(&mut self, name: &str, content: &[u8]) {
        self.entry(name, 0o100_755, content);
    }

    fn link(&mut self, name: &str, target: &str) {
        self.entry(name, 0o120_777, target.as_bytes());
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.octets
    }

    /// Magic; inode, mode, user, group, links, time, size, four device numbers, length of the name, checksum: 8 hex
    /// digits each. Name and content are padded to 4 octets.
    fn entry(&mut self, name: &str, mode: usize, content: &[u8]) {
        self.entries += 1;
        let fields = [self.entries, mode, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0]
            .map(|n| format!("{n:08x}"));
        self.octets.extend(b"070701");
        self.octets.extend(fields.concat().bytes());
        self.octets.extend(name.bytes().chain([0]));
        self.pad();
        self.octets.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.octets.resize(self.octets.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "kernel/net/9p/9pnet.ko:\n\
        kernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko kernel/drivers/virtio/virtio.ko\n\
        kernel/fs/9p/9p.ko: kernel/fs/netfs/netfs.ko kernel/net/9p/9pnet.ko\n\
        kernel/drivers/virtio/virtio.ko:\nkernel/fs/netfs/netfs.ko:\n";

    #[test]
    fn modules_are_loaded_after_what_they_need_and_once() {
        let files = load_order(DEPENDENCIES, &["9pnet_virtio", "9p", "builtin"]);
        let names: Vec<_> = files.iter().filter_map(|file| file.rsplit('/').next()).collect();
        assert_eq!(names, ["virtio.ko", "9pnet.ko", "9pnet_virtio.ko", "netfs.ko", "9p.ko"]);
    }

    #[test]
    fn an_archive_entry_is_a_header_a_name_and_content_each_padded_to_four_octets() {
        let mut archive = Archive::default();
        archive.file("init", b"12345");
        let octets = &archive.octets;
        assert_eq!(octets.len(), 116 + 8);
        assert_eq!(&octets[..22], b"07070100000001000081ed");
        assert_eq!(&octets[110..], b"init\0\x0012345\0\0\0");
    }
}
