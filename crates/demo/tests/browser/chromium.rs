//! Headless Chromium, as often as a page is looked at: each time a process of its own with a profile of its own, that
//! ends within a minute or is ended.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use demo::process::wait_until;

/// Longer than it takes on any machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What keeps it from asking for things of its own, and from needing a desktop.
const ARGUMENTS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-lcd-text",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-first-run",
    "--force-color-profile=srgb",
];

/// Settings of a user who lets no page run scripts.
const NO_SCRIPTS: &str = r#"{"profile":{"default_content_setting_values":{"javascript":2}}}"#;

/// Whether a page's script runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Script {
    On,
    Off,
}

/// What a look at a page gave.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// The document as it stands then.
    pub(crate) dom: String,
    /// What the page asked for, itself included. Nothing where the browser kept no log, as sometimes.
    pub(crate) requests: Vec<String>,
}

/// Where the browser keeps what it needs.
#[derive(Debug)]
pub(crate) struct Chromium {
    directory: PathBuf,
}

impl Chromium {
    /// Its profiles lie in `directory`.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Looks at the page at `/` of `address`; for some seconds of its clock, so that its script, if that runs, asks for it
    /// again.
    pub(crate) fn look(&self, address: SocketAddr, script: Script) -> Look {
        let log = self.directory.join("requests.json");
        let _ = fs::remove_file(&log);
        let net_log = format!("--log-net-log={}", log.display());
        let dom = match self.run(address, script, &["--dump-dom", &net_log, "--virtual-time-budget=9000"]) {
            Ok(dom) => dom,
            // Whoever waits for something on a page looks again.
            Err(error) => {
                println!("{error}");
                return Look::default();
            }
        };
        let log = fs::read_to_string(log).unwrap_or_default();
        // One event a line. What the browser asks for itself is of no page.
        let of_page = format!("\"network_isolation_key\":\"http://{} ", address.ip());
        let urls = log.lines().filter(|line| line.contains(&of_page)).filter_map(|line| {
            let (_, url) = line.split_once("\"url\":\"")?;
            Some(url.split_once('"')?.0.to_owned())
        });
        Look { dom, requests: urls.collect() }
    }

    /// Takes a picture of the page at `/` of `address`, so many pixels wide and high.
    pub(crate) fn screenshot(&self, address: SocketAddr, file: &Path, size: (u32, u32)) {
        let file = format!("--screenshot={}", file.display());
        let size = format!("--window-size={},{}", size.0, size.1);
        self.run(address, Script::On, &[&file, &size, "--force-device-scale-factor=1"]).unwrap();
    }

    /// Returns what it prints, or what it says where it fails.
    fn run(&self, address: SocketAddr, script: Script, arguments: &[&str]) -> Result<String, String> {
        let profile = self.directory.join(format!("chromium-{:016x}", getrandom::u64().unwrap()));
        fs::create_dir_all(profile.join("Default")).unwrap();
        if script == Script::Off {
            fs::write(profile.join("Default/Preferences"), NO_SCRIPTS).unwrap();
        }
        let (out, log) = (self.directory.join("chromium.out"), self.directory.join("chromium.log"));
        let mut child = Command::new("chromium")
            .args(ARGUMENTS)
            .arg(format!("--user-data-dir={}", profile.display()))
            // Nothing goes to another host, whoever wants it.
            .arg(format!("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {}", address.ip()))
            .args(arguments)
            .arg(format!("http://{address}/"))
            // Its caches and crash reports stay there, too.
            .env("HOME", &profile)
            .env("XDG_CONFIG_HOME", &profile)
            .env("XDG_CACHE_HOME", &profile)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let ended = wait_until(LIMIT, || Ok(child.try_wait()?.is_some())).unwrap();
        if !ended {
            let _ = child.kill();
        }
        let status = child.wait().unwrap();
        let _ = fs::remove_dir_all(&profile);
        if !ended || !status.success() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("chromium ended with {status}:\n{said}"));
        }
        Ok(fs::read_to_string(&out).unwrap())
    }
}
