//! The dead-letter file: octets that were received and refused, in hexadecimal, one JSON line each.
//!
//! A refused record counts as covered once it stands here, so that no exporter sends it again to the whole pool. The
//! file is bounded: what does not fit any more is counted and forgotten. It is made when there is something to write.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use tracing::warn;

use super::Progress;
use super::file::sync_directory;

/// Letters that may wait; one is at most a message of 65,535 octets in hexadecimal.
const QUEUE: usize = 32;

/// One line, and who waits for it.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) line: Vec<u8>,
    pub(crate) progress: Arc<Progress>,
    /// Number of the letter in its session, from 1.
    pub(crate) number: u64,
}

/// The sending half, one per association task.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetter {
    letters: mpsc::Sender<Letter>,
}

impl DeadLetter {
    /// Starts the writer thread; it ends when every clone is dropped.
    pub(crate) fn start(path: PathBuf, limit: u64) -> io::Result<(Self, JoinHandle<()>)> {
        let (letters, received) = mpsc::channel(QUEUE);
        let writer = Writer { path, limit, file: None, failing: false };
        let thread =
            std::thread::Builder::new().name("dead-letter".to_owned()).spawn(|| writer.run(received))?;
        Ok((Self { letters }, thread))
    }

    /// Queues a letter, waiting while the queue is full. Cancel safe.
    pub(crate) async fn push(&self, letter: Letter) {
        if let Ok(room) = self.letters.reserve().await {
            room.send(letter);
        }
    }

    /// Queues a letter if there is room at once; else it is lost.
    pub(crate) fn try_push(&self, letter: Letter) {
        let _ = self.letters.try_send(letter);
    }
}

struct Writer {
    path: PathBuf,
    limit: u64,
    file: Option<(File, u64)>,
    failing: bool,
}

impl Writer {
    fn run(mut self, mut letters: mpsc::Receiver<Letter>) {
        let mut batch = Vec::with_capacity(QUEUE);
        while let Some(first) = letters.blocking_recv() {
            batch.push(first);
            while batch.len() < QUEUE
                && let Ok(more) = letters.try_recv()
            {
                batch.push(more);
            }
            // An unwritable dead-letter file must not stop the flows that are well: the letters are lost, loudly.
            match self.keep(&batch) {
                Err(error) if !std::mem::replace(&mut self.failing, true) => {
                    warn!(path = %self.path.display(), %error, "dead letters are lost");
                }
                Err(_) => {}
                Ok(()) => self.failing = false,
            }
            for letter in batch.drain(..) {
                letter.progress.tell_letter(letter.number);
            }
        }
    }

    fn keep(&mut self, batch: &[Letter]) -> io::Result<()> {
        let (file, length) = match &mut self.file {
            Some(open) => open,
            None => {
                let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
                let length = file.metadata()?.len();
                sync_directory(&self.path)?;
                self.file.insert((file, length))
            }
        };
        for letter in batch {
            let octets = letter.line.len() as u64;
            if *length + octets <= self.limit {
                if let Err(error) = file.write_all(&letter.line) {
                    // No later letter may follow a part of this one.
                    file.set_len(*length)?;
                    return Err(error);
                }
                *length += octets;
            }
        }
        file.sync_data()
    }
}
