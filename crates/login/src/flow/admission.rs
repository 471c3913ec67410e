//! Whether the settings of a login proxy let a person in at all: `email_domains` and
//! `allowed_groups`.

use std::sync::Arc;

use model::snapshot::Login;

use super::target::admits;

/// Whether somebody with this e-mail and these groups may have a session.
pub(crate) fn may_enter<G: AsRef<str>>(login: &Login, email: &str, groups: &[G]) -> bool {
    email_fits(email, &login.email_domains)
        && (login.allowed_groups.is_empty() || has_any(groups, &login.allowed_groups))
}

/// `*` admits anyone; else what follows the single `@` is the entry itself, or lies below `.d` or
/// `*.d`. No entry admits nobody.
fn email_fits(email: &str, domains: &[Arc<str>]) -> bool {
    let domain = email
        .split_once('@')
        .filter(|(name, domain)| !name.is_empty() && !domain.is_empty() && !domain.contains('@'))
        .map(|(_, domain)| domain);
    domains.iter().any(|entry| {
        let below = entry.strip_prefix("*.").or_else(|| entry.strip_prefix('.'));
        match (&**entry, domain, below) {
            ("*", _, _) => true,
            (_, None, _) => false,
            (_, Some(domain), Some(below)) => {
                !domain.eq_ignore_ascii_case(below) && admits(entry, domain, None)
            }
            (entry, Some(domain), None) => domain.eq_ignore_ascii_case(entry),
        }
    })
}

fn has_any<G: AsRef<str>>(groups: &[G], wanted: &[Arc<str>]) -> bool {
    groups
        .iter()
        .any(|group| wanted.iter().any(|one| **one == *group.as_ref()))
}

/// Constraints in the query of the `auth` page: comma lists that may repeat, of different kinds that
/// must all hold.
pub(crate) fn meets_query<G: AsRef<str>>(query: &str, email: &str, groups: &[G]) -> bool {
    let listed = |name: &str| -> Vec<Arc<str>> {
        url::form_urlencoded::parse(query.as_bytes())
            .filter(|(one, _)| one == name)
            .flat_map(|(_, value)| value.split(',').map(Arc::from).collect::<Vec<_>>())
            .filter(|value: &Arc<str>| !value.is_empty())
            .collect()
    };
    let named = listed("allowed_groups");
    let emails = listed("allowed_emails");
    let domains = listed("allowed_email_domains");
    let domain = email.rsplit_once('@').map(|(_, domain)| domain);
    (named.is_empty() || has_any(groups, &named))
        && (emails.is_empty() || emails.iter().any(|one| **one == *email))
        && (domains.is_empty()
            || domain.is_some_and(|domain| domains.iter().any(|one| admits(one, domain, None))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn enters(domains: &[&str], groups: &[&str], email: &str, has: &[&str]) -> bool {
        let mut login = fixture::login();
        login.email_domains = domains.iter().map(|one| Arc::from(*one)).collect();
        login.allowed_groups = groups.iter().map(|one| Arc::from(*one)).collect();
        may_enter(&login, email, has)
    }

    #[test]
    fn email_domains_admit_the_part_after_the_single_at() {
        assert!(enters(&["*"], &[], "anything", &[]));
        assert!(enters(&["b.c"], &[], "a@B.C", &[]));
        assert!(enters(&["x.y", "*.b.c"], &[], "a@d.b.c", &[]));
        assert!(enters(&[".b.c"], &[], "a@d.b.c", &[]));
        for (domain, email) in [
            (".b.c", "a@b.c"),
            ("*.b.c", "a@b.c"),
            ("b.c", "a@d.b.c"),
            ("b.c", "a@xb.c"),
            ("b.c", "a@evil@b.c"),
            ("b.c", "b.c"),
            ("b.c", "@b.c"),
            ("b.c", "a@b.c@evil"),
            ("", "a@"),
        ] {
            assert!(!enters(&[domain], &[], email, &[]), "{domain} {email}");
        }
        assert!(!enters(&[], &[], "a@b.c", &[]));
    }

    #[test]
    fn any_one_of_the_allowed_groups_is_enough() {
        assert!(enters(&["*"], &["x", "y"], "a@b.c", &["z", "y"]));
        assert!(!enters(&["*"], &["x"], "a@b.c", &["X", "xx"]));
        assert!(!enters(&["*"], &["x"], "a@b.c", &[]));
    }

    #[test]
    fn query_constraints_of_different_kinds_must_all_hold() {
        let meets = |query: &str| meets_query(query, "a@b.c", &["x", "y"]);
        assert!(meets(""));
        assert!(meets(
            "allowed_groups=z,x&allowed_emails=a%40b.c&allowed_email_domains=b.c"
        ));
        assert!(meets("allowed_groups=z&allowed_groups=y"));
        assert!(!meets("allowed_groups=z"));
        assert!(!meets("allowed_groups=x&allowed_emails=o@b.c"));
        assert!(!meets("allowed_email_domains=*"));
        assert!(meets("allowed_email_domains=.b.c"));
        assert!(meets("allowed_groups="));
    }
}
