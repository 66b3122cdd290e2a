//! The collector's binary.

fn main() -> std::process::ExitCode {
    collector::main()
}
