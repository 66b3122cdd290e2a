//! What becomes of templates in each kind of transport session (RFC 7011 sections 8.1 to 8.4, RFC 5655 section 7.1).
//!
//! Each test plays one story in all four and says where one of them differs.

use ipfix::{CollectingConfig, CollectingSession, Summary, Transport};

use crate::support::{Seen, message, options_template_set, set, template_set, words};

const PROTOCOL: &[(u16, u16)] = &[(4, 1)];
const PORT: &[(u16, u16)] = &[(7, 2)];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Templates come on stream 0, data on stream 7.
    Sctp,
    Tcp,
    Udp,
    /// Messages back to back: the union of what the others may do (RFC 5655 section 7.1).
    File,
}

const KINDS: [Kind; 4] = [Kind::Sctp, Kind::Tcp, Kind::Udp, Kind::File];

/// One session of a kind, fed message by message.
struct Play {
    kind: Kind,
    session: CollectingSession,
    seen: Seen,
    sequence: u32,
}

impl Play {
    fn new(kind: Kind) -> Self {
        let transport = if kind == Kind::Udp { Transport::Udp } else { Transport::Reliable };
        let session = CollectingSession::new(CollectingConfig { transport, ..CollectingConfig::default() });
        Self { kind, session, seen: Seen::default(), sequence: 0 }
    }

    /// Sends a message of templates or withdrawals of a domain.
    fn templates(&mut self, domain: u32, sets: &[Vec<u8>]) -> Summary {
        let octets = message(domain, 0, sets);
        self.session.decode(0, &octets, &mut self.seen).unwrap()
    }

    /// Sends one data set of template 300 in domain 1, and returns what was seen of it.
    fn data(&mut self, octets: &[u8]) -> String {
        let stream = if self.kind == Kind::Sctp { 7 } else { 0 };
        self.seen.0.clear();
        let octets = message(1, self.sequence, &[set(300, octets)]);
        self.sequence += self.session.decode(stream, &octets, &mut self.seen).unwrap().data_records();
        self.seen.0.join(", ")
    }

    fn ids(&self) -> Vec<u16> {
        self.session.templates().map(|(_, template)| template.id()).collect()
    }

    /// Whether withdrawals count (not over UDP: RFC 7011 section 8.4).
    fn withdraws(&self) -> bool {
        self.kind != Kind::Udp
    }
}

fn withdrawal(set_id: u16, template: u16) -> Vec<u8> {
    set(set_id, &words(&[template, 0]))
}

#[test]
fn in_every_session_a_template_that_was_defined_reads_its_data() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        play.templates(1, &[template_set(300, PROTOCOL)]);
        assert_eq!(play.data(&[6, 17]), "record 0 of 1/300: 6, record 1 of 1/300: 17", "{kind:?}");
    }
}

#[test]
fn in_every_session_an_identical_template_is_no_error_and_changes_nothing() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        play.templates(1, &[template_set(300, PROTOCOL)]);
        let serial = play.session.templates().next().unwrap().1.serial();
        let again = play.templates(1, &[template_set(300, PROTOCOL)]);
        assert_eq!((again.templates_repeated, again.templates_changed), (1, 0), "{kind:?}");
        assert_eq!(play.session.templates().next().unwrap().1.serial(), serial, "{kind:?}");
        assert_eq!(play.data(&[6]), "record 0 of 1/300: 6", "{kind:?}");
    }
}

/// Over UDP and in files that is how it is meant; elsewhere it is an exporter's mistake, which is told.
#[test]
fn in_every_session_another_definition_replaces_the_old_one_and_is_told() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        play.templates(1, &[template_set(300, PROTOCOL)]);
        let other = play.templates(1, &[template_set(300, PORT)]);
        assert_eq!((other.templates_changed, other.templates_refused), (1, 0), "{kind:?}");
        assert_eq!(play.data(&[0, 53]), "record 0 of 1/300: 53", "{kind:?}");
    }
}

#[test]
fn a_withdrawn_template_is_gone_except_over_udp() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        play.templates(1, &[template_set(300, PROTOCOL), template_set(301, PORT)]);
        let summary = play.templates(1, &[withdrawal(2, 300)]);
        if play.withdraws() {
            assert_eq!((summary.withdrawals, play.ids()), (1, vec![301]), "{kind:?}");
            assert_eq!(play.data(&[6]), "no template 1/300: 1 octets", "{kind:?}");
        } else {
            assert_eq!((summary.withdrawals_ignored, play.ids()), (1, vec![300, 301]), "{kind:?}");
            assert_eq!(play.data(&[6]), "record 0 of 1/300: 6", "{kind:?}");
        }
    }
}

#[test]
fn withdrawing_all_of_a_kind_takes_that_kind_in_that_domain_except_over_udp() {
    for kind in KINDS {
        let options = options_template_set(310, &[(149, 4), (34, 4)]);
        let mut play = Play::new(kind);
        play.templates(1, &[template_set(300, PROTOCOL), template_set(301, PORT), options.clone()]);
        play.templates(2, &[template_set(302, PROTOCOL)]);
        play.templates(1, &[withdrawal(2, 2)]);
        let left = if play.withdraws() { vec![310, 302] } else { vec![300, 301, 310, 302] };
        assert_eq!(play.ids(), left, "{kind:?}");
        play.templates(1, &[withdrawal(3, 3)]);
        let left = if play.withdraws() { vec![302] } else { vec![300, 301, 310, 302] };
        assert_eq!(play.ids(), left, "{kind:?}");
    }
}

