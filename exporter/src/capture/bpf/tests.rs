use super::{Instruction, MAX_INSTRUCTIONS, Program, ProgramError};

const fn op(code: u16, k: u32) -> Instruction {
    Instruction::new(code, k)
}

const fn when(code: u16, k: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction::jump(code, k, if_true, if_false)
}

/// What `tcpdump -dd 'udp port 53'` prints for IPv4, with 262,144 octets to keep.
fn udp_port_53() -> Program {
    Program::new(vec![
        op(0x28, 12),
        when(0x15, 0x0800, 0, 10),
        op(0x30, 23),
        when(0x15, 17, 0, 8),
        op(0x28, 20),
        when(0x45, 0x1fff, 6, 0),
        op(0xb1, 14),
        op(0x48, 14),
        when(0x15, 53, 2, 0),
        op(0x48, 16),
        when(0x15, 53, 0, 1),
        op(0x06, 262_144),
        op(0x06, 0),
    ])
    .unwrap()
}

fn frame(source: u16, destination: u16, options: usize) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45 + u8::try_from(options / 4).unwrap(), 0]);
    frame.resize(23, 0);
    frame.push(17);
    frame.resize(14 + 20 + options, 0);
    frame.extend(source.to_be_bytes());
    frame.extend(destination.to_be_bytes());
    frame
}

#[test]
fn a_compiled_filter_chooses_its_packets() {
    let program = udp_port_53();
    for options in [0, 8, 40] {
        assert!(program.chooses(&frame(53, 4_000, options), 1_500));
        assert!(program.chooses(&frame(4_000, 53, options), 1_500));
        assert!(!program.chooses(&frame(4_000, 54, options), 1_500));
    }
}

#[test]
fn a_packet_that_ends_too_early_is_not_chosen() {
    let frame = frame(4_000, 53, 0);
    for length in 0..frame.len() {
        assert!(!udp_port_53().chooses(&frame[..length], 1_500), "{length}");
    }
}

#[test]
fn arithmetic_and_memory_work_as_in_the_kernel() {
    // Each leaves its result in A, which is returned.
    let cases: [(&[Instruction], Option<u32>); 9] = [
        (&[op(0x00, 7), op(0x24, 6)], Some(42)),
        (&[op(0x00, 7), op(0x14, 8)], Some(u32::MAX)),
        (&[op(0x00, 7), op(0x84, 0)], Some(7_u32.wrapping_neg())),
        (&[op(0x00, 7), op(0x94, 4), op(0xa4, 1), op(0x64, 4)], Some(0x20)),
        (&[op(0x00, 9), op(0x02, 15), op(0x00, 1), op(0x60, 15)], Some(9)),
        (&[op(0x00, 9), op(0x07, 0), op(0x00, 1), op(0x0c, 0)], Some(10)),
        // Divided by X, which is 0.
        (&[op(0x00, 9), op(0x3c, 0)], None),
        // The packet's length on the wire.
        (&[op(0x80, 0)], Some(1_500)),
        // 4 * (octets[0] & 0xf), then through X.
        (&[op(0xb1, 0), op(0x87, 0)], Some(20)),
    ];
    for (instructions, expected) in cases {
        let program = Program::new([instructions, &[op(0x16, 0)]].concat()).unwrap();
        assert_eq!(program.run(&[0x45], 1_500), expected, "{instructions:x?}");
    }
}

#[test]
fn what_cannot_be_run_is_refused() {
    let end = op(0x06, 1);
    let unknown = |code, k| ProgramError::Instruction { at: 0, code, k };
    let cases = [
        (vec![], ProgramError::Length(0)),
        (vec![end; MAX_INSTRUCTIONS + 1], ProgramError::Length(MAX_INSTRUCTIONS + 1)),
        (vec![op(0x00, 1)], ProgramError::End),
        (vec![op(0x05, 1), end], ProgramError::Jump { at: 0 }),
        (vec![op(0x05, u32::MAX), end], ProgramError::Jump { at: 0 }),
        (vec![when(0x15, 0, 0, 1), end], ProgramError::Jump { at: 0 }),
        (vec![op(0x34, 0), end], unknown(0x34, 0)),
        (vec![op(0x02, 16), end], unknown(0x02, 16)),
        (vec![op(0x28, u32::MAX), end], unknown(0x28, u32::MAX)),
        (vec![op(0xffff, 0), end], unknown(0xffff, 0)),
    ];
    for (instructions, error) in cases {
        assert_eq!(Program::new(instructions), Err(error));
    }
}

#[test]
fn no_packet_makes_an_accepted_program_panic() {
    // Every instruction there can be, with operands that hurt, after X was loaded from the packet.
    let packet = [0xff; 40];
    let mut accepted = 0;
    for code in 0..=u16::from(u8::MAX) {
        for k in [0, 1, 15, 31, 32, 39, 40, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let hurt = Instruction::jump(code, k, 1, 0);
            let program = Program::new(vec![op(0x20, 0), op(0x07, 0), hurt, op(0x04, 1), op(0x16, 0)]);
            if let Ok(program) = program {
                accepted += 1;
                program.run(&packet, 40);
            }
        }
    }
    assert!(accepted > 300, "{accepted}");
}

#[test]
fn a_limit_is_for_packets_that_are_chosen() {
    let mut program = udp_port_53();
    program.limit(512);
    assert_eq!(program.run(&frame(53, 1, 0), 60), Some(512));
    assert_eq!(program.run(&frame(54, 1, 0), 60), Some(0));
}
