//! Policies that are made of few words, so that requests made of the same words meet them.

mod words;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

use words::{KEYS, OPERATION, SOURCE, Words};

/// Ids of the clients that they name.
pub const IDS: [&str; 5] = [
    "cluster.local/ns/team-a/sa/web",
    "cluster.local/ns/team-b/sa/web",
    "old.example/ns/team-a/sa/db",
    "other.org/ns/istio-system/sa/web",
    "machine.example/host",
];

/// Issuers of the tokens that they ask for.
pub const ISSUERS: [&str; 3] = [
    "https://issuer.example/a",
    "https://issuer.example/b",
    "plain",
];

fn values(words: Words) -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(select(words), 1..4)
}

/// Some of the fields, each with values.
fn fields(known: &'static [(&'static str, Words)]) -> impl Strategy<Value = Map<String, Value>> {
    let one = known
        .iter()
        .map(|(name, words)| values(words).prop_map(|values| (*name, values)));
    prop::collection::vec(Union::new(one), 1..3).prop_map(|fields| {
        let fields = fields.into_iter();
        fields
            .map(|(name, values)| (name.to_owned(), json!(values)))
            .collect()
    })
}

fn source() -> impl Strategy<Value = Value> {
    fields(&SOURCE).prop_map(|mut fields| {
        // Accounts cannot stand beside the other two.
        if fields.keys().any(|name| name.ends_with("erviceAccounts")) {
            fields.retain(|name, _| {
                !name.ends_with("rincipals") && !name.ends_with("amespaces")
                    || name.ends_with("equestPrincipals")
            });
        }
        json!({ "source": fields })
    })
}

fn condition() -> impl Strategy<Value = Value> {
    let one = KEYS.iter().map(|(key, words)| {
        let twin = prop::option::weighted(0.3, values(words));
        (values(words), twin, any::<bool>()).prop_map(|(first, second, negated)| {
            let names = if negated {
                ["notValues", "values"]
            } else {
                ["values", "notValues"]
            };
            let mut condition = json!({ "key": *key, names[0]: first });
            if let Some(second) = second {
                condition[names[1]] = json!(second);
            }
            condition
        })
    });
    Union::new(one)
}

fn rule() -> impl Strategy<Value = Value> {
    let some = |chance, strategy: BoxedStrategy<Value>| {
        prop::option::weighted(chance, prop::collection::vec(strategy, 1..3))
    };
    let operation = fields(&OPERATION).prop_map(|fields| json!({ "operation": fields }));
    let parts = (
        some(0.5, source().boxed()),
        some(0.6, operation.boxed()),
        some(0.4, condition().boxed()),
    );
    parts.prop_map(|(from, to, when)| {
        let parts = [("from", from), ("to", to), ("when", when)].into_iter();
        let parts = parts.filter_map(|(name, list)| Some((name.to_owned(), list?.into())));
        Value::Object(parts.collect())
    })
}

/// The `spec` of a policy for the gateway, of any action but CUSTOM.
pub fn policy() -> impl Strategy<Value = Value> {
    let action = select(&["ALLOW", "ALLOW", "ALLOW", "DENY", "DENY", "DENY", "AUDIT"][..]);
    policy_of(action)
}

/// The same, of this action.
pub fn policy_of(action: impl Strategy<Value = &'static str>) -> impl Strategy<Value = Value> {
    (action, prop::collection::vec(rule(), 1..5)).prop_map(|(action, rules)| {
        json!({
            "selector": { "matchLabels": { "istio": "ingressgateway" } },
            "action": action,
            "rules": rules,
        })
    })
}
