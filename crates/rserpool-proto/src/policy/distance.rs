//! Distance of pool elements (delay measurement draft): how long a packet takes to them, and what policies make
//! of it.
//!
//! The home registrar measures: half the smoothed round trip of the element's association, in steps, so that
//! small changes are not told. A registrar that receives an update or a table adds its own distance to the
//! sender, so everybody has the distance from himself, by way of the home registrar.

use std::time::Duration;

use crate::wire::{Load, Policy};

/// A distance in milliseconds, a multiple of a step.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Distance(pub u32);

impl Distance {
    /// Returns half of the round trip, rounded to the next multiple of `step`; whole milliseconds without step.
    pub fn of_round_trip(round_trip: Duration, step: Duration) -> Distance {
        let step = step.as_millis().max(1);
        let steps = (round_trip.as_micros() + step * 1000) / (step * 2000);
        Distance(u32::try_from(steps * step).unwrap_or(u32::MAX))
    }

    /// Returns the distance told before where the round trip is still within three quarters of a step of it, so that
    /// one between two steps is not told again and again; else this one.
    pub fn or_nearly(self, before: Option<Distance>, round_trip: Duration, step: Duration) -> Distance {
        let near = step.max(Duration::from_millis(1)) * 3 / 4;
        let is_near = |before: &Distance| {
            let told = Duration::from_millis(before.0.into());
            (round_trip / 2).abs_diff(told) <= near
        };
        before.filter(is_near).unwrap_or(self)
    }
}

/// Sets the distance of an element, if its policy has one; returns whether that changed it.
///
/// For the home registrar, which measures.
pub fn set_distance(policy: &mut Policy, measured: Distance) -> bool {
    policy.distance_mut().is_some_and(|distance| std::mem::replace(distance, measured.0) != measured.0)
}

/// Adds the distance to the sender to that of an element it told, if its policy has one.
///
/// For a registrar that receives an update or a table.
pub fn add_distance(policy: &mut Policy, to_sender: Distance) {
    if let Some(distance) = policy.distance_mut() {
        *distance = distance.saturating_add(to_sender.0);
    }
}

/// The load with what the distance adds; more than full is full.
pub(super) fn distant(load: u64, per_millisecond: Load, distance: u32) -> u64 {
    let penalty = u64::from(per_millisecond.0) * u64::from(distance);
    load.saturating_add(penalty).min(u64::from(Load::FULL.0))
}

/// The weight without what the distance takes; something is left of every weight but zero.
pub(super) fn reduced(weight: u32, per_millisecond: Load, distance: u32) -> u32 {
    let all = u128::from(Load::FULL.0);
    let penalty = u128::from(weight) * u128::from(per_millisecond.0) * u128::from(distance);
    let rounded = (penalty + all / 2) / all;
    let left = weight.saturating_sub(u32::try_from(rounded).unwrap_or(u32::MAX));
    left.max(weight.min(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(50);

    fn measured(round_trip: u64, step: Duration) -> u32 {
        Distance::of_round_trip(Duration::from_millis(round_trip), step).0
    }

    #[test]
    fn distance_is_half_the_round_trip_rounded_to_the_step() {
        assert_eq!([0, 49, 50, 149, 150, 200].map(|trip| measured(trip, STEP)), [0, 0, 50, 50, 100, 100]);
        assert_eq!(measured(200, Duration::from_millis(10)), 100);
        assert_eq!(measured(3, Duration::ZERO), 2);
        assert_eq!(Distance::of_round_trip(Duration::MAX, STEP), Distance(u32::MAX));
    }

    #[test]
    fn a_round_trip_between_two_steps_does_not_change_the_distance_back_and_forth() {
        let follow = |before, trip| {
            let trip = Duration::from_millis(trip);
            Distance::of_round_trip(trip, STEP).or_nearly(Some(Distance(before)), trip, STEP).0
        };
        assert_eq!([follow(0, 60), follow(50, 40), follow(50, 100)], [0, 50, 50]);
        assert_eq!([follow(0, 80), follow(50, 20), follow(50, 200)], [50, 0, 100]);
    }

    #[test]
    fn registrars_set_and_add_where_there_is_a_distance() {
        let mut policy = Policy::LeastUsedDpf { load: Load(7), load_dpf: Load(1), distance: 9 };
        assert!(set_distance(&mut policy, Distance(100)));
        assert!(!set_distance(&mut policy, Distance(100)));
        add_distance(&mut policy, Distance(50));
        assert_eq!(policy, Policy::LeastUsedDpf { load: Load(7), load_dpf: Load(1), distance: 150 });
        add_distance(&mut policy, Distance(u32::MAX));
        assert_eq!(policy.distance_mut().copied(), Some(u32::MAX));
        assert!(!set_distance(&mut Policy::RoundRobin, Distance(1)));
    }

    #[test]
    fn distance_adds_to_the_load_up_to_full() {
        assert_eq!(distant(10, Load(3), 100), 310);
        assert_eq!(distant(10, Load::FULL, u32::MAX), u64::from(u32::MAX));
    }

    #[test]
    fn distance_takes_of_the_weight_but_never_all() {
        let tenth_per_second = Load::of(1, 10_000);
        assert_eq!(reduced(1000, tenth_per_second, 1_000), 900);
        assert_eq!(reduced(1000, tenth_per_second, 20_000), 1);
        assert_eq!(reduced(0, tenth_per_second, 5), 0);
        assert_eq!(reduced(5, Load(0), u32::MAX), 5);
    }
}
