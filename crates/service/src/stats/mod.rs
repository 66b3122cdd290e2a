//! The subcommand `stats`: the books of running daemons, read from their metrics, and whether they balance.
//!
//! Daemons of all kinds can be named together; then the books between exporters and collectors are shown, too. Metrics are
//! read one daemon after the other while they change, so `--verify` looks again for some seconds before it says that
//! something is missing.

mod books;

use std::fmt::Write as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use books::{Account, Kind};

use crate::config::Http;
use crate::scrape::Samples;
use crate::{Exit, Failure};

/// Looks before the books count as not balanced, and the time between two of them.
const LOOKS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(250);

/// What it is given.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Running daemons of any kind: http://HOST:PORT or HOST:PORT of their metrics
    /// [default: `[http] listen` of the configuration file]
    #[arg(value_name = "URL")]
    daemons: Vec<String>,
    /// Check that the books balance; where they do not, look again for 5 s, then end with exit code 1
    #[arg(long)]
    verify: bool,
}

impl Arguments {
    /// Tells whether daemons are named, so that no configuration file is needed.
    pub(crate) fn names_daemons(&self) -> bool {
        !self.daemons.is_empty()
    }

    /// Prints the books. `configured` is where the configuration file says that the daemon answers.
    ///
    /// Fails with [`Exit::Usage`] where a daemon is not reached, and with [`Exit::Failed`] where books are to be verified
    /// and do not balance.
    pub(crate) fn run(&self, configured: Option<Http>) -> Result<(), Failure> {
        let mut addresses: Vec<(String, SocketAddr)> = Vec::new();
        for url in &self.daemons {
            addresses.push((url.clone(), resolve(url)?));
        }
        if addresses.is_empty() {
            let Some(http) = configured else {
                return Err(Failure::new(Exit::Usage, "the configuration has no [http] listen: name a URL"));
            };
            addresses.push((http.listen.to_string(), http.listen));
        }
        let mut sheets = read(&addresses)?;
        if self.verify {
            for _ in 1..LOOKS {
                if sheets.iter().all(Sheet::is_balanced) {
                    break;
                }
                // No task of a runtime waits here.
                std::thread::park_timeout(BETWEEN);
                // Books that balanced once need not do so again together with the others.
                for sheet in read(&addresses)? {
                    match sheets.iter_mut().find(|known| known.title == sheet.title) {
                        Some(known) if known.is_balanced() => {}
                        Some(known) => *known = sheet,
                        None => sheets.push(sheet),
                    }
                }
            }
        }
        crate::shell::print(&sheets.iter().map(Sheet::text).collect::<String>())?;
        let wrong = sheets.iter().filter(|sheet| !sheet.is_balanced()).count();
        if self.verify && wrong > 0 {
            return Err(Failure::new(Exit::Failed, "the books do not balance: see `difference` above"));
        }
        Ok(())
    }
}

/// Returns the address of a URL such as `http://localhost:9382/metrics`.
fn resolve(url: &str) -> Result<SocketAddr, Failure> {
    let wrong = |reason: &str| Failure::new(Exit::Usage, format!("{url}: {reason}"));
    if url.starts_with("https://") {
        return Err(wrong("daemons answer plain HTTP"));
    }
    let authority = url.strip_prefix("http://").unwrap_or(url);
    let authority = authority.strip_suffix("/metrics").unwrap_or(authority).trim_end_matches('/');
    let mut addresses =
        authority.to_socket_addrs().map_err(|error| wrong(&format!("no HOST:PORT: {error}")))?;
    addresses.next().ok_or_else(|| wrong("the name has no address"))
}

/// The books of one daemon, or of the pool.
struct Sheet {
    title: String,
    accounts: Vec<Account>,
}

/// Reads all daemons.
fn read(addresses: &[(String, SocketAddr)]) -> Result<Vec<Sheet>, Failure> {
    let (mut daemons, mut sheets) = (Vec::new(), Vec::new());
    for (url, address) in addresses {
        let samples = Samples::scrape(*address)
            .map_err(|error| Failure::new(Exit::Usage, format!("no daemon answers at {url}: {error}")))?;
        let Some(kind) = Kind::of(&samples) else {
            return Err(Failure::new(Exit::Usage, format!("{url} is no daemon of flowpool")));
        };
        let title = format!("{} {url}", kind.name());
        sheets.push(Sheet { title, accounts: books::of_daemon(kind, &samples) });
        daemons.push((kind, samples));
    }
    let accounts = books::of_pool(&daemons);
    if !accounts.is_empty() {
        sheets.push(Sheet { title: "pool".to_owned(), accounts });
    }
    Ok(sheets)
}

impl Sheet {
    fn is_balanced(&self) -> bool {
        self.accounts.iter().all(|account| account.difference() == 0.0)
    }

    /// Returns its table. Parts of nothing are left out.
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.title);
        if self.accounts.is_empty() {
            text.push_str("  nothing was counted yet\n");
        }
        for account in &self.accounts {
            let mut row = |name: &str, value: f64| {
                let _ = writeln!(text, "  {name:<34} {value:>14}");
            };
            row(&format!("{}: {}", account.name, account.whole.0), account.whole.1);
            for (at, (name, value)) in account.parts.iter().filter(|(_, value)| *value != 0.0).enumerate() {
                row(&format!("  {} {name}", if at == 0 { '=' } else { '+' }), *value);
            }
            row("    difference", account.difference());
            for (name, value) in account.beside.iter().filter(|(_, value)| *value != 0.0) {
                row(&format!("    beside: {name}"), *value);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_metrics_are_taken_in_every_form() {
        for url in ["http://127.0.0.1:9382/metrics", "http://127.0.0.1:9382/", "127.0.0.1:9382"] {
            assert_eq!(resolve(url).unwrap(), "127.0.0.1:9382".parse().unwrap());
        }
        for url in ["https://127.0.0.1:1", "127.0.0.1", ""] {
            assert_eq!(resolve(url).unwrap_err().exit(), Exit::Usage, "{url}");
        }
    }

    #[test]
    fn the_table_has_the_whole_its_parts_and_the_difference() {
        let sheet = Sheet {
            title: "ipfix-exporter x".to_owned(),
            accounts: vec![Account {
                name: "class reliable".to_owned(),
                whole: ("metered", 1_000_000.0),
                parts: vec![
                    ("covered".to_owned(), 999_990.0),
                    ("dropped{x}".to_owned(), 0.0),
                    ("retained".to_owned(), 8.0),
                ],
                beside: vec![("refused{limit}".to_owned(), 3.0)],
            }],
        };
        let expected = "ipfix-exporter x\n  \
                        class reliable: metered                   1000000\n    \
                        = covered                                999990\n    \
                        + retained                                    8\n      \
                        difference                                  2\n      \
                        beside: refused{limit}                      3\n";
        assert_eq!(sheet.text(), expected);
        assert!(!sheet.is_balanced());
    }
}
