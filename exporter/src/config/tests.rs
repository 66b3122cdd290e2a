use service::config::parse;

use super::*;
use crate::export::Kind;

const MINIMAL: &str = "[source]\npcap = \"a\"\n[pool]\nkey-file = \"k\"\n";

fn config(text: &str) -> Result<Config, String> {
    parse("exporter.toml", &format!("{MINIMAL}{text}"), validate).map_err(|error| error.to_string())
}

/// Asserts that the text is refused with all of `told`.
#[track_caller]
fn assert_refused(text: &str, told: &[&str]) {
    let error = config(text).err().unwrap_or_else(|| panic!("accepted: {text}"));
    assert!(told.iter().all(|part| error.contains(part)), "{error}\nexpected {told:?}");
}

fn kinds(text: &str) -> Vec<(String, Kind)> {
    let (classes, _) = config(text).unwrap().classes().unwrap();
    classes.iter().map(|(_, class)| (class.name.clone(), class.kind)).collect()
}

#[test]
fn the_key_of_a_class_tells_its_kind_and_their_order_is_that_of_the_file() {
    let text = "
        [class.rest]
        lifetime = \"250ms\"
        [class.alarms]
        priority = 2
        [class.books]
        reliability = \"reliable\"
        [class.dns]
        max-retransmissions = 3
        [class.unreliable]
        [[rule]]
        match = { destinationTransportPort = 53 }
        class = \"dns\"
        [[rule]]
        match = { destinationTransportPort = 54 }
        class = \"books\"
        [[rule]]
        match = { destinationTransportPort = 55 }
        class = \"alarms\"
        [[rule]]
        match = { destinationTransportPort = 56 }
        class = \"unreliable\"
    ";
    let lifetime = std::time::Duration::from_millis(250);
    let expected = [
        ("books", Kind::Reliable),
        ("rest", Kind::Timed { lifetime }),
        ("alarms", Kind::Priority { priority: 2 }),
        ("dns", Kind::Limited { max_retransmissions: 3 }),
        ("unreliable", Kind::Unreliable),
    ];
    assert_eq!(kinds(text), expected.map(|(name, kind)| (name.to_owned(), kind)));
}

#[test]
fn a_class_named_after_a_kind_needs_no_key_and_none_is_reliable() {
    assert_eq!(kinds(""), [("reliable".to_owned(), Kind::Reliable)]);
    assert_eq!(kinds("[class.limited]"), [("limited".to_owned(), Kind::Limited { max_retransmissions: 1 })]);
    let half_a_second = std::time::Duration::from_millis(500);
    assert_eq!(kinds("[class.timed]"), [("timed".to_owned(), Kind::Timed { lifetime: half_a_second })]);
}

#[test]
fn a_class_that_contradicts_itself_is_refused() {
    for (text, told) in [
        ("[class.dns]", "`class.dns`: says nothing of its reliability"),
        ("[class.reliable]\nlifetime = \"1s\"", "`lifetime` does not go with a class that is reliable"),
        ("[class.a]\nlifetime = \"1s\"\npriority = 1", "`lifetime` and `priority` exclude each other"),
        ("[class.\"a b\"]\npriority = 1", "a class is named by 1 to 32 letters"),
        ("[class.a]\nreliability = \"reliable\"\n[class.reliable]", "`a` and `reliable` are both reliable"),
    ] {
        assert_refused(text, &[told, "exporter.toml:5:"]);
    }
    assert_refused("[class.a]\nlivetime = \"1s\"", &["exporter.toml:6:1", "did you mean `lifetime`?"]);
}

const TWO: &str = "[class.reliable]\n[class.dns]\nmax-retransmissions = 1\n";

fn rule(text: &str) -> String {
    format!("{TWO}[[rule]]\nclass = \"dns\"\n{text}\n")
}

#[test]
fn values_are_numbers_ranges_addresses_prefixes_and_lists() {
    for values in [
        "destinationTransportPort = 53",
        "destinationTransportPort = [53, { min = 8000, max = 8999 }]",
        "octetDeltaCount = { min = 10000 }, protocolIdentifier = 6",
        "sourceIPv4Address = \"192.0.2.1\"",
        "sourceIPv4Address = [\"192.0.2.0/24\", \"198.51.100.0/24\"]",
        "sourceIPv6Address = \"2001:db8::/32\"",
    ] {
        config(&rule(&format!("match = {{ {values} }}"))).unwrap();
    }
}

