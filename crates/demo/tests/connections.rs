//! The same pool over TCP and over TLS: real processes, failover, acknowledgements, certificates that are wrong.

mod world;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use demo::pool::{Plan, Pool};
use demo::process::{Daemon, ROLE, wait_until};
use demo::scrape::Metrics;
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
    let refused = Metrics::scrape(pool.stage.registrar_http()).unwrap();
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
    Pool { plan, stage, registrar, collectors: [None, None], exporter, begin: Instant::now() }
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
        for name in ["collector-a", "collector-b", "exporter"] {
            edit(&stage, name, |text| text.replace("tls://", "tcp://").replace(":3864", ":3863"));
        }
        edit(&stage, "registrar", |text| {
            let text = text.replace("asap-tls = [", "asap-tcp = [").replace(":3864", ":3863");
            text[..text.find("[tls]").unwrap()].to_owned()
        });
        spoil(&authority);
        let mut pool = without_collectors(plan, stage);
        pool.restart_collector(world::program(), 0).unwrap();
        wait_for_line(&pool.exporter, &["WARN", reason, &pool.stage.collector(0).to_string()]);
        let metrics = Metrics::scrape(pool.stage.exporter_http()).unwrap();
        assert!(metrics.sum("ipfix_exporter_tls_handshakes_total") >= 1.0);
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
    world::wait_for_part(&mut pool, 0.3);
    let metrics = Metrics::scrape(pool.stage.exporter_http()).unwrap();
    assert_eq!(metrics.sum("ipfix_exporter_failovers_total"), 0.0, "the connection in use has stayed");
    // The renamed collector is refused when its turn comes.
    let daemon = pool.take_collector(used).unwrap();
    daemon.signal("STOP").unwrap();
    wait_for_line(&pool.exporter, &["WARN", "certificate not valid for name", "collector-x.example"]);
    pool.stage.keep = false;
}
