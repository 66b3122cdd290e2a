//! What every back end promises: one suite, run on userland SCTP, kernel SCTP, TCP, TLS and the simulation.

mod ports;
mod suite;
mod support;

macro_rules! contract {
    ($backend:ident, $test:meta, $make:path) => {
        mod $backend {
            use super::{suite, support};

            contract!(@tests $test, $make,
                boundaries_streams_and_ppids_are_kept,
                a_message_of_60_000_octets_crosses,
                a_message_without_octets_or_too_long_is_refused,
                each_stream_keeps_its_order_over_5_000_messages,
                a_full_queue_says_full_and_send_waits,
                where_the_send_queue_is_full_lower_priorities_give_way,
                a_send_that_waits_ends_when_the_association_does,
                a_reader_stalled_for_5_s_loses_nothing,
                both_readers_stalled_for_5_s_lose_nothing,
                a_graceful_shutdown_under_load_loses_nothing,
                a_shutdown_waits_for_what_the_peer_has_queued,
                a_shutdown_past_its_deadline_aborts,
                an_abort_is_seen_as_lost,
                a_dropped_association_is_seen_as_lost,
                every_token_gets_one_outcome,
                a_loss_tells_the_outcome_of_every_token_first,
                lost_is_repeated,
                recv_can_be_cancelled,
            );
        }
    };
    (@tests $test:meta, $make:path, $($name:ident),* $(,)?) => {
        $(
            #[$test]
            async fn $name() {
                let Some((pair, _guard)) = support::available($make().await) else { return };
                suite::$name(pair).await;
            }
        )*
    };
}

contract!(userland, tokio::test, support::userland);
contract!(userland_small_packets, tokio::test, support::userland_small_packets);
#[cfg(feature = "kernel-sctp")]
contract!(kernel, tokio::test, support::kernel);
#[cfg(feature = "kernel-sctp")]
contract!(kernel_v6, tokio::test, support::kernel_v6);
contract!(tcp, tokio::test, support::tcp);
contract!(mptcp, tokio::test, support::mptcp);
contract!(tls, tokio::test, support::tls);
contract!(sim, tokio::test(start_paused = true), support::sim);

/// What SCTP of either kind promises about local ports.
macro_rules! ports {
    ($backend:ident, $stack:expr) => {
        mod $backend {
            use super::ports;

            ports!(@tests $stack,
                the_peer_sees_the_port_asked_for,
                beside_an_association_between_the_same_ports_none_is_made,
                two_ends_that_connect_to_each_other_at_once_have_one_association,
                one_port_reaches_several_peers,
                an_endpoint_reaches_itself_from_a_free_port,
                a_second_listener_is_refused,
            );
        }
    };
    (@tests $stack:expr, $($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                ports::$name($stack).await;
            }
        )*
    };
}

ports!(ports_of_userland, transport::Stack::Userland);
#[cfg(feature = "kernel-sctp")]
ports!(ports_of_kernel, transport::Stack::Kernel);
