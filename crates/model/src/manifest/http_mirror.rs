//! `VirtualService` `http[].mirror` and `mirrors`: who gets a copy of a request.

use super::http_fault::{percent, percent_value};
use super::http_route::{EntryDestination, destination_of};
use crate::objects::{Fault, Field};
use crate::snapshot::Share;

/// A copy, before its destination is looked up.
#[derive(Clone, Debug)]
pub(crate) struct EntryMirror {
    pub(crate) destination: EntryDestination,
    pub(crate) share: Share,
}

/// Reads them from an `http` entry. A share of 0 is no mirror.
pub(super) fn read(field: &Field<'_>) -> Result<Vec<EntryMirror>, Fault> {
    let mut mirrors = Vec::new();
    if let (Some(one), Some(_)) = (field.child("mirror"), field.child("mirrors")) {
        let fault = format!("`{}` holds `mirror` and `mirrors`", field.path);
        return Err(one.fault(fault, "keep `mirrors`"));
    }
    if let Some(mirror) = field.child("mirror") {
        let share = match (
            field.child("mirrorPercentage"),
            field.child("mirrorPercent"),
        ) {
            (Some(percentage), _) => percent_value(&percentage)?,
            (None, Some(whole)) => percent(&whole)?,
            (None, None) => Share::ALL,
        };
        mirrors.push(EntryMirror {
            destination: destination_of(&mirror)?,
            share,
        });
    }
    for mirror in field.child_items("mirrors")? {
        mirror.only(&["destination", "percentage"])?;
        let percentage = mirror.child("percentage");
        mirrors.push(EntryMirror {
            destination: destination_of(&mirror.required("destination")?)?,
            share: percentage.map_or(Ok(Share::ALL), |share| percent_value(&share))?,
        });
    }
    mirrors.retain(|mirror| mirror.share != Share::NONE);
    Ok(mirrors)
}
