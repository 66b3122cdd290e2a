//! Packets that belong to no association (RFC 9260 section 8.4).

use tokio::net::UdpSocket;

use crate::tap::{counted, endpoint};
use crate::wire::packet;

#[tokio::test]
async fn answers_out_of_the_blue_are_few_and_never_an_abort_for_an_abort() {
    let server = endpoint();
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..50 {
        attacker.send_to(&packet(5, 6, 7, &[6, 0, 0, 4]), server.local_address()).await.unwrap();
    }
    let counters = counted(&server, |c| c.out_of_the_blue == 50).await;
    assert_eq!((counters.out_of_the_blue_answers, counters.answers_suppressed), (0, 0));
    for _ in 0..300 {
        attacker.send_to(&packet(5, 6, 7, &[0, 3, 0, 4]), server.local_address()).await.unwrap();
    }
    let counters = counted(&server, |c| c.out_of_the_blue == 350).await;
    assert!((100..=200).contains(&counters.out_of_the_blue_answers), "{counters:?}");
    let mut buffer = [0; 100];
    let n = attacker.recv(&mut buffer).await.unwrap();
    assert_eq!(buffer[..n], packet(6, 5, 7, &[6, 1, 0, 4]), "an ABORT that reflects the tag");
}

#[tokio::test]
async fn a_lost_shutdown_complete_is_repeated_for_an_association_long_gone() {
    let server = endpoint();
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    attacker.send_to(&packet(5, 6, 7, &[8, 0, 0, 4]), server.local_address()).await.unwrap();
    let mut buffer = [0; 100];
    let n = attacker.recv(&mut buffer).await.unwrap();
    assert_eq!(buffer[..n], packet(6, 5, 7, &[14, 1, 0, 4]));
}
