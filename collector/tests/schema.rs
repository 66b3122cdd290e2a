//! The schema of the lines (deploy/schemas): made of the registry, and every kind of line is valid against it.

mod schema {
    pub(crate) mod validator;
}
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use ipfix::{
    DataType, ExportingConfig, ExportingSession, FieldSpecifier, ListSemantic, RecordWriter, TemplateRecord,
    ie,
};
use schema::validator::validate;
use serde_json::{Map, Value, json};
use world::{Collector, Directory, Exporter, address, output, pool, read};

/// The file of the schema, from the package's directory.
const SCHEMA: &str = "../deploy/schemas/flow-record.schema.json";

/// Returns the name of the definition for values of a type.
fn definition(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Unsigned8 | DataType::Unsigned16 | DataType::Unsigned32 | DataType::Unsigned64 => {
            "unsigned"
        }
        DataType::Signed8 | DataType::Signed16 | DataType::Signed32 | DataType::Signed64 => "signed",
        DataType::Float32 | DataType::Float64 => "float",
        DataType::Boolean => "boolean",
        DataType::MacAddress => "macAddress",
        DataType::String => "string",
        DataType::DateTimeSeconds
        | DataType::DateTimeMilliseconds
        | DataType::DateTimeMicroseconds
        | DataType::DateTimeNanoseconds => "dateTime",
        DataType::Ipv4Address => "ipv4Address",
        DataType::Ipv6Address => "ipv6Address",
        DataType::BasicList | DataType::SubTemplateList | DataType::SubTemplateMultiList => "list",
        // Other types are told by their octets.
        _ => "octets",
    }
}

/// Makes the schema.
fn make() -> Value {
    let octets = json!({ "$ref": "#/$defs/octets" });
    let or_octets = |value: Value| json!({ "anyOf": [value, octets] });
    let text = |pattern: &str| or_octets(json!({ "type": "string", "pattern": pattern }));
    let definitions = json!({
        "octets": { "description": "Hexadecimal, two digits for each octet; values whose length does not fit their type are told so.",
            "type": "string", "pattern": "^([0-9a-f]{2})*$" },
        "unsigned": or_octets(json!({ "type": "integer", "minimum": 0 })),
        "signed": or_octets(json!({ "type": "integer" })),
        "float": or_octets(json!({ "description": "null: no number, or infinite", "type": ["number", "null"] })),
        "boolean": or_octets(json!({ "type": "boolean" })),
        "macAddress": text("^([0-9a-f]{2}:){5}[0-9a-f]{2}$"),
        "string": { "type": "string" },
        "dateTime": { "anyOf": [
            { "description": "RFC 3339, in UTC", "type": "string",
                "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.([0-9]{3}|[0-9]{6}|[0-9]{9})Z$" },
            { "description": "After the year 9999: milliseconds since 1970", "type": "integer", "minimum": 0 },
            octets,
        ] },
        "ipv4Address": text("^[0-9]{1,3}(\\.[0-9]{1,3}){3}$"),
        "ipv6Address": text("^[0-9a-f:.]{2,45}$"),
        "list": { "type": ["string", "array", "object"] },
    });
    let mut properties = Map::new();
    let identity = |description: &str, more: Value| {
        let mut property = json!({ "description": description });
        property.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        property
    };
    let number = json!({ "type": "integer", "minimum": 0 });
    let ledger = json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" });
    properties.insert("ledger".into(), identity("Who numbers the records.", ledger));
    properties.insert("epoch".into(), identity("Count of the ledger's beginnings.", number.clone()));
    properties.insert("domain".into(), identity("Observation domain.", number.clone()));
    properties.insert(
        "number".into(),
        identity("Number of the record: with the other three, its identity.", number),
    );
    properties.insert(
        "options".into(),
        identity("The record is of an options template.", json!({ "const": true })),
    );
    properties.insert(
        "direction".into(),
        identity("The reverse flow of a biflow that was split.", json!({ "const": "reverse" })),
    );
    let mut types: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for element in ie::all() {
        let known = types.entry(element.name).or_default();
        let of_this = definition(element.data_type);
        if !known.contains(&of_this) {
            known.push(of_this);
        }
    }
    for (name, types) in types {
        let references: Vec<_> =
            types.iter().map(|name| json!({ "$ref": format!("#/$defs/{name}") })).collect();
        let property = if let [one] = &references[..] { one.clone() } else { json!({ "anyOf": references }) };
        properties.insert(name.to_owned(), property);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "One line of a [output.NAME.jsonl]: a flow record or an options record",
        "description": "Information elements by IANA's names, as far as the record has them. Others are eNidM (enterprise N, \
            element M). An element that occurs again has #2, #3, ... behind its name. Made by the test of collector/tests/schema.rs.",
        "type": "object",
        "properties": properties,
        "dependentRequired": { "ledger": ["epoch", "domain", "number"], "number": ["ledger", "epoch", "domain"] },
        "additionalProperties": { "type": ["string", "number", "boolean", "null", "array", "object"] },
        "$defs": definitions,
    })
}

#[test]
fn the_schema_is_that_of_the_registry() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMA);
    let text = serde_json::to_string_pretty(&make()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == text,
        "run with UPDATE_GOLDEN=1 and look at the difference"
    );
}

