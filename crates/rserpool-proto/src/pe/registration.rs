//! Registration and re-registration (RFC 5352 section 3.1).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Event, Goal, Home, PoolElement, Stage, Timer};
use crate::wire::asap::registration::{Registration, RegistrationResponse};
use crate::wire::param::long_pe_identifier::LongPeId;
use crate::wire::param::observed_address;
use crate::wire::{CauseCode, Message, PoolElementParameter, RegistrationLife, Transport};
use crate::{LostReason, PeId, RegistrarId};

impl PoolElement {
    /// The registration as it would be sent now (R2), if any address is of use where the home registrar is.
    pub(super) fn registration(&self) -> Option<Message> {
        let (mut user_transport, mut asap_transport) = (self.transport.clone(), self.asap_transport.clone());
        if let Some(observed) = self.observed {
            replace_addresses(&mut user_transport, observed);
            asap_transport.iter_mut().for_each(|asap| asap.addresses = vec![observed]);
        }
        if let Some(registrar) = self.home.map(|home| home.address.ip) {
            if !self.scope.filter(&mut user_transport, registrar) {
                return None;
            }
            asap_transport.take_if(|asap| {
                asap.addresses.retain(|&address| self.scope.allows(address, registrar));
                asap.addresses.is_empty()
            });
        }
        let element = PoolElementParameter {
            pe: self.pe,
            home: self.home.map_or(RegistrarId::UNDETERMINED, |home| home.registrar),
            life: RegistrationLife::from_duration(self.profile.life, self.profile.life_unit),
            user_transport,
            policy: self.policy.clone(),
            asap_transport,
            encapsulation: self.encapsulation,
            unknown: self.long_id().map(LongPeId::to_parameter).into_iter().collect(),
        };
        let registration = Registration { pool: self.pool.clone(), element, unknown: vec![] };
        Some(Message::Registration(registration))
    }

    /// Sends the registration and starts T2 (R3, R4).
    pub(super) fn send_registration(&mut self, now: Instant, home: Home) {
        let Some(registration) = self.registration() else { return self.nothing_to_register(now, home) };
        let again = self.is_registered();
        self.stage = Stage::Registering { again };
        self.changed = false;
        self.known = true;
        self.timers.stop(&Timer::T4);
        self.timers.stop(&Timer::Retry);
        self.timers.set(Timer::T2, now + self.profile.t2_registration);
        self.send(home.connection, &registration);
    }

    /// Users of this registrar could not reach the element: it looks for another one after a while.
    fn nothing_to_register(&mut self, now: Instant, home: Home) {
        self.stage = Stage::OutOfScope;
        self.timers.stop(&Timer::T4);
        let delay = self.retry_delay(self.profile.rejected_retry.unwrap_or(self.profile.t5_max));
        self.event(Event::OutOfScope { address: home.address, retry: delay });
        self.timers.set(Timer::Retry, now + delay);
    }

    /// T2 expired: another registrar is looked for.
    pub(super) fn registration_timed_out(&mut self, now: Instant) {
        self.attempts += 1;
        if self.attempts > self.profile.max_reg_attempt {
            let stopped = self.profile.stop_after_max_reg_attempt;
            self.event(Event::RegistrationFailed { attempts: self.attempts, stopped });
            self.attempts = 0;
            if stopped {
                self.goal = Goal::Nothing;
            }
        }
        self.lose_home(now, LostReason::Silent);
    }

    pub(super) fn handle_registration_response(&mut self, now: Instant, response: RegistrationResponse) {
        let Stage::Registering { again } = self.stage else { return };
        if response.pool != self.pool || response.pe != self.pe {
            return;
        }
        self.timers.stop(&Timer::T2);
        self.attempts = 0;
        let observed = self.take_observed(&response);
        if response.rejected && observed {
            // The error condition is corrected.
            return self.pursue(now);
        }
        self.changed |= observed;
        if response.rejected {
            return self.rejected(now, response);
        }
        self.rejections = 0;
        self.stage = Stage::Registered;
        self.ask_for_peers();
        self.event(match again {
            true => Event::Reregistered { pe: self.pe },
            false => Event::Registered { pe: self.pe, warnings: response.causes },
        });
        self.timers.set(Timer::T4, now + self.profile.reregistration_delay(self.profile.life));
        if self.changed {
            self.pursue(now);
        }
    }

    /// Takes over the address the registrar sees, where that is wanted. Returns whether it is news.
    fn take_observed(&mut self, response: &RegistrationResponse) -> bool {
        let refused = response.causes.iter().any(|cause| cause.code == CauseCode::INVALID_VALUES);
        let seen = observed_address::find(&response.unknown).filter(|_| self.use_observed && refused);
        let Some(address) = seen.filter(|_| self.observed != seen) else { return false };
        self.observed = Some(address);
        self.event(Event::AddressObserved { address });
        true
    }

    /// "The PE MUST NOT re-attempt registration without correcting the error condition": an
    /// identifier of ours is corrected; everything else waits for the retry, if the profile has one.
    fn rejected(&mut self, now: Instant, response: RegistrationResponse) {
        self.stage = Stage::Rejected;
        let taken = response.causes.iter().any(|cause| cause.code == CauseCode::NON_UNIQUE_PE_ID);
        let corrected = taken && self.pe_is_random;
        let first = self.profile.rejected_retry.or(corrected.then_some(self.profile.t5_hunt));
        let retry = first.map(|first| self.retry_delay(first));
        self.event(Event::Rejected { pe: self.pe, causes: response.causes, retry });
        if corrected {
            self.pe = PeId(self.random.identifier());
            self.upper = self.upper.map(|_| self.random.identifier());
        }
        if let Some(delay) = retry {
            self.timers.set(Timer::Retry, now + delay);
        }
    }

    /// Doubles from rejection to rejection, up to ten times the first delay.
    fn retry_delay(&mut self, first: Duration) -> Duration {
        let delay = (first * 2u32.saturating_pow(self.rejections.min(4))).min(first * 10);
        self.rejections = self.rejections.saturating_add(1);
        self.random.jitter(delay, self.profile.jitter_percent)
    }
}

fn replace_addresses(transport: &mut Transport, address: IpAddr) {
    match transport {
        Transport::Sctp(sctp) => sctp.addresses = vec![address],
        Transport::Tcp(tcp) => tcp.address = address,
        Transport::Udp(udp) => udp.address = address,
        Transport::Dccp(_) | Transport::UdpLite(_) | Transport::Opaque(_) => {}
    }
}
