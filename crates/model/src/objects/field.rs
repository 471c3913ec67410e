//! Reading a field and saying exactly which one is wrong.

use std::sync::Arc;

use super::node::{Node, Value, same_field};
use super::object::Object;
use crate::finding::{Code, Finding, Severity, codes};
use crate::names::Duration;

/// An error finding that stops the conversion of whatever holds the field.
pub(crate) type Fault = Box<Finding>;

/// A field with the object it stands in and its path, such as `spec.http[0].match[1]`.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) object: &'a Object,
    pub(crate) node: &'a Node,
    pub(crate) path: String,
}

impl<'a> Field<'a> {
    /// A field below, in either spelling; `None` when absent or `null`.
    pub(crate) fn child(&self, name: &str) -> Option<Field<'a>> {
        let node = self.node.field(name)?;
        Some(Field {
            object: self.object,
            node,
            path: self.path_of(name),
        })
    }

    /// A field below that has to be there.
    pub(crate) fn required(&self, name: &str) -> Result<Field<'a>, Fault> {
        self.child(name).ok_or_else(|| {
            let path = self.path_of(name);
            let mut fault = self.fault(format!("`{path}` is missing"), format!("add `{name}`"));
            fault.field = path;
            fault
        })
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Line of the field.
    pub(crate) fn line(&self) -> u32 {
        self.node.line
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Result<Vec<Field<'a>>, Fault> {
        let items = self.node.items().ok_or_else(|| self.wrong_type("a list"))?;
        let fields = items.iter().enumerate().map(|(index, node)| Field {
            object: self.object,
            node,
            path: format!("{}[{index}]", self.path),
        });
        Ok(fields.collect())
    }

    /// The items of a list below; none when the list is absent.
    pub(crate) fn child_items(&self, name: &str) -> Result<Vec<Field<'a>>, Fault> {
        self.child(name).map_or(Ok(Vec::new()), |list| list.items())
    }

    /// The entries of a mapping, in the order of the file.
    pub(crate) fn entries(&self) -> Result<Vec<(Arc<str>, Field<'a>)>, Fault> {
        let entries = self
            .node
            .entries()
            .ok_or_else(|| self.wrong_type("a mapping"))?;
        let fields = entries.iter().map(|(key, node)| {
            let path = format!("{}[{key}]", self.path);
            (
                Arc::clone(key),
                Field {
                    object: self.object,
                    node,
                    path,
                },
            )
        });
        Ok(fields.collect())
    }

    /// Text. A number or a truth value without quotes is none, as for the API server.
    pub(crate) fn text(&self) -> Result<&'a str, Fault> {
        self.node.text().ok_or_else(|| self.wrong_type("text"))
    }

    /// A list of texts below; none when the list is absent.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<Arc<str>>, Fault> {
        self.child_items(name)?
            .iter()
            .map(|item| item.text().map(Arc::from))
            .collect()
    }

    /// Text below, when it is there.
    pub(crate) fn child_text(&self, name: &str) -> Result<Option<Arc<str>>, Fault> {
        self.child(name)
            .map(|field| field.text().map(Arc::from))
            .transpose()
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Result<bool, Fault> {
        match self.node.value {
            Value::Bool(value) => Ok(value),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    /// A truth value below, false when it is absent.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Fault> {
        self.child(name).map_or(Ok(false), |field| field.boolean())
    }

    /// A whole number that is not negative.
    pub(crate) fn number(&self) -> Result<u64, Fault> {
        let parsed = match &self.node.value {
            Value::Number(text) => text.parse().ok(),
            _ => None,
        };
        parsed.ok_or_else(|| self.wrong_type("a whole number"))
    }

    /// A port, 1 to 65535.
    pub(crate) fn port(&self) -> Result<u16, Fault> {
        let port = self.number().ok().and_then(|port| u16::try_from(port).ok());
        port.filter(|port| *port > 0)
            .ok_or_else(|| self.wrong_type("a port from 1 to 65535"))
    }

    /// A span such as `300s`, `1h30m` or `0.5s`.
    pub(crate) fn duration(&self) -> Result<Duration, Fault> {
        let text = self.text()?;
        duration(text).ok_or_else(|| {
            self.fault(
                format!("`{}` is no span of time: `{text}`", self.path),
                "write it as `30s`",
            )
        })
    }

    /// Refuses fields other than these: a misspelled condition must not vanish.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Fault> {
        let entries = self
            .node
            .entries()
            .ok_or_else(|| self.wrong_type("a mapping"))?;
        for (index, (key, node)) in entries.iter().enumerate() {
            let Some(name) = known.iter().find(|name| same_field(key, name)) else {
                let path = self.path_of(key);
                let mut fault = self.fault(format!("`{path}` is no field"), nearest(key, known));
                fault.code = codes::UNKNOWN_FIELD;
                fault.place = Some(self.object.at(node.line));
                fault.field = path;
                return Err(fault);
            };
            if entries[..index]
                .iter()
                .any(|(other, _)| same_field(other, name))
            {
                let fault = format!("`{}` stands here in two spellings", self.path_of(name));
                return Err(self.fault(fault, "keep one of them"));
            }
        }
        Ok(())
    }

    /// [`Self::only`], and refuses fields that are written but hold nothing: an empty condition
    /// must not pass for one that was left out.
    pub(crate) fn strict(&self, known: &[&str]) -> Result<(), Fault> {
        self.only(known)?;
        for (key, node) in self.node.entries().unwrap_or_default() {
            if node.value == Value::Null {
                let path = self.path_of(key);
                let mut fault =
                    self.fault(format!("`{path}` holds nothing"), "fill it in or remove it");
                fault.place = Some(self.object.at(node.line));
                fault.field = path;
                return Err(fault);
            }
        }
        Ok(())
    }

    fn wrong_type(&self, wanted: &str) -> Fault {
        let fault = format!(
            "`{}` has to be {wanted}, not {}",
            self.path,
            self.node.type_name()
        );
        self.fault(fault, format!("write {wanted}"))
    }

    /// An error about this field.
    pub(crate) fn fault(&self, fault: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Box::new(self.finding(codes::FIELD, Severity::Error, fault, remedy))
    }

    /// A finding about this field.
    pub(crate) fn finding(
        &self,
        code: Code,
        severity: Severity,
        fault: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        self.object.finding(
            code,
            severity,
            self.line(),
            self.path.clone(),
            fault,
            remedy,
        )
    }
}

