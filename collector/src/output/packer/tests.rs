use std::fs;

use ipfix::{
    CollectingConfig, CollectingSession, ExportingConfig, ExportingSession, FieldSpecifier, ListSemantic,
    Record, RecordWriter, Visitor,
};

use super::super::batch::{Batch, Rendered, RunKind, Share};
use super::super::form::{self, Forms, Kind};
use super::super::progress::Progress;
use super::*;

/// A record as a reader sees it.
type Seen = (u32, u32, u16, Vec<FieldSpecifier>, Vec<u8>);

#[derive(Default)]
struct Reader {
    records: Vec<Seen>,
    /// Templates that came before the first record.
    templates_first: usize,
    no_template: usize,
}

impl Visitor for Reader {
    fn template(&mut self, _domain: u32, _template: &ipfix::Template) {
        self.templates_first += usize::from(self.records.is_empty());
    }

    fn record(&mut self, record: &Record<'_>) {
        let fields = record.template.to_record().fields;
        let scope = record.template.scope_fields();
        self.records.push((record.domain, record.export_time, scope, fields, record.octets.to_vec()));
    }

    fn no_template(&mut self, _domain: u32, _set_id: u16, _octets: &[u8]) {
        self.no_template += 1;
    }
}

/// Reads messages that stand one behind the other; none is malformed, and no sequence number is missing.
fn read(mut octets: &[u8]) -> Reader {
    let mut session = CollectingSession::new(CollectingConfig::default());
    let mut reader = Reader::default();
    while !octets.is_empty() {
        let (message, rest) = octets.split_at(u16::from_be_bytes([octets[2], octets[3]]).into());
        let summary = session.decode(0, message, &mut reader).unwrap();
        assert_eq!((summary.lost, summary.late), (0, 0));
        octets = rest;
    }
    assert_eq!(reader.no_template, 0);
    reader
}

/// Renders what a session decodes.
struct Renders {
    forms: super::super::form::Renderers,
    rendered: Rendered,
    json: Json,
}

impl Visitor for Renders {
    fn record(&mut self, record: &Record<'_>) {
        let kind = if record.template.is_options() { RunKind::Options } else { RunKind::Plain };
        self.rendered.begin(kind);
        self.forms.record(&mut self.rendered, record, None);
        self.json.record(record);
    }
}

/// A template's id, number of scope fields, and fields.
type Shape<'a> = (u16, u16, &'a [(u32, u16, u16)]);

/// An exporter and the collector's session with it.
struct Session {
    exporting: ExportingSession,
    collecting: CollectingSession,
    renders: Renders,
}

