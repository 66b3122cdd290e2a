//! The forms in which outputs need records, and their rendering by the sessions.
//!
//! [`Forms`] is made once of the configuration: what several outputs need is rendered once, what none needs is not.
//! [`Renderers`] belong to a session, because templates do.

mod csv;
mod ipfix;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ::ipfix::{BiflowSplitter, Direction, Record};
use delivery::Series;
use intake::Room;

pub(crate) use self::csv::Column;
use self::csv::Rows;
pub(super) use self::csv::header;
pub(crate) use self::ipfix::FlowTemplate;
pub(super) use self::ipfix::Raw;
use self::ipfix::Records;
use super::batch::{self, Rendered};
use crate::json::{Identity, Lines, identity_prefix};
use crate::metadata::Metadata;

/// One form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Form {
    pub(crate) kind: Kind,
    /// Whether biflows (RFC 5103) become two records.
    pub(crate) splits_biflows: bool,
}

/// Of what a form is made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Lines of JSON; with what options records tell about flows.
    Json { metadata: bool },
    /// Lines of comma-separated values.
    Csv(Arc<[Column]>),
    /// The octets as they came, or with the address of the exporter behind them.
    Ipfix { original_exporter: bool },
}

/// The forms that the outputs need, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forms(Arc<[Form]>);

impl Forms {
    /// Returns the forms, and of every one given its place among them.
    pub(crate) fn of(needed: impl IntoIterator<Item = Form>) -> (Self, Vec<usize>) {
        let mut forms: Vec<Form> = Vec::new();
        let mut places = Vec::new();
        for form in needed {
            let known = forms.iter().position(|known| *known == form);
            places.push(known.unwrap_or(forms.len()));
            if known.is_none() {
                forms.push(form);
            }
        }
        (Self(forms.into()), places)
    }

    /// Lines of JSON and nothing else.
    #[cfg(test)]
    pub(crate) fn json() -> Self {
        Self::of([Form { kind: Kind::Json { metadata: false }, splits_biflows: false }]).0
    }

    /// Returns the renderers of a session that keep so many octets of each template's plan at most, in each form.
    pub(crate) fn renderers(&self, plan_octets: usize) -> Renderers {
        let renderer = |form: &Form| {
            let content = match &form.kind {
                Kind::Json { metadata } => {
                    let metadata = metadata.then(Box::default);
                    Content::Json(Json { lines: Lines::with_plans(plan_octets), prefix: None, metadata })
                }
                Kind::Csv(columns) => Content::Csv(Rows::new(Arc::clone(columns), plan_octets)),
                Kind::Ipfix { original_exporter } => Content::Ipfix {
                    records: Records::new(plan_octets),
                    original_exporter: *original_exporter,
                },
            };
            Renderer { content, splitter: form.splits_biflows.then(|| BiflowSplitter::new(plan_octets)) }
        };
        Renderers(self.0.iter().map(renderer).collect())
    }
}

/// Renders the records of one session.
#[derive(Debug)]
pub(crate) struct Renderers(Vec<Renderer>);

/// Renders them in one form.
#[derive(Debug)]
struct Renderer {
    content: Content,
    /// If biflows become two records.
    splitter: Option<BiflowSplitter>,
}

#[derive(Debug)]
enum Content {
    Json(Json),
    Csv(Rows),
    Ipfix { records: Records, original_exporter: bool },
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

    /// Says where datagrams come from, before the first of them.
    pub(crate) fn set_source(&mut self, source: SocketAddr) {
        for renderer in &mut self.0 {
            match &mut renderer.content {
                Content::Json(Json { metadata: Some(metadata), .. }) => metadata.set_source(source),
                Content::Csv(rows) => {
                    rows.metadata_mut().iter_mut().for_each(|metadata| metadata.set_source(source));
                }
                Content::Json(_) | Content::Ipfix { .. } => {}
            }
        }
        self.set_exporter(source.ip());
    }

    /// Says which address the exporter has, before its first record.
    pub(crate) fn set_exporter(&mut self, exporter: IpAddr) {
        for renderer in &mut self.0 {
            match &mut renderer.content {
                Content::Ipfix { records, original_exporter: true } => records.set_exporter(exporter),
                Content::Json(_) | Content::Csv(_) | Content::Ipfix { .. } => {}
            }
        }
    }

    /// Says where memory for what options records tell comes from.
    pub(crate) fn share_metadata(&mut self, room: &Arc<Room>) {
        for renderer in &mut self.0 {
            let metadata = match &mut renderer.content {
                Content::Json(json) => &mut json.metadata,
                Content::Csv(rows) => rows.metadata_mut(),
                Content::Ipfix { .. } => continue,
            };
            metadata.iter_mut().for_each(|metadata| metadata.share(Arc::clone(room)));
        }
    }

    /// Appends the record to every form; [`Rendered::begin`] has told its kind.
    #[inline]
    pub(crate) fn record(&mut self, rendered: &mut Rendered, record: &Record<'_>, number: Option<Number>) {
        for (Renderer { content, splitter }, form) in self.0.iter_mut().zip(&mut rendered.forms) {
            match splitter {
                None => content.record(form, record, number, Direction::Forward),
                Some(splitter) => splitter.split(record, |record, direction| {
                    if direction == Direction::Reverse {
                        form.begin_second_half();
                    }
                    content.record(form, record, number, direction);
                }),
            }
        }
    }
}

impl Content {
    #[inline]
    fn record(
        &mut self,
        form: &mut batch::Form,
        record: &Record<'_>,
        number: Option<Number>,
        direction: Direction,
    ) {
        match self {
            Self::Json(json) => json.record(&mut form.octets, record, number, direction),
            Self::Csv(rows) => rows.record(&mut form.octets, record, number, direction),
            Self::Ipfix { records, .. } => records.record(form, record),
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
    fn record(
        &mut self,
        out: &mut Vec<u8>,
        record: &Record<'_>,
        number: Option<Number>,
        direction: Direction,
    ) {
        self.line(out, record, number, direction);
        match &mut self.metadata {
            Some(metadata) if record.template.is_options() => metadata.learn(record),
            Some(metadata) => metadata.add(out, record),
            None => {}
        }
    }

    fn line(&mut self, out: &mut Vec<u8>, record: &Record<'_>, number: Option<Number>, direction: Direction) {
        let Some(Number { series, number }) = number else {
            return self.lines.uniflow(out, record, None, direction);
        };
        if self.prefix.as_ref().is_none_or(|(last, _)| *last != series) {
            self.prefix = Some((series, identity_prefix(series.ledger.0, series.epoch.0, series.domain)));
        }
        let prefix = self.prefix.as_ref().map_or(&[][..], |(_, prefix)| prefix);
        self.lines.uniflow(out, record, Some(Identity { prefix, number }), direction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_outputs_need_is_rendered_once() {
        let form = |kind| Form { kind, splits_biflows: false };
        let csv = |names: &[&str]| {
            let columns: Vec<Column> = names.iter().map(|name| name.parse().unwrap()).collect();
            form(Kind::Csv(columns.into()))
        };
        let octets = || csv(&["octetDeltaCount"]);
        let json = || form(Kind::Json { metadata: false });
        let split = Form { splits_biflows: true, ..json() };
        let needed = [json(), octets(), json(), csv(&["packetDeltaCount"]), octets(), split];
        let (forms, places) = Forms::of(needed);
        assert_eq!((forms.0.len(), places), (4, vec![0, 1, 0, 2, 1, 3]));
    }
}
