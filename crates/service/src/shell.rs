//! Runs a daemon: runtime, metrics, HTTP server, signals, service manager.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing::{error, info};

use crate::cli::{self, Command, ConfigCommand, Options};
use crate::config::Sources;
use crate::http::HttpServer;
use crate::notify::{self, Notify};
use crate::shutdown::Signals;
use crate::{
    Api, Context, Daemon, Exit, Failure, Findings, Health, Metrics, OrExit as _, Shutdown, config, log,
    reload,
};

const UPKEEP: Duration = Duration::from_secs(5);
const PULSE: Duration = Duration::from_secs(1);
/// Blocking tasks still running when the daemon has ended get this long.
const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(1);

/// What a daemon's own subcommand can do besides its work: read the configuration, run the daemon.
#[derive(Debug)]
pub struct Shell {
    options: Options,
    /// What the configuration was read from, for the comparison at SIGHUP.
    read: RefCell<Option<Sources>>,
}

/// Runs the command line of daemon `D`: this is all of its `main`.
pub fn main<D: Daemon>() -> ExitCode {
    main_from::<D>(std::env::args_os())
}

/// As [`main`], with these arguments; the first one is the name the program was called by.
pub fn main_from<D: Daemon>(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (options, command) = match cli::parse::<D>(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return code.into();
        }
    };
    match (Shell { options, read: RefCell::default() }).execute::<D>(command) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            failure.print();
            failure.exit().into()
        }
    }
}

impl Shell {
    fn execute<D: Daemon>(self, command: Command<D::Command>) -> Result<(), Failure> {
        match command {
            Command::Run => {
                self.start_logs()?;
                let config = self.config::<D>()?;
                self.run::<D>(config)
            }
            Command::Check => {
                self.config::<D>()?;
                eprintln!("{}: ok", self.options.config_file::<D>().display());
                Ok(())
            }
            Command::Config(ConfigCommand::Example) => print(D::SAMPLE),
            Command::Config(ConfigCommand::Show { origin }) => {
                let (sources, _) = self.configuration::<D>()?;
                print(&sources.show(D::SAMPLE, D::WITHOUT_DEFAULT, origin))
            }
            Command::Doctor => {
                let config = self.config::<D>()?;
                let mut findings = Findings::default();
                findings.common(&self.options.config_file::<D>(), D::http(&config));
                let runtime = runtime(NonZeroUsize::new(1))?;
                runtime.block_on(D::doctor(config, &mut findings));
                findings.tell()
            }
            Command::Health(health) => health.run(D::http(&self.config::<D>()?)),
            Command::Stats(stats) => {
                let configured = if stats.names_daemons() { None } else { D::http(&self.config::<D>()?) };
                stats.run(configured)
            }
            Command::Completions { shell } => print(&cli::completions::<D>(shell)),
            Command::Manual { folder } => cli::write_manual::<D>(&folder)
                .map_err(|error| Failure::io(folder.display().to_string(), error)),
            Command::Own(command) => {
                self.start_logs()?;
                D::command(command, &self)
            }
        }
    }

    fn start_logs(&self) -> Result<(), Failure> {
        log::install(self.options.log_level.as_ref(), self.options.log_format).or_exit(Exit::Usage)
    }

    /// Reads the configuration file of the command line, or the default one, and the environment's variables above it; fails
    /// with [`Exit::Configuration`].
    pub fn config<D: Daemon>(&self) -> Result<D::Config, Failure> {
        let (sources, config) = self.configuration::<D>()?;
        self.read.replace(Some(sources));
        Ok(config)
    }

    fn configuration<D: Daemon>(&self) -> Result<(Sources, D::Config), Failure> {
        let path = self.options.config_file::<D>();
        let mut loaded = config::load_daemon::<D>(&path);
        if let (Err(error), false) = (&mut loaded, path.exists()) {
            error.note(format!("`{} config example` prints a configuration to start from", D::NAME));
        }
        loaded.or_exit(Exit::Configuration)
    }

    /// Returns whether the command line names a configuration file.
    pub fn has_config(&self) -> bool {
        self.options.config.is_some()
    }

