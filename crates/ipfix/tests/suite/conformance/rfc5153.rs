//! Points of RFC 5153: what implementations got wrong.

use crate::support::{collecting, decode, message, seen, set, template_set};

/// Section 4.4.1: paddingOctets aligns fields within a record.
#[test]
fn padding_within_a_record_is_a_field_like_any_other() {
    let template = template_set(300, &[(4, 1), (210, 3), (8, 4)]);
    let octets = message(1, 0, &[template, set(300, &[6, 0, 0, 0, 192, 0, 2, 1])]);
    assert_eq!(seen(&mut collecting(), &octets)[1], "record 0 of 1/300: 6 000000 192.0.2.1");
}

/// Section 10.2: a set may be padded to four octets, but where records are that short it must not be.
#[test]
fn octets_enough_for_a_record_are_a_record_whatever_they_were_meant_to_be() {
    let sets = [template_set(300, &[(4, 1), (5, 1)]), set(300, &[6, 0, 0, 0])];
    assert_eq!(decode(&mut collecting(), &message(1, 0, &sets)).unwrap().0.records, 2);
}

/// Section 10.1: templates of NetFlow version 9 have Set ID 0 and 1, which are reserved here.
#[test]
fn the_flow_set_ids_of_netflow_9_define_nothing() {
    let mut as_v9 = template_set(300, &[(4, 1)]);
    as_v9[1] = 0;
    let (summary, told) = decode(&mut collecting(), &message(1, 0, &[as_v9, set(300, &[6])])).unwrap();
    assert_eq!((summary.templates, summary.reserved_sets), (0, 1));
    assert_eq!(told, ["no template 1/300: 1 octets"]);
}
