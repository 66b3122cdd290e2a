//! Connecting to one of several addresses over a stack with one path (RFC 8305 section 5).
#![expect(clippy::disallowed_methods, reason = "driver: reads the clock")]

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::{Association, ConnectError};

/// From one attempt to the next: the Connection Attempt Delay recommended by RFC 8305 section 5.
const DELAY: Duration = Duration::from_millis(250);

/// From the first attempt to the last: whoever has many addresses keeps nobody waiting for them.
const SPREAD: Duration = Duration::from_secs(2);

/// Starts the attempts one after the other, each when the one before it failed or [`DELAY`] has passed, and
/// returns the first association that is up; the other attempts are aborted. The error is the last one;
/// `None` without any attempt.
pub(super) async fn first_up<F>(attempts: Vec<F>) -> Option<Result<Association, ConnectError>>
where
    F: Future<Output = Result<Association, ConnectError>> + Send + 'static,
{
    let delay = DELAY.min(SPREAD / u32::try_from(attempts.len()).unwrap_or(u32::MAX).max(1));
    let mut waiting = attempts.into_iter();
    let mut running = JoinSet::new();
    running.spawn(waiting.next()?);
    let mut next = Instant::now() + delay;
    loop {
        let more = waiting.len() > 0;
        let ended = tokio::select! {
            Some(ended) = running.join_next() => Some(ended),
            () = sleep_until(next), if more => None,
        };
        match ended {
            Some(Ok(Err(error))) if more || !running.is_empty() => {
                tracing::debug!(%error, "address of the peer not reached");
            }
            // An attempt panics only with the runtime's end.
            Some(outcome) => return Some(outcome.unwrap_or(Err(ConnectError::EndpointClosed))),
            None => {}
        }
        if let Some(attempt) = waiting.next() {
            running.spawn(attempt);
            next = Instant::now() + delay;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PeerAddress;
    use crate::sim::{self, Options};

    /// What an attempt at address `n` does: after so many milliseconds it fails or is up.
    async fn attempt(n: u64, after: u64, up: bool) -> Result<Association, ConnectError> {
        tokio::time::sleep(Duration::from_millis(after)).await;
        let peer = PeerAddress::Sim(n);
        if up { Ok(sim::pair(n, Options::default()).0) } else { Err(ConnectError::TimedOut(peer)) }
    }

    /// Runs attempts; returns the address that was up or the last failure, and the milliseconds it took.
    async fn run(attempts: &[(u64, bool)]) -> (Result<PeerAddress, String>, u128) {
        let begin = Instant::now();
        let attempts = attempts.iter().zip(0..).map(|(&(after, up), n)| attempt(n, after, up)).collect();
        let outcome = first_up(attempts).await.unwrap();
        (
            outcome.map(|association| association.peer()).map_err(|e| e.to_string()),
            begin.elapsed().as_millis(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_silent_delays_the_next_by_a_quarter_of_a_second() {
        let (outcome, took) = run(&[(3_000, false), (10, true)]).await;
        assert_eq!((outcome, took / 10), (Ok(PeerAddress::Sim(1)), 26));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_starts_the_next_attempt_at_once() {
        let (outcome, took) = run(&[(10, false), (10, true)]).await;
        assert_eq!((outcome, took / 10), (Ok(PeerAddress::Sim(1)), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_wins_over_a_slower_second() {
        let (outcome, took) = run(&[(300, true), (300, true)]).await;
        assert_eq!((outcome, took / 10), (Ok(PeerAddress::Sim(0)), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_failure_is_told_when_every_address_fails() {
        let (outcome, took) = run(&[(3_000, false), (3_000, false), (10, false)]).await;
        assert_eq!((outcome, took / 10), (Err("sim 1: no answer".to_owned()), 325));
    }

    #[tokio::test(start_paused = true)]
    async fn sixty_four_silent_addresses_take_two_seconds_more_than_one() {
        let (_, took) = run(&[(3_000, false); 64]).await;
        assert!((4_900..5_100).contains(&took), "{took} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn giving_up_ends_every_attempt() {
        let (alive, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        let attempts = [alive.clone(), alive].map(|alive| async move {
            let _alive = alive;
            std::future::pending().await
        });
        let connecting = tokio::time::timeout(Duration::from_secs(1), first_up(attempts.into()));
        assert!(connecting.await.is_err());
        assert_eq!(ended.recv().await, None);
    }
}
