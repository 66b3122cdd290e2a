//! What the exporter keeps in its state directory between starts: its ledger and the epoch of its last start.
//!
//! ```text
//! ledger 00112233445566778899aabbccddeeff
//! epoch 3
//! ```

use std::str::FromStr;

use crate::identity::{Epoch, Ledger};

/// Names one start of the exporter. The file must be synced before the first record of that start is sent, else
/// two records could get the same identity.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExporterState {
    /// The exporter's books.
    pub ledger: Ledger,
    /// This start.
    pub epoch: Epoch,
}

/// The text is not the state of an exporter.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected the lines `ledger HEX` and `epoch NUMBER`")]
pub struct ExporterStateError;

impl ExporterState {
    /// Returns the state of the start after `last`. `fresh` is a random ledger, taken when there is no last start, or
    /// when its epochs have run out.
    pub fn next(last: Option<Self>, fresh: Ledger) -> Self {
        match last.and_then(|last| Some((last.ledger, last.epoch.0.checked_add(1)?))) {
            Some((ledger, epoch)) => Self { ledger, epoch: Epoch(epoch) },
            None => Self { ledger: fresh, epoch: Epoch(1) },
        }
    }

    /// Returns the file's text.
    pub fn encode(&self) -> String {
        format!("ledger {}\nepoch {}\n", self.ledger, self.epoch)
    }
}

impl FromStr for ExporterState {
    type Err = ExporterStateError;

    fn from_str(text: &str) -> Result<Self, ExporterStateError> {
        let mut lines = text.lines();
        let mut value = |name| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let ledger = value("ledger").and_then(|hex| hex.parse().ok()).ok_or(ExporterStateError)?;
        let epoch = value("epoch").and_then(|number| number.parse().ok()).ok_or(ExporterStateError)?;
        // A file cut short must not pass for an earlier epoch: `epoch 12` for `epoch 123`.
        if !text.ends_with('\n') || lines.next().is_some() {
            return Err(ExporterStateError);
        }
        Ok(Self { ledger, epoch: Epoch(epoch) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Ledger = Ledger([9; 16]);

    #[test]
    fn each_start_has_the_next_epoch_of_the_same_ledger() {
        let first = ExporterState::next(None, FRESH);
        let kept = first.encode().parse().unwrap();
        let second = ExporterState::next(Some(kept), Ledger([1; 16]));
        assert_eq!((first.epoch, second.epoch), (Epoch(1), Epoch(2)));
        assert_eq!((first.ledger, second.ledger), (FRESH, FRESH));
    }

    #[test]
    fn epochs_that_run_out_begin_a_new_ledger() {
        let last = ExporterState { ledger: Ledger([1; 16]), epoch: Epoch(u32::MAX) };
        assert_eq!(ExporterState::next(Some(last), FRESH), ExporterState { ledger: FRESH, epoch: Epoch(1) });
    }

    #[test]
    fn a_file_cut_short_is_refused() {
        let text = ExporterState { ledger: FRESH, epoch: Epoch(123) }.encode();
        for length in 0..text.len() {
            assert_eq!(text[..length].parse::<ExporterState>(), Err(ExporterStateError));
        }
    }
}
