//! The demo.
fn main() -> std::process::ExitCode {
    demo::main()
}
