//! Filters of packets in tcpdump's syntax (pcap-filter(7)).
//!
//! tcpdump is what knows this syntax: it is asked for the program (`tcpdump -ddd`), once for each link layer. So an exporter needs no C
//! library, and only one that filters needs tcpdump installed. Loads of what is not in the packet (`inbound`, `ifindex`) are refused.

use std::io;
use std::process::{Command, Stdio};

use super::bpf::{Instruction, Program, ProgramError};
use super::{LinkType, Packet};

/// Link layers as tcpdump names them, in the order of [`LinkType`].
const LINKS: [(LinkType, &str); 5] = [
    (LinkType::Null, "NULL"),
    (LinkType::Ethernet, "EN10MB"),
    (LinkType::RawIp, "RAW"),
    (LinkType::LinuxSll, "LINUX_SLL"),
    (LinkType::LinuxSll2, "LINUX_SLL2"),
];

/// Chooses packets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filter {
    /// In the order of [`LINKS`]; none where the expression makes no sense, such as a MAC address where there are none.
    programs: [Option<Program>; LINKS.len()],
    heeds_tags: bool,
}

/// Why an expression is no filter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// tcpdump cannot be run.
    #[error("tcpdump, which compiles filters, cannot be run (Debian: tcpdump)")]
    Tcpdump(#[source] io::Error),
    /// tcpdump does not understand it; in its words.
    #[error("{0}")]
    Expression(String),
    /// What tcpdump tells is no program.
    #[error("tcpdump told no program: `{0}`")]
    Output(String),
    /// The program cannot be run here.
    #[error("not supported")]
    Program(#[from] ProgramError),
}

impl Filter {
    /// Compiles an expression, for Ethernet and for as many of the other link layers as it makes sense for.
    ///
    /// Fails where it is wrong, where it asks for what is not in packets, and without tcpdump.
    pub fn compile(expression: &str) -> Result<Self, FilterError> {
        let mut programs = [const { None }; LINKS.len()];
        for ((link, name), program) in LINKS.into_iter().zip(&mut programs) {
            match compile(name, expression) {
                Err(FilterError::Expression(_)) if link != LinkType::Ethernet => {}
                compiled => *program = Some(compiled?),
            }
        }
        Ok(Self {
            programs,
            heeds_tags: expression.split(|c: char| !c.is_alphanumeric()).any(|word| word == "vlan"),
        })
    }

    /// Returns the program for packets of a link layer; none if it chooses none of them.
    pub fn program(&self, link: LinkType) -> Option<&Program> {
        self.programs[link as usize].as_ref()
    }

    /// Tells whether it looks at VLAN tags, which the kernel's own filters do not find in a packet.
    pub fn heeds_tags(&self) -> bool {
        self.heeds_tags
    }

    /// Tells whether it chooses a packet.
    pub fn chooses(&self, packet: &Packet<'_>) -> bool {
        self.program(packet.link)
            .is_some_and(|program| program.chooses(packet.octets, packet.original_length))
    }
}

fn compile(link: &str, expression: &str) -> Result<Program, FilterError> {
    let output = Command::new("tcpdump")
        .args(["-y", link, "-ddd", "--", expression])
        .stdin(Stdio::null())
        .output()
        .map_err(FilterError::Tcpdump)?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        let told = told.lines().last().unwrap_or_default().trim_start_matches("tcpdump: ");
        return Err(FilterError::Expression(told.to_owned()));
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// Reads the number of instructions and then, one a line, code, jumps and constant of each.
fn parse(text: &str) -> Result<Program, FilterError> {
    let mut lines = text.lines();
    let count = lines.next().and_then(|line| line.parse::<usize>().ok());
    let instructions: Option<Vec<Instruction>> = lines.map(instruction).collect();
    match (count, instructions) {
        (Some(count), Some(instructions)) if instructions.len() == count => Ok(Program::new(instructions)?),
        _ => Err(FilterError::Output(text.lines().next().unwrap_or_default().to_owned())),
    }
}

fn instruction(line: &str) -> Option<Instruction> {
    let mut fields = line.split(' ');
    let mut next = || fields.next()?.parse::<u32>().ok();
    let (code, if_true, if_false, k) = (next()?, next()?, next()?, next()?);
    Some(Instruction::jump(code.try_into().ok()?, k, if_true.try_into().ok()?, if_false.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_layers_are_in_the_order_of_their_type() {
        assert!(LINKS.iter().enumerate().all(|(index, (link, _))| *link as usize == index));
    }

    #[test]
    fn what_tcpdump_prints_is_a_program() {
        let program = parse("3\n40 0 0 12\n21 0 0 2048\n6 0 0 262144\n").unwrap();
        assert_eq!(program.instructions()[1], Instruction::jump(21, 2048, 0, 0));
        for wrong in ["", "2\n6 0 0 0\n", "1\n6 0 0\n", "1\n6 0 0 x\n", "1\n65536 0 0 0\n"] {
            assert!(matches!(parse(wrong), Err(FilterError::Output(_))), "{wrong}");
        }
        // `inbound` asks the kernel.
        let error = parse("2\n40 0 0 4294963204\n6 0 0 1\n").unwrap_err();
        assert!(matches!(error, FilterError::Program(ProgramError::Instruction { at: 0, .. })), "{error:?}");
    }
}
