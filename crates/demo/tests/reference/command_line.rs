//! `command-line.md`: the help of every command.

use std::fmt::Write as _;

use clap::Command;

const HEAD: &str = "\
# Command line

The help of every command, as `--help` prints it. Exit codes: 0 done, 1 failed, 2 usage, 69 no registrar or daemon reachable, 74 input or output
(an address in use, a file that is not there, a full disk), 77 permission, 78 configuration. Output for machines is on standard output, everything else
on standard error. Manual pages and completions are made from the same: `NAME manual FOLDER`, `NAME completions bash`.

This page is made from the daemons: `UPDATE_GOLDEN=1 cargo test -p demo --test reference`.
";

#[test]
fn the_command_line_is_documented_as_it_is() {
    let mut text = HEAD.to_owned();
    for command in [
        service::command::<registrar::RegistrarDaemon>(),
        service::command::<collector::Collector>(),
        service::command::<exporter::Daemon>(),
    ] {
        let name = command.get_name().to_owned();
        let mut command = command.disable_help_subcommand(true);
        command.build();
        section(&mut text, &mut command, &name);
    }
    super::assert_page("command-line.md", &text);
}

/// A section of a command, and behind it those of its subcommands.
fn section(text: &mut String, command: &mut Command, name: &str) {
    let level = if name.contains(' ') { "###" } else { "##" };
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(text, "\n{level} `{name}`\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    for inner in command.get_subcommands_mut() {
        let name = format!("{name} {}", inner.get_name());
        section(text, inner, &name);
    }
}
