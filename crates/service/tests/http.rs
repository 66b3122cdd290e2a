//! The HTTP server over a real loopback socket.
#![expect(clippy::disallowed_methods, reason = "measures how long the server waits, on tokio's paused clock")]

use std::net::SocketAddr;
use std::time::Duration;

use service::page::{Mark, Page};
use service::{Api, Health, HttpServer, Metrics, Shutdown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

struct Server {
    address: SocketAddr,
    health: Health,
    metrics: Metrics,
    shutdown: Shutdown,
    api: Api,
}

async fn serve() -> Server {
    let shutdown = Shutdown::new();
    let health = Health::new(shutdown.clone());
    let metrics = Metrics::new(&[("test_wait_seconds", &[0.5, 1.0])]);
    let address = "127.0.0.1:0".parse().unwrap();
    let server = HttpServer::bind(address, health.clone(), metrics.clone()).await.unwrap();
    let address = server.local_addr().unwrap();
    let api = Api::default();
    tokio::spawn(server.with_api(api.clone()).serve());
    Server { address, health, metrics, shutdown, api }
}

/// Sends `request` and returns everything the server answers until it closes.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = exchange(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
    (status(&answer), answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).expect("an HTTP answer").parse().unwrap()
}

#[tokio::test]
async fn metrics_are_prometheus_text_with_classic_histograms() {
    let server = serve().await;
    server.metrics.scope(|| {
        metrics::counter!("test_drops_total", "reason" => "malformed").increment(3);
        metrics::histogram!("test_wait_seconds").record(0.7);
    });
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = exchange(server.address, request).await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    assert!(answer.contains("test_drops_total{reason=\"malformed\"} 3\n"), "{answer}");
    assert!(answer.contains("test_wait_seconds_bucket{le=\"0.5\"} 0\n"), "{answer}");
    assert!(answer.contains("test_wait_seconds_bucket{le=\"1\"} 1\n"), "{answer}");
    #[cfg(target_os = "linux")]
    assert!(answer.contains("\nprocess_resident_memory_bytes "), "{answer}");
    assert_eq!(server.metrics.value("test_drops_total{reason=\"malformed\"}"), Some(3.0));
    assert_eq!(server.metrics.value("test_drops_total"), None);
}

