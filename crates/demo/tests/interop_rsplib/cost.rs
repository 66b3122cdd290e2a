//! What a registration and a handle resolution cost a registrar's processor over kernel SCTP: ours, and rsplib's, at the
//! same load in one boot of a virtual machine.
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use rserpool::wire::asap::deregistration::Deregistration;
use rserpool::wire::asap::handle_resolution::HandleResolution;
use rserpool::wire::asap::registration::Registration;
use rserpool::wire::{
    Message, PoolElementParameter, RegistrationLife, SctpTransport, Transport, TransportUse,
};
use rserpool::{PeId, Policy, PoolHandle};
use rserpool_proto::RegistrarId;
use transport::{Association, Connector, Endpoint, EndpointConfig, Event, MsgOut, PeerAddress, Ppid, Stack};

use crate::check::{Check, row};
use crate::network::{Host, Network};
use crate::process::Process;
use crate::{ours, reference};

/// At once, each with as many requests on the way.
const ASSOCIATIONS: usize = 8;
const PIPELINE: usize = 16;
/// New ones on each association.
const ELEMENTS: u32 = 40;
/// Times each element registers again, and times as many resolutions.
const ROUNDS: u32 = 5;
/// Ours and theirs in turn. Whatever else this host does adds to one or the other: the median counts.
const REPEATS: usize = 25;

/// What a registrar is asked to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Load {
    Register,
    Reregister,
    Resolve,
    /// Not measured: nobody is left for the registrar to find out about while it does something else.
    Deregister,
}

