//! One connection: a task that reads, frames and writes, on TCP or on TLS over it.

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::socket::is_multipath;
use super::stream::Stream;
use super::{Options, framer, sys};
use crate::link::{Link, Request, Wake};
use crate::quiet::quiet;
use crate::{Association, Event, LossReason, MsgOut, Outcome, PeerAddress, Ppid, Profile};

/// Octets read or written at once.
const CHUNK: usize = 64 << 10;

/// Octets read at once where a budget bounds what is kept.
const FRUGAL: usize = 8 << 10;

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

/// Starts the task of a connection that is up; `address` makes `PeerAddress` of its two ends.
pub(crate) fn start<S: Stream>(
    stream: S,
    options: &Options,
    address: fn(std::net::SocketAddr) -> PeerAddress,
) -> io::Result<Association> {
    let socket = stream.socket();
    set_options(socket, &options.profile)?;
    let (local, peer) = (socket.local_addr()?, socket.peer_addr()?);
    let signals = Arc::new(Signals::default());
    let wake = Box::new(Arc::clone(&signals));
    let (profile, control) = (options.profile.clone(), options.control);
    let link = Link::new(address(local), address(peer), options.queues, true, wake, options.budget.as_ref());
    if is_multipath(socket) {
        link.agree_multipath();
    }
    let association = Association::new(Arc::clone(&link));
    tokio::spawn(async move {
        let peer_closed = AtomicBool::new(false);
        let connection = Connection { link: &link, signals: &signals, profile, control, peer_closed };
        let reason = connection.run(&stream).await;
        // The socket is closed before anybody hears of the end.
        drop(stream);
        link.end(reason);
    });
    Ok(association)
}

fn set_options(stream: &TcpStream, profile: &Profile) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    // Keep-alive counts in whole seconds; `watch` decides.
    let interval = Duration::from_secs((profile.heartbeat.as_secs()).max(1));
    let keepalive = TcpKeepalive::new().with_time(interval).with_interval(interval);
    socket.set_tcp_keepalive(&keepalive)?;
    // No user time-out: it would end a connection whose peer only does not read.
    Ok(())
}

struct Connection<'a> {
    link: &'a Link,
    signals: &'a Signals,
    profile: Profile,
    /// What messages are that are not IPFIX.
    control: Ppid,
    /// The peer's orderly end came.
    peer_closed: AtomicBool,
}

