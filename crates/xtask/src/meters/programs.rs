//! The programs that are compared, with the same time-outs: 60 s idle and 300 s active.
#![expect(
    clippy::disallowed_methods,
    reason = "drives other programs, and has nothing to wait on but their answers"
)]

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::measure::{Cost, cost};
use super::{Scratch, build, failed};
use crate::steps::{Unpassed, capture, installed};

/// No daemon takes so long to be ready.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// Loopback addresses of the pool that only this command uses.
const NET: &str = "127.61";

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Program {
    /// This meter alone, its flows in messages that nobody gets.
    Meter,
    /// This exporter, into a file.
    File,
    /// This exporter, to a collector over UDP.
    Udp,
    /// This exporter, to a collector of a pool over TCP, which acknowledges what it has on disk.
    Tcp,
    /// The same over SCTP in user space.
    Sctp,
    /// Of Debian.
    Softflowd,
    /// Of Debian: pmacct's.
    Pmacctd,
}

impl Program {
    pub(super) const ALL: [Self; 7] =
        [Self::Meter, Self::File, Self::Udp, Self::Tcp, Self::Sctp, Self::Softflowd, Self::Pmacctd];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Meter => "flowpool, messages in memory",
            Self::File => "flowpool, into an IPFIX file",
            Self::Udp => "flowpool, over UDP",
            Self::Tcp => "flowpool, to a pool over TCP, acknowledged",
            Self::Sctp => "flowpool, to a pool over SCTP in user space, acknowledged",
            Self::Softflowd => "softflowd, over UDP",
            Self::Pmacctd => "pmacctd with nfprobe, over UDP",
        }
    }

    pub(super) fn is_installed(self) -> bool {
        match self {
            Self::Softflowd => installed("softflowd") || Path::new("/usr/sbin/softflowd").exists(),
            Self::Pmacctd => installed("pmacctd") || Path::new("/usr/sbin/pmacctd").exists(),
            Self::Meter | Self::File | Self::Udp | Self::Tcp | Self::Sctp => true,
        }
    }
}

/// Everything is built and there is a place for files.
pub(super) struct Bench {
    target: String,
    scratch: Scratch,
}

impl Bench {
    pub(super) fn build(root: &Path) -> Result<Self, Unpassed> {
        build(root)?;
        let metadata = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
        let metadata = capture(root, "cargo", &metadata)?;
        let target =
            metadata.split_once("\"target_directory\":\"").and_then(|(_, rest)| rest.split_once('"'));
        let target = target.map(|(path, _)| format!("{path}/release"));
        let target = target.ok_or_else(|| failed("cargo metadata", "tells no target_directory"))?;
        Ok(Self { target, scratch: Scratch::new()? })
    }

    /// Returns how many packets a capture has.
    pub(super) fn packets(&self, root: &Path, file: &Path) -> Result<u64, Unpassed> {
        let told = capture(root, &self.example(), &[&file.display().to_string()])?;
        let number = told.split_once("captured ").and_then(|(_, rest)| rest.split_once(','));
        number.and_then(|(number, _)| number.parse().ok()).ok_or_else(|| failed("not understood", told))
    }

    fn example(&self) -> String {
        format!("{}/examples/meter", self.target)
    }

    fn daemon(&self, name: &str) -> String {
        format!("{}/{name}", self.target)
    }

    /// Runs a program over a capture.
    pub(super) fn measure(&self, program: Program, file: &Path) -> Result<Cost, Unpassed> {
        let file = file.display().to_string();
        let exporter = self.daemon("ipfix-exporter");
        match program {
            Program::Meter => cost(&self.example(), &[&file, "60", "300"]),
            Program::File => {
                let config = self.exporter(&file, "[udp]\ncollector = \"127.0.0.1:9\"\n")?;
                let output = self.scratch.path("flows.ipfix");
                cost(&exporter, &["replay", "--config", &config, "--output", &output, &file])
            }
            Program::Udp => {
                let sink = Sink::start()?;
                let config = self.exporter(&file, &format!("[udp]\ncollector = \"{}\"\n", sink.address))?;
                cost(&exporter, &["run", "--config", &config])
            }
            Program::Tcp => self.pool(&exporter, &file, "tcp"),
            Program::Sctp => self.pool(&exporter, &file, "sctp"),
            Program::Softflowd => {
                let sink = Sink::start()?;
                softflowd(&file, sink.address, &self.scratch)
            }
            Program::Pmacctd => {
                let sink = Sink::start()?;
                pmacctd(&file, sink.address, &self.scratch)
            }
        }
    }

    /// Writes the exporter's configuration.
    fn exporter(&self, file: &str, destination: &str) -> Result<String, Unpassed> {
        let text = format!(
            "[source]\npcap = {file:?}\nspeed = 0\n\
             [metering]\nidle-timeout = \"60s\"\nactive-timeout = \"300s\"\n\
             {destination}[http]\nlisten = \"{NET}.0.3:9382\"\n"
        );
        self.scratch.write("exporter.toml", &text)
    }

