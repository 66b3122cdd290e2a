//! Registrars of ours and of rsplib's as one group, with hosts for pool elements.

use crate::check::wait_for;
use crate::network::{Host, Network};
use crate::ours::{Registrar, Settings, elements, resolve, text, wait_for_homes};
use crate::process::Process;
use crate::reference::{self, pool_element};

pub(crate) const OURS: u32 = 0x0a0b_0c01;
pub(crate) const THEIRS: u32 = 0x0a0b_0c02;
pub(crate) const THIRD: u32 = 0x0a0b_0c03;

/// Hosts of a test: registrars, pool elements, and where handles are resolved.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) registrars: [Host; 3],
    pub(crate) elements: [Host; 3],
    pub(crate) user: Host,
    next_generation: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        let network = Network::new(7);
        let registrars = [1, 2, 3].map(|number| network.host(number));
        let elements = [4, 5, 6].map(|number| network.host(number));
        let user = network.host(7);
        Self { network, registrars, elements, user, next_generation: false }
    }

    /// One whose registrars of ours have `next-generation` on.
    pub(crate) fn of_the_next_generation() -> Self {
        Self { next_generation: true, ..Self::new() }
    }

    pub(crate) fn ours(&self, id: u32, at: usize, peers: &[usize]) -> Registrar {
        let peers: Vec<&Host> = peers.iter().map(|&peer| &self.registrars[peer]).collect();
        let settings = Settings { next_generation: self.next_generation, ..Settings::beside(id, &peers) };
        Registrar::start_with(&self.network, &self.registrars[at], &settings)
    }

    /// `peers` are told to it; ours reach it, and are heard, without.
    pub(crate) fn theirs(&self, id: u32, at: usize, peers: &[usize]) -> Process {
        let peers: Vec<String> =
            peers.iter().map(|&peer| format!("-peer={}:9901", self.registrars[peer].address)).collect();
        let peers: Vec<&str> = peers.iter().map(String::as_str).chain(["-loglevel=4"]).collect();
        reference::registrar(&self.network, &self.registrars[at], id, &peers)
    }

    /// Ours, [`THIRD`], beside two rspregistrars, [`OURS`] and [`THEIRS`].
    pub(crate) fn ours_beside_two(&self) -> (Registrar, Process, Process) {
        (self.ours(THIRD, 0, &[1, 2]), self.theirs(OURS, 1, &[]), self.theirs(THEIRS, 2, &[1]))
    }

    /// Kills ours when both others have its element a1; returns which of them is its home then.
    pub(crate) fn lose(&self, mut ours: Registrar, explain: impl Fn() -> String + Copy) -> u32 {
        self.wait_for(1, &[(0xa1, THIRD)], explain);
        self.wait_for(2, &[(0xa1, THIRD)], explain);
        ours.wait_for_peer(OURS, 0);
        ours.wait_for_peer(THEIRS, 0);
        ours.process.kill();
        self.winner(explain)
    }

    /// Starts an echo server of rsplib's that knows one registrar.
    pub(crate) fn element(&self, pe: u32, at: usize, registrar: usize) -> Process {
        pool_element(&self.network, &self.elements[at], &self.registrars[registrar], pe, &["-echo"])
    }

    /// Waits until two rspregistrars, [`OURS`] and [`THEIRS`], say that the same one of them is the home of element a1:
    /// whichever noticed the death first, or the least identifier where both have.
    pub(crate) fn winner(&self, explain: impl Fn() -> String) -> u32 {
        wait_for("a new home", explain, || {
            let [first, second] = [1, 2].map(|registrar| {
                let answer = resolve(&self.user, &self.registrars[registrar], "EchoPool").unwrap_or_default();
                elements(&answer).first().map(|element| text(element, "home")).unwrap_or_default()
            });
            let named = |id: &u32| first == second && first == format!("{id:08x}");
            [OURS, THEIRS].into_iter().find(named)
        })
    }

    /// Waits until the registrar knows these elements, each `(identifier, home)`.
    pub(crate) fn wait_for(&self, registrar: usize, expected: &[(u32, u32)], explain: impl Fn() -> String) {
        wait_for_homes(&self.user, &self.registrars[registrar], "EchoPool", expected, explain);
    }
}
