//! `ipfix-exporter replay`: captures as fast as they can be read, to the pool or into an IPFIX file (RFC 5655).
//!
//! Packets become flows as they do live: by the same meter, which goes by their times only.
#![expect(clippy::disallowed_methods, reason = "driver: tells how long it took")]

pub(crate) mod progress;

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ipfix::{ExportingConfig, ExportingSession};
use service::{Exit, Failure, OrExit as _, Shell};

use crate::Daemon;
use crate::capture::{CaptureError, Captures, Filter, LoopOptions, Looped, PacketSource as _};
use crate::config::{Config, Source};
use crate::driver::random;
use crate::export::{Classes, FlowEncoder};
use crate::metering::{FlowEndReason, FlowRecord, Meter, MeteringConfig};
use crate::packet::Unparsed;

use progress::Progress;

/// Octets of a message at most.
const MAX_MESSAGE: usize = 16 << 10;
const STREAM: u16 = Classes::RELIABLE_STREAM;

/// What is replayed, and where to.
#[derive(Debug, clap::Args)]
pub struct Replay {
    /// Captures (pcap, pcapng), read one after the other; names may be patterns, and `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Write an IPFIX file (RFC 5655) instead of exporting to the configured pool or collector
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Meter only packets that this chooses, in tcpdump's syntax (needs tcpdump)
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
}

impl Replay {
    /// Replays the captures. Into a file it needs no configuration; the one on the command line says how to meter.
    ///
    /// Fails where files cannot be read or written, where a capture is damaged (what is before the damage is exported), and as the
    /// daemon does.
    pub fn run(self, shell: &Shell) -> Result<(), Failure> {
        let Some(output) = self.output else {
            let config = shell.config::<Daemon>()?;
            return shell.run::<Daemon>(Config {
                source: Some(Source::unpaced(self.files, self.filter)),
                relay: None,
                ..config
            });
        };
        let (metering, encoder, domain) = if shell.has_config() {
            let config = shell.config::<Daemon>()?;
            (config.metering.metering(), config.encoder(), config.metering.observation_domain)
        } else {
            (MeteringConfig::default(), FlowEncoder::new(), 1)
        };
        let filter = self
            .filter
            .as_deref()
            .map(Filter::compile)
            .transpose()
            .context("--filter")
            .or_exit(Exit::Usage)?;
        let captures = Captures::find(self.files.iter().map(String::as_str)).or_exit(Exit::Io)?;
        let progress = Progress::new(&captures);
        let mut source = Looped::all(captures, LoopOptions::default())
            .map_err(|error| failure(error, &self.files))?
            .filtered(filter);
        let writer = Writer::create(&output, encoder, domain).or_exit(Exit::Io)?;
        let begin = Instant::now();
        let (summary, end) = meter(&mut source, Meter::new(metering, random()?), writer, progress)
            .with_context(|| output.display().to_string())
            .or_exit(Exit::Io)?;
        summary.print(source.truncated(), begin.elapsed())?;
        end.map_err(|error| failure(error, &self.files))
    }
}

fn failure(error: CaptureError, files: &[String]) -> Failure {
    let exit = if matches!(error, CaptureError::Io { .. }) { Exit::Io } else { Exit::Failed };
    let told: Result<(), Failure> = Err(error).context(files.join(", ")).or_exit(exit);
    told.err().unwrap_or_else(|| Failure::new(exit, "capture"))
}

/// What became of the packets.
struct Summary {
    meter: Meter,
    messages: u64,
    flows: u64,
}

/// Meters a source to its end and writes its flows. Returns how the source ended.
fn meter(
    source: &mut Looped,
    mut meter: Meter,
    mut writer: Writer,
    mut progress: Progress,
) -> anyhow::Result<(Summary, Result<(), CaptureError>)> {
    let mut flows = Vec::new();
    let mut time = 0;
    let end = loop {
        let packet = match source.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        time = packet.timestamp;
        meter.packet(&packet, &mut flows);
        progress.packet();
        if !flows.is_empty() {
            writer.write(&mut flows, time)?;
        }
    };
    while meter.flush(FlowEndReason::ForcedEnd, &mut flows) {
        writer.write(&mut flows, time)?;
    }
    writer.write(&mut flows, time)?;
    drop(progress);
    let (messages, flows) = writer.finish(time)?;
    Ok((Summary { meter, messages, flows }, end))
}

impl Summary {
    /// Prints one line of JSON on standard output.
    fn print(&self, truncated: u64, time: Duration) -> io::Result<()> {
        let Self { meter, messages, flows } = self;
        let counters = meter.counters();
        let (packets, octets) = (counters.packets - meter.tunnelled(), counters.octets);
        let unparsed =
            Unparsed::ALL.map(|reason| format!("\"{}\":{}", reason.label(), meter.unparsed(reason)));
        let (unparsed, seconds) = (unparsed.join(","), time.as_secs_f64());
        writeln!(
            io::stdout().lock(),
            "{{\"packets\":{packets},\"octets\":{octets},\"flows\":{flows},\"messages\":{messages},\
             \"not_metered\":{{{unparsed}}},\"truncated\":{truncated},\"seconds\":{seconds:.3}}}"
        )
    }
}

/// Writes flow records into an IPFIX file. Its messages have the packets' times, so that a capture gives the same file every time.
struct Writer {
    file: BufWriter<File>,
    encoder: FlowEncoder,
    session: ExportingSession,
    record: Vec<u8>,
    messages: u64,
    flows: u64,
}

impl Writer {
    fn create(path: &Path, encoder: FlowEncoder, domain: u32) -> anyhow::Result<Self> {
        let mut session = ExportingSession::new(ExportingConfig { domain, max_message: MAX_MESSAGE });
        for template in encoder.templates().records(STREAM) {
            session.define(STREAM, template)?;
        }
        let file = File::create(path).with_context(|| path.display().to_string())?;
        let (record, messages, flows) = (Vec::new(), 0, 0);
        Ok(Self { file: BufWriter::new(file), encoder, session, record, messages, flows })
    }

    /// Writes and clears `flows`; `time` is the time of the last packet.
    fn write(&mut self, flows: &mut Vec<FlowRecord>, time: u64) -> anyhow::Result<()> {
        for flow in flows.drain(..) {
            self.flows += 1;
            self.record.clear();
            let template = self.encoder.encode(&flow, &mut self.record);
            self.session.record(STREAM, template.id(STREAM), &self.record, seconds(time))?;
            self.drain()?;
        }
        Ok(())
    }

    /// Returns how many messages and flow records were written.
    fn finish(mut self, time: u64) -> io::Result<(u64, u64)> {
        self.session.flush_all(seconds(time));
        self.drain()?;
        self.file.into_inner()?.sync_all()?;
        Ok((self.messages, self.flows))
    }

    fn drain(&mut self) -> io::Result<()> {
        while let Some(message) = self.session.poll_message() {
            self.messages += 1;
            self.file.write_all(&message.octets)?;
        }
        Ok(())
    }
}

fn seconds(nanoseconds: u64) -> u32 {
    u32::try_from(nanoseconds / 1_000_000_000).unwrap_or(u32::MAX)
}