#[test]
fn a_misspelt_element_is_shown_where_it_is_with_the_nearest_one() {
    let text = rule("match = { protocolIdentifier = 6, octetDeltaCont = 1 }");
    assert_refused(&text, &["exporter.toml:10:35", "`octetDeltaCont`", "did you mean `octetDeltaCount`?"]);
    // An element that is good in itself and that no flow record has.
    assert_refused(
        &rule("match = { exporterIPv4Address = \"192.0.2.1\" }"),
        &["rule.0", "no template has all"],
    );
    // One that is neither a number nor an address.
    assert_refused(&rule("match = { interfaceName = 1 }"), &["unknown key", "valid keys"]);
}

#[test]
fn values_that_do_not_go_with_their_element_are_refused() {
    for (values, told) in [
        ("destinationTransportPort = 65536", "`destinationTransportPort` is at most 65535"),
        ("destinationTransportPort = -1", "invalid value"),
        (
            "destinationTransportPort = \"192.0.2.1\"",
            "expected values of `destinationTransportPort` such as 6,",
        ),
        ("destinationTransportPort = { min = 9, max = 8 }", "no number is from 9 to 8"),
        ("destinationTransportPort = { from = 9 }", "unknown key `from`"),
        ("destinationTransportPort = []", "an empty list matches no record"),
        ("destinationTransportPort = [[1]]", "invalid type"),
        ("sourceIPv4Address = 6", "is an address"),
        ("sourceIPv4Address = \"192.0.2.0/33\"", "\"192.0.2.0/24\""),
        ("sourceIPv4Address = \"2001:db8::\"", "\"192.0.2.0/24\""),
        ("sourceIPv6Address = \"192.0.2.1\"", "\"2001:db8::/32\""),
    ] {
        assert_refused(&rule(&format!("match = {{ {values} }}")), &[told, "exporter.toml:10:"]);
    }
}

#[test]
fn a_class_nothing_reaches_or_nobody_defined_is_refused() {
    assert_refused(&rule("").replace("class = \"dns\"", "class = \"dsn\""), &["did you mean `dns`?", ":9:"]);
    // The rule takes everything, so nothing is left to the class that no rule names.
    assert_refused(&rule(""), &["`class.reliable`: no record comes here", "exporter.toml:5:"]);
    assert_refused(
        TWO,
        &["`class.dns`: no record comes here", "exporter.toml:6:", "`reliable` is not named"],
    );
    let both = rule("match = { protocolIdentifier = 6 }") + "[[rule]]\nclass = \"reliable\"\n";
    config(&both).unwrap();
    let late = both.clone() + "[[rule]]\nmatch = { protocolIdentifier = 17 }\nclass = \"dns\"\n";
    assert_refused(&late, &["`rule.2`: matches no record: rule 2 takes them all before it"]);
    let no_rest = both + "match = { protocolIdentifier = 17 }\n";
    assert_refused(&no_rest, &["records that match no rule have no class"]);
    let nothing = rule("match = { sourceIPv4Address = \"192.0.2.1\", sourceIPv6Address = \"::1\" }");
    assert_refused(&nothing, &["`rule.0`: matches no record: no template has all these elements"]);
}

#[test]
fn a_rule_may_be_for_templates() {
    config(&rule("template = \"ipv6\"")).unwrap();
    config(&rule("template = [\"ipv4-icmp\", \"ipv6-icmp\"]")).unwrap();
    assert!(config(&rule("template = \"ipv5\"")).is_err());
}

const UDP: &str = "[source]\npcap = \"a\"\n[udp]\ncollector = \"192.0.2.1:4739\"\n";

fn udp(text: &str) -> Result<Config, String> {
    parse("exporter.toml", &format!("{UDP}{text}"), validate).map_err(|error| error.to_string())
}

#[test]
fn flows_go_to_one_destination() {
    assert!(matches!(config("").unwrap().destination(), Ok(Destination::Pool(_))));
    assert!(matches!(udp("").unwrap().destination(), Ok(Destination::Udp(_))));
    assert_refused("[udp]\ncollector = \"192.0.2.1:4739\"", &["`[pool]` and `[udp]`", "[udp]"]);
    let error = parse("exporter.toml", "[source]\npcap = \"a\"\n", validate);
    let error = error.map(|_: Config| ()).unwrap_err().to_string();
    assert!(error.contains("needs `[pool]`") && error.contains("or `[udp]`"), "{error}");
}

