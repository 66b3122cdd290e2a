//! Pool elements as operators read them, in tables and in JSON.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use rserpool_proto::wire::param::registrar_tcp::RegistrarTcp;
use rserpool_proto::wire::{LifeUnit, ParameterType, PoolElementParameter, RegistrationLife, Transport};
use rserpool_proto::{ENCAPSULATION_PORT, PoolHandle};
use serde_json::{Value, json};

/// Characters of a handle in logs and lists; all are ASCII.
const MAX_POOL_TEXT: usize = 256;

/// `sctp 192.0.2.1,192.0.2.2 port 4739`, with the encapsulation port where it is told.
pub(crate) fn transport_text(element: &PoolElementParameter) -> String {
    let transport = &element.user_transport;
    let addresses: Vec<String> = transport.addresses().iter().map(ToString::to_string).collect();
    let mut text = format!("{} {}", protocol(transport.kind()), addresses.join(","));
    if let Some(port) = transport.port() {
        let _ = write!(text, " port {port}");
    }
    if let Some(encapsulation) = element.encapsulation {
        let _ = write!(text, " (UDP {encapsulation})");
    }
    text
}

/// A pool's handle, or its beginning: it may have 64 KiB, which peers choose.
pub(crate) fn pool_text(pool: &PoolHandle) -> String {
    let mut text = pool.to_string();
    if text.len() > MAX_POOL_TEXT {
        text.truncate(MAX_POOL_TEXT);
        text.push_str("...");
        // Whoever keeps it must not keep the room of 60,000 octets.
        text.shrink_to_fit();
    }
    text
}

/// The name of a transport parameter's protocol.
pub(crate) fn protocol(kind: ParameterType) -> &'static str {
    match kind {
        ParameterType::DCCP_TRANSPORT => "dccp",
        ParameterType::SCTP_TRANSPORT => "sctp",
        ParameterType::TCP_TRANSPORT => "tcp",
        ParameterType::UDP_TRANSPORT => "udp",
        ParameterType::UDP_LITE_TRANSPORT => "udp-lite",
        _ => "opaque",
    }
}

/// `tcp://192.0.2.1:9901`, as other registrars are configured to reach it.
pub(crate) fn tcp_text(tcp: &RegistrarTcp) -> String {
    let RegistrarTcp { address, tls, mptcp } = tcp;
    let multipath = if *mptcp { " (MPTCP)" } else { "" };
    format!("{}://{address}{multipath}", if *tls { "tls" } else { "tcp" })
}

/// As RFC 5354 counts: registrars with the profile "rsplib" tell milliseconds.
pub(crate) fn life_seconds(life: RegistrationLife) -> Option<u64> {
    life.duration(LifeUnit::Seconds).map(|life| life.as_secs())
}

/// `30 s`, or `infinite`.
pub(crate) fn life_text(life: RegistrationLife) -> String {
    life_seconds(life).map_or_else(|| "infinite".to_owned(), |seconds| format!("{seconds} s"))
}

/// One element, as every command and the API show it.
pub(crate) fn element_json(element: &PoolElementParameter) -> Value {
    json!({
        "pe": element.pe.to_string(),
        "long-pe": element.long_id().map(|id| id.to_string()),
        "home": element.home.to_string(),
        "transport": transport_json(&element.user_transport, element.encapsulation),
        "policy": element.policy.to_string(),
        "life-seconds": life_seconds(element.life),
    })
}

fn transport_json(transport: &Transport, encapsulation: Option<u16>) -> Value {
    json!({
        "protocol": protocol(transport.kind()),
        "addresses": transport.addresses(),
        "port": transport.port(),
        "use": transport.transport_use().to_string(),
        "encapsulation": encapsulation.unwrap_or(ENCAPSULATION_PORT),
    })
}

/// `2026-03-01T12:00:00.123Z`.
pub(crate) fn time_text(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Year, month and day of the Gregorian calendar, by the day since 1970-01-01. A year here begins in March,
/// so that the leap day is its last; 146,097 days are 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (date, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (era * 400 + year + u64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_told_in_utc() {
        let text = |seconds: u64| time_text(UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + 7));
        assert_eq!(text(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(text(1_798_761_599), "2026-12-31T23:59:59.007Z");
        assert_eq!(text(4_107_542_400), "2100-03-01T00:00:00.007Z");
    }
}
