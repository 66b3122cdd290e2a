//! What is counted of exporting over UDP.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use super::session::Books;

/// Class of all records: UDP sends nothing twice.
const CLASS: &str = "unreliable";

/// The handles, made once. The books balance: metered = exported + dropped + buffered.
pub(super) struct DirectMetrics {
    metered: Counter,
    exported: Counter,
    dropped: Counter,
    buffered_records: Gauge,
    messages: Counter,
    refreshes: Counter,
    unreachable: Counter,
    max_message: Gauge,
}

impl DirectMetrics {
    pub(super) fn new() -> Self {
        crate::metrics::describe();
        describe_counter!("ipfix_exporter_messages_sent_total", "IPFIX messages sent over UDP");
        describe_counter!(
            "ipfix_exporter_template_refreshes_total",
            "How often templates were repeated over UDP, after those at the start"
        );
        describe_counter!(
            "ipfix_exporter_unreachable_total",
            "ICMP messages that told that the collector is not reached over UDP; flow records were lost then"
        );
        describe_gauge!(
            "ipfix_exporter_max_message_bytes",
            Unit::Bytes,
            "Octets of an IPFIX message at most: what the path takes in one packet"
        );
        Self {
            metered: counter!("ipfix_exporter_records_metered_total", "class" => CLASS),
            exported: counter!("ipfix_exporter_records_exported_total", "class" => CLASS),
            dropped: counter!("ipfix_exporter_records_dropped_total", "class" => CLASS, "reason" => "not_sent"),
            buffered_records: gauge!("ipfix_exporter_buffered_records", "class" => CLASS),
            messages: counter!("ipfix_exporter_messages_sent_total"),
            refreshes: counter!("ipfix_exporter_template_refreshes_total"),
            unreachable: counter!("ipfix_exporter_unreachable_total"),
            max_message: gauge!("ipfix_exporter_max_message_bytes"),
        }
    }

    /// Takes over the figures.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub(super) fn update(&self, books: &Books, unreachable: u64, max_message: usize) {
        self.metered.absolute(books.metered);
        self.exported.absolute(books.sent);
        self.dropped.absolute(books.dropped);
        self.buffered_records.set(books.waiting as f64);
        self.messages.absolute(books.messages);
        self.refreshes.absolute(books.refreshes);
        self.unreachable.absolute(unreachable);
        self.max_message.set(max_message as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_are_shown() {
        let shown = service::Metrics::new(&[]);
        let metrics = shown.scope(DirectMetrics::new);
        let books =
            Books { metered: 9, sent: 5, dropped: 1, waiting: 3, messages: 2, octets: 0, refreshes: 4 };
        metrics.update(&books, 7, 1_452);
        let value = |sample: &str| shown.value(&format!("ipfix_exporter_{sample}")).unwrap();
        let class = "{class=\"unreliable\"}";
        let (exported, buffered) =
            (format!("records_exported_total{class}"), format!("buffered_records{class}"));
        let dropped = "records_dropped_total{class=\"unreliable\",reason=\"not_sent\"}";
        let parts = value(&exported) + value(&buffered) + value(dropped);
        assert_eq!((value(&format!("records_metered_total{class}")), parts), (9.0, 9.0));
        assert_eq!((value("messages_sent_total"), value("template_refreshes_total")), (2.0, 4.0));
        assert_eq!((value("unreachable_total"), value("max_message_bytes")), (7.0, 1_452.0));
    }
}
