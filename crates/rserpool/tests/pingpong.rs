//! Ping-pong over a pool with real sockets goes on when the element in use is killed.

#[path = "../examples/pingpong.rs"]
#[allow(unreachable_pub, reason = "an example of its own")]
mod pingpong;
mod world;

use rserpool::PeId;
use tokio::time::timeout;

use world::pool::{Pool, handle};
use world::{Net, PATIENCE};

#[tokio::test]
async fn ping_pong_goes_on_at_another_element_where_the_killed_one_stopped() {
    let net = Net::random();
    let pool = Pool::new(net).await;
    let serve = |host: u8| {
        let (pe, registrars) = (PeId(host.into()), pool.registrars());
        (pe, tokio::spawn(pingpong::serve(net.host(host), pe, handle(), registrars)))
    };
    let mut elements = vec![serve(2), serve(3)];
    let mut session = pingpong::session(net.host(4), handle(), pool.registrars()).unwrap();
    let mut used = Vec::new();
    let playing = pingpong::play(&mut session, 10, |round, pe| {
        used.push(pe);
        if round == 4 {
            elements.retain(|(id, task)| {
                if *id == pe {
                    task.abort();
                }
                *id != pe
            });
        }
    });
    let count = timeout(PATIENCE, playing).await.expect("the game goes on");
    assert_eq!(count, 10, "the cookie told the second element how far the first one was");
    let (first, second) = used.split_at(4);
    assert!(first.iter().all(|pe| *pe == first[0]) && second.iter().all(|pe| *pe == second[0]), "{used:?}");
    assert_ne!(first[0], second[0]);
}
