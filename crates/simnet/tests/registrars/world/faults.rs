//! How faults strike: processes end, stop or start again, machines lose power, networks part.

use std::time::{Duration, Instant};

use super::connections::{Input, Stage};
use super::{Node, State, World};

/// Nothing passes between two nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) since: Instant,
    pub(super) until: Instant,
}

impl World {
    pub(super) fn pair(one: Node, other: Node) -> (Node, Node) {
        (one.min(other), one.max(other))
    }

    fn set(&mut self, node: Node, state: State) {
        let now = self.now;
        let place = &mut self.places[node.0];
        (place.state, place.since) = (state, now);
    }

    /// Counts what happens to the node from now.
    pub(crate) fn touch(&mut self, node: Node) {
        self.set(node, self.places[node.0].state);
    }

    pub(crate) fn freeze(&mut self, node: Node) {
        self.note(node, "is stopped");
        self.set(node, State::Frozen);
        self.watch_all(|connection| connection.ends.iter().any(|end| end.node == node));
    }

    /// Continues: what arrived and what is due meet in either order.
    pub(crate) fn thaw(&mut self, node: Node) {
        if self.places[node.0].state != State::Frozen {
            return;
        }
        self.note(node, "continues");
        self.set(node, State::Running);
        if self.options.seed % 2 == 1 {
            self.fire_due(node);
        }
        while let Some(input) = self.places[node.0].waiting.pop_front() {
            self.handle(node, input);
        }
        self.fire_due(node);
    }

    /// Ends a process: its peers notice soon.
    pub(crate) fn kill(&mut self, node: Node) {
        self.note(node, "is killed");
        self.set(node, State::Killed);
        self.places[node.0].waiting.clear();
        let incarnation = self.places[node.0].incarnation;
        for connection in 0..self.connections.len() {
            for side in 0..2 {
                let [near, far] = [side, 1 - side].map(|side| self.connections[connection].ends[side]);
                if near.node != node || near.incarnation != incarnation || near.stage == Stage::Closed {
                    continue;
                }
                self.connections[connection].ends[side].stage = Stage::Closed;
                if far.stage == Stage::Up {
                    let at = self.now + self.options.kill_noticed;
                    let cut = self.cuts.get(&Self::pair(near.node, far.node));
                    let at = cut.map_or(at, |cut| at.max(cut.until));
                    self.arrive(at, far.node, Input::Lost { connection, side: 1 - side });
                    self.watch(connection, 1 - side);
                }
            }
        }
    }

    /// Takes the power from a machine: nobody notices before their own time-outs.
    pub(crate) fn power_off(&mut self, node: Node) {
        self.note(node, "loses power");
        self.set(node, State::Off);
        self.places[node.0].waiting.clear();
        self.watch_all(|connection| connection.ends.iter().any(|end| end.node == node));
    }

    /// Ends every connection between two nodes, at both sides.
    pub(crate) fn disconnect_all(&mut self, one: Node, other: Node) {
        for connection in 0..self.connections.len() {
            let nodes = self.connections[connection].ends.map(|end| end.node);
            if nodes == [one, other] || nodes == [other, one] {
                self.arrive(self.now, nodes[0], Input::Lost { connection, side: 0 });
                self.arrive(self.now, nodes[1], Input::Lost { connection, side: 1 });
            }
        }
    }

    /// Lets nothing pass between two nodes for that time.
    pub(crate) fn cut(&mut self, one: Node, other: Node, time: Duration) {
        let until = self.now + time;
        let cut = self.cuts.entry(Self::pair(one, other)).or_insert(Cut { since: self.now, until });
        if cut.until <= self.now {
            cut.since = self.now;
        }
        cut.until = cut.until.max(until);
        let until = cut.until;
        let of = |nodes: [Node; 2]| nodes == [one, other] || nodes == [other, one];
        for connection in &mut self.connections {
            if of(connection.ends.map(|end| end.node)) {
                connection.links.iter_mut().for_each(|link| link.cut(until));
            }
        }
        self.watch_all(|connection| of(connection.ends.map(|end| end.node)));
    }

    /// Cuts every pair of one group and the other.
    pub(crate) fn part(&mut self, one: &[Node], other: &[Node], time: Duration) {
        for &near in one {
            for &far in other {
                self.cut(near, far, time);
            }
        }
    }
}
