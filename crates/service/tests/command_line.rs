//! What a user sees of a daemon: transcripts of the example daemon, and its exit codes.
//!
//! `UPDATE_GOLDEN=1 cargo test -p service` rewrites `tests/golden`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

fn clock() -> Command {
    example("clock")
}

/// An example daemon. `cargo test` builds examples beside the folder of the tests; with `--test` it does not.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(name);
    assert!(path.exists(), "build it first: cargo build -p service --examples");
    let mut command = Command::new(path);
    command
        .env_remove("FLOWPOOL_LOG")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("JOURNAL_STREAM")
        .env_remove("WATCHDOG_USEC");
    command
}

/// A folder of one test, removed when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        clock().args(arguments).current_dir(&self.0).output().unwrap()
    }

    fn check(&self, config: &str) -> (i32, String) {
        fs::write(self.0.join("clock.toml"), config).unwrap();
        let output = self.run(&["check", "--config", "clock.toml"]);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn assert_golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{name} differs; UPDATE_GOLDEN=1 rewrites it");
}

#[test]
fn configuration_errors_show_the_place_and_what_would_be_right() {
    let folder = Folder::new("configuration-errors");
    let cases = [
        ("a misspelt key", "# comment\nintervall = \"15s\"\n"),
        ("a key nothing is near to", "colour = \"red\"\n"),
        ("a misspelt key in a table", "[http]\nlisen = \"127.0.0.1:0\"\n"),
        ("a period without unit", "interval = \"15\"\n"),
        ("a period that is a number", "interval = 15\n"),
        ("an address without port", "[http]\nlisten = \"127.0.0.1\"\n"),
        ("a missing key", "[http]\n"),
        ("a value refused by validation", "\n\ninterval = \"0s\"\n"),
        ("an open string", "interval = \"15s\n"),
        ("a key given twice", "interval = \"15s\"\ninterval = \"16s\"\n"),
        ("tabs and letters of several octets", "\tinterval = \"fünf\"\t# ß\n"),
        ("an escaped control character", "interval = \"\\u001b[31m\"\n"),
        ("a control character", "interval = \"\u{7f}\"\n"),
    ];
    let mut transcript = String::new();
    for (title, config) in cases {
        let (code, report) = folder.check(config);
        transcript += &format!("== {title}: exit {code}\n{report}\n");
    }
    assert_golden("configuration-errors.txt", &transcript);
}

#[test]
fn the_environment_stands_above_the_file_and_every_value_tells_where_it_is_from() {
    let folder = Folder::new("environment");
    fs::write(folder.0.join("clock.toml"), "# comment\ninterval = \"20s\"\n").unwrap();
    let mut transcript = String::new();
    for (variables, arguments) in [
        (&[][..], &["config", "show"][..]),
        (&[], &["config", "show", "--origin"]),
        (
            &[("CLOCK__INTERVAL", "30s"), ("CLOCK__HTTP__LISTEN", "[::1]:9999"), ("CLOCKS__INTERVAL", "1")],
            &["config", "show", "--origin"],
        ),
        (&[("CLOCK__INTERVAL", "0s")], &["check"]),
        (&[("CLOCK__INTERVAL", "10")], &["check"]),
        (&[("CLOCK__INTERVALL", "20s"), ("CLOCK__HTTP__LISTEN", "localhost")], &["check"]),
        (&[("CLOCK__HTTP", "[1")], &["check"]),
    ] {
        let output = clock()
            .args(arguments)
            .args(["--config", "clock.toml"])
            .envs(variables.iter().copied())
            .current_dir(&folder.0)
            .output()
            .unwrap();
        let shown: String = variables.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        let code = output.status.code().unwrap();
        transcript += &format!("$ {shown}flowpool-clock {}\n{out}{err}exit {code}\n\n", arguments.join(" "));
    }
    assert_golden("environment.txt", &transcript);
}

