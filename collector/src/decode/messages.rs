//! Messages that lie back to back in a file: IPFIX (RFC 5655) and NetFlow versions 5, 7 and 9, told by their version field.
//!
//! IPFIX tells its length, versions 5 and 7 the number of their flows. Version 9 (RFC 3954) tells neither: a message goes on as
//! long as FlowSets do, and the next one begins where a FlowSet ID would be a version number: 5, 7, 9 and 10 are reserved as such.

use std::io::{self, Read};

use anyhow::{Context as _, bail};
use intake::netflow::Version;
use ipfix::{FIRST_TEMPLATE_ID, Header};

/// Octets of a version number and what follows it, or of a FlowSet's header.
const HEAD: usize = 4;
/// Octets of headers, and of a flow.
const V5: (usize, usize) = (24, 48);
const V7: (usize, usize) = (24, 52);
const V9: usize = 20;

/// Reads messages one by one.
pub(super) struct Messages<R> {
    input: R,
    /// What was read of the next message, to find the end of the last.
    ahead: Vec<u8>,
}

impl<R: Read> Messages<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, ahead: Vec::new() }
    }

    /// Reads the next message. Returns false at the end; fails where no message begins, or the file ends within one.
    pub(super) fn read(&mut self, message: &mut Vec<u8>) -> anyhow::Result<bool> {
        message.clear();
        message.append(&mut self.ahead);
        if message.is_empty() && !self.head(message)? {
            return Ok(false);
        }
        let [version, number] = [0, 2].map(|at| u16::from_be_bytes([message[at], message[at + 1]]));
        let flows = |(header, flow)| header + usize::from(number) * flow;
        match Version::from_number(version) {
            Some(Version::Ipfix) if usize::from(number) < Header::LENGTH => {
                bail!("octet 2: message length {number} is below {}", Header::LENGTH)
            }
            Some(Version::Ipfix) => self.fill(message, number.into())?,
            Some(Version::V5) => self.fill(message, flows(V5))?,
            Some(Version::V7) => self.fill(message, flows(V7))?,
            Some(Version::V9) => self.flow_sets(message)?,
            None => bail!("octet 0: version {version} is neither IPFIX's (10) nor NetFlow's (5, 7, 9)"),
        }
        Ok(true)
    }

    /// Reads FlowSets as long as there are any; zeros between them are padding.
    fn flow_sets(&mut self, message: &mut Vec<u8>) -> anyhow::Result<()> {
        self.fill(message, V9)?;
        loop {
            let start = message.len();
            if !self.head(message)? {
                return Ok(());
            }
            let [id, length] =
                [0, 2].map(|at| u16::from_be_bytes([message[start + at], message[start + at + 1]]));
            if (2..FIRST_TEMPLATE_ID).contains(&id) && Version::from_number(id).is_some() {
                self.ahead = message.split_off(start);
                return Ok(());
            }
            if (id, length) != (0, 0) {
                if usize::from(length) < HEAD {
                    bail!("octet {}: FlowSet length {length} is below {HEAD}", start + 2);
                }
                self.fill(message, start + usize::from(length))?;
            }
            if message.len() > usize::from(u16::MAX) {
                bail!("{} octets of FlowSets are more than a datagram has", message.len());
            }
        }
    }

    /// Appends four octets. Returns false if there are none at all.
    fn head(&mut self, message: &mut Vec<u8>) -> anyhow::Result<bool> {
        let start = message.len();
        let read = self.input.by_ref().take(HEAD as u64).read_to_end(message)?;
        if read > 0 && read < HEAD {
            bail!("the file ends within a header, at octet {}", start + read);
        }
        Ok(read > 0)
    }

    /// Reads on until there are so many octets.
    fn fill(&mut self, message: &mut Vec<u8>, octets: usize) -> anyhow::Result<()> {
        let start = message.len();
        message.resize(octets, 0);
        let read = message.get_mut(start..).map(|rest| self.input.read_exact(rest));
        read.unwrap_or(Err(io::ErrorKind::InvalidData.into())).context("the file ends within a message")
    }
}
