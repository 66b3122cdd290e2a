//! As much of JSON Schema (draft 2020-12) as the schemas here use. A keyword that is not known fails, so that none is
//! passed over.

use std::cell::RefCell;
use std::collections::HashMap;

use regex_lite::Regex;
use serde_json::Value;

/// Checks `value` against `schema`; `root` is where references begin. Says what is wrong, and where.
pub(crate) fn validate(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let keywords = schema.as_object().expect("a schema is an object");
    for (keyword, rule) in keywords {
        let is_met = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let pointer =
                    rule.as_str().and_then(|rule| rule.strip_prefix('#')).expect("a local reference");
                validate(root, root.pointer(pointer).expect("a definition"), value)?;
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|is| has_type(value, is)),
                is => has_type(value, is),
            },
            "const" => value == rule,
            "minimum" => value.as_f64().is_none_or(|value| value >= rule.as_f64().expect("a number")),
            "pattern" => {
                let pattern = rule.as_str().expect("a pattern");
                value.as_str().is_none_or(|text| matches(pattern, text))
            }
            "anyOf" => {
                let rules = rule.as_array().expect("schemas");
                rules.iter().any(|rule| validate(root, rule, value).is_ok())
            }
            "dependentRequired" => value.as_object().is_none_or(|object| {
                let rules = rule.as_object().expect("lists by key").iter();
                rules.filter(|(key, _)| object.contains_key(*key)).all(|(_, needed)| {
                    needed
                        .as_array()
                        .expect("keys")
                        .iter()
                        .all(|key| object.contains_key(key.as_str().expect("a key")))
                })
            }),
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    if let Some(rule) = rule.get(key) {
                        validate(root, rule, value).map_err(|reason| format!("{key}: {reason}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    if schema["properties"].get(key).is_none() {
                        validate(root, rule, value).map_err(|reason| format!("{key}: {reason}"))?;
                    }
                }
                true
            }
            other => panic!("keyword {other} is not known here"),
        };
        if !is_met {
            return Err(format!("{value} breaks {keyword} {rule}"));
        }
    }
    Ok(())
}

/// Compiles each pattern once.
fn matches(pattern: &str, text: &str) -> bool {
    thread_local!(static COMPILED: RefCell<HashMap<String, Regex>> = RefCell::default());
    COMPILED.with_borrow_mut(|compiled| {
        if !compiled.contains_key(pattern) {
            compiled.insert(pattern.to_owned(), Regex::new(pattern).expect("a pattern"));
        }
        compiled[pattern].is_match(text)
    })
}

fn has_type(value: &Value, is: &Value) -> bool {
    match is.as_str().expect("a type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("type {other}"),
    }
}
