//! What is exported is read by tshark without complaint. Skipped, visibly, where tshark is not installed.

use std::time::Duration;

use ipfix::{ExportingConfig, ExportingSession, FieldSpecifier, NtpTime, RecordWriter, TemplateRecord};
use pcap_fixtures::{ipfix_datagrams, tshark};

const TIME: u32 = 1_700_000_000;

/// Exports a bit of everything and returns the messages.
fn export() -> Vec<Vec<u8>> {
    let mut session = ExportingSession::new(ExportingConfig { domain: 77, max_message: 900 });
    let iana = |fields: &[(u16, u16)]| -> Vec<FieldSpecifier> {
        fields.iter().map(|&(id, length)| FieldSpecifier::iana(id, length)).collect()
    };
    let mut v4 = iana(&[
        (8, 4),
        (12, 4),
        (7, 2),
        (11, 2),
        (4, 1),
        (1, 8),
        (2, 4),
        (152, 8),
        (154, 8),
        (82, 65535),
        (56, 6),
    ]);
    v4.push(FieldSpecifier { pen: 32473, id: 1, length: 4 });
    let v6 = iana(&[(27, 16), (28, 16), (1, 5), (276, 1), (156, 8), (150, 4), (320, 8)]);
    session.define(1, TemplateRecord { id: 256, scope_fields: 0, fields: v4 }).unwrap();
    session.define(1, TemplateRecord { id: 257, scope_fields: 0, fields: v6 }).unwrap();
    let options = TemplateRecord { id: 258, scope_fields: 1, fields: iana(&[(149, 4), (41, 8), (42, 8)]) };
    session.define(1, options).unwrap();

    let now = Duration::new(TIME.into(), 123_456_000);
    let mut writer = RecordWriter::new();
    for number in 0..40_u16 {
        let interface = if number == 7 { "x".repeat(300) } else { format!("eth{number}") };
        writer.clear().ipv4([192, 0, 2, 1].into()).ipv4([198, 51, 100, 7].into());
        writer.unsigned((1024 + number).into(), 2).unsigned(443, 2).unsigned(6, 1).unsigned(1_500_000, 8);
        writer.unsigned(1000, 4).milliseconds(now).ntp(NtpTime::from_unix_time(now)).string(&interface);
        writer.mac([2, 0, 0, 0, 0, 1]).unsigned(0xcafe, 4);
        session.record(1, 256, writer.octets(), TIME).unwrap();
        let address = "2001:db8::1".parse().unwrap();
        writer.clear().ipv6(address).ipv6(address).unsigned(77, 5).boolean(true);
        writer.ntp(NtpTime::from_unix_time(now)).seconds(now).float64(0.5);
        session.record(1, 257, writer.octets(), TIME).unwrap();
    }
    writer.clear().unsigned(77, 4).unsigned(3, 8).unsigned(80, 8);
    session.record(1, 258, writer.octets(), TIME).unwrap();
    session.withdraw(1, 257, TIME).unwrap();
    session.flush_all(TIME);
    std::iter::from_fn(|| session.poll_message()).map(|out| out.octets).collect()
}

#[test]
fn tshark_reads_what_is_exported_without_complaint() {
    let messages = export();
    let capture = ipfix_datagrams(&messages);
    let Some(complaints) = tshark(&capture, &["-Y", "_ws.malformed || _ws.expert"]) else { return };
    assert_eq!(complaints, "");
    let fields =
        ["-T", "fields", "-e", "cflow.sequence", "-e", "cflow.srcport", "-e", "cflow.sampling_interval"];
    let Some(read) = tshark(&capture, &fields) else { return };
    assert_eq!(read.lines().count(), messages.len());
    let ports: Vec<u32> = read
        .lines()
        .flat_map(|line| line.split('\t').nth(1).unwrap().split(','))
        .filter_map(|port| port.parse().ok())
        .collect();
    assert_eq!(ports, (1024..1064).collect::<Vec<_>>());
}

#[test]
fn tshark_would_complain_about_a_broken_message() {
    let mut messages = export();
    let last = messages.len() - 2;
    messages[last][19] = 200;
    let Some(complaints) = tshark(&ipfix_datagrams(&messages), &["-Y", "_ws.malformed || _ws.expert"]) else {
        return;
    };
    assert_ne!(complaints, "");
}