impl Session {
    fn new(domain: u32, templates: &[Shape<'_>]) -> Self {
        let mut exporting = ExportingSession::new(ExportingConfig { domain, max_message: 1400 });
        for &(id, scope_fields, fields) in templates {
            let fields = fields.iter().map(|&(pen, id, length)| FieldSpecifier { pen, id, length }).collect();
            exporting.define(0, TemplateRecord { id, scope_fields, fields }).unwrap();
        }
        let (forms, _) = Forms::of([form::Form { kind: Kind::Ipfix, splits_biflows: false }]);
        let (forms, mut rendered) = (forms.renderers(1 << 20), Rendered::default());
        forms.prepare(&mut rendered);
        let collecting = CollectingSession::new(CollectingConfig::default());
        Self { exporting, collecting, renders: Renders { forms, rendered, json: Json::default() } }
    }

    /// Returns the batch with these records.
    fn share(&mut self, records: &[(u16, &[u8])], export_time: u32) -> Share {
        for &(template, octets) in records {
            self.exporting.record(0, template, octets, export_time).unwrap();
        }
        self.exporting.flush_all(export_time);
        while let Some(message) = self.exporting.poll_message() {
            self.collecting.decode(0, &message.octets, &mut self.renders).unwrap();
        }
        Batch::new(self.renders.rendered.take(), Progress::new(0), 1).share(0)
    }
}

fn pack(packer: &mut Packer, out: &mut Vec<u8>, share: &Share) {
    for at in 0..share.books.runs.len() {
        packer.append(out, &share.form, share.form.run(at));
    }
    packer.settle(out);
}

#[test]
fn records_of_several_sessions_keep_their_octets_domains_and_times() {
    // Both use the id 256, in the same domain, for different templates; both have one in common.
    let octets: &[(u32, u16, u16)] = &[(0, 1, 8)];
    let unknown: &[(u32, u16, u16)] = &[(99, 7, 65535), (0, 8, 4)];
    let options: &[(u32, u16, u16)] = &[(0, 149, 4), (0, 41, 8)];
    let mut one = Session::new(7, &[(256, 0, octets), (257, 1, options)]);
    let mut two = Session::new(7, &[(256, 0, unknown), (300, 0, octets)]);
    let mut three = Session::new(9, &[(256, 0, octets)]);
    let (mut packer, mut out) = (Packer::default(), Vec::new());
    packer.begin(&mut out);
    let eight = [1, 2, 3, 4, 5, 6, 7, 8];
    // The length in three octets, which need not be.
    let long = [255, 0, 2, 0xab, 0xcd, 192, 0, 2, 1];
    let short = [1, 0xff, 192, 0, 2, 2];
    pack(&mut packer, &mut out, &one.share(&[(256, &eight), (257, &[9; 12]), (256, &[0; 8])], 1_000));
    pack(&mut packer, &mut out, &two.share(&[(256, &long), (300, &eight), (256, &short)], 900));
    pack(&mut packer, &mut out, &three.share(&[(256, &eight)], 1_100));
    pack(&mut packer, &mut out, &one.share(&[(256, &[7; 8])], 1_001));

    let reader = read(&out);
    let fields = |fields: &[(u32, u16, u16)]| -> Vec<FieldSpecifier> {
        fields.iter().map(|&(pen, id, length)| FieldSpecifier { pen, id, length }).collect()
    };
    let expected = [
        (7, 1_000, 0, fields(octets), eight.to_vec()),
        (7, 1_000, 1, fields(options), vec![9; 12]),
        (7, 1_000, 0, fields(octets), vec![0; 8]),
        (7, 900, 0, fields(unknown), long.to_vec()),
        (7, 900, 0, fields(octets), eight.to_vec()),
        (7, 900, 0, fields(unknown), short.to_vec()),
        (9, 1_100, 0, fields(octets), eight.to_vec()),
        (7, 1_001, 0, fields(octets), vec![7; 8]),
    ];
    assert_eq!(reader.records, expected);
    assert_eq!(packer.templates.len(), 4, "one that two sessions have in common is there once");
}

/// Lines of JSON, without the ids of templates.
#[derive(Default)]
struct Json {
    lines: crate::json::Lines,
    out: Vec<u8>,
}

impl Visitor for Json {
    fn record(&mut self, record: &Record<'_>) {
        self.lines.record(&mut self.out, record, None);
    }
}

impl Json {
    /// Reads messages that stand one behind the other.
    fn of(mut messages: &[u8]) -> String {
        let (mut session, mut json) = (CollectingSession::new(CollectingConfig::default()), Self::default());
        while !messages.is_empty() {
            let (message, rest) = messages.split_at(u16::from_be_bytes([messages[2], messages[3]]).into());
            session.decode(0, message, &mut json).unwrap();
            messages = rest;
        }
        json.take()
    }

