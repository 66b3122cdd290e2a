//! Writes manual pages and completions of bash, zsh and fish for every daemon, from the command lines as they are:
//! `cargo run -p demo --example manual -- FOLDER`.

use std::path::{Path, PathBuf};

use clap_complete::Shell;

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("usage: manual FOLDER"));
    };
    std::fs::create_dir_all(&folder)?;
    write::<registrar::RegistrarDaemon>(&folder)?;
    write::<collector::Collector>(&folder)?;
    write::<exporter::Daemon>(&folder)
}

/// `NAME.1`, a page for each subcommand, `NAME.bash`, `_NAME` and `NAME.fish`.
fn write<D: service::Daemon>(folder: &Path) -> std::io::Result<()> {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut service::command::<D>(), D::NAME, folder)?;
    }
    clap_mangen::generate_to(service::command::<D>(), folder)
}
