use delivery::{Epoch, Ledger, Series};
use ipfix::{
    CollectingConfig, CollectingSession, ExportingConfig, ExportingSession, FieldSpecifier, RecordWriter,
    TemplateRecord, Visitor,
};

use super::*;

const SERIES: Series = Series { ledger: Ledger([0xa1; 16]), epoch: Epoch(3), domain: 7 };

struct Printer {
    rows: Rows,
    number: Option<Number>,
    out: Vec<u8>,
}

impl Visitor for Printer {
    fn record(&mut self, record: &Record<'_>) {
        self.rows.record(&mut self.out, record, self.number, Direction::Forward);
    }
}

/// Returns the lines of a record with these fields.
fn rows(
    columns: &str,
    fields: &[(u16, u16)],
    number: Option<Number>,
    write: impl FnOnce(&mut RecordWriter),
) -> String {
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 7, max_message: 1400 });
    let fields = fields.iter().map(|&(id, length)| FieldSpecifier::iana(id, length)).collect();
    exporting.define(0, TemplateRecord { id: 256, scope_fields: 0, fields }).unwrap();
    let mut record = RecordWriter::new();
    write(&mut record);
    exporting.record(0, 256, record.octets(), 0).unwrap();
    exporting.flush_all(0);
    let columns: Vec<Column> = columns.split(' ').map(|name| name.parse().unwrap()).collect();
    let mut printer = Printer { rows: Rows::new(columns.into(), 1 << 20), number, out: Vec::new() };
    let mut session = CollectingSession::new(CollectingConfig::default());
    while let Some(message) = exporting.poll_message() {
        session.decode(0, &message.octets, &mut printer).unwrap();
    }
    String::from_utf8(printer.out).unwrap()
}

#[test]
fn columns_come_in_the_order_asked_for_and_are_empty_where_there_is_nothing() {
    let columns = "domain octetDeltaCount sourceIPv6Address sourceIPv4Address octetDeltaCount#2 number";
    let fields = [(8, 4), (1, 8), (1, 2)];
    let line = rows(columns, &fields, None, |record| {
        record.ipv4([192, 0, 2, 1].into()).unsigned(9, 8).unsigned(5, 2);
    });
    assert_eq!(line, "7,9,,192.0.2.1,5,\r\n");
    let number = Number { series: SERIES, number: 42 };
    let line = rows("ledger epoch number", &[(4, 1)], Some(number), |record| {
        record.unsigned(6, 1);
    });
    assert_eq!(line, format!("{},3,42\r\n", "a1".repeat(16)));
}

#[test]
fn a_field_is_quoted_where_it_must_be_and_a_record_is_one_line() {
    let text = |text: &[u8]| {
        rows("interfaceName protocolIdentifier", &[(82, 65535), (4, 1)], None, |record| {
            record.variable(text).unsigned(6, 1);
        })
    };
    assert_eq!(text(b"eth0"), "eth0,6\r\n");
    assert_eq!(text(b""), ",6\r\n");
    assert_eq!(text(b"a,b"), "\"a,b\",6\r\n");
    assert_eq!(text(b"\"a\" \"\""), "\"\"\"a\"\" \"\"\"\"\",6\r\n");
    assert_eq!(text(b"a\r\nb\x07\xff\xc2\x85"), "a\\r\\nb\\u0007\u{fffd}\\u0085,6\r\n");
}

#[test]
fn an_element_without_a_name_is_asked_for_by_its_number() {
    assert_eq!("e0id1".parse::<Column>().unwrap().content, Content::Element { pen: 0, id: 1, nth: 0 });
    assert_eq!("e9id5#3".parse::<Column>().unwrap().content, Content::Element { pen: 9, id: 5, nth: 2 });
    let error = "octetDeltaCuont".parse::<Column>().unwrap_err().to_string();
    assert!(error.starts_with("`octetDeltaCuont` is no information element"), "{error}");
    assert!("octetDeltaCount#1".parse::<Column>().is_err());
}

#[test]
fn the_header_names_the_columns() {
    let columns: Vec<Column> = ["number", "octetDeltaCount"].map(|name| name.parse().unwrap()).into();
    let mut out = Vec::new();
    header(&mut out, &columns);
    assert_eq!(out, b"number,octetDeltaCount\r\n");
}
