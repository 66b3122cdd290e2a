//! What must hold while things go wrong, and what must hold when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::time::Duration;

use rserpool_proto::pe;
use rserpool_proto::pu::PoolUser;
use rserpool_proto::registrar::{self, PeerState};
use rserpool_proto::wire::{Load, Policy, enrp};
use rserpool_proto::{ControlProtocol, PeId, RegistrarId};

use crate::milliseconds;
use crate::scenario::Setting;
use crate::world::{Node, Told, World, pool};

/// Who was left in peace for this long must be known to everybody else who was.
const SETTLED: Duration = Duration::from_secs(15);
/// A dead element is gone within this, where its home and the network are in order.
const GONE: Duration = Duration::from_millis(3_500);
/// Who was left in peace for this long is not found dead.
const PEACE: Duration = Duration::from_secs(10);
/// Messages a node may send in a second, per node of the world.
const MESSAGES: u64 = 20;
/// Connections a node may ask for in a second, per node of the world.
const CONNECTS: u64 = 4;

#[derive(Clone, Debug)]
pub(crate) struct Violation {
    at: Duration,
    text: String,
}

impl Violation {
    pub(crate) fn new(at: Duration, text: impl Into<String>) -> Self {
        Self { at, text: text.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.3} s: {}", self.at.as_secs_f64(), self.text)
    }
}

/// What a run amounted to, so that a simulation in which nothing happens is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) homes_found: u64,
    pub(crate) homes_adopted: u64,
    pub(crate) removals: u64,
    pub(crate) adoptions: u64,
    pub(crate) takeovers: u64,
    pub(crate) takeovers_abandoned: u64,
    pub(crate) mismatches: u64,
    pub(crate) most_messages: u64,
    pub(crate) most_connects: u64,
    pub(crate) longest: usize,
}

impl std::ops::AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.homes_found += other.homes_found;
        self.homes_adopted += other.homes_adopted;
        self.removals += other.removals;
        self.adoptions += other.adoptions;
        self.takeovers += other.takeovers;
        self.takeovers_abandoned += other.takeovers_abandoned;
        self.mismatches += other.mismatches;
        self.most_messages = self.most_messages.max(other.most_messages);
        self.most_connects = self.most_connects.max(other.most_connects);
        self.longest = self.longest.max(other.longest);
    }
}

pub(crate) struct RegistrarView {
    pub(crate) node: Node,
    number: u8,
}

pub(crate) struct ElementView {
    pub(crate) node: Node,
    pub(crate) pe: PeId,
    /// It is meant to be registered.
    wanted: bool,
    /// Whom it takes for its home, and since when.
    home: Option<Node>,
    changed: Duration,
}

pub(crate) struct Census {
    pub(crate) world: World,
    pub(crate) registrars: Vec<RegistrarView>,
    pub(crate) elements: Vec<ElementView>,
    users: Vec<Node>,
    setting: Setting,
    /// When a node was last not running, or cut from another one.
    disturbed: BTreeMap<Node, Duration>,
    counted: Duration,
    pub(crate) outcome: Outcome,
}

impl Census {
    pub(crate) fn new(world: World, setting: Setting) -> Self {
        Self {
            world,
            registrars: Vec::new(),
            elements: Vec::new(),
            users: Vec::new(),
            setting,
            disturbed: BTreeMap::new(),
            counted: Duration::ZERO,
            outcome: Outcome::default(),
        }
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        let registrars = self.registrars.iter().map(|view| view.node);
        let elements = self.elements.iter().map(|view| view.node);
        registrars.chain(elements).chain(self.users.iter().copied()).collect()
    }

    pub(crate) fn add_registrar(&mut self, number: u8, all: &[u8]) {
        let config = self.world.scenario_registrar(number, all, self.setting);
        let node = self.world.add_registrar(number, config);
        if self.setting.takeover_server_lost {
            self.world.swallow(node, ControlProtocol::Enrp, enrp::MessageType::TAKEOVER_SERVER.0);
        }
        self.registrars.push(RegistrarView { node, number });
    }

