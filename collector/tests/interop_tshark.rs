//! tshark reads the captures of other exporters as `ipfix-collector decode` does: as many records, and the same addresses, ports,
//! protocols, counts and times in the same order.

mod captures;

use std::collections::BTreeSet;
use std::sync::Mutex;

use captures::fields::{END, FIELDS, Fields, START, microseconds};
use captures::{Sample, datagrams, decode, folder, samples};
use pcap_fixtures::tshark;

/// Where tshark reads something else; docs/samples.md tells why.
const OTHERWISE: [&str; 5] = [
    "ipfixcol_enterprise-from-nfv9",
    "logstash_netflow5_test_invalid01",
    "logstash_netflow9_test_h3c",
    "logstash_netflow9_test_h3c_netstream_varstring",
    "logstash_netflow9_test_invalid01",
];

/// Columns beside those of [`FIELDS`]: time and uptime of the header, times by uptime, absolute ones.
const COLUMNS: [&str; 6] = [
    "cflow.timestamp",
    "cflow.sysuptime",
    "cflow.timestart",
    "cflow.timeend",
    "cflow.abstimestart",
    "cflow.abstimeend",
];

/// What tshark reads in a capture. None: it is not installed, and that has been said.
fn theirs(folder: &std::path::Path, sample: &Sample) -> Option<Fields> {
    let path = sample.path(folder);
    let ports: BTreeSet<_> = datagrams(&path).iter().map(|datagram| datagram.port).collect();
    let ports: Vec<_> = ports.iter().map(|port| format!("udp.port=={port},cflow")).collect();
    let mut arguments = vec!["-T", "fields", "-E", "aggregator=|"];
    ports.iter().for_each(|port| arguments.extend(["-d", port]));
    let columns: Vec<_> = FIELDS.iter().map(|field| field.2).chain(COLUMNS).collect();
    columns.iter().for_each(|column| arguments.extend(["-e", column]));
    let text = tshark(&std::fs::read(path).unwrap(), &arguments)?;
    let mut fields = Fields::default();
    for row in text.lines() {
        let cells: Vec<Vec<&str>> = row.split('\t').map(|cell| cell.split('|').collect()).collect();
        let values = |at: usize| cells[at].iter().filter(|value| !value.is_empty());
        for (at, field) in FIELDS.iter().enumerate() {
            values(at).for_each(|value| fields.add(field.0, (*value).to_owned()));
        }
        let at = |column: usize| values(FIELDS.len() + column);
        for (field, relative, absolute) in [(START, 2, 4), (END, 3, 5)] {
            at(absolute).for_each(|time| fields.add(field, microseconds(time).to_string()));
            // Times by uptime: seconds with three decimals, like the uptime itself, which IPFIX has none of.
            if let (Some(header), Some(uptime)) = (at(0).next(), at(1).next()) {
                let header = microseconds(header) / 1_000 * 1_000;
                let times = at(relative)
                    .map(|time| (header + thousandths(time) * 1_000) - thousandths(uptime) * 1_000);
                times.for_each(|time| fields.add(field, time.to_string()));
            }
        }
    }
    Some(fields)
}

/// Returns a number of seconds in milliseconds.
fn thousandths(seconds: &str) -> u64 {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    format!("{whole}{fraction:0<3.3}").parse().unwrap()
}

#[test]
#[ignore = "needs tshark"]
fn tshark_reads_the_samples_as_decode_prints_them() {
    let Some(folder) = folder() else { return };
    let samples = samples(&folder);
    // Most of the time is tshark's start.
    let (next, otherwise) = (Mutex::new(samples.iter()), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(sample) = { next.lock().unwrap().next() } {
                    let Some(theirs) = theirs(&folder, sample) else { return };
                    let printed = decode(&sample.path(&folder));
                    let differences = Fields::of_lines(&printed).differences(&theirs);
                    if !differences.is_empty() {
                        eprintln!("{}\n{differences}", sample.name);
                        otherwise.lock().unwrap().insert(sample.name.clone());
                    } else if sample.version != "5" {
                        // It numbers no flows of version 5.
                        assert_eq!(printed.lines().count() as u64, sample.tshark, "{}", sample.name);
                    }
                }
            });
        }
    });
    if tshark(&[], &["-v"]).is_some() {
        assert_eq!(otherwise.into_inner().unwrap(), OTHERWISE.map(str::to_owned).into());
    }
}
