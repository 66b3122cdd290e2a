//! Template management and the reading of sets by templates (RFC 7011 sections 3.3, 3.4, 7 and 8).

use ipfix::{CollectingConfig, CollectingSession, Transport};

use crate::support::{collecting, decode, message, options_template_set, seen, set, template_set, words};

const PROTOCOL: &[(u16, u16)] = &[(4, 1)];

fn withdrawal(set_id: u16, template: u16) -> Vec<u8> {
    set(set_id, &words(&[template, 0]))
}

#[test]
fn templates_belong_to_one_observation_domain() {
    let mut session = collecting();
    seen(&mut session, &message(1, 0, &[template_set(300, PROTOCOL)]));
    assert_eq!(seen(&mut session, &message(2, 0, &[set(300, &[6])])), ["no template 2/300: 1 octets"]);
    assert_eq!(seen(&mut session, &message(1, 0, &[set(300, &[6])])), ["record 0 of 1/300: 6"]);
}

#[test]
fn a_withdrawn_template_is_gone_and_its_id_free() {
    let mut session = collecting();
    seen(&mut session, &message(1, 0, &[template_set(300, PROTOCOL), template_set(301, PROTOCOL)]));
    let sets = [
        withdrawal(2, 300),
        set(300, &[6]),
        set(301, &[6]),
        template_set(300, &[(7, 2)]),
        set(300, &[0, 53]),
    ];
    assert_eq!(
        seen(&mut session, &message(1, 0, &sets)),
        [
            "withdrawal 1/300",
            "no template 1/300: 1 octets",
            "record 0 of 1/301: 6",
            "template 1/300",
            "record 1 of 1/300: 53"
        ]
    );
}

#[test]
fn definition_and_withdrawal_in_one_set_count_in_wire_order() {
    let mut session = collecting();
    let both = set(2, &words(&[300, 1, 4, 1, 300, 0, 301, 1, 4, 1]));
    let seen = seen(&mut session, &message(1, 0, &[both, set(300, &[6]), set(301, &[6])]));
    assert_eq!(seen[3..], ["no template 1/300: 1 octets", "record 0 of 1/301: 6"]);
}

#[test]
fn withdrawing_all_of_one_kind_leaves_the_other() {
    let options = options_template_set(301, &[(149, 4), (34, 4)]);
    let mut session = collecting();
    seen(&mut session, &message(1, 0, &[template_set(300, PROTOCOL), options.clone()]));
    let (summary, told) = decode(&mut session, &message(1, 0, &[withdrawal(2, 2)])).unwrap();
    assert_eq!((summary.withdrawals, &told[..]), (1, &["withdrawal 1/all options=false".to_owned()][..]));
    assert_eq!(session.templates().map(|(_, template)| template.id()).collect::<Vec<_>>(), [301]);

    seen(&mut session, &message(1, 0, &[template_set(300, PROTOCOL), withdrawal(3, 3)]));
    assert_eq!(session.templates().map(|(_, template)| template.id()).collect::<Vec<_>>(), [300]);
}

#[test]
fn withdrawing_in_one_domain_leaves_the_other() {
    let mut session = collecting();
    seen(&mut session, &message(1, 0, &[template_set(300, PROTOCOL)]));
    seen(&mut session, &message(2, 0, &[template_set(300, PROTOCOL), withdrawal(2, 2)]));
    assert_eq!(session.templates().map(|(domain, _)| domain).collect::<Vec<_>>(), [1]);
}

#[test]
fn withdrawals_of_unknown_templates_and_of_the_wrong_kind_are_counted_and_ignored() {
    let mut session = collecting();
    let sets = [template_set(300, PROTOCOL), withdrawal(2, 999), withdrawal(3, 300), withdrawal(3, 3)];
    let (summary, _) = decode(&mut session, &message(1, 0, &sets)).unwrap();
    assert_eq!((summary.withdrawals, summary.withdrawals_ignored), (0, 3));
    assert_eq!(session.templates().count(), 1);
}

#[test]
fn withdrawals_are_ignored_over_udp() {
    let mut session =
        CollectingSession::new(CollectingConfig { transport: Transport::Udp, ..CollectingConfig::default() });
    let sets = [template_set(300, PROTOCOL), withdrawal(2, 300), withdrawal(2, 2), set(300, &[6])];
    let (summary, seen) = decode(&mut session, &message(1, 0, &sets)).unwrap();
    assert_eq!((summary.withdrawals_ignored, summary.records), (2, 1));
    assert_eq!(seen, ["template 1/300", "record 0 of 1/300: 6"]);
}

