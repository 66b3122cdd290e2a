//! deploy/prometheus: promtool reads the configuration and runs the tests; every alert has one of each kind, and a
//! section in the documentation. A quiet test that cannot fail is none: with any of the numbers that an alert compares with
//! out of reach, so that the comparison always holds, the tests have to fail.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use super::{failed, needs, read, scratch, verdict};
use crate::steps::{Outcome, Unpassed, run};

/// Where operators read what an alert means.
pub(super) const DOCUMENTATION: &str = "docs/operating.md";

const TESTS: [&str; 2] = ["alerts.test.yml", "recording.test.yml"];
/// A comparison that holds for every number.
const ALWAYS: &str = "> -1e300";

pub(super) fn check(root: &Path) -> Outcome {
    needs("promtool", "prometheus")?;
    let folder = root.join("deploy/prometheus");
    run(&folder, "promtool", &["check", "config", "prometheus.yml"])?;
    run(&folder, "promtool", &[["test", "rules"], TESTS].concat())?;
    let alerts = read(root, "deploy/prometheus/alerts.yml")?;
    let (tests, documentation) =
        (read(root, "deploy/prometheus/alerts.test.yml")?, read(root, DOCUMENTATION)?);
    let mut wrong = Vec::new();
    for name in names(&alerts) {
        if !tests.contains(&format!("      - {{ alertname: {name}, eval_time: 0m, exp_alerts: [] }}\n")) {
            wrong.push(format!("{name} has no quiet test"));
        }
        if !tests.contains(&format!("      - alertname: {name}\n")) {
            wrong.push(format!("{name} has no firing test"));
        }
        if !documentation.contains(&format!("`{name}`")) {
            wrong.push(format!("{name} is not in {DOCUMENTATION}"));
        }
    }
    wrong.extend(unnoticed(root, &alerts)?);
    verdict(&wrong)
}

/// The comparisons of alerts that might as well not be there, as far as the tests go.
fn unnoticed(root: &Path, alerts: &str) -> Result<Vec<String>, Unpassed> {
    let folder = scratch(root, "rules")?;
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| failed(path.display(), error))
    };
    put("recording.yml", &read(root, "deploy/prometheus/recording.yml")?)?;
    let tests = read(root, &format!("deploy/prometheus/{}", TESTS[0]))?;
    let mut found = Vec::new();
    let comparisons = comparisons(alerts);
    for comparison in &comparisons {
        let changed = [&alerts[..comparison.start], ALWAYS, &alerts[comparison.end..]].concat();
        put("alerts.yml", &changed)?;
        let name = names(&alerts[..comparison.start]).last().unwrap_or_default();
        put(TESTS[0], &tests_of(&tests, name))?;
        let mut promtool = Command::new("promtool");
        let tested = promtool.args(["test", "rules", TESTS[0]]).current_dir(&folder).output();
        if tested.map_err(|error| failed("promtool", error))?.status.success() {
            found.push(format!("no test notices `{}` of {name}", &alerts[comparison.clone()]));
        }
    }
    println!("{} comparisons of alerts, one after the other made to hold always", comparisons.len());
    Ok(found)
}

/// The tests that ask for an alert: promtool takes as long for all of them as for all else here.
fn tests_of(tests: &str, alert: &str) -> String {
    let mut parts = tests.split("  - name: ");
    let head = parts.next().unwrap_or_default().to_owned();
    let asked =
        parts.filter(|test| [",", "\n"].iter().any(|end| test.contains(&format!("alertname: {alert}{end}"))));
    asked.fold(head, |text, test| text + "  - name: " + test)
}

/// Where in the text of the rules an expression compares with a number.
fn comparisons(alerts: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut begin = 0;
    for line in alerts.split_inclusive('\n') {
        if line.trim_start().starts_with("expr: ") {
            let words = words(line);
            let compared = words.windows(2).filter(|pair| {
                matches!(&line[pair[0].clone()], "==" | "!=" | ">" | "<" | ">=" | "<=")
                    && line[pair[1].clone()].parse::<f64>().is_ok()
            });
            found.extend(compared.map(|pair| begin + pair[0].start..begin + pair[1].end));
        }
        begin += line.len();
    }
    found
}

/// Where the words of a line are, between blanks.
fn words(line: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut begin = 0;
    for word in line.split([' ', '\n']) {
        if !word.is_empty() {
            words.push(begin..begin + word.len());
        }
        begin += word.len() + 1;
    }
    words
}

/// The names of the alerts.
fn names(alerts: &str) -> impl Iterator<Item = &str> {
    alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_with_numbers_are_found_and_matchers_and_times_are_none() {
        let text = "- alert: A\n  expr: max(a{b!=\"1\"}) == 0 and b > c or d[5m] >= -0.5\n  for: 1m > 2\n";
        let found: Vec<&str> = comparisons(text).into_iter().map(|place| &text[place]).collect();
        assert_eq!(found, ["== 0", ">= -0.5"]);
    }

    #[test]
    fn the_tests_of_an_alert_are_those_that_ask_for_it() {
        let tests = "tests:\n  - name: A\n    { alertname: A, }\n  - name: B\n    alertname: AB\n  - name: C\n    alertname: A\n";
        let of_a = "tests:\n  - name: A\n    { alertname: A, }\n  - name: C\n    alertname: A\n";
        assert_eq!(tests_of(tests, "A"), of_a);
    }
}
