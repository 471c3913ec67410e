//! Who may enter: what a login proxy asks of everybody, and of those who want to some hosts and
//! paths only.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use model::snapshot::{EntryRule, Login};
use percent_encoding::percent_decode_str;

/// Whether `login` lets somebody with this e-mail and these groups in at all: the e-mail is on the
/// list or of an allowed domain, and any one of the groups is allowed.
///
/// Stricter than OAuth2 Proxy, which lets a session without e-mail pass any list of domains.
pub fn admits<T: AsRef<str>>(login: &Login, email: Option<&str>, groups: &[T]) -> bool {
    email_fits(email, &login.emails, &login.email_domains)
        && (login.allowed_groups.is_empty() || has_any(groups, &login.allowed_groups))
}

/// Whether the rules of `login` let somebody whom it [`admits`] go on to `path` of `host`. Every
/// rule that covers it must: in doubt how somebody behind us reads the path, it covers.
pub(super) fn admits_to<T: AsRef<str>>(
    login: &Login,
    (host, path): (&str, &str),
    email: Option<&str>,
    groups: &[T],
) -> bool {
    if login.entry_rules.is_empty() {
        return true;
    }
    let plain = as_read_behind(path);
    login.entry_rules.iter().all(|rule| {
        let EntryRule {
            hosts,
            paths,
            groups: wanted,
            emails,
            email_domains,
        } = rule;
        let on_host = hosts.is_empty() || hosts.iter().any(|one| is_host(host, one));
        let at_path = paths.is_empty()
            || paths
                .iter()
                .any(|one| is_below(path, one) || is_below(&plain, one));
        let by_email = (emails.is_empty() && email_domains.is_empty())
            || email_fits(email, emails, email_domains);
        let by_group = wanted.is_empty() || has_any(groups, wanted);
        !(on_host && at_path) || (by_email && by_group)
    })
}

fn email_fits(email: Option<&str>, emails: &BTreeSet<Box<str>>, domains: &[Arc<str>]) -> bool {
    domains.iter().any(|domain| &**domain == "*")
        || email.is_some_and(|email| {
            domains.iter().any(|domain| is_at(email, domain))
                || (!emails.is_empty() && emails.contains(&*lower(email)))
        })
}

/// Whether the host of `email` is `domain`, or below it where it is written `.d` or `*.d`.
fn is_at(email: &str, domain: &str) -> bool {
    let Some((name, host)) = email.split_once('@') else {
        return false;
    };
    if name.is_empty() || host.is_empty() || host.contains('@') {
        return false;
    }
    match domain.strip_prefix('*').unwrap_or(domain) {
        below if below.starts_with('.') => ends_below(host, below),
        _ => host.eq_ignore_ascii_case(domain),
    }
}

fn has_any<T: AsRef<str>>(groups: &[T], wanted: &[Arc<str>]) -> bool {
    groups
        .iter()
        .any(|group| wanted.iter().any(|one| **one == *group.as_ref()))
}

fn is_host(host: &str, pattern: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(below) => ends_below(host, below),
        None => host.eq_ignore_ascii_case(pattern),
    }
}

/// Whether `host` has something before `below`, which begins with a dot.
fn ends_below(host: &str, below: &str) -> bool {
    host.len()
        .checked_sub(below.len())
        .filter(|&at| at > 0)
        .and_then(|at| host.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(below))
}