    /// Runs the daemon with `config`, as the subcommand `run` does, until it ends.
    pub fn run<D: Daemon>(&self, config: D::Config) -> Result<(), Failure> {
        let runtime = runtime(D::worker_threads(&config))?;
        let path = self.options.config_file::<D>();
        let result = runtime.block_on(supervise::<D>(config, path, self.read.take()));
        log::tell_suppressed(true);
        runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
        match result {
            Ok(()) => {
                info!("ended");
                Ok(())
            }
            Err(failure) => {
                error!(exit = failure.exit() as u8, "{failure}");
                Err(failure.reported())
            }
        }
    }
}

fn runtime(workers: Option<NonZeroUsize>) -> Result<Runtime, Failure> {
    let mut builder = match workers.map(NonZeroUsize::get) {
        Some(1) => Builder::new_current_thread(),
        None | Some(_) => Builder::new_multi_thread(),
    };
    if let Some(workers) = workers.filter(|workers| workers.get() > 1) {
        builder.worker_threads(workers.get());
    }
    Ok(builder.enable_all().build()?)
}

/// `read` is what the configuration was read from, if it was read from a file at `path`.
async fn supervise<D: Daemon>(
    config: D::Config,
    path: PathBuf,
    read: Option<Sources>,
) -> Result<(), Failure> {
    let shutdown = Shutdown::new();
    let health = Health::new(shutdown.clone());
    let metrics = Metrics::new(D::BUCKETS);
    metrics.install()?;
    metrics.common::<D>();
    let signals = Signals::catch()?;

    let mut tasks = JoinSet::new();
    tasks.spawn(signals.watch(shutdown.clone()));
    let notify = Notify::from_env();
    tasks.spawn(reload::watch::<D>(signal(SignalKind::hangup())?, path, read, notify.clone()));
    tasks.spawn(reload::watch_verbosity(signal(SignalKind::user_defined2())?));
    let api = Api::default();
    let http = match D::http(&config) {
        Some(http) => {
            let server = HttpServer::bind(http.listen, health.clone(), metrics.clone())
                .await
                .map_err(|error| Failure::io(format!("[http] listen = \"{}\"", http.listen), error))?;
            let address = server.local_addr()?;
            let server = server.with_api(api.clone());
            tasks.spawn(async move { match server.serve().await {} });
            Some(address)
        }
        None => None,
    };
    info!(version = D::VERSION, http = http.map(tracing::field::display), "{} started", D::NAME);
    tasks.spawn(upkeep(health.clone(), metrics.clone()));
    let notified = tokio::spawn(tell_manager(notify, health.clone(), shutdown.clone()));

    let context = Context { shutdown: shutdown.clone(), health, metrics, http, api };
    // A task like any other: the runtime polls the future it blocks on before what else is ready, and a daemon that lets
    // others go first would wait longer than for them.
    let ended = tokio::spawn(D::run(config, context)).await;
    let result = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    // Also where the daemon ended by itself: whoever waits for the shutdown shall see it.
    shutdown.request();
    let _ = notified.await;
    result
}

/// Keeps histograms small and shows that tasks are scheduled.
async fn upkeep(health: Health, metrics: Metrics) {
    let pulse = health.pulse("scheduler");
    let mut beats = tokio::time::interval(PULSE);
    let mut folds = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            _ = beats.tick() => pulse.beat(),
            _ = folds.tick() => {
                metrics.upkeep();
                log::tell_suppressed(false);
            }
        }
    }
}

/// Tells the service manager once that the daemon is ready, what it waits for, that it lives, and when it is stopping.
async fn tell_manager(notify: Notify, health: Health, shutdown: Shutdown) {
    let ready = async {
        health.ready().await;
        notify.send_ready();
        std::future::pending::<()>().await;
    };
    let status = health.tell_changes(|line| notify.send(&format!("STATUS={line}")));
    tokio::select! {
        () = ready => {}
        () = status => {}
        () = watchdog(&health, &notify) => {}
        () = shutdown.requested() => {}
    }
    notify.send("STOPPING=1");
}

/// Feeds the service manager's watchdog as long as every loop of the daemon turns.
async fn watchdog(health: &Health, notify: &Notify) {
    let Some(period) = notify::watchdog() else { return std::future::pending().await };
    let mut beats = tokio::time::interval(period / 2);
    loop {
        beats.tick().await;
        if health.is_live() {
            notify.send("WATCHDOG=1");
        }
    }
}

/// Writes to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // A reader such as `head` that has seen enough is no error.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.or_exit(Exit::Io),
    }
}
