//! The status pages of a real pool in headless Chromium, while a collector drains, others are killed and a registrar dies:
//! as the page's script leaves them and without it.
//!
//! With UPDATE_SCREENSHOTS the pictures in docs/images are taken anew: `cargo xtask browser --update`.

mod chromium;
#[path = "../world/mod.rs"]
mod world;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use demo::pool::{Plan, Pool};
use demo::process::{Daemon, pause, wait_until};
use demo::stage::{Stage, collector_name, registrar_name};
use serde_json::Value;

use chromium::{Chromium, Look, Script};
use world::{PATIENCE, program};

/// Collectors of the pool.
const COLLECTORS: u8 = 3;
/// A page has less, whatever it shows.
const MAX_PAGE: usize = 60_000;
/// A picture in the documentation has less.
const MAX_PICTURE: u64 = 150_000;
/// How long the pool runs before pictures are taken, so that its charts show something.
const RUN_IN: Duration = Duration::from_secs(20);

#[test]
#[ignore = "needs Chromium: cargo xtask browser"]
fn the_pages_show_a_pool_whose_collectors_drain_and_die_and_a_registrar_too() {
    let mut scene = Scene::set();
    let [first_registrar, ..] = scene.registrars();
    let exporter = scene.pool.stage.exporter_http();
    scene.await_all_up();

    // Everything is in order.
    let used = scene.used();
    let home = scene.home_of(used);
    scene.looks(home, &["RSerPool registrar", "good\">up</span>", "good\">active</span>", " ago</td>"]);
    scene.looks(
        exporter,
        &[
            "good\">exporting</span>",
            "good\">in use</span>",
            "good\">stands by</span>",
            ">Largest active flows</h2>",
            "<td>tcp</td>",
        ],
    );
    scene.looks(scene.pool.stage.collector_http(used), &["IPFIX collector"]);
    scene.run_in();

    // The collector in use drains.
    let drained = used;
    scene.drain(drained);
    scene.await_page(home, "changing\">draining</span>");
    scene.await_page(exporter, "collector is draining");
    scene.shows(home, &["good\">up</span>", "changing\">draining</span>", "<td>draining</td>"]);
    scene.shows(exporter, &["good\">exporting</span>", "collector is draining"]);
    scene.shows(scene.pool.stage.collector_http(drained), &["IPFIX collector", "draining"]);
    scene.run_in();

    // The next one is killed. Its home tells it from the one that drains.
    let killed = scene.await_used(|used| used != drained);
    let home = scene.home_of(killed);
    scene.kill(killed);
    scene.await_page(home, "bad\">gone: ");
    scene.await_used(|used| used != drained && used != killed);
    scene.await_page(exporter, "association lost");
    scene
        .looks(home, &["good\">up</span>", "changing\">draining</span>", "bad\">gone: ", "<td>removed</td>"]);
    scene.shows(exporter, &["good\">exporting</span>", "association lost", "collector is draining"]);
    scene.run_in();
    let last = scene.used();
    scene.picture(home, "registrar", (1120, 900));
    scene.picture(exporter, "exporter", (1120, 900));
    scene.picture(scene.pool.stage.collector_http(last), "collector", (1120, 900));

    // A registrar is killed: the other one says so, and goes on.
    scene.pool.kill_registrar(1).unwrap();
    scene.await_page(first_registrar, "<td>registrar lost</td>");
    scene.shows(first_registrar, &["<td>registrar lost</td>", "good\">up</span>"]);

    // Nobody is left to take records.
    (0..COLLECTORS).for_each(|collector| scene.kill(collector));
    scene.await_page(exporter, "mark bad\">none</span>");
    scene.shows(exporter, &["mark bad\">none</span>", "association lost"]);
    scene.await_page(first_registrar, "a pool has lost all its elements");
    scene.shows(first_registrar, &["a pool has lost all its elements", "bad\">gone: "]);
    scene.pool.stage.keep = false;
}

/// A pool of two registrars, three collectors and an exporter that goes on for ever, and who looks at it.
struct Scene {
    pool: Pool,
    third: Option<Daemon>,
    chromium: Chromium,
}

