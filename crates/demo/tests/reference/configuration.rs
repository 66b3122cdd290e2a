//! `configuration.md`: every key with its default and what it means, from the annotated samples; and the daemons' word that there
//! are no others.

use std::fmt::Write as _;

use service::Daemon;
use service::config::parse;

const HEAD: &str = "\
# Configuration

Every key of the three files, in TOML. A key has the default that stands here unless it is said to have none; unknown keys are refused. `NAME config
example` prints the whole file to start from, `NAME check` tells everything that is wrong in one, `NAME config show --origin` what is in force and
where it comes from. Every key can be set by the environment: `COLLECTOR__HTTP__LISTEN` is `listen` in `[http]` of the collector; stronger is what comes
first of command line, environment, file and default. Periods are written `\"500ms\"`, `\"15s\"`, `\"2m\"`, `\"1h\"`, `\"7d\"`; sizes `\"1500B\"`,
`\"64KiB\"`, `\"64MiB\"`, `\"1GiB\"`, `\"1TiB\"`.

This page is made from the samples in deploy/config: `UPDATE_GOLDEN=1 cargo test -p demo --test reference`.
";

#[test]
fn the_configuration_is_documented_as_it_is() {
    let mut text = HEAD.to_owned();
    page::<registrar::RegistrarDaemon>(&mut text);
    page::<collector::Collector>(&mut text);
    page::<exporter::Daemon>(&mut text);
    super::assert_page("configuration.md", &text);
}

/// A part of a sample.
#[derive(Debug)]
enum Part<'a> {
    Comment(&'a str),
    /// `[http]`, and whether it is commented out.
    Section(&'a str, bool),
    /// A key, its value, and whether they are commented out.
    Key(&'a str, String, bool),
    Blank,
}

/// Reads a sample line by line; arrays may go on over several.
fn parts(sample: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut lines = sample.lines();
    while let Some(line) = lines.next() {
        let (plain, off) = line.strip_prefix("# ").map_or((line, false), |rest| (rest, true));
        parts.push(if line.trim().is_empty() {
            Part::Blank
        } else if plain.starts_with('[') && plain.ends_with(']') && !plain.contains(' ') {
            Part::Section(plain, off)
        } else if let Some((key, value)) = assignment(plain) {
            let mut value = value.to_owned();
            while value.matches('[').count() > value.matches(']').count() {
                let Some(line) = lines.next() else { break };
                value = format!("{value} {}", line.trim_start_matches('#').trim());
            }
            Part::Key(key, value, off)
        } else {
            Part::Comment(line.strip_prefix('#').unwrap_or(line))
        });
    }
    parts
}

/// `key = value` without anything before it; a value of prose is none.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(" = ")?;
    let is_key = key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
    let begins = value.starts_with(|c: char| "\"[{".contains(c) || c.is_ascii_digit())
        || matches!(value, "true" | "false");
    (is_key && begins).then_some((key, value))
}

fn page<D: Daemon>(text: &mut String) {
    let _ = write!(text, "\n## {}.toml of {}\n", D::SHORT, D::NAME);
    let mut comment: Vec<&str> = Vec::new();
    let mut section = String::new();
    let mut keys: Vec<(String, String)> = Vec::new();
    let parts = parts(D::SAMPLE);
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Comment(line) => comment.push(line),
            Part::Blank => {
                prose(text, &comment);
                comment.clear();
            }
            Part::Section(name, off) => {
                section = name.trim_matches(['[', ']']).to_owned();
                let left_out = if *off { ", left out by default" } else { "" };
                let _ = write!(text, "\n### `{name}`{left_out}\n");
                prose(text, &comment);
                comment.clear();
            }
            Part::Key(key, value, off) => {
                let path = if section.is_empty() { (*key).to_owned() } else { format!("{section}.{key}") };
                let is_example = *off || D::WITHOUT_DEFAULT.iter().any(|outer| path == *outer);
                let value = value.replace('|', "\\|");
                let default = if is_example {
                    format!("no default; for example `{value}`")
                } else {
                    format!("`{value}`")
                };
                keys.push(((*key).to_owned(), default));
                // Keys that follow each other share what is said before the first one.
                if !matches!(parts.get(at + 1), Some(Part::Key(..))) {
                    let _ = writeln!(text);
                    for (key, default) in keys.drain(..) {
                        let _ = writeln!(text, "- **`{key}`**: {default}");
                    }
                    prose(text, &comment);
                    comment.clear();
                }
            }
        }
    }
    prose(text, &comment);
}

/// Writes comments as paragraphs; indented lines as they are.
fn prose(text: &mut String, comment: &[&str]) {
    let mut fenced = false;
    if !comment.is_empty() {
        text.push('\n');
    }
    for line in comment {
        let is_code = line.starts_with("  ");
        if is_code != fenced {
            text.push_str(if is_code { "\n```toml\n" } else { "```\n\n" });
            fenced = is_code;
        }
        let line = if is_code { (*line).trim_end().to_owned() } else { escaped(line.trim()) };
        let _ = writeln!(text, "{line}");
    }
    if fenced {
        text.push_str("```\n");
    }
}

/// Prose of a comment as Markdown: what has a meaning there, outside of code, is escaped.
fn escaped(line: &str) -> String {
    let mut escaped = String::new();
    let mut is_code = false;
    for c in line.chars() {
        is_code ^= c == '`';
        if !is_code && "*_<>".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The keys that a daemon takes at a place, as it says itself when it is given another one; none where there is no table.
fn keys_of<D: Daemon>(text: &str) -> Option<Vec<String>> {
    let refused = parse::<D::Config>("x", text, |_, _| {}).err()?.to_string();
    let unknown = refused.split("error: ").find(|report| report.starts_with("unknown key `no-such-key`"))?;
    let (_, keys) = unknown.split_once("valid keys: ")?;
    let keys = keys.lines().next()?;
    Some(keys.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Every key that the daemon takes, by its table.
fn all_keys<D: Daemon>() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for key in keys_of::<D>("no-such-key = 1\n").expect("the file is a table") {
        all.push((String::new(), key.clone()));
        let table = keys_of::<D>(&format!("[{key}]\nno-such-key = 1\n"));
        let tables = || keys_of::<D>(&format!("[[{key}]]\nno-such-key = 1\n"));
        all.extend(table.or_else(tables).into_iter().flatten().map(|inner| (key.clone(), inner)));
    }
    for kind in ["jsonl", "csv", "ipfix", "forward"] {
        let output = keys_of::<D>(&format!("[output.x.{kind}]\nno-such-key = 1\n"));
        all.extend(output.into_iter().flatten().map(|key| (format!("output.x.{kind}"), key)));
    }
    all
}

fn assert_complete<D: Daemon>() {
    let all = all_keys::<D>();
    assert!(all.len() > 30, "{all:?}");
    let names: Vec<&str> = D::SAMPLE.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).collect();
    let missing: Vec<_> = all.iter().filter(|(_, key)| !names.contains(&key.as_str())).collect();
    assert!(missing.is_empty(), "deploy/config/{}.toml has no {missing:?}", D::SHORT);
}

#[test]
fn every_key_that_a_daemon_takes_is_in_its_sample() {
    assert_complete::<registrar::RegistrarDaemon>();
    assert_complete::<collector::Collector>();
    assert_complete::<exporter::Daemon>();
}
