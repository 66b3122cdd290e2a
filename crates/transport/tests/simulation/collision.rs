//! Two ends that connect to each other from and to the same ports at about the same time (RFC 9260 section 5.2.1).

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use transport::{Association, ConnectError, Event, MsgOut, Ppid, Profile};

use crate::world::{Path, World, now_or_never, short_queues};

const PORT: u16 = 9901;
/// One way, in milliseconds.
const DELAY: u64 = 50;
/// Of a million.
const LOSS: u32 = 200_000;

/// How a side came by its association.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    Connecting,
    Accepting,
}

/// The two ends connect one after the other, so many milliseconds apart. Returns how each came by its association,
/// after a message crossed in both directions.
fn collide(seed: u64, apart: u64, loss: u32) -> Option<[By; 2]> {
    let path = Path { delay: Duration::from_millis(DELAY), loss };
    let mut world = World::apart(seed, path, |side| short_queues(side, &Profile::rfc()));
    let mut accepted = [0, 1].map(|side: usize| {
        let (incoming, accepted) = mpsc::channel(4);
        world.ends[side].listen(PORT, incoming).unwrap();
        accepted
    });
    let mut answers = [0, 1].map(|side: usize| {
        let (reply, answer) = oneshot::channel();
        let to = world.ends[1 - side].address(PORT);
        world.ends[side].connect_from(world.now, PORT, to, reply);
        if side == 0 {
            world.run(Duration::from_millis(apart));
        }
        answer
    });
    world.run(Duration::from_secs(60));
    let mut by = Vec::new();
    for side in [0, 1] {
        let connected = answers[side].try_recv().unwrap();
        let mut come: Vec<Association> = std::iter::from_fn(|| accepted[side].try_recv().ok()).collect();
        let (how, association) = match connected {
            Ok(association) => (By::Connecting, association),
            Err(ConnectError::Exists(_)) => (By::Accepting, come.pop()?),
            // Lost so often that it gave up.
            Err(ConnectError::TimedOut(_)) => return None,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        assert!(come.is_empty(), "seed {seed}: side {side} has further associations: {come:?}");
        assert_eq!(world.ends[side].associations(), 1, "seed {seed}: side {side}");
        by.push(how);
        world.associations.push(association);
    }
    for side in [0, 1] {
        world.associations[side].try_send(MsgOut::new(Ppid::ENRP, vec![7; 100])).unwrap();
    }
    world.run(Duration::from_secs(60));
    for side in [0, 1] {
        let events: Vec<Event> =
            std::iter::from_fn(|| now_or_never(world.associations[side].recv())).collect();
        let messages = events.iter().filter(|event| matches!(event, Event::Message(_))).count();
        let ended = events.iter().any(|event| matches!(event, Event::Lost(_) | Event::Restarted));
        assert!(messages == 1 && !ended, "seed {seed}: side {side}: {events:?}");
    }
    by.try_into().ok()
}

#[test]
fn a_collision_gives_one_association_however_the_packets_cross() {
    // From one way on the INIT was answered before, from no memory; with the COOKIE ECHO, two ways later, the
    // association is there.
    for apart in 0..3 * DELAY {
        assert_eq!(collide(1, apart, 0), Some([By::Connecting; 2]), "{apart} ms apart");
    }
    assert_eq!(collide(1, 3 * DELAY, 0), Some([By::Connecting, By::Accepting]));
}

#[test]
fn a_collision_with_losses_gives_one_association_over_500_seeds() {
    let made = (0..500).filter(|&seed| collide(seed, seed % (5 * DELAY), LOSS).is_some()).count();
    assert!(made >= 450, "{made} of 500");
}
