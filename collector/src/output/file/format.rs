//! What files of one kind hold.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;

use super::super::batch::Form;

/// How the records of a form become the octets of a file.
///
/// The file is only ever appended to, and is cut nowhere but behind a batch, so that a format need not know what has
/// reached the disk.
pub(crate) trait Format: fmt::Debug + Send {
    /// Starts a file: forgets the one before, and appends what every file begins with.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Returns whether a file may take in another batch with this form; else another file must be begun.
    fn has_room(&self, _form: &Form) -> bool {
        true
    }

    /// Appends these records of the form: whole ones, all of one kind.
    fn append(&mut self, out: &mut Vec<u8>, form: &Form, records: Range<usize>);

    /// Ends what may stand between two batches.
    fn settle(&mut self, _out: &mut Vec<u8>) {}

    /// Returns the octets of the first record in `octets`.
    fn record_length(&self, octets: &[u8]) -> usize;

    /// Returns where the last whole record of a file ends that was not closed in order, `length` octets long.
    fn whole(&self, file: &mut File, length: u64) -> io::Result<u64>;
}
