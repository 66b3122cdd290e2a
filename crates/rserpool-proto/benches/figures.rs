//! What the handlespace does per CPU second, as lines `policy elements operation figure` for a program to read:
//! `rsplib/figures.c` prints the same of the reference implementation, and `cargo xtask bench-handlespace` puts both
//! into one table.
//!
//! Arguments: a policy type as on the wire, in hex, and a number of elements.

mod common;

use std::io::Write;

use rserpool_proto::Random;
use rserpool_proto::wire::PolicyType;

use common::{empty, handle, register};

/// CPU time for each measurement; the clock behind it moves in steps of some milliseconds.
const ENOUGH: f64 = 0.25;

fn main() {
    let arguments: Vec<String> = std::env::args().filter(|argument| argument != "--bench").collect();
    let [_, policy, elements] = &arguments[..] else {
        println!("usage: figures POLICY-TYPE ELEMENTS; the table: cargo xtask bench-handlespace");
        return;
    };
    let policy = PolicyType(u32::from_str_radix(policy, 16).expect("a policy type in hex"));
    let elements = elements.parse().expect("a number of elements");
    let say = |operation: &str, figure: f64| {
        // Who reads may have read enough.
        let _ = writeln!(std::io::stdout(), "{:08x} {elements} {operation} {figure:.0}", policy.0);
    };
    let before = resident();
    let mut space = empty();
    register(&mut space, policy, elements, 0);
    say("memory", (resident() - before) / f64::from(elements));
    say(
        "register",
        f64::from(elements)
            * per_second(|_| {
                let mut space = empty();
                let started = cpu();
                register(&mut space, policy, elements, 0);
                cpu() - started
            }),
    );
    say(
        "re-register",
        f64::from(elements)
            * per_second(|round| {
                let started = cpu();
                register(&mut space, policy, elements, round);
                cpu() - started
            }),
    );
    let (handle, mut random, mut chosen) = (handle(), Random::new(1), Vec::new());
    for count in [1, 10] {
        let figure = 100_000.0
            * per_second(|_| {
                let started = cpu();
                for _ in 0..100_000 {
                    let pool = space.pool_mut(&handle).expect("the pool has elements");
                    pool.select_into(count, &mut random, |_| true, &mut chosen);
                }
                cpu() - started
            });
        say(&format!("resolve-{count}"), figure);
    }
}

/// Repeats what takes and returns seconds, and tells how often it goes into one.
fn per_second(mut measured: impl FnMut(u32) -> f64) -> f64 {
    let (mut times, mut seconds) = (0, 0.0);
    while seconds < ENOUGH {
        times += 1;
        seconds += measured(times);
    }
    f64::from(times) / seconds
}

/// Seconds this process has run.
fn cpu() -> f64 {
    let text =
        std::fs::read_to_string("/proc/self/schedstat").expect("Linux tells the time a process has run");
    let nanoseconds: f64 =
        text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number first");
    nanoseconds / 1e9
}

/// Octets of memory this process has.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells a process's memory");
    let pages: f64 = text.split(' ').nth(1).and_then(|second| second.parse().ok()).expect("a number second");
    pages * 4096.0
}