#[test]
fn what_cannot_be_over_udp_is_refused() {
    let refused = |text: &str, told: &str| {
        let error = udp(text).err().unwrap_or_else(|| panic!("accepted: {text}"));
        assert!(error.contains(told), "{error}\nexpected {told}");
    };
    refused("[class.reliable]", "over UDP nothing is sent twice");
    refused("template-refresh = \"0s\"", "at least 1s");
    refused("template-refresh-packets = 0", "at least 1");
    refused("max-message = \"100B\"", "from 448B to 65535B");
    refused("address = \"::1\"", "IP version");
    let nowhere = "[source]\npcap = \"a\"\n[udp]\ncollector = \"0.0.0.0:4739\"\n";
    let error = parse("exporter.toml", nowhere, validate).map(|_: Config| ()).unwrap_err().to_string();
    assert!(error.contains("of one collector"), "{error}");
}

#[test]
fn the_samples_lines_for_udp_are_the_defaults() {
    let sample = include_str!("../../../deploy/config/exporter.toml");
    let lines = sample.lines().skip_while(|line| *line != "# [udp]").skip(1);
    let lines = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("# "));
    let settings: Vec<&str> = lines.filter(|line| line.contains(" = ")).collect();
    assert_eq!(settings.len(), 5);
    // What has no default stands for an example.
    let kept = settings
        .iter()
        .filter(|line| !["collector", "address", "max-message"].iter().any(|key| line.starts_with(key)));
    let kept: Vec<&str> = kept.copied().collect();
    let sample = udp(&kept.join("\n")).unwrap();
    assert_eq!(format!("{:?}", sample.udp), format!("{:?}", udp("").unwrap().udp));
    assert!(
        parse::<Config>("x", &format!("[source]\npcap = \"a\"\n[udp]\n{}", settings.join("\n")), validate)
            .is_ok()
    );
}

#[test]
fn the_timers_are_chosen_by_name() {
    for (text, name) in
        [("", "fast"), ("[profile]\ntimers = \"rfc\"", "rfc"), ("[profile]\ntimers = \"rsplib\"", "rsplib")]
    {
        let timers = config(text).unwrap().profile.timers;
        assert_eq!((timers.transport().name, timers.rserpool().name), (name, name));
    }
    assert_refused("[profile]\ntimers = \"slow\"", &["rsplib"]);
}

#[test]
fn a_restarted_exporter_goes_back_to_its_collector_unless_told_otherwise() {
    let sticky = |line: &str| {
        let text = format!("{MINIMAL}{line}");
        parse::<Config>("exporter.toml", &text, validate).unwrap().pool.unwrap().sticky
    };
    assert!(sticky("") && !sticky("sticky = false"));
    assert!(include_str!("../../../deploy/config/exporter.toml").contains("\nsticky = true\n"));
}

#[test]
fn a_spool_needs_a_place_and_a_size() {
    assert_refused("[retention]\ndurability = \"spool\"\n", &["retention.durability", "state.directory"]);
    let kept = "[state]\ndirectory = \"s\"\n[retention]\n";
    assert_refused(&format!("{kept}durability = \"spool\"\nspool-limit = \"0B\"\n"), &["spool-limit"]);
    assert_refused(&format!("{kept}spool-limit = \"1MiB\"\n"), &["retention.spool-limit", "64MiB"]);
    assert_refused(
        &format!("{kept}memory = \"2GiB\"\n"),
        &["retention.spool-limit", "at least as much as `memory`"],
    );
    let config = config(&format!("{kept}durability = \"spool\"\nspool-limit = \"64MiB\"\n")).unwrap();
    assert_eq!(config.retention.durability, Durability::Spool);
}

