//! The registrar's page: pools, their elements, the other registrars, and what changed lately.

use std::time::{Duration, Instant, SystemTime};

use rserpool_proto::PoolHandle;
use rserpool_proto::registrar::{
    ElementState, ElementStatus, PeerState, PeerStatus, PoolStatus, Registrar, Removal,
};
use rserpool_proto::wire::Load;
use service::page::{Cell, Column, Mark, Page, Section, Table, text};
use service::time_text;

use super::{By, Change, Gone, View, What};
use crate::text::{path_segment, pool_text, protocol, transport_text, value_text};

/// Pools in the list, pools whose elements are listed, and elements of each; the API has all.
const POOLS: usize = 50;
const TABLES: usize = 8;
const ELEMENTS: usize = 100;
/// Changes on the page.
const CHANGES: usize = 50;

/// Elements of all pools, by state.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    pools: usize,
    up: usize,
    suspect: usize,
    draining: usize,
    /// Pools without an element that is up.
    down: usize,
}

impl View {
    /// Returns the page as of `now`.
    pub(super) fn page(&mut self, now: Instant, machine: &Registrar) -> Page {
        self.gone.forget_old(now);
        let totals = totals(machine);
        let time = time_text(SystemTime::now());
        let mut page = Page::new("RSerPool registrar", &machine.id().to_string(), &time);
        let (mark, words) = self.verdict(machine, totals);
        page.state(mark, words);
        overview(page.section("overview", "Overview"), machine, totals);
        pools(page.section("pools", "Pools"), machine, totals);
        self.elements_of_pools(page.section("elements", "Pool elements"), now, machine, totals);
        peers(page.section("registrars", "Other registrars"), now, machine);
        self.recent(page.section("changes", "Recent changes"));
        page
    }

    /// How the whole is, in a few words: the worst that is to be said of it.
    fn verdict(&self, machine: &Registrar, totals: Totals) -> (Mark, &'static str) {
        let failed = self
            .gone
            .iter()
            .any(|gone| gone.has_failed() && machine.elements(&gone.pool, None, 1).is_empty());
        let dead = machine.peers().any(|peer| matches!(peer.state, PeerState::Suspect | PeerState::Dead));
        match totals {
            _ if !machine.is_ready() => (Mark::Changing, "fetching the handlespace"),
            _ if failed => (Mark::Bad, "a pool has lost all its elements"),
            Totals { down: 1.., .. } => (Mark::Bad, "a pool has no element that is up"),
            Totals { suspect: 1.., .. } => (Mark::Warning, "an element does not answer"),
            _ if dead => (Mark::Warning, "another registrar does not answer"),
            Totals { pools: 0, .. } => (Mark::Idle, "no pool element is registered"),
            Totals { draining: 1.., .. } => (Mark::Changing, "an element is draining"),
            Totals { .. } => (Mark::Good, "up"),
        }
    }

    /// A table for each of the first pools, those included that only had elements.
    fn elements_of_pools(&self, section: &mut Section, now: Instant, machine: &Registrar, totals: Totals) {
        let mut pools: Vec<(&PoolHandle, usize)> = machine
            .pools()
            .take(TABLES)
            .map(|pool| (pool.pool, pool.up + pool.suspect + pool.draining))
            .collect();
        for Gone { pool, .. } in self.gone.iter().rev() {
            if pools.len() < TABLES && !pools.iter().any(|(known, _)| *known == pool) {
                pools.push((pool, 0));
            }
        }
        if pools.is_empty() {
            section.note("No pool element is registered, and none has left within 5 minutes.");
        }
        for (pool, elements) in pools {
            section.table(self.elements_of(pool, elements, now, machine));
        }
        if totals.pools > TABLES {
            section.note("The elements of further pools are behind the links in the list of pools.");
        }
    }