    /// Starts a registrar again, with that identifier if it is another one.
    pub(crate) fn restart_registrar(&mut self, at: usize, id: Option<u32>) {
        let RegistrarView { node, number } = self.registrars[at];
        let all: Vec<u8> = self.registrars.iter().map(|view| view.number).collect();
        let mut config = self.world.scenario_registrar(number, &all, self.setting);
        if let Some(id) = id {
            config.id = Some(RegistrarId(id));
        }
        self.world.restart_registrar(node, config);
    }

    pub(crate) fn add_element(&mut self, registrars: &[u8]) {
        let number = 0xa1 + u8::try_from(self.elements.len()).expect("a small world");
        let mut config = self.world.element_config(number, registrars);
        config.policy = Policy::LeastUsed { load: Load::of(0, 100) };
        // Not everybody prefers, or knows, the same registrars.
        config.registrars.rotate_left(usize::from(number) % registrars.len());
        config.registrars.truncate(self.setting.known_registrars.max(1).into());
        let node = self.world.add_element(number, config);
        let changed = self.world.elapsed();
        self.elements.push(ElementView { node, pe: PeId(number.into()), wanted: true, home: None, changed });
    }

    pub(crate) fn restart_element(&mut self, at: usize) {
        let registrars: Vec<u8> = self.registrars.iter().map(|view| view.number).collect();
        let number = 0xa1 + u8::try_from(at).expect("a small world");
        let mut config = self.world.element_config(number, &registrars);
        config.policy = Policy::LeastUsed { load: Load::of(0, 100) };
        config.registrars.rotate_left(usize::from(number) % registrars.len());
        config.registrars.truncate(self.setting.known_registrars.max(1).into());
        self.elements[at].home = None;
        self.want(at, true);
        self.world.restart_element(self.elements[at].node, config);
    }

    /// Notes that an element is meant to be registered, or not.
    pub(crate) fn want(&mut self, element: usize, wanted: bool) {
        let view = &mut self.elements[element];
        (view.wanted, view.changed) = (wanted, self.world.elapsed());
    }

    pub(crate) fn add_user(&mut self, number: u8, registrars: &[u8]) {
        let node = self.world.add_user(number, registrars);
        self.users.push(node);
        self.world.select(node);
    }

    /// Lets a little time pass and looks around.
    pub(crate) fn tick(&mut self, time: Duration) -> Result<(), Violation> {
        self.notice_disturbances();
        self.world.run(time);
        self.listen()?;
        self.notice_disturbances();
        self.check_traffic()?;
        for element in 0..self.elements.len() {
            for registrar in 0..self.registrars.len() {
                self.check_settled(element, registrar)?;
            }
        }
        Ok(())
    }

    fn violation(&self, text: impl Into<String>) -> Violation {
        Violation::new(self.world.elapsed(), text)
    }

    /// Something is done to a node that is no fault of its own.
    pub(crate) fn disturb(&mut self, node: Node) {
        self.disturbed.insert(node, self.world.elapsed());
        self.world.touch(node);
    }

    fn notice_disturbances(&mut self) {
        let (now, nodes) = (self.world.elapsed(), self.nodes());
        for (at, &node) in nodes.iter().enumerate() {
            if !self.world.is_running(node) {
                self.disturbed.insert(node, now);
            } else {
                let before = self.disturbed.entry(node).or_insert(now);
                *before = self.world.since(node).max(*before);
            }
            for &other in &nodes[at + 1..] {
                if self.world.is_cut(node, other) {
                    self.disturbed.insert(node, now);
                    self.disturbed.insert(other, now);
                }
            }
        }
    }

    /// How long nothing has happened to the node itself and its paths.
    fn quiet(&self, node: Node) -> Duration {
        self.world.elapsed() - self.disturbed.get(&node).copied().unwrap_or_default()
    }

    /// Takes note of what machines told.
    fn listen(&mut self) -> Result<(), Violation> {
        for (at, node, told) in std::mem::take(&mut self.world.told) {
            let at = self.world.since_start(at);
            match told {
                Told::Element(event) => self.element_told(at, node, &event),
                Told::Registrar(event) => self.registrar_told(node, &event)?,
                Told::User(_) => {}
            }
        }
        Ok(())
    }