#[test]
fn a_missing_file_is_a_configuration_error_with_advice() {
    let folder = Folder::new("missing-file");
    let output = folder.run(&["run", "--config", "none.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert_golden("missing-file.txt", &String::from_utf8(output.stderr).unwrap());
}

#[test]
fn help_of_every_command_ends_with_an_example() {
    let folder = Folder::new("help");
    let mut transcript = String::new();
    for command in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["doctor", "--help"],
        &["health", "--help"],
        &["stats", "--help"],
        &["config", "example", "--help"],
        &["config", "show", "--help"],
        &["completions", "--help"],
        &["manual", "--help"],
    ] {
        let output = folder.run(command);
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Example:\n"), "{command:?}");
        transcript += &format!("$ flowpool-clock {}\n{text}\n", command.join(" "));
    }
    assert_golden("help.txt", &transcript);
}

#[test]
fn completions_and_manual_pages_are_those_of_the_command_line() {
    let folder = Folder::new("manual");
    for shell in ["bash", "zsh", "fish"] {
        let output = folder.run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("flowpool-clock") && script.contains("doctor"), "{shell}: {script}");
    }
    assert_eq!(folder.run(&["manual", "man"]).status.code(), Some(0));
    let page = |name: &str| fs::read_to_string(folder.0.join("man").join(name)).unwrap();
    assert!(page("flowpool-clock.1").contains("doctor"));
    assert!(page("flowpool-clock-run.1").contains("SIGTERM"));
    fs::write(folder.0.join("file"), "").unwrap();
    let unwritable = folder.run(&["manual", "file/man"]);
    assert_eq!(unwritable.status.code(), Some(74), "{unwritable:?}");
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let folder = Folder::new("usage");
    assert_eq!(folder.run(&["run", "--bogus"]).status.code(), Some(2));
    assert_eq!(folder.run(&[]).status.code(), Some(2));
    assert_eq!(folder.run(&["check", "--log-level", "in=fo=x"]).status.code(), Some(2));
}

#[test]
fn the_sample_configuration_passes_its_own_check() {
    let folder = Folder::new("sample");
    let sample = folder.run(&["config", "example"]);
    assert_eq!(sample.status.code(), Some(0));
    assert_eq!(
        folder.check(std::str::from_utf8(&sample.stdout).unwrap()),
        (0, "clock.toml: ok\n".to_owned())
    );
}

#[test]
fn an_address_in_use_ends_the_daemon_with_74_and_names_the_setting() {
    let folder = Folder::new("address-in-use");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    fs::write(folder.0.join("clock.toml"), format!("[http]\nlisten = \"{listen}\"\n")).unwrap();
    let output = folder.run(&["run", "--config", "clock.toml"]);
    assert_eq!(output.status.code(), Some(74));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.matches(&format!("[http] listen = \"{listen}\": ")).count(), 1, "{stderr}");
}

/// Starts the daemon with its HTTP server on a free port; the address comes from its first log line.
fn start(folder: &Folder, configure: impl FnOnce(&mut Command)) -> (Running, BufReader<ChildStderr>, String) {
    fs::write(folder.0.join("clock.toml"), "interval = \"1s\"\n[http]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let mut command = clock();
    command.args(["run", "--config", "clock.toml", "--log-format", "json"]).current_dir(&folder.0);
    configure(&mut command);
    spawn(&mut command)
}

/// Starts `command` and returns it with the rest of its log and the first line.
fn spawn(command: &mut Command) -> (Running, BufReader<ChildStderr>, String) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    (Running(child), log, line)
}

/// A daemon that ends with its test.
struct Running(Child);

impl std::ops::Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl std::ops::DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a daemon tells its state to: the other end of `NOTIFY_SOCKET`.
struct ServiceManager {
    path: PathBuf,
    socket: UnixDatagram,
}

impl ServiceManager {
    fn new(folder: &Folder) -> Self {
        let path = folder.0.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { path, socket }
    }

    fn starts(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", &self.path);
    }

