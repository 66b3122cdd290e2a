//! `ipfix-exporter`.
fn main() -> std::process::ExitCode {
    service::main::<exporter::Daemon>()
}
