//! Notifications to the service manager (`sd_notify(3)`), when `NOTIFY_SOCKET` names its socket.

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service manager's socket, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    address: Option<SocketAddr>,
}

impl Notify {
    /// The socket named by the environment of this process.
    pub(crate) fn from_env() -> Self {
        match std::env::var("NOTIFY_SOCKET") {
            Ok(name) => Self::to(&name),
            Err(_) => Self::default(),
        }
    }

    /// The socket `name`: a path, or an abstract name after `@`.
    fn to(name: &str) -> Self {
        Self { address: address(name).ok() }
    }

    /// Sends one state such as `READY=1`. A service manager that is gone is no reason to fail.
    pub(crate) fn send(&self, state: &str) {
        let Some(address) = &self.address else { return };
        let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(state.as_bytes(), address));
        if let Err(error) = sent {
            tracing::debug!(%error, state, "the service manager was not notified");
        }
    }
}

#[cfg(target_os = "linux")]
fn address(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(name: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(name)
}