    fn take(&mut self) -> String {
        let text = String::from_utf8(std::mem::take(&mut self.out)).unwrap();
        let mut parts = text.split("\"template\":");
        let first = parts.next().unwrap().to_owned();
        let is_digit = |octet: char| octet.is_ascii_digit();
        parts.fold(first, |text, part| text + "\"template\":" + part.trim_start_matches(is_digit))
    }
}

/// A record of a subTemplateList of records that have a subTemplateMultiList. The id 256, which this exporter never defined,
/// is one that the file gives to another template.
fn nested(number: u64, leaf: impl Fn(&mut RecordWriter, u64)) -> Vec<u8> {
    let mut writer = RecordWriter::new();
    writer.unsigned(number, 8).sub_template_list(ListSemantic::AllOf, 400, |records| {
        for at in 0..2 {
            records.unsigned(at, 4).sub_template_multi_list(ListSemantic::Ordered, |parts| {
                parts.sub_template_part(401, |records| leaf(records, number + at));
                parts.sub_template_part(256, |octets| {
                    octets.fixed(&[0xab, 0xcd]);
                });
            });
        }
    });
    writer.octets().to_vec()
}

#[test]
fn lists_name_the_templates_of_the_file_whatever_the_ids_of_the_exporters() {
    const SUB: (u32, u16, u16) = (0, 292, 65535);
    const MULTI: (u32, u16, u16) = (0, 293, 65535);
    let branch: &[(u32, u16, u16)] = &[(0, 128, 4), MULTI];
    // Both exporters have the same ids in the same domain; 401 is another template at each.
    let mut one = Session::new(7, &[(300, 0, &[(0, 1, 8), SUB]), (400, 0, branch), (401, 0, &[(0, 2, 8)])]);
    let mut two =
        Session::new(7, &[(300, 0, &[(0, 1, 8), SUB]), (400, 0, branch), (401, 0, &[(0, 82, 65535)])]);
    let counted = |number| {
        nested(number, |writer, value| {
            writer.unsigned(value, 8);
        })
    };
    let named = |number| {
        nested(number, |writer, value| {
            writer.string(&format!("eth{value}"));
        })
    };
    let (mut expected, mut packer, mut out) = (String::new(), Packer::default(), Vec::new());
    packer.begin(&mut out);
    for number in [1, 2] {
        for (session, record) in [(&mut one, counted(number)), (&mut two, named(number))] {
            pack(&mut packer, &mut out, &session.share(&[(300, &record)], 5));
            expected += &session.renders.json.take();
        }
    }
    assert!(
        expected.contains("\"interfaceName\":\"eth3\"") && expected.contains("\"octets\":\"abcd\""),
        "{expected}"
    );
    assert_eq!(Json::of(&out), expected);
    assert_eq!(read(&out).templates_first, 3, "the record, its lists' records and theirs");

    // The next file has them before any record.
    let mut next = Vec::new();
    packer.begin(&mut next);
    pack(&mut packer, &mut next, &two.share(&[(300, &named(9))], 6));
    assert_eq!(Json::of(&next), two.renders.json.take());
}

#[test]
fn the_next_file_begins_with_the_templates_of_the_last_and_counts_from_zero() {
    let mut session = Session::new(7, &[(256, 0, &[(0, 1, 8)]), (257, 0, &[(0, 2, 8)])]);
    let (mut packer, mut first, mut second) = (Packer::default(), Vec::new(), Vec::new());
    packer.begin(&mut first);
    pack(&mut packer, &mut first, &session.share(&[(256, &[1; 8]), (257, &[2; 8])], 5));
    packer.begin(&mut second);
    assert!(!second.is_empty());
    pack(&mut packer, &mut second, &session.share(&[(257, &[3; 8])], 6));
    assert_eq!(read(&first).records.len(), 2);
    let reader = read(&second);
    assert_eq!((reader.records.len(), reader.templates_first), (1, 2));
    let first_message = &second[..u16::from_be_bytes([second[2], second[3]]).into()];
    assert_eq!(Header::decode(first_message).unwrap().sequence, 0);
}

#[test]
fn messages_do_not_grow_beyond_their_length() {
    let mut session = Session::new(7, &[(256, 0, &[(0, 82, 65535)])]);
    let (mut packer, mut out) = (Packer::default(), Vec::new());
    packer.begin(&mut out);
    let mut record = vec![255, 0x17, 0x70];
    record.resize(3 + 6_000, b'x');
    let records: Vec<(u16, &[u8])> = (0..40).map(|_| (256, record.as_slice())).collect();
    pack(&mut packer, &mut out, &session.share(&records, 5));
    let reader = read(&out);
    assert!(reader.records.len() == 40 && reader.records.iter().all(|seen| seen.4 == record));
}

#[test]
fn a_file_that_was_not_closed_is_whole_up_to_its_last_message() {
    let mut session = Session::new(7, &[(256, 0, &[(0, 1, 8)])]);
    let (mut packer, mut out) = (Packer::default(), Vec::new());
    packer.begin(&mut out);
    pack(&mut packer, &mut out, &session.share(&[(256, &[1; 8])], 5));
    let whole = out.len() as u64;
    pack(&mut packer, &mut out, &session.share(&[(256, &[2; 8])], 5));
    let path = std::env::temp_dir().join(format!("packer-{:016x}", getrandom::u64().unwrap()));
    for (cut, expected) in [(0, out.len() as u64), (1, whole), (24, whole), (28, whole)] {
        let octets = &out[..out.len() - cut];
        fs::write(&path, octets).unwrap();
        let mut file = File::open(&path).unwrap();
        assert_eq!(packer.whole(&mut file, octets.len() as u64).unwrap(), expected, "{cut} octets less");
    }
    fs::write(&path, b"something else, and longer than a header").unwrap();
    assert_eq!(packer.whole(&mut File::open(&path).unwrap(), 40).unwrap(), 0);
    fs::remove_file(&path).unwrap();
}

#[test]
fn templates_do_not_grow_without_bound() {
    let mut packer = Packer::default();
    let mut form = Form::default();
    let template = |domain| {
        let fields = Box::new([FieldSpecifier::iana(1, 8)]);
        Arc::new(FlowTemplate { domain, scope_fields: 0, fields })
    };
    for domain in 0..5_000 {
        assert_eq!(form.place(&template(domain)), domain as usize);
        assert_eq!(form.place(&template(domain)), domain as usize, "it is there once");
    }
    assert!(packer.has_room(&form));
    let mut out = Vec::new();
    for domain in 0..u32::try_from(MAX_TEMPLATES).unwrap() {
        packer.define(&mut out, &template(domain), 0);
    }
    assert!(!packer.has_room(&form));
    // So many are not carried into the next file.
    packer.begin(&mut Vec::new());
    assert!(packer.has_room(&form));
}

#[test]
fn templates_too_many_to_be_remembered_are_in_a_batch_once() {
    let mut session = Session::new(7, &[(256, 0, &[(0, 1, 8)]), (257, 0, &[(0, 2, 8)])]);
    // Room for neither.
    session.renders.forms =
        Forms::of([form::Form { kind: Kind::Ipfix, splits_biflows: false }]).0.renderers(1);
    let records: Vec<(u16, &[u8])> =
        (0..100).map(|at| if at % 2 == 0 { (256, &[1; 8][..]) } else { (257, &[2; 8][..]) }).collect();
    let share = session.share(&records, 5);
    assert_eq!((share.form.templates().len(), share.books.flows), (2, 100));
}
