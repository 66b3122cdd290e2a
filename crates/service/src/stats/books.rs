//! The equations that the metrics of a daemon, and of a whole pool, promise.

use std::collections::BTreeSet;

use crate::scrape::Samples;

/// Classes whose records may get lost, as collectors call them.
const LOSSY: [&str; 4] = ["priority", "limited", "timed", "unreliable"];
/// Why a pool element is gone, as `rserpool_pool_element_changes_total` says it.
const REMOVALS: [&str; 7] = [
    "deregistered",
    "expired",
    "unreachable",
    "connection_lost",
    "taken_over_silent",
    "home_said",
    "not_listed",
];

/// Which daemon some metrics are of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Exporter,
    Collector,
    Registrar,
}

impl Kind {
    /// Tells it by the metrics every daemon has.
    pub(super) fn of(samples: &Samples) -> Option<Self> {
        let known = [
            (Self::Exporter, "ipfix_exporter"),
            (Self::Collector, "ipfix_collector"),
            (Self::Registrar, "rserpool"),
        ];
        let mut known = known.into_iter();
        let found =
            known.find(|(_, prefix)| samples.series(&format!("{prefix}_build_info")).next().is_some());
        Some(found?.0)
    }

    /// Returns the name of the daemon.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Exporter => "ipfix-exporter",
            Self::Collector => "ipfix-collector",
            Self::Registrar => "rserpool-registrar",
        }
    }
}

/// An equation: a whole, and its parts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Account {
    /// What it is about.
    pub(super) name: String,
    pub(super) whole: (&'static str, f64),
    pub(super) parts: Vec<(String, f64)>,
    /// What is counted and in no sum.
    pub(super) beside: Vec<(String, f64)>,
}

impl Account {
    fn new(name: impl Into<String>, whole: &'static str, value: f64) -> Self {
        Self { name: name.into(), whole: (whole, value), parts: Vec::new(), beside: Vec::new() }
    }

    fn part(&mut self, name: impl Into<String>, value: f64) {
        self.parts.push((name.into(), value));
    }

    /// Adds a part for every value of a label, named `NAME{VALUE}`.
    fn parts_by(&mut self, name: &str, samples: &Samples, metric: &str, class: &str, label: &str) {
        for series in samples.series(metric).filter(|series| series.label("class").as_deref() == Some(class))
        {
            let value = series.label(label).unwrap_or_default();
            self.part(format!("{name}{{{value}}}"), series.value);
        }
    }

    /// Returns what the whole has and the parts have not; 0 where the books balance.
    pub(super) fn difference(&self) -> f64 {
        self.whole.1 - self.parts.iter().map(|(_, value)| value).sum::<f64>()
    }
}

/// Returns the equations of one daemon.
pub(super) fn of_daemon(kind: Kind, samples: &Samples) -> Vec<Account> {
    match kind {
        Kind::Exporter => exporter(samples),
        Kind::Collector => collector(samples),
        Kind::Registrar => registrar(samples),
    }
}

/// Every flow record that was metered is somewhere, class by class.
fn exporter(samples: &Samples) -> Vec<Account> {
    // Over UDP nothing is acknowledged: what was sent is out of its hands.
    let over_udp = samples.series("ipfix_exporter_messages_sent_total").next().is_some();
    let mut accounts = Vec::new();
    for class in values(samples, "ipfix_exporter_records_metered_total", "class") {
        let value = |metric: &str| {
            samples.with(&format!("ipfix_exporter_{metric}"), &[("class", &class)]).unwrap_or(0.0)
        };
        let whole = value("records_metered_total") + value("records_recovered_total");
        let mut account = Account::new(format!("class {class}"), "metered + recovered", whole);
        if over_udp {
            account.part("sent", value("records_exported_total"));
        } else {
            account.part("covered", value("records_covered_total"));
            account.part("delivered", value("records_delivered_total"));
        }
        for (name, metric) in [("abandoned", "abandoned"), ("dropped", "dropped")] {
            let metric = format!("ipfix_exporter_records_{metric}_total");
            account.parts_by(name, samples, &metric, &class, "reason");
        }
        account.part("retained", value("buffered_records"));
        accounts.push(account);
    }
    accounts
}

