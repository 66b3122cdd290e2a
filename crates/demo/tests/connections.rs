//! The same pool over TCP and over TLS: real processes, failover, acknowledgements, certificates that are wrong.

mod world;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use demo::pool::{Plan, Pool};
use demo::process::{Daemon, ROLE, wait_until};
use demo::scrape::Samples;
use demo::stage::{Stage, collector_name};
use test_pki::{Authority, Issued, Validity};

/// Rewrites a configuration of the stage.
fn edit(stage: &Stage, name: &str, change: impl FnOnce(String) -> String) {
    let path = stage.config(name);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
}

fn over_tcp(stage: &Stage) {
    for index in 0..2 {
        edit(stage, &collector_name(index), |text| {
            let text = text.replace("ipfix = [", "ipfix = []\nmptcp = true\nipfix-tcp = [");
            text.replace("registrars = [\"", "registrars = [\"tcp://")
        });
    }
    edit(stage, "registrar", |text| text.replace("asap = [", "asap = []\nmptcp = true\nasap-tcp = ["));
    edit(stage, "exporter", |text| {
        let text = text.replace("[pool]", "[pool]\ntransport = \"tcp\"\nmptcp = true");
        text.replace("registrars = [\"", "registrars = [\"tcp://")
    });
}

/// Everything in TLS; every daemon has a certificate with its role as its name.
fn over_tls(stage: &Stage, authority: &Authority) {
    let issue = |name: &str| authority.issue(name, &[&format!("{name}.example")], Validity::Current);
    let tls = |name: &str, peers: &[&str]| issue(name).section(peers);
    let registrar_names = "registrar-names = [\"registrar.example\"]\n";
    for index in 0..2 {
        let name = collector_name(index);
        edit(stage, &name, |text| {
            let text = text.replace("ipfix = [", "ipfix = []\nipfix-tls = [").replace(":4739", ":4740");
            let text = text.replace("registrars = [\"", "transport = \"tls\"\nregistrars = [\"tls://");
            text.replace(":3863", ":3864") + &tls(&name, &["exporter.example"]) + registrar_names
        });
    }
    edit(stage, "registrar", |text| {
        let text = text.replace("asap = [", "asap = []\nasap-tls = [").replace(":3863", ":3864");
        text + &tls("registrar", &["collector-a.example", "collector-b.example", "exporter.example"])
    });
    edit(stage, "exporter", |text| {
        let text = text.replace("[pool]", "[pool]\ntransport = \"tls\"");
        let text = text.replace("registrars = [\"", "registrars = [\"tls://").replace(":3863", ":3864");
        text + &tls("exporter", &["collector-a.example", "collector-b.example"]) + registrar_names
    });
}

fn secured(seconds: u64) -> (Plan, Stage, Authority) {
    let (plan, stage) = world::stage(seconds);
    let authority = Authority::new();
    over_tls(&stage, &authority);
    (plan, stage, authority)
}

/// Kills the collector in use and expects the other one to get the rest.
fn survives_a_kill(mut pool: Pool) {
    let used = world::wait_for_part(&mut pool, 0.3);
    pool.take_collector(used).unwrap().kill().unwrap();
    world::wait_for_another(&mut pool, used);
    let (settlement, _stage) = world::settle(pool);
    assert_eq!(settlement.failovers, 1);
}

#[test]
fn a_pool_over_tcp_acknowledges_and_fails_over() {
    let (plan, stage) = world::stage(6);
    over_tcp(&stage);
    survives_a_kill(Pool::start(world::program(), plan, stage).unwrap());
}

#[test]
fn a_pool_over_tls_acknowledges_and_fails_over() {
    let (plan, stage, _authority) = secured(6);
    let pool = Pool::start(world::program(), plan, stage).unwrap();
    survives_a_kill(pool);
}

#[test]
fn a_pool_over_tls_speaks_nothing_but_tls() {
    let (plan, stage, authority) = secured(4);
    let pool = Pool::start(world::program(), plan, stage).unwrap();
    let resolve = |arguments: &[&str]| {
        let mut command = Command::new(world::program());
        command.args([ROLE, "registrar", "resolve", "ipfix", "--timeout", "2s"]).args(arguments);
        // The daemon's role ends when its standard input does.
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let _open = child.stdin.take();
        child.wait().unwrap().code()
    };
    let registrar = format!("tls://{}", pool.stage.registrar());
    let Issued { certificate, key, ca } =
        authority.issue("operator", &["exporter.example"], Validity::Current);
    let path = |path: &Path| path.display().to_string();
    let certified = ["--certificate", &path(&certificate), "--key", &path(&key), "--ca", &path(&ca)];
    let named = ["--registrar-name", "registrar.example", "--registrar", &registrar];
    assert_eq!(resolve(&[&certified[..], &named[..]].concat()), Some(0));
    assert_eq!(resolve(&["--registrar", &registrar]), Some(69), "no certificate");
    let plain =
        [format!("tcp://{}:3864", pool.stage.registrar()), format!("{}:3863", pool.stage.registrar())];
    assert_eq!(resolve(&["--registrar", &plain[0], "--registrar", &plain[1]]), Some(69), "no TLS");
    let refused = Samples::scrape(pool.stage.registrar_http()).unwrap();
    assert!(refused.sum("rserpool_tls_handshakes_total") > 3.0);
    world::settle_undisturbed(pool);
}

