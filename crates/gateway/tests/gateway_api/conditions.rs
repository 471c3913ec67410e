//! Conditions against what a test expects.

use model::status::{Condition, Statuses};

use super::format::{Expected, full};

/// What is wrong with one expectation.
pub(crate) fn check(expected: &Expected, statuses: &Statuses) -> Result<(), String> {
    let faulty = |fault: String| Err(format!("{expected:?}: {fault}"));
    let (conditions, generation) = match find(expected, statuses) {
        Ok(found) => found,
        Err(fault) => return faulty(fault),
    };
    if let Some(kind) = &expected.condition {
        let Some(found) = conditions.iter().find(|one| one.kind == kind) else {
            return faulty(format!("no `{kind}` among {conditions:?}"));
        };
        if expected.status.is_some_and(|status| status != found.holds)
            || expected
                .reason
                .as_ref()
                .is_some_and(|reason| reason != found.reason)
        {
            return faulty(format!("{found:?}"));
        }
    }
    if expected.generation.is_some() && expected.generation != generation {
        return faulty(format!("of generation {generation:?}"));
    }
    counts(expected, statuses)
}

type Found<'a> = (&'a [Condition], Option<i64>);

fn find<'a>(expected: &Expected, statuses: &'a Statuses) -> Result<Found<'a>, String> {
    let absent = || "it has no status".to_owned();
    if let Some(name) = &expected.class {
        let mut classes = statuses.classes.iter();
        let class = classes.find(|class| *class.object.name == **name);
        let class = class.ok_or_else(absent)?;
        return Ok((&class.conditions, class.generation));
    }
    let hanging = expected.route.as_ref().map(|name| (name, &statuses.routes));
    let policy = expected.policy.as_ref();
    let hanging = hanging.or(policy.map(|name| (name, &statuses.policies)));
    if let Some((name, all)) = hanging {
        let (namespace, name) = full(name);
        let kind = match (&expected.kind, policy) {
            (Some(kind), _) => kind,
            (None, Some(_)) => "BackendTLSPolicy",
            (None, None) => "HTTPRoute",
        };
        let found = all.iter().find(|one| {
            let object = &one.object;
            (&*object.kind, &*object.namespace, &*object.name) == (kind, namespace, name)
        });
        let found = found.ok_or_else(absent)?;
        let parent = found.parents.first().ok_or_else(absent)?;
        return Ok((&parent.conditions, found.generation));
    }
    let (namespace, name) = full(expected.gateway.as_deref().unwrap_or_default());
    let gateway = statuses.gateway(namespace, name).ok_or_else(absent)?;
    match &expected.listener {
        None => Ok((&gateway.conditions, gateway.generation)),
        Some(name) => {
            let listener = gateway.listener(name).ok_or_else(absent)?;
            Ok((&listener.conditions, gateway.generation))
        }
    }
}

fn counts(expected: &Expected, statuses: &Statuses) -> Result<(), String> {
    let Some(gateway) = &expected.gateway else {
        return Ok(());
    };
    let (namespace, name) = full(gateway);
    let Some(gateway) = statuses.gateway(namespace, name) else {
        return Ok(());
    };
    let named = |name: &str| {
        expected
            .listener
            .as_ref()
            .is_none_or(|wanted| wanted == name)
    };
    let listeners = || gateway.listeners.iter().filter(|one| named(&one.name));
    if let Some(attached) = expected.attached {
        let found: u32 = listeners().map(|one| one.attached_routes).sum();
        if found != attached {
            return Err(format!("{expected:?}: {found} routes are attached"));
        }
    }
    let Some(kinds) = &expected.kinds else {
        return Ok(());
    };
    for listener in listeners() {
        let found = &listener.supported_kinds;
        let right = if kinds.is_empty() {
            found.is_empty()
        } else {
            kinds.iter().all(|kind| found.contains(&&**kind))
        };
        if !right {
            return Err(format!("{expected:?}: {found:?} may attach"));
        }
    }
    Ok(())
}

/// Every condition has to be of the generation that the objects have.
pub(crate) fn latest(generation: i64, statuses: &Statuses) -> Vec<String> {
    let routes = statuses.routes.iter().chain(&statuses.policies);
    let all = statuses
        .classes
        .iter()
        .map(|one| (&one.object, one.generation))
        .chain(
            statuses
                .gateways
                .iter()
                .map(|one| (&one.object, one.generation)),
        )
        .chain(routes.map(|one| (&one.object, one.generation)));
    all.filter(|(_, seen)| *seen != Some(generation))
        .map(|(object, seen)| format!("{object} is of generation {seen:?}, not {generation}"))
        .collect()
}
