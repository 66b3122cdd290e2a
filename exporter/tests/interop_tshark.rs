//! tshark reads every message that is exported over UDP without complaint.

mod direct;

use std::net::UdpSocket;

use direct::{Directory, address, config, export, metered};
use pcap_fixtures::{DEMO, IPV6, MIXED, fixture, ipfix_datagrams, tshark};

#[test]
#[ignore = "needs tshark"]
fn every_message_over_udp_is_read_without_complaint() {
    for (name, more) in [
        (DEMO, "max-message = \"1400B\""),
        (IPV6, "max-message = \"512B\""),
        (MIXED, "template-refresh-packets = 1"),
    ] {
        let (directory, capture) = (Directory::new(), fixture(name));
        let socket = UdpSocket::bind((address(), 0)).unwrap();
        let end = export(&directory, &config(&capture, "speed = 0", socket.local_addr().unwrap(), more));
        socket.set_nonblocking(true).unwrap();
        let mut datagram = vec![0; 65_536];
        let messages: Vec<Vec<u8>> =
            std::iter::from_fn(|| socket.recv(&mut datagram).ok().map(|length| datagram[..length].to_vec()))
                .collect();
        assert_eq!(messages.len() as u64, end.number("messages"), "some did not fit in the socket");
        let file = ipfix_datagrams(&messages);
        let Some(complaints) = tshark(&file, &["-Y", "_ws.malformed || _ws.expert"]) else { return };
        assert_eq!(complaints, "", "{name}");
        let fields = ["-T", "fields", "-e", "cflow.version", "-e", "cflow.srcaddr", "-e", "cflow.srcaddrv6"];
        let Some(read) = tshark(&file, &fields) else { return };
        let rows: Vec<Vec<&str>> = read.lines().map(|line| line.split('\t').collect()).collect();
        assert!(rows.len() == messages.len() && rows.iter().all(|row| row[0] == "10"), "{read}");
        let flows = rows.iter().flat_map(|row| row[1..].iter().flat_map(|column| column.split(',')));
        let flows = flows.filter(|address| !address.is_empty()).count();
        assert_eq!(flows, metered(&capture).values().sum::<u32>() as usize, "{name}");
    }
}
