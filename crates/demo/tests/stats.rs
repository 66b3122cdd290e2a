//! `stats --verify` on real daemons, and on metrics that somebody has tampered with.

mod world;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::time::Duration;

use demo::pool::{Plan, Pool};
use demo::process::{self, ROLE};
use demo::scrape::Samples;
use demo::stage::Stage;

/// Runs `ROLE stats --verify` on these daemons.
fn verify(role: &str, daemons: &[SocketAddr]) -> Output {
    let mut command = Command::new(world::program());
    command.args([ROLE, role, "stats", "--verify"]).args(daemons.iter().map(|at| format!("http://{at}")));
    process::output(&mut command).unwrap()
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Serves this text as `/metrics`, for as long as the test lasts.
fn tampered(text: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{text}");
        }
    });
    address
}

#[test]
fn the_books_of_a_running_pool_balance_with_a_collector_killed_on_the_way() {
    let mut pool = world::pool(12);
    let used = world::wait_for_part(&mut pool, 0.2);
    pool.take_collector(used).unwrap().kill().unwrap();
    world::wait_for_another(&mut pool, used);
    let stage = &pool.stage;
    let daemons = [stage.exporter_http(), stage.collector_http(1 - used), stage.registrar_http()];
    let output = verify("exporter", &daemons);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in ["class reliable: metered", "output flows: received", "pool ipfix: elements that came"] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
    assert_eq!(text.lines().filter(|line| line.trim().starts_with("difference")).count(), 3, "{text}");

    // Any daemon's command serves; the one that was killed is not reached.
    let output = verify("registrar", &[stage.collector_http(used)]);
    assert_eq!(output.status.code(), Some(2), "{}", printed(&output));

    let metrics = metrics_of(&pool);
    let covered =
        metrics.lines().find(|line| line.starts_with("ipfix_exporter_records_covered_total{")).unwrap();
    let (name, value) = covered.rsplit_once(' ').unwrap();
    let fewer = value.parse::<u64>().unwrap() - 3;
    let at = tampered(metrics.replace(covered, &format!("{name} {fewer}")));
    let output = verify("collector", &[at]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let difference = text.lines().find(|line| line.trim().starts_with("difference")).unwrap();
    assert_eq!(difference.split_whitespace().next_back(), Some("3"), "{text}");
    world::settle(pool);
}

#[test]
fn what_a_class_may_lose_is_received_or_in_the_collectors_gap() {
    // So slow that now and then nothing is on its way.
    let plan = Plan::make(1_000, Duration::from_secs(60)).unwrap();
    let stage = Stage::set(false).unwrap();
    stage.furnish(&plan).unwrap();
    let config = std::fs::read_to_string(stage.config("exporter")).unwrap();
    let classes = "[class.reliable]\n[class.rest]\nmax-retransmissions = 1\n\
                   [[rule]]\nmatch = { protocolIdentifier = 6 }\nclass = \"reliable\"\n";
    std::fs::write(stage.config("exporter"), config.replace("[class.reliable]\n", classes)).unwrap();
    let mut pool = Pool::start(world::program(), plan, stage).unwrap();
    world::wait_for(&mut pool, "flows of class rest", |metrics| {
        metrics.with("ipfix_exporter_records_exported_total", &[("class", "rest")]) > Some(20.0)
    });
    let stage = &pool.stage;
    let output =
        verify("collector", &[stage.collector_http(0), stage.collector_http(1), stage.exporter_http()]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let sent = text.lines().find(|line| line.trim().starts_with("classes that are limited: sent"));
    let sent = sent.and_then(|line| line.split_whitespace().next_back()?.parse::<u64>().ok());
    assert!(sent > Some(20), "{text}");
}

/// Returns the text of the exporter's metrics, at a time when its books balance.
fn metrics_of(pool: &Pool) -> String {
    for _ in 0..50 {
        let samples = Samples::scrape(pool.stage.exporter_http()).unwrap();
        let value = |metric: &str| samples.sum(&format!("ipfix_exporter_{metric}"));
        if value("records_metered_total") == value("records_covered_total") + value("buffered_records") {
            return samples.samples().map(|(name, value)| format!("{name} {value}\n")).collect();
        }
    }
    panic!("the exporter's books did not balance in 50 looks");
}

#[test]
fn what_is_no_daemon_and_what_is_no_url_is_told() {
    let at = tampered("node_cpu_seconds_total 1\n".to_owned());
    let output = verify("exporter", &[at]);
    assert_eq!(output.status.code(), Some(2));
    assert!(printed(&output).contains("is no daemon of flowpool"), "{}", printed(&output));
}

#[test]
fn doctor_finds_nothing_bad_in_a_running_pool_and_says_what_is_missing_in_a_dead_one() {
    let mut pool = world::pool(12);
    let used = world::wait_for_part(&mut pool, 0.1);
    let examine = |stage: &Stage, role: &str, name: &str| {
        let mut command = Command::new(world::program());
        command.args([ROLE, role, "doctor", "--config"]).arg(stage.config(name));
        command.current_dir(&stage.directory);
        let output = process::output(&mut command).unwrap();
        (output.status.code(), printed(&output))
    };
    let [registrar, collector, exporter] = [
        demo::stage::registrar_name(0).to_owned(),
        demo::stage::collector_name(used),
        demo::stage::exporter_name(0).to_owned(),
    ];
    for (role, name, found) in [
        ("registrar", &registrar, "the running daemon's"),
        ("collector", &collector, "answers, pool ipfix: 2 collectors"),
        ("exporter", &exporter, "ipfix: 2 collectors"),
        ("exporter", &exporter, ": connected in "),
    ] {
        let (code, text) = examine(&pool.stage, role, name);
        assert!(code == Some(0) && text.contains(found), "{role}: {code:?} {text}");
    }
    pool.kill_registrar(0).unwrap();
    if pool.second_registrar.is_some() {
        pool.kill_registrar(1).unwrap();
    }
    let (code, text) = examine(&pool.stage, "exporter", &exporter);
    assert!(
        code == Some(1) && text.contains("BAD   pool.registrars          none answers"),
        "{code:?} {text}"
    );
}
