//! What the exporter prints on standard output when it ends: one line of JSON.

use std::io::{self, Write as _};

use delivery::ExporterState;

use crate::failover::Books;

/// The outcome of a run. Numbers are of the whole run.
pub(super) struct Summary<C> {
    pub(super) packets: u64,
    pub(super) books: Books,
    /// Names and books of the classes.
    pub(super) classes: C,
    pub(super) incarnation: ExporterState,
    pub(super) domain: u32,
    pub(super) failovers: u64,
}

impl<'a, C: IntoIterator<Item = (&'a str, Books)>> Summary<C> {
    /// Prints it. A reader that is gone is no error.
    pub(super) fn print(self) -> io::Result<()> {
        match writeln!(io::stdout().lock(), "{}", self.line()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            printed => printed,
        }
    }

    fn line(self) -> String {
        let Self { packets, books, classes, incarnation, domain, failovers } = self;
        let Books { metered, recovered, covered, delivered, waiting, exported, resent, .. } = books;
        let (abandoned, dropped) = (books.abandoned(), books.dropped());
        // Names of classes need no escapes.
        let classes: Vec<String> = classes.into_iter().map(|(name, books)| class(name, &books)).collect();
        let classes = classes.join(",");
        format!(
            "{{\"ledger\":\"{}\",\"epoch\":{},\"domain\":{domain},\"packets\":{packets},\"flows\":{metered},\
             \"recovered\":{recovered},\"covered\":{covered},\"delivered\":{delivered},\"abandoned\":{abandoned},\"dropped\":{dropped},\
             \"waiting\":{waiting},\"exported\":{exported},\"resent\":{resent},\"failovers\":{failovers},\
             \"classes\":[{classes}]}}",
            incarnation.ledger, incarnation.epoch
        )
    }
}

fn class(name: &str, books: &Books) -> String {
    let Books { metered, covered, delivered, waiting, exported, .. } = books;
    let (abandoned, dropped) = (books.abandoned(), books.dropped());
    format!(
        "{{\"class\":\"{name}\",\"flows\":{metered},\"exported\":{exported},\"covered\":{covered},\
         \"delivered\":{delivered},\"abandoned\":{abandoned},\"dropped\":{dropped},\"waiting\":{waiting}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_one_line_of_json() {
        let incarnation = ExporterState { ledger: delivery::Ledger([0xab; 16]), epoch: delivery::Epoch(3) };
        let books = Books { metered: 5, covered: 5, exported: 7, resent: 2, ..Books::default() };
        let classes = [("reliable", books)];
        let line = Summary { packets: 9, books, classes, incarnation, domain: 1, failovers: 1 }.line();
        assert_eq!(
            line,
            "{\"ledger\":\"abababababababababababababababab\",\"epoch\":3,\"domain\":1,\"packets\":9,\"flows\":5,\
             \"recovered\":0,\"covered\":5,\"delivered\":0,\"abandoned\":0,\"dropped\":0,\"waiting\":0,\"exported\":7,\"resent\":2,\
             \"failovers\":1,\"classes\":[{\"class\":\"reliable\",\"flows\":5,\"exported\":7,\"covered\":5,\
             \"delivered\":0,\"abandoned\":0,\"dropped\":0,\"waiting\":0}]}"
        );
    }
}
