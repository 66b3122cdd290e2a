//! The exporter's spool at work: what [`Failover`](crate::failover::Failover) asks of the disk, done one command after the
//! other.
//!
//! [`Worker`] is the whole of it, without a thread; [`Spooling`] runs it beside the exporter, so that no disk keeps it waiting.

mod thread;

use std::collections::VecDeque;
use std::sync::Arc;

use delivery::session_record;
use ipfix::TemplateRecord;
use spool::{Cursor, Disk, Medium, New, Position, Spool, SpoolError};

use crate::export::templates::{options_template, session_record_id};
use crate::export::{Classes, Templates};

pub use thread::Spooling;

/// Octets of sets returned at once at most, and one message.
const RETURNED: usize = 1 << 20;
/// Identifier and length of a set (RFC 7011 section 3.3.2).
const SET_HEADER: usize = 4;

/// What is asked of the spool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Takes a message: the next in order.
    Append(Appended),
    /// Returns the next messages that memory does not hold, as far as they are synced.
    Return,
    /// No message before this position is needed any more.
    Release(Position),
    /// The template sets of messages from here on: those before, and more.
    Templates(Vec<u8>),
}

/// A message for the spool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Appended {
    /// Its sets: a session record, then flow records.
    pub sets: Vec<u8>,
    /// Flow records in them.
    pub flow_records: u32,
    /// Seconds since the Unix epoch.
    pub export_time: u32,
    /// Its records are in memory, too, so that it need not be returned.
    pub in_memory: bool,
}

/// A message that comes back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Returned {
    /// Where it is.
    pub position: Position,
    /// Its sets, as appended.
    pub sets: Vec<u8>,
    /// Flow records in them.
    pub flow_records: u32,
    /// The template sets of the process that appended it; empty where they cannot be read.
    pub templates: Arc<[u8]>,
}

/// What the spool tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Everything before this position is on disk, and so many octets are used.
    Synced {
        /// The position.
        until: Position,
        /// Of all segments.
        octets: u64,
    },
    /// Released messages have left, and so many octets are used.
    Freed {
        /// Of all segments.
        octets: u64,
    },
    /// The answer to [`Command::Return`], in order; `end`: there is no synced message behind these.
    Returned {
        /// The messages.
        messages: Vec<Returned>,
        /// Whether that is all.
        end: bool,
    },
    /// The spool was full, and the oldest messages made room.
    Dropped {
        /// No message before this position is on disk any more.
        until: Position,
        /// Flow records in them that had not been returned, and never will be.
        flow_records: u64,
    },
    /// The disk does not take what was appended. It is tried again each second, until [`Event::Synced`].
    Failing {
        /// Why.
        error: String,
    },
    /// The disk does not return what is asked for. It is tried again each second, until [`Event::Returned`].
    Unread {
        /// Why.
        error: String,
    },
}

/// Does what it is told with a spool.
pub struct Worker<M: Medium = Disk> {
    spool: Spool<M>,
    /// The next message that memory does not hold.
    cursor: Cursor,
    /// The templates of the message returned last.
    templates: Arc<[u8]>,
    events: VecDeque<Event>,
    /// The last sync failed.
    unwritten: bool,
    /// The last [`Command::Return`] failed.
    unread: bool,
}

impl<M: Medium> Worker<M> {
    /// Returns the worker of a spool that was just opened.
    pub fn new(spool: Spool<M>) -> Self {
        Self {
            spool,
            cursor: Cursor::at(Position(0)),
            templates: Arc::default(),
            events: VecDeque::new(),
            unwritten: false,
            unread: false,
        }
    }

    /// Takes a command. [`Worker::sync`] is to be called after some of them.
    pub fn handle(&mut self, command: Command) {
        match command {
            Command::Append(message) => self.append(&message),
            Command::Return => self.give_back(),
            Command::Release(until) => self.release(until),
            Command::Templates(sets) => {
                if let Err(error) = self.spool.set_templates(sets) {
                    // The relay bounds its templates to what fits; without them, records are lost if the process ends.
                    tracing::error!(%error, "templates for the spool are lost");
                }
            }
        }
    }

    fn release(&mut self, until: Position) {
        let before = self.spool.octets();
        self.spool.release(until);
        let octets = self.spool.octets();
        if octets != before {
            self.events.push_back(Event::Freed { octets });
        }
    }

