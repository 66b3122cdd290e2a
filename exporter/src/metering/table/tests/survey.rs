use super::*;

/// Surveys the table to its end; returns what was found, and in how many turns.
fn survey(table: &FlowTable) -> (Vec<FlowRecord>, usize) {
    let (mut survey, mut turns) = (table.begin_survey(), 1);
    while table.survey(&mut survey) {
        turns += 1;
    }
    (table.largest(&survey), turns)
}

/// Meters a flow for each source port below `count`, of as many octets.
fn flows(metered: &mut Metered, count: u16) {
    for port in 0..count {
        metered.packet(PacketView { octets: u32::from(port), ..view(port) }, u64::from(port));
    }
}

fn ports(records: &[FlowRecord]) -> Vec<u16> {
    records.iter().map(|record| record.source_port).collect()
}

#[test]
fn the_largest_flows_are_found_a_bounded_number_at_a_turn() {
    let mut metered = Metered::new(config());
    flows(&mut metered, 10_000);
    let (found, turns) = survey(&metered.table);
    assert_eq!(ports(&found), (9_950..10_000).rev().collect::<Vec<_>>());
    assert_eq!(turns, 3, "4,096 flows a turn");
    let before = *metered.table.counters();
    metered.flush();
    let record = metered.out.iter().find(|record| record.source_port == 9_999);
    assert_eq!(found.first(), record, "as if it ended then");
    assert_eq!((before.started, metered.out.len()), (10_000, 10_000), "looking changes nothing");
}

#[test]
fn flows_that_ended_before_or_meanwhile_are_not_told() {
    let mut metered = Metered::new(config());
    flows(&mut metered, 5_000);
    // All of them are over but one, in whose place another one is.
    metered.table.advance(START + 10 * SECOND, &mut metered.out);
    while metered.table.advance(START + 10 * SECOND, &mut metered.out) {}
    metered.packet(PacketView { octets: 7, ..view(1) }, 10 * SECOND);
    assert_eq!(ports(&survey(&metered.table).0), [1]);

    let mut begun = metered.table.begin_survey();
    while metered.table.survey(&mut begun) {}
    metered.table.advance(START + 20 * SECOND, &mut metered.out);
    assert_eq!(metered.table.largest(&begun), []);
    metered.packet(PacketView { octets: 9, ..view(2) }, 20 * SECOND);
    assert_eq!(metered.table.largest(&begun), [], "another flow in its place");
}

#[test]
fn a_biflow_counts_with_what_went_both_ways() {
    let mut metered = Metered::new(MeteringConfig { biflows: true, ..config() });
    metered.packet(PacketView { octets: 60, ..view(1) }, 0);
    // More than are told, and each larger than one direction.
    for port in 2..60 {
        metered.packet(PacketView { octets: 100, ..view(port) }, 0);
    }
    let answer = view(1);
    let answer = PacketView {
        source: answer.destination,
        destination: answer.source,
        source_port: answer.destination_port,
        destination_port: answer.source_port,
        octets: 50,
        ..answer
    };
    metered.packet(answer, MILLISECOND);
    let (found, _) = survey(&metered.table);
    let told = |at: usize| (found[at].octets_both_ways(), found[at].packets_both_ways());
    assert_eq!((found.len(), found[0].source_port), (50, 1));
    assert_eq!((told(0), told(1)), ((110, 2), (100, 1)));
}

#[test]
fn a_table_without_flows_has_none_to_tell() {
    assert_eq!(survey(&FlowTable::new(config(), 1)), (vec![], 1));
}
