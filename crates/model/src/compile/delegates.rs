//! Delegates: routes of one `VirtualService` that another takes over under its own hosts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::finding::{Finding, Severity, codes};
use crate::manifest::http_route::{EntryAction, EntryDelegate};
use crate::manifest::virtual_service::{EntryMatch, HttpEntry, VirtualService, http_entry};
use crate::objects::{Field, Node, Value};
use crate::snapshot::{Closure, HeaderMatch, HeaderTest, RouteInfo, RouteMatch, TextMatch};
use crate::world::Key;

/// The VirtualServices that others delegate to.
pub(super) fn named(services: &[VirtualService]) -> HashSet<Key> {
    let delegating = services.iter().flat_map(|service| {
        let delegates = service.http.iter().filter_map(|entry| match &entry.action {
            EntryAction::Delegate(delegate) => Some(delegate),
            _ => None,
        });
        delegates.map(|delegate| key_of(delegate, service))
    });
    delegating.collect()
}

fn key_of(delegate: &EntryDelegate, root: &VirtualService) -> Key {
    let namespace = delegate.namespace.as_ref();
    (
        Arc::clone(namespace.unwrap_or(root.object.namespace())),
        Arc::clone(&delegate.name),
    )
}

/// Puts the routes of delegates in the place of the entries that delegate to them.
pub(super) fn expand(services: &mut [VirtualService], findings: &mut Vec<Finding>) {
    let by_key: HashMap<Key, usize> = services
        .iter()
        .enumerate()
        .map(|(number, service)| {
            let object = &service.object;
            let key = (Arc::clone(object.namespace()), Arc::clone(object.name()));
            (key, number)
        })
        .collect();
    let delegates = |entry: &HttpEntry| matches!(entry.action, EntryAction::Delegate(_));
    let roots: Vec<usize> = (0..services.len())
        .filter(|number| services[*number].http.iter().any(delegates))
        .collect();
    let mut expanded = Vec::new();
    for number in roots {
        let root = &services[number];
        let mut entries = Vec::new();
        for (index, entry) in root.http.iter().enumerate() {
            let EntryAction::Delegate(delegate) = &entry.action else {
                entries.push(entry.clone());
                continue;
            };
            let target = by_key.get(&key_of(delegate, root));
            match usable(root, delegate, target.map(|number| &services[*number])) {
                Ok(target) => merged(root, index, target, &mut entries, findings),
                Err(closure) => entries.push(HttpEntry {
                    action: EntryAction::Closed(match closure {
                        Unusable::Closed(closure) => closure,
                        Unusable::Said(finding) => {
                            let closure = Arc::new(Closure::of(&finding));
                            findings.push(*finding);
                            closure
                        }
                    }),
                    ..entry.clone()
                }),
            }
        }
        expanded.push((number, entries));
    }
    for (number, entries) in expanded {
        services[number].http = entries;
    }
}

/// Why a delegate cannot be used.
enum Unusable {
    /// It is closed itself, and said so.
    Closed(Arc<Closure>),
    /// Nobody has said it yet.
    Said(Box<Finding>),
}

fn usable<'a>(
    root: &VirtualService,
    delegate: &EntryDelegate,
    target: Option<&'a VirtualService>,
) -> Result<&'a VirtualService, Unusable> {
    let (namespace, name) = key_of(delegate, root);
    let no = |fault: String, remedy: String| {
        let finding = root.object.finding(
            codes::DELEGATE,
            Severity::Error,
            delegate.line,
            delegate.path.clone(),
            fault,
            remedy,
        );
        Err(Unusable::Said(Box::new(finding)))
    };
    let Some(target) = target else {
        return no(
            format!("the delegate `{namespace}/{name}` does not exist"),
            "add that `VirtualService`, without `hosts`".to_owned(),
        );
    };
    let closed = target.closed.as_ref().or(target.object.closed.as_ref());
    if let Some(closure) = closed {
        return Err(Unusable::Closed(Arc::clone(closure)));
    }
    if !target.hosts.is_empty() {
        return no(
            format!("`{namespace}/{name}` has `hosts` of its own, so nobody can delegate to it"),
            "remove its `hosts` and `gateways`".to_owned(),
        );
    }
    let from = root.object.namespace();
    if !target.visibility.covers(from) {
        return no(
            format!("the delegate `{namespace}/{name}` is not exported to `{from}`"),
            format!("add `{from}` to its `exportTo`"),
        );
    }
    Ok(target)
}