/// Every flow record that was received is somewhere, output by output.
fn collector(samples: &Samples) -> Vec<Account> {
    let received = samples.with("ipfix_collector_records_received_total", &[("kind", "data")]).unwrap_or(0.0);
    let outputs = values(samples, "ipfix_collector_output_records_total", "output");
    let mut accounts = Vec::new();
    for output in outputs {
        let mut account = Account::new(format!("output {output}"), "received", received);
        for (result, name) in [("written", "written"), ("duplicate", "duplicates"), ("dropped", "dropped")] {
            let labels = [("output", output.as_str()), ("result", result)];
            account.part(name, samples.with("ipfix_collector_output_records_total", &labels).unwrap_or(0.0));
        }
        let waiting = samples.with("ipfix_collector_queue_depth_records", &[("output", &output)]);
        account.part("waiting", waiting.unwrap_or(0.0));
        accounts.push(account);
    }
    // What could not be decoded was never a record that could be counted as received.
    if let Some(account) = accounts.last_mut() {
        let dropped = samples.series("ipfix_collector_records_dropped_total");
        account.beside = dropped
            .map(|series| {
                (format!("refused{{{}}}", series.label("reason").unwrap_or_default()), series.value)
            })
            .collect();
    }
    accounts
}

/// Every pool element that came is there, or has left for a reason, pool by pool.
fn registrar(samples: &Samples) -> Vec<Account> {
    let changes = "rserpool_pool_element_changes_total";
    let mut accounts = Vec::new();
    for pool in values(samples, changes, "pool") {
        let event = |event: &str| samples.with(changes, &[("pool", &pool), ("event", event)]).unwrap_or(0.0);
        let came = event("registered") + event("replicated");
        let mut account = Account::new(format!("pool {pool}"), "elements that came", came);
        account.part("present", samples.with("rserpool_pool_elements", &[("pool", &pool)]).unwrap_or(0.0));
        for reason in REMOVALS {
            account.part(format!("gone{{{reason}}}"), event(reason));
        }
        accounts.push(account);
    }
    accounts
}

/// Returns the equations between the exporters and the collectors of a pool: what was sent in a class that may lose
/// records arrived, or is in the collectors' gap.
pub(super) fn of_pool(daemons: &[(Kind, Samples)]) -> Vec<Account> {
    let of = |kind: Kind| daemons.iter().filter(move |(is, _)| *is == kind).map(|(_, samples)| samples);
    if of(Kind::Exporter).next().is_none() || of(Kind::Collector).next().is_none() {
        return Vec::new();
    }
    let mut accounts = Vec::new();
    for kind in LOSSY {
        let (mut sent, mut classes) = (0.0, 0);
        for samples in of(Kind::Exporter) {
            for series in samples.series("ipfix_exporter_class_info") {
                let Some(class) =
                    series.label("class").filter(|_| series.label("kind").as_deref() == Some(kind))
                else {
                    continue;
                };
                classes += 1;
                sent += samples
                    .with("ipfix_exporter_records_exported_total", &[("class", &class)])
                    .unwrap_or(0.0);
            }
        }
        if classes == 0 {
            continue;
        }
        let told = |figure: &str| -> f64 {
            let metric = format!("ipfix_collector_class_records_{figure}");
            of(Kind::Collector).filter_map(|samples| samples.with(&metric, &[("class", kind)])).sum()
        };
        let mut account = Account::new(format!("classes that are {kind}"), "sent by exporters", sent);
        account.part("received by collectors", told("received_total"));
        account.part("gap: lost", told("lost_total") - told("late_total"));
        account.part("gap: not yet given up", told("missing"));
        accounts.push(account);
    }
    accounts
}

