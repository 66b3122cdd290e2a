//! `ipfix-collector dedupe FILE…`: prints the lines of several collectors' files, each identity once.
//!
//! Streaming; memory grows with the ranges of numbers seen, not with the lines, of which one is held at a time. Lines without
//! identity pass as they are, and the torn last line of a file that was never cut is left out. The reverse flow of a biflow that
//! was split stands behind its forward one and goes with it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use delivery::{Epoch, Holdings, Identity, Ledger};

use crate::json;

const BUFFER: usize = 256 << 10;
/// Octets of a line; a record of the longest message is far below.
const MAX_LINE: u64 = 16 << 20;

/// What was done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Counts {
    printed: u64,
    repeated: u64,
    plain: u64,
    torn: u64,
}

/// Prints the lines of `paths` in order, and on standard error how many of which kind there were.
pub(crate) fn run(paths: &[PathBuf]) -> anyhow::Result<()> {
    let mut out = io::BufWriter::with_capacity(BUFFER, io::stdout().lock());
    let (mut seen, mut counts) = (Holdings::new(), Counts::default());
    for path in paths {
        let done = if path.as_os_str() == "-" {
            dedupe(io::stdin().lock(), &mut out, &mut seen, &mut counts)
        } else {
            File::open(path).and_then(|file| {
                dedupe(BufReader::with_capacity(BUFFER, file), &mut out, &mut seen, &mut counts)
            })
        };
        done.with_context(|| format!("{}", path.display()))?;
    }
    out.flush()?;
    let Counts { printed, repeated, plain, torn } = counts;
    eprintln!("{printed} lines printed ({plain} without identity), {repeated} repeated, {torn} torn");
    Ok(())
}

fn dedupe(
    mut input: impl BufRead,
    out: &mut impl Write,
    seen: &mut Holdings,
    counts: &mut Counts,
) -> io::Result<()> {
    let mut line = Vec::new();
    // The record of the line before, and whether that was printed.
    let mut before = None;
    loop {
        line.clear();
        if input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            if line.len() as u64 == MAX_LINE {
                return Err(io::Error::other(format!("a line is longer than {MAX_LINE} octets")));
            }
            counts.torn += 1;
            return Ok(());
        }
        match identity(&line) {
            Some((identity, is_reverse)) => {
                let follows = before.filter(|&(last, _)| is_reverse && last == identity);
                let is_new = follows.map_or_else(|| seen.insert(identity), |(_, printed)| printed);
                before = Some((identity, is_new));
                if !is_new {
                    counts.repeated += 1;
                    continue;
                }
            }
            None => counts.plain += 1,
        }
        counts.printed += 1;
        out.write_all(&line)?;
    }
}

/// Reads the identity a line starts with, in the form this collector writes, and whether it is a biflow's reverse flow.
fn identity(line: &[u8]) -> Option<(Identity, bool)> {
    let rest = line.strip_prefix(b"{\"ledger\":\"")?;
    let (ledger, rest) = rest.split_at_checked(32)?;
    let ledger: Ledger = std::str::from_utf8(ledger).ok()?.parse().ok()?;
    let (epoch, rest) = number(rest.strip_prefix(b"\",\"epoch\":")?)?;
    let (domain, rest) = number(rest.strip_prefix(b",\"domain\":")?)?;
    let (number, rest) = number(rest.strip_prefix(b",\"number\":")?)?;
    let (epoch, domain) = (Epoch(u32::try_from(epoch).ok()?), u32::try_from(domain).ok()?);
    let is_reverse = rest.starts_with(json::REVERSE);
    (number < u64::MAX).then_some((Identity { ledger, epoch, domain, number }, is_reverse))
}

