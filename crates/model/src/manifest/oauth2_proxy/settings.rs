//! Options as file, environment and command line give them, each with the place it stands at.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::options::{Alone, Effect, Kind, Known};
use crate::finding::{Code, Finding, Severity, codes};
use crate::manifest::environment::{ConfigFile, Environment};
use crate::names::Duration;
use crate::objects::{Object, closest, duration};
use crate::snapshot::Closure;

/// The options that are set, the strongest layer of each. Values may be secret: nothing here can be
/// printed.
pub(super) struct Settings<'a> {
    set: BTreeMap<&'static str, Setting>,
    /// The object that stands for the login, for options that are missing.
    pub(super) home: (Arc<Object>, u32),
    pub(super) findings: &'a mut Vec<Finding>,
    /// The first fault that keeps everybody out.
    pub(super) closed: Option<Arc<Closure>>,
    /// Part of the file or the environment could not be had.
    pub(super) unresolved: bool,
    /// They are those of `doorward oauth2-proxy`, not of a manifest.
    pub(super) alone: bool,
}

struct Setting {
    value: Value,
    origin: Origin,
}

enum Value {
    Text(Arc<str>),
    Flag(bool),
    List(Vec<Arc<str>>),
    Span(Duration),
    Number(i64),
}

/// Where a setting stands.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) object: Arc<Object>,
    pub(super) line: u32,
    pub(super) field: String,
}

impl<'a> Settings<'a> {
    pub(super) fn new(object: Arc<Object>, line: u32, findings: &'a mut Vec<Finding>) -> Self {
        Self {
            set: BTreeMap::new(),
            home: (object, line),
            findings,
            closed: None,
            unresolved: false,
            alone: false,
        }
    }

    /// Reads the configuration file.
    pub(super) fn read_file(&mut self, file: &ConfigFile) {
        if let Some(closure) = &file.object.closed {
            self.closed.get_or_insert_with(|| Arc::clone(closure));
        }
        let text = file.text();
        let ends: Vec<usize> = text.match_indices('\n').map(|(end, _)| end).collect();
        let line = |offset: usize| {
            let nth = ends.partition_point(|end| *end < offset);
            file.line(u32::try_from(nth).unwrap_or(u32::MAX))
        };
        let origin = |offset: usize, key: &str| Origin {
            object: Arc::clone(&file.object),
            line: line(offset),
            field: if key.is_empty() {
                file.field()
            } else {
                format!("{}.{key}", file.field())
            },
        };
        let (table, faults) = DeTable::parse_recoverable(text);
        for fault in &faults {
            let at = origin(fault.span().map_or(0, |span| span.start), "");
            self.unresolved = true;
            let message = fault.message().replace('\n', ", ");
            let fault = format!("the configuration file is no TOML: {message}");
            self.close(
                &at,
                codes::LOGIN_CONFIG,
                fault,
                "correct the line".to_owned(),
            );
        }
        if self.unresolved {
            return; // What is left of a broken file means nothing by itself.
        }
        for (key, value) in table.get_ref() {
            let at = origin(key.span().start, key.get_ref());
            match Known::in_file(key.get_ref()) {
                Some(known) => match from_toml(known.kind, value.get_ref()) {
                    Ok(value) => self.insert(known, value, at),
                    Err(wanted) => self.bad_value(&at, known.name, wanted),
                },
                None => {
                    let fault = format!("`{}` is no option of OAuth2 Proxy", key.get_ref());
                    let remedy = suggestion(key.get_ref(), Known::names());
                    self.close(&at, codes::LOGIN_OPTION_UNKNOWN, fault, remedy);
                }
            }
        }
    }

    /// Reads `OAUTH2_PROXY_…`; an empty variable counts as unset.
    pub(super) fn read_environment(&mut self, environment: &Environment) {
        const PREFIX: &str = "OAUTH2_PROXY_";
        for missing in &environment.missing {
            // Whatever is missing here, the real program would not have started without it.
            if missing
                .variable
                .as_ref()
                .is_none_or(|name| name.starts_with(PREFIX))
            {
                self.unresolved = true;
                self.closed
                    .get_or_insert_with(|| Arc::clone(&missing.closure));
            }
        }
        for (name, variable) in environment.iter() {
            let Some(rest) = name
                .strip_prefix(PREFIX)
                .filter(|_| !variable.value.is_empty())
            else {
                continue;
            };
            let at = Origin {
                object: Arc::clone(&variable.object),
                line: variable.line,
                field: variable.field.clone(),
            };
            let known = Known::in_file(rest).filter(|_| !rest.contains(|c: char| c.is_lowercase()));
            let Some(known) = known else {
                let fault = format!("`{name}` means nothing to OAuth2 Proxy");
                let remedy = match closest(&rest.to_lowercase(), Known::names()) {
                    Some(near) => format!("did you mean `{PREFIX}{}`?", near.to_uppercase()),
                    None => "remove it".to_owned(),
                };
                self.report(
                    &at,
                    codes::LOGIN_OPTION_UNKNOWN,
                    Severity::Warning,
                    fault,
                    remedy,
                );
                continue;
            };
            match variable
                .value
                .expose_str()
                .ok_or("text")
                .and_then(|text| from_text(known.kind, text))
            {
                Ok(value) => self.insert(known, value, at),
                Err(wanted) => self.bad_value(&at, known.name, wanted),
            }
        }
    }