#[tokio::test]
async fn readiness_needs_every_condition_and_no_shutdown() {
    let server = serve().await;
    assert_eq!(get(server.address, "/readyz").await, (503, "[-]started not yet\nnot ready\n".to_owned()));
    let [listening, registered] = server.health.conditions(["listening", "registered"]);
    listening.met();
    registered.unmet("no registrar answered");
    let report = "[+]listening ok\n[-]registered no registrar answered\nnot ready\n";
    assert_eq!(get(server.address, "/readyz").await, (503, report.to_owned()));
    registered.met();
    assert_eq!(get(server.address, "/readyz").await, (200, "ok\n".to_owned()));
    let report = "[+]listening ok\n[+]registered ok\nready\n";
    assert_eq!(get(server.address, "/readyz?verbose").await, (200, report.to_owned()));
    server.shutdown.request();
    assert_eq!(get(server.address, "/readyz").await.0, 503);
    assert_eq!(get(server.address, "/livez").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_pulse_that_stops_fails_liveness() {
    let server = serve().await;
    let pulse = server.health.pulse("event loop");
    assert!(server.health.is_live());
    tokio::time::advance(service::PULSE_LIMIT).await;
    assert!(!server.health.is_live());
    pulse.beat();
    assert!(server.health.is_live());
}

#[tokio::test]
async fn only_get_and_head_are_allowed() {
    let server = serve().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let answer = exchange(server.address, request.as_bytes()).await;
        assert_eq!(status(&answer), 405, "{method}");
        assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    }
    let answer = exchange(server.address, b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("content-length: 3\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let server = serve().await;
    assert_eq!(get(server.address, "/metrics/").await.0, 404);
}

#[tokio::test]
async fn a_request_with_a_body_is_refused() {
    let server = serve().await;
    let answer =
        exchange(server.address, b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!(status(&answer), 413);
}

#[tokio::test]
async fn a_header_above_8_kib_is_refused() {
    let server = serve().await;
    let request = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(8 * 1024));
    let answer = exchange(server.address, request.as_bytes()).await;
    assert_eq!(status(&answer), 431, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_header_that_takes_longer_than_5_s_closes_the_connection() {
    let server = serve().await;
    let started = tokio::time::Instant::now();
    let answer = exchange(server.address, b"GET /livez HTTP/1.1\r\nHost: ").await;
    let waited = started.elapsed();
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert!(waited >= Duration::from_secs(5) && waited < Duration::from_secs(6), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed_as_well() {
    let server = serve().await;
    let started = tokio::time::Instant::now();
    exchange(server.address, b"").await;
    let waited = started.elapsed();
    assert!(waited >= Duration::from_secs(5) && waited < Duration::from_secs(6), "{waited:?}");
}

#[tokio::test]
async fn whoever_holds_connections_open_keeps_nobody_out() {
    let server = serve().await;
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHo").await.unwrap();
        held.push(stream);
    }
    for _ in 0..10 {
        assert_eq!(get(server.address, "/livez").await.0, 200);
    }
    // The one that waited longest had to go, and not the last one.
    let mut ended = Vec::new();
    assert_eq!(held[0].read_to_end(&mut ended).await.unwrap_or(0), 0);
    let last = held.last_mut().unwrap();
    last.write_all(b"st: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status(&answer), 200);
}

#[tokio::test(start_paused = true)]
async fn the_connection_after_the_hundredth_is_closed_while_all_of_them_are_answered() {
    // While a thread blocks, the paused clock does not go on by itself.
    let (over, blocked) = std::sync::mpsc::channel::<()>();
    let blocking = tokio::task::spawn_blocking(move || blocked.recv());
    let server = serve().await;
    let mut requests = server.api.requests();
    let (mut asking, mut waiting) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let question = b"GET /api/v1/x HTTP/1.1\r\nHost: x\r\n\r\n";
        asking.push(tokio::spawn(exchange(server.address, question)));
        waiting.push(requests.recv().await.unwrap());
    }
    let question = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(exchange(server.address, question).await, "");
    // Whoever takes 5 s over an answer gives way.
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(status(&exchange(server.address, question).await), 200);
    for request in waiting {
        request.answer("{}");
    }
    let mut without_answer = Vec::new();
    for (number, asking) in asking.into_iter().enumerate() {
        if !asking.await.unwrap().contains(" 200 ") {
            without_answer.push(number);
        }
    }
    assert_eq!(without_answer, [0]);
    drop(over);
    assert!(blocking.await.unwrap().is_err());
}

#[tokio::test]
async fn the_daemon_answers_what_is_below_api() {
    let server = serve().await;
    assert_eq!(get(server.address, "/api/v1/pools").await.0, 404, "before the daemon takes requests");
    let mut requests = server.api.requests();
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            let after = request.parameter("after").map(str::to_owned);
            match request.segments()[..] {
                [b"v1", b"pools", pool] => {
                    let text = format!("{{\"octets\":{},\"after\":{after:?}}}", pool.len());
                    request.answer(text);
                }
                [b"v1", b"wrong"] => request.bad_request("no \"wrong\" here"),
                [b"v1", b"dropped"] => drop(request),
                _ => request.not_found("no such path"),
            }
        }
    });
    let (code, body) = get(server.address, "/api/v1/pools/a%2Fb%00?x=1&after=7").await;
    assert_eq!((code, body.as_str()), (200, "{\"octets\":4,\"after\":Some(\"7\")}"));
    let (code, body) = get(server.address, "/api/v1/wrong").await;
    assert_eq!((code, body.as_str()), (400, "{\"error\":\"no \\\"wrong\\\" here\"}"));
    assert_eq!(get(server.address, "/api/v1/other").await.0, 404);
    assert_eq!(get(server.address, "/api/%zz").await.0, 400);
    assert_eq!(get(server.address, "/api/v1/dropped").await.0, 503);
    let post = b"POST /api/v1/pools HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(status(&exchange(server.address, post).await), 405);
}

#[tokio::test]
async fn the_daemon_shows_its_page_with_a_policy_that_loads_nothing() {
    let server = serve().await;
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert!(exchange(server.address, request).await.ends_with("/readyz?verbose\n"), "before there is a page");
    assert_eq!(get(server.address, "/status").await.0, 404);
    let mut requests = server.api.requests();
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            if request.is_page() && request.parameter("none").is_none() {
                let mut page = Page::new("clock", "here", "2026-03-01T12:00:00.000Z");
                page.state(Mark::Good, if request.is_local() { "local" } else { "far" });
                request.show(&page);
            } else {
                request.not_found("no such path");
            }
        }
    });
    let answer = exchange(server.address, request).await;
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("content-type: text/html; charset=utf-8\r\n"), "{answer}");
    assert!(answer.contains("content-security-policy: default-src 'none'; style-src 'sha256-"), "{answer}");
    assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
    assert!(get(server.address, "/status").await.1.contains("<h1>clock <small>here</small>"));
    assert_eq!(get(server.address, "/status?none=1").await.0, 404, "a daemon without a page");
    assert!(get(server.address, "/?none=1").await.1.starts_with("/metrics\n"));
    assert_eq!(get(server.address, "/api/").await.0, 404, "another path than the page's");
}

#[tokio::test]
async fn a_request_to_a_name_that_others_may_give_is_not_local() {
    let server = serve().await;
    let mut requests = server.api.requests();
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            if request.is_local() { request.answer("{}") } else { request.forbidden("only on this host") }
        }
    });
    let address = server.address;
    for (host, code) in [("localhost", 200), (&*address.to_string(), 200), ("evil.example:9381", 403)] {
        let request = format!("GET /api/v1/records HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(status(&exchange(address, request.as_bytes()).await), code, "{host}");
    }
}

#[tokio::test]
async fn garbage_is_refused_and_the_next_request_answered() {
    let server = serve().await;
    let long = vec![0; 100_000];
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost\x00: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"\xff\xfe\xfd",
        &long,
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains(" 200 "), "{}: {answer}", garbage[..garbage.len().min(80)].escape_ascii());
        assert_eq!(get(server.address, "/livez").await.0, 200);
    }
}

#[tokio::test]
async fn ten_thousand_connections_leave_the_server_serving() {
    let server = serve().await;
    // As many at a time as an ordinary limit of file descriptors has room for, at both ends.
    let mut held = std::collections::VecDeque::new();
    for number in 0..10_000 {
        held.push_back(TcpStream::connect(server.address).await.unwrap());
        if held.len() > 300 {
            held.pop_front();
        }
        if number % 1_000 == 999 {
            assert_eq!(get(server.address, "/livez").await.0, 200, "after {number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_is_given_up_after_30_s() {
    const OCTETS: usize = 64 << 20;
    let server = serve().await;
    let mut requests = server.api.requests();
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            request.answer("x".repeat(OCTETS));
        }
    });
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /api/v1/long HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.len() < OCTETS, "{} octets came", answer.len());
    assert_eq!(get(server.address, "/livez").await.0, 200);
}
