//! One TCP connection: a task that reads, frames and writes.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Notify;

use super::{Options, framer};
use crate::link::{Link, Request, Wake};
use crate::{Association, Event, LossReason, MsgOut, Outcome, PeerAddress, Profile};

/// Octets read or written at once.
const CHUNK: usize = 64 << 10;

/// Wakes both halves of the task; each looks whether it is meant.
#[derive(Default)]
struct Signals {
    read: Notify,
    write: Notify,
}

impl Wake for Arc<Signals> {
    fn wake(&self) {
        self.read.notify_one();
        self.write.notify_one();
    }
}

pub(super) fn start(stream: TcpStream, options: &Options) -> io::Result<Association> {
    set_options(&stream, &options.profile)?;
    let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
    let signals = Arc::new(Signals::default());
    let wake = Box::new(Arc::clone(&signals));
    let link = Link::new(PeerAddress::Tcp(local), PeerAddress::Tcp(peer), options.queues, true, wake);
    let association = Association::new(Arc::clone(&link));
    tokio::spawn(async move {
        let reason = Connection { link: &link, signals: &signals, peer_closed: AtomicBool::new(false) }
            .run(stream)
            .await;
        link.end(reason);
    });
    Ok(association)
}

fn set_options(stream: &TcpStream, profile: &Profile) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    // Keep-alive counts in whole seconds; the user time-out decides.
    let interval = Duration::from_secs((profile.heartbeat.as_secs()).max(1));
    let keepalive = TcpKeepalive::new().with_time(interval).with_interval(interval);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(profile.silence))?;
    Ok(())
}

struct Connection<'a> {
    link: &'a Link,
    signals: &'a Signals,
    /// The peer's FIN came.
    peer_closed: AtomicBool,
}

impl Connection<'_> {
    async fn run(&self, mut stream: TcpStream) -> LossReason {
        let (read, write) = stream.split();
        let reason = tokio::select! {
            reason = self.read(read) => reason,
            reason = self.write(write) => reason,
        };
        if !matches!(reason, LossReason::Closed | LossReason::PeerClosed) {
            // Tells the peer by a reset.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        reason
    }

    /// Reads until something breaks; after the peer's FIN the writing side decides.
    async fn read(&self, mut half: ReadHalf<'_>) -> LossReason {
        let mut buffer = BytesMut::new();
        loop {
            let mut broken = None;
            let room = self.link.fill(|| match framer::next(&mut buffer) {
                Ok(message) => message.map(Event::Message),
                Err(error) => {
                    broken = Some(error);
                    None
                }
            });
            if let Some(error) = broken {
                return LossReason::Protocol(error.to_string());
            }
            if !room {
                self.signals.read.notified().await;
                continue;
            }
            buffer.reserve(CHUNK);
            match half.read_buf(&mut buffer).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return lost(&error),
            }
        }
        if let Err(error) = framer::finish(&buffer) {
            return LossReason::Protocol(error.to_string());
        }
        if self.link.requested() == Request::None {
            self.link.push(Event::PeerShutdown);
        }
        self.link.close_sending();
        self.peer_closed.store(true, Ordering::Release);
        self.signals.write.notify_one();
        std::future::pending().await
    }

    async fn write(&self, mut half: WriteHalf<'_>) -> LossReason {
        let (mut queue, mut octets) = (VecDeque::new(), Vec::new());
        let mut finished = false;
        loop {
            let request = self.link.take(&mut queue);
            if request == Request::Abort {
                self.give_up(queue);
                return LossReason::Aborted;
            }
            if !queue.is_empty() {
                if let Err(reason) = self.write_all(&mut half, &mut queue, &mut octets).await {
                    self.give_up(queue);
                    return reason;
                }
                continue;
            }
            let peer_closed = self.peer_closed.load(Ordering::Acquire);
            if !finished && (peer_closed || request == Request::Shutdown) {
                if let Err(error) = half.shutdown().await {
                    return lost(&error);
                }
                finished = true;
            }
            match (peer_closed, request) {
                (true, Request::Shutdown) => return LossReason::Closed,
                (true, _) => return LossReason::PeerClosed,
                (false, _) => self.signals.write.notified().await,
            }
        }
    }

    /// Writes what is queued, some messages at once.
    async fn write_all(
        &self,
        half: &mut WriteHalf<'_>,
        queue: &mut VecDeque<MsgOut>,
        octets: &mut Vec<u8>,
    ) -> Result<(), LossReason> {
        while !queue.is_empty() {
            octets.clear();
            let mut messages = 0;
            for message in queue.iter() {
                if octets.len() >= CHUNK {
                    break;
                }
                octets.extend_from_slice(&message.data);
                messages += 1;
            }
            let mut rest = &octets[..];
            while !rest.is_empty() {
                tokio::select! {
                    written = half.write(rest) => match written {
                        Ok(n) => rest = &rest[n..],
                        Err(error) => return Err(lost(&error)),
                    },
                    // A peer that does not read must not keep this side from aborting.
                    () = self.signals.write.notified() => if self.link.requested() == Request::Abort {
                        return Err(LossReason::Aborted);
                    },
                }
            }
            for message in queue.drain(..messages) {
                self.link.finished(message.data.len(), message.token, Outcome::Delivered);
            }
        }
        Ok(())
    }

    fn give_up(&self, queue: VecDeque<MsgOut>) {
        for message in queue {
            self.link.finished(message.data.len(), message.token, Outcome::Unknown);
        }
    }
}

fn lost(error: &io::Error) -> LossReason {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            LossReason::PeerAborted("connection reset".to_owned())
        }
        _ => LossReason::Io(error.to_string()),
    }
}