    /// Nobody is found dead who lives and was left in peace; least of all by somebody who was stopped himself.
    fn registrar_told(&mut self, node: Node, event: &registrar::Event) -> Result<(), Violation> {
        use registrar::Event;
        let outcome = &mut self.outcome;
        let (target, what) = match event {
            Event::PeerLost { peer, .. } => (*peer, "finds dead"),
            Event::TakeoverStarted { target, .. } => (*target, "wants to take over"),
            Event::TakenOver { target, .. } => {
                outcome.takeovers += 1;
                (*target, "takes over")
            }
            other => {
                match other {
                    Event::TakeoverAbandoned { .. } => outcome.takeovers_abandoned += 1,
                    Event::ChecksumMismatch { .. } => outcome.mismatches += 1,
                    Event::ElementRemoved { .. } => outcome.removals += 1,
                    Event::ElementAdopted { .. } => outcome.adoptions += 1,
                    _ => {}
                }
                return Ok(());
            }
        };
        let mut others = self.registrars.iter().map(|view| view.node);
        let other = others.find(|other| self.world.registrar(*other).id() == target);
        match other {
            Some(other) if self.world.is_running(other) && self.quiet(other) >= PEACE => {
                let [node, other] = [node, other].map(|node| self.world.name(node));
                Err(self.violation(format!("{node} {what} {other}, which lives")))
            }
            _ => Ok(()),
        }
    }

    fn element_told(&mut self, at: Duration, node: Node, event: &pe::Event) {
        let home = match event {
            pe::Event::RegistrarFound { address } => {
                self.outcome.homes_found += 1;
                self.registrars.iter().map(|view| view.node).find(|n| self.world.ip(*n) == address.ip)
            }
            pe::Event::HomeAdopted { registrar, .. } => {
                self.outcome.homes_adopted += 1;
                let mut nodes = self.registrars.iter().map(|view| view.node);
                nodes.find(|node| self.world.registrar(*node).id() == *registrar)
            }
            pe::Event::RegistrarLost { .. } => None,
            _ => return,
        };
        if let Some(view) = self.elements.iter_mut().find(|view| view.node == node) {
            (view.home, view.changed) = (home, at);
        }
    }

    fn check_traffic(&mut self) -> Result<(), Violation> {
        let now = self.world.elapsed();
        if now < self.counted + Duration::from_secs(1) {
            return Ok(());
        }
        self.counted = now;
        let nodes = self.nodes().len() as u64;
        for (node, traffic) in std::mem::take(&mut self.world.traffic) {
            self.outcome.most_messages = self.outcome.most_messages.max(traffic.messages);
            self.outcome.most_connects = self.outcome.most_connects.max(traffic.connects);
            self.outcome.longest = self.outcome.longest.max(traffic.longest);
            if traffic.messages > MESSAGES * nodes || traffic.connects > CONNECTS * nodes {
                let text = format!("a storm: {} sent {traffic:?} in a second", self.world.name(node));
                return Err(self.violation(text));
            }
        }
        Ok(())
    }

    /// Looks at one element's entry at one registrar, if both and the element's home were left in peace.
    fn check_settled(&self, element: usize, registrar: usize) -> Result<(), Violation> {
        let (view, at) = (&self.elements[element], self.registrars[registrar].node);
        if !self.world.is_running(at) || self.quiet(at) < SETTLED {
            return Ok(());
        }
        let machine = self.world.registrar(at);
        let known = machine.handlespace().pool(&pool()).and_then(|pool| pool.element(view.pe));
        let now = self.world.elapsed();
        if !self.world.is_alive(view.node) || !view.wanted {
            // Its home may have died with it, and another one taken over.
            let calm = self.registrars.iter().all(|view| self.quiet(view.node) >= SETTLED);
            let dead = now.saturating_sub(self.world.since(view.node).max(view.changed))
                > GONE + self.world.options.link.delay * 4;
            if calm && dead && known.is_some() && !self.world.is_alive(view.node) {
                let text =
                    format!("{} still has the dead {}", self.world.name(at), self.world.name(view.node));
                return Err(self.violation(text));
            }
            return Ok(());
        }
        let Some(home) = view.home else { return Ok(()) };
        let settled = self.quiet(view.node).min(self.quiet(home)).min(now.saturating_sub(view.changed));
        if settled < SETTLED {
            return Ok(());
        }
        let expected = self.world.registrar(home).id();
        let Some(known) = known else {
            let [at, lost, home] = [at, view.node, home].map(|node| self.world.name(node));
            return Err(self.violation(format!("{at} has lost {lost}, whose home is {home}")));
        };
        if known.home != expected {
            let [at, of] = [at, view.node].map(|node| self.world.name(node));
            let text = format!("{at} takes {} for the home of {of}, not {expected}", known.home);
            return Err(self.violation(text));
        }
        Ok(())
    }