/// The routes of `target` under entry `index` of `root`.
fn merged(
    root: &VirtualService,
    index: usize,
    target: &VirtualService,
    entries: &mut Vec<HttpEntry>,
    findings: &mut Vec<Finding>,
) {
    let over = &root.http[index];
    for (number, entry) in target.http.iter().enumerate() {
        let path = format!("spec.http[{number}]");
        let Some(matches) = joined(&over.matches, &entry.matches) else {
            findings.push(target.object.finding(
                codes::DELEGATE_OUTSIDE,
                Severity::Warning,
                entry.info.place.line,
                path,
                format!(
                    "this route lies outside of every match of `{}` that delegates to it, so it is never reached",
                    root.object.reference
                ),
                "match a part of what the delegating route matches; only one of both may use `regex`, and `ignoreUriCase` has to be equal",
            ));
            continue;
        };
        let info = Arc::new(RouteInfo {
            name: joined_name(&over.info.name, &entry.info.name),
            ..(*entry.info).clone()
        });
        let closed = match &entry.action {
            EntryAction::Closed(closure) => Some(Arc::clone(closure)),
            EntryAction::Delegate(_) => Some(nested(target, entry, &path, findings)),
            _ => None,
        };
        let read = match closed {
            Some(closure) => HttpEntry {
                matches,
                action: EntryAction::Closed(closure),
                ..entry.clone()
            },
            None => {
                let whole = filled(http_node(root, index), http_node(target, number));
                let field = Field {
                    object: &target.object,
                    node: &whole,
                    path,
                };
                // What both hold has been said of each; only what they are together is new.
                let mut said = Vec::new();
                let read = http_entry(&target.object, &field, number, matches, &mut said);
                said.retain(|finding| finding.severity == Severity::Error);
                findings.append(&mut said);
                read
            }
        };
        entries.push(HttpEntry { info, ..read });
    }
}

fn nested(
    target: &VirtualService,
    entry: &HttpEntry,
    path: &str,
    findings: &mut Vec<Finding>,
) -> Arc<Closure> {
    let finding = target.object.finding(
        codes::DELEGATE,
        Severity::Error,
        entry.info.place.line,
        format!("{path}.delegate"),
        "a delegate delegates once more, and only one level is allowed",
        "write the routes into this `VirtualService`",
    );
    let closure = Arc::new(Closure::of(&finding));
    findings.push(finding);
    closure
}

/// Names that people gave, joined; a number in their place says nothing beside a name.
fn joined_name(root: &Arc<str>, delegate: &Arc<str>) -> Arc<str> {
    let is_given = |name: &str| !name.starts_with("http[");
    match (is_given(root), is_given(delegate)) {
        (true, true) => format!("{root}-{delegate}").into(),
        (true, false) => Arc::clone(root),
        (false, _) => Arc::clone(delegate),
    }
}

fn http_node(service: &VirtualService, index: usize) -> Option<&Node> {
    let list = service.object.root.path(&["spec", "http"])?.items()?;
    list.get(index)
}

/// The delegate's entry, and of the delegating one what the delegate leaves out.
fn filled(root: Option<&Node>, delegate: Option<&Node>) -> Node {
    const FROM_ROOT: [&str; 10] = [
        "rewrite",
        "timeout",
        "retries",
        "fault",
        "mirror",
        "mirrors",
        "mirrorPercent",
        "mirrorPercentage",
        "corsPolicy",
        "headers",
    ];
    let line = delegate.map_or(0, |node| node.line);
    let own = delegate.and_then(Node::entries).unwrap_or_default();
    let mut entries = own.to_vec();
    for name in FROM_ROOT {
        let given = delegate.is_some_and(|node| node.field(name).is_some());
        if let Some(node) = root.and_then(|root| root.field(name)).filter(|_| !given) {
            entries.push((name.into(), node.clone()));
        }
    }
    Node {
        value: Value::Map(entries),
        line,
    }
}

/// Each match of the delegate under each match of the root that contains it; `None` when one is
/// contained in none.
fn joined(root: &[EntryMatch], delegate: &[EntryMatch]) -> Option<Vec<EntryMatch>> {
    if root.is_empty() {
        return Some(delegate.to_vec());
    }
    if delegate.is_empty() {
        return Some(root.to_vec());
    }
    let mut all = Vec::new();
    for leaf in delegate {
        let before = all.len();
        let containing = root.iter().filter(|over| contains(over, leaf));
        all.extend(containing.map(|over| both(over, leaf)));
        if all.len() == before {
            return None;
        }
    }
    Some(all)
}

