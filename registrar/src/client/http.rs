//! One GET request to a registrar's HTTP API.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use service::{Exit, Failure};

/// The longest answer that is read, in octets.
const MAX_ANSWER: u64 = 64 << 20;

/// Longer than a registrar lets somebody wait for a change.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which registrar is asked.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Http {
    /// HTTP address of the registrar, `[http] listen` in its configuration
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9380")]
    http: SocketAddr,
}

impl Http {
    /// Asks for `path`, which begins behind `/api/v1/`. An answer other than 200 is a failure that says what the
    /// registrar says.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        let (status, body) = self.exchange(path).map_err(|error| {
            Failure::new(Exit::Unavailable, format!("no registrar at http://{}: {error}", self.http))
        })?;
        let value: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
        match (status, value.get("error").and_then(Value::as_str)) {
            (200, _) if !value.is_null() => Ok(value),
            (503, _) => Err(Failure::new(Exit::Unavailable, format!("http://{} is busy", self.http))),
            (404 | 400, Some(error)) => Err(Failure::new(Exit::Failed, error.to_owned())),
            _ => Err(Failure::new(Exit::Failed, format!("http://{} is no registrar: {status}", self.http))),
        }
    }

    fn exchange(&self, path: &str) -> io::Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.http, Duration::from_secs(3))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        write!(stream, "GET /api/v1/{path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.http)?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
        let no_http = || io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP");
        let answer = String::from_utf8(answer).map_err(|_| no_http())?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(no_http)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(no_http)?;
        Ok((status, body.to_owned()))
    }
}

/// Returns a text of a JSON object; empty where there is none.
pub(super) fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// Returns the objects of a list in a JSON object.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
