//! The daemon's own HTTP server: `/metrics`, `/livez` and `/readyz`, and what the daemon answers itself: its status page at
//! `/` and JSON below `/api/`. Read only.
//!
//! Limits: 100 connections, one request each; 5 s for its header and 30 s for everything; 8 KiB of request. Who comes when there
//! are 100 takes the place of the one that has waited longest without a request, or that has not taken its answer in 5 s: whoever
//! holds connections open keeps nobody out.
//! `/readyz?verbose` and `/livez?verbose` list what the verdict rests on.
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::api::{ApiAnswer, Form};
use crate::page::SECURITY_POLICY;
use crate::{Api, Health, Metrics};

const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CONNECTIONS: usize = 100;
const MAX_REQUEST: usize = 8 * 1024;
/// Waits out a shortage of file descriptors instead of spinning on it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const JSON: &str = "application/json";
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The server, bound and not yet serving.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    state: Routes,
}

#[derive(Debug)]
struct Routes {
    health: Health,
    metrics: Metrics,
    api: Api,
}

impl HttpServer {
    /// Binds `address`; port 0 takes any free one. Must run within a tokio runtime.
    pub async fn bind(address: SocketAddr, health: Health, metrics: Metrics) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, state: Routes { health, metrics, api: Api::default() } })
    }

    /// Lets the daemon answer below `/api/`.
    #[must_use]
    pub fn with_api(mut self, api: Api) -> Self {
        self.state.api = api;
        self
    }

    /// Returns the address that was bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until dropped.
    pub async fn serve(self) -> Infallible {
        let mut connections = Connections::default();
        let state = Arc::new(self.state);
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "HTTP accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if !connections.make_room().await {
                debug!(%peer, "too many HTTP connections, closing the newest");
                continue;
            }
            let state = Arc::clone(&state);
            connections.add(|asked| async move {
                if let Err(error) = serve_connection(stream, peer, state, asked).await {
                    debug!(%peer, error, "HTTP connection failed");
                }
            });
        }
    }
}

/// Those that are open, the oldest first.
#[derive(Default)]
struct Connections(VecDeque<Connection>);

struct Connection {
    since: Instant,
    /// Its request was read.
    asked: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Connections {
    /// Returns whether there is room for another one; where all places are taken, one that only holds its place is closed.
    async fn make_room(&mut self) -> bool {
        if self.0.len() < MAX_CONNECTIONS {
            return true;
        }
        self.0.retain(|connection| !connection.task.is_finished());
        if self.0.len() < MAX_CONNECTIONS {
            return true;
        }
        let Some(position) = self.0.iter().position(Connection::only_holds) else { return false };
        if let Some(connection) = self.0.remove(position) {
            connection.task.abort();
            // Its socket is closed when it has ended.
            let _ = connection.task.await;
        }
        true
    }

    /// Serves a connection by what `serve` returns, which says by its argument that the request was read.
    fn add<F: Future<Output = ()> + Send + 'static>(&mut self, serve: impl FnOnce(Arc<AtomicBool>) -> F) {
        let asked = Arc::default();
        let task = tokio::spawn(serve(Arc::clone(&asked)));
        self.0.push_back(Connection { since: Instant::now(), asked, task });
    }
}

impl Connection {
    /// Whether it has no request yet, or takes its time over the answer.
    fn only_holds(&self) -> bool {
        !self.asked.load(Ordering::Relaxed) || self.since.elapsed() >= HEADER_TIMEOUT
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    state: Arc<Routes>,
    asked: Arc<AtomicBool>,
) -> Result<(), String> {
    let service = service_fn(move |request| {
        asked.store(true, Ordering::Relaxed);
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(state.answer(peer.ip(), &request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_REQUEST)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(served) => served.map_err(|error| error.to_string()),
        Err(_) => Err("took too long".to_owned()),
    }
}

impl Routes {
    async fn answer(&self, peer: IpAddr, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(ALLOW, const { HeaderValue::from_static("GET, HEAD") });
            return response;
        }
        if !request.body().is_end_stream() {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "a request has no body here\n");
        }
        let verbose = request.uri().query().is_some_and(|query| query.split('&').any(|key| key == "verbose"));
        match request.uri().path() {
            "/metrics" => respond(StatusCode::OK, PROMETHEUS_TEXT, self.metrics.render()),
            "/livez" => verdict(self.health.is_live(), verbose, || self.health.live_report()),
            "/readyz" => verdict(self.health.is_ready(), verbose, || self.health.ready_report()),
            path => match self.api.ask(request.uri(), is_local(peer, request)).await {
                Some(answer) => answered(answer),
                None if path == "/" => text(StatusCode::OK, "/metrics\n/livez?verbose\n/readyz?verbose\n"),
                None => text(StatusCode::NOT_FOUND, "not found\n"),
            },
        }
    }
}

/// Whether a request comes from this host and to an address, or to the name that is this host's on every host.
fn is_local(peer: IpAddr, request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).map_or(Some("localhost"), |host| host.to_str().ok());
    peer.to_canonical().is_loopback() && host.is_some_and(is_address)
}

/// Whether a Host header names an address or `localhost`, with a port or without.
fn is_address(host: &str) -> bool {
    let without_port = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    without_port.eq_ignore_ascii_case("localhost")
        || host.parse::<SocketAddr>().is_ok()
        || bare.unwrap_or(host).parse::<IpAddr>().is_ok()
}

/// What the daemon answered.
fn answered(answer: ApiAnswer) -> Response<Full<Bytes>> {
    match answer.form {
        Form::Json => respond(answer.status, JSON, answer.text),
        Form::Page => {
            let mut response = respond(answer.status, HTML, answer.text);
            let policy = const { HeaderValue::from_static(SECURITY_POLICY) };
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
            response.headers_mut().insert(REFERRER_POLICY, const { HeaderValue::from_static("no-referrer") });
            response
        }
    }
}

fn verdict(good: bool, verbose: bool, report: impl FnOnce() -> String) -> Response<Full<Bytes>> {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // A failed check always tells why: nobody asks again with `?verbose` at night.
    if verbose || !good {
        return respond(status, PLAIN_TEXT, report());
    }
    text(status, "ok\n")
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    respond(status, PLAIN_TEXT, body)
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
    headers.insert(X_CONTENT_TYPE_OPTIONS, const { HeaderValue::from_static("nosniff") });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_names_that_nobody_else_gives() {
        for host in
            ["127.0.0.1", "127.0.0.1:9381", "[::1]", "[::1]:9381", "::1", "localhost", "LocalHost:9381"]
        {
            assert!(is_address(host), "{host}");
        }
        for host in
            ["", "example.org", "example.org:9381", "127.0.0.1.example.org", "localhost.example.org:80"]
        {
            assert!(!is_address(host), "{host}");
        }
    }
}
