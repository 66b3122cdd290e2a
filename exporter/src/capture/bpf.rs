//! Classic BPF: the programs by which packet sockets choose packets (Documentation/networking/filter.rst of Linux), and a machine that
//! runs them where there is no socket.
//!
//! A program is checked once, so that running it needs no checks but those of the packet's length: jumps go forward and stay
//! inside, the last instruction returns, there is no other instruction than those known here. Linux's extensions (loads from
//! negative offsets) are not known.

/// Instructions of a program at most (BPF_MAXINSNS).
pub const MAX_INSTRUCTIONS: usize = 4_096;
/// Words of scratch memory.
const MEMORY: usize = 16;

/// One instruction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Instruction {
    /// Class, size, mode, operation.
    pub code: u16,
    /// Instructions passed over where a condition holds.
    pub if_true: u8,
    /// And where it does not.
    pub if_false: u8,
    /// The constant.
    pub k: u32,
}

impl Instruction {
    /// An instruction that is no conditional jump.
    pub const fn new(code: u16, k: u32) -> Self {
        Self { code, if_true: 0, if_false: 0, k }
    }

    /// A conditional jump.
    pub const fn jump(code: u16, k: u32, if_true: u8, if_false: u8) -> Self {
        Self { code, if_true, if_false, k }
    }
}

/// A program: how many octets to keep of a packet, none for "not this one".
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Program(Vec<Instruction>);

/// Why a program cannot be run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// None or too many instructions.
    #[error("{0} instructions are not within 1 to {MAX_INSTRUCTIONS}")]
    Length(usize),
    /// An instruction that is not known, or divides by zero, or names memory there is not.
    #[error("instruction {at}: {code:#06x} with {k:#x} is not supported")]
    Instruction {
        /// Its number, from 0.
        at: usize,
        /// Its code.
        code: u16,
        /// Its constant.
        k: u32,
    },
    /// A jump leaves the program.
    #[error("instruction {at}: jumps out of the program")]
    Jump {
        /// Its number, from 0.
        at: usize,
    },
    /// The last instruction does not return.
    #[error("does not end with a return")]
    End,
}

/// Codes of instructions, as in linux/filter.h and linux/bpf_common.h.
mod code {
    pub(super) const CLASS: u16 = 0x07;
    pub(super) const LD: u16 = 0x00;
    pub(super) const LDX: u16 = 0x01;
    pub(super) const ST: u16 = 0x02;
    pub(super) const STX: u16 = 0x03;
    pub(super) const ALU: u16 = 0x04;
    pub(super) const JMP: u16 = 0x05;
    pub(super) const RET: u16 = 0x06;
    pub(super) const MISC: u16 = 0x07;
    /// Sizes of what is loaded.
    pub(super) const W: u16 = 0x00;
    pub(super) const H: u16 = 0x08;
    pub(super) const B: u16 = 0x10;
    /// Where it is loaded from.
    pub(super) const IMM: u16 = 0x00;
    pub(super) const ABS: u16 = 0x20;
    pub(super) const IND: u16 = 0x40;
    pub(super) const MEM: u16 = 0x60;
    pub(super) const LEN: u16 = 0x80;
    pub(super) const MSH: u16 = 0xa0;
    /// The second operand is X, not the constant; what is returned is A.
    pub(super) const X: u16 = 0x08;
    pub(super) const A: u16 = 0x10;
    /// Arithmetic, in the order of their numbers from 0 in steps of 0x10.
    pub(super) const ADD: u16 = 0x00;
    pub(super) const SUB: u16 = 0x10;
    pub(super) const MUL: u16 = 0x20;
    pub(super) const DIV: u16 = 0x30;
    pub(super) const OR: u16 = 0x40;
    pub(super) const AND: u16 = 0x50;
    pub(super) const LSH: u16 = 0x60;
    pub(super) const RSH: u16 = 0x70;
    pub(super) const MOD: u16 = 0x90;
    pub(super) const XOR: u16 = 0xa0;
    /// Jumps.
    pub(super) const JA: u16 = 0x00;
    pub(super) const JEQ: u16 = 0x10;
    pub(super) const JGT: u16 = 0x20;
    pub(super) const JGE: u16 = 0x30;
    pub(super) const JSET: u16 = 0x40;
    /// Between the registers.
    pub(super) const TXA: u16 = 0x80;
}

impl Program {
    /// Keeps so many octets of every packet.
    pub fn keep(octets: u32) -> Self {
        Self(vec![Instruction::new(code::RET, octets)])
    }

    /// Takes a program that can be run.
    pub fn new(instructions: Vec<Instruction>) -> Result<Self, ProgramError> {
        let count = instructions.len();
        if !(1..=MAX_INSTRUCTIONS).contains(&count) {
            return Err(ProgramError::Length(count));
        }
        for (at, instruction) in instructions.iter().enumerate() {
            let &Instruction { code, k, .. } = instruction;
            if !instruction.is_known() {
                return Err(ProgramError::Instruction { at, code, k });
            }
            if instruction.farthest().is_some_and(|far| far as usize >= count - 1 - at) {
                return Err(ProgramError::Jump { at });
            }
        }
        match instructions.last() {
            Some(last) if last.code & code::CLASS == code::RET => Ok(Self(instructions)),
            _ => Err(ProgramError::End),
        }
    }