#[test]
fn a_repeated_template_is_the_same_and_a_different_one_is_told_and_replaces_it() {
    let mut session = collecting();
    let (first, _) = decode(&mut session, &message(1, 0, &[template_set(300, PROTOCOL)])).unwrap();
    let serial = session.templates().next().unwrap().1.serial();
    let (again, _) = decode(&mut session, &message(1, 0, &[template_set(300, PROTOCOL)])).unwrap();
    assert_eq!(session.templates().next().unwrap().1.serial(), serial);
    let (other, _) = decode(&mut session, &message(1, 0, &[template_set(300, &[(7, 2)])])).unwrap();
    assert_eq!((first.templates_changed, again.templates_changed, other.templates_changed), (0, 0, 1));
    assert_eq!((first.templates_repeated, again.templates_repeated, other.templates_repeated), (0, 1, 0));
    assert_ne!(session.templates().next().unwrap().1.serial(), serial);
    assert_eq!(seen(&mut session, &message(1, 0, &[set(300, &[0, 53])])), ["record 0 of 1/300: 53"]);
}

#[test]
fn data_before_its_redefinition_is_read_by_the_old_template() {
    let mut session = collecting();
    seen(&mut session, &message(1, 0, &[template_set(300, PROTOCOL)]));
    let sets = [set(300, &[6, 17]), template_set(300, &[(7, 2)]), set(300, &[0, 53])];
    assert_eq!(
        seen(&mut session, &message(1, 0, &sets)),
        ["record 0 of 1/300: 6", "record 1 of 1/300: 17", "template 1/300", "record 2 of 1/300: 53"]
    );
}

#[test]
fn padding_shorter_than_a_record_is_skipped_in_every_set() {
    let padded = |set_id: u16, record: &[u16]| set(set_id, &[words(record), vec![0; 3]].concat());
    let sets = [
        padded(2, &[300, 1, 1, 4]),
        padded(3, &[301, 1, 1, 149, 4]),
        set(300, &[0, 0, 0, 9, 0, 0, 0]),
        set(301, &[0, 0, 0, 1, 0]),
    ];
    let (summary, seen) = decode(&mut collecting(), &message(1, 0, &sets)).unwrap();
    assert_eq!(seen[2..], ["record 0 of 1/300: 9", "record 1 of 1/301: 1"]);
    assert_eq!((summary.records, summary.options_records), (1, 1));
}

#[test]
fn a_template_sets_rest_of_zeros_is_padding_whatever_its_length() {
    let long = set(2, &[words(&[300, 1, 4, 1]), vec![0; 9]].concat());
    assert_eq!(seen(&mut collecting(), &message(1, 0, &[long, set(300, &[6])])).len(), 2);
}

#[test]
fn both_length_forms_are_read_also_a_short_value_in_the_long_form() {
    let mut session = collecting();
    let template = template_set(300, &[(82, 65535), (4, 1)]);
    let data = set(300, &[0, 1, 255, 0, 2, b'a', b'b', 2, 2, b'c', b'd', 3, 255, 0, 0, 4, 0]);
    let seen = seen(&mut session, &message(1, 0, &[template, data]));
    let expected = [
        "record 0 of 1/300:  1",
        "record 1 of 1/300: ab 2",
        "record 2 of 1/300: cd 3",
        "record 3 of 1/300:  4",
    ];
    assert_eq!(seen[1..], expected);
}

#[test]
fn a_set_may_hold_more_than_a_thousand_records() {
    let sets = [template_set(300, PROTOCOL), set(300, &vec![6; 60_000])];
    assert_eq!(decode(&mut collecting(), &message(1, 0, &sets)).unwrap().0.records, 60_000);
}

#[test]
fn enterprise_and_unknown_elements_survive_as_octets() {
    let template = set(2, &words(&[300, 3, 0x8001, 2, 0, 32473, 0x7ffe, 3, 0x8000 | 2, 65535, 0, 8057]));
    let data = set(300, &[0xca, 0xfe, 1, 2, 3, 1, b'x']);
    let mut session = collecting();
    let text = ipfix::view::message(&mut session, 0, &message(1, 0, &[template, data])).unwrap();
    let lines: Vec<&str> = text.lines().skip(1).map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "template 300",
            "e32473id1 (32473/1), 2 octets",
            "e0id32766 (32766), 3 octets",
            "DNSName (8057/2), variable",
            "record 0 of template 300",
            "e32473id1 = cafe",
            "e0id32766 = 010203",
            "DNSName = x"
        ]
    );
}

#[test]
fn reserved_sets_are_skipped_and_counted() {
    let sets = [
        set(0, &[1, 2]),
        set(1, &[]),
        set(4, &[9; 8]),
        set(255, &[]),
        template_set(300, PROTOCOL),
        set(300, &[6]),
    ];
    let (summary, seen) = decode(&mut collecting(), &message(1, 0, &sets)).unwrap();
    assert_eq!((summary.reserved_sets, summary.reserved_octets, seen.len()), (4, 6 + 4 + 12 + 4, 2));
}

#[test]
fn options_records_count_in_the_sequence_too() {
    let mut session = collecting();
    let options = options_template_set(301, &[(149, 4), (34, 1)]);
    let first = message(
        1,
        0,
        &[template_set(300, PROTOCOL), options, set(301, &[0, 0, 0, 1, 100]), set(300, &[6, 17])],
    );
    let (summary, told) = decode(&mut session, &first).unwrap();
    assert_eq!((summary.records, summary.options_records), (2, 1));
    assert_eq!(told[2..], ["record 0 of 1/301: 1 100", "record 1 of 1/300: 6", "record 2 of 1/300: 17"]);
    assert!(!decode(&mut session, &message(1, 3, &[set(300, &[6])])).unwrap().0.out_of_sequence);
}