    /// Compares everybody with everybody.
    pub(crate) fn at_rest(&mut self) -> Result<(), Violation> {
        self.same("the living elements", &self.living(), |census, node| {
            let machine = census.world.registrar(node);
            let pools = machine.handlespace().pools();
            pools.flat_map(|(_, pool)| pool.elements().map(|e| (e.pe, e.home)).collect::<Vec<_>>()).collect()
        })?;
        let first = self.table(self.registrars[0].node);
        self.same("the table of registrar 1", &first, Self::table)?;
        self.check_peers()?;
        self.check_users()
    }

    /// Everybody knows everybody else as living, and holds what he tells.
    fn check_peers(&self) -> Result<(), Violation> {
        let all: BTreeSet<RegistrarId> =
            self.registrars.iter().map(|view| self.world.registrar(view.node).id()).collect();
        for view in &self.registrars {
            let machine = self.world.registrar(view.node);
            let known: BTreeSet<RegistrarId> = machine
                .peers()
                .filter(|peer| peer.state == PeerState::Active && peer.connected)
                .filter(|peer| peer.checksum_told == Some(peer.checksum_held))
                .map(|peer| peer.id)
                .collect();
            let mut others = all.clone();
            others.remove(&machine.id());
            if known != others || machine.peers().count() != others.len() || !machine.is_ready() {
                let peers: Vec<_> = machine.peers().collect();
                let name = self.world.name(view.node);
                return Err(self.violation(format!("{name} has the peers {peers:?}, not {others:?}")));
            }
        }
        Ok(())
    }

    fn same<T: Debug + PartialEq>(
        &self,
        what: &str,
        expected: &T,
        of: impl Fn(&Self, Node) -> T,
    ) -> Result<(), Violation> {
        for view in &self.registrars {
            let found = of(self, view.node);
            if found != *expected {
                let name = self.world.name(view.node);
                return Err(self.violation(format!("{name} has\n  {found:?}, but {what}\n  {expected:?}")));
            }
        }
        Ok(())
    }

    /// Elements that are registered, with the registrar each takes for its home.
    fn living(&self) -> BTreeSet<(PeId, RegistrarId)> {
        let living = self.elements.iter().filter(|view| view.wanted && self.world.is_running(view.node));
        living
            .map(|view| {
                let id = view.home.map(|node| self.world.registrar(node).id());
                (view.pe, id.unwrap_or(RegistrarId::UNDETERMINED))
            })
            .collect()
    }

    /// Everything a registrar must have in common with the others.
    fn table(&self, node: Node) -> Vec<String> {
        let space = self.world.registrar(node).handlespace();
        let mut rows = Vec::new();
        for (handle, pool) in space.pools() {
            for e in pool.elements() {
                let (transport, policy) = (&e.user_transport, &e.policy);
                rows.push(format!(
                    "{handle} {} {} {transport:?} {:?} {policy:?}",
                    e.pe, e.home, e.encapsulation
                ));
            }
        }
        rows
    }

    fn check_users(&mut self) -> Result<(), Violation> {
        for user in self.users.clone() {
            self.world.with_user(user, PoolUser::resolve);
        }
        self.world.run(milliseconds(2_000));
        let living: BTreeSet<PeId> = self.living().into_iter().map(|(pe, _)| pe).collect();
        for user in self.users.clone() {
            let found: BTreeSet<PeId> =
                self.world.with_user(user, |user, _| user.elements().map(|element| element.pe).collect());
            if !living.is_empty() && found != living {
                let text = format!("{} resolved {found:?}, but there are {living:?}", self.world.name(user));
                return Err(self.violation(text));
            }
        }
        Ok(())
    }
}
