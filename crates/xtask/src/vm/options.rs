//! What `cargo xtask vm` is told on its command line.

use std::path::PathBuf;
use std::time::Duration;

/// The machine and its limits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Options {
    pub(crate) cpus: u32,
    /// Megabytes.
    pub(crate) memory: u32,
    /// Boot included.
    pub(crate) limit: Duration,
    /// The folder that is `/out` inside.
    pub(crate) out: Option<PathBuf>,
    pub(crate) init: Init,
}

/// The machine's process 1, after it has booted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Init {
    /// A shell that runs the command and nothing else.
    Shell,
    /// This machine's systemd, up to basic.target; the command is a service of it.
    Systemd,
}

impl Default for Options {
    fn default() -> Self {
        Self { cpus: 2, memory: 2_048, limit: Duration::from_secs(300), out: None, init: Init::Shell }
    }
}

/// Reads options up to `--`, then the command.
pub(crate) fn parse(arguments: &[String]) -> Result<(Options, Vec<String>), String> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        if name == "--" {
            break;
        }
        let mut value = || rest.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--cpus" => options.cpus = number(name, value()?)?,
            "--mem" => options.memory = number(name, value()?)?,
            "--timeout" => options.limit = Duration::from_secs(number(name, value()?)?.into()),
            "--init" => options.init = init(value()?)?,
            "--out" => options.out = Some(value()?.into()),
            _ => return Err(format!("unknown option {name}; the command comes after --")),
        }
    }
    let command: Vec<String> = rest.cloned().collect();
    if command.is_empty() { Err("no command after --".to_owned()) } else { Ok((options, command)) }
}

fn init(text: &str) -> Result<Init, String> {
    match text {
        "shell" => Ok(Init::Shell),
        "systemd" => Ok(Init::Systemd),
        _ => Err(format!("--init {text}: neither shell nor systemd")),
    }
}

fn number(name: &str, text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("{name} {text}: not a whole number above 0")),
        Ok(number) => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(Options, Vec<String>), String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_end_at_two_dashes_and_the_rest_is_the_command() {
        let line = "--cpus 1 --mem 512 --timeout 60 --out o --init systemd -- ls --cpus";
        let (options, command) = parsed(line).unwrap();
        let out = Some(PathBuf::from("o"));
        let limit = Duration::from_secs(60);
        assert_eq!(options, Options { cpus: 1, memory: 512, limit, out, init: Init::Systemd });
        assert_eq!(command, ["ls", "--cpus"]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert_eq!(parsed("--cpus 2").unwrap_err(), "no command after --");
        assert_eq!(parsed("--timeout").unwrap_err(), "--timeout needs a value");
        assert_eq!(parsed("--mem x -- ls").unwrap_err(), "--mem x: not a whole number above 0");
        assert_eq!(parsed("--init x -- ls").unwrap_err(), "--init x: neither shell nor systemd");
        assert_eq!(parsed("ls").unwrap_err(), "unknown option ls; the command comes after --");
    }
}
