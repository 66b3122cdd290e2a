//! A collector that is told to end, or drained at its registrar: its exporters are asked to move, and served until they do.

mod world;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitStatus;

use delivery::cookie::State;
use rserpool_proto::RegistrarId;
use rserpool_proto::wire::Message;
use rserpool_proto::wire::asap::keep_alive::EndpointKeepAlive;
use transport::{LossReason, MsgOut, Ppid};
use world::registrar::Answering;
use world::{Collector, Directory, Exporter, Flows, PATIENCE, address, lines, output, pool, read};

/// Starts a collector with this `drain-timeout`.
fn collector(directory: &Directory, drain: &str) -> Collector {
    let config = output(directory) + &pool(directory);
    Collector::start_by(&["env"], drain, directory, address(), &config)
}

/// Connects an exporter and has its first ten records acknowledged.
async fn exporter(collector: &Collector) -> Exporter {
    let mut exporter = Exporter::connect(collector).await;
    exporter.flows.session(0);
    exporter.flows.flows(0..10);
    exporter.send().await;
    exporter.wait_for(0..10).await;
    exporter
}

async fn wait_for_state(exporter: &mut Exporter, state: State) {
    while exporter.state != Some(state) {
        assert_eq!(exporter.next().await, None, "the association ended");
    }
}

async fn end(collector: Collector) -> ExitStatus {
    tokio::task::spawn_blocking(|| collector.wait()).await.unwrap()
}

#[tokio::test]
async fn a_collector_that_is_told_to_end_serves_its_exporters_until_they_have_left() {
    let directory = Directory::new();
    let collector = collector(&directory, "1h");
    let mut exporter = exporter(&collector).await;
    collector.terminate();
    wait_for_state(&mut exporter, State::Draining).await;
    // What was on its way when it heard of it.
    exporter.flows.flows(10..20);
    exporter.send().await;
    exporter.wait_for(0..20).await;
    exporter.association.shutdown(PATIENCE).await.unwrap();
    assert_eq!(end(collector).await.code(), Some(0));
    assert_eq!(read(&directory.path("flows.jsonl")), lines(0..20, true));
}

#[tokio::test]
async fn an_exporter_that_does_not_leave_in_time_is_left() {
    let directory = Directory::new();
    let collector = collector(&directory, "1s");
    let mut exporter = exporter(&collector).await;
    collector.terminate();
    assert!(matches!(exporter.wait_for_end().await, LossReason::PeerClosed));
    assert_eq!(exporter.state, Some(State::Draining));
    assert_eq!(end(collector).await.code(), Some(0));
}

#[tokio::test]
async fn an_exporter_that_cannot_be_asked_to_move_is_not_waited_for() {
    let directory = Directory::new();
    let mut collector = collector(&directory, "1h");
    let mut flows = Flows::new();
    flows.flows(0..10);
    let mut socket = TcpStream::connect(collector.tcp()).unwrap();
    socket.write_all(&flows.messages().concat()).unwrap();
    collector.wait_for("exporter connected");
    while read(&directory.path("flows.jsonl")).lines().count() < 10 {
        tokio::task::yield_now().await;
    }
    collector.terminate();
    assert_eq!(socket.read(&mut [0]).unwrap(), 0, "closed");
    drop(socket);
    assert_eq!(end(collector).await.code(), Some(0));
}

#[tokio::test]
async fn a_collector_without_sessions_ends_at_once_and_a_second_signal_ends_any() {
    let directory = Directory::new();
    let idle = collector(&directory, "1h");
    idle.terminate();
    assert_eq!(end(idle).await.code(), Some(0));

    let busy = collector(&directory, "1h");
    let mut exporter = exporter(&busy).await;
    busy.terminate();
    wait_for_state(&mut exporter, State::Draining).await;
    busy.terminate();
    assert_eq!(end(busy).await.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_drained_at_its_registrar_asks_its_exporters_to_move_until_it_is_put_back() {
    let directory = Directory::new();
    let mut registrar = Answering::start_anywhere().await;
    let config = output(&directory) + &registrar.pool(&directory, "");
    let collector = Collector::start(&directory, address(), &config);
    let (registration, element) = loop {
        if let (Message::Registration(registration), element) = registrar.next().await {
            break (registration, element);
        }
    };
    collector.wait_until_ready();
    let mut exporter = exporter(&collector).await;
    let keep_alive = |draining| {
        let (pool, pe) = (registration.pool.clone(), Some(registration.element.pe));
        let registrar = RegistrarId(0x0b);
        let message = EndpointKeepAlive { home: false, draining, registrar, pool, pe, unknown: Vec::new() };
        MsgOut::new(Ppid::ASAP, Message::EndpointKeepAlive(message).to_octets().unwrap())
    };
    element.send(keep_alive(true)).await.unwrap();
    wait_for_state(&mut exporter, State::Draining).await;
    assert_eq!(exporter.cards.len(), 1, "it is told whom to turn to");
    assert!(collector.http("/readyz?verbose").contains("drained"), "{}", collector.http("/readyz?verbose"));
    assert_eq!(collector.metric("ipfix_collector_pool_registered{pool=\"ipfix\"}"), 1.0);
    exporter.flows.flows(10..20);
    exporter.send().await;
    exporter.wait_for(0..20).await;

    element.send(keep_alive(false)).await.unwrap();
    wait_for_state(&mut exporter, State::Ok).await;
    collector.wait_until_ready();
}
