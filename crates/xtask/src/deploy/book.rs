//! The pages: the book lists every one of docs/, links lead somewhere, metrics exist, blocks of commands say whether CI runs
//! them, and mdbook builds it, where that is installed.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path};

use super::{failed, needs, read, scratch, verdict};
use crate::readme;
use crate::steps::{Outcome, Steps, Unpassed, run};

const CONTENTS: &str = "docs/SUMMARY.md";
/// What stands before a block that CI does not run, and then the reason.
const NOT_RUN: &str = "<!-- not run by CI: ";
/// What the names of metrics begin with, and the code that has them.
const METRICS: [&str; 3] = ["rserpool_", "ipfix_collector_", "ipfix_exporter_"];
const SOURCES: [&str; 5] =
    ["registrar/src", "collector/src", "exporter/src", "crates/rserpool/src", "crates/service/src"];

pub(super) fn steps(steps: &mut Steps) {
    steps.step("pages and their links", check);
    steps.step("mdbook", |root| {
        needs("mdbook", "none; crates.io: mdbook")?;
        let folder = scratch(root, "book")?.display().to_string();
        run(root, "mdbook", &["build", "--dest-dir", &folder])
    });
}

fn check(root: &Path) -> Outcome {
    let mut paths = Vec::new();
    collect(root, Path::new(""), "md", &mut paths)?;
    let mut files = Vec::new();
    for folder in SOURCES {
        collect(root, Path::new(folder), "rs", &mut files)?;
    }
    let code = files.iter().map(|file| read(root, file)).collect::<Result<Vec<_>, _>>()?.concat();
    let pages: HashMap<String, Page> = paths
        .into_iter()
        .map(|path| Ok((path.clone(), Page::of(&read(root, &path)?))))
        .collect::<Result<_, Unpassed>>()?;
    let mut wrong = unlisted(&pages);
    let mut links = 0;
    for (path, page) in &pages {
        links += page.links.len();
        wrong.extend(page.links.iter().filter_map(|link| broken(root, &pages, path, link)));
        if path == "README.md" || path.starts_with("docs/") {
            wrong.extend(page.blocks.iter().filter_map(|block| unmarked(path, block)));
            let unknown = page.metrics.iter().filter(|name| !is_in(&code, name));
            wrong.extend(unknown.map(|name| format!("{path}: there is no metric {name}")));
        }
    }
    for (path, mark) in readme::MARKED {
        let mark = format!("<!-- ci:{mark} -->");
        if !pages.get(path).is_some_and(|page| page.blocks.iter().any(|block| block.before == mark)) {
            wrong.push(format!("{path} has no {mark}"));
        }
    }
    wrong.sort();
    println!("{} pages, {links} links", pages.len());
    verdict(&wrong)
}

/// Adds the files of a kind below a folder of the workspace, by their paths from its root.
fn collect(root: &Path, folder: &Path, kind: &str, files: &mut Vec<String>) -> Outcome {
    let path = root.join(folder);
    for entry in std::fs::read_dir(&path).map_err(|error| failed(path.display(), error))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let inner = folder.join(&name);
        if entry.path().is_dir() {
            if !name.starts_with('.') && name != "target" {
                collect(root, &inner, kind, files)?;
            }
        } else if Path::new(&name).extension().is_some_and(|extension| extension == kind) {
            files.push(inner.display().to_string());
        }
    }
    Ok(())
}

/// Pages of docs/ that the contents do not name.
fn unlisted(pages: &HashMap<String, Page>) -> Vec<String> {
    let Some(contents) = pages.get(CONTENTS) else { return vec![format!("there is no {CONTENTS}")] };
    let listed: BTreeSet<String> = contents.links.iter().map(|link| format!("docs/{link}")).collect();
    let pages = pages.keys().filter(|path| path.starts_with("docs/") && *path != CONTENTS);
    pages.filter(|path| !listed.contains(*path)).map(|path| format!("{path} is not in {CONTENTS}")).collect()
}

/// Returns what is wrong with a link, if anything.
fn broken(root: &Path, pages: &HashMap<String, Page>, path: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = if file.is_empty() { Some(path.to_owned()) } else { resolved(path, file) };
    let Some(target) = target.filter(|target| root.join(target).exists()) else {
        return Some(format!("{path}: there is no {link}"));
    };
    let anchors = pages.get(&target).map(|page| &page.anchors);
    let missing = anchor.filter(|anchor| anchors.is_some_and(|anchors| !anchors.contains(*anchor)));
    missing.map(|anchor| format!("{path}: {target} has no #{anchor}"))
}

/// The path of `link` from the root of the workspace; none where it leads out of that.
fn resolved(page: &str, link: &str) -> Option<String> {
    let mut path = Path::new(page).parent().map(Path::to_owned).unwrap_or_default();
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir => path.pop().then_some(())?,
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path.display().to_string())
}

/// Returns a block of commands of which nobody knows whether they are run.
fn unmarked(path: &str, block: &Block) -> Option<String> {
    let mark = block.before.strip_prefix("<!-- ci:").and_then(|rest| rest.strip_suffix(" -->"));
    let run = mark.is_some_and(|mark| readme::MARKED.contains(&(path, mark)));
    let reason = block.before.strip_prefix(NOT_RUN).and_then(|rest| rest.strip_suffix(" -->"));
    let marked = run || reason.is_some_and(|reason| !reason.is_empty());
    (!marked)
        .then(|| format!("{path}:{}: commands without `<!-- ci:NAME -->` or `{NOT_RUN}WHY -->`", block.line))
}

