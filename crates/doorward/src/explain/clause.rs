//! Clauses that do not hold, in words.

use policy::decision::{Found, Unmet};

/// So many values are told; a list of groups may be long.
const TOLD: usize = 3;

/// `is "bob", wants "alice"`.
pub(super) fn sentence(unmet: &Unmet) -> String {
    let Unmet {
        line: _,
        clause: _,
        excludes,
        names,
        found,
    } = unmet;
    let is = match found {
        Found::Missing => "is absent".to_owned(),
        Found::Values(values) => match &**values {
            [] => "is empty".to_owned(),
            values => format!("is {}", listed(values, "and")),
        },
        Found::Secret => "is there, not shown".to_owned(),
        Found::Unknown => "is not known here".to_owned(),
    };
    let any = names.iter().any(|name| **name == *"*");
    let wants = match (excludes, &**names) {
        (true, _) if any => "must be absent".to_owned(),
        (false, _) if any => "wants any value".to_owned(),
        (true, []) => "must not be what the policy says, not shown".to_owned(),
        (false, []) => "wants another value, not shown".to_owned(),
        (true, names) => format!("must not be {}", listed(names, "or")),
        (false, names) => format!("wants {}", listed(names, "or")),
    };
    format!("{is}, {wants}")
}

fn listed(values: &[Box<str>], word: &str) -> String {
    let quoted: Vec<_> = values
        .iter()
        .take(TOLD)
        .map(|one| format!("{one:?}"))
        .collect();
    match (values.len().saturating_sub(TOLD), &*quoted) {
        (0, [one]) => one.clone(),
        (0, [first @ .., last]) => format!("{} {word} {last}", first.join(", ")),
        (more, _) => format!("{} {word} {more} more", quoted.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmet(found: Found, excludes: bool, names: &[&str]) -> Unmet {
        Unmet {
            line: 1,
            clause: "rules[0].when[0] x".into(),
            excludes,
            names: names.iter().map(|name| Box::from(*name)).collect(),
            found,
        }
    }

    #[test]
    fn a_clause_says_what_is_there_and_what_it_wants() {
        let has =
            |values: &[&str]| Found::Values(values.iter().map(|one| Box::from(*one)).collect());
        for (found, excludes, names, said) in [
            (
                has(&["bob"]),
                false,
                &["alice"][..],
                r#"is "bob", wants "alice""#,
            ),
            (Found::Missing, false, &["*"], "is absent, wants any value"),
            (
                has(&["a", "b"]),
                false,
                &["c", "d"],
                r#"is "a" and "b", wants "c" or "d""#,
            ),
            (has(&["x"]), true, &["*"], r#"is "x", must be absent"#),
            (
                has(&["/x"]),
                true,
                &["/x", "/y"],
                r#"is "/x", must not be "/x" or "/y""#,
            ),
            (
                Found::Secret,
                true,
                &["*"],
                "is there, not shown, must be absent",
            ),
            (
                Found::Secret,
                false,
                &[],
                "is there, not shown, wants another value, not shown",
            ),
            (
                Found::Unknown,
                false,
                &["a", "b", "c", "d", "e"],
                r#"is not known here, wants "a", "b", "c" or 2 more"#,
            ),
        ] {
            assert_eq!(sentence(&unmet(found, excludes, names)), said);
        }
    }
}
