//! `Secret`: named values that must not be seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::BASE64;

use crate::finding::Finding;
use crate::names::Secret;
use crate::objects::{Fault, Object};

/// A Secret.
#[derive(Clone, Debug)]
pub(crate) struct SecretData {
    pub(crate) object: Arc<Object>,
    /// `type`; `Opaque` unless set.
    pub(crate) kind: Arc<str>,
    /// `data`, decoded, and `stringData`, which wins.
    pub(crate) data: BTreeMap<Arc<str>, Secret>,
    /// Line of each entry.
    pub(crate) lines: BTreeMap<Arc<str>, u32>,
}

impl SecretData {
    /// Reads a Secret; one that cannot be read is a finding and is not there.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Option<Self> {
        convert(object).map_err(|fault| findings.push(*fault)).ok()
    }
}

fn convert(object: &Arc<Object>) -> Result<SecretData, Fault> {
    let top = object.top();
    let mut secret = SecretData {
        object: Arc::clone(object),
        kind: top.child_text("type")?.unwrap_or_else(|| "Opaque".into()),
        data: BTreeMap::new(),
        lines: BTreeMap::new(),
    };
    if let Some(data) = top.child("data") {
        for (key, value) in data.entries()? {
            // Kubernetes decoders skip line breaks inside base64.
            let text: Vec<u8> = value
                .text()?
                .bytes()
                .filter(|byte| !byte.is_ascii_whitespace())
                .collect();
            let bytes = BASE64.decode(&text).map_err(|_| {
                value.fault(
                    format!("`{}` is no base64", value.path),
                    "encode it, or move it to `stringData`",
                )
            })?;
            secret.lines.insert(Arc::clone(&key), value.line());
            secret.data.insert(key, Secret::new(bytes));
        }
    }
    if let Some(data) = top.child("stringData") {
        for (key, value) in data.entries()? {
            secret.lines.insert(Arc::clone(&key), value.line());
            secret
                .data
                .insert(key, Secret::new(value.text()?.as_bytes()));
        }
    }
    Ok(secret)
}
