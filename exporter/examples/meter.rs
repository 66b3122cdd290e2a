//! Meters a capture and prints the sums of its flows, and how fast it was:
//! `cargo run --release --example meter -- FILE [IDLE SECONDS] [ACTIVE SECONDS] [MAX FLOWS]`.

use exporter::capture::{PacketSource, PcapFile};
use exporter::metering::{FlowEndReason, Meter, MeteringConfig};
use exporter::packet::Unparsed;
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
    let (mut flows, mut packets, mut octets, mut captured) = (0u64, 0u64, 0u64, 0u64);
    let mut take = |records: &mut Vec<exporter::metering::FlowRecord>| {
        for record in records.drain(..) {
            flows += 1;
            packets += record.packets;
            octets += record.octets;
        }
    };
    let before = cpu_seconds()?;
    let mut file = PcapFile::open(path.as_ref())?;
    let end = loop {
        match file.next_packet() {
            Ok(Some(packet)) => {
                captured += 1;
                meter.packet(&packet, &mut records);
                if records.len() >= 256 {
                    take(&mut records);
                }
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    while meter.flush(FlowEndReason::ForcedEnd, &mut records) {
        take(&mut records);
    }
    take(&mut records);
    let seconds = cpu_seconds()? - before;
    let ended = FlowEndReason::ALL.map(|reason| format!("{reason} {}", meter.counters().ended(reason)));
    let unparsed = Unparsed::ALL.map(|reason| format!("{} {}", reason.label(), meter.unparsed(reason)));
    println!("packets {packets} octets_L3 {octets} flows {flows}");
    println!("ended: {}", ended.join(", "));
    println!("captured {captured}, not metered: {}", unparsed.join(", "));
    println!("{:.2} million packets per CPU second ({seconds:.3} s)", captured as f64 / seconds / 1e6);
    if let Some(error) = end {
        return Err(format!("{path}: {error}").into());
    }
    Ok(())
}

/// CPU time of this process; Linux only.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: u64 = text.split(' ').next().ok_or("empty schedstat")?.parse()?;
    Ok(nanoseconds as f64 / 1e9)
}
