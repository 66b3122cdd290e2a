//! Turns `registry/*.csv` into the sorted table of information elements (`src/ie/mod.rs` includes it).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

/// Enterprise registries; where two define the same element, the earlier file wins.
const ENTERPRISE: [&str; 10] = [
    "cert",
    "cert-yaf-dpi",
    "cesnet",
    "cisco",
    "flowmon",
    "netscaler",
    "vmware",
    "vmware-nsx",
    "huawei",
    "nokia",
];

/// Reverse Information Element Private Enterprise Number (RFC 5103 section 6.1).
const REVERSE_PEN: u32 = 29305;

/// CERT (YAF, SiLK) numbers the reverse of its own elements by this bit.
const CERT_PEN: u32 = 6871;
const CERT_REVERSE: u16 = 0x4000;

/// Elements without a direction: flowId, templateId, observationDomainId, commonPropertiesId,
/// paddingOctets, biflowDirection (RFC 5103 section 6.1).
const NOT_REVERSIBLE: [u16; 6] = [148, 145, 149, 137, 210, 239];

/// Registry groups without a direction: process configuration and process statistics.
const NOT_REVERSIBLE_GROUPS: [&str; 2] = ["config", "processCounter"];

struct Element {
    name: String,
    data_type: String,
    semantics: String,
    units: String,
    deprecated: bool,
}

fn main() {
    println!("cargo::rerun-if-changed=registry");
    println!("cargo::rerun-if-changed=build.rs");
    let mut table = BTreeMap::new();
    read_iana(&mut table);
    for file in ENTERPRISE {
        read_enterprise(file, &mut table);
    }
    let target = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("elements.rs");
    fs::write(target, source(&table)).expect("the table is writable");
}

fn rows(file: &str) -> Vec<Vec<String>> {
    let path = format!("registry/{file}.csv");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(!text.contains('"'), "{path}: quoted CSV fields are not supported");
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// ElementID,Name,AbstractDataType,Semantics,Status,Units,Range,Group,Applicability,Revision,Date,References
fn read_iana(table: &mut BTreeMap<(u32, u16), Element>) {
    for row in rows("iana") {
        // Ranges ("105-127") and reserved numbers have no data type.
        let (Ok(id), false) = (row[0].parse::<u16>(), row[2].is_empty()) else { continue };
        let element = |name: String| Element {
            name,
            data_type: row[2].clone(),
            semantics: row[3].clone(),
            units: row[5].clone(),
            deprecated: row[4] == "deprecated",
        };
        table.insert((0, id), element(row[1].clone()));
        if !NOT_REVERSIBLE.contains(&id) && !NOT_REVERSIBLE_GROUPS.contains(&row[7].as_str()) {
            table.insert((REVERSE_PEN, id), element(reverse_name(&row[1])));
        }
    }
}

/// PEN,ElementID,Name,AbstractDataType,Semantics,Units
fn read_enterprise(file: &str, table: &mut BTreeMap<(u32, u16), Element>) {
    for row in rows(file) {
        let number = |text: &str| text.parse::<u32>().unwrap_or_else(|_| panic!("{file}: {row:?}"));
        let key = (number(&row[0]), u16::try_from(number(&row[1])).expect("an element id"));
        let element = |name: String| Element {
            name,
            data_type: row[3].clone(),
            semantics: row[4].clone(),
            units: row[5].clone(),
            deprecated: false,
        };
        let (pen, id) = key;
        if pen == CERT_PEN && id & CERT_REVERSE == 0 && !row[2].contains("everse") {
            table.entry((pen, id | CERT_REVERSE)).or_insert_with(|| element(reverse_name(&row[2])));
        }
        table.entry(key).or_insert_with(|| element(row[2].clone()));
    }
}

fn reverse_name(name: &str) -> String {
    format!("reverse{}", capitalised(name))
}

fn source(table: &BTreeMap<(u32, u16), Element>) -> String {
    let mut out = format!("static ELEMENTS: [InformationElement; {}] = [\n", table.len());
    for ((pen, id), element) in table {
        let Element { name, data_type, semantics, units, deprecated } = element;
        let (data_type, semantics) = (capitalised(data_type), capitalised(semantics));
        let semantics = if semantics.is_empty() { "Default" } else { &semantics };
        writeln!(
            out,
            "    InformationElement {{ pen: {pen}, id: {id}, name: {name:?}, data_type: DataType::{data_type}, \
             semantics: Semantics::{semantics}, units: {units:?}, deprecated: {deprecated} }},"
        )
        .expect("writing to a String");
    }
    out.push_str("];\n\n/// Positions in `ELEMENTS`, sorted by name, IANA elements first among equals.\n");
    let mut names: Vec<_> =
        table.iter().enumerate().map(|(at, ((pen, id), e))| (e.name.as_str(), *pen, *id, at)).collect();
    names.sort_unstable();
    writeln!(out, "static BY_NAME: [u16; {}] = [", names.len()).expect("writing to a String");
    for line in names.chunks(16) {
        let line: Vec<_> = line.iter().map(|(.., at)| at.to_string()).collect();
        writeln!(out, "    {},", line.join(", ")).expect("writing to a String");
    }
    out.push_str("];\n");
    out
}

fn capitalised(word: &str) -> String {
    word.get(..1).map(str::to_uppercase).unwrap_or_default() + word.get(1..).unwrap_or_default()
}
