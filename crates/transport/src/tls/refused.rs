//! Why handshakes fail, and how often.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::{AlertDescription, CertificateError};

/// Why a handshake failed, in as many words as a metric's label takes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The peer showed no certificate.
    NoCertificate,
    /// No certificate authority of ours signed it.
    UnknownIssuer,
    /// It is not valid yet, or not any more.
    Expired,
    /// It is for another name.
    WrongName,
    /// It cannot be accepted for another reason, such as a purpose it is not for.
    BadCertificate,
    /// The peer refuses this side, its certificate mostly.
    ByPeer,
    /// The peer does not speak TLS 1.3, or breaks its rules.
    Protocol,
    /// It took too long.
    TimedOut,
    /// Too many handshakes at once: this was the oldest.
    TooMany,
    /// The connection ended before the handshake did.
    Disconnected,
}

impl Reason {
    /// All there are.
    pub const ALL: [Reason; 10] = [
        Reason::NoCertificate,
        Reason::UnknownIssuer,
        Reason::Expired,
        Reason::WrongName,
        Reason::BadCertificate,
        Reason::ByPeer,
        Reason::Protocol,
        Reason::TimedOut,
        Reason::TooMany,
        Reason::Disconnected,
    ];

    /// Returns the label of a metric.
    pub const fn label(self) -> &'static str {
        match self {
            Reason::NoCertificate => "no_certificate",
            Reason::UnknownIssuer => "unknown_issuer",
            Reason::Expired => "expired",
            Reason::WrongName => "wrong_name",
            Reason::BadCertificate => "bad_certificate",
            Reason::ByPeer => "refused_by_peer",
            Reason::Protocol => "protocol",
            Reason::TimedOut => "timed_out",
            Reason::TooMany => "too_many",
            Reason::Disconnected => "disconnected",
        }
    }

    fn of(error: &rustls::Error) -> Reason {
        use rustls::Error;
        match error {
            Error::NoCertificatesPresented => Reason::NoCertificate,
            Error::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer => Reason::UnknownIssuer,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Reason::Expired,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Reason::WrongName
                }
                _ => Reason::BadCertificate,
            },
            Error::AlertReceived(_) => Reason::ByPeer,
            _ => Reason::Protocol,
        }
    }
}

/// A handshake that failed: why, in the words of a log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// Why, for a metric.
    pub reason: Reason,
    text: String,
}

impl Refused {
    pub(super) fn new(reason: Reason, text: impl Into<String>) -> Refused {
        Refused { reason, text: text.into() }
    }

    /// What an error of TLS or of the socket below says.
    pub(super) fn of(error: &io::Error) -> Refused {
        let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match tls {
            Some(error) => Refused::new(Reason::of(error), text(error)),
            None => Refused::new(Reason::Disconnected, format!("handshake broken off: {error}")),
        }
    }
}

fn text(error: &rustls::Error) -> String {
    match error {
        rustls::Error::NoCertificatesPresented => "the peer showed no certificate".to_owned(),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "refused by the peer: it requires a certificate".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("refused by the peer: alert {alert:?}"),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the peer's certificate was signed by no certificate authority in `tls.ca`".to_owned()
        }
        rustls::Error::InvalidCertificate(error) => format!("the peer's certificate: {error}"),
        error => error.to_string(),
    }
}

/// An error of TLS as an error of the connection.
pub(super) fn io_error(error: rustls::Error) -> io::Error {
    let kind = match error {
        rustls::Error::AlertReceived(_) => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

/// How often handshakes ended, and how.
#[derive(Debug, Default)]
pub(super) struct Counters {
    completed: AtomicU64,
    failed: [AtomicU64; Reason::ALL.len()],
}

impl Counters {
    pub(super) fn completed(&self) {
        self.completed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, reason: Reason) {
        self.failed[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Handshakes {
        let failed = Reason::ALL.map(|reason| self.failed[reason as usize].load(Ordering::Relaxed));
        Handshakes { completed: self.completed.load(Ordering::Relaxed), failed }
    }
}

/// How often handshakes ended, and how, in both roles.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Handshakes {
    /// The peer was accepted by this side.
    pub completed: u64,
    failed: [u64; Reason::ALL.len()],
}

impl Handshakes {
    /// Returns how many failed for `reason`. A peer that refuses this side may do so just after this side
    /// completed the handshake.
    pub fn failed(&self, reason: Reason) -> u64 {
        self.failed[reason as usize]
    }
}