/// Returns the values that a label has among the series of a metric, in order.
fn values(samples: &Samples, metric: &str, label: &str) -> BTreeSet<String> {
    samples.series(metric).filter_map(|series| series.label(label)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORTER: &str = r#"ipfix_exporter_build_info{version="0.1.0",revision="x"} 1
ipfix_exporter_class_info{class="books",kind="reliable"} 1
ipfix_exporter_class_info{class="dns",kind="limited"} 1
ipfix_exporter_records_metered_total{class="books"} 100
ipfix_exporter_records_recovered_total{class="books"} 5
ipfix_exporter_records_covered_total{class="books"} 95
ipfix_exporter_records_dropped_total{class="books",reason="buffer_full"} 3
ipfix_exporter_buffered_records{class="books"} 7
ipfix_exporter_records_metered_total{class="dns"} 50
ipfix_exporter_records_exported_total{class="dns"} 48
ipfix_exporter_records_delivered_total{class="dns"} 40
ipfix_exporter_records_abandoned_total{class="dns",reason="retransmissions"} 8
ipfix_exporter_records_dropped_total{class="dns",reason="association"} 2
"#;
    const COLLECTOR: &str = r#"ipfix_collector_build_info{version="0.1.0",revision="x"} 1
ipfix_collector_records_received_total{kind="data"} 150
ipfix_collector_records_received_total{kind="options"} 9
ipfix_collector_output_records_total{output="flows",result="written"} 140
ipfix_collector_output_records_total{output="flows",result="options"} 4
ipfix_collector_output_records_total{output="flows",result="duplicate"} 8
ipfix_collector_queue_depth_records{output="flows"} 2
ipfix_collector_records_dropped_total{reason="no_template"} 0
ipfix_collector_class_records_received_total{class="limited"} 41
ipfix_collector_class_records_lost_total{class="limited"} 6
ipfix_collector_class_records_late_total{class="limited"} 1
ipfix_collector_class_records_missing{class="limited"} 2
"#;

    fn daemons(exporter: &str, collector: &str) -> Vec<(Kind, Samples)> {
        let samples = [exporter, collector].map(Samples::parse);
        samples.into_iter().map(|samples| (Kind::of(&samples).unwrap(), samples)).collect()
    }

    fn differences(text: &str) -> Vec<(String, f64)> {
        let samples = Samples::parse(text);
        let accounts = of_daemon(Kind::of(&samples).unwrap(), &samples);
        accounts.into_iter().map(|account| (account.name.clone(), account.difference())).collect()
    }

    #[test]
    fn books_that_balance_have_no_difference() {
        assert_eq!(differences(EXPORTER), [("class books".to_owned(), 0.0), ("class dns".to_owned(), 0.0)]);
        assert_eq!(differences(COLLECTOR), [("output flows".to_owned(), 0.0)]);
        let pool = of_pool(&daemons(EXPORTER, COLLECTOR));
        assert_eq!(pool.len(), 1);
        assert_eq!((pool[0].whole, pool[0].difference()), (("sent by exporters", 48.0), 0.0));
    }

    #[test]
    fn a_record_that_is_nowhere_is_the_difference() {
        let tampered = EXPORTER.replace("{class=\"books\"} 95", "{class=\"books\"} 94");
        assert_eq!(differences(&tampered)[0].1, 1.0);
        let tampered = COLLECTOR.replace("result=\"duplicate\"} 8", "result=\"duplicate\"} 9");
        assert_eq!(differences(&tampered)[0].1, -1.0);
        let tampered =
            COLLECTOR.replace("lost_total{class=\"limited\"} 6", "lost_total{class=\"limited\"} 4");
        assert_eq!(of_pool(&daemons(EXPORTER, &tampered))[0].difference(), 2.0);
    }

    #[test]
    fn over_udp_what_was_sent_is_a_part() {
        let text = "ipfix_exporter_build_info 1\nipfix_exporter_messages_sent_total 2\n\
                    ipfix_exporter_records_metered_total{class=\"unreliable\"} 9\n\
                    ipfix_exporter_records_exported_total{class=\"unreliable\"} 5\n\
                    ipfix_exporter_records_dropped_total{class=\"unreliable\",reason=\"not_sent\"} 1\n\
                    ipfix_exporter_buffered_records{class=\"unreliable\"} 3\n";
        assert_eq!(differences(text), [("class unreliable".to_owned(), 0.0)]);
    }

    #[test]
    fn elements_of_a_pool_are_there_or_have_left() {
        let text = "rserpool_build_info 1\n\
                    rserpool_pool_element_changes_total{pool=\"ipfix\",event=\"registered\"} 4\n\
                    rserpool_pool_element_changes_total{pool=\"ipfix\",event=\"replicated\"} 2\n\
                    rserpool_pool_element_changes_total{pool=\"ipfix\",event=\"updated\"} 70\n\
                    rserpool_pool_element_changes_total{pool=\"ipfix\",event=\"unreachable\"} 3\n\
                    rserpool_pool_elements{pool=\"ipfix\",state=\"up\"} 2\n\
                    rserpool_pool_elements{pool=\"ipfix\",state=\"suspect\"} 1\n";
        assert_eq!(differences(text), [("pool ipfix".to_owned(), 0.0)]);
    }

    #[test]
    fn metrics_of_another_program_are_told_apart() {
        assert_eq!(Kind::of(&Samples::parse("node_cpu_seconds_total 1\n")), None);
    }
}
