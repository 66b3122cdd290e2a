//! The configuration file: read, parsed into domain types, and refused with the place of the error.
//!
//! A daemon's configuration is a plain struct: `#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]`.
//! Values are parsed into domain types by their own `Deserialize` (or `#[serde(try_from = …)]`), so that an error
//! carries the position of the value; [`Faults`] gathers what values say wrong together. Internally tagged enums
//! (`type = "…"`) lose positions: use a table per kind.

mod endpoint;
mod reading;
mod report;
mod show;
mod sources;
mod suggest;
mod units;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Daemon;
pub use report::ConfigError;
pub(crate) use sources::Sources;
pub use toml::Spanned;
pub use units::{Period, Size, UnitError};

/// The section `[http]`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Http {
    /// Address of `/metrics`, `/livez` and `/readyz`; port 0 takes any free one.
    pub listen: SocketAddr,
}

impl Http {
    /// Loopback with `port`, so that nothing is exposed by accident.
    pub const fn loopback(port: u16) -> Self {
        Self { listen: SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) }
    }
}

/// Values that are good each by itself and wrong together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invalid {
    key: String,
    message: String,
    /// What stands beside the caret.
    label: String,
    notes: Vec<String>,
}

impl Invalid {
    /// Blames the key at `path`, its parts separated by dots and array elements numbered from 0
    /// (`pool.0.handle`). Where the file does not have the key, its innermost table that exists is shown.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: path.into(), message: message.into(), label: String::new(), notes: Vec::new() }
    }

    /// Adds a line below the report.
    #[must_use]
    pub fn noting(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Blames the value at `path`: it names a `kind` (`class`) that is none of `known`. Suggests the nearest.
    pub fn unknown<'a>(
        path: impl Into<String>,
        kind: &str,
        word: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let nearest = suggest::nearest(word, known.iter().copied());
        let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        Self {
            key: path.into(),
            message: format!("there is no {kind} `{word}`"),
            label: nearest.map(|nearest| format!("did you mean `{nearest}`?")).unwrap_or_default(),
            notes: vec![format!("there is {}", names.join(", "))],
        }
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`: {}", self.key, self.message)
    }
}

impl std::error::Error for Invalid {}

/// Everything in a configuration that is wrong together. One run reports all of it, so a check goes on behind what it
/// refuses, and leaves out what only follows from that.
#[derive(Debug, Default)]
pub struct Faults(Vec<Invalid>);

impl Faults {
    /// Blames the key at `path`, as [`Invalid::new`] does.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Invalid::new(path, message));
    }

    /// Returns the value, or keeps why there is none.
    pub fn take<T>(&mut self, checked: Result<T, impl Into<Self>>) -> Option<T> {
        checked.map_err(|faults| self.0.extend(faults.into().0)).ok()
    }

    /// Returns `value` where nothing is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Invalid> for Faults {
    fn from(invalid: Invalid) -> Self {
        Self(vec![invalid])
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

impl std::error::Error for Faults {}

/// Reads and parses the file at `path`; `validate` sees what serde has accepted.
pub fn load<C: DeserializeOwned>(
    path: &Path,
    validate: impl FnOnce(&C, &mut Faults),
) -> Result<C, ConfigError> {
    open(path)?.read(validate)
}

/// Reads the file at `path` and the environment's variables for daemon `D`, which stand above it.
pub(crate) fn load_daemon<D: Daemon>(path: &Path) -> Result<(Sources, D::Config), ConfigError> {
    // A variable that is no text names no key.
    let variables = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.to_string_lossy().into_owned())));
    let sources = open(path)?.with_environment(D::SHORT, D::SAMPLE, variables);
    let config = sources.read(D::validate)?;
    Ok((sources, config))
}

fn open(path: &Path) -> Result<Sources, ConfigError> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok(Sources::file(&name, text)),
        Err(error) => Err(ConfigError::unreadable(&name, &error)),
    }
}

/// Returns what `config show` prints of a file with this `text`, without origins: all of it is in force.
pub fn shown<D: Daemon>(text: &str) -> Result<String, ConfigError> {
    let sources = Sources::file(D::SHORT, text.to_owned());
    sources.read(D::validate)?;
    Ok(sources.show(D::SAMPLE, D::WITHOUT_DEFAULT, false))
}

/// Parses `text`, which errors call the file `name`.
pub fn parse<C: DeserializeOwned>(
    name: &str,
    text: &str,
    validate: impl FnOnce(&C, &mut Faults),
) -> Result<C, ConfigError> {
    Sources::file(name, text.to_owned()).read(validate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# pools\r\n[[pool]]\r\nhandle = \"a\"\r\n[[pool]]\r\nhandle = \"b\"\r\nlist = [1, 2]\r\n";

    /// The line that names the place when validation blames `path`.
    fn place_of(path: &str) -> String {
        let refused = parse::<toml::Table>("x.toml", TEXT, |_, faults| faults.add(path, "wrong"));
        refused.unwrap_err().to_string().lines().nth(1).unwrap().trim().to_owned()
    }

    #[test]
    fn validation_blames_a_key_by_its_path() {
        assert_eq!(place_of("pool.1.handle"), "--> x.toml:5:1");
        assert_eq!(place_of("pool.1.list.1"), "--> x.toml:6:12");
    }

    #[test]
    fn a_key_the_file_does_not_have_is_shown_at_the_innermost_table_it_has() {
        assert_eq!(place_of("pool.1.weight"), place_of("pool.1"));
        assert_eq!(place_of("pool.7"), place_of("pool"));
        assert_eq!(place_of("http.listen"), "--> x.toml");
    }

    #[test]
    fn a_good_configuration_is_returned() {
        let config: toml::Table = parse("x.toml", TEXT, |_, _| {}).unwrap();
        assert_eq!(config["pool"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn everything_that_validation_refuses_is_reported_in_the_order_of_the_file() {
        let refused = parse::<toml::Table>("x.toml", TEXT, |_, faults| {
            faults.add("http.listen", "no place");
            faults.add("pool.1.handle", "second");
            assert_eq!(faults.take(Ok::<_, Invalid>(7)), Some(7));
            assert_eq!(faults.take::<u8>(Err(Invalid::new("pool.0.handle", "first"))), None);
        });
        let report = refused.unwrap_err().to_string();
        let told: Vec<&str> = report.lines().filter(|line| line.starts_with("error: ")).collect();
        let expected = ["`pool.0.handle`: first", "`pool.1.handle`: second", "`http.listen`: no place"];
        assert_eq!(told, expected.map(|text| format!("error: {text}")));
    }
}