    /// Measures the exporter with a registrar and a collector beside it.
    fn pool(&self, exporter: &str, file: &str, transport: &str) -> Result<Cost, Unpassed> {
        let registrar = format!(
            "[listen]\nasap = [\"{NET}.0.1:3863\"]\nasap-tcp = [\"{NET}.0.1:3863\"]\nenrp = [\"{NET}.0.1:9901\"]\n\
             [http]\nlisten = \"{NET}.0.1:9380\"\n"
        );
        let (listen, scheme) = match transport {
            "tcp" => (format!("ipfix = []\nipfix-tcp = [\"{NET}.0.2:4739\"]"), "tcp://"),
            _ => (format!("ipfix = [\"{NET}.0.2:4739\"]"), ""),
        };
        let key = self.scratch.write("pool.key", "1 000102030405060708090a0b0c0d0e0f\n")?;
        let pool =
            format!("handle = \"ipfix\"\nregistrars = [\"{scheme}{NET}.0.1:3863\"]\nkey-file = {key:?}\n");
        let collector = format!(
            "[listen]\n{listen}\n[[pool]]\n{pool}[output.flows.ipfix]\npath = {:?}\n[state]\ndirectory = {:?}\n\
             [http]\nlisten = \"{NET}.0.2:9381\"\n",
            self.scratch.path("collected.ipfix"),
            self.scratch.path(""),
        );
        let registrar = self.scratch.write("registrar.toml", &registrar)?;
        let collector = self.scratch.write("collector.toml", &collector)?;
        let _registrar = Daemon::start(&self.daemon("rserpool-registrar"), &registrar)?;
        let _collector = Daemon::start(&self.daemon("ipfix-collector"), &collector)?;
        let destination = format!(
            "[pool]\n{pool}addresses = [\"{NET}.0.3\"]\ntransport = \"{transport}\"\n[class.reliable]\n"
        );
        let config = self.exporter(file, &destination)?;
        cost(exporter, &["run", "--config", &config])
    }
}

/// The time-outs that correspond to 60 s idle and 300 s active; idle flows are looked for every 60 s by default.
const TIMEOUTS: [&str; 7] =
    ["tcp=60", "tcp.rst=60", "tcp.fin=60", "udp=60", "icmp=60", "general=60", "maxlife=300"];

fn softflowd(file: &str, sink: SocketAddr, scratch: &Scratch) -> Result<Cost, Unpassed> {
    let (sink, pid) = (sink.to_string(), scratch.path("softflowd.pid"));
    let program = if installed("softflowd") { "softflowd" } else { "/usr/sbin/softflowd" };
    let mut arguments =
        vec!["-r", file, "-n", &sink, "-v", "10", "-d", "-p", &pid, "-c", "none", "-m", "2000000"];
    TIMEOUTS.iter().for_each(|timeout| arguments.extend(["-t", timeout]));
    cost(program, &arguments)
}

fn pmacctd(file: &str, sink: SocketAddr, scratch: &Scratch) -> Result<Cost, Unpassed> {
    let program = if installed("pmacctd") { "pmacctd" } else { "/usr/sbin/pmacctd" };
    let timeouts = TIMEOUTS.join(":");
    // Without so large a pipe between its two processes it loses packets of a file.
    let config = format!(
        "daemonize: false\npcap_savefile: {file}\nplugins: nfprobe\nplugin_pipe_size: 1073741824\nplugin_buffer_size: 1048576\n\
         nfprobe_receiver: {sink}\nnfprobe_version: 10\nnfprobe_timeouts: {timeouts}\n\
         aggregate: src_host, dst_host, src_port, dst_port, proto, tos\n"
    );
    cost(program, &["-f", &scratch.write("pmacctd.conf", &config)?])
}

/// A collector that throws away what it gets.
struct Sink {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    fn start() -> Result<Self, Unpassed> {
        let open = || {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_read_timeout(Some(LOOK))?;
            let address = socket.local_addr()?;
            Ok::<_, std::io::Error>((socket, address))
        };
        let (socket, address) = open().map_err(|error| failed("a socket", error))?;
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut datagram = vec![0; 1 << 16];
            while !end.load(Ordering::Relaxed) {
                let _ = socket.recv(&mut datagram);
            }
        });
        Ok(Self { address, over, thread: Some(thread) })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A daemon that is ended with this value.
struct Daemon(Child);

impl Daemon {
    /// Starts one and waits until it says that it is ready.
    fn start(program: &str, config: &str) -> Result<Self, Unpassed> {
        let begin = Instant::now();
        let mut command = Command::new(program);
        command.args(["run", "--config", config]).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().map_err(|error| failed(program, error))?;
        let daemon = Self(child);
        while begin.elapsed() < PATIENCE {
            let mut health = Command::new(program);
            health.args(["health", "--config", config]).stdout(Stdio::null()).stderr(Stdio::null());
            if health.status().is_ok_and(|status| status.success()) {
                return Ok(daemon);
            }
            thread::sleep(LOOK);
        }
        Err(failed(program, "not ready"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
