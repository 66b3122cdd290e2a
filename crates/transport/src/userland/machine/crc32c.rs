//! CRC32c, the checksum of SCTP packets (RFC 9260 appendix A).

const POLYNOMIAL: u32 = 0x82f6_3b78;

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut i = 0;
        while i < 256 {
            let previous = tables[k - 1][i];
            tables[k][i] = (previous >> 8) ^ tables[0][(previous & 0xff) as usize];
            i += 1;
        }
        k += 1;
    }
    tables
}

static TABLES: [[u32; 256]; 8] = tables();

fn update(mut crc: u32, octets: &[u8]) -> u32 {
    let (eights, rest) = octets.as_chunks::<8>();
    for eight in eights {
        let x = (u64::from_le_bytes(*eight) ^ u64::from(crc)).to_le_bytes();
        crc = (0..8).fold(0, |crc, i| crc ^ TABLES[7 - i][usize::from(x[i])]);
    }
    rest.iter().fold(crc, |crc, octet| (crc >> 8) ^ TABLES[0][usize::from(crc.to_le_bytes()[0] ^ octet)])
}

/// The checksum of a whole packet, its checksum field (octets 8 to 11) taken as zero.
pub(crate) fn checksum(packet: &[u8]) -> u32 {
    let crc = update(u32::MAX, &packet[..8]);
    let crc = update(crc, &[0; 4]);
    !update(crc, &packet[12..])
}

/// Writes the checksum into a packet.
pub(crate) fn seal(packet: &mut [u8]) {
    let crc = checksum(packet);
    packet[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// Whether the packet, of 12 octets at least, carries its checksum.
pub(crate) fn verify(packet: &[u8]) -> bool {
    packet[8..12] == checksum(packet).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::update;

    #[test]
    fn the_check_value_of_the_polynomial_is_met() {
        assert_eq!(!update(u32::MAX, b"123456789"), 0xe306_9283);
        assert_eq!(!update(u32::MAX, b"12345678"), 0x6087_809a);
    }
}