impl Scene {
    fn set() -> Scene {
        let plan = Plan { loops: 0, ..Plan::make(5_000, Duration::from_secs(9)).unwrap() };
        let mut stage = Stage::set(true).unwrap();
        (stage.registrars, stage.collectors) = (2, COLLECTORS);
        stage.furnish(&plan).unwrap();
        println!("configuration, logs and flows are in {}", stage.directory.display());
        for index in 0..2 {
            let config = stage.config(registrar_name(index));
            let mut config = fs::File::options().append(true).open(config).unwrap();
            write!(config, "\n[control]\nsocket = {:?}\n", socket(&stage, index)).unwrap();
        }
        for index in 0..COLLECTORS {
            let config = stage.config(&collector_name(index));
            let text = fs::read_to_string(&config).unwrap();
            assert!(text.contains("policy.round-robin = {}"), "{text}");
            let text = text.replace("policy.round-robin = {}", "policy.least-used = { capacity = 4000 }");
            fs::write(config, text).unwrap();
        }
        let pool = Pool::start(program(), plan, stage).unwrap();
        let (name, stage) = (collector_name(2), &pool.stage);
        let third = Daemon::start(program(), "collector", &name, &stage.config(&name), &stage.directory);
        let chromium = Chromium::new(&pool.stage.directory);
        Scene { third: Some(third.unwrap()), chromium, pool }
    }

    fn registrars(&self) -> [SocketAddr; 2] {
        [0, 1].map(|index| self.pool.stage.registrar_http_at(index))
    }

    /// Waits until both registrars know three elements that are up, and the exporter has two collectors.
    fn await_all_up(&self) {
        for registrar in self.registrars() {
            await_json(registrar, "/api/v1/pools", "three collectors", |pools| {
                pools["pools"][0]["up"] == u64::from(COLLECTORS)
            });
            // The home asks the elements it has.
            self.await_page(registrar, "good\">active</span>");
        }
        let exporter = self.pool.stage.exporter_http();
        await_json(exporter, "/api/v1/status", "two collectors", |status| {
            status["state"] == "exporting" && status["standby"].is_object()
        });
        let home = self.home_of(self.used());
        await_json(home, "/api/v1/pools/ipfix/elements", "a keep-alive", |elements| {
            elements["elements"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|e| !e["seconds-since-keep-alive"].is_null())
        });
    }

    /// Returns which collector the exporter uses.
    fn used(&self) -> u8 {
        self.await_used(|_| true)
    }

    /// Waits until the exporter uses a collector that is wanted.
    fn await_used(&self, wanted: impl Fn(u8) -> bool) -> u8 {
        let mut used = None;
        await_json(self.pool.stage.exporter_http(), "/api/v1/status", "a collector in use", |status| {
            let address = status["collector"]["address"].as_str().unwrap_or_default();
            let at = |index: &u8| address.contains(&format!("{}:", self.pool.stage.collector(*index)));
            used = (0..COLLECTORS).find(at).filter(|index| wanted(*index));
            used.is_some()
        });
        used.unwrap()
    }

    /// Returns what the first registrar knows of a collector.
    fn element(&self, collector: u8) -> Value {
        let address = self.pool.stage.collector(collector).to_string();
        let [registrar, _] = self.registrars();
        let answer = get(registrar, "/api/v1/pools/ipfix/elements").unwrap();
        let elements: Value = serde_json::from_str(&answer).unwrap();
        let elements = elements["elements"].as_array().unwrap();
        let element = elements.iter().find(|element| element["transport"]["addresses"][0] == *address);
        element.unwrap_or_else(|| panic!("no element at {address}: {answer}")).clone()
    }

    /// Returns the number of a collector's home registrar.
    fn home_index(&self, collector: u8) -> u8 {
        u8::from(self.element(collector)["home"] == "00000002")
    }

    /// Returns where a collector's home registrar has its page.
    fn home_of(&self, collector: u8) -> SocketAddr {
        self.pool.stage.registrar_http_at(self.home_index(collector))
    }

    /// Has the home registrar of a collector drain it.
    fn drain(&self, collector: u8) {
        let pe = self.element(collector)["pe"].as_str().unwrap().to_owned();
        world::drain(&socket(&self.pool.stage, self.home_index(collector)), &[&pe]);
    }

