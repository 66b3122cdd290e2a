//! The subcommand `resolve`: one handle resolution, for operators and tests (RFC 5352 section 3.3).
//!
//! Exit codes: 0 the pool was printed, 1 no registrar that answered knows it, 69 no registrar answered.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use rserpool::{Causes, ConfiguredRegistrar, RegistrarAddress, certificate_names};
use rserpool_proto::wire::asap::handle_resolution::{HandleResolution, HandleResolutionResponse};
use rserpool_proto::wire::{CauseCode, Message, PoolElementParameter};
use rserpool_proto::{ENCAPSULATION_PORT, PoolHandle};
use serde_json::{Value, json};
use service::config::Period;
use service::{Exit, Failure, OrExit as _};
use transport::tls::{Client, Files, Identity, Names};
use transport::{Association, Connector, Endpoint, EndpointConfig, Event, MsgOut, Ppid};

use super::{Output, table};
use crate::text::{element_json, life_text, transport_text};

/// The command line of `resolve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rserpool-registrar resolve ipfix --registrar 127.0.0.1:3863")]
pub struct Arguments {
    /// Handle of the pool
    #[arg(value_name = "POOL")]
    pool: String,
    /// Whom to ask: HOST[:PORT] for SCTP in UDP, tcp://HOST[:PORT], tls://HOST[:PORT]; HOST is an address or a DNS name;
    /// several are asked in turn
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3863")]
    registrar: Vec<ConfiguredRegistrar>,
    /// PEM file of the certificate to show to a tls:// registrar
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca"])]
    certificate: Option<PathBuf>,
    /// PEM file of its key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// PEM file of the certificate authorities of tls:// registrars
    #[arg(long, value_name = "FILE", requires = "certificate")]
    ca: Option<PathBuf>,
    /// A name a tls:// registrar's certificate may have; without any it must have the HOST
    #[arg(long, value_name = "NAME", requires = "certificate")]
    registrar_name: Vec<String>,
    #[command(flatten)]
    output: Output,
    /// How long one registrar may take to answer
    #[arg(long, value_name = "PERIOD", default_value = "3s")]
    timeout: Period,
}

/// Asks the registrars in turn; the first answer counts.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let pool = PoolHandle::new(&arguments.pool).or_exit(Exit::Usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tls = client(arguments)?;
    runtime.block_on(ask_in_turn(arguments, &pool, tls.as_ref()))
}

/// What is shown to TLS registrars, where that was given.
fn client(arguments: &Arguments) -> Result<Option<Client>, Failure> {
    let Arguments { certificate: Some(certificate), key: Some(key), ca: Some(ca), .. } = arguments else {
        return Ok(None);
    };
    let (certificate, key, ca) = (certificate.clone(), key.clone(), ca.clone());
    let identity = Identity::read(Files { certificate, key, ca }).or_exit(Exit::Usage)?;
    let names = match arguments.registrar_name[..] {
        [] => certificate_names(&arguments.registrar),
        _ => Names::parse(&arguments.registrar_name).or_exit(Exit::Usage)?,
    };
    Ok(Some(Client { identity, names }))
}

async fn ask_in_turn(arguments: &Arguments, pool: &PoolHandle, tls: Option<&Client>) -> Result<(), Failure> {
    let mut failures = String::new();
    for registrar in &arguments.registrar {
        match ask_at_each_address(arguments, registrar, pool, tls).await {
            Ok(response) => return answer(arguments, &response),
            Err(error) => {
                let _ = write!(failures, "\n  {registrar}: {error}");
            }
        }
    }
    Err(Failure::new(Exit::Unavailable, format!("no registrar reachable{failures}")))
}

