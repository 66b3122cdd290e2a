//! What a daemon answers itself over HTTP: GET requests below `/api/`, in JSON, and its status page ([`page`](crate::page)).
//!
//! The daemon takes them from a queue in its own loop ([`Api::requests`]), so that its state needs no lock. A daemon
//! that is busy keeps nobody waiting: what does not fit the queue is answered with 503.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::{StatusCode, Uri};
use tokio::sync::{mpsc, oneshot};

use crate::page::Page;

/// Requests that wait for the daemon.
const QUEUE: usize = 32;

/// Where a daemon gets the requests below `/api/` from. Clones share one queue.
#[derive(Clone, Debug, Default)]
pub struct Api {
    requests: Arc<Mutex<Option<mpsc::Sender<ApiRequest>>>>,
}

/// One GET request below `/api/`, or for the status page. Dropping it answers with 503.
#[derive(Debug)]
pub struct ApiRequest {
    segments: Vec<Vec<u8>>,
    query: BTreeMap<String, String>,
    is_local: bool,
    reply: oneshot::Sender<ApiAnswer>,
}

/// A status and a text.
#[derive(Debug)]
pub(crate) struct ApiAnswer {
    pub(crate) status: StatusCode,
    pub(crate) form: Form,
    pub(crate) text: String,
}

/// What the text of an answer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    Json,
    Page,
}

/// Paths of the status page.
const PAGE: [&str; 2] = ["/", "/status"];

impl Api {
    /// Returns the requests from here on; whoever called this before gets no more. Without a call every path
    /// below `/api/` is not found.
    pub fn requests(&self) -> mpsc::Receiver<ApiRequest> {
        let (sink, requests) = mpsc::channel(QUEUE);
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink);
        requests
    }

    /// Hands a request to the daemon and waits for its answer; `is_local` is what [`ApiRequest::is_local`] will say. `None`: the
    /// path means nothing to it.
    pub(crate) async fn ask(&self, uri: &Uri, is_local: bool) -> Option<ApiAnswer> {
        let is_page = PAGE.contains(&uri.path());
        let segments = match uri.path().strip_prefix("/api/") {
            Some(path) => path.split('/').map(percent_decode).collect(),
            None if is_page => Some(Vec::new()),
            None => return None,
        };
        let sink = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let Some(segments) = segments else {
            return Some(ApiAnswer::error(
                StatusCode::BAD_REQUEST,
                "% is followed by two hexadecimal digits",
            ));
        };
        let query = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let query = query.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let (reply, answer) = oneshot::channel();
        if sink.try_send(ApiRequest { segments, query, is_local, reply }).is_err() {
            return Some(ApiAnswer::busy());
        }
        let answer = answer.await.unwrap_or_else(|_| ApiAnswer::busy());
        // A daemon may have an API and no page.
        (!is_page || answer.status != StatusCode::NOT_FOUND).then_some(answer)
    }
}

impl ApiRequest {
    /// Returns whether this asks for the status page, to be answered by [`Self::show`].
    pub fn is_page(&self) -> bool {
        self.segments.is_empty()
    }

    /// Returns whether it comes from this host: over loopback, and to an address or `localhost`, not to a name that
    /// somebody else may have given to the address (DNS rebinding). Flows are personal data and are shown to nobody else.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// Returns the path after `/api/`, percent-decoded: `v1`, `pools`, …; nothing for the status page.
    pub fn segments(&self) -> Vec<&[u8]> {
        self.segments.iter().map(Vec::as_slice).collect()
    }

    /// Returns the value of a key in the query, as it stands there.
    pub fn parameter(&self, key: &str) -> Option<&str> {
        self.query.get(key).map(String::as_str)
    }

    /// Answers with this JSON text.
    pub fn answer(self, json: impl Into<String>) {
        self.send(Form::Json, json.into());
    }

    /// Answers with this page.
    pub fn show(self, page: &Page) {
        self.send(Form::Page, page.html());
    }

    fn send(self, form: Form, text: String) {
        // Whoever asked may be gone.
        let _ = self.reply.send(ApiAnswer { status: StatusCode::OK, form, text });
    }

    /// Answers that there is no such thing, and why, as `{"error": …}`.
    pub fn not_found(self, why: &str) {
        let _ = self.reply.send(ApiAnswer::error(StatusCode::NOT_FOUND, why));
    }

    /// Answers that whoever asks may not have this, and why, as `{"error": …}`.
    pub fn forbidden(self, why: &str) {
        let _ = self.reply.send(ApiAnswer::error(StatusCode::FORBIDDEN, why));
    }

    /// Answers that the request is wrong, and why, as `{"error": …}`.
    pub fn bad_request(self, why: &str) {
        let _ = self.reply.send(ApiAnswer::error(StatusCode::BAD_REQUEST, why));
    }

    /// Returns whether whoever asked has gone.
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

impl ApiAnswer {
    fn busy() -> ApiAnswer {
        ApiAnswer::error(StatusCode::SERVICE_UNAVAILABLE, "busy")
    }

    /// `why` becomes a JSON string.
    fn error(status: StatusCode, why: &str) -> ApiAnswer {
        let mut json = String::from("{\"error\":\"");
        for character in why.chars() {
            match character {
                '"' | '\\' => json.extend(['\\', character]),
                control if control.is_control() => json.push(' '),
                other => json.push(other),
            }
        }
        json.push_str("\"}");
        ApiAnswer { status, form: Form::Json, text: json }
    }
}

/// Percent-decodes one segment of a path (RFC 3986 section 2.1); `None` where a `%` has no two digits after it.
pub fn percent_decode(segment: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            octets.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digit = |octet: u8| char::from(octet).to_digit(16);
        octets.push(u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?);
        rest = after;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_can_hold_any_octets() {
        assert_eq!(percent_decode("a%2Fb%00%ff").unwrap(), b"a/b\0\xff");
        for wrong in ["%", "%1", "%+1", "%zz", "a%2"] {
            assert_eq!(percent_decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_error_is_json_whatever_it_says() {
        let answer = ApiAnswer::error(StatusCode::NOT_FOUND, "no \"x\\\n\"");
        assert_eq!(answer.text, r#"{"error":"no \"x\\ \""}"#);
    }
}