/// Returns the schema as it is shipped.
fn shipped() -> Value {
    serde_json::from_str(&fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMA)).unwrap())
        .unwrap()
}

/// Fails where a line is not valid; returns how many there are.
fn check(lines: &str) -> usize {
    let schema = shipped();
    for line in lines.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if let Err(reason) = validate(&schema, &schema, &value) {
            panic!("{reason}: {line}");
        }
    }
    lines.lines().count()
}

/// Returns a list of this type (RFC 6313) as a field; nothing for other types. Octets at random would be no list.
fn list(data_type: DataType, template: u16) -> Option<Vec<u8>> {
    let (all, port) = (ListSemantic::AllOf, FieldSpecifier::iana(7, 2));
    let mut writer = RecordWriter::new();
    match data_type {
        DataType::BasicList => writer.basic_list(all, port, |list| {
            list.unsigned(80, 2).unsigned(443, 2);
        }),
        DataType::SubTemplateList => writer.sub_template_list(all, template, |_| {}),
        DataType::SubTemplateMultiList => writer.sub_template_multi_list(all, |parts| {
            parts.sub_template_part(template, |_| {}).sub_template_part(65_535, |octets| {
                octets.fixed(&[1, 2]);
            });
        }),
        _ => return None,
    };
    Some(writer.octets().to_vec())
}

/// Returns messages with a record for each element and length, of octets that differ.
fn records(pen: u32, lengths: &[u16]) -> Vec<u8> {
    let mut exporting = ExportingSession::new(ExportingConfig { domain: 1, max_message: 65_000 });
    let (mut octets, mut id) = (Vec::new(), 256);
    for (at, element) in ie::all().iter().filter(|element| element.pen == pen).enumerate() {
        for &length in lengths {
            let list = list(element.data_type, id);
            let length = if list.is_some() { 65_535 } else { length };
            let fields = vec![
                FieldSpecifier { pen, id: element.id, length },
                FieldSpecifier { pen, id: element.id, length },
                FieldSpecifier { pen: 4_000_000_000, id: 1, length: 2 },
            ];
            exporting.define(0, TemplateRecord { id, scope_fields: u16::from(at % 5 == 0), fields }).unwrap();
            for fill in [0, 1, 0x7f, 0xff] {
                if let Some(list) = &list {
                    let record = [list, list, [fill, 0].as_slice()].concat();
                    exporting.record(0, id, &record, 0).unwrap();
                    exporting.record(0, id, &record, 0).unwrap();
                    continue;
                }
                let record: Vec<u8> =
                    (0..2 * length + 2).map(|at| if at % 3 == 0 { fill } else { 0x41 }).collect();
                let same = vec![fill; record.len()];
                exporting.record(0, id, &record, 0).unwrap();
                exporting.record(0, id, &same, 0).unwrap();
            }
            id += 1;
        }
    }
    exporting.flush_all(0);
    while let Some(message) = exporting.poll_message() {
        octets.extend(message.octets);
    }
    octets
}

#[test]
fn lines_of_every_element_in_every_length_are_valid() {
    let directory = Directory::new();
    let file = directory.path("all.ipfix");
    let mut pens: Vec<u32> = ie::all().iter().map(|element| element.pen).collect();
    pens.dedup();
    let mut count = 0;
    // A session has 4096 templates at most.
    let halves = [[1, 2, 3, 4], [6, 8, 16, 20]];
    for (pen, lengths) in pens.into_iter().flat_map(|pen| halves.map(|lengths| (pen, lengths))) {
        fs::write(&file, records(pen, &lengths)).unwrap();
        let decoded =
            Command::new(env!("CARGO_BIN_EXE_ipfix-collector")).arg("decode").arg(&file).output().unwrap();
        assert!(decoded.status.success(), "{}", String::from_utf8_lossy(&decoded.stderr));
        count += check(&String::from_utf8(decoded.stdout).unwrap());
    }
    assert_eq!(count, ie::all().len() * 8 * 8);
}

#[tokio::test]
async fn lines_with_an_identity_are_valid() {
    let directory = Directory::new();
    let collector = Collector::start(&directory, address(), &(output(&directory) + &pool(&directory)));
    let mut exporter = Exporter::connect(&collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..100);
    exporter.send().await;
    exporter.wait_for(0..100).await;
    assert_eq!(check(&read(&directory.path("flows.jsonl"))), 100);
}

#[test]
fn what_is_not_such_a_line_is_not_valid() {
    let schema = shipped();
    let is_valid = |value: Value| validate(&schema, &schema, &value).is_ok();
    assert!(is_valid(json!({ "octetDeltaCount": 1 })));
    assert!(!is_valid(json!({ "octetDeltaCount": -1 })));
    assert!(!is_valid(json!({ "octetDeltaCount": true })));
    assert!(!is_valid(json!({ "sourceIPv4Address": "somewhere" })));
    assert!(!is_valid(json!({ "flowStartMilliseconds": "yesterday" })));
    assert!(!is_valid(json!({ "number": 1 })));
    assert!(!is_valid(json!({ "options": false })));
    assert!(!is_valid(json!([])));
}