    /// The table of a pool with so many elements.
    fn elements_of(&self, pool: &PoolHandle, elements: usize, now: Instant, machine: &Registrar) -> Table {
        let columns = [
            Column::text("Element"),
            Column::text("State"),
            Column::text("Load"),
            Column::text("Last keep-alive"),
            Column::text("Home registrar"),
            Column::text("Address"),
            Column::text("Policy"),
        ];
        let gone: Vec<&Gone> = self.gone.iter().rev().filter(|gone| gone.pool == *pool).collect();
        let caption = format!("Pool {}, with elements that left within 5 minutes", pool_text(pool));
        let mut table = Table::new(&caption, columns).of_total((elements + gone.len()) as u64);
        for element in machine.elements(pool, None, ELEMENTS) {
            table.row(element_row(&element, now, machine));
        }
        for gone in gone.into_iter().take(ELEMENTS) {
            table.row(gone_row(gone, now));
        }
        table
    }

    fn recent(&self, section: &mut Section) {
        let columns = [
            Column::text("Time"),
            Column::text("Element or registrar"),
            Column::text("Pool"),
            Column::text("Change"),
            Column::text("Reason"),
            Column::text("By"),
        ];
        let mut table = Table::new("The latest first; load reports are no changes", columns)
            .when_empty("Nothing has changed since the start.")
            .of_total(self.changes.len() as u64)
            .all_at("/api/v1/changes");
        for change in self.changes.iter().rev().take(CHANGES) {
            table.row(change_row(change));
        }
        section.table(table);
    }
}

impl Gone {
    /// Whether it left without saying so, as far as this registrar knows.
    const fn has_failed(&self) -> bool {
        match self.reason {
            Removal::Expired | Removal::Unreachable | Removal::ConnectionLost | Removal::TakenOverSilent => {
                true
            }
            Removal::Deregistered | Removal::HomeSaid | Removal::NotListed => false,
        }
    }
}

fn totals(machine: &Registrar) -> Totals {
    machine.pools().fold(Totals::default(), |totals, pool| Totals {
        pools: totals.pools + 1,
        up: totals.up + pool.up,
        suspect: totals.suspect + pool.suspect,
        draining: totals.draining + pool.draining,
        down: totals.down + usize::from(pool.up == 0),
    })
}

fn overview(section: &mut Section, machine: &Registrar, totals: Totals) {
    let synchronized = match machine.is_ready() {
        true => Cell::mark(Mark::Good, "yes"),
        false => Cell::mark(Mark::Changing, "not yet"),
    };
    section.facts([
        ("Pools", totals.pools.into()),
        ("Elements up", totals.up.into()),
        ("Elements suspect", totals.suspect.into()),
        ("Elements draining", totals.draining.into()),
        ("Other registrars", machine.peers().count().into()),
        ("Handlespace fetched", synchronized),
    ]);
}

fn pools(section: &mut Section, machine: &Registrar, totals: Totals) {
    let columns = [
        Column::text("Pool"),
        Column::text("State"),
        Column::text("Policy"),
        Column::text("Transport"),
        Column::number("Up"),
        Column::number("Suspect"),
        Column::number("Draining"),
        Column::text("All elements"),
    ];
    let mut table = Table::new("By their handles", columns)
        .when_empty("No pool is known.")
        .of_total(totals.pools as u64)
        .all_at("/api/v1/pools");
    for pool in machine.pools().take(POOLS) {
        table.row(pool_row(&pool));
    }
    section.table(table);
}

fn pool_row(pool: &PoolStatus<'_>) -> [Cell; 8] {
    let state = match (pool.up, pool.suspect, pool.draining) {
        (0, _, _) => Cell::mark(Mark::Bad, "no element up"),
        (_, 1.., _) => Cell::mark(Mark::Warning, "elements suspect"),
        (_, _, 1..) => Cell::mark(Mark::Changing, "elements draining"),
        _ => Cell::mark(Mark::Good, "up"),
    };
    let path = format!("/api/v1/pools/{}/elements", path_segment(pool.pool.as_octets()));
    [
        pool_text(pool.pool).into_owned().into(),
        state,
        pool.policy.to_string().into(),
        pool.transport.map(protocol).into(),
        pool.up.into(),
        pool.suspect.into(),
        pool.draining.into(),
        Cell::link(&path, "JSON"),
    ]
}