#[test]
fn a_template_whose_records_have_no_octets_is_refused_and_its_data_passed_on() {
    let sets = [template_set(300, &[(82, 0), (96, 0)]), set(300, &[0, 0])];
    let (summary, seen) = decode(&mut collecting(), &message(1, 0, &sets)).unwrap();
    assert_eq!((summary.templates, summary.templates_refused), (0, 1));
    assert_eq!(seen, ["no template 1/300: 2 octets"]);
}

#[test]
fn a_field_of_length_zero_beside_others_is_read_as_nothing() {
    let sets = [template_set(300, &[(82, 0), (4, 1)]), set(300, &[6])];
    assert_eq!(seen(&mut collecting(), &message(1, 0, &sets))[1], "record 0 of 1/300:  6");
}

#[test]
fn templates_beyond_the_limit_are_refused_and_counted() {
    let config = CollectingConfig { max_templates: 2, ..CollectingConfig::default() };
    let mut session = CollectingSession::new(config);
    let sets = [300, 301, 302].map(|id| template_set(id, PROTOCOL));
    let (summary, _) = decode(&mut session, &message(1, 0, &sets)).unwrap();
    assert_eq!((summary.templates, summary.templates_refused), (2, 1));
    let (summary, _) = decode(&mut session, &message(1, 0, &[template_set(301, &[(7, 2)])])).unwrap();
    assert_eq!((summary.templates, summary.templates_refused, session.templates().count()), (1, 0, 2));
}

#[test]
fn a_template_beyond_the_octet_limit_is_refused_and_the_one_it_replaces_removed() {
    let config = CollectingConfig { max_template_octets: 1000, ..CollectingConfig::default() };
    let mut session = CollectingSession::new(config);
    seen(&mut session, &message(1, 0, &[template_set(300, PROTOCOL)]));
    let long = template_set(300, &[(4, 1); 1000]);
    let (summary, seen) = decode(&mut session, &message(1, 0, &[long, set(300, &[6])])).unwrap();
    assert_eq!(summary.templates_refused, 1);
    assert_eq!(seen, ["no template 1/300: 1 octets"]);
}

#[test]
fn a_restart_of_the_association_forgets_templates_and_positions() {
    let mut session = collecting();
    seen(&mut session, &message(1, 500, &[template_set(300, PROTOCOL), set(300, &[6])]));
    session.restart();
    let (summary, _) = decode(&mut session, &message(1, 0, &[set(300, &[6])])).unwrap();
    assert_eq!((summary.no_template_sets, summary.out_of_sequence), (1, false));
}

#[test]
fn sequences_of_records_after_a_set_without_template_are_marked_unsure() {
    struct Certain(Vec<bool>);
    impl ipfix::Visitor for Certain {
        fn record(&mut self, record: &ipfix::Record<'_>) {
            self.0.push(record.sequence_certain);
        }
    }
    let mut certain = Certain(Vec::new());
    let sets = [template_set(300, PROTOCOL), set(300, &[6]), set(301, &[1]), set(300, &[6])];
    collecting().decode(0, &message(1, 0, &sets), &mut certain).unwrap();
    assert_eq!(certain.0, [true, false]);
}

#[test]
fn streams_have_sequence_numbers_of_their_own_but_share_templates() {
    let mut session = collecting();
    seen(&mut session, &message(1, 0, &[template_set(300, PROTOCOL), set(300, &[6; 5])]));
    let mut other = crate::support::Seen::default();
    let first = session.decode(7, &message(1, 0, &[set(300, &[6])]), &mut other).unwrap();
    let second = session.decode(7, &message(1, 1, &[set(300, &[6])]), &mut other).unwrap();
    assert_eq!((first.records, first.out_of_sequence, second.out_of_sequence), (1, false, false));
}

#[test]
fn a_template_of_many_empty_fields_is_refused() {
    let fields = |empty: usize| [vec![(82, 0); empty], vec![(4, 1)]].concat();
    let sets = [template_set(300, &fields(16)), template_set(301, &fields(17))];
    let (summary, _) = decode(&mut collecting(), &message(1, 0, &sets)).unwrap();
    assert_eq!((summary.templates, summary.templates_refused), (1, 1));
}

#[test]
fn templates_not_repeated_in_time_expire() {
    let mut session = collecting();
    let at = |time: u32, sets: &[Vec<u8>]| {
        let mut message = message(1, 0, sets);
        message[4..8].copy_from_slice(&time.to_be_bytes());
        message
    };
    seen(&mut session, &at(1000, &[template_set(300, PROTOCOL), template_set(301, PROTOCOL)]));
    seen(&mut session, &at(2000, &[template_set(301, PROTOCOL)]));
    assert_eq!(session.expire_templates(1000), 0);
    assert_eq!(session.expire_templates(1001), 1);
    assert_eq!(session.templates().map(|(_, template)| template.id()).collect::<Vec<_>>(), [301]);
}
