//! `ConfigMap`: named texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::finding::Finding;
use crate::objects::{Fault, Object};

/// A ConfigMap.
#[derive(Clone, Debug)]
pub(crate) struct ConfigMap {
    pub(crate) object: Arc<Object>,
    /// `data`.
    pub(crate) data: BTreeMap<Arc<str>, ConfigText>,
}

/// One entry of `data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigText {
    pub(crate) text: Arc<str>,
    /// Line of the key. A block text begins on the next one.
    pub(crate) line: u32,
}

impl ConfigMap {
    /// Reads a ConfigMap; one that cannot be read is a finding and is not there.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Option<Self> {
        convert(object).map_err(|fault| findings.push(*fault)).ok()
    }
}

fn convert(object: &Arc<Object>) -> Result<ConfigMap, Fault> {
    let mut data = BTreeMap::new();
    if let Some(field) = object.top().child("data") {
        for (key, value) in field.entries()? {
            let text = value.text()?.into();
            data.insert(
                key,
                ConfigText {
                    text,
                    line: value.line(),
                },
            );
        }
    }
    Ok(ConfigMap {
        object: Arc::clone(object),
        data,
    })
}