    /// Brings to the disk what was appended, and tries again what failed.
    pub fn sync(&mut self) {
        if self.unread {
            self.give_back();
        }
        if self.spool.pending_octets() == 0 {
            return;
        }
        match self.spool.sync() {
            Ok(()) => {
                self.unwritten = false;
                let (until, octets) = (self.spool.synced(), self.spool.octets());
                self.events.push_back(Event::Synced { until, octets });
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unwritten, true) {
                    self.events.push_back(Event::Failing { error: error.to_string() });
                }
            }
        }
    }

    /// Returns what the spool tells next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns the spool, as far as the commands so far have brought it.
    pub const fn spool(&self) -> &Spool<M> {
        &self.spool
    }

    /// Tells whether [`Worker::sync`] is to be called again after a second.
    pub const fn is_failing(&self) -> bool {
        self.unwritten || self.unread
    }

    /// Syncs, and ends the spool. Nothing before `until` stays on disk.
    ///
    /// Fails when the disk does; what was appended last is lost then.
    pub fn close(self, until: Position) -> Result<(), SpoolError> {
        self.spool.close(until)
    }

    fn append(&mut self, message: &Appended) {
        let &Appended { ref sets, flow_records, export_time, in_memory } = message;
        let new = New { export_time, sets, flow_records, options_records: 1 };
        let (mut gone, mut flow_records) = (None, 0);
        let appended = loop {
            match self.spool.append(new) {
                Err(SpoolError::Full { .. }) if self.spool.oldest_end().is_some() => {
                    gone = self.spool.oldest_end();
                    flow_records += self.drop_oldest();
                }
                appended => break appended,
            }
        };
        self.events.extend(gone.map(|until| Event::Dropped { until, flow_records }));
        match appended {
            Ok(position) if in_memory => self.cursor = Cursor::at(Position(position.0 + 1)),
            Ok(_) => {}
            // A message fits a page, and there is room for some: the machine bounds what waits here.
            Err(error) => tracing::error!(%error, "a message for the spool is lost"),
        }
    }

    /// Gives up the oldest segment; returns how many flow records in it had not been returned.
    fn drop_oldest(&mut self) -> u64 {
        let Some(end) = self.spool.oldest_end() else { return 0 };
        let mut lost = 0;
        while self.cursor.position() < end
            && let Ok(Some(message)) = self.spool.read(&mut self.cursor)
        {
            lost += u64::from(message.flow_records);
        }
        self.spool.drop_oldest();
        lost
    }

    fn give_back(&mut self) {
        let (mut messages, mut octets) = (Vec::new(), 0);
        let failed = std::mem::take(&mut self.unread);
        let end = loop {
            match self.spool.read(&mut self.cursor) {
                Ok(Some(read)) => {
                    if *self.templates != *read.templates {
                        self.templates = read.templates.into();
                    }
                    octets += read.sets.len();
                    messages.push(Returned {
                        position: read.position,
                        sets: read.sets.to_vec(),
                        flow_records: read.flow_records,
                        templates: Arc::clone(&self.templates),
                    });
                    if octets >= RETURNED {
                        break false;
                    }
                }
                Ok(None) => break true,
                // What was read before it goes back now; the next command finds the same error.
                Err(_) if !messages.is_empty() => break false,
                Err(error) => {
                    self.unread = true;
                    if !failed {
                        self.events.push_back(Event::Unread { error: error.to_string() });
                    }
                    return;
                }
            }
        };
        self.events.push_back(Event::Returned { messages, end });
    }
}

/// Returns the template sets that a segment begins with, for records of class `reliable` by these templates.
pub fn templates(templates: &Templates) -> Vec<u8> {
    let stream = Classes::RELIABLE_STREAM;
    let session =
        options_template(session_record_id(stream), &session_record::FIELDS, session_record::SCOPE_FIELDS);
    let mut octets = set(ipfix::OPTIONS_TEMPLATE_SET, &[session]);
    if !templates.is_empty() {
        octets.extend(set(ipfix::TEMPLATE_SET, &templates.records(stream).collect::<Vec<_>>()));
    }
    octets
}

fn set(id: u16, templates: &[TemplateRecord]) -> Vec<u8> {
    let mut octets = id.to_be_bytes().to_vec();
    octets.extend([0; 2]);
    templates.iter().for_each(|template| template.encode(&mut octets));
    let length = u16::try_from(octets.len()).expect("the templates of a table are bounded");
    octets[2..SET_HEADER].copy_from_slice(&length.to_be_bytes());
    octets
}