/// A span as Go and protobuf JSON write it; `None` when it is none.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0.0;
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(rest.len());
        let seconds = match &rest[..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number * seconds;
        rest = &rest[unit_end..];
    }
    Duration::try_from_secs_f64(total).ok()
}

/// A remedy that names the known word closest to `word`.
pub(crate) fn nearest(word: &str, known: &[&str]) -> String {
    match closest(word, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("remove it; known here: {}", known.join(", ")),
    }
}

/// The candidate with the smallest edit distance to `word`, when it is close enough to be meant.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = word.chars().count();
    let budget = (length / 3).max(1);
    // What differs in length by more cannot be near: a word of any length costs little.
    let alike = candidates.filter(|candidate| candidate.chars().count().abs_diff(length) <= budget);
    let scored = alike.map(|candidate| (distance(word, candidate), candidate));
    scored
        .filter(|(distance, _)| *distance <= budget)
        .min()
        .map(|(_, candidate)| candidate)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().flat_map(char::to_lowercase).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let change = before + usize::from(letter != *other);
            before = row[j + 1];
            row[j + 1] = change.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_go_writes_them() {
        assert_eq!(duration("300s"), Some(Duration::from_secs(300)));
        assert_eq!(duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("0.5s"), Some(Duration::from_millis(500)));
        assert_eq!(duration("0s"), Some(Duration::ZERO));
        for bad in ["", "5", "s", "-1s", "1d", "1.2.3s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_close_word_is_suggested_and_a_far_one_is_not() {
        let known = ["notPaths", "paths", "hosts"];
        assert_eq!(closest("notPath", known.into_iter()), Some("notPaths"));
        assert_eq!(closest("principals", known.into_iter()), None);
        assert_eq!(closest(&"paths".repeat(1 << 22), known.into_iter()), None);
    }
}