impl Connection<'_> {
    async fn run<S: Stream>(&self, stream: &S) -> LossReason {
        let mut rest = pin!(async {
            tokio::select! {
                biased;
                reason = self.write(stream) => reason,
                reason = self.watch(stream.socket()) => reason,
            }
        });
        let reason = tokio::select! {
            // What the peer said last, such as a TLS alert, says more than that nothing can be written any more.
            biased;
            reason = self.read(stream) => reason,
            reason = quiet(rest.as_mut()) => reason,
        };
        if !matches!(reason, LossReason::Closed | LossReason::PeerClosed) {
            // Tells the peer by a reset.
            let _ = SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO));
        }
        reason
    }

    /// Reads until something breaks; after the peer's orderly end the writing side decides.
    async fn read<S: Stream>(&self, stream: &S) -> LossReason {
        // A message that waits must not keep everything that was read with it.
        let frugal = self.link.account().is_some();
        let chunk = if frugal { FRUGAL } else { CHUNK };
        let mut buffer = BytesMut::new();
        loop {
            let mut broken = None;
            let room = self.link.fill(|| match framer::next(&mut buffer, self.control, frugal) {
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
                if frugal {
                    self.keep(&mut buffer);
                }
                self.signals.read.notified().await;
                continue;
            }
            if frugal {
                self.link.hold(buffer.capacity());
                self.link.may_read().await;
            }
            // Reading without end would leave the writing side no turn.
            tokio::task::consume_budget().await;
            buffer.reserve(chunk);
            let read = stream.try_read(&mut buffer);
            if stream.wants_flush() {
                self.signals.write.notify_one();
            }
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if frugal {
                        self.keep(&mut buffer);
                    }
                    if let Err(error) = stream.socket().readable().await {
                        return lost(&error);
                    }
                }
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

    /// Frees the room after what was read, for as long as nothing comes, and tells what is kept.
    fn keep(&self, buffer: &mut BytesMut) {
        if buffer.capacity() > buffer.len() {
            *buffer = BytesMut::from(&buffer[..]);
        }
        self.link.hold(buffer.capacity());
    }

    async fn write<S: Stream>(&self, stream: &S) -> LossReason {
        let (mut queue, mut octets) = (VecDeque::new(), Vec::new());
        let mut finished = false;
        loop {
            let request = self.link.take(&mut queue);
            if request == Request::Abort {
                self.give_up(queue);
                return LossReason::Aborted;
            }
            if !queue.is_empty() {
                if let Err(reason) = self.write_all(stream, &mut queue, &mut octets).await {
                    self.give_up(queue);
                    return reason;
                }
                if self.link.account().is_some() {
                    // Of a long message nothing stays for as long as the connection lives.
                    (queue, octets) = (VecDeque::new(), Vec::new());
                }
                continue;
            }
            let peer_closed = self.peer_closed.load(Ordering::Acquire);
            let finish = !finished && (peer_closed || request == Request::Shutdown);
            if finish {
                stream.finish();
            }
            if let Err(reason) = self.write_octets(stream, &[]).await {
                return reason;
            }
            if finish {
                if let Err(error) = SockRef::from(stream.socket()).shutdown(Shutdown::Write) {
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
    async fn write_all<S: Stream>(
        &self,
        stream: &S,
        queue: &mut VecDeque<MsgOut>,
        octets: &mut Vec<u8>,
    ) -> Result<(), LossReason> {
        while !queue.is_empty() {
            tokio::task::consume_budget().await;
            octets.clear();
            let mut messages = 0;
            for message in queue.iter() {
                if octets.len() >= CHUNK {
                    break;
                }
                octets.extend_from_slice(&message.data);
                messages += 1;
            }
            self.write_octets(stream, octets).await?;
            for message in queue.drain(..messages) {
                self.link.finished(message.data.len(), message.token, Outcome::Delivered);
            }
        }
        Ok(())
    }

    /// Hands `rest`, and what the stream still holds, to the kernel.
    async fn write_octets<S: Stream>(&self, stream: &S, mut rest: &[u8]) -> Result<(), LossReason> {
        while !rest.is_empty() || stream.wants_flush() {
            let written = match rest {
                [] => stream.try_flush().map(|()| 0),
                _ => stream.try_write(rest),
            };
            match written {
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::select! {
                    writable = stream.socket().writable() => writable.map_err(|error| lost(&error))?,
                    // A peer that does not read must not keep this side from aborting.
                    () = self.signals.write.notified() => if self.link.requested() == Request::Abort {
                        return Err(LossReason::Aborted);
                    },
                },
                Err(error) => return Err(lost(&error)),
            }
        }
        Ok(())
    }

    /// Ends a connection whose path is dead: something waits for an answer, and for too long nothing
    /// was acknowledged. A peer that does not read acknowledges window probes.
    async fn watch(&self, socket: &TcpStream) -> LossReason {
        loop {
            tokio::time::sleep(self.profile.heartbeat).await;
            let Ok(info) = sys::info(socket.as_fd()) else { continue };
            self.link.publish(info.figures());
            if info.unanswered >= 2 && info.silence >= self.profile.silence {
                return LossReason::Silent(info.silence);
            }
        }
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
        // What TLS says of the peer; TCP has no such errors.
        io::ErrorKind::ConnectionAborted => LossReason::PeerAborted(error.to_string()),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => LossReason::Protocol(error.to_string()),
        _ => LossReason::Io(error.to_string()),
    }
}
