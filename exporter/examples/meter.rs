//! Meters a capture, packs its flows into IPFIX messages of 8 KiB, and prints the sums and how fast it was:
//! `cargo run --release --example meter -- FILE [IDLE SECONDS] [ACTIVE SECONDS] [MAX FLOWS]`.

use exporter::capture::{PacketSource, PcapFile};
use exporter::export::{Classes, FlowEncoder};
use exporter::metering::{FlowEndReason, FlowRecord, Meter, MeteringConfig};
use exporter::packet::Unparsed;
use ipfix::{ExportingConfig, ExportingSession};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("meter: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which capture?")?;
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let defaults = MeteringConfig::default();
    let config = MeteringConfig {
        idle_timeout: Duration::from_secs(number(60)?),
        active_timeout: Duration::from_secs(number(300)?),
        max_flows: usize::try_from(number(defaults.max_flows as u64)?)?,
        ..defaults
    };
    let mut meter = Meter::new(config, 42);
    let mut records = Vec::new();
    let mut captured = 0u64;
    let mut export = Export::new()?;
    let before = cpu_seconds()?;
    let mut file = PcapFile::open(path.as_ref())?;
    let end = loop {
        match file.next_packet() {
            Ok(Some(packet)) => {
                captured += 1;
                meter.packet(&packet, &mut records);
                if records.len() >= 256 {
                    export.take(&mut records)?;
                }
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    while meter.flush(FlowEndReason::ForcedEnd, &mut records) {
        export.take(&mut records)?;
    }
    export.take(&mut records)?;
    export.finish();
    let seconds = cpu_seconds()? - before;
    let ended = FlowEndReason::ALL.map(|reason| format!("{reason} {}", meter.counters().ended(reason)));
    let unparsed = Unparsed::ALL.map(|reason| format!("{} {}", reason.label(), meter.unparsed(reason)));
    let Export { packets, octets, flows, messages, message_octets, message_records, .. } = export;
    println!("packets {packets} octets_L3 {octets} flows {flows}");
    println!("messages {messages} with {message_records} records in {message_octets} octets");
    println!("ended: {}", ended.join(", "));
    println!("captured {captured}, not metered: {}", unparsed.join(", "));
    println!("{:.2} million packets per CPU second ({seconds:.3} s)", captured as f64 / seconds / 1e6);
    if let Some(error) = end {
        return Err(format!("{path}: {error}").into());
    }
    Ok(())
}

/// Flow records to finished messages, and what was seen on the way.
struct Export {
    encoder: FlowEncoder,
    session: ExportingSession,
    record: Vec<u8>,
    packets: u64,
    octets: u64,
    flows: u64,
    messages: u64,
    message_octets: usize,
    message_records: u64,
}

const STREAM: u16 = Classes::RELIABLE_STREAM;

impl Export {
    fn new() -> Result<Self, ipfix::DefineError> {
        let mut session = ExportingSession::new(ExportingConfig { domain: 1, max_message: 8 << 10 });
        let encoder = FlowEncoder::new();
        for template in encoder.templates().records(STREAM) {
            session.define(STREAM, template)?;
        }
        Ok(Self {
            encoder,
            session,
            record: Vec::new(),
            packets: 0,
            octets: 0,
            flows: 0,
            messages: 0,
            message_octets: 0,
            message_records: 0,
        })
    }

    fn take(&mut self, flows: &mut Vec<FlowRecord>) -> Result<(), ipfix::RecordError> {
        for flow in flows.drain(..) {
            self.flows += 1;
            self.packets += flow.packets;
            self.octets += flow.octets;
            self.record.clear();
            let template = self.encoder.encode(&flow, &mut self.record);
            self.session.record(STREAM, template.id(STREAM), &self.record, 0)?;
            self.count();
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.session.flush_all(0);
        self.count();
    }

    fn count(&mut self) {
        while let Some(message) = self.session.poll_message() {
            self.messages += 1;
            self.message_octets += message.octets.len();
            self.message_records += u64::from(message.records);
        }
    }
}

/// CPU time of this process; Linux only.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: u64 = text.split(' ').next().ok_or("empty schedstat")?.parse()?;
    Ok(nanoseconds as f64 / 1e9)
}
