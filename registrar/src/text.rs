//! Pool elements as operators read them, in tables and in JSON.

use std::borrow::Cow;
use std::fmt::Write as _;

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
pub(crate) fn pool_text(pool: &PoolHandle) -> Cow<'_, str> {
    let text = pool.to_text();
    match text.get(..MAX_POOL_TEXT) {
        Some(beginning) if text.len() > MAX_POOL_TEXT => format!("{beginning}...").into(),
        _ => text,
    }
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

/// The transport of [`element_json`] as text: `sctp 192.0.2.1,192.0.2.2 port 4739`.
pub(crate) fn value_text(transport: &Value) -> String {
    let of = |key: &str| match &transport[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let addresses = transport["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str);
    format!("{} {} port {}", of("protocol"), addresses.collect::<Vec<_>>().join(","), of("port"))
}

/// Percent-encodes one segment of a path (RFC 3986 section 2.1).
pub(crate) fn path_segment(segment: &[u8]) -> String {
    let mut text = String::with_capacity(segment.len());
    for &octet in segment {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            text.push(octet.into());
        } else {
            text.push_str(&format!("%{octet:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_of_any_octets_is_one_segment() {
        assert_eq!(path_segment(b"ipfix-1"), "ipfix-1");
        assert_eq!(path_segment(b"a/b?\0\xff"), "a%2Fb%3F%00%FF");
    }
}
