//! Two ends that connect to each other from and to the same port at once, over a path slow enough that their INITs
//! cross (RFC 9260 section 5.2.1).

use std::net::IpAddr;
use std::time::Duration;

use transport::{
    Association, ConnectOptions, Endpoint, EndpointConfig, Event, MsgOut, PeerAddress, Ppid, Stack,
};

use crate::end::{End, Spec};
use crate::net::{Net, Offloads};
use crate::roles::tell;

const PORT: u16 = 9901;
const TIMES: u32 = 5;
const LIMIT: Duration = Duration::from_secs(60);

/// Both ends in one process, so that they begin at once; the loopback between them is slow.
pub(crate) async fn collide() {
    let ip = |host| IpAddr::from([127, 0, 0, host]);
    let endpoint = |host| {
        let mut config = EndpointConfig::new(ip(host));
        config.stack = Stack::Kernel;
        Endpoint::bind(config).unwrap()
    };
    let (left, right) = (endpoint(1), endpoint(2));
    let _listeners = (left.listen(PORT).await.unwrap(), right.listen(PORT).await.unwrap());
    let natively = |host| [PeerAddress::Sctp { ip: ip(host), port: PORT, encapsulation: None }];
    let options = ConnectOptions::from_port(PORT);
    let (to_left, to_right) = (natively(1), natively(2));
    for _ in 0..TIMES {
        let to_right = left.connect_with(&to_right, options);
        let (a, b) = tokio::join!(to_right, right.connect_with(&to_left, options));
        let (mut a, mut b) = (a.unwrap(), b.unwrap());
        cross(&a, &mut b).await;
        cross(&b, &mut a).await;
        a.shutdown(LIMIT).await.unwrap();
        while !matches!(b.recv().await, Event::Lost(_)) {}
    }
    tell("collided");
}

async fn cross(from: &Association, to: &mut Association) {
    from.send(MsgOut::new(Ppid::ENRP, vec![7; 20])).await.unwrap();
    loop {
        match to.recv().await {
            Event::Message(_) => return,
            Event::Lost(reason) => panic!("{reason}"),
            _ => {}
        }
    }
}

#[test]
#[ignore = "needs root and kernel SCTP"]
fn a_collision_in_the_kernel_gives_one_association() {
    let net = Net::new(0, Offloads::Off);
    net.left.run("tc", &["qdisc", "add", "dev", "lo", "root", "netem", "delay", "100ms"]);
    let spec = Spec { role: "collide", stack: Stack::Kernel, profile: "fast", ipv6: false };
    End::start(&net.left, spec, None).expect("collided", LIMIT);
}