    /// Returns the instructions, at least one and at most [`MAX_INSTRUCTIONS`].
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }

    /// Keeps no more than so many octets of the packets it chooses. What is computed at run time stays as it is.
    pub fn limit(&mut self, octets: u32) {
        for instruction in self.0.iter_mut().filter(|instruction| instruction.code == code::RET) {
            instruction.k = instruction.k.min(octets);
        }
    }

    /// Tells whether it chooses a packet of which `octets` were captured, from the link layer header on.
    pub fn chooses(&self, octets: &[u8], original_length: u32) -> bool {
        // A load from beyond the packet refuses it.
        self.run(octets, original_length).is_some_and(|keep| keep > 0)
    }

    fn run(&self, octets: &[u8], length: u32) -> Option<u32> {
        use code::{ALU, CLASS, JMP, LD, LDX, MISC, RET, ST, STX, TXA};
        let (mut a, mut x, mut memory) = (0_u32, 0_u32, [0_u32; MEMORY]);
        let mut at = 0;
        loop {
            let instruction = self.0.get(at)?;
            let &Instruction { code, k, .. } = instruction;
            at += 1;
            match code & CLASS {
                LD => a = load(instruction, octets, length, x, &memory)?,
                LDX => x = load(instruction, octets, length, x, &memory)?,
                ST => *memory.get_mut(k as usize)? = a,
                STX => *memory.get_mut(k as usize)? = x,
                ALU => a = compute(code, a, if code & code::X == 0 { k } else { x })?,
                JMP => at += jump(instruction, a, if code & code::X == 0 { k } else { x }),
                RET => return Some(if code & code::A == 0 { k } else { a }),
                MISC if code & TXA == 0 => x = a,
                _ => a = x,
            }
        }
    }
}

impl Instruction {
    fn is_known(&self) -> bool {
        use code::*;
        let (size, mode, operation) = (self.code & 0x18, self.code & 0xe0, self.code & 0xf0);
        let in_memory = (self.k as usize) < MEMORY;
        match self.code & CLASS {
            LD => match mode {
                // Negative offsets are the kernel's extensions.
                ABS => size != 0x18 && self.k.cast_signed() >= 0,
                IND => size != 0x18,
                IMM | LEN => size == W,
                MEM => size == W && in_memory,
                _ => false,
            },
            LDX => match mode {
                IMM | LEN => size == W,
                MEM => size == W && in_memory,
                MSH => size == B,
                _ => false,
            },
            ST | STX => self.code <= STX && in_memory,
            ALU => match operation {
                DIV | MOD => self.code & X != 0 || self.k != 0,
                LSH | RSH => self.code & X != 0 || self.k < 32,
                operation => operation <= XOR,
            },
            JMP => operation <= JSET && (operation != JA || self.code & X == 0),
            RET => self.code & !CLASS == 0 || self.code & !CLASS == A,
            _ => self.code & !CLASS == 0 || self.code & !CLASS == TXA,
        }
    }

    /// The longest way it jumps; none if it does not.
    fn farthest(&self) -> Option<u32> {
        match self.code & code::CLASS {
            code::JMP if self.code & 0xf0 == code::JA => Some(self.k),
            code::JMP => Some(u32::from(self.if_true.max(self.if_false))),
            _ => None,
        }
    }
}

#[inline]
fn load(
    instruction: &Instruction,
    octets: &[u8],
    length: u32,
    x: u32,
    memory: &[u32; MEMORY],
) -> Option<u32> {
    let &Instruction { code, k, .. } = instruction;
    let offset = match code & 0xe0 {
        code::IMM => return Some(k),
        code::LEN => return Some(length),
        code::MEM => return memory.get(k as usize).copied(),
        code::MSH => return Some(u32::from(octets.get(k as usize)? & 0x0f) * 4),
        code::IND => x.wrapping_add(k),
        _ => k,
    };
    let rest = octets.get(offset as usize..)?;
    match code & 0x18 {
        code::W => rest.first_chunk().map(|field| u32::from_be_bytes(*field)),
        code::H => rest.first_chunk().map(|field| u32::from(u16::from_be_bytes(*field))),
        _ => rest.first().copied().map(u32::from),
    }
}

/// None for a division by zero, which refuses the packet.
#[inline]
fn compute(code: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match code & 0xf0 {
        code::ADD => a.wrapping_add(operand),
        code::SUB => a.wrapping_sub(operand),
        code::MUL => a.wrapping_mul(operand),
        code::DIV => a.checked_div(operand)?,
        code::MOD => a.checked_rem(operand)?,
        code::OR => a | operand,
        code::AND => a & operand,
        code::XOR => a ^ operand,
        code::LSH => a.checked_shl(operand).unwrap_or(0),
        code::RSH => a.checked_shr(operand).unwrap_or(0),
        _ => a.wrapping_neg(),
    })
}

#[inline]
fn jump(instruction: &Instruction, a: u32, operand: u32) -> usize {
    let holds = match instruction.code & 0xf0 {
        code::JA => return instruction.k as usize,
        code::JEQ => a == operand,
        code::JGT => a > operand,
        code::JGE => a >= operand,
        _ => a & operand != 0,
    };
    usize::from(if holds { instruction.if_true } else { instruction.if_false })
}

#[cfg(test)]
mod tests;
