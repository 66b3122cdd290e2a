//! The files of a spool as ordinary tools read them: IPFIX messages one after the other (RFC 5655).

use std::fs;
use std::path::Path;

use ipfix::{CollectingConfig, CollectingSession, Header, Record, Visitor};

struct Records(u32);

impl Visitor for Records {
    fn record(&mut self, _record: &Record<'_>) {
        self.0 += 1;
    }
}

/// In each file, sequence numbers count its data records (RFC 7011 section 3.1) and each record has its template. What
/// follows the last whole message was cut short.
pub(super) fn check(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let octets = fs::read(entry.unwrap().path()).unwrap();
        let mut session = CollectingSession::new(CollectingConfig::default());
        let mut records = Records(0);
        let mut rest = &octets[..];
        while let &[0, 10, high, low, ..] = rest
            && let length = usize::from(u16::from_be_bytes([high, low]))
            && let Some((message, after)) = rest.split_at_checked(length)
        {
            assert!(length > Header::LENGTH, "a message says something");
            let sequence = u32::from_be_bytes(message[8..12].try_into().unwrap());
            assert_eq!(sequence, records.0, "a sequence number counts the data records before it");
            let summary = session.decode(0, message, &mut records).unwrap();
            assert_eq!(summary.no_template_sets, 0, "every record has a template");
            rest = after;
        }
    }
}