fn source(text: &str) -> String {
    let text = format!("[source]\n{text}\n[pool]\nkey-file = \"k\"\n");
    match parse::<Config>("x", &text, validate) {
        Ok(config) => {
            let source = config.packets().unwrap();
            format!("{source} {:?}", source.live_options(None))
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn packets_are_of_files_or_of_interfaces() {
    let live = source("interfaces = [\"eth0\", \"veth*\"]\nthreads = 2\nring = \"1MiB\"\npromiscuous = true");
    for part in ["eth0, veth* ", "readers: 2, ring: 1048576, promiscuous: true"] {
        assert!(live.contains(part), "{live}");
    }
    assert!(source("interfaces = \"lo\"").contains("readers: 1, ring: 33554432, promiscuous: false"));
    for (text, expected) in [
        ("", "needs `pcap` (files) or `interfaces`"),
        ("pcap = \"a\"\ninterfaces = \"lo\"", "one kind of source"),
        ("interfaces = \"lo\"\nspeed = 2", "`pcap` only"),
        ("interfaces = \"lo\"\nloop = 2", "`pcap` only"),
        ("interfaces = \"lo\"\nstart = \"now\"", "`pcap` only"),
        ("pcap = [\"a\", \"-\"]\nloop = 0", "standard input can be read once"),
        ("pcap = \"a\"\nthreads = 2", "`interfaces` only"),
        ("pcap = \"a\"\nring = \"4MiB\"", "`interfaces` only"),
        ("pcap = \"a\"\npromiscuous = true", "`interfaces` only"),
        ("interfaces = \"lo\"\nthreads = 0", "nonzero"),
        ("interfaces = \"lo\"\nthreads = 257", "at most 256"),
        ("interfaces = \"lo\"\nring = \"1KiB\"", "between 1 MiB and 2 GiB"),
        ("interfaces = 5", "a text or a list of texts"),
    ] {
        let error = source(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn fields_keys_and_times_are_chosen_by_name() {
    let chosen = config(
        "[metering]\nfields = \"biflow\"\nadd-fields = [\"flowId\", \"responderOctets\"]\ntimes = \"nanoseconds\"\n\
         keys = [\"ports\", \"vlan\"]\ntcp-linger = \"2s\"",
    );
    let metering = chosen.unwrap().metering();
    assert!(metering.biflows && metering.details && metering.keys.vlan && !metering.keys.interface);
    assert_eq!(metering.end_of_flow, Some(std::time::Duration::from_secs(2)));
    let plain = config("").unwrap().metering();
    assert_eq!(plain, crate::metering::MeteringConfig::default());
}

#[test]
fn fields_that_cannot_be_are_refused() {
    for (text, told) in [
        ("add-fields = [\"flowIdd\"]", "did you mean `flowId`?"),
        ("add-fields = [\"responderOctets\"]", "`responderOctets` tells the two directions of a flow apart"),
        ("fields = \"complete\"", "valid values: `basic`, `full`, `biflow`"),
        ("keys = [\"port\"]", "did you mean `ports`?"),
        ("keys = [\"vlan\"]\ntcp-linger = \"2s\"", "all connections of two hosts are one flow"),
    ] {
        assert_refused(&format!("[metering]\n{text}"), &["exporter.toml:", told]);
    }
}

#[test]
fn a_rule_over_a_field_that_records_have_not_is_refused() {
    let ports = rule("match = { destinationTransportPort = 53 }");
    assert!(config(&ports).is_ok());
    assert_refused(
        &format!("[metering]\nkeys = [\"vlan\"]\n{ports}"),
        &["no template has all these elements"],
    );
}

#[test]
fn sampling_is_one_of_four_methods() {
    use crate::metering::Selector;
    use crate::metering::sampling::HashedPayload;
    let hash = |offset, size| {
        let payload = HashedPayload { offset, size };
        Selector::Hash { probability: 0.5, initialiser: 7, payload }
    };
    for (text, selector) in [
        ("systematic = { space = 99 }", Selector::Systematic { interval: 1, space: 99 }),
        ("random = { size = 3, population = 100 }", Selector::Random { size: 3, population: 100 }),
        ("uniform = { probability = 0.25 }", Selector::Uniform { probability: 0.25 }),
        ("hash = { probability = 0.5, initialiser = 7 }", hash(0, 20)),
        ("hash = { probability = 0.5, initialiser = 7, payload-offset = 64, payload-size = 8 }", hash(64, 8)),
    ] {
        let sampled = config(&format!("[sampling]\n{text}")).unwrap();
        assert_eq!(sampled.metering().sampling, Some(selector));
    }
    for (text, told) in [
        ("systematic = { interval = 0, space = 1 }", "must be at least 1"),
        ("random = { size = 3, population = 2 }", "must be from 1 to `population`"),
        ("uniform = { probability = 0.0 }", "must be above 0 and at most 1"),
        ("hash = { probability = nan }", "must be above 0 and at most 1"),
        ("hash = { probability = 0.5, payload-offset = 65 }", "must be at most 64"),
        ("hash = { probability = 0.5, payload-size = 33 }", "must be from 8 to 32"),
        ("hash = { probability = 0.5, payload-size = 7 }", "must be from 8 to 32"),
        ("systemmatic = { space = 99 }", "systematic"),
    ] {
        assert_refused(&format!("[sampling]\n{text}"), &["exporter.toml:", told]);
    }
}

#[test]
fn options_records_are_sent_every_second_at_most() {
    assert_refused("[export]\noptions-interval = \"500ms\"\n", &["export.options-interval", "at least 1s"]);
    let export = config("[export]\noptions-interval = \"1s\"\nper-stream = true\n").unwrap().export;
    assert!(export.per_stream && export.options_interval.0 == std::time::Duration::from_secs(1));
}