/// Asks a registrar at one of its addresses after the other. The error is that of the last.
async fn ask_at_each_address(
    arguments: &Arguments,
    registrar: &ConfiguredRegistrar,
    pool: &PoolHandle,
    tls: Option<&Client>,
) -> anyhow::Result<HandleResolutionResponse> {
    let period = arguments.timeout;
    let late = |_| anyhow::anyhow!("no answer within {period}");
    let addresses = tokio::time::timeout(period.0, registrar.look_up()).await.map_err(late)??;
    let mut failure = anyhow::anyhow!("no address");
    for address in &addresses {
        match tokio::time::timeout(period.0, ask(address, pool, tls)).await.map_err(late) {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) | Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn ask(
    registrar: &RegistrarAddress,
    pool: &PoolHandle,
    tls: Option<&Client>,
) -> anyhow::Result<HandleResolutionResponse> {
    let mut association = connect(registrar, tls).await?;
    let request =
        HandleResolution { send_updates: false, pool: pool.clone(), items: Some(u32::MAX), unknown: vec![] };
    let octets = Message::HandleResolution(request).to_octets()?;
    association.send(MsgOut::new(Ppid::ASAP, octets)).await?;
    loop {
        match association.recv().await {
            Event::Message(message) if message.ppid == Ppid::ASAP => {
                let decoded = Message::decode(&message.data)?;
                if let Message::HandleResolutionResponse(response) = decoded
                    && response.pool == *pool
                {
                    let _ = association.shutdown(Duration::from_millis(500)).await;
                    return Ok(response);
                }
            }
            Event::Lost(reason) => anyhow::bail!("{reason}"),
            _ => {}
        }
    }
}

async fn connect(registrar: &RegistrarAddress, tls: Option<&Client>) -> anyhow::Result<Association> {
    let peer = registrar.peer();
    if registrar.is_tls() && tls.is_none() {
        anyhow::bail!("needs --certificate, --key and --ca");
    }
    if !registrar.is_sctp() {
        let connector = Connector { tls: tls.cloned(), ..Connector::default() };
        return Ok(connector.connect(peer).await?);
    }
    let mut config = EndpointConfig::new(local_address(peer.ip().unwrap_or(Ipv4Addr::LOCALHOST.into()))?);
    config.encapsulation = 0;
    Ok(Endpoint::bind(config)?.connect(peer).await?)
}

/// Returns the address this host would reach `peer` from; nothing is sent.
fn local_address(peer: IpAddr) -> std::io::Result<IpAddr> {
    let any: IpAddr =
        if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let probe = UdpSocket::bind((any, 0))?;
    probe.connect((peer, ENCAPSULATION_PORT))?;
    Ok(probe.local_addr()?.ip())
}

fn answer(arguments: &Arguments, response: &HandleResolutionResponse) -> Result<(), Failure> {
    if let Some(causes) = &response.causes {
        let unknown = causes.iter().any(|cause| cause.code == CauseCode::UNKNOWN_POOL_HANDLE);
        let reason = if unknown { "is unknown".to_owned() } else { format!("refused: {}", Causes(causes)) };
        return Err(Failure::new(Exit::Failed, format!("pool {}: {reason}", response.pool)));
    }
    arguments.output.print(&as_json(response), || as_table(response))
}

fn as_table(response: &HandleResolutionResponse) -> String {
    table(["PE", "HOME", "TRANSPORT", "USE", "POLICY", "LIFE"], response.elements.iter().map(row))
}

fn row(element: &PoolElementParameter) -> [String; 6] {
    [
        element.pe.to_string(),
        element.home.to_string(),
        transport_text(element),
        element.user_transport.transport_use().to_string(),
        element.policy.to_string(),
        life_text(element.life),
    ]
}

fn as_json(response: &HandleResolutionResponse) -> Value {
    let policy =
        response.policy.as_ref().map_or("round-robin".to_owned(), |policy| policy.policy_type().to_string());
    let elements: Vec<Value> = response.elements.iter().map(element_json).collect();
    json!({ "pool": response.pool.to_string(), "policy": policy, "elements": elements })
}
