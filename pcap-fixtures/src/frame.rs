//! Builds packets header by header.

use std::net::{IpAddr, SocketAddr};

/// A packet to be written as octets. Checksums are zero: nothing here reads them.
#[derive(Clone, Debug)]
pub struct Frame {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    upper: Vec<u8>,
    tags: Vec<(u16, u16)>,
    extensions: Vec<(u8, Vec<u8>)>,
    options: Vec<u8>,
    /// In units of 8 octets.
    fragment_offset: u16,
    class_of_service: u8,
    ttl: u8,
}

/// Says that two addresses are not of one IP version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wrong;

impl Frame {
    /// Returns a packet of any protocol.
    pub fn ip(source: IpAddr, destination: IpAddr, protocol: u8, upper: Vec<u8>) -> Result<Self, Wrong> {
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(Wrong);
        }
        Ok(Self {
            source,
            destination,
            protocol,
            upper,
            tags: Vec::new(),
            extensions: Vec::new(),
            options: Vec::new(),
            fragment_offset: 0,
            class_of_service: 0,
            ttl: 64,
        })
    }

    /// Returns a TCP segment without data.
    pub fn tcp(source: SocketAddr, destination: SocketAddr, flags: u8) -> Result<Self, Wrong> {
        let mut upper = ports(source, destination);
        upper.extend([0; 8]);
        upper.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        Self::ip(source.ip(), destination.ip(), 6, upper)
    }

    /// Returns a UDP datagram without data.
    pub fn udp(source: SocketAddr, destination: SocketAddr) -> Result<Self, Wrong> {
        let mut upper = ports(source, destination);
        upper.extend([0, 8, 0, 0]);
        Self::ip(source.ip(), destination.ip(), 17, upper)
    }

    /// Returns an ICMP or ICMPv6 message without data.
    pub fn icmp(source: IpAddr, destination: IpAddr, kind: u8, code: u8) -> Result<Self, Wrong> {
        let protocol = if source.is_ipv4() { 1 } else { 58 };
        Self::ip(source, destination, protocol, vec![kind, code, 0, 0, 0, 0, 0, 0])
    }

    /// Appends data to what IP carries.
    #[must_use]
    pub fn payload(mut self, octets: usize) -> Self {
        self.upper.resize(self.upper.len() + octets, 0);
        self
    }

    /// Puts a VLAN tag inside those there are.
    #[must_use]
    pub fn tag(mut self, ethertype: u16, identifier: u16) -> Self {
        self.tags.push((ethertype, identifier));
        self
    }

    /// Puts an IPv6 extension header behind those there are; `octets` are what follows its first octet.
    #[must_use]
    pub fn extension(mut self, number: u8, octets: &[u8]) -> Self {
        self.extensions.push((number, octets.to_vec()));
        self
    }

    /// Adds IPv4 options, a multiple of 4 octets and at most 40.
    #[must_use]
    pub fn options(mut self, octets: &[u8]) -> Self {
        self.options = octets.to_vec();
        self
    }

    /// Makes it an IPv4 fragment at so many times 8 octets.
    #[must_use]
    pub fn fragment(mut self, offset: u16) -> Self {
        self.fragment_offset = offset;
        self
    }

    /// Sets the type of service or traffic class, and the time to live or hop limit.
    #[must_use]
    pub fn marked(mut self, class_of_service: u8, ttl: u8) -> Self {
        self.class_of_service = class_of_service;
        self.ttl = ttl;
        self
    }

    /// Returns the IP packet.
    pub fn packet(&self) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.ipv4(source.octets(), destination.octets()),
            (source, destination) => self.ipv6(&octets(source), &octets(destination)),
        }
    }

    /// Returns the Ethernet frame, without padding and frame check sequence.
    pub fn ethernet(&self) -> Vec<u8> {
        let mut out = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for (ethertype, identifier) in &self.tags {
            out.extend(ethertype.to_be_bytes());
            out.extend(identifier.to_be_bytes());
        }
        out.extend(if self.source.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
        out.extend(self.packet());
        out
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let mut out = vec![0x40 | low(header / 4), self.class_of_service];
        out.extend(low16(header + self.upper.len()).to_be_bytes());
        out.extend([0, 1]);
        out.extend(self.fragment_offset.to_be_bytes());
        out.extend([self.ttl, self.protocol, 0, 0]);
        out.extend(source);
        out.extend(destination);
        out.extend(&self.options);
        out.extend(&self.upper);
        out
    }

    fn ipv6(&self, source: &[u8], destination: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        let numbers = self.extensions.iter().map(|(number, _)| *number).chain([self.protocol]);
        let mut next = numbers.clone().skip(1);
        for (_, octets) in &self.extensions {
            body.extend(next.next());
            body.extend(octets);
        }
        body.extend(&self.upper);
        let mut out = vec![0x60 | self.class_of_service >> 4, self.class_of_service << 4, 0, 0];
        out.extend(low16(body.len()).to_be_bytes());
        out.extend(numbers.take(1));
        out.push(self.ttl);
        out.extend(source);
        out.extend(destination);
        out.extend(body);
        out
    }
}

fn ports(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a header length in words is below 16")]
const fn low(length: usize) -> u8 {
    length as u8
}

#[expect(clippy::cast_possible_truncation, reason = "a longer packet wraps, as it would on the wire")]
const fn low16(length: usize) -> u16 {
    length as u16
}
