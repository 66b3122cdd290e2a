//! One run of the machine: a control folder with what to run, QEMU, and the time limit.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock, and polls a child process")]

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::image::{self, Kernel};
use super::packages::{find, real};
use super::{Error, Init, Options, TIMED_OUT};

/// A busy host can make the emulated kernel fail at boot; while nothing has run, it is started again.
const TRIES: usize = 3;

const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off random.trust_cpu=on \
                                no_timer_check tsc=reliable";

pub(super) fn run(kernel: &Kernel, options: &Options, command: &[String]) -> Result<u8, Error> {
    let control =
        Control::new(kernel, options.init, command).map_err(|error| Error::Start(error.to_string()))?;
    fs::write(control.file("initramfs"), image::initramfs(kernel)?)
        .map_err(|error| Error::Start(error.to_string()))?;
    let deadline = Instant::now() + options.limit;
    let mut ended = String::new();
    for _ in 0..TRIES {
        let machine = qemu(kernel, options, &control)?.spawn();
        let mut machine = machine.map_err(|error| Error::Start(format!("qemu: {error}")))?;
        let Some(status) = wait(&mut machine, deadline) else {
            let stage = if control.file("started").exists() { String::new() } else { control.console() };
            eprintln!("cargo xtask vm: stopped after {} s{stage}", options.limit.as_secs());
            return Ok(TIMED_OUT);
        };
        if let Some(status) = control.status() {
            return Ok(status);
        }
        ended = format!("qemu ended with {status}{}", control.console());
        if control.file("started").exists() {
            return Err(Error::Start(format!("it stopped while the command ran: {ended}")));
        }
    }
    Err(Error::Start(ended))
}

/// The folder through which the machine is told what to run and tells how that ended. Removed when dropped.
struct Control(PathBuf);

impl Control {
    fn new(kernel: &Kernel, init: Init, command: &[String]) -> io::Result<Control> {
        // Must not exist: somebody else could have made it, or a run that was killed has left it.
        let folders = (0..100).map(|n| env::temp_dir().join(format!("flowpool-vm-{}-{n}", process::id())));
        let made = folders.map(|folder| fs::create_dir(&folder).map(|()| Control(folder)));
        let control = made.into_iter().find(Result::is_ok).unwrap_or_else(|| {
            let folder = env::temp_dir();
            Err(io::Error::other(format!("no folder can be made in {}", folder.display())))
        })?;
        let modules = quoted(&kernel.modules().to_string_lossy());
        let init = match init {
            Init::Shell => "shell",
            Init::Systemd => "systemd",
        };
        let boot = format!("MODULES={modules} INIT={init}\n{}", include_str!("boot.sh"));
        fs::write(control.file("boot"), boot)?;
        fs::write(control.file("command"), script(command, &env::current_dir()?))?;
        Ok(control)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn status(&self) -> Option<u8> {
        fs::read_to_string(self.file("status")).ok()?.trim().parse().ok()
    }

    /// The end of what the kernel wrote.
    fn console(&self) -> String {
        let text = fs::read(self.file("console")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..]
            .iter()
            .map(|line| format!("\n  {}", line.trim_end()))
            .collect()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A shell script with this process's environment and folder, and the command.
fn script(command: &[String], folder: &Path) -> String {
    let mut script = String::new();
    for (name, value) in env::vars() {
        if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            script += &format!("export {name}={}\n", quoted(&value));
        }
    }
    script += "PATH=$PATH:/usr/sbin:/sbin\n";
    script += &format!("cd {}\n", quoted(&folder.to_string_lossy()));
    let words: Vec<_> = command.iter().map(|word| quoted(word)).collect();
    script + &words.join(" ") + "\n"
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// QEMU under setpriv, so that it dies with this process, however that ends.
fn qemu(kernel: &Kernel, options: &Options, control: &Control) -> Result<Command, Error> {
    let program = find("qemu-system-x86_64").unwrap_or_default();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    // Wider vector instructions than those of this processor only make emulation slower.
    command.args([
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "Nehalem",
        "-nodefaults",
        "-no-reboot",
        "-net",
        "none",
    ]);
    command.args(["-smp", &options.cpus.to_string(), "-m", &options.memory.to_string(), "-display", "none"]);
    command.args(["-append", KERNEL_ARGUMENTS]).arg("-kernel").arg(kernel.image());
    command.arg("-initrd").arg(control.file("initramfs"));
    command.arg("-serial").arg(format!("file:{}", control.file("console").display()));
    // The command's output, octet by octet.
    command.args(["-chardev", "stdio,id=output,signal=off", "-device", "virtio-serial-pci"]);
    command.args(["-device", "virtserialport,chardev=output,nr=1"]);
    let share = |tag: &str, path: &Path, more: &str| {
        let path = real(path)?.to_string_lossy().replace(',', ",,");
        Ok(format!("local,path={path},mount_tag={tag},security_model=none{more}"))
    };
    command.args(["-virtfs", &share("host", Path::new("/"), ",readonly=on,multidevs=remap")?]);
    command.args(["-virtfs", &share("control", &control.0, "")?]);
    if let Some(out) = &options.out {
        fs::create_dir_all(out).map_err(|error| Error::Start(format!("{}: {error}", out.display())))?;
        command.args(["-virtfs", &share("out", out, "")?]);
    }
    // Nothing is ever written there; at its end the machine would find nobody connected, and wait with its output.
    command.stdin(Stdio::piped());
    Ok(command)
}

/// Waits until the machine ended; at the deadline it is killed, and there is no status.
fn wait(machine: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    while Instant::now() < deadline {
        if let Ok(Some(status)) = machine.try_wait() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = machine.kill();
    let _ = machine.wait();
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_shell_as_they_are() {
        let command = ["printf", "%s,", "a b", "it's", "$HOME"].map(str::to_owned);
        let script = script(&command, Path::new("/"));
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a b,it's,$HOME,");
    }
}
