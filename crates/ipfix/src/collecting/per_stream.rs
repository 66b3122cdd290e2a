//! Whether an exporter keeps to per-stream export (RFC 6526 section 4.5), and which template's records were lost then.
//!
//! The first Data Record of the session decides: if it tells the reliability of a template's records, the extension is
//! followed, else never (section 4.5.2). The first breach of a rule of section 4.5.3 ends that for the session.
//! Nothing is decoded otherwise for it: whoever does not keep to it is collected by RFC 7011.

use std::collections::BTreeMap;

use super::step::{Records, Step};
use super::{Summary, Withdrawal};
use crate::{Fields, Template, Value};

/// IANA's templateId and dataRecordsReliability (RFC 6526 section 4.1).
const TEMPLATE_ID: (u32, u16) = (0, 145);
const DATA_RECORDS_RELIABILITY: (u32, u16) = (0, 276);

/// What is known of an exporter's use of RFC 6526.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum PerStream {
    /// No Data Record has come yet.
    #[default]
    Undecided,
    /// The exporter does not use it.
    Absent,
    /// The exporter uses it: losses are told by template where one alone may have them.
    Enabled,
    /// The exporter broke a rule of it.
    Disabled(Breach),
}

/// Which rule of RFC 6526 section 4.5.3 was broken, in the RFC's order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// Condition 1.
    #[error("a record of template {template} before its reliability was told on stream {stream}")]
    NotTold {
        /// Stream of the record.
        stream: u16,
        /// Template ID.
        template: u16,
    },
    /// Condition 2.
    #[error("the reliability of template {template} told on stream {stream}, where it was not defined")]
    ToldElsewhere {
        /// Stream of the record that tells it.
        stream: u16,
        /// Template ID.
        template: u16,
    },
    /// Condition 3.
    #[error("the reliability of template {template} told twice")]
    ToldTwice {
        /// Template ID.
        template: u16,
    },
    /// Condition 4.
    #[error("a record or withdrawal of template {template} on stream {stream}, where it was not defined")]
    OtherStream {
        /// Stream of the record or withdrawal.
        stream: u16,
        /// Template ID.
        template: u16,
    },
    /// Condition 5.
    #[error("records lost on stream {stream}, all of which are to be sent reliably")]
    LostReliable {
        /// The stream.
        stream: u16,
    },
    /// Condition 6.
    #[error("a message out of order on stream {stream}")]
    Unordered {
        /// The stream.
        stream: u16,
    },
}

/// Follows one transport session.
#[derive(Debug, Default)]
pub(super) struct Follower {
    state: PerStream,
    /// By domain and Template ID; as many as there are templates, and none once it is known that nobody uses them.
    templates: BTreeMap<(u32, u16), Known>,
}

#[derive(Debug)]
struct Known {
    serial: u64,
    stream: u16,
    is_options: bool,
    /// Where its records' reliability was told, and whether they are reliable.
    told: Option<(u16, bool)>,
}

impl Follower {
    pub(super) const fn new() -> Self {
        Self { state: PerStream::Undecided, templates: BTreeMap::new() }
    }

    pub(super) const fn state(&self) -> PerStream {
        self.state
    }

    /// A message came out of order on this stream. Returns the breach if that is news.
    pub(super) fn unordered(&mut self, stream: u16) -> Option<Breach> {
        match self.state {
            PerStream::Undecided | PerStream::Enabled => self.disable(Breach::Unordered { stream }),
            PerStream::Absent | PerStream::Disabled(_) => None,
        }
    }

    /// Follows a message by its steps, of which `ends` and `octets` have the records.
    pub(super) fn follow(
        &mut self,
        stream: u16,
        steps: &[Step],
        ends: &[u32],
        octets: &[u8],
        summary: &mut Summary,
    ) {
        if matches!(self.state, PerStream::Absent | PerStream::Disabled(_)) {
            return;
        }
        let followed = self.lose(stream, summary);
        let followed = followed.and_then(|()| {
            steps.iter().try_for_each(|step| self.step(stream, summary.domain, step, ends, octets))
        });
        if let Err(breach) = followed {
            summary.breach = self.disable(breach);
        }
    }

    /// Follows the exporter no longer. Returns the breach if that is news.
    fn disable(&mut self, breach: Breach) -> Option<Breach> {
        self.templates.clear();
        let was_enabled = self.state == PerStream::Enabled;
        self.state = if was_enabled { PerStream::Disabled(breach) } else { PerStream::Absent };
        was_enabled.then_some(breach)
    }