    /// Waits until all of `wanted` were told, in any order, and others between.
    fn expect(&self, wanted: &[&str]) {
        let mut wanted = wanted.to_vec();
        let next = || {
            let mut state = [0; 128];
            let length = self.socket.recv(&mut state).unwrap();
            String::from_utf8(state[..length].to_vec()).unwrap()
        };
        let told: Vec<String> = std::iter::repeat_with(next)
            .take(50)
            .take_while(|state| {
                wanted.retain(|wanted| !state.starts_with(wanted));
                !wanted.is_empty()
            })
            .collect();
        assert!(wanted.is_empty(), "no {wanted:?} in {told:?}");
    }
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

#[test]
fn a_daemon_whose_log_nobody_reads_any_more_goes_on_and_ends_in_order() {
    let folder = Folder::new("unread");
    let (mut child, log, _) = start(&folder, |_| {});
    drop(log);
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn sigterm_ends_the_daemon_with_0() {
    let folder = Folder::new("sigterm");
    let (mut child, _log, first) = start(&folder, |_| {});
    assert!(first.contains("\"http\":\"127.0.0.1:"), "{first}");
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_service_manager_is_told_ready_and_stopping() {
    let folder = Folder::new("notify");
    let manager = ServiceManager::new(&folder);
    let (mut child, _log, _first) = start(&folder, |command| {
        manager.starts(command.env("WATCHDOG_USEC", "500000"));
    });
    manager.expect(&["READY=1", "STATUS=ready", "WATCHDOG=1"]);
    signal(&child, "HUP");
    manager.expect(&["RELOADING=1\nMONOTONIC_USEC="]);
    manager.expect(&["READY=1"]);
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    manager.expect(&["STOPPING=1"]);
}

#[test]
fn sighup_checks_the_file_and_names_what_needs_a_restart_and_sigusr2_turns_debug_on() {
    let folder = Folder::new("reload");
    let (mut child, mut log, _) = start(&folder, |_| {});
    let mut until = |wanted: &str| {
        let mut text = String::new();
        while !text.contains(wanted) {
            assert_ne!(log.read_line(&mut text).unwrap(), 0, "no {wanted} in {text}");
        }
        text
    };
    let write = |text: &str| fs::write(folder.0.join("clock.toml"), text).unwrap();
    write("intervall = \"1s\"\n[http]\nlisten = 7\n");
    signal(&child, "HUP");
    let told = until("everything stays as it was");
    assert!(told.contains("clock.toml:1:1: unknown key `intervall`, did you mean `interval`?"), "{told}");
    assert!(told.contains("clock.toml:3:10: "), "{told}");
    write("interval = \"2s\"\n[http]\nlisten = \"127.0.0.1:0\"\n");
    signal(&child, "HUP");
    let told = until("read again");
    assert!(told.contains("in force after a restart\",\"keys\":\"interval\""), "{told}");
    signal(&child, "USR2");
    until("\"verbose\":true");
    signal(&child, "USR2");
    until("\"verbose\":false");
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_configuration_is_read_once_and_compared_at_sighup_with_what_was_read() {
    use std::io::Write as _;
    // A pipe can be read once only: what is there at SIGHUP is another, empty configuration.
    let mut command = clock();
    command.args(["run", "--config", "/dev/stdin", "--log-format", "json"]).stdin(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"interval = \"3s\"\n[http]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    drop(input);
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut child = Running(child);
    let (mut told, mut hung_up) = (String::new(), false);
    while !told.contains("read again") {
        assert_ne!(log.read_line(&mut told).unwrap(), 0, "{told}");
        if told.contains("started") && !std::mem::replace(&mut hung_up, true) {
            signal(&child, "HUP");
        }
    }
    assert!(told.contains("in force after a restart\",\"keys\":\"http.listen, interval\""), "{told}");
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn health_tells_by_its_exit_code_whether_the_daemon_is_ready() {
    let folder = Folder::new("health");
    let manager = ServiceManager::new(&folder);
    let (mut child, _log, first) = start(&folder, |command| manager.starts(command));
    manager.expect(&["READY=1"]);
    let listen = first.split("\"http\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    fs::write(folder.0.join("asked.toml"), format!("[http]\nlisten = \"{listen}\"\n")).unwrap();
    let ready = folder.run(&["health", "--config", "asked.toml"]);
    assert_eq!((ready.status.code(), &ready.stdout[..]), (Some(0), &b"[+]ticking ok\nready\n"[..]));
    let live = folder.run(&["health", "--live", "--config", "asked.toml"]);
    assert_eq!(live.status.code(), Some(0));
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let gone = folder.run(&["health", "--config", "asked.toml"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains(&format!("{listen} does not answer")));
}

#[test]
fn lines_for_the_journal_begin_with_their_priority_and_have_no_time() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = Folder::new("journal");
    fs::write(folder.0.join("clock.toml"), "[http]\nlisten = \"192.0.2.1:1\"\n").unwrap();
    let journal = fs::File::create(folder.0.join("journal")).unwrap();
    let named = journal.metadata().unwrap();
    let mut run = clock();
    run.args(["run", "--config", "clock.toml"]).current_dir(&folder.0).stderr(journal);
    run.env("JOURNAL_STREAM", format!("{}:{}", named.dev(), named.ino())).status().unwrap();
    let text = fs::read_to_string(folder.0.join("journal")).unwrap();
    assert!(text.starts_with("<3>ERROR service::shell: [http] listen = "), "{text}");
}

#[test]
fn a_second_signal_ends_the_daemon_at_once_with_1() {
    let mut command = example("stubborn");
    command.args(["run", "--config", "/dev/null", "--log-format", "json"]);
    let (mut child, mut log, _first) = spawn(&mut command);
    signal(&child, "TERM");
    // Two signals at once would merge: the second one follows when the first was seen.
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    assert!(line.contains("shutting down"), "{line}");
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_subcommand_of_its_own_reads_the_configuration_and_names_its_exit_code() {
    let folder = Folder::new("own-subcommand");
    fs::write(folder.0.join("s.toml"), "word = \"no\"\n").unwrap();
    let mut command = example("stubborn");
    let output = command.args(["say", "2", "--config", "s.toml"]).current_dir(&folder.0).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert_eq!(output.stdout, b"nono\n");
    assert_eq!(output.stderr, b"error: nothing was written\n");
}
