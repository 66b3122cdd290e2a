//! Messages as a router sends them: 30 records each of two templates with 24 fields, a quarter of them IPv6;
//! sampling options now and then.

use ipfix::Header;

pub(crate) const V4: [(u16, u16); 24] = [
    (8, 4),
    (12, 4),
    (15, 4),
    (10, 4),
    (14, 4),
    (2, 8),
    (1, 8),
    (152, 8),
    (153, 8),
    (7, 2),
    (11, 2),
    (6, 2),
    (4, 1),
    (5, 1),
    (9, 1),
    (13, 1),
    (16, 4),
    (17, 4),
    (58, 2),
    (136, 1),
    (61, 1),
    (192, 1),
    (32, 2),
    (48, 2),
];
const V6: [(u16, u16); 24] = [
    (27, 16),
    (28, 16),
    (62, 16),
    (10, 4),
    (14, 4),
    (2, 8),
    (1, 8),
    (152, 8),
    (153, 8),
    (7, 2),
    (11, 2),
    (6, 2),
    (4, 1),
    (5, 1),
    (29, 1),
    (30, 1),
    (16, 4),
    (17, 4),
    (58, 2),
    (136, 1),
    (61, 1),
    (192, 1),
    (139, 2),
    (48, 2),
];
const SAMPLING: [(u16, u16); 3] = [(149, 4), (34, 4), (35, 1)];

const MESSAGES: u32 = 10_000;
const PER_MESSAGE: [(u16, usize); 2] = [(256, 22), (257, 8)];
const TEMPLATES_EVERY: u32 = 1000;

/// Messages back to back.
pub(crate) struct Corpus {
    pub(crate) octets: Vec<u8>,
    pub(crate) records: usize,
}

impl Corpus {
    /// Reads the file named by `IPFIX_CORPUS`, or generates messages.
    pub(crate) fn load() -> Self {
        let octets = match std::env::var_os("IPFIX_CORPUS") {
            Some(path) => std::fs::read(path).expect("IPFIX_CORPUS is a readable file"),
            None => generate(),
        };
        let (records, _) = crate::floor::copy(&octets);
        Self { octets, records: usize::try_from(records).expect("64 bits") }
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.octets[..];
        std::iter::from_fn(move || {
            let length = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]);
            let (message, after) = rest.split_at_checked(length.into())?;
            rest = after;
            Some(message)
        })
    }
}

fn generate() -> Vec<u8> {
    let mut random = Random(7);
    let mut out = Vec::new();
    let mut sequence = 0;
    for number in 0..MESSAGES {
        let start = out.len();
        out.resize(start + Header::LENGTH, 0);
        let mut records = 0;
        if number % TEMPLATES_EVERY == 0 {
            set(&mut out, 2, |out| {
                template(out, 256, &V4, None);
                template(out, 257, &V6, None);
            });
            set(&mut out, 3, |out| template(out, 258, &SAMPLING, Some(1)));
            set(&mut out, 258, |out| out.extend([0, 0, 0, 0, 0, 0, 0, 100, 1]));
            records += 1;
        }
        for (id, count) in PER_MESSAGE {
            let fields = if id == 256 { &V4 } else { &V6 };
            set(&mut out, id, |out| {
                for _ in 0..count {
                    fields.iter().for_each(|&(id, length)| random.field(out, id, length));
                    records += 1;
                }
            });
        }
        let length = u16::try_from(out.len() - start).expect("30 records fit in a message");
        let header = Header { length, export_time: 1_750_000_000 + number / 200, sequence, domain: 0 };
        out[start..start + Header::LENGTH].copy_from_slice(&header.to_octets());
        sequence += records;
    }
    out
}

fn set(out: &mut Vec<u8>, id: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(id.to_be_bytes());
    out.extend([0, 0]);
    body(out);
    let length = u16::try_from(out.len() - start).expect("a set fits in a message");
    out[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn template(out: &mut Vec<u8>, id: u16, fields: &[(u16, u16)], scope_fields: Option<u16>) {
    out.extend(id.to_be_bytes());
    out.extend(u16::try_from(fields.len()).expect("few fields").to_be_bytes());
    out.extend(scope_fields.into_iter().flat_map(u16::to_be_bytes));
    for (id, length) in fields {
        out.extend(id.to_be_bytes());
        out.extend(length.to_be_bytes());
    }
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn field(&mut self, out: &mut Vec<u8>, id: u16, length: u16) {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        match (id, length) {
            (1 | 2, _) => out.extend((1 + self.0 % 150_000).to_be_bytes()),
            (152 | 153, _) => out.extend((1_750_000_000_000 + self.0 % 60_000).to_be_bytes()),
            (_, 16) => out.extend((0x2001_0db8 << 96 | u128::from(self.0)).to_be_bytes()),
            (_, length) => out.extend_from_slice(&self.0.to_be_bytes()[8 - usize::from(length)..]),
        }
    }
}
