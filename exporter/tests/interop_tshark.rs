//! tshark reads every message that is exported over UDP without complaint.

mod direct;

use std::io::{ErrorKind, Write as _};
use std::net::UdpSocket;
use std::process::{Command, Stdio};

use direct::{Directory, address, config, export, metered, skipped};
use pcap_fixtures::{DEMO, IPV6, MIXED, fixture};

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
        let file = to_capture(&messages);
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

/// Returns a capture file (LINKTYPE_RAW) of the messages as UDP datagrams to port 4739.
fn to_capture(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        out.extend(word.to_le_bytes());
    }
    for message in messages {
        let length = u16::try_from(message.len()).unwrap();
        for word in [0, 0, u32::from(length) + 28, u32::from(length) + 28] {
            out.extend(word.to_le_bytes());
        }
        // No checksums: tshark does not verify them unless told to.
        out.extend([0x45, 0]);
        out.extend((length + 28).to_be_bytes());
        out.extend([0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        out.extend([40_000_u16, 4_739, length + 8, 0].iter().flat_map(|word| word.to_be_bytes()));
        out.extend(message);
    }
    out
}

/// Returns tshark's output for a capture, or `None` where it is not installed, which has been said.
fn tshark(capture: &[u8], arguments: &[&str]) -> Option<String> {
    let spawned = Command::new("tshark")
        .args(["-n", "-r", "-", "-d", "udp.port==4739,cflow"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skipped("tshark");
            return None;
        }
        child => child.unwrap(),
    };
    let mut stdin = child.stdin.take().unwrap();
    let capture = capture.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&capture).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "tshark failed: {}", output.status);
    Some(String::from_utf8(output.stdout).unwrap())
}
