//! Whatever octets arrive: no panic, no endless loop, and no state left by a message that is refused.

use ipfix::{CollectingConfig, CollectingSession, Record, TemplateRecord, Visitor};

use crate::random::Random;
use crate::support::{message, options_template_set, set, template_set, words};

/// Reads every field in every way.
#[derive(Default)]
struct ReadAll {
    records: u64,
    other: u64,
}

impl Visitor for ReadAll {
    fn record(&mut self, record: &Record<'_>) {
        self.records += 1;
        let fields = record.fields().inspect(|field| assert!(field.value().to_string().len() < 1 << 20));
        assert_eq!(fields.count(), record.template.fields().len(), "a visited record is whole");
        for at in 0..record.template.fields().len().min(8) {
            assert!(record.field(at).is_some());
        }
        assert!(record.field(record.template.fields().len()).is_none());
    }

    fn no_template(&mut self, _domain: u32, _set_id: u16, _octets: &[u8]) {
        self.other += 1;
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let flow = template_set(300, &[(8, 4), (1, 8), (82, 65535), (4, 1)]);
    let fixed = template_set(302, &[(27, 16), (56, 6), (154, 8), (276, 1)]);
    let enterprise = set(2, &words(&[303, 2, 0x8001, 4, 0, 32473, 96, 65535]));
    let options = options_template_set(301, &[(149, 4), (34, 4), (35, 1)]);
    let data = set(300, &[192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 4, b'e', b't', b'h', b'0', 17]);
    let both =
        [data.clone(), set(301, &[0; 12]), set(302, &[7; 31 * 3 + 2]), set(303, &[1, 2, 3, 4, 255, 0, 1, 9])]
            .concat();
    vec![
        message(1, 0, &[flow.clone(), options.clone(), fixed.clone(), enterprise.clone(), both.clone()]),
        message(1, 3, &[both]),
        message(1, 9, &[set(2, &words(&[300, 0, 302, 0])), set(3, &words(&[3, 0])), flow, data]),
        message(2, 0, &[fixed, options, enterprise, set(2, &words(&[2, 0]))]),
    ]
}

fn state(session: &CollectingSession) -> Vec<(u32, TemplateRecord)> {
    session.templates().map(|(domain, template)| (domain, template.to_record())).collect()
}

#[test]
fn mutated_messages_never_panic_and_commit_nothing_when_refused() {
    let seeds = seeds();
    let mut random = Random(0x5eed);
    let (mut refused, mut accepted, mut read) = (0_u32, 0_u32, ReadAll::default());
    for _ in 0..200 {
        let limits = CollectingConfig { max_templates: 12, max_sequences: 4, ..CollectingConfig::default() };
        let mut session = CollectingSession::new(limits);
        for _ in 0..200 {
            let mut octets = seeds[random.below(seeds.len())].clone();
            random.mutate(&mut octets);
            let before = state(&session);
            let (records, other) = (read.records, read.other);
            if session.decode(0, &octets, &mut read).is_ok() {
                accepted += 1;
            } else {
                refused += 1;
                assert_eq!(state(&session), before, "{octets:02x?}");
                assert_eq!((read.records, read.other), (records, other), "visited although refused");
            }
            assert!(session.templates().count() <= 12);
        }
    }
    assert!(
        refused > 4000 && accepted > 4000 && read.records > 4000,
        "{refused} {accepted} {}",
        read.records
    );
}

#[test]
fn every_truncation_of_a_message_is_refused() {
    for whole in seeds() {
        for length in 0..whole.len() {
            let mut session = CollectingSession::new(CollectingConfig::default());
            let mut cut = whole[..length].to_vec();
            assert!(session.decode(0, &cut, &mut ReadAll::default()).is_err());
            if length >= 16 {
                // With its length field made right, a cut is accepted only between sets or inside padding.
                cut[2..4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
                let _ = session.decode(0, &cut, &mut ReadAll::default());
            }
        }
    }
}

/// Withdrawing all again and again must cost by what there is to withdraw, not by what else is known.
#[test]
fn many_withdrawals_against_many_templates_are_cheap() {
    let mut session = CollectingSession::new(CollectingConfig::default());
    let define = |first: u16| {
        let records: Vec<u16> = (first..first + 2000).flat_map(|id| [id, 1, 4, 1]).collect();
        message(1, 0, &[set(2, &words(&records))])
    };
    session.decode(0, &define(1000), &mut ReadAll::default()).unwrap();
    session.decode(0, &define(3000), &mut ReadAll::default()).unwrap();
    let attack: Vec<u16> = std::iter::repeat_n([300, 1, 1, 149, 4, 3, 0], 4000).flatten().collect();
    let attack = message(1, 0, &[set(3, &words(&attack))]);
    let summary = session.decode(0, &attack, &mut ReadAll::default()).unwrap();
    assert_eq!((summary.options_templates, summary.withdrawals), (4000, 4000));
    assert_eq!(session.templates().count(), 4000);
}
