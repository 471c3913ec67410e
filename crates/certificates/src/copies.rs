//! Copies that nobody renewed: a certificate was copied from one namespace to another, and its
//! source has been renewed since.

use std::collections::HashMap;

use model::finding::codes;
use model::names::{ObjectRef, Timestamp};
use model::snapshot::SpareCertificate;
use model::{Finding, Severity};

use crate::brought::{Alternatives, Pairs, day, finding, leaf};

/// Served certificates for whose very names another Secret has one that lasts longer.
pub(crate) fn check(pairs: &Pairs, spare: &[SpareCertificate]) -> Vec<Finding> {
    let mut newest: HashMap<Alternatives, (&ObjectRef, Timestamp)> = HashMap::new();
    for one in spare {
        let Some((names, end)) = leaf(&one.chain).filter(|(names, _)| !names.is_empty()) else {
            continue;
        };
        let known = newest.entry(names).or_insert((&one.object, end));
        if end > known.1 {
            *known = (&one.object, end);
        }
    }
    let outdated = pairs.all().filter_map(|(served, outcome)| {
        let brought = outcome.pair()?;
        let (other, end) = newest.get(&brought.names)?;
        let own = brought.validity.not_after;
        (*end > own).then(|| {
            let fault = format!(
                "the certificate in `{}` ends on {}, and `{other}` has one for the same names that \
                 ends on {}",
                served.object,
                day(own),
                day(*end)
            );
            let remedy = "copy it again, and after each renewal, or name the newer Secret";
            let code = codes::CERTIFICATE_OUTDATED;
            finding(served, Severity::Warning, code, fault, remedy)
        })
    });
    outdated.collect()
}
