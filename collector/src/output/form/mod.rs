//! The forms in which outputs need records, and their rendering by the sessions.
//!
//! [`Forms`] is made once of the configuration: what several outputs need is rendered once, what none needs is not.
//! [`Renderers`] belong to a session, because templates do.

mod csv;
mod ipfix;
mod plans;

use std::net::SocketAddr;
use std::sync::Arc;

use ::ipfix::Record;
use delivery::Series;

pub(crate) use self::csv::Column;
use self::csv::Rows;
pub(super) use self::csv::header;
pub(crate) use self::ipfix::FlowTemplate;
use self::ipfix::Records;
pub(super) use self::ipfix::{HEADER as RAW_HEADER, Raw};
use super::batch::Rendered;
use crate::json::{Identity, Lines, identity_prefix};
use crate::metadata::Metadata;

/// One form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Lines of JSON; with what options records tell about flows.
    Json { metadata: bool },
    /// Lines of comma-separated values.
    Csv(Arc<[Column]>),
    /// The octets as they came.
    Ipfix,
}

/// The forms that the outputs need, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forms(Arc<[Kind]>);

impl Forms {
    /// Returns the forms, and of every one given its place among them.
    pub(crate) fn of(needed: impl IntoIterator<Item = Kind>) -> (Self, Vec<usize>) {
        let mut kinds: Vec<Kind> = Vec::new();
        let mut places = Vec::new();
        for kind in needed {
            let known = kinds.iter().position(|known| *known == kind);
            places.push(known.unwrap_or(kinds.len()));
            if known.is_none() {
                kinds.push(kind);
            }
        }
        (Self(kinds.into()), places)
    }

    /// Lines of JSON and nothing else.
    #[cfg(test)]
    pub(crate) fn json() -> Self {
        Self::of([Kind::Json { metadata: false }]).0
    }

    /// Returns the renderers of a session that keep so many octets of each template's plan at most, in each form.
    pub(crate) fn renderers(&self, plan_octets: usize) -> Renderers {
        let renderer = |kind: &Kind| match kind {
            Kind::Json { metadata } => {
                let metadata = metadata.then(Box::default);
                Renderer::Json(Json { lines: Lines::with_plans(plan_octets), prefix: None, metadata })
            }
            Kind::Csv(columns) => Renderer::Csv(Rows::new(Arc::clone(columns), plan_octets)),
            Kind::Ipfix => Renderer::Ipfix(Records::new(plan_octets)),
        };
        Renderers(self.0.iter().map(renderer).collect())
    }
}

/// Renders the records of one session.
#[derive(Debug)]
pub(crate) struct Renderers(Vec<Renderer>);

#[derive(Debug)]
enum Renderer {
    Json(Json),
    Csv(Rows),
    Ipfix(Records),
}

/// Which flow record it is, for exporters that tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Number {
    pub(crate) series: Series,
    pub(crate) number: u64,
}

impl Renderers {
    /// Gives `rendered` a form for each renderer, if it has none.
    pub(crate) fn prepare(&self, rendered: &mut Rendered) {
        if rendered.forms.len() != self.0.len() {
            rendered.forms.resize_with(self.0.len(), Default::default);
        }
    }

    /// Says where the records come from, where they have no identity.
    pub(crate) fn set_source(&mut self, source: SocketAddr) {
        for renderer in &mut self.0 {
            match renderer {
                Renderer::Json(Json { metadata: Some(metadata), .. }) => metadata.set_source(source),
                Renderer::Json(_) | Renderer::Csv(_) | Renderer::Ipfix(_) => {}
            }
        }
    }

    /// Appends the record to every form; [`Rendered::begin`] has told its kind.
    #[inline]
    pub(crate) fn record(&mut self, rendered: &mut Rendered, record: &Record<'_>, number: Option<Number>) {
        for (renderer, form) in self.0.iter_mut().zip(&mut rendered.forms) {
            match renderer {
                Renderer::Json(json) => json.record(&mut form.octets, record, number),
                Renderer::Csv(rows) => rows.record(&mut form.octets, record, number),
                Renderer::Ipfix(records) => records.record(form, record),
            }
        }
    }
}

#[derive(Debug)]
struct Json {
    lines: Lines,
    /// How lines with an identity start, for the series of the last one.
    prefix: Option<(Series, Vec<u8>)>,
    metadata: Option<Box<Metadata>>,
}

impl Json {
    fn record(&mut self, out: &mut Vec<u8>, record: &Record<'_>, number: Option<Number>) {
        self.line(out, record, number);
        match &mut self.metadata {
            Some(metadata) if record.template.is_options() => metadata.learn(record),
            Some(metadata) => metadata.add(out, record),
            None => {}
        }
    }

    fn line(&mut self, out: &mut Vec<u8>, record: &Record<'_>, number: Option<Number>) {
        let Some(Number { series, number }) = number else {
            self.lines.record(out, record, None);
            return;
        };
        if self.prefix.as_ref().is_none_or(|(last, _)| *last != series) {
            self.prefix = Some((series, identity_prefix(series.ledger.0, series.epoch.0, series.domain)));
        }
        let prefix = self.prefix.as_ref().map_or(&[][..], |(_, prefix)| prefix);
        self.lines.record(out, record, Some(Identity { prefix, number }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_outputs_need_is_rendered_once() {
        let csv = |names: &[&str]| {
            Kind::Csv(names.iter().map(|name| name.parse().unwrap()).collect::<Vec<Column>>().into())
        };
        let octets = || csv(&["octetDeltaCount"]);
        let json = || Kind::Json { metadata: false };
        let needed = [json(), octets(), json(), csv(&["packetDeltaCount"]), octets()];
        let (forms, places) = Forms::of(needed);
        assert_eq!((forms.0.len(), places), (3, vec![0, 1, 0, 2, 1]));
    }
}
