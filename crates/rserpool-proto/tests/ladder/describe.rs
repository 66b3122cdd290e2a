//! One line per message, for the traces.

use rserpool_proto::wire::{ErrorCause, Message, Policy, PoolElementParameter};

pub fn message(message: &Message) -> String {
    let details = match message {
        Message::Registration(m) => format!("pool={} {}", m.pool, element(&m.element)),
        Message::RegistrationResponse(m) => {
            let verdict = if m.rejected { "rejected" } else { "granted" };
            format!("pool={} pe={} {verdict}{}", m.pool, m.pe, causes(&m.causes))
        }
        Message::Deregistration(m) => format!("pool={} pe={}", m.pool, m.pe),
        Message::DeregistrationResponse(m) => format!("pool={} pe={}{}", m.pool, m.pe, causes(&m.causes)),
        Message::HandleResolution(m) => {
            let items = m.items.map_or(String::new(), |items| format!(" items={items}"));
            format!("pool={}{items}{}", m.pool, if m.send_updates { " S" } else { "" })
        }
        Message::HandleResolutionResponse(m) => {
            let elements: Vec<String> = m.elements.iter().map(|e| e.pe.to_string()).collect();
            let policy = m.policy.as_ref().map_or(String::new(), |p| format!(" {}", p.policy_type()));
            let updates = if m.updates_accepted { " A" } else { "" };
            let causes = causes(m.causes.as_deref().unwrap_or_default());
            format!("pool={}{policy} [{}]{updates}{causes}", m.pool, elements.join(" "))
        }
        Message::EndpointKeepAlive(m) => {
            let pe = m.pe.map_or(String::new(), |pe| format!(" pe={pe}"));
            let flags = [(m.home, " H"), (m.draining, " D")];
            let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect();
            format!("registrar={} pool={}{pe}{flags}", m.registrar, m.pool)
        }
        Message::EndpointKeepAliveAck(m) => format!("pool={} pe={}", m.pool, m.pe),
        Message::EndpointUnreachable(m) => format!("pool={} pe={}", m.pool, m.pe),
        Message::Error(m) => causes(&m.causes),
        other => format!("{other:?}"),
    };
    format!("{} {}", message.message_type(), details.trim_start())
}

fn element(element: &PoolElementParameter) -> String {
    let policy = match &element.policy {
        Policy::LeastUsed { load } => format!("least-used load={load}"),
        other => other.policy_type().to_string(),
    };
    format!("pe={} home={} life={} {policy}", element.pe, element.home, element.life.0)
}

fn causes(causes: &[ErrorCause]) -> String {
    causes.iter().map(|cause| format!(" ({cause})")).collect()
}
