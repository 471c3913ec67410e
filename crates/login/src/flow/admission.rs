//! Constraints in the query of the `auth` page. Who may enter at all is for `policy` to say.

use std::sync::Arc;

use super::target::admits;

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