/// Reads a decimal number; returns it with what follows.
fn number(octets: &[u8]) -> Option<(u64, &[u8])> {
    let digits = octets.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let (number, rest) = octets.split_at(digits);
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> String {
        format!(
            "{{\"ledger\":\"{}\",\"epoch\":3,\"domain\":1,\"number\":{number},\"octetDeltaCount\":9}}\n",
            "a1".repeat(16)
        )
    }

    #[test]
    fn an_identity_is_printed_once_and_a_torn_line_never() {
        let first =
            [line(0), line(1), "{\"octetDeltaCount\":7}\n".to_owned(), line(2)[..70].to_owned()].concat();
        let second = [line(1), line(2), "{\"octetDeltaCount\":7}\n".to_owned()].concat();
        let (mut out, mut seen, mut counts) = (Vec::new(), Holdings::new(), Counts::default());
        dedupe(first.as_bytes(), &mut out, &mut seen, &mut counts).unwrap();
        dedupe(second.as_bytes(), &mut out, &mut seen, &mut counts).unwrap();
        let plain = "{\"octetDeltaCount\":7}\n";
        assert_eq!(String::from_utf8(out).unwrap(), [&line(0), &line(1), plain, &line(2), plain].concat());
        assert_eq!(counts, Counts { printed: 5, repeated: 1, plain: 2, torn: 1 });
    }

    /// Makes the lines of consecutive numbers while it is read.
    struct Lines {
        numbers: std::ops::Range<u64>,
        rest: io::Cursor<Vec<u8>>,
    }

    impl io::Read for Lines {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            if self.rest.position() == self.rest.get_ref().len() as u64 {
                self.rest = io::Cursor::new(
                    self.numbers.next().map(|number| line(number).into_bytes()).unwrap_or_default(),
                );
            }
            self.rest.read(to)
        }
    }

    #[test]
    fn memory_grows_with_the_ranges_of_numbers_and_not_with_the_records() {
        let (mut seen, mut counts, mut most) = (Holdings::new(), Counts::default(), 0);
        // Two collectors that an exporter has used in turns, each file with the window before the change once more.
        for turn in 0..20 {
            let first = turn * 5_000_u64;
            let numbers = first.saturating_sub(500)..first + 5_000;
            let lines = BufReader::new(Lines { numbers, rest: io::Cursor::default() });
            dedupe(lines, &mut io::sink(), &mut seen, &mut counts).unwrap();
            most = most.max(seen.range_count());
        }
        assert_eq!((counts.printed, counts.repeated), (100_000, 19 * 500));
        assert_eq!(most, 1, "ranges held");
    }

    #[test]
    fn files_in_any_order_take_as_many_ranges_as_they_leave_gaps() {
        let (mut seen, mut counts, mut most) = (Holdings::new(), Counts::default(), 0);
        for turn in (0..20).rev() {
            let lines = Lines { numbers: turn * 100..turn * 100 + 50, rest: io::Cursor::default() };
            dedupe(BufReader::new(lines), &mut io::sink(), &mut seen, &mut counts).unwrap();
            most = most.max(seen.range_count());
        }
        assert_eq!((counts.printed, most), (1_000, 20));
    }

    #[test]
    fn a_line_without_end_is_refused_and_not_held() {
        let endless = BufReader::new(io::repeat(b'x'));
        let done = dedupe(endless, &mut io::sink(), &mut Holdings::new(), &mut Counts::default());
        assert!(done.unwrap_err().to_string().contains("longer than 16777216 octets"));
    }

    #[test]
    fn the_identity_of_a_written_line_is_read_back() {
        let mut prefix = crate::json::identity_prefix([0xa1; 16], 3, 1);
        prefix.extend_from_slice(b"42}\n");
        let (identity, is_reverse) = identity(&prefix).unwrap();
        assert_eq!(identity.to_string(), format!("{}/3/1/42", "a1".repeat(16)));
        assert!(!is_reverse);
    }

    #[test]
    fn the_two_flows_of_a_biflow_are_printed_or_left_out_together() {
        let reverse = |number| line(number).replace(",\"octet", ",\"direction\":\"reverse\",\"octet");
        let first = [line(0), reverse(0), line(1)].concat();
        // Another collector split what the first kept whole; its lines of 1 are left out both.
        let second = [line(1), reverse(1), line(2), reverse(2)].concat();
        let (mut out, mut seen, mut counts) = (Vec::new(), Holdings::new(), Counts::default());
        dedupe(first.as_bytes(), &mut out, &mut seen, &mut counts).unwrap();
        dedupe(second.as_bytes(), &mut out, &mut seen, &mut counts).unwrap();
        let printed = [line(0), reverse(0), line(1), line(2), reverse(2)].concat();
        assert_eq!(String::from_utf8(out).unwrap(), printed);
        assert_eq!(counts, Counts { printed: 5, repeated: 2, plain: 0, torn: 0 });
    }
}
