//! Packets of interfaces, as they come: rings of every interface whose name matches, also of those that appear later.
//!
//! Which interfaces there are is asked for once a second: a question of some microseconds, where following the kernel's own news
//! of them (rtnetlink) would be a protocol to speak, with messages that may get lost, for the fraction of a second it gains.
#![expect(clippy::disallowed_methods, reason = "driver: live packets have the time of the clock")]

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

use super::interface_drops::{INTERFACES, InterfaceDrops};
use super::ring::{RETIRE, Ring, RingOptions, interfaces};
use super::{Filter, Interface, Packet, Pattern};

/// Between two looks at the interfaces.
const LOOK: Duration = Duration::from_secs(1);
/// Packets older than this have been lent: the kernel keeps a block for [`RETIRE`] and then some time until its timer fires.
const SETTLED: Duration = Duration::from_millis(200);

/// Which packets are captured live.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// Names of interfaces.
    pub interfaces: Vec<Pattern>,
    /// Readers that share the packets of each interface.
    pub readers: usize,
    /// Octets of memory for each interface and reader.
    pub ring: usize,
    /// Whether packets for other hosts are captured, too.
    pub promiscuous: bool,
    /// Which packets; all without one.
    pub filter: Option<Filter>,
}

/// Why live capture cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// This process may not open packet sockets.
    #[error("capturing needs the capability CAP_NET_RAW: setcap cap_net_raw+ep {program}")]
    Permission {
        /// The running program.
        program: String,
    },
    /// Something else is wrong with an interface.
    #[error("cannot capture on {interface}")]
    Interface {
        /// Its name.
        interface: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system does not tell which interfaces there are.
    #[error("cannot list the interfaces")]
    List(#[source] io::Error),
}

/// A ring with where its packets are counted.
struct Captured {
    ring: Ring,
    name: String,
    /// Its alias, for people (`ip link set eth0 alias TEXT`); may be empty.
    alias: String,
    /// Which of the patterns it is of.
    pattern: usize,
    /// Drops of it that are counted.
    drops: u64,
}

/// Opens rings of interfaces that appear.
pub struct Watch {
    options: LiveOptions,
    ring: RingOptions,
    /// By index: those whose rings could be opened, and the others.
    known: HashMap<u32, Option<Known>>,
    readers: Vec<Sender<Captured>>,
}

/// An interface that is captured.
#[derive(Clone, Copy)]
struct Known {
    pattern: usize,
    /// Its drops up to the last look.
    drops: InterfaceDrops,
}

/// What an interface dropped between two looks at it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lost {
    /// Its index.
    pub interface: u32,
    /// Which of the patterns it is of.
    pub pattern: usize,
    /// Packets.
    pub drops: InterfaceDrops,
}

/// Packets for one thread: one ring of each interface.
pub struct Reader {
    rings: Vec<Captured>,
    arrivals: Receiver<Captured>,
    described: Vec<Interface>,
    /// By pattern: packets lent, and packets dropped by the kernel.
    counts: Vec<Counts>,
}

/// What became of the packets of the interfaces of one pattern.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Lent.
    pub lent: u64,
    /// Had no room in the ring.
    pub dropped: u64,
}

/// Opens the rings of the interfaces that are there; [`Watch::run`] opens those of the others when they appear.
///
/// Fails without CAP_NET_RAW, and where an interface that is there cannot be captured on.
pub fn open(options: LiveOptions) -> Result<(Watch, Vec<Reader>), LiveError> {
    let LiveOptions { ring, promiscuous, ref filter, .. } = options;
    let ring = RingOptions { octets: ring, promiscuous, filter: filter.clone() };
    let counts = vec![Counts::default(); options.interfaces.len()];
    let (senders, readers) = (0..options.readers.max(1))
        .map(|_| {
            let (sender, arrivals) = channel();
            (sender, Reader { rings: Vec::new(), arrivals, described: Vec::new(), counts: counts.clone() })
        })
        .unzip();
    let mut watch = Watch { options, ring, known: HashMap::new(), readers: senders };
    if let Some(error) = watch.look().map_err(LiveError::List)?.into_iter().next() {
        return Err(error);
    }
    for pattern in watch.missing() {
        warn!(interface = %pattern, "no such interface yet, waiting for it");
    }
    Ok((watch, readers))
}

/// Returns the names of the interfaces of this host that a pattern matches. Fails where the operating system does not list them.
pub fn matching(pattern: &Pattern) -> io::Result<Vec<String>> {
    let names = interfaces()?.into_iter().map(|(_, name)| name);
    Ok(names.filter(|name| pattern.matches(name)).collect())
}