fn contains(root: &EntryMatch, leaf: &EntryMatch) -> bool {
    // What cannot be read is closed wherever it stands.
    if root.closed.is_some() || leaf.closed.is_some() {
        return true;
    }
    let (over, under) = (&root.conditions, &leaf.conditions);
    let uri = |one: &RouteMatch| one.uri.as_ref().map(|uri| uri.text.clone());
    let port = over.port.is_none() || under.port.is_none() || over.port == under.port;
    let headers = under.headers.iter().all(|test| {
        let rivals = over.headers.iter().filter(|other| {
            // A condition of the delegate that must not hold stands against the root's that must.
            other.name == test.name && !other.negate
        });
        rivals.into_iter().all(|other| header_contains(other, test))
    });
    let claims = under.claims.iter().all(|test| {
        let mut rivals = over
            .claims
            .iter()
            .filter(|other| other.path == test.path && !other.negate);
        rivals.all(|other| text_contains(&other.value, &test.value))
    });
    let pseudo = under.pseudo.iter().all(|test| {
        let mut rivals = over
            .pseudo
            .iter()
            .filter(|other| other.which == test.which && !other.negate);
        rivals.all(|other| text_contains(&other.value, &test.value))
    });
    let query = under.query.iter().all(|(name, value)| {
        let mut rivals = over.query.iter().filter(|(other, _)| other == name);
        rivals.all(|(_, other)| text_contains(other, value))
    });
    fits(uri(over).as_ref(), uri(under).as_ref())
        && fits(over.scheme.as_ref(), under.scheme.as_ref())
        && fits(over.method.as_ref(), under.method.as_ref())
        && fits(over.authority.as_ref(), under.authority.as_ref())
        && root.ignore_uri_case == leaf.ignore_uri_case
        && port
        && headers
        && claims
        && pseudo
        && query
}

/// Nothing to compare where one side says nothing.
fn fits(root: Option<&TextMatch>, leaf: Option<&TextMatch>) -> bool {
    match (root, leaf) {
        (Some(root), Some(leaf)) => text_contains(root, leaf),
        _ => true,
    }
}

/// Whether every text that `leaf` takes is one that `root` takes, as far as Istio looks.
pub(super) fn text_contains(root: &TextMatch, leaf: &TextMatch) -> bool {
    match (root, leaf) {
        (TextMatch::Exact(root), TextMatch::Exact(leaf)) => root == leaf,
        (TextMatch::Prefix(root), TextMatch::Exact(leaf) | TextMatch::Prefix(leaf)) => {
            leaf.starts_with(&**root)
        }
        (TextMatch::Exact(_), TextMatch::Prefix(_))
        | (TextMatch::Regex(_), _)
        | (_, TextMatch::Regex(_)) => false,
    }
}

fn header_contains(root: &HeaderTest, leaf: &HeaderTest) -> bool {
    match (&root.value, &leaf.value) {
        (HeaderMatch::Text(root), HeaderMatch::Text(leaf)) => text_contains(root, leaf),
        _ => false,
    }
}

/// The conditions of both; of those on one thing, the delegate's, which is the narrower.
fn both(root: &EntryMatch, leaf: &EntryMatch) -> EntryMatch {
    let (over, under) = (&root.conditions, &leaf.conditions);
    let or = |leaf: &Option<TextMatch>, root: &Option<TextMatch>| leaf.clone().or(root.clone());
    let mut conditions = RouteMatch {
        uri: under.uri.clone().or(over.uri.clone()),
        scheme: or(&under.scheme, &over.scheme),
        method: or(&under.method, &over.method),
        authority: or(&under.authority, &over.authority),
        headers: over.headers.clone(),
        pseudo: over.pseudo.clone(),
        query: over.query.clone(),
        claims: over.claims.clone(),
        port: under.port.or(over.port),
    };
    conditions.headers.extend(under.headers.iter().cloned());
    conditions.pseudo.extend(under.pseudo.iter().cloned());
    conditions.query.extend(under.query.iter().cloned());
    conditions.claims.extend(under.claims.iter().cloned());
    let mut labels = root.source_labels.clone();
    labels.extend(leaf.source_labels.clone());
    EntryMatch {
        conditions,
        ignore_uri_case: leaf.ignore_uri_case,
        gateways: common_gateways(&root.gateways, &leaf.gateways),
        source_labels: labels,
        source_namespace: leaf
            .source_namespace
            .clone()
            .or(root.source_namespace.clone()),
        closed: root.closed.clone().or(leaf.closed.clone()),
    }
}

/// Gateways where both hold; an empty list names them all.
fn common_gateways(root: &[Key], leaf: &[Key]) -> Vec<Key> {
    if root.is_empty() || leaf.is_empty() {
        return [root, leaf].concat();
    }
    let common: Vec<Key> = leaf
        .iter()
        .filter(|key| root.contains(key))
        .cloned()
        .collect();
    if common.is_empty() {
        // A condition that no gateway meets.
        return vec![("".into(), "mesh".into())];
    }
    common
}
