//! Reads a daemon's `/metrics` and `/readyz` as Prometheus would, over HTTP/1.1 (plain, one request a connection).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer of a daemon on this host takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// One scrape: the value of every sample, by its full name with labels.
#[derive(Clone, Debug, Default)]
pub struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// Returns what `address` exposes. Fails when it does not answer, or not with 200.
    pub fn scrape(address: SocketAddr) -> io::Result<Self> {
        let (status, body) = get(address, "/metrics")?;
        if status != 200 {
            return Err(io::Error::other(format!("{address}/metrics answered {status}")));
        }
        Ok(Self::parse(&body))
    }

    /// Reads the Prometheus text form; lines that are no samples are skipped.
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            samples
                .filter_map(|line| {
                    let (name, value) = line.rsplit_once(' ')?;
                    Some((name.to_owned(), value.parse().ok()?))
                })
                .collect(),
        )
    }

    /// Returns every sample: its full name with labels, and its value.
    pub fn samples(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Returns the sum of all series of metric `name`, whatever their labels; 0 without any.
    pub fn sum(&self, name: &str) -> f64 {
        let series = self.0.range(name.to_owned()..);
        series
            .take_while(|(key, _)| key.starts_with(name))
            .filter(|(key, _)| matches!(key.as_bytes().get(name.len()), None | Some(b'{')))
            .map(|(_, value)| value)
            .sum()
    }

    /// Returns the sum of the series of metric `name` whose label `label` is `value`.
    pub fn value(&self, name: &str, label: &str, value: &str) -> f64 {
        let wanted = format!("{label}=\"{value}\"");
        let series = self.0.iter().filter(|(key, _)| key.starts_with(name) && key.contains(&wanted));
        series.map(|(_, value)| value).sum()
    }

    /// Returns the sum of the series of metric `name` that have all these labels; none if there are no such series.
    pub fn with(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut series = self.series(name).filter(|series| {
            labels.iter().all(|(label, value)| series.label(label).as_deref() == Some(*value))
        });
        let first = series.next()?.value;
        Some(series.fold(first, |sum, series| sum + series.value))
    }

    /// Returns every series of metric `name`.
    pub fn series(&self, name: &str) -> impl Iterator<Item = Series<'_>> {
        let series = self.0.range(name.to_owned()..).take_while(move |(key, _)| key.starts_with(name));
        series.filter_map(move |(key, value)| {
            let labels = &key[name.len()..];
            (labels.is_empty() || labels.starts_with('{')).then_some(Series { labels, value: *value })
        })
    }

    /// Returns the value of label `label` of the first series of `name` whose value is not zero.
    pub fn label(&self, name: &str, label: &str) -> Option<String> {
        let series = self.0.iter().find(|(key, value)| key.starts_with(name) && **value != 0.0)?;
        let (_, rest) = series.0.split_once(&format!("{label}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    }
}

/// One series of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Series<'a> {
    labels: &'a str,
    /// Its value.
    pub value: f64,
}

impl Series<'_> {
    /// Returns the value of a label.
    pub fn label(&self, label: &str) -> Option<String> {
        let mut rest = self.labels.strip_prefix('{')?;
        loop {
            let (name, after) = rest.split_once("=\"")?;
            let mut value = String::new();
            let mut octets = after.char_indices();
            let end = loop {
                match octets.next()? {
                    (at, '"') => break at,
                    (_, '\\') => value.push(octets.next()?.1),
                    (_, octet) => value.push(octet),
                }
            };
            if name == label {
                return Some(value);
            }
            rest = after[end + 1..].strip_prefix(',')?;
        }
    }
}

/// Returns whether the daemon at `address` calls itself ready.
pub fn ready(address: SocketAddr) -> bool {
    get(address, "/readyz").is_ok_and(|(status, _)| status == 200)
}

pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    let malformed = || io::Error::other(format!("{address}{path} gave no HTTP answer"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_metric_are_summed_and_names_with_the_same_beginning_are_not() {
        let metrics = Samples::parse("# HELP a x\na{b=\"1\"} 2\na{b=\"2\"} 3\na_total 9\nc 4.5\n");
        assert_eq!((metrics.sum("a"), metrics.sum("c"), metrics.sum("d")), (5.0, 4.5, 0.0));
    }

    #[test]
    fn series_are_chosen_by_labels_whatever_these_hold() {
        let samples =
            Samples::parse("a{x=\"1,y=\\\"2\\\"\",y=\"3\"} 4\na{x=\"5\",y=\"3\"} 6\nab{y=\"3\"} 9\n");
        assert_eq!(samples.with("a", &[("y", "3")]), Some(10.0));
        assert_eq!(samples.with("a", &[("y", "2")]), None);
        let first = samples.series("a").next().unwrap();
        assert_eq!(first.label("x").as_deref(), Some("1,y=\"2\""));
    }

    #[test]
    fn a_label_is_read_from_the_series_in_force() {
        let metrics = Samples::parse("i{address=\"127.0.0.2:4739\"} 0\ni{address=\"127.0.0.3:4739\"} 1\n");
        assert_eq!(metrics.label("i", "address").as_deref(), Some("127.0.0.3:4739"));
    }
}
