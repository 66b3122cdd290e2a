//! Configurations in README.md and docs/: each key and value of theirs is one that its daemon knows. Many are pieces, and some
//! have shell variables in them, so that nothing else is asked of them.

use std::path::Path;
use std::process::Command;

use super::{failed, read, scratch, target_directory, verdict};
use crate::ci::DAEMONS;
use crate::steps::{Outcome, Unpassed};

/// A configuration, or a piece of one.
#[derive(Debug, Eq, PartialEq)]
struct Sample {
    /// How its file begins, which tells whose it is: `collector` of `/etc/flowpool/collector-2.toml`.
    file: String,
    line: usize,
    text: String,
}

pub(super) fn check(root: &Path) -> Outcome {
    let binaries = target_directory(root)?.join("release");
    let file = scratch(root, "samples")?.join("sample.toml");
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for page in pages(root)? {
        for sample in samples(&read(root, &page)?) {
            let Some(daemon) = DAEMONS.iter().find(|daemon| sample.file.starts_with(daemon.sample)) else {
                continue;
            };
            checked += 1;
            std::fs::write(&file, &sample.text).map_err(|error| failed(file.display(), error))?;
            let said =
                Command::new(binaries.join(daemon.binary)).arg("check").arg("--config").arg(&file).output();
            let said = said.map_err(|error| failed(daemon.binary, error))?;
            let errors = String::from_utf8_lossy(&said.stderr).into_owned();
            let mistakes = errors.lines().filter(|line| is_mistake(line));
            wrong.extend(mistakes.map(|mistake| format!("{page}:{}: {mistake}", sample.line)));
        }
    }
    println!("{checked} configurations in pages");
    if checked == 0 {
        return Err(Unpassed::Failed("no page has a configuration".to_owned()));
    }
    verdict(&wrong)
}

fn pages(root: &Path) -> Result<Vec<String>, Unpassed> {
    let entries = std::fs::read_dir(root.join("docs")).map_err(|error| failed("docs", error))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut pages: Vec<String> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    pages.push("README.md".to_owned());
    pages.sort();
    Ok(pages)
}

/// An error that a piece of a configuration must not have, either.
fn is_mistake(line: &str) -> bool {
    line.strip_prefix("error: ")
        .is_some_and(|error| error.starts_with("unknown ") || error.contains(", expected "))
}

/// Blocks of TOML whose first line is a comment with the name of their file, and what commands write into such files:
/// `cat > collector.toml <<END`.
fn samples(page: &str) -> Vec<Sample> {
    let mut found = Vec::new();
    let mut lines = page.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let (name, end) = if line.trim() == "```toml" {
            (lines.peek().and_then(|(_, first)| file(first.strip_prefix("# ")?)), "```")
        } else if line.contains("cat > ") && line.ends_with("<<END") {
            (line.split_once("cat > ").and_then(|(_, rest)| file(rest)), "END")
        } else {
            continue;
        };
        let text: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != end).collect();
        found.extend(name.map(|file| Sample { file, line: number + 1, text: text.join("\n") }));
    }
    found
}

/// The name of the file that a text begins with, without its folder.
fn file(text: &str) -> Option<String> {
    let path = text.split([' ', ':', ',']).next()?;
    let name = path.rsplit('/').next()?;
    name.ends_with(".toml").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_blocks_with_a_name_and_files_that_commands_write() {
        let page = "```toml\n# /etc/flowpool/exporter.toml, a piece\n[a]\n```\n\n```toml\n[b]\n```\n\n```sh\nx\n\
                    cat > collector-$n.toml <<END\n[c]\nEND\n```\n";
        let sample =
            |file: &str, line, text: &str| Sample { file: file.to_owned(), line, text: text.to_owned() };
        let piece = "# /etc/flowpool/exporter.toml, a piece\n[a]";
        assert_eq!(
            samples(page),
            [sample("exporter.toml", 1, piece), sample("collector-$n.toml", 12, "[c]")]
        );
    }

    #[test]
    fn only_what_is_unknown_or_no_toml_is_a_mistake() {
        assert!(is_mistake("error: unknown key `handel`"));
        assert!(is_mistake("error: unclosed array, expected `]`"));
        assert!(!is_mistake("error: missing field `handle`"));
        assert!(!is_mistake("  = expected address and port"));
    }
}
