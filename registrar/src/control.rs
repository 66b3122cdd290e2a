//! The control socket: commands of the operator that change something, by a Unix socket of this host.
//!
//! HTTP here only reads. Who may command is who runs this process, and root: the kernel tells the user at the other
//! end. One line comes, `drain POOL PE` or `undrain POOL PE` with the handle percent-encoded and the identifier in
//! hexadecimal digits; one line goes back, `ok` or why not.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rserpool_proto::{PeId, PoolHandle};
use service::{Failure, percent_decode};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::{debug, info, warn};

/// Commands at once.
const MAX_CONNECTIONS: usize = 8;

/// How long a command may take to come and go.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest line: a percent-encoded handle of the greatest length and some words.
const MAX_LINE: u64 = 3 * 65_536 + 64;

/// What the operator wants.
#[derive(Debug)]
pub(crate) struct ControlRequest {
    /// To do.
    pub(crate) command: ControlCommand,
    /// Where the line goes that answers.
    pub(crate) reply: oneshot::Sender<String>,
}

/// What the operator can want.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ControlCommand {
    /// Take an element out of selection.
    Drain(PoolHandle, PeId),
    /// Put it back.
    Undrain(PoolHandle, PeId),
}

/// The socket; its file goes with it.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    path: PathBuf,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens the socket. Commands come out of the receiver until the socket is dropped.
pub(crate) fn listen(path: &Path) -> Result<(ControlSocket, mpsc::Receiver<ControlRequest>), Failure> {
    let listener = bind(path).map_err(|error| {
        Failure::io(format!("[control] socket = {:?}", path.display().to_string()), error)
    })?;
    let owner = std::fs::metadata(path)?.uid();
    let (sink, requests) = mpsc::channel(MAX_CONNECTIONS);
    tokio::spawn(accept(listener, owner, sink));
    info!(path = %path.display(), "listening for the operator");
    Ok((ControlSocket { path: path.to_owned() }, requests))
}

/// A socket that a killed registrar has left is replaced; one that is served, or another file, is not.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let in_use = || io::Error::from(io::ErrorKind::AddrInUse);
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(in_use()),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => return Err(in_use()),
        Ok(_) => std::fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn accept(listener: UnixListener, owner: u32, sink: mpsc::Sender<ControlRequest>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let permit = Arc::clone(&connections).acquire_owned().await;
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sink.closed() => return,
        };
        let stream = match stream {
            Ok((stream, _)) => stream,
            Err(error) => return warn!(%error, "no longer listening for the operator"),
        };
        let sink = sink.clone();
        tokio::spawn(async move {
            if !matches!(tokio::time::timeout(PATIENCE, serve(stream, owner, sink)).await, Ok(Ok(()))) {
                debug!("a command of the operator came to no end");
            }
            drop(permit);
        });
    }
}

async fn serve(mut stream: UnixStream, owner: u32, sink: mpsc::Sender<ControlRequest>) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    if user != owner && user != 0 {
        return stream.write_all(b"only the user of this registrar, and root, may command it\n").await;
    }
    let mut line = String::new();
    let (reading, mut writing) = stream.split();
    BufReader::new(reading).take(MAX_LINE).read_line(&mut line).await?;
    let answer = match parse(&line) {
        None => "not understood: drain POOL PE, or undrain POOL PE".to_owned(),
        Some(command) => {
            let (reply, answer) = oneshot::channel();
            let _ = sink.send(ControlRequest { command, reply }).await;
            answer.await.unwrap_or_else(|_| "shutting down".to_owned())
        }
    };
    writing.write_all(format!("{answer}\n").as_bytes()).await
}

fn parse(line: &str) -> Option<ControlCommand> {
    let words: Vec<&str> = line.strip_suffix('\n')?.split(' ').collect();
    let [verb, pool, pe] = words[..] else { return None };
    let pool = PoolHandle::new(percent_decode(pool)?).ok()?;
    let pe = PeId(u32::from_str_radix(pe, 16).ok()?);
    match verb {
        "drain" => Some(ControlCommand::Drain(pool, pe)),
        "undrain" => Some(ControlCommand::Undrain(pool, pe)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_pool_and_element() {
        let pool = PoolHandle::new(b"a b").unwrap();
        assert_eq!(parse("drain a%20b 000000a1\n"), Some(ControlCommand::Drain(pool.clone(), PeId(0xa1))));
        assert_eq!(parse("undrain a%20b a1\n"), Some(ControlCommand::Undrain(pool, PeId(0xa1))));
        for wrong in ["", "\n", "drain a a1", "drain a\n", "drain  a1\n", "drain a x\n", "stop a a1\n"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
