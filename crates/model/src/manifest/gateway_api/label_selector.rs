//! `LabelSelector`: `matchLabels` and `matchExpressions`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::objects::{Fault, Field, string_map};

/// Conditions on labels; all must hold. None selects everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    key: Arc<str>,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<Arc<str>>),
    NotIn(Vec<Arc<str>>),
    Exists,
    DoesNotExist,
}

impl LabelSelector {
    /// Reads a selector.
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Fault> {
        field.only(&["matchLabels", "matchExpressions"])?;
        let labels = string_map(field.node.field("matchLabels"));
        let mut conditions: Vec<Condition> = labels
            .into_iter()
            .map(|(key, value)| Condition {
                key,
                test: Test::In(vec![value]),
            })
            .collect();
        for item in field.child_items("matchExpressions")? {
            let operator = item.required("operator")?;
            let values = item.texts("values")?;
            let test = match operator.text()? {
                "In" => Test::In(values),
                "NotIn" => Test::NotIn(values),
                "Exists" => Test::Exists,
                "DoesNotExist" => Test::DoesNotExist,
                other => {
                    let fault = format!("`{}` is no operator: `{other}`", operator.path);
                    let remedy = "write `In`, `NotIn`, `Exists` or `DoesNotExist`";
                    return Err(operator.fault(fault, remedy));
                }
            };
            let key = item.required("key")?.text()?.into();
            conditions.push(Condition { key, test });
        }
        Ok(Self(conditions))
    }

    /// Whether an object with these labels is selected.
    pub(crate) fn selects(&self, labels: &BTreeMap<Arc<str>, Arc<str>>) -> bool {
        self.0.iter().all(|Condition { key, test }| {
            let value = labels.get(key);
            match test {
                Test::In(values) => value.is_some_and(|value| values.contains(value)),
                Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Test::Exists => value.is_some(),
                Test::DoesNotExist => value.is_none(),
            }
        })
    }
}
