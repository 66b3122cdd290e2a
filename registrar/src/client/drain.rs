//! The subcommand `drain`, over the control socket of a registrar on this host.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rserpool_proto::PoolHandle;
use service::{Exit, Failure, OrExit as _};

use crate::text::path_segment;

/// A registrar answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// The command line of `drain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  rserpool-registrar drain ipfix 000000a1 --socket /run/flowpool/registrar.sock\n\n\
    The element stays registered; no pool user is sent to it any more. A collector of this make asks its exporters to\n\
    move; another element keeps its sessions. Only its home registrar drains it. `elements` shows it as \"draining\"."
)]
pub struct Arguments {
    /// Handle of the pool
    #[arg(value_name = "POOL")]
    pool: String,
    /// Identifier of the pool element, eight hexadecimal digits
    #[arg(value_name = "PE")]
    pe: String,
    /// Put it back instead
    #[arg(long)]
    undo: bool,
    /// Control socket of the registrar, `[control] socket` in its configuration
    #[arg(long, value_name = "FILE", default_value = "/run/flowpool/registrar.sock")]
    socket: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let pool = PoolHandle::new(&arguments.pool).or_exit(Exit::Usage)?;
    let pe = u32::from_str_radix(&arguments.pe, 16).map_err(|_| {
        Failure::new(Exit::Usage, format!("\"{}\" is no identifier such as 000000a1", arguments.pe))
    })?;
    let verb = if arguments.undo { "undrain" } else { "drain" };
    let request = format!("{verb} {} {pe:08x}\n", path_segment(pool.as_octets()));
    let answer = exchange(&arguments.socket, &request).map_err(|error| {
        let socket = arguments.socket.display();
        let exit = match error.kind() {
            io::ErrorKind::PermissionDenied => Exit::Permission,
            _ => Exit::Unavailable,
        };
        let hint = "`[control] socket` in the registrar's configuration names it";
        Failure::new(exit, format!("no registrar at {socket}: {error}; {hint}"))
    })?;
    match answer.trim_end() {
        "ok" => Ok(()),
        refused => Err(Failure::new(Exit::Failed, refused.to_owned())),
    }
}

fn exchange(socket: &Path, request: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(4_096).read_to_string(&mut answer)?;
    Ok(answer)
}
