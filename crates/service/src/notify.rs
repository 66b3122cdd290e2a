//! Notifications to the service manager (`sd_notify(3)`), when `NOTIFY_SOCKET` names its socket.

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

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

impl Notify {
    /// Says that the configuration is being read; `READY=1` ends that.
    pub(crate) fn send_reloading(&self) {
        let Ok(uptime) = std::fs::read_to_string("/proc/uptime") else { return };
        let Some(seconds) = uptime.split(' ').next().and_then(|seconds| seconds.parse().ok()) else { return };
        let now = Duration::from_secs_f64(f64::max(seconds, 0.0));
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }
}

/// Returns how often the service manager wants to hear from this process (sd_watchdog_enabled(3)), if it does.
pub(crate) fn watchdog() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_for_us = std::env::var_os("WATCHDOG_PID").is_none()
        || number("WATCHDOG_PID") == Some(std::process::id().into());
    number("WATCHDOG_USEC").filter(|micros| is_for_us && *micros > 0).map(Duration::from_micros)
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
