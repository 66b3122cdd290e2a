//! Encode, decode: whatever template and values, the same come back.

use ipfix::{
    CollectingConfig, CollectingSession, Content, DataType, ExportingConfig, ExportingSession,
    FieldSpecifier, Record, RecordWriter, TemplateRecord, Visitor,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A field and its octets in one record.
type Sample = (FieldSpecifier, Vec<u8>);

#[derive(Debug, Default, PartialEq)]
struct Collected {
    templates: Vec<TemplateRecord>,
    records: Vec<(u32, u16, Vec<Vec<u8>>)>,
}

impl Visitor for Collected {
    fn template(&mut self, _domain: u32, template: &ipfix::Template) {
        self.templates.push(template.to_record());
    }

    fn record(&mut self, record: &Record<'_>) {
        assert!(record.sequence_certain);
        let fields = record.fields().map(|field| field.octets().to_vec()).collect();
        self.records.push((record.sequence, record.template.id(), fields));
    }
}

fn specifier() -> impl Strategy<Value = FieldSpecifier> {
    let pen = prop_oneof![3 => Just(0), 1 => any::<u32>()];
    let length = prop_oneof![3 => 0_u16..20, 1 => Just(65535)];
    // Lists are checked, and what is drawn here is none.
    let is_list = |pen, id| {
        let data_type = ipfix::ie::lookup(pen, id).map(|element| element.data_type);
        matches!(
            data_type,
            Some(DataType::BasicList | DataType::SubTemplateList | DataType::SubTemplateMultiList)
        )
    };
    let specifier =
        (pen, 0_u16..0x8000, length).prop_map(|(pen, id, length)| FieldSpecifier { pen, id, length });
    specifier.prop_filter("no lists", move |field| !is_list(field.pen, field.id))
}

fn octets(specifier: FieldSpecifier) -> impl Strategy<Value = Vec<u8>> {
    let lengths =
        if specifier.is_variable() { 0..=300 } else { specifier.length.into()..=specifier.length.into() };
    vec(any::<u8>(), lengths)
}

/// A template's fields and some records of it.
fn samples() -> impl Strategy<Value = Vec<Vec<Sample>>> {
    let template = vec(specifier(), 1..12)
        .prop_filter("records have octets", |fields| fields.iter().any(|field| field.length > 0));
    template.prop_flat_map(|fields| {
        let record: Vec<_> =
            fields.into_iter().map(|field| octets(field).prop_map(move |octets| (field, octets))).collect();
        vec(record, 1..8)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_exported_is_collected(
        groups in vec((samples(), 0_u16..3, 0_u16..3), 1..5),
        max_message in 512_usize..3000,
        long_form in any::<bool>(),
    ) {
        let mut exporting = ExportingSession::new(ExportingConfig { domain: 9, max_message });
        let mut expected: [Collected; 3] = Default::default();
        let mut sequences = [0; 3];
        for (id, (records, stream, scope)) in (256..).zip(&groups) {
            let fields: Vec<_> = records[0].iter().map(|(specifier, _)| *specifier).collect();
            let scope_fields = (*scope).min(u16::try_from(fields.len()).unwrap());
            let template = TemplateRecord { id, scope_fields, fields };
            exporting.define(*stream, template.clone()).unwrap();
            expected[usize::from(*stream)].templates.push(template);
            for record in records {
                let mut writer = RecordWriter::new();
                for (specifier, octets) in record {
                    match (specifier.is_variable(), long_form) {
                        (false, _) => writer.fixed(octets),
                        (true, false) => writer.variable(octets),
                        (true, true) => writer.variable_long(octets),
                    };
                }
                exporting.record(*stream, id, writer.octets(), 1).unwrap();
                let fields = record.iter().map(|(_, octets)| octets.clone()).collect();
                let sequence = &mut sequences[usize::from(*stream)];
                expected[usize::from(*stream)].records.push((*sequence, id, fields));
                *sequence += 1;
            }
        }
        exporting.flush_all(1);

        let mut collecting = CollectingSession::new(CollectingConfig::default());
        let mut collected: [Collected; 3] = Default::default();
        while let Some(out) = exporting.poll_message() {
            let visitor = &mut collected[usize::from(out.stream)];
            let templates = visitor.templates.len();
            let summary = collecting.decode(out.stream, &out.octets, visitor).unwrap();
            prop_assert_eq!(summary.data_records(), out.records);
            prop_assert_eq!(summary.sequence, out.first_sequence);
            prop_assert_eq!((summary.out_of_sequence, summary.no_template_sets), (false, 0));
            prop_assert_eq!(visitor.templates.len() > templates, out.content == Content::Templates);
            prop_assert!(summary.data_records() == 0 || out.content == Content::DataOnly);
            prop_assert!(out.octets.len() <= max_message || out.records <= 1);
        }
        prop_assert_eq!(collected, expected);
    }

    #[test]
    fn arbitrary_octets_do_not_panic(octets in vec(any::<u8>(), 0..200)) {
        let mut collecting = CollectingSession::new(CollectingConfig::default());
        let _ = collecting.decode(0, &octets, &mut Collected::default());
    }

    #[test]
    fn unsigned_values_that_fit_come_back(value in any::<u64>(), length in 1_u16..=8) {
        let value = value >> (64 - 8 * length);
        let mut writer = RecordWriter::new();
        writer.unsigned(value, length);
        let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 1400 });
        let fields = vec![FieldSpecifier::iana(1, length)];
        exporting.define(0, TemplateRecord { id: 256, scope_fields: 0, fields }).unwrap();
        exporting.record(0, 256, writer.octets(), 0).unwrap();
        exporting.flush(0, 0);
        struct Number(Option<u64>);
        impl Visitor for Number {
            fn record(&mut self, record: &Record<'_>) {
                self.0 = record.field(0).and_then(|field| field.value().as_unsigned());
            }
        }
        let mut number = Number(None);
        let mut collecting = CollectingSession::new(CollectingConfig::default());
        while let Some(out) = exporting.poll_message() {
            collecting.decode(0, &out.octets, &mut number).unwrap();
        }
        prop_assert_eq!(number.0, Some(value));
    }
}