    /// Says whose records were lost, where one template alone may lose any on this stream (section 4.5.4).
    fn lose(&self, stream: u16, summary: &mut Summary) -> Result<(), Breach> {
        if summary.lost == 0 || self.state != PerStream::Enabled {
            return Ok(());
        }
        let of_domain = (summary.domain, 0)..=(summary.domain, u16::MAX);
        let unreliable =
            |(&(_, id), known): (&(u32, u16), &Known)| (known.told == Some((stream, false))).then_some(id);
        let mut suspects = self.templates.range(of_domain).filter_map(unreliable);
        let first = suspects.next().ok_or(Breach::LostReliable { stream })?;
        summary.lost_template = suspects.next().is_none().then_some(first);
        Ok(())
    }

    fn step(
        &mut self,
        stream: u16,
        domain: u32,
        step: &Step,
        ends: &[u32],
        octets: &[u8],
    ) -> Result<(), Breach> {
        match step {
            Step::Template(template) => self.define(stream, domain, template),
            Step::Withdrawal(withdrawal) => return self.withdraw(stream, domain, *withdrawal),
            Step::NoTemplate { .. } | Step::Fixed { .. } | Step::Variable { .. } => {
                if let Some((template, records)) = step.records(octets, ends) {
                    return self.records(stream, domain, template, records);
                }
            }
        }
        Ok(())
    }

    fn define(&mut self, stream: u16, domain: u32, template: &Template) {
        let (serial, is_options) = (template.serial(), template.is_options());
        let known = self.templates.entry((domain, template.id()));
        let known = known.or_insert(Known { serial, stream, is_options, told: None });
        if known.serial != serial {
            *known = Known { serial, stream, is_options, told: None };
        }
    }

    fn withdraw(&mut self, stream: u16, domain: u32, withdrawal: Withdrawal) -> Result<(), Breach> {
        let (first, last, options) = match withdrawal {
            Withdrawal::One { id, options } => (id, id, options),
            Withdrawal::All { options } => (0, u16::MAX, options),
        };
        let named = self.templates.range((domain, first)..=(domain, last));
        let named: Vec<_> =
            named.filter(|(_, known)| known.is_options == options).map(|(&key, _)| key).collect();
        for key in named {
            if self.templates.remove(&key).is_some_and(|known| known.stream != stream) {
                return Err(Breach::OtherStream { stream, template: key.1 });
            }
        }
        Ok(())
    }

    fn records(
        &mut self,
        stream: u16,
        domain: u32,
        template: &Template,
        records: Records<'_>,
    ) -> Result<(), Breach> {
        let mut records = records.peekable();
        if records.peek().is_none() {
            return Ok(());
        }
        let tells_reliability = template.scope_fields() == 1
            && template.position(TEMPLATE_ID.0, TEMPLATE_ID.1) == Some(0)
            && template.position(DATA_RECORDS_RELIABILITY.0, DATA_RECORDS_RELIABILITY.1).is_some();
        if self.state == PerStream::Undecided {
            self.state = if tells_reliability { PerStream::Enabled } else { PerStream::Absent };
        }
        if self.state == PerStream::Absent {
            self.templates.clear();
            return Ok(());
        }
        let id = template.id();
        let Some(known) = self.templates.get(&(domain, id)) else { return Ok(()) };
        if known.stream != stream {
            return Err(Breach::OtherStream { stream, template: id });
        }
        if tells_reliability {
            return records.try_for_each(|record| self.tell(stream, domain, Fields::new(template, record)));
        }
        if known.told.is_some_and(|(told_on, _)| told_on == stream) {
            return Ok(());
        }
        Err(Breach::NotTold { stream, template: id })
    }

    /// Takes in a record about the reliability of a template's records.
    fn tell(&mut self, stream: u16, domain: u32, fields: Fields<'_>) -> Result<(), Breach> {
        let (mut id, mut is_reliable) = (None, None);
        for field in fields {
            match ((field.pen(), field.id()), field.value()) {
                (TEMPLATE_ID, Value::Unsigned(value)) => id = u16::try_from(value).ok(),
                (DATA_RECORDS_RELIABILITY, Value::Boolean(value)) => is_reliable = Some(value),
                _ => {}
            }
        }
        let (Some(template), Some(is_reliable)) = (id, is_reliable) else { return Ok(()) };
        let Some(known) = self.templates.get_mut(&(domain, template)) else { return Ok(()) };
        if known.stream != stream && !known.is_options {
            return Err(Breach::ToldElsewhere { stream, template });
        }
        if known.told.is_some() {
            return Err(Breach::ToldTwice { template });
        }
        known.told = Some((stream, is_reliable));
        Ok(())
    }
}