    /// Kills a collector, unless it was killed before.
    fn kill(&mut self, collector: u8) {
        let daemon = match collector {
            0 | 1 => self.pool.collectors[usize::from(collector)].take(),
            _ => self.third.take(),
        };
        if let Some(mut daemon) = daemon {
            daemon.kill().unwrap();
        }
    }

    /// Waits until the page at `address` has `text`.
    fn await_page(&self, address: SocketAddr, text: &str) {
        let mut page = String::new();
        let shown = wait_until(PATIENCE, || {
            page = get(address, "/").unwrap_or_default();
            Ok(page.contains(text))
        });
        assert!(shown.unwrap(), "no {text:?} on the page of {address}:\n{page}");
    }

    /// Looks at a page with Chromium until it has all these texts, with its script and without.
    fn looks(&self, address: SocketAddr, texts: &[&str]) {
        self.shows(address, texts);
        self.looks_with(address, Script::On, texts);
    }

    /// Looks at a page with Chromium, without its script, until it has all these texts.
    fn shows(&self, address: SocketAddr, texts: &[&str]) {
        self.looks_with(address, Script::Off, texts);
        let page = get(address, "/").unwrap();
        assert!(page.len() < MAX_PAGE, "the page of {address} has {} octets", page.len());
    }

    fn looks_with(&self, address: SocketAddr, script: Script, texts: &[&str]) {
        let own = format!("http://{address}/");
        let mut look = Look::default();
        // What is awaited was there already; a state may have come between.
        let all = wait_until(PATIENCE, || {
            look = self.chromium.look(address, script);
            Ok(look.requests.contains(&own) && texts.iter().all(|text| look.dom.contains(text)))
        });
        let Look { dom, requests } = look;
        assert!(
            all.unwrap(),
            "not all of {texts:?} on the page of {address}, script {script:?}, requests {requests:?}:\n{dom}"
        );
        assert!(requests.iter().all(|url| *url == own), "the page asked for {requests:?}");
        assert_eq!(requests.len() > 1, script == Script::On, "only the script asks again: {requests:?}");
        assert!(!dom.contains("https://") && !dom.contains("http://"), "a link leads elsewhere:\n{dom}");
        // The script shows its button.
        assert_eq!(dom.contains("type=\"button\" hidden"), script == Script::Off, "{dom}");
        assert!(dom.contains("id=\"trouble\" role=\"status\"></p>"), "refreshing failed:\n{dom}");
    }

    /// Lets the pool work where pictures will be taken.
    fn run_in(&self) {
        if is_update() {
            pause(RUN_IN);
        }
    }

    /// Takes the picture of a page; into the documentation where that is wanted.
    fn picture(&self, address: SocketAddr, name: &str, size: (u32, u32)) {
        let documented = images().join(format!("{name}.png"));
        let file =
            if is_update() { documented.clone() } else { self.pool.stage.directory.join("picture.png") };
        self.chromium.screenshot(address, &file, size);
        for file in [&file, &documented] {
            let octets = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert!(octets.starts_with(b"\x89PNG"), "{} is no picture", file.display());
            let length = octets.len() as u64;
            assert!((10_000..MAX_PICTURE).contains(&length), "{} has {length} octets", file.display());
        }
    }
}

fn is_update() -> bool {
    std::env::var_os("UPDATE_SCREENSHOTS").is_some()
}

fn images() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images")
}

/// Where registrar `index` takes commands.
fn socket(stage: &Stage, index: u8) -> PathBuf {
    stage.directory.join(format!("control-{index}"))
}

/// Waits until what a daemon answers is as wanted.
fn await_json(address: SocketAddr, path: &str, what: &str, mut wanted: impl FnMut(&Value) -> bool) {
    let mut answer = String::new();
    let held = wait_until(PATIENCE, || {
        answer = get(address, path).unwrap_or_default();
        Ok(serde_json::from_str(&answer).is_ok_and(|value| wanted(&value)))
    });
    assert!(held.unwrap(), "no {what} at http://{address}{path}:\n{answer}");
}

/// Returns what a daemon answers, without the header.
fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}
