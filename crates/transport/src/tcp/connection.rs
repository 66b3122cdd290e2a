//! One TCP connection: a task that reads, frames and writes.

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::{Options, framer, sys};
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
    let profile = options.profile.clone();
    let link = Link::new(PeerAddress::Tcp(local), PeerAddress::Tcp(peer), options.queues, true, wake);
    let association = Association::new(Arc::clone(&link));
    tokio::spawn(async move {
        let reason =
            Connection { link: &link, signals: &signals, profile, peer_closed: AtomicBool::new(false) }
                .run(stream)
                .await;
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
    /// The peer's FIN came.
    peer_closed: AtomicBool,
}

impl Connection<'_> {
    async fn run(&self, stream: TcpStream) -> LossReason {
        let reason = tokio::select! {
            reason = self.read(&stream) => reason,
            reason = self.write(&stream) => reason,
            reason = self.watch(&stream) => reason,
        };
        if !matches!(reason, LossReason::Closed | LossReason::PeerClosed) {
            // Tells the peer by a reset.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        reason
    }

    /// Reads until something breaks; after the peer's FIN the writing side decides.
    async fn read(&self, stream: &TcpStream) -> LossReason {
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
            if let Err(error) = stream.readable().await {
                return lost(&error);
            }
            match stream.try_read_buf(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
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

    async fn write(&self, stream: &TcpStream) -> LossReason {
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
                continue;
            }
            let peer_closed = self.peer_closed.load(Ordering::Acquire);
            if !finished && (peer_closed || request == Request::Shutdown) {
                if let Err(error) = SockRef::from(stream).shutdown(Shutdown::Write) {
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
        stream: &TcpStream,
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
                    writable = stream.writable() => match writable.and_then(|()| stream.try_write(rest)) {
                        Ok(n) => rest = &rest[n..],
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
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

    /// Ends a connection whose path is dead: something waits for an answer, and for too long nothing
    /// was acknowledged. A peer that does not read acknowledges window probes.
    async fn watch(&self, stream: &TcpStream) -> LossReason {
        loop {
            tokio::time::sleep(self.profile.heartbeat).await;
            let Ok(info) = sys::info(stream.as_fd()) else { continue };
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
        _ => LossReason::Io(error.to_string()),
    }
}
