//! TLS over a TCP socket, without waiting anywhere.

use std::io::{self, BufRead as _, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use rustls::Connection;
use rustls::pki_types::CertificateDer;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::refused::{Counters, Reason, io_error};
use crate::tcp::stream::Stream;

/// Octets read at once, at most.
const READ: usize = 64 << 10;

/// A connection and its TLS state, shared by the reading and the writing side.
pub(super) struct TlsStream {
    socket: TcpStream,
    state: Mutex<State>,
    counters: Arc<Counters>,
}

struct State {
    tls: Connection,
    /// What broke after octets that were still read.
    broken: Option<io::Error>,
}

impl TlsStream {
    pub(super) fn new(socket: TcpStream, tls: impl Into<Connection>, counters: Arc<Counters>) -> TlsStream {
        TlsStream { socket, state: Mutex::new(State { tls: tls.into(), broken: None }), counters }
    }

    /// Completes the handshake. Where it fails, the peer is told why before.
    pub(super) async fn handshake(&self) -> io::Result<()> {
        loop {
            let (done, interest) = {
                let State { tls, .. } = &mut *self.state();
                let done = self.step(tls);
                (done, if tls.wants_write() { Interest::WRITABLE } else { Interest::READABLE })
            };
            match done {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.ready(interest).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns what the peer has shown in the handshake.
    pub(super) fn certificate(&self) -> Option<CertificateDer<'static>> {
        self.state().tls.peer_certificates()?.first().map(|shown| shown.clone().into_owned())
    }

    /// Writes what there is to write, or else reads. Returns whether the handshake is complete.
    fn step(&self, tls: &mut Connection) -> io::Result<bool> {
        flush(tls, &self.socket)?;
        if !tls.is_handshaking() {
            return Ok(true);
        }
        match self.receive(tls)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(false),
        }
    }

    /// Reads from the socket and decrypts. Returns 0 where the socket is at its end.
    fn receive(&self, tls: &mut Connection) -> io::Result<usize> {
        let handshaking = tls.is_handshaking();
        let read = tls.read_tls(&mut Socket(&self.socket))?;
        if let Err(error) = tls.process_new_packets() {
            if !handshaking && matches!(error, rustls::Error::AlertReceived(_)) {
                self.counters.failed(Reason::ByPeer);
            }
            // The alert that says why.
            let _ = flush(tls, &self.socket);
            return Err(io_error(error));
        }
        Ok(read)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends what is decrypted, and reads on while there is nothing.
    fn fill(&self, tls: &mut Connection, buffer: &mut BytesMut) -> io::Result<bool> {
        let mut reader = tls.reader();
        match reader.fill_buf() {
            Ok([]) => Ok(false),
            Ok(chunk) => {
                let length = chunk.len();
                buffer.extend_from_slice(chunk);
                reader.consume(length);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.receive(tls)?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(io::Error::new(error.kind(), "truncated: closed without close_notify"))
            }
            Err(error) => Err(error),
        }
    }
}

impl Stream for TlsStream {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let State { tls, broken } = &mut *self.state();
        if let Some(error) = broken.take() {
            return Err(error);
        }
        let before = buffer.len();
        while buffer.len() - before < READ {
            match self.fill(tls, buffer) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if buffer.len() == before => return Err(error),
                Err(error) => {
                    *broken = Some(error).filter(|error| error.kind() != io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        Ok(buffer.len() - before)
    }

    fn try_write(&self, octets: &[u8]) -> io::Result<usize> {
        let State { tls, .. } = &mut *self.state();
        flush(tls, &self.socket)?;
        let taken = tls.writer().write(octets)?;
        match flush(tls, &self.socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    fn wants_flush(&self) -> bool {
        self.state().tls.wants_write()
    }

    fn try_flush(&self) -> io::Result<()> {
        flush(&mut self.state().tls, &self.socket)
    }

    fn finish(&self) {
        self.state().tls.send_close_notify();
    }
}

fn flush(tls: &mut Connection, socket: &TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(&mut Socket(socket))?;
    }
    Ok(())
}

/// The socket as rustls reads and writes it.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.try_write(octets)
    }

    fn write_vectored(&mut self, octets: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