    /// Sets an option from the command line. Items of lists that are given again add up.
    pub(super) fn set_flag(&mut self, known: &'static Known, text: &str, at: Origin, again: bool) {
        match from_text(known.kind, text) {
            Ok(Value::List(items)) if again => match self.set.get_mut(known.name) {
                Some(Setting {
                    value: Value::List(all),
                    ..
                }) => all.extend(items),
                _ => self.insert(known, Value::List(items), at),
            },
            Ok(value) => self.insert(known, value, at),
            Err(wanted) => self.bad_value(&at, known.name, wanted),
        }
    }

    fn insert(&mut self, known: &'static Known, value: Value, origin: Origin) {
        self.set.insert(known.name, Setting { value, origin });
    }

    fn bad_value(&mut self, at: &Origin, name: &str, wanted: &str) {
        // The value is not shown: it may have slipped here from a secret.
        let fault = format!("`{name}` has to be {wanted}");
        self.close(
            at,
            codes::LOGIN_OPTION_VALUE,
            fault,
            format!("write {wanted}"),
        );
    }

    /// Says what becomes of every option that nothing acts on.
    pub(super) fn judge_unused(&mut self) {
        if self.alone {
            self.judge_alone();
            return;
        }
        let mut told = Vec::new();
        for (name, setting) in &self.set {
            let Some(known) = Known::in_file(name) else {
                continue;
            };
            let (usual, code, severity, fault, remedy) = match known.effect {
                Effect::Acted | Effect::Harmless => continue,
                Effect::Later(usual) => (
                    usual,
                    codes::LOGIN_OPTION_IGNORED,
                    Severity::Warning,
                    format!("`{name}` is not acted on yet"),
                    "remove it, or keep it for later",
                ),
                Effect::Weakens(usual) => (
                    usual,
                    codes::LOGIN_OPTION_REFUSED,
                    Severity::Note,
                    format!("`{name}` has no effect: doorward never leaves that check out"),
                    "remove it",
                ),
                Effect::Narrows(usual) => (
                    usual,
                    codes::LOGIN_OPTION_UNENFORCED,
                    Severity::Error,
                    format!("`{name}` is not enforced yet, so nobody is let in"),
                    "remove it if everybody else may enter too",
                ),
            };
            if setting.value.spelled() != usual {
                told.push((setting.origin.clone(), code, severity, fault, remedy));
            }
        }
        for (at, code, severity, fault, remedy) in told {
            self.report(&at, code, severity, fault, remedy.to_owned());
        }
    }

    fn judge_alone(&mut self) {
        let mut told = Vec::new();
        for (name, setting) in &self.set {
            let Some(known) = Known::in_file(name) else {
                continue;
            };
            let (usual, code, severity, fault, remedy) = match known.alone {
                Alone::Acts => continue,
                Alone::Warns(usual, why) => (
                    usual,
                    codes::LOGIN_OPTION_IGNORED,
                    Severity::Warning,
                    format!("`{name}` has no effect here: {why}"),
                    "remove it, or leave it",
                ),
                Alone::Refuses(usual, why) => (
                    usual,
                    codes::LOGIN_OPTION_UNENFORCED,
                    Severity::Error,
                    format!("`{name}` cannot be kept: {why}"),
                    "remove it if it is not needed",
                ),
            };
            // `-` takes away what the original would show or do.
            let spelled = setting.value.spelled();
            if spelled != usual && spelled != "-" {
                told.push((setting.origin.clone(), code, severity, fault, remedy));
            }
        }
        for (at, code, severity, fault, remedy) in told {
            self.report(&at, code, severity, fault, remedy.to_owned());
        }
    }

    /// Where an option stands; the login itself when it is not set.
    pub(super) fn origin(&self, name: &str) -> Origin {
        match self.set.get(name) {
            Some(setting) => setting.origin.clone(),
            None => {
                let (object, line) = &self.home;
                Origin {
                    object: Arc::clone(object),
                    line: *line,
                    field: String::new(),
                }
            }
        }
    }

