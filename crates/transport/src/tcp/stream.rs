//! What a connection runs on: TCP itself, or TLS over it.

use std::io;

use bytes::BytesMut;
use tokio::net::TcpStream;

/// The octets of a connection, both ways. Nothing waits here: `WouldBlock` says to ask again when the
/// socket is ready.
pub(crate) trait Stream: Send + Sync + 'static {
    /// The socket below, to wait for and to look at.
    fn socket(&self) -> &TcpStream;

    /// Appends what arrived. Returns 0 after the peer's orderly end.
    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize>;

    /// Takes octets to be written, and returns how many.
    fn try_write(&self, octets: &[u8]) -> io::Result<usize>;

    /// Whether octets wait for `try_flush`.
    fn wants_flush(&self) -> bool;

    /// Hands to the kernel what waits: what `try_write` took, and what the stream itself has to say.
    fn try_flush(&self) -> io::Result<()>;

    /// Nothing more will be given to `try_write`: what tells the peer so waits for `try_flush`.
    fn finish(&self);
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }

    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.try_read_buf(buffer)
    }

    fn try_write(&self, octets: &[u8]) -> io::Result<usize> {
        self.try_write(octets)
    }

    fn wants_flush(&self) -> bool {
        false
    }

    fn try_flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&self) {}
}
