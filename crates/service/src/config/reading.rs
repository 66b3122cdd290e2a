//! From the document to the daemon's own type, with everything in it that is wrong.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Deserializer, Error};

use super::report::Report;
use super::sources::Sources;
use super::suggest::nearest;
use super::{ConfigError, Faults, Invalid};

/// Errors reported at most.
const MAX_REPORTS: usize = 20;

impl Sources {
    /// Returns the configuration. `validate` sees what serde has accepted.
    pub(crate) fn read<C: DeserializeOwned>(
        &self,
        validate: impl FnOnce(&C, &mut Faults),
    ) -> Result<C, ConfigError> {
        let refused = |errors: Vec<Error>| {
            ConfigError::new(
                &self.file,
                errors.iter().take(MAX_REPORTS).map(|error| self.report(error)).collect(),
            )
        };
        let document = self.document().map_err(refused)?;
        self.refuse(document.get_ref(), self.ambiguous(document.get_ref()).collect())?;
        let config = convert(document.clone()).map_err(refused)?;
        let mut faults = Faults::default();
        validate(&config, &mut faults);
        self.refuse(document.get_ref(), faults.0)?;
        Ok(config)
    }

    fn report(&self, error: &Error) -> Report {
        Report::of(error, error.span().map(|span| self.origin(&span)))
    }

    /// Reports what is wrong, if anything is, in the order of the places; what has none is last.
    fn refuse(&self, document: &DeTable<'_>, faults: Vec<Invalid>) -> Result<(), ConfigError> {
        if faults.is_empty() {
            return Ok(());
        }
        let mut placed: Vec<_> =
            faults.into_iter().map(|invalid| (span_of(document, &invalid.key), invalid)).collect();
        placed.sort_by_key(|(span, _)| span.as_ref().map_or(usize::MAX, |span| span.start));
        let reports = placed
            .into_iter()
            .take(MAX_REPORTS)
            .map(|(span, invalid)| Report::invalid(span.map(|span| self.origin(&span)), invalid));
        Err(ConfigError::new(&self.file, reports.collect()))
    }
}

/// Deserializes a document. Serde stops at the first error: what it blames is taken out, and it goes on, until there is
/// nothing more to blame. Errors are in the order of their places.
fn convert<C: DeserializeOwned>(mut document: Spanned<DeTable<'_>>) -> Result<C, Vec<Error>> {
    let mut errors: Vec<Error> = Vec::new();
    let mut removed: Vec<Removed> = Vec::new();
    loop {
        let error = match C::deserialize(Deserializer::from(document.clone())) {
            Ok(config) if errors.is_empty() => return Ok(config),
            Ok(_) => break,
            Err(error) => error,
        };
        let span = error.span();
        if !removed.iter().any(|removed| removed.causes(&error)) {
            errors.push(error);
        }
        let blamed = span.and_then(|span| remove(document.get_mut(), None, &span));
        match blamed {
            Some(key) if errors.len() < MAX_REPORTS => removed.push(key),
            _ => break,
        }
    }
    errors.sort_by_key(|error| error.span().map_or(usize::MAX, |span| span.start));
    Err(errors)
}

/// A key that was taken out, for the error it was blamed for.
struct Removed {
    key: String,
    /// The table it was in: its key and itself.
    table: Option<[Range<usize>; 2]>,
}

impl Removed {
    /// Whether this is why there is `error`: what was taken out is not missing, nor what it should have been called, and a
    /// table may be too empty without it.
    fn causes(&self, error: &Error) -> bool {
        match missing(error) {
            Some(key) => nearest(&self.key, [key]).is_some(),
            None => error.span().is_some_and(|span| self.table.iter().flatten().any(|table| *table == span)),
        }
    }
}

/// Returns the key that serde misses.
fn missing(error: &Error) -> Option<&str> {
    error.message().strip_prefix("missing field `")?.split('`').next()
}

/// Takes the innermost key or element out of a table that an error's place lies in. `own` is where the table itself is.
fn remove(table: &mut DeTable<'_>, own: Option<[Range<usize>; 2]>, place: &Range<usize>) -> Option<Removed> {
    let holds = |span: Range<usize>| span.start <= place.start && place.end <= span.end;
    for (key, value) in table.iter_mut() {
        if let Some(inner) = remove_within(key, value, place) {
            return Some(inner);
        }
    }
    let blamed = table.iter().find(|(key, value)| holds(key.span()) || holds(value.span()))?;
    let key = blamed.0.get_ref().to_string();
    table.remove(key.as_str());
    Some(Removed { key, table: own })
}

/// As [`remove`], from what a key stands for.
fn remove_within(
    key: &Spanned<DeString<'_>>,
    value: &mut Spanned<DeValue<'_>>,
    place: &Range<usize>,
) -> Option<Removed> {
    let own = [key.span(), value.span()];
    match value.get_mut() {
        DeValue::Table(table) => remove(table, Some(own), place),
        DeValue::Array(array) => {
            for element in array.iter_mut() {
                if let Some(inner) = remove_within(key, element, place) {
                    return Some(inner);
                }
            }
            let is_blamed = |element: &Spanned<DeValue<'_>>| {
                let span = element.span();
                span.start <= place.start && place.end <= span.end
            };
            let at = array.iter().position(is_blamed)?;
            let rest = array.iter().enumerate().filter(|(index, _)| *index != at);
            *array = rest.map(|(_, element)| element.clone()).collect();
            Some(Removed { key: key.get_ref().to_string(), table: Some(own) })
        }
        _ => None,
    }
}

/// The place of the key at the dotted `path`, or of the innermost part of it that the document has.
fn span_of(document: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let mut span = None;
    let mut table = Some(document);
    let mut array = None;
    for part in path.split('.') {
        let (place, value) = if let Some(table) = table {
            let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == part) else { break };
            (key.span(), value)
        } else if let Some(array) = array {
            let array: &toml::de::DeArray<'_> = array;
            let Some(value) = part.parse().ok().and_then(|at: usize| array.get(at)) else { break };
            (value.span(), value)
        } else {
            break;
        };
        span = Some(place);
        table = value.get_ref().as_table();
        array = match value.get_ref() {
            DeValue::Array(array) => Some(array),
            _ => None,
        };
    }
    span
}
