//! Asks a running daemon of this kind over its HTTP port, for subcommands that show what it does.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::{Daemon, Exit, Failure, Shell};

/// The longest answer that is read, in octets.
const MAX_ANSWER: u64 = 64 << 20;
/// How long a daemon may take to accept, and to answer beyond what it was asked to wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which daemon is asked: options of a subcommand.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// The running daemon: http://HOST:PORT or HOST:PORT [default: `[http] listen` of the configuration file]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// Where a running daemon answers.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
}

impl Target {
    /// Returns where the daemon answers; fails where neither the command line nor the configuration says it.
    pub fn client<D: Daemon>(&self, shell: &Shell) -> Result<Client, Failure> {
        if let Some(url) = &self.url {
            return Ok(Client { address: resolve(url)? });
        }
        let Some(http) = D::http(&shell.config::<D>()?) else {
            return Err(Failure::new(Exit::Usage, "the configuration has no [http] listen: name a --url"));
        };
        Ok(Client { address: http.listen })
    }
}

/// Returns the address of a URL such as `http://localhost:9382/`.
fn resolve(url: &str) -> Result<SocketAddr, Failure> {
    let wrong = |reason: &str| Failure::new(Exit::Usage, format!("{url}: {reason}"));
    if url.starts_with("https://") {
        return Err(wrong("daemons answer plain HTTP"));
    }
    let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let mut addresses =
        authority.to_socket_addrs().map_err(|error| wrong(&format!("no HOST:PORT: {error}")))?;
    addresses.next().ok_or_else(|| wrong("the name has no address"))
}

impl Client {
    /// A client of the daemon whose HTTP server is bound to `address`.
    pub const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Returns where the daemon answers.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what the daemon answers to a GET request for `path`, which it was asked to think about for up to `wait`.
    ///
    /// Fails with [`Exit::Unavailable`] where nobody answers or the daemon is busy, and with [`Exit::Failed`] and the
    /// daemon's words where it refuses.
    pub fn get(&self, path: &str, wait: Duration) -> Result<String, Failure> {
        let url = format!("http://{}{path}", self.address);
        let (status, body) = self
            .exchange(path, wait)
            .map_err(|error| Failure::new(Exit::Unavailable, format!("no answer from {url}: {error}")))?;
        match status {
            200 => Ok(body),
            503 => Err(Failure::new(Exit::Unavailable, format!("{url} is busy"))),
            _ => {
                Err(Failure::new(Exit::Failed, refusal(&body).unwrap_or_else(|| format!("{url}: {status}"))))
            }
        }
    }

    fn exchange(&self, path: &str, wait: Duration) -> io::Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(wait + PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
        let no_http = || io::Error::new(io::ErrorKind::InvalidData, "it is no HTTP");
        let answer = String::from_utf8(answer).map_err(|_| no_http())?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(no_http)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(no_http)?;
        Ok((status, body.to_owned()))
    }
}

/// Returns what a daemon says in `{"error":"…"}`.
fn refusal(body: &str) -> Option<String> {
    let quoted = body.strip_prefix("{\"error\":\"")?.strip_suffix("\"}")?;
    Some(quoted.replace("\\\"", "\"").replace("\\\\", "\\"))
}

/// Percent-encodes a part of a path or a value of a query (RFC 3986 section 2.1); [`percent_decode`](crate::percent_decode)
/// gives it back.
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            encoded.push(octet.into());
        } else {
            encoded.push_str(&format!("%{octet:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_in_every_form() {
        for url in ["http://127.0.0.1:9381/", "http://127.0.0.1:9381", "127.0.0.1:9381"] {
            assert_eq!(resolve(url).unwrap(), "127.0.0.1:9381".parse().unwrap());
        }
        for url in ["https://127.0.0.1:1", "127.0.0.1", ""] {
            assert_eq!(resolve(url).unwrap_err().exit(), Exit::Usage, "{url}");
        }
    }

    #[test]
    fn what_is_encoded_comes_back() {
        let text = "a >= 1 and b = \"ü%&+/?\"";
        let encoded = percent_encode(text);
        assert!(encoded.starts_with("a%20%3E%3D%201") && encoded.is_ascii(), "{encoded}");
        assert_eq!(crate::percent_decode(&encoded).unwrap(), text.as_bytes());
    }

    #[test]
    fn a_refusal_is_told_in_the_daemons_words() {
        assert_eq!(refusal(r#"{"error":"no \"x\\y\""}"#).unwrap(), r#"no "x\y""#);
        assert_eq!(refusal("not found\n"), None);
    }
}