#[test]
fn in_every_session_withdrawing_what_is_unknown_is_ignored_and_told() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        play.templates(1, &[template_set(300, PROTOCOL)]);
        let unknown = [withdrawal(2, 999), withdrawal(3, 300), withdrawal(3, 3)];
        let summary = play.templates(1, &unknown);
        assert_eq!((summary.withdrawals, summary.withdrawals_ignored), (0, 3), "{kind:?}");
        assert_eq!(play.data(&[6]), "record 0 of 1/300: 6", "{kind:?}");
    }
}

#[test]
fn a_template_withdrawn_twice_is_ignored_the_second_time() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        play.templates(1, &[template_set(300, PROTOCOL)]);
        let first = play.templates(1, &[withdrawal(2, 300)]);
        let second = play.templates(1, &[withdrawal(2, 300)]);
        let ignored = (first.withdrawals_ignored, second.withdrawals_ignored);
        assert_eq!(ignored, if play.withdraws() { (0, 1) } else { (1, 1) }, "{kind:?}");
    }
}

#[test]
fn definitions_and_withdrawals_of_one_set_count_in_wire_order() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        // Template 300 defined, withdrawn, defined otherwise, all in one set.
        play.templates(1, &[set(2, &words(&[300, 1, 4, 1, 300, 0, 300, 1, 7, 2]))]);
        assert_eq!(play.data(&[0, 53]), "record 0 of 1/300: 53", "{kind:?}");
        play.templates(1, &[set(2, &words(&[300, 1, 4, 1, 300, 0]))]);
        let gone = "no template 1/300: 1 octets";
        let expected = if play.withdraws() { gone } else { "record 1 of 1/300: 6" };
        assert_eq!(play.data(&[6]), expected, "{kind:?}");
    }
}

#[test]
fn a_withdrawn_id_is_free_for_another_template() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        play.templates(1, &[template_set(300, PROTOCOL)]);
        play.templates(1, &[withdrawal(2, 300)]);
        let summary = play.templates(1, &[template_set(300, PORT)]);
        let changed = u32::from(!play.withdraws());
        assert_eq!(summary.templates_changed, changed, "{kind:?}");
        assert_eq!(play.data(&[0, 53]), "record 0 of 1/300: 53", "{kind:?}");
    }
}

#[test]
fn in_every_session_data_before_its_template_is_passed_on_and_data_behind_it_is_read() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        assert_eq!(play.data(&[6]), "no template 1/300: 1 octets", "{kind:?}");
        play.templates(1, &[template_set(300, PROTOCOL)]);
        assert_eq!(play.data(&[6]), "record 0 of 1/300: 6", "{kind:?}");
    }
}

#[test]
fn in_every_session_the_same_id_in_two_domains_is_two_templates() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        play.templates(1, &[template_set(300, PROTOCOL)]);
        let summary = play.templates(2, &[template_set(300, PORT)]);
        assert_eq!(summary.templates_changed, 0, "{kind:?}");
        assert_eq!(play.data(&[6]), "record 0 of 1/300: 6", "{kind:?}");
        play.templates(2, &[withdrawal(2, 300)]);
        assert_eq!(play.data(&[6]), "record 1 of 1/300: 6", "{kind:?}");
    }
}

#[test]
fn in_every_session_an_id_may_move_from_data_to_options_templates() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        play.templates(1, &[template_set(300, PROTOCOL)]);
        play.templates(1, &[withdrawal(2, 300)]);
        play.templates(1, &[options_template_set(300, &[(149, 4), (35, 1)])]);
        assert_eq!(play.data(&[0, 0, 0, 1, 2]), "record 0 of 1/300: 1 2", "{kind:?}");
        assert_eq!(play.ids(), [300], "{kind:?}");
    }
}

/// Who asks for it: the collector does for UDP alone.
#[test]
fn templates_expire_only_when_asked_and_by_their_last_reception() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        play.session.set_received(100);
        play.templates(1, &[template_set(300, PROTOCOL), template_set(301, PORT)]);
        play.session.set_received(1900);
        play.templates(1, &[template_set(300, PROTOCOL)]);
        assert_eq!(play.session.expire_templates(1000), 1, "{kind:?}");
        assert_eq!((play.ids(), play.data(&[6]).as_str()), (vec![300], "record 0 of 1/300: 6"), "{kind:?}");
    }
}

#[test]
fn nothing_of_a_session_reaches_another_or_survives_a_restart() {
    for kind in KINDS {
        let mut play = Play::new(kind);
        play.templates(1, &[template_set(300, PROTOCOL)]);
        assert_eq!(Play::new(kind).data(&[6]), "no template 1/300: 1 octets", "{kind:?}");
        play.session.restart();
        assert_eq!(play.data(&[6]), "no template 1/300: 1 octets", "{kind:?}");
    }
}
