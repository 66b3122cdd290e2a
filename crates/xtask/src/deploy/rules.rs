//! deploy/prometheus: promtool reads the configuration and runs the tests; every alert has one of each kind, and a
//! section in the documentation.

use std::path::Path;

use super::{needs, read, verdict};
use crate::steps::{Outcome, run};

/// Where operators read what an alert means.
pub(super) const DOCUMENTATION: &str = "docs/operating.md";

pub(super) fn check(root: &Path) -> Outcome {
    needs("promtool", "prometheus")?;
    let folder = root.join("deploy/prometheus");
    run(&folder, "promtool", &["check", "config", "prometheus.yml"])?;
    run(&folder, "promtool", &["test", "rules", "alerts.test.yml", "recording.test.yml"])?;
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
    verdict(&wrong)
}

/// The names of the alerts.
fn names(alerts: &str) -> impl Iterator<Item = &str> {
    alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "))
}
