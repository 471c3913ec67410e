//! A mapping whose keys match without letter case, as Go's JSON decoder reads them.

use std::sync::Arc;

use crate::names::Duration;
use crate::objects::{Fault, Field};

/// A mapping of Dex's configuration.
pub(super) struct Section<'a> {
    pub(super) field: Field<'a>,
}

impl<'a> Section<'a> {
    /// A mapping; anything else is a fault.
    pub(super) fn of(field: Field<'a>) -> Result<Self, Fault> {
        field.entries()?;
        Ok(Self { field })
    }

    /// The field of this name; an exact spelling wins over others, `null` counts as absent.
    pub(super) fn child(&self, name: &str) -> Option<Field<'a>> {
        let entries = self.field.node.entries().unwrap_or_default();
        let exact = entries.iter().find(|(key, _)| **key == *name);
        let (_, node) = exact.or_else(|| {
            entries
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
        })?;
        let path = format!("{}.{name}", self.field.path);
        let child = Field {
            object: self.field.object,
            node,
            path,
        };
        (child.node.value != crate::objects::Value::Null).then_some(child)
    }

    /// The mapping of this name.
    pub(super) fn section(&self, name: &str) -> Result<Option<Self>, Fault> {
        self.child(name).map(Self::of).transpose()
    }

    /// Text; a number or truth value counts as it is spelled. Empty counts as absent.
    pub(super) fn text(&self, name: &str) -> Result<Option<Arc<str>>, Fault> {
        let Some(field) = self.child(name) else {
            return Ok(None);
        };
        let text: Arc<str> = match field.node.scalar() {
            Some(text) => text.into(),
            None => field.text()?.into(),
        };
        Ok((!text.is_empty()).then_some(text))
    }

    /// A list of texts, as [`Self::text`] reads each.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<Arc<str>>, Fault> {
        let items = self.items(name)?;
        let texts = items.iter().map(|item| match item.node.scalar() {
            Some(text) => Ok(text.into()),
            None => item.text().map(Arc::from),
        });
        texts.collect()
    }

    /// A truth value.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        self.child(name).map(|field| field.boolean()).transpose()
    }

    /// A span of time that is not zero.
    pub(super) fn span(&self, name: &str) -> Result<Option<Duration>, Fault> {
        let Some(field) = self.child(name) else {
            return Ok(None);
        };
        let span = field.duration()?;
        if span < Duration::from_secs(1) {
            let fault = format!("`{}` is shorter than a second", field.path);
            return Err(field.fault(fault, "write it as `24h`"));
        }
        Ok(Some(span))
    }

    /// A span of time; zero counts as absent.
    pub(super) fn span_or_zero(&self, name: &str) -> Result<Option<Duration>, Fault> {
        let span = self.child(name).map(|field| field.duration()).transpose()?;
        Ok(span.filter(|span| !span.is_zero()))
    }

    /// Text that has to be there.
    pub(super) fn needed(&self, name: &str) -> Result<Arc<str>, Fault> {
        let missing = || {
            let fault = format!("`{name}` is missing");
            self.field.fault(fault, format!("add `{name}`"))
        };
        self.text(name)?.ok_or_else(missing)
    }

    /// The items of a list; none when it is absent.
    pub(super) fn items(&self, name: &str) -> Result<Vec<Field<'a>>, Fault> {
        self.child(name).map_or(Ok(Vec::new()), |list| list.items())
    }
}
