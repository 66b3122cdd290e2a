//! Writes captures into memory: pcap and pcapng, in both byte orders.

/// Writes a pcap file.
#[derive(Clone, Debug)]
pub struct PcapWriter {
    /// The file so far.
    pub octets: Vec<u8>,
    big_endian: bool,
    nanoseconds: bool,
    snaplen: u32,
}

impl PcapWriter {
    /// Begins an Ethernet capture in little endian with microseconds and packets cut at `snaplen`.
    pub fn new(snaplen: u32) -> Self {
        Self::with(false, false, snaplen, 1)
    }

    /// Begins a capture in any byte order, resolution and link type.
    pub fn with(big_endian: bool, nanoseconds: bool, snaplen: u32, link: u32) -> Self {
        let mut file = Self { octets: Vec::new(), big_endian, nanoseconds, snaplen };
        file.u32(if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 });
        file.u16(2);
        file.u16(4);
        for field in [0, 0, snaplen, link] {
            file.u32(field);
        }
        file
    }

    /// Appends a packet seen at `timestamp`, in nanoseconds since the Unix epoch.
    #[expect(clippy::cast_possible_truncation, reason = "the format has 32 bits for each")]
    pub fn packet(&mut self, timestamp: u64, frame: &[u8]) {
        let fraction = timestamp % 1_000_000_000 / if self.nanoseconds { 1 } else { 1_000 };
        let captured = (frame.len() as u32).min(self.snaplen);
        for field in [(timestamp / 1_000_000_000) as u32, fraction as u32, captured, frame.len() as u32] {
            self.u32(field);
        }
        self.octets.extend(&frame[..captured as usize]);
    }

    fn u16(&mut self, value: u16) {
        self.octets.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn u32(&mut self, value: u32) {
        self.octets.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }
}

/// Writes a pcapng file block by block.
#[derive(Clone, Debug)]
pub struct PcapNgWriter {
    /// The file so far.
    pub octets: Vec<u8>,
    big_endian: bool,
}

impl PcapNgWriter {
    /// Begins a file with one section.
    pub fn new(big_endian: bool) -> Self {
        let mut file = Self { octets: Vec::new(), big_endian };
        file.section(big_endian);
        file
    }

    /// Begins another section, perhaps in another byte order.
    pub fn section(&mut self, big_endian: bool) {
        self.big_endian = big_endian;
        let mut body = self.field(0x1a2b_3c4d).to_vec();
        body.extend(self.short(1));
        body.extend(self.short(0));
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body);
    }

    /// Describes the next interface; `options` are codes and values.
    #[expect(clippy::cast_possible_truncation, reason = "an option has 16 bits for its length")]
    pub fn interface(&mut self, link: u16, snaplen: u32, options: &[(u16, &[u8])]) {
        let mut body = self.short(link).to_vec();
        body.extend([0, 0]);
        body.extend(self.field(snaplen));
        for (code, value) in options {
            body.extend(self.short(*code));
            body.extend(self.short(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
        self.block(1, &body);
    }

    /// Appends an Enhanced Packet Block; `time` is in units of the interface.
    #[expect(clippy::cast_possible_truncation, reason = "the format has 32 bits for each")]
    pub fn packet(&mut self, interface: u32, time: u64, frame: &[u8], original_length: u32) {
        let fields = [interface, (time >> 32) as u32, time as u32, frame.len() as u32, original_length];
        let mut body: Vec<u8> = fields.iter().flat_map(|&field| self.field(field)).collect();
        body.extend(frame);
        body.resize(body.len().next_multiple_of(4), 0);
        self.block(6, &body);
    }

    /// Appends a Simple Packet Block.
    pub fn simple_packet(&mut self, frame: &[u8], original_length: u32) {
        let mut body = self.field(original_length).to_vec();
        body.extend(frame);
        body.resize(body.len().next_multiple_of(4), 0);
        self.block(3, &body);
    }

    /// Appends a block of any type; `body` is a multiple of 4 octets.
    #[expect(clippy::cast_possible_truncation, reason = "the format has 32 bits for it")]
    pub fn block(&mut self, kind: u32, body: &[u8]) {
        let length = self.field(body.len() as u32 + 12);
        let kind = self.field(kind);
        self.octets.extend(kind);
        self.octets.extend(length);
        self.octets.extend(body);
        self.octets.extend(length);
    }

    fn short(&self, value: u16) -> [u8; 2] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn field(&self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}
