use super::*;
use crate::ControlProtocol;
use crate::wire::asap::announce::ServerAnnounce;

fn announcing(encapsulation: u16) -> Bench {
    let transport = element(&[HERE]).user_transport;
    let announce = Some(Announcement { transports: vec![transport], encapsulation });
    Bench::new(RegistrarConfig { announce, ..RegistrarConfig::default() })
}

/// What is announced until `duration` has passed.
fn announced(bench: &mut Bench, duration: Duration) -> Vec<ServerAnnounce> {
    let end = bench.now + duration;
    let mut announced = Vec::new();
    while let Some(at) = bench.registrar.poll_timeout().filter(|at| *at <= end) {
        bench.now = at;
        bench.registrar.handle_timeout(at);
        while let Some(output) = bench.registrar.poll_output() {
            if let Output::Announce { protocol: ControlProtocol::Asap, octets } = output {
                let Message::ServerAnnounce(announce) = Message::decode(&octets).unwrap() else { panic!() };
                announced.push(announce);
            }
        }
    }
    announced
}

#[test]
fn a_registrar_alone_announces_itself_about_once_a_second() {
    let mut bench = announcing(9899);
    bench.registrar.start(bench.now);
    let announced = announced(&mut bench, Duration::from_secs(20));
    assert!((14..=30).contains(&announced.len()), "{}", announced.len());
    assert_eq!((announced[0].registrar, announced[0].transports.len()), (RegistrarId(0x0b), 1));
    assert_eq!(announced[0].encapsulation(), None);
}

#[test]
fn an_unusual_encapsulation_port_is_told() {
    let mut bench = announcing(9898);
    bench.registrar.start(bench.now);
    assert_eq!(announced(&mut bench, Duration::ZERO)[0].encapsulation(), Some(9898));
}

#[test]
fn nothing_is_announced_by_default_nor_at_the_end() {
    let mut silent = Bench::default();
    silent.registrar.start(silent.now);
    assert_eq!(announced(&mut silent, Duration::from_secs(10)), []);
    let mut bench = announcing(9899);
    bench.registrar.start(bench.now);
    bench.registrar.leave(bench.now);
    assert_eq!(announced(&mut bench, Duration::from_secs(10)), []);
}
