//! Points of RFC 5103.

use ipfix::ie::{self, REVERSE_PEN};

use crate::support::{collecting, message, set, words};

/// Section 6.1: no reverse of identifiers, of process configuration and statistics, and of padding.
#[test]
fn elements_without_a_direction_have_no_reverse() {
    for name in [
        "flowId",
        "templateId",
        "observationDomainId",
        "commonPropertiesId",
        "exporterIPv4Address",
        "exportedMessageTotalCount",
        "paddingOctets",
        "biflowDirection",
    ] {
        let element = ie::by_name(name).unwrap();
        assert_eq!(ie::lookup(REVERSE_PEN, element.id), None, "{name}");
    }
    for name in ["octetDeltaCount", "packetDeltaCount", "tcpControlBits", "flowStartMilliseconds", "vlanId"] {
        let element = ie::by_name(name).unwrap();
        let reverse = ie::lookup(REVERSE_PEN, element.id).unwrap();
        assert_eq!((reverse.data_type, reverse.semantics), (element.data_type, element.semantics), "{name}");
        assert!(reverse.name.starts_with("reverse"), "{name}");
    }
}

#[test]
fn a_reverse_element_is_read_as_its_forward_one_and_has_its_own_name() {
    // octetDeltaCount of four octets, then its reverse (the enterprise number is 29305).
    let template = set(2, &words(&[300, 2, 1, 4, 0x8001, 4, 0, 29_305]));
    let octets = message(1, 0, &[template, set(300, &[0, 0, 0, 9, 0, 0, 1, 0])]);
    let text = ipfix::view::message(&mut collecting(), 0, &octets).unwrap();
    assert!(text.ends_with("    octetDeltaCount = 9\n    reverseOctetDeltaCount = 256\n"), "{text}");
}
