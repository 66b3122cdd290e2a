//! The command line every daemon has, with room for its own subcommands.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::{Daemon, health, log, stats};

#[derive(Debug, Parser)]
struct Cli<C: Subcommand> {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command<C>,
}

/// Options of every subcommand.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Configuration file [default: /etc/flowpool/NAME.toml]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Log level: error, warn, info, debug, trace, or directives such as `info,transport=debug`;
    /// stronger than the environment variable FLOWPOOL_LOG [default: info]
    #[arg(long, value_name = "LEVEL", global = true)]
    pub(crate) log_level: Option<log::Level>,
    /// Form of the log lines on standard error
    #[arg(long, value_name = "FORMAT", global = true, value_enum, default_value_t)]
    pub(crate) log_format: log::Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command<C: Subcommand> {
    /// Run the daemon in the foreground until SIGTERM
    Run,
    /// Check the configuration file and exit: 0 if it is good, 78 if not
    Check,
    /// Print configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at what the daemon needs of this host, and say how to mend what is wrong; exit code 0 if nothing is, 1 if something is
    Doctor,
    /// Ask the running daemon whether it is ready; exit code 0 if it is, 1 if not
    Health(health::Arguments),
    /// Print the books of running daemons, and check that they balance
    ///
    /// Exit codes: 0 done, 1 the books do not balance, 2 usage, or a daemon is not reached.
    Stats(stats::Arguments),
    #[command(flatten)]
    Own(C),
    /// Print what a shell needs to complete this command line
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the manual pages of all subcommands into a folder
    Manual {
        /// The folder; it is made if it is not there
        folder: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print an annotated configuration with every key and its default
    Example,
    /// Print the configuration in force: file, environment and defaults
    Show {
        /// Tell behind each value where it comes from
        #[arg(long)]
        origin: bool,
    },
}

/// The shells there are completions for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// For daemons without subcommands of their own.
#[derive(Debug, Subcommand)]
pub enum NoCommand {}

const EXIT_CODES: &str = "Exit codes:\n  0 done   1 failed   2 usage   69 no registrar or daemon reachable   74 input/output\n  \
                          77 permission   78 configuration";

impl Options {
    /// The file to read.
    pub(crate) fn config_file<D: Daemon>(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| Path::new("/etc/flowpool").join(format!("{}.toml", D::SHORT)))
    }
}

/// Parses the arguments; prints help, version or a usage error and exits (0 or 2) where they ask for it.
pub(crate) fn parse<D: Daemon>(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<(Options, Command<D::Command>), clap::Error> {
    let mut command = command::<D>();
    let matches = command.try_get_matches_from_mut(arguments)?;
    let cli = Cli::<D::Command>::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok((cli.options, cli.command))
}

/// Returns what `shell` reads to complete the command line of daemon `D`.
pub(crate) fn completions<D: Daemon>(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command::<D>(), D::NAME, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes `NAME.1` and a page for each subcommand into `folder`.
pub(crate) fn write_manual<D: Daemon>(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command::<D>(), folder)
}

/// Returns the command line of daemon `D`, for manual pages, completions and reference.
pub fn command<D: Daemon>() -> clap::Command {
    let (name, short) = (D::NAME, D::SHORT);
    let example = |line: &str| format!("Example:\n  {name} {line}");
    Cli::<D::Command>::command()
        .name(name)
        .bin_name(name)
        .version(D::VERSION)
        .term_width(100)
        .about(D::ABOUT)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(format!(
            "Example:\n  {name} config example > {short}.toml\n  {name} run --config {short}.toml\n\n{EXIT_CODES}"
        ))
        .mut_arg("config", |argument| {
            argument.help(format!("Configuration file [default: /etc/flowpool/{short}.toml]"))
        })
        .mut_subcommand("run", |run| run.after_help(example(&format!("run --config {short}.toml"))))
        .mut_subcommand("check", |check| check.after_help(example(&format!("check --config {short}.toml"))))
        .mut_subcommand("doctor", |doctor| doctor.after_help(example(&format!("doctor --config {short}.toml"))))
        .mut_subcommand("health", |health| {
            health.after_help(example(&format!("health --config {short}.toml")))
        })
        .mut_subcommand("stats", |stats| {
            stats.after_help(format!(
                "Example:\n  {name} stats --config {short}.toml --verify\n  \
                 {name} stats --verify http://192.0.2.1:9381 http://192.0.2.2:9381 http://192.0.2.9:9382"
            ))
        })
        .mut_subcommand("completions", |completions| {
            let to = format!("/usr/share/bash-completion/completions/{name}");
            completions.after_help(example(&format!("completions bash > {to}")))
        })
        .mut_subcommand("manual", |manual| manual.after_help(example("manual /usr/local/share/man/man1")))
        .mut_subcommand("config", |config| {
            let written = example(&format!("config example > {short}.toml"));
            let variable = short.to_uppercase();
            let shown = format!(
                "Every key can be set by the environment: {variable}__HTTP__LISTEN is `listen` in [http]. Stronger is what comes \
                 first: command line, environment, file, default.\n\n{}",
                example(&format!("config show --origin --config {short}.toml"))
            );
            config
                .after_help(written.clone())
                .mut_subcommand("example", |sample| sample.after_help(written))
                .mut_subcommand("show", |show| show.after_help(shown))
        })
}
