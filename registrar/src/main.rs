//! `rserpool-registrar`.

fn main() -> std::process::ExitCode {
    registrar::main()
}