impl Watch {
    /// Looks for interfaces once a second until the other end of `stopped` is dropped, and hands over what each that is captured has
    /// dropped meanwhile, none included.
    pub fn run(mut self, stopped: &Receiver<()>, mut tell: impl FnMut(Lost)) {
        while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            match self.look() {
                Ok(errors) => errors.into_iter().for_each(|error| {
                    warn!(error = format!("{:#}", anyhow::Error::new(error)), "interface not captured");
                }),
                Err(error) => warn!(%error, "cannot list the interfaces"),
            }
            self.drops().into_iter().for_each(&mut tell);
        }
    }

    /// Opens rings of interfaces that were not there before; returns what went wrong with some of them, once each.
    fn look(&mut self) -> io::Result<Vec<LiveError>> {
        let found = interfaces()?;
        self.known.retain(|known, _| found.iter().any(|(index, _)| index == known));
        let mut errors = Vec::new();
        for (index, name) in found {
            let pattern = self.options.interfaces.iter().position(|pattern| pattern.matches(&name));
            let Some(pattern) = pattern.filter(|_| !self.known.contains_key(&index)) else { continue };
            // What it dropped before is not lost here.
            let drops = InterfaceDrops::read(Path::new(INTERFACES), &name);
            let opened = self.open(index, &name, pattern);
            self.known.insert(index, opened.is_ok().then_some(Known { pattern, drops }));
            errors.extend(opened.err().map(|error| refusal(name, error)));
        }
        Ok(errors)
    }

    /// Returns what captured interfaces have dropped since the last time.
    fn drops(&mut self) -> Vec<Lost> {
        let found = interfaces().unwrap_or_default();
        let drops = found.into_iter().filter_map(|(interface, name)| {
            let known = self.known.get_mut(&interface)?.as_mut()?;
            let drops = InterfaceDrops::read(Path::new(INTERFACES), &name);
            let since = drops.since(std::mem::replace(&mut known.drops, drops));
            Some(Lost { interface, pattern: known.pattern, drops: since })
        });
        drops.collect()
    }

    fn open(&self, index: u32, name: &str, pattern: usize) -> io::Result<()> {
        let rings = Ring::open(index, self.readers.len(), &self.ring)?;
        info!(interface = name, index, "capturing");
        let alias = fs::read_to_string(format!("/sys/class/net/{name}/ifalias")).unwrap_or_default();
        for (reader, ring) in self.readers.iter().zip(rings) {
            // A reader that is gone needs none.
            let _ = reader.send(Captured {
                ring,
                name: name.to_owned(),
                alias: alias.trim_end().to_owned(),
                pattern,
                drops: 0,
            });
        }
        Ok(())
    }

    /// Patterns without an interface.
    fn missing(&self) -> Vec<&Pattern> {
        let found = interfaces().unwrap_or_default();
        let is_there = |pattern: &Pattern| found.iter().any(|(_, name)| pattern.matches(name));
        self.options.interfaces.iter().filter(|pattern| !is_there(pattern)).collect()
    }
}

fn refusal(interface: String, source: io::Error) -> LiveError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => LiveError::Permission {
            program: std::env::current_exe()
                .map_or_else(|_| "ipfix-exporter".to_owned(), |path| path.display().to_string()),
        },
        _ => LiveError::Interface { interface, source },
    }
}

impl Reader {
    /// Hands over the packets that are there, of each ring no more than one block; returns whether there were any.
    #[inline]
    pub fn read(&mut self, mut take: impl FnMut(&Packet<'_>)) -> bool {
        let mut any = false;
        for Captured { ring, pattern, .. } in &mut self.rings {
            let mut lent = 0;
            while let Some(packet) = ring.next_packet() {
                take(&packet);
                lent += 1;
                if ring.at_end_of_block() {
                    break;
                }
            }
            self.counts[*pattern].lent += lent;
            any |= lent > 0;
        }
        any
    }

    /// Waits for packets, no longer than `limit`.
    ///
    /// Fails where the operating system has no memory for it.
    pub fn wait(&self, limit: Duration) -> io::Result<()> {
        Ring::wait(self.rings.iter().map(|captured| &captured.ring), limit)
    }

    /// Takes in rings of new interfaces, gives up those of interfaces that are gone, and counts drops. To be called from time to
    /// time: that new packets wait meanwhile is what the ring is for.
    pub fn look(&mut self) {
        for captured in self.arrivals.try_iter() {
            let Captured { ring, name, alias, .. } = &captured;
            let (name, description) = (name.clone(), alias.clone());
            self.described.push(Interface { index: ring.interface(), name, description });
            self.rings.push(captured);
        }
        for captured in &mut self.rings {
            let drops = captured.ring.drops();
            self.counts[captured.pattern].dropped += drops - captured.drops;
            captured.drops = drops;
        }
        self.rings.retain(|Captured { ring, name, drops, .. }| {
            let stays = ring.is_there();
            if !stays {
                info!(interface = name, index = ring.interface(), drops, "interface gone");
            }
            stays
        });
    }

    /// Receives nothing more. What was received until here is still there to read, the last of it after the time returned.
    pub fn close(&self) -> Duration {
        for Captured { ring, name, .. } in &self.rings {
            if let Err(error) = ring.close() {
                warn!(%error, interface = name, "still receiving");
            }
        }
        RETIRE * 3
    }

    /// Returns the interfaces that came since the last call.
    pub fn take_interfaces(&mut self) -> Vec<Interface> {
        std::mem::take(&mut self.described)
    }

    /// Returns what became of packets since the last call, by pattern.
    pub fn take_counts(&mut self) -> impl Iterator<Item = Counts> {
        self.counts.iter_mut().map(std::mem::take)
    }
}

/// Returns the time up to which all packets were read when there are none to read: the clock's, less what the kernel may keep back.
pub fn settled() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_sub(SETTLED).as_nanos()).unwrap_or(u64::MAX)
}
