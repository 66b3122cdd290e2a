//! The collector's binary.

fn main() -> std::process::ExitCode {
    service::main::<collector::Collector>()
}