    /// A finding; an error keeps everybody out.
    pub(super) fn report(
        &mut self,
        at: &Origin,
        code: Code,
        severity: Severity,
        fault: String,
        remedy: String,
    ) {
        let finding = at
            .object
            .finding(code, severity, at.line, at.field.clone(), fault, remedy);
        if severity == Severity::Error {
            self.closed
                .get_or_insert_with(|| Arc::new(Closure::of(&finding)));
        }
        self.findings.push(finding);
    }

    /// A fault that keeps everybody out.
    pub(super) fn close(&mut self, at: &Origin, code: Code, fault: String, remedy: String) {
        self.report(at, code, Severity::Error, fault, remedy);
    }

    /// The text of an option; empty counts as unset.
    pub(super) fn text(&self, name: &str) -> Option<Arc<str>> {
        match &self.set.get(name)?.value {
            Value::Text(text) if !text.is_empty() => Some(Arc::clone(text)),
            _ => None,
        }
    }

    /// A truth value, or what it is when unset.
    pub(super) fn flag(&self, name: &str, unset: bool) -> bool {
        match self.set.get(name).map(|setting| &setting.value) {
            Some(Value::Flag(value)) => *value,
            _ => unset,
        }
    }

    /// A list, empty when unset.
    pub(super) fn list(&self, name: &str) -> Vec<Arc<str>> {
        match self.set.get(name).map(|setting| &setting.value) {
            Some(Value::List(items)) => items.clone(),
            _ => Vec::new(),
        }
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match self.set.get(name)?.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// A span of time.
    pub(super) fn span(&self, name: &str) -> Option<Duration> {
        match self.set.get(name)?.value {
            Value::Span(span) => Some(span),
            _ => None,
        }
    }
}

impl Value {
    /// For comparison with the value that changes nothing.
    fn spelled(&self) -> String {
        match self {
            Self::Text(text) => text.to_string(),
            Self::Flag(value) => value.to_string(),
            Self::List(items) => items.join(","),
            Self::Span(span) => format!("{}ns", span.as_nanos()),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// A value as text. The error says what it has to be.
fn from_text(kind: Kind, text: &str) -> Result<Value, &'static str> {
    match kind {
        Kind::Text => Ok(Value::Text(text.into())),
        // What Go's `ParseBool` takes.
        Kind::Flag => match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Flag(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Flag(false)),
            _ => Err("`true` or `false`"),
        },
        Kind::List if text.is_empty() => Ok(Value::List(Vec::new())),
        // Empty items stay: a list of allowed groups must not turn into none.
        Kind::List => Ok(Value::List(text.split(',').map(Arc::from).collect())),
        Kind::Span => duration(text)
            .map(Value::Span)
            .ok_or("a span of time such as `24h`"),
        Kind::Number => text
            .parse()
            .map(Value::Number)
            .map_err(|_| "a whole number"),
    }
}

/// A value of the file, with the leniency of the original: one item for a list, a number for text,
/// text for a truth value, and a bare number for a span counts nanoseconds.
fn from_toml(kind: Kind, value: &DeValue<'_>) -> Result<Value, &'static str> {
    const LIST: &str = "a list of texts";
    match (kind, value) {
        (_, DeValue::String(text)) => from_text(kind, text),
        (Kind::Flag, DeValue::Boolean(value)) => Ok(Value::Flag(*value)),
        (Kind::List, DeValue::Array(items)) => {
            let items = items
                .iter()
                .map(|item| item.get_ref().as_str().map(Arc::from).ok_or(LIST));
            Ok(Value::List(items.collect::<Result<_, _>>()?))
        }
        (Kind::Span, DeValue::Integer(number)) => {
            let nanoseconds = number.as_str().replace('_', "").parse();
            nanoseconds
                .map(|nanoseconds| Value::Span(Duration::from_nanos(nanoseconds)))
                .map_err(|_| "a span of time such as `24h`")
        }
        (Kind::Text | Kind::Number | Kind::List, DeValue::Integer(number)) => {
            from_text(kind, &number.as_str().replace('_', ""))
        }
        (Kind::Text, _) => Err("text"),
        (Kind::Flag, _) => Err("`true` or `false`"),
        (Kind::List, _) => Err(LIST),
        (Kind::Span, _) => Err("a span of time such as `24h`"),
        (Kind::Number, _) => Err("a whole number"),
    }
}

/// A remedy that names the option that was probably meant.
pub(super) fn suggestion(word: &str, known: impl Iterator<Item = &'static str>) -> String {
    match closest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "remove it".to_owned(),
    }
}
