//! What happens, and to whose process.

use std::time::{Duration, Instant};

use exporter::failover::{Sign, Transmit};
use transport::Token;

use super::{Association, index};
use crate::collector::{Letter, Sync};
use crate::message::Item;
use crate::scenario::Fault;
use crate::spool::{Broken, Turn};

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Fault(Fault),
    Restart {
        collector: usize,
    },
    Thaw {
        node: usize,
    },
    Tick {
        start: u32,
    },
    StartExporter,
    /// The exporter looks whether it can end.
    StopCheck {
        start: u32,
        until: Instant,
        restart_after: Duration,
    },
    SpoolTurn {
        start: u32,
        number: u64,
        turn: Turn,
    },
    SpoolTold {
        start: u32,
    },
    BreakSpool(Broken),
    /// The registrar looks who is there.
    List,
    RegistrarUp,
    Connected {
        association: u64,
    },
    ConnectFailed {
        association: u64,
    },
    LostAtExporter {
        association: u64,
        sign: Sign,
    },
    LostAtCollector {
        association: u64,
    },
    PathCheck {
        association: u64,
    },
    Message {
        association: u64,
        message: Transmit,
        items: Vec<Item>,
        spoiled: bool,
    },
    Sent {
        association: u64,
        token: Token,
        outcome: transport::Outcome,
    },
    Cookie {
        association: u64,
        octets: Vec<u8>,
    },
    DrainCheck {
        collector: usize,
        incarnation: u64,
        until: Instant,
        restart_after: Duration,
    },
    LetterWritten {
        collector: usize,
        incarnation: u64,
        letter: Letter,
    },
    SyncStart {
        collector: usize,
        incarnation: u64,
    },
    DataSynced {
        collector: usize,
        incarnation: u64,
        sync: Sync,
    },
    SidecarSynced {
        collector: usize,
        incarnation: u64,
        sync: Sync,
    },
}

impl Event {
    /// Whose process must run for this; `None` for what happens anyway.
    pub(super) fn node(&self, associations: &[Association]) -> Option<usize> {
        let of = |association: u64| Some(associations[index(association)].collector + 1);
        match *self {
            Self::Fault(_)
            | Self::Restart { .. }
            | Self::Thaw { .. }
            | Self::PathCheck { .. }
            | Self::RegistrarUp
            | Self::StartExporter
            | Self::BreakSpool(_)
            | Self::List => None,
            Self::Tick { .. }
            | Self::StopCheck { .. }
            | Self::SpoolTurn { .. }
            | Self::SpoolTold { .. }
            | Self::Connected { .. }
            | Self::ConnectFailed { .. }
            | Self::LostAtExporter { .. }
            | Self::Sent { .. }
            | Self::Cookie { .. } => Some(0),
            Self::LostAtCollector { association } | Self::Message { association, .. } => of(association),
            Self::DrainCheck { collector, .. }
            | Self::LetterWritten { collector, .. }
            | Self::SyncStart { collector, .. }
            | Self::DataSynced { collector, .. }
            | Self::SidecarSynced { collector, .. } => Some(collector + 1),
        }
    }

    /// Tells whether it is of an earlier start of the exporter.
    pub(super) fn is_past(&self, now: u32) -> bool {
        match self {
            Self::Tick { start }
            | Self::StopCheck { start, .. }
            | Self::SpoolTurn { start, .. }
            | Self::SpoolTold { start } => *start != now,
            _ => false,
        }
    }
}