/// A pool whose collectors are still to be started.
#[expect(clippy::disallowed_methods, reason = "the demo measures by the clock")]
fn without_collectors(plan: Plan, stage: Stage) -> Pool {
    let start = |role: &str| {
        Daemon::start(world::program(), role, role, &stage.config(role), &stage.directory).unwrap()
    };
    let (registrar, exporter) = (start("registrar"), start("exporter"));
    Pool {
        plan,
        stage,
        registrar,
        second_registrar: None,
        collectors: [None, None],
        exporter,
        begin: Instant::now(),
    }
}

/// Puts another certificate in place of that of `collector-a`.
type Spoil<'a> = &'a dyn Fn(&Authority);

/// Waits until `daemon` has logged a line with all of `parts`.
fn wait_for_line(daemon: &Daemon, parts: &[&str]) {
    let logged = wait_until(world::PATIENCE, || {
        Ok(daemon.logged().lines().any(|line| parts.iter().all(|part| line.contains(part))))
    });
    assert!(logged.unwrap(), "no line with {parts:?}:\n{}", daemon.logged());
}

#[test]
fn a_collector_with_a_wrong_certificate_is_left_for_one_with_a_right_one() {
    let unknown = Authority::new();
    let cases: [(&str, Spoil<'_>); 3] = [
        ("certificate not valid for name", &|authority| {
            authority.issue("collector-a", &["collector-x.example"], Validity::Current);
        }),
        ("certificate expired", &|authority| {
            authority.issue("collector-a", &["collector-a.example"], Validity::Past);
        }),
        ("signed by no certificate authority", &|authority| {
            let foreign = unknown.issue("collector-a", &["collector-a.example"], Validity::Current);
            fs::copy(foreign.certificate, authority.directory().join("collector-a.pem")).unwrap();
            fs::copy(foreign.key, authority.directory().join("collector-a.key")).unwrap();
        }),
    ];
    for (reason, spoil) in cases {
        let (plan, stage, authority) = secured(3);
        // The registrar shall know it all the same: it is the exporter that must not be fooled.
        registrar_in_clear(&stage);
        spoil(&authority);
        let mut pool = without_collectors(plan, stage);
        pool.restart_collector(world::program(), 0).unwrap();
        wait_for_line(&pool.exporter, &["WARN", reason, &pool.stage.collector(0).to_string()]);
        // The log is ahead of the metrics.
        let exporter = pool.stage.exporter_http();
        let counted = wait_until(world::PATIENCE, || {
            Ok(Samples::scrape(exporter)?.sum("ipfix_exporter_tls_handshakes_total") >= 1.0)
        });
        assert!(counted.unwrap(), "{reason}");
        pool.restart_collector(world::program(), 1).unwrap();
        let (settlement, _stage) = world::settle(pool);
        assert_eq!(settlement.received[0].flows.len(), 0, "{reason}");
    }
}

#[test]
fn a_certificate_read_again_on_sighup_is_shown_to_new_connections_only() {
    let (plan, stage, authority) = secured(8);
    let mut pool = Pool::start(world::program(), plan, stage).unwrap();
    let used = world::wait_for_part(&mut pool, 0.1);
    let other = collector_name(1 - used);
    // The other collector changes its name to one the exporter does not accept.
    authority.issue(&other, &["collector-x.example"], Validity::Current);
    for index in 0..2 {
        pool.collectors[index].as_ref().unwrap().signal("HUP").unwrap();
    }
    let [a, b] = &pool.collectors;
    for collector in [a, b] {
        wait_for_line(collector.as_ref().unwrap(), &["certificates read again"]);
    }
    let reloaded = |index: usize| {
        let metrics = Samples::scrape(pool.stage.collector_http(u8::try_from(index).unwrap())).unwrap();
        metrics.sum("ipfix_collector_config_last_reload_successful")
    };
    assert_eq!([reloaded(0), reloaded(1)], [1.0, 1.0]);
    world::wait_for_part(&mut pool, 0.3);
    let metrics = Samples::scrape(pool.stage.exporter_http()).unwrap();
    assert_eq!(metrics.sum("ipfix_exporter_failovers_total"), 0.0, "the connection in use has stayed");
    // The renamed collector is refused when its turn comes.
    let daemon = pool.take_collector(used).unwrap();
    daemon.signal("STOP").unwrap();
    wait_for_line(&pool.exporter, &["WARN", "certificate not valid for name", "collector-x.example"]);
    pool.stage.keep = false;
}

/// Returns the addresses of the collectors the exporter has connected to, and when in seconds of that minute and hour.
fn connections(exporter: &Daemon) -> Vec<(f64, String)> {
    let log = exporter.logged();
    let connected = log.lines().filter(|line| line.contains("collector connected"));
    let parsed = connected.map(|line| {
        let mut time = line[11..26].split(':').map(|part| part.parse::<f64>().unwrap());
        let seconds = time.by_ref().fold(0.0, |seconds, part| seconds * 60.0 + part);
        let peer = line.split("peer=tcp ").nth(1).unwrap_or_else(|| panic!("no peer: {line}"));
        (seconds, peer.split([':', '"']).next().unwrap().to_owned())
    });
    parsed.collect()
}

#[test]
fn a_collector_restarted_at_once_over_tcp_is_connected_to_after_the_pause_and_another_one_meanwhile() {
    const PAUSE: f64 = 6.0;
    let (plan, stage) = world::stage(10);
    over_tcp(&stage);
    edit(&stage, "exporter", |text| {
        text.replace("[pool]", &format!("[pool]\nreconnect-pause = \"{PAUSE}s\""))
    });
    let mut pool = Pool::start(world::program(), plan, stage).unwrap();
    let first = world::wait_for_part(&mut pool, 0.05);
    pool.take_collector(first).unwrap().kill().unwrap();
    pool.restart_collector(world::program(), first).unwrap();
    world::wait_for_another(&mut pool, first);
    // Now there is only the restarted one, which has registered anew: no quarantine keeps the exporter from it.
    pool.take_collector(1 - first).unwrap().kill().unwrap();
    world::wait_for_another(&mut pool, 1 - first);
    let connected = connections(&pool.exporter);
    println!("connected to {connected:?}");
    let order: Vec<String> = connected.iter().map(|(_, address)| address.clone()).collect();
    let addresses = [first, 1 - first, first].map(|index| pool.stage.collector(index).to_string());
    assert_eq!(order, addresses);
    // Midnight may be between; the first attempt was a little before its connection.
    let between = |from: usize, to: usize| (connected[to].0 - connected[from].0).rem_euclid(86_400.0);
    assert!(between(0, 1) < PAUSE, "a failover to another collector waits for nothing: {connected:?}");
    assert!(between(0, 2) > PAUSE - 0.5, "the pause is kept: {connected:?}");
    let (settlement, _stage) = world::settle(pool);
    assert_eq!(settlement.failovers, 2);
}

/// Lets everyone talk to the registrar over TCP, so that certificates matter between exporter and collectors only.
fn registrar_in_clear(stage: &Stage) {
    for name in ["collector-a", "collector-b", "exporter"] {
        edit(stage, name, |text| text.replace("tls://", "tcp://").replace(":3864", ":3863"));
    }
    edit(stage, "registrar", |text| {
        let text = text.replace("asap-tls = [", "asap-tcp = [").replace(":3864", ":3863");
        text[..text.find("[tls]").unwrap()].to_owned()
    });
}

/// Returns how many handshakes of collector `index` have ended with `result`.
fn handshakes(pool: &Pool, index: u8, result: &str) -> f64 {
    let metrics = Samples::scrape(pool.stage.collector_http(index)).unwrap();
    metrics.sum(&format!("ipfix_collector_tls_handshakes_total{{result=\"{result}\"}}"))
}

#[test]
fn an_exporter_whose_certificate_is_refused_says_so_and_tries_each_collector_once_a_quarantine() {
    let unknown = Authority::new();
    let cases: [(&str, &str, Spoil<'_>); 3] = [
        ("wrong_name", "certificate not valid for name", &|authority| {
            authority.issue("exporter", &["exporter-x.example"], Validity::Current);
        }),
        ("expired", "certificate expired", &|authority| {
            authority.issue("exporter", &["exporter.example"], Validity::Past);
        }),
        ("unknown_issuer", "signed by no certificate authority", &|authority| {
            let foreign = unknown.issue("exporter", &["exporter.example"], Validity::Current);
            fs::copy(foreign.certificate, authority.directory().join("exporter.pem")).unwrap();
            fs::copy(foreign.key, authority.directory().join("exporter.key")).unwrap();
        }),
    ];
    for (result, reason, spoil) in cases {
        let (plan, stage, authority) = secured(3);
        registrar_in_clear(&stage);
        // It is the quarantine that keeps the exporter from trying again and again.
        edit(&stage, "exporter", |text| text.replace("[pool]", "[pool]\nreconnect-pause = \"1ms\""));
        spoil(&authority);
        let mut pool = Pool::start(world::program(), plan, stage).unwrap();
        for index in 0..2 {
            let collector = pool.collectors[usize::from(index)].as_ref().unwrap();
            wait_for_line(collector, &["WARN", "TLS peer refused", reason, &format!("\"{result}\"")]);
            let counted = wait_until(world::PATIENCE, || Ok(handshakes(&pool, index, result) >= 1.0));
            assert!(counted.unwrap(), "{result}");
        }
        wait_for_line(&pool.exporter, &["WARN", "collector lost", "received fatal alert"]);
        // With all in quarantine the exporter asks the registrar again from time to time.
        let asked = |pool: &Pool| {
            Samples::scrape(pool.stage.registrar_http()).unwrap().sum("rserpool_handle_resolutions_total")
        };
        let before = asked(&pool);
        assert!(wait_until(world::PATIENCE, || Ok(asked(&pool) >= before + 3.0)).unwrap(), "{before}");
        assert_eq!(
            [0, 1].map(|index| handshakes(&pool, index, result)),
            [1.0; 2],
            "{result}: tried once each"
        );
        for line in ["collector connected", "collector lost"] {
            assert_eq!(pool.exporter.logged().matches(line).count(), 2, "{result}: {line}");
        }
        let registrar = Samples::scrape(pool.stage.registrar_http()).unwrap();
        assert_eq!(
            registrar.sum("rserpool_unreachable_reports_total"),
            0.0,
            "{result}: it is no report's business"
        );
        assert_eq!(registrar.sum("rserpool_pool_elements"), 2.0, "{result}");
        pool.stage.keep = false;
    }
}

#[test]
fn whoever_comes_to_a_collector_in_tls_without_a_certificate_or_without_tls_is_refused() {
    let (plan, stage, _authority) = secured(4);
    let mut pool = Pool::start(world::program(), plan, stage).unwrap();
    let peer = pool.stage.collector(0);
    let mut plain = TcpStream::connect((peer, 4740)).unwrap();
    plain.write_all(&[0, 10, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap();
    // It is over when this ends, in whichever way.
    let _ = plain.read_to_end(&mut Vec::new());
    let mut results = vec!["protocol"];
    // It shows no certificate of its own.
    let openssl = Command::new("openssl")
        .args(["s_client", "-tls1_3", "-connect", &format!("{peer}:4740")])
        .stdin(Stdio::null())
        .output();
    match openssl {
        Ok(_) => results.push("no_certificate"),
        Err(error) => println!("SKIPPED in part: openssl: {error}"),
    }
    for result in results {
        let counted = wait_until(world::PATIENCE, || Ok(handshakes(&pool, 0, result) >= 1.0));
        assert!(counted.unwrap(), "{result}: {}", pool.collectors[0].as_ref().unwrap().logged());
    }
    wait_for_line(pool.collectors[0].as_ref().unwrap(), &["WARN", "TLS peer refused", "\"protocol\""]);
    world::wait_for_part(&mut pool, 0.3);
    world::settle_undisturbed(pool);
}

#[test]
fn the_certificates_made_by_the_commands_of_the_documentation_carry_a_pool() {
    let recipe =
        include_str!("../../../docs/tls.md").split("```").find_map(|block| block.strip_prefix("sh\n"));
    if let Err(error) = Command::new("openssl").arg("version").output() {
        return println!("SKIPPED: openssl: {error}");
    }
    let (plan, stage, authority) = secured(2);
    let made =
        Command::new("sh").args(["-ec", recipe.unwrap()]).current_dir(&stage.directory).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let [from, to] =
        [authority.directory(), &stage.directory.join("tls")].map(|path| path.display().to_string());
    for name in ["registrar", "collector-a", "collector-b", "exporter"] {
        edit(&stage, name, |text| {
            let text = text.replace(&from, &to).replace(".example\"", ".example.net\"");
            text.replace("collector-a.", "collector.").replace("collector-b.", "collector.")
        });
    }
    // Nothing else can have made the certificates in use.
    drop(authority);
    let mut pool = Pool::start(world::program(), plan, stage).unwrap();
    world::wait_for_part(&mut pool, 0.3);
    world::settle_undisturbed(pool);
}
