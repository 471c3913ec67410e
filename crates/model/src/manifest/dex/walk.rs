//! Compares a configuration with the table of keys.

use std::collections::BTreeSet;

use super::section::Section;
use super::table::{Becomes, KEYS};
use crate::finding::{Finding, Severity, codes};
use crate::objects::{Fault, Field, Value, closest};

/// How strictly a configuration is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// It is `doorward dex serve` that reads.
    pub(super) alone: bool,
    /// Unknown keys are refused.
    pub(super) strict: bool,
}

/// Tells every key that is unknown or has no effect, each once.
///
/// # Errors
/// A key that is refused.
pub(super) fn compare(
    top: &Field<'_>,
    terms: Terms,
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    let mut walk = Walk {
        terms,
        told: BTreeSet::new(),
        refused: Vec::new(),
        findings,
    };
    walk.mapping(top, "");
    let Walk { refused, .. } = walk;
    let mut refused = refused.into_iter();
    let first = refused.next();
    findings.extend(refused.map(|fault| *fault));
    first.map_or(Ok(()), Err)
}

struct Walk<'f> {
    terms: Terms,
    told: BTreeSet<&'static str>,
    refused: Vec<Fault>,
    findings: &'f mut Vec<Finding>,
}

impl Walk<'_> {
    fn mapping(&mut self, field: &Field<'_>, path: &str) {
        for (key, node) in field.node.entries().unwrap_or_default() {
            if node.value == Value::Null {
                continue;
            }
            let below = Field {
                object: field.object,
                node,
                path: format!("{}.{key}", field.path),
            };
            match name_below(path, key) {
                Some(name) => {
                    let path = match path {
                        "" => name.to_owned(),
                        _ => format!("{path}.{name}"),
                    };
                    self.known(&below, &path);
                }
                None if path == "connectors[]" && key.eq_ignore_ascii_case("config") => {
                    let kind = Section::of(field.clone())
                        .and_then(|connector| connector.text("type"))
                        .ok()
                        .flatten()
                        .unwrap_or_default();
                    self.known(&below, &format!("{path}.config({})", canonical(&kind)));
                }
                None => self.unknown(&below, path, key),
            }
        }
    }

    fn known(&mut self, field: &Field<'_>, path: &str) {
        if let Some((path, becomes)) = KEYS.iter().find(|(known, _)| *known == path) {
            self.apply(field, path, *becomes);
            return;
        }
        match &field.node.value {
            Value::Map(_) => self.mapping(field, path),
            Value::List(_) => {
                let path = format!("{path}[]");
                for item in field.items().unwrap_or_default() {
                    self.mapping(&item, &path);
                }
            }
            // Whoever reads the value says what is wrong with it.
            _ => {}
        }
    }

    fn apply(&mut self, field: &Field<'_>, path: &'static str, becomes: Becomes) {
        match becomes {
            Becomes::Acts | Becomes::ActsAlone => {}
            Becomes::WarnsAlone(_) if !self.terms.alone => {}
            Becomes::Warns(why) | Becomes::WarnsAlone(why) => {
                if self.told.insert(path) {
                    self.findings.push(field.finding(
                        codes::PROVIDER_FIELD_IGNORED,
                        Severity::Warning,
                        format!("`{path}` has no effect: {why}"),
                        "remove it, or keep it for later",
                    ));
                }
            }
            Becomes::Refuses(why) => {
                let fault = format!("`{path}` is not taken: {why}");
                let mut fault = field.fault(fault, format!("remove `{path}`"));
                fault.code = codes::PROVIDER_CONFIG;
                self.refused.push(fault);
            }
        }
    }

    fn unknown(&mut self, field: &Field<'_>, path: &str, key: &str) {
        let remedy = match closest(key, names_below(path)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "remove it".to_owned(),
        };
        let (code, fault) = (
            codes::PROVIDER_FIELD_UNKNOWN,
            format!("`{key}` is no setting of Dex here and has no effect"),
        );
        if self.terms.strict {
            let mut fault = field.fault(format!("`{key}` is no setting of Dex here"), remedy);
            fault.code = code;
            self.refused.push(fault);
        } else {
            self.findings
                .push(field.finding(code, Severity::Note, fault, remedy));
        }
    }
}

/// Dex has two names for some types.
pub(super) fn canonical(kind: &str) -> &str {
    match kind {
        "samlExperimental" => "saml",
        other => other,
    }
}

/// The known keys below `path`.
fn names_below(path: &str) -> impl Iterator<Item = &'static str> {
    let joint = if path.is_empty() { 0 } else { 1 };
    KEYS.iter().filter_map(move |(known, _)| {
        let rest = known.strip_prefix(path)?;
        let rest = match joint {
            0 => rest,
            _ => rest.strip_prefix('.')?,
        };
        let name = rest.split(['.', '[', '(']).next()?;
        (!rest[name.len()..].starts_with('(')).then_some(name)
    })
}

/// The known key below `path` that `key` spells.
fn name_below(path: &str, key: &str) -> Option<&'static str> {
    names_below(path).find(|name| key.eq_ignore_ascii_case(name))
}
