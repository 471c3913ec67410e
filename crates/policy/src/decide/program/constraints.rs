//! Constraints in the query: `allowed_groups`, `allowed_emails`, `allowed_email_domains`. Each is a
//! comma list that may repeat; different ones must all hold.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::decide::login::Known;
use crate::session::Identified;

/// Whether somebody who is known meets what the query wants.
pub(super) fn are_met(query: Option<&str>, known: &Known<'_>) -> bool {
    let Some(query) = query.filter(|query| query.contains("allowed_")) else {
        return true;
    };
    let email = known.values.email.as_ref();
    let email = email
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .unwrap_or_default();
    let groups: Vec<&str> = match &known.identified {
        Identified::Person(person) => person.groups().iter().map(|group| &**group).collect(),
        Identified::Bearer(_) => {
            let groups = known.values.groups.as_ref();
            let groups = groups.and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
            groups
                .into_iter()
                .flat_map(|text| text.split(','))
                .collect()
        }
    };
    let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
    let any = |wanted: &[String], fits: &dyn Fn(&str) -> bool| {
        wanted.is_empty() || wanted.iter().any(|one| fits(one))
    };
    any(&listed(query, "allowed_groups"), &|group| {
        groups.contains(&group)
    }) && any(&listed(query, "allowed_emails"), &|one| one == email)
        && any(&listed(query, "allowed_email_domains"), &|one| {
            admits(one, domain)
        })
}

fn listed(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(one, _)| decoded(one) == name)
        .flat_map(|(_, value)| {
            let value = decoded(value);
            value.split(',').map(str::to_owned).collect::<Vec<_>>()
        })
        .filter(|item| !item.is_empty())
        .collect()
}

/// As a form is decoded: `+` is a blank.
fn decoded(text: &str) -> String {
    let blanks = match text.contains('+') {
        true => Cow::Owned(text.replace('+', " ")),
        false => Cow::Borrowed(text),
    };
    percent_decode_str(&blanks).decode_utf8_lossy().into_owned()
}

/// A domain exactly, or `.d` and `*.d` for `d` and all below it.
fn admits(wanted: &str, domain: &str) -> bool {
    if domain.is_empty() {
        return false;
    }
    match wanted
        .strip_prefix("*.")
        .or_else(|| wanted.strip_prefix('.'))
    {
        None => wanted.eq_ignore_ascii_case(domain),
        Some("") => false,
        Some(below) => {
            domain.eq_ignore_ascii_case(below)
                || domain
                    .len()
                    .checked_sub(below.len() + 1)
                    .and_then(|cut| domain.split_at_checked(cut))
                    .and_then(|(_, end)| end.strip_prefix('.'))
                    .is_some_and(|end| end.eq_ignore_ascii_case(below))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_repeat_and_are_decoded() {
        let query = "allowed_groups=a,b&x=1&allowed%5Fgroups=c%2Cd+e&allowed_groups=";
        assert_eq!(listed(query, "allowed_groups"), ["a", "b", "c", "d e"]);
    }

    #[test]
    fn a_domain_stands_for_itself_or_with_all_below() {
        assert!(
            admits("a.com", "A.com") && admits(".a.com", "a.com") && admits("*.a.com", "x.a.com")
        );
        assert!(
            !admits("*", "a.com") && !admits("a.com", "x.a.com") && !admits(".a.com", "xa.com")
        );
        assert!(!admits("a.com", "") && !admits(".", "a.com"));
    }
}
