//! `backendRefs[]`: where a rule leads.

use super::Reference;
use super::filters::Filters;
use super::http_route::RouteKind;
use crate::objects::{Fault, Field};

/// A backend and its share.
#[derive(Clone, Debug)]
pub(crate) struct BackendRef {
    pub(crate) reference: Reference,
    pub(crate) port: Option<u16>,
    /// Share relative to the sum; 1 unless given.
    pub(crate) weight: u32,
    /// What happens on the way to this backend alone.
    pub(crate) filters: Filters,
}

impl BackendRef {
    /// Reads one of `backendRefs`.
    pub(super) fn read(field: &Field<'_>, kind: RouteKind) -> Result<Self, Fault> {
        field.only(&[
            "group",
            "kind",
            "namespace",
            "name",
            "port",
            "weight",
            "filters",
        ])?;
        let mut backend = Self::plain(field)?;
        if let Some(weight) = field.child("weight") {
            let number = weight.number()?;
            backend.weight = u32::try_from(number)
                .ok()
                .filter(|number| *number <= 1_000_000)
                .ok_or_else(|| weight.fault("a weight is at most 1000000", "write less"))?;
        }
        backend.filters = Filters::read(field, kind)?;
        Ok(backend)
    }

    /// Reads a reference without weight and filters, as mirrors have them.
    pub(super) fn plain(field: &Field<'_>) -> Result<Self, Fault> {
        Ok(Self {
            reference: Reference::read(field, "", "Service")?,
            port: field.child("port").map(|port| port.port()).transpose()?,
            weight: 1,
            filters: Filters::default(),
        })
    }
}