#[test]
#[ignore = "needs rsplib and kernel SCTP"]
fn the_cost_of_a_request_is_measured_for_both_registrars() {
    let check = Check::begin(
        "processor time of our registrar for a request is measured beside rspregistrar's (goal: half)",
    );
    let network = Network::new(2);
    let settings = ours::Settings { timers: "rfc", log_level: "info", ..ours::Settings::default() };
    let ours = ours::Registrar::start_with(&network, &network.host(1), &settings);
    let patient = ["-loglevel=3", "-endpointkeepalivetransmissioninterval=600000"];
    let theirs = reference::registrar(&network, &network.host(2), 0x0a0b_0c02, &patient);
    // The registrars on one processor, all their users, in this thread, on the other.
    let this = std::fs::read_link("/proc/thread-self").unwrap();
    let this = this.file_name().unwrap().to_str().unwrap().parse().unwrap();
    for (thread, processor) in [(ours.process.pid(), 0), (theirs.pid(), 0), (this, 1)] {
        pin(thread, processor);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut figures: Vec<(Load, [Vec<f64>; 2])> =
        [Load::Register, Load::Reregister, Load::Resolve].map(|load| (load, [vec![], vec![]])).into();
    let registrars = [(&ours.process, network.host(1)), (&theirs, network.host(2))];
    for repeat in 0..REPEATS {
        let mut users = Vec::new();
        for (_, host) in &registrars {
            users.push(runtime.block_on(Users::connect(&network, host, repeat)));
        }
        for (load, costs) in &mut figures {
            // One right after the other: this host is faster now and slower then.
            for (which, users) in users.iter_mut().enumerate() {
                let process = registrars[which].0;
                let (before, begin) = (processor_time(process), Instant::now());
                let (ticks_before, packets_before) = (ticks(process), packets(process));
                let requests = runtime.block_on(users.load(*load));
                let cost = (processor_time(process) - before).as_secs_f64() * 1e6 / requests as f64;
                let [user, system] = difference(ticks(process), ticks_before);
                let [sent, received] =
                    difference(packets(process), packets_before).map(|count| count as f64 / requests as f64);
                println!(
                    "{which} {load:?}: {requests} requests, {cost:.1} us each, user {user} system {system} ticks, \
                     {sent:.2} packets out {received:.2} in, {:?}",
                    begin.elapsed()
                );
                costs[which].push(cost);
            }
        }
        for mut users in users {
            runtime.block_on(users.load(Load::Deregister));
            runtime.block_on(users.leave());
        }
    }
    let mut worst: f64 = 0.0;
    for (load, costs) in figures {
        let ratio = median(costs[0].iter().zip(&costs[1]).map(|(ours, theirs)| ours / theirs).collect());
        let [ours, theirs] = costs.map(median);
        worst = worst.max(ratio);
        let cells = [
            ("request", format!("{load:?}")),
            ("ours", format!("{ours:.0} us")),
            ("rspregistrar", format!("{theirs:.0} us")),
            ("ratio", format!("{ratio:.2}")),
        ];
        row("Processor time of the registrar for one request", &cells);
        println!("{cells:?}");
    }
    check.passed(&format!("worst ratio {worst:.2}"));
}

/// Has a thread run on one processor, and those it starts from here on. The registrars do their work in the first one.
fn pin(thread: u32, processor: u32) {
    let status = std::process::Command::new("taskset")
        .args(["-p", "-c", &processor.to_string(), &thread.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// In its own code and in the kernel, in hundredths of a second.
fn ticks(process: &Process) -> [u64; 2] {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    [(); 2].map(|()| fields.next().and_then(|field| field.parse().ok()).unwrap_or_default())
}

/// Packets sent and received by its host.
fn packets(process: &Process) -> [u64; 2] {
    let text = std::fs::read_to_string(format!("/proc/{}/net/sctp/snmp", process.pid())).unwrap();
    ["SctpOutSCTPPacks", "SctpInSCTPPacks"].map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    })
}

fn difference(now: [u64; 2], before: [u64; 2]) -> [u64; 2] {
    [now[0] - before[0], now[1] - before[1]]
}

/// On processors, by all threads, as the scheduler counts it.
fn processor_time(process: &Process) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap();
    let spent = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// Pool elements and pool users on associations with one registrar.
struct Users {
    _endpoint: Endpoint,
    associations: Vec<Association>,
    address: Ipv4Addr,
    /// So that each repetition has pools of its own.
    repeat: usize,
}

impl Users {
    async fn connect(network: &Network, registrar: &Host, repeat: usize) -> Users {
        let mut config = EndpointConfig::new(network.outside().into());
        config.stack = Stack::Kernel;
        config.encapsulation = 0;
        let endpoint = Endpoint::bind(config).unwrap();
        let connector = Connector::from(Some(endpoint.clone()));
        let peer = PeerAddress::Sctp { ip: registrar.address.into(), port: 3863, encapsulation: None };
        let mut associations = Vec::new();
        for _ in 0..ASSOCIATIONS {
            associations.push(connector.connect(peer).await.unwrap());
        }
        Users { _endpoint: endpoint, associations, address: network.outside(), repeat }
    }

    /// Returns how many requests were made.
    async fn load(&mut self, load: Load) -> usize {
        let rounds = if matches!(load, Load::Register | Load::Deregister) { 1 } else { ROUNDS };
        let mut tasks = Vec::new();
        for (number, association) in std::mem::take(&mut self.associations).into_iter().enumerate() {
            let pool = PoolHandle::new(format!("pool-{}-{number}", self.repeat)).unwrap();
            let requests = (0..rounds).flat_map(|_| 1..=ELEMENTS).map(|pe| match load {
                Load::Register | Load::Reregister => registration(&pool, pe, self.address),
                Load::Resolve => resolution(&pool),
                Load::Deregister => deregistration(&pool, pe),
            });
            let requests = requests.map(|message| message.to_octets().unwrap()).collect();
            tasks.push(tokio::spawn(exchange(association, requests)));
        }
        let mut answers = 0;
        for task in tasks {
            let (association, answered) = task.await.unwrap();
            self.associations.push(association);
            answers += answered;
        }
        answers
    }

    async fn leave(self) {
        for mut association in self.associations {
            let _ = association.shutdown(Duration::from_secs(2)).await;
        }
    }
}

fn registration(pool: &PoolHandle, pe: u32, address: Ipv4Addr) -> Message {
    let transport = SctpTransport {
        port: 7001,
        transport_use: TransportUse::DATA_ONLY,
        addresses: vec![address.into()],
        unknown: vec![],
    };
    let element = PoolElementParameter {
        pe: PeId(pe),
        home: RegistrarId(0),
        life: RegistrationLife(900_000),
        user_transport: Transport::Sctp(transport),
        policy: Policy::RoundRobin,
        asap_transport: None,
        encapsulation: None,
        unknown: vec![],
    };
    Message::Registration(Registration { pool: pool.clone(), element, unknown: vec![] })
}

fn deregistration(pool: &PoolHandle, pe: u32) -> Message {
    Message::Deregistration(Deregistration { pool: pool.clone(), pe: PeId(pe), unknown: vec![] })
}

/// As rsplib's pool users ask: for one element.
fn resolution(pool: &PoolHandle) -> Message {
    Message::HandleResolution(HandleResolution {
        send_updates: false,
        pool: pool.clone(),
        items: Some(1),
        unknown: vec![],
    })
}

/// Sends the requests, some at a time, and counts the answers.
async fn exchange(mut association: Association, requests: Vec<Vec<u8>>) -> (Association, usize) {
    let (total, mut waiting) = (requests.len(), requests.into_iter());
    for request in waiting.by_ref().take(PIPELINE) {
        association.send(MsgOut::new(Ppid::ASAP, request)).await.unwrap();
    }
    let mut answered = 0;
    while answered < total {
        match association.recv().await {
            Event::Message(message) => {
                // An answer, not refused; there is no keep-alive so soon.
                assert!(matches!(message.data[..2], [3 | 4 | 6, 0]), "{:02x?}", &message.data[..]);
                answered += 1;
                if let Some(request) = waiting.next() {
                    association.send(MsgOut::new(Ppid::ASAP, request)).await.unwrap();
                }
            }
            Event::Lost(reason) => panic!("{reason}"),
            _ => {}
        }
    }
    (association, answered)
}