/// Whether `path` is `above` or below it.
fn is_below(path: &str, above: &str) -> bool {
    let above = above.strip_suffix('/').unwrap_or(above);
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `path` as a generous program may read it: decoded until nothing changes, with every slash and
/// backslash counted once, parameters (`;x`) dropped and dot segments followed.
fn as_read_behind(path: &str) -> String {
    let mut text = Cow::Borrowed(path);
    for _ in 0..4 {
        let again = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if again == *text {
            break;
        }
        text = Cow::Owned(again);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split(['/', '\\']) {
        let part = part.split(';').next().unwrap_or_default();
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn lower(text: &str) -> Cow<'_, str> {
    match text
        .bytes()
        .any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
    {
        true => Cow::Owned(text.to_lowercase()),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use model::names::{ObjectRef, Place};

    use super::*;

    fn login() -> Login {
        let object = ObjectRef::new("ConfigMap", "oauth2-proxy", "oauth2-proxy");
        Login::with_defaults(object, Place::new("a.yaml", 1), "i".into(), "c".into())
    }

    fn list(emails: &[&str]) -> BTreeSet<Box<str>> {
        emails.iter().map(|one| Box::from(*one)).collect()
    }

    #[test]
    fn domains_are_compared_whole() {
        for (email, domain, is) in [
            ("a@example.com", "example.com", true),
            ("a@EXAMPLE.com", "example.com", true),
            ("a@example.com.evil", "example.com", false),
            ("a@notexample.com", "example.com", false),
            ("a@b.example.com", "example.com", false),
            ("a@b.example.com", ".example.com", true),
            ("a@b.example.com", "*.example.com", true),
            ("a@example.com", ".example.com", false),
            ("a@example.com", "*.example.com", false),
            ("a@evil.com@example.com", "example.com", false),
            ("a@example.com@evil.com", "example.com", false),
            ("@example.com", "example.com", false),
            ("example.com", "example.com", false),
            ("a@", "", false),
            ("", "example.com", false),
        ] {
            assert_eq!(is_at(email, domain), is, "{email} {domain}");
        }
    }

    #[test]
    fn a_list_of_emails_and_domains_are_alternatives_and_groups_a_condition() {
        let mut login = login();
        let none: &[&str] = &[];
        assert!(!admits(&login, Some("a@example.com"), none));
        login.emails = Arc::new(list(&["ann@example.com"]));
        assert!(admits(&login, Some("Ann@Example.com"), none));
        assert!(!admits(&login, Some("bob@example.com"), none));
        assert!(!admits(&login, None, none));
        login.email_domains = vec!["example.org".into()];
        assert!(admits(&login, Some("bob@example.org"), none));
        login.allowed_groups = vec!["x".into(), "y".into()];
        assert!(!admits(&login, Some("ann@example.com"), &["X", "xx"]));
        assert!(admits(&login, Some("ann@example.com"), &["z", "y"]));
    }

    #[test]
    fn every_rule_that_covers_a_request_must_admit_it() {
        let mut login = login();
        login.entry_rules = vec![
            EntryRule {
                hosts: vec!["admin.example".into(), "*.ops.example".into()],
                groups: vec!["admins".into()],
                ..EntryRule::default()
            },
            EntryRule {
                paths: vec!["/reports/".into()],
                emails: list(&["ann@example.com"]),
                email_domains: vec!["audit.example".into()],
                ..EntryRule::default()
            },
        ];
        let goes = |host: &str, path: &str, email: &str, groups: &[&str]| {
            admits_to(&login, (host, path), Some(email), groups)
        };
        let ann = "ann@example.com";
        assert!(goes("www.example", "/", "bob@example.com", &[]));
        assert!(!goes("admin.example", "/", ann, &[]));
        assert!(!goes("ADMIN.example", "/", ann, &[]));
        assert!(goes("admin.example", "/", ann, &["admins"]));
        assert!(!goes("a.b.ops.example", "/", ann, &["users"]));
        assert!(goes("ops.example", "/", ann, &[]));
        assert!(goes("www.example", "/reports/x", ann, &[]));
        assert!(goes("www.example", "/reports", "c@audit.example", &[]));
        assert!(goes("www.example", "/reportsx", "bob@example.com", &[]));
        assert!(!goes(
            "admin.example",
            "/reports",
            "bob@example.com",
            &["admins"]
        ));
        for path in [
            "/reports",
            "/reports/",
            "/reports/a",
            "//reports",
            "/./reports",
            "/x/../reports",
            "/%72eports",
            "/%2572eports",
            "/x%2f..%2freports",
            "\\reports",
            "/reports;jsessionid=1/a",
            "/%2freports",
        ] {
            assert!(!goes("www.example", path, "bob@example.com", &[]), "{path}");
        }
        assert!(!admits_to::<&str>(
            &login,
            ("www.example", "/reports"),
            None,
            &[]
        ));
    }
}
