//! What KFAM's clients send: JSON whose keys are found whatever their letter case, as Go finds them.

use std::collections::BTreeMap;

use model::snapshot::{Role, Subject, SubjectKind};
use policy::bindings::{Wanted, WantedProfile};
use serde_json::{Map, Value};

/// Why a body is not understood.
type Unreadable = &'static str;

/// The pairs of a query; of a name that comes twice the first counts, and an empty value is none.
pub(super) fn query(query: Option<&str>) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if !value.is_empty() {
            pairs
                .entry(name.into_owned())
                .or_insert_with(|| value.into_owned());
        }
    }
    pairs
}

/// A binding: who, where, as what.
pub(super) fn binding(body: &[u8]) -> Result<Wanted, Unreadable> {
    let root = object(body)?;
    let user = below(&root, "user")?.ok_or("`user` is missing")?;
    let role = below(&root, "roleRef")?.ok_or("`RoleRef` is missing")?;
    if text(role, "kind")?.is_some_and(|kind| kind != "ClusterRole") {
        return Err("`RoleRef.kind` has to be `ClusterRole`");
    }
    let role = text(role, "name")?.and_then(Role::parse);
    Ok(Wanted {
        namespace: text(&root, "referredNamespace")?
            .ok_or("`referredNamespace` is missing")?
            .into(),
        subject: subject(user)?,
        role: role.ok_or("`RoleRef.name` has to be `admin`, `edit` or `view`")?,
    })
}

/// A Profile.
pub(super) fn profile(body: &[u8]) -> Result<WantedProfile, Unreadable> {
    let root = object(body)?;
    let metadata = below(&root, "metadata")?.ok_or("`metadata` is missing")?;
    let spec = below(&root, "spec")?.ok_or("`spec` is missing")?;
    let owner = below(spec, "owner")?.ok_or("`spec.owner` is missing")?;
    let mut more = Map::new();
    for name in ["plugins", "resourceQuotaSpec"] {
        let value = field(spec, name)?.filter(|value| !is_nothing(value));
        if let Some(value) = value {
            more.insert(name.to_owned(), value.clone());
        }
    }
    Ok(WantedProfile {
        name: text(metadata, "name")?
            .ok_or("`metadata.name` is missing")?
            .into(),
        owner: subject(owner)?,
        more,
    })
}

/// Go writes an empty struct for a field that nobody filled in.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(entries) => entries.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn subject(map: &Map<String, Value>) -> Result<Subject, Unreadable> {
    let kind = text(map, "kind")?.and_then(SubjectKind::parse);
    Ok(Subject {
        kind: kind.ok_or("`kind` has to be `User` or `Group`")?,
        name: text(map, "name")?.ok_or("`name` is missing")?.into(),
    })
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) | Err(_) => Err("the body is no JSON object"),
    }
}

/// A key that stands there in two spellings says two things.
fn field<'a>(map: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Value>, Unreadable> {
    let mut found = map
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value);
    match (found.next(), found.next()) {
        (_, Some(_)) => Err("a key stands there twice"),
        (value, None) => Ok(value.filter(|value| !value.is_null())),
    }
}

fn below<'a>(
    map: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Map<String, Value>>, Unreadable> {
    match field(map, name)? {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err("a JSON object stands elsewhere than it should"),
    }
}

fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Unreadable> {
    match field(map, name)? {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("a text stands elsewhere than it should"),
    }
}