fn element_row(status: &ElementStatus, now: Instant, machine: &Registrar) -> [Cell; 7] {
    let ElementStatus { element, state, answered, .. } = status;
    let state = match state {
        ElementState::Up => Cell::mark(Mark::Good, state.label()),
        ElementState::Suspect => Cell::mark(Mark::Warning, state.label()),
        ElementState::Draining => Cell::mark(Mark::Changing, state.label()),
    };
    let keep_alive = match answered {
        Some(at) => Cell::from(ago(now.saturating_duration_since(*at))),
        None if element.home == machine.id() => "not yet answered".into(),
        None => "its home asks".into(),
    };
    let home = match element.home == machine.id() {
        true => format!("{} (this one)", element.home),
        false => element.home.to_string(),
    };
    [
        element.pe.to_string().into(),
        state,
        load(element.policy.load()),
        keep_alive,
        home.into(),
        transport_text(element).into(),
        policy(&element.policy.to_string()).into(),
    ]
}

fn load(load: Option<Load>) -> Cell {
    load.map(|load| Cell::meter(load.share(), &load.to_string())).into()
}

/// A policy without the load, which has a column.
fn policy(text: &str) -> String {
    let Some((name, rest)) = text.split_once(" load ") else { return text.to_owned() };
    rest.split_once(' ').map_or(name.to_owned(), |(_, values)| format!("{name} {values}"))
}

fn gone_row(gone: &Gone, now: Instant) -> [Cell; 7] {
    let why = format!("gone: {}, {}", gone.reason.label(), ago(now.saturating_duration_since(gone.at)));
    let mark = if gone.has_failed() { Mark::Bad } else { Mark::Idle };
    let of = |key: &str| Cell::from(gone.element[key].as_str());
    [
        gone.pe.to_string().into(),
        Cell::mark(mark, &why),
        Cell::none(),
        Cell::none(),
        of("home"),
        value_text(&gone.element["transport"]).into(),
        gone.element["policy"].as_str().map(policy).into(),
    ]
}

fn ago(time: Duration) -> String {
    format!("{} ago", text::duration(time))
}

fn peers(section: &mut Section, now: Instant, machine: &Registrar) {
    let columns = [
        Column::text("Registrar"),
        Column::text("State"),
        Column::text("Addresses"),
        Column::text("Transport"),
        Column::text("Last heard"),
        Column::number("Its elements"),
        Column::text("Same view of them"),
    ];
    let mut table = Table::new("Registrars this one replicates with", columns)
        .when_empty("This registrar is alone.")
        .all_at("/api/v1/peers");
    for peer in machine.peers() {
        table.row(peer_row(&peer, now));
    }
    section.table(table);
}

fn peer_row(peer: &PeerStatus, now: Instant) -> [Cell; 7] {
    let mark = match peer.state {
        PeerState::Active => Mark::Good,
        PeerState::Unheard => Mark::Changing,
        PeerState::Suspect => Mark::Warning,
        PeerState::Dead => Mark::Bad,
    };
    let transport = match peer.protocol {
        Some(protocol) if peer.connected => Cell::from(protocol.to_string()),
        _ => Cell::mark(Mark::Bad, "not connected"),
    };
    let same = match peer.checksum_told {
        None => Cell::none(),
        Some(told) if told == peer.checksum_held => Cell::mark(Mark::Good, "yes"),
        Some(_) => Cell::mark(Mark::Changing, "not yet"),
    };
    let addresses: Vec<String> = peer.addresses.iter().map(ToString::to_string).collect();
    [
        peer.id.to_string().into(),
        Cell::mark(mark, peer.state.label()),
        addresses.join(", ").into(),
        transport,
        peer.last_heard.map(|at| ago(now.saturating_duration_since(at))).into(),
        peer.elements.into(),
        same,
    ]
}

fn change_row(change: &Change) -> [Cell; 6] {
    let time = time_text(change.time).into();
    match &change.what {
        What::Element { pool, pe, event, reason, by } => [
            time,
            pe.to_string().into(),
            pool.text().into(),
            (*event).into(),
            (*reason).into(),
            by.as_ref().map(By::text).into(),
        ],
        What::Registrar { registrar, event } => {
            [time, registrar.to_string().into(), Cell::none(), (*event).into(), Cell::none(), Cell::none()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_told_in_its_own_column_only() {
        assert_eq!(policy("round-robin"), "round-robin");
        assert_eq!(policy("least-used load 17.4%"), "least-used");
        assert_eq!(
            policy("priority-least-used load 1.0% degradation 2.0%"),
            "priority-least-used degradation 2.0%"
        );
    }
}