/// Whether the code has a metric, perhaps put together from a daemon's prefix and the rest; or, where its name ends with `_`,
/// one that begins so.
fn is_in(code: &str, name: &str) -> bool {
    let name =
        ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    let end = if name.ends_with('_') { "" } else { "\"" };
    let rest = METRICS.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    code.contains(&format!("\"{name}{end}")) || code.contains(&format!("{{prefix}}_{rest}\""))
}

/// What is looked at in a page.
#[derive(Debug, Default)]
struct Page {
    /// Targets as they are written.
    links: Vec<String>,
    /// Of headings.
    anchors: BTreeSet<String>,
    /// Of commands.
    blocks: Vec<Block>,
    /// By their names, which end with `_` where the rest is left out.
    metrics: BTreeSet<String>,
}

/// A fenced block of commands.
#[derive(Debug, Eq, PartialEq)]
struct Block {
    line: usize,
    /// The last line before it that is not empty.
    before: String,
}

impl Page {
    fn of(text: &str) -> Self {
        let mut page = Self::default();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')));
        let metrics = words.filter(|word| METRICS.iter().any(|prefix| word.starts_with(prefix)));
        page.metrics = metrics.map(|name| name.trim_end_matches(':').to_owned()).collect();
        let (mut fenced, mut before) = (false, "");
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(language) = line.strip_prefix("```") {
                if !fenced && matches!(language.trim(), "sh" | "bash" | "shell" | "console") {
                    page.blocks.push(Block { line: number + 1, before: before.to_owned() });
                }
                fenced = !fenced;
            } else if !fenced {
                if let Some(heading) = line.strip_prefix('#') {
                    page.add_anchor(heading.trim_start_matches('#'));
                }
                page.links.extend(links(line));
            }
            if !line.is_empty() {
                before = line;
            }
        }
        page
    }

    /// Adds the anchor that GitHub and mdbook give a heading.
    fn add_anchor(&mut self, heading: &str) {
        let text = without_targets(heading.trim()).to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let taken = |anchor: &String| self.anchors.contains(anchor);
        let numbered = (1..).map(|n| format!("{anchor}-{n}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|anchor| !taken(anchor));
        self.anchors.extend(free);
    }
}

/// The targets of a line's links, code left out.
fn links(line: &str) -> Vec<String> {
    let text: Vec<&str> = line.split('`').step_by(2).collect();
    let text = text.join("`");
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// `[text](target)` without its target.
fn without_targets(heading: &str) -> String {
    let mut parts = heading.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, rest| text + rest.split_once(')').map_or(rest, |(_, behind)| behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A page: `x` and [y](z.md)\n\ntext [one](a.md), [two](b/c.md#d) and `[no](e)`\n\n\
                        <!-- not run by CI: it takes long -->\n\n```sh\n# no heading [no](f)\n```\n\n## Same\n## Same\n";

    #[test]
    fn links_are_those_outside_of_code() {
        assert_eq!(Page::of(PAGE).links, ["z.md", "a.md", "b/c.md#d"]);
    }

    #[test]
    fn headings_have_anchors_and_the_second_of_a_name_a_number() {
        let anchors = Page::of(PAGE).anchors;
        assert_eq!(
            anchors.iter().map(String::as_str).collect::<Vec<_>>(),
            ["a-page-x-and-y", "same", "same-1"]
        );
    }

    #[test]
    fn a_block_of_commands_needs_a_mark_that_ci_knows_or_a_reason() {
        let block = |before: &str| Block { line: 7, before: before.to_owned() };
        assert_eq!(Page::of(PAGE).blocks, [block("<!-- not run by CI: it takes long -->")]);
        assert_eq!(unmarked("docs/a.md", &Page::of(PAGE).blocks[0]), None);
        assert_eq!(unmarked("README.md", &block("<!-- ci:demo -->")), None);
        assert!(unmarked("README.md", &block("<!-- ci:other -->")).is_some());
        assert!(unmarked("docs/a.md", &block("text")).is_some());
        assert!(unmarked("docs/a.md", &block("<!-- not run by CI:  -->")).is_some());
    }

    #[test]
    fn metrics_are_names_of_the_code_or_begin_as_one() {
        let page = Page::of(
            "`rserpool_pools{a=\"b\"}`, `ipfix_exporter_x_*`, `job:ipfix_exporter_y:sum` and rserpool_proto",
        );
        assert_eq!(page.metrics.len(), 3);
        let code =
            "gauge!(\"rserpool_pools\"); counter!(\"ipfix_exporter_x_total\"); format!(\"{prefix}_info\")";
        assert!(is_in(code, "ipfix_collector_info"));
        assert!(
            is_in(code, "rserpool_pools")
                && is_in(code, "ipfix_exporter_x_")
                && is_in(code, "rserpool_pools_sum")
        );
        assert!(!is_in(code, "ipfix_exporter_x") && !is_in(code, "rserpool_proto"));
    }

    #[test]
    fn a_link_is_followed_from_its_page() {
        assert_eq!(resolved("docs/a.md", "../deploy/b").as_deref(), Some("deploy/b"));
        assert_eq!(resolved("docs/a.md", "b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(resolved("docs/a.md", "../../b"), None);
    }
}
