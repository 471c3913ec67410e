//! Claims of an ID token, and of the userinfo endpoint, as the person they describe.

use model::snapshot::{EmailVerified, Login};
use serde_json::{Map, Value};

/// Who an ID token describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The configured user claim; `sub`.
    pub(crate) user: String,
    /// The configured e-mail claim.
    pub(crate) email: String,
    /// The configured groups claim.
    pub(crate) groups: Vec<String>,
    /// The configured claim; `preferred_username`.
    pub(crate) preferred_username: Option<String>,
}

/// Why claims describe nobody who can be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityFault {
    /// No user under the configured name.
    NoSubject,
    /// No e-mail under the configured name.
    NoEmail,
    /// The issuer says that the e-mail is not verified.
    EmailNotVerified,
}

impl Identity {
    /// Reads the claims of an ID token by the settings of `login`, and those that it does not have
    /// from what the userinfo endpoint said.
    pub(crate) fn read(
        login: &Login,
        claims: &Map<String, Value>,
        user_info: Option<&Map<String, Value>>,
    ) -> Result<Self, IdentityFault> {
        let text = |name: &str| {
            let own = find_text(claims, name);
            own.or_else(|| user_info.and_then(|info| find_text(info, name)))
        };
        let user = text(&login.user_claim).ok_or(IdentityFault::NoSubject)?;
        let email = text(&login.email_claim).ok_or(IdentityFault::NoEmail)?;
        // Whoever says the e-mail says whether it is verified.
        let by = match find_text(claims, &login.email_claim) {
            Some(_) => Some(claims),
            None => user_info,
        };
        // Some issuers write the boolean as text.
        let verified = match by.and_then(|by| by.get("email_verified")) {
            Some(Value::Bool(verified)) => Some(*verified),
            Some(Value::String(verified)) if verified.eq_ignore_ascii_case("true") => Some(true),
            Some(Value::String(verified)) if verified.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        };
        let counts = match login.email_verified {
            EmailVerified::Any => true,
            EmailVerified::NotDenied => verified != Some(false),
            EmailVerified::Required => verified == Some(true),
        };
        // Another claim is not what `email_verified` speaks of.
        if !counts && &*login.email_claim == "email" {
            return Err(IdentityFault::EmailNotVerified);
        }
        let own = find(claims, &login.groups_claim);
        let asked = || user_info.and_then(|info| find(info, &login.groups_claim));
        let groups = groups(own.or_else(asked));
        Ok(Self {
            user,
            email,
            groups,
            preferred_username: text(&login.preferred_username_claim),
        })
    }
}

impl Identity {
    /// As [`Self::read`] for a token that the client sent itself: without e-mail, the subject stands
    /// for it.
    pub(crate) fn of_bearer(
        login: &Login,
        claims: &Map<String, Value>,
    ) -> Result<Self, IdentityFault> {
        match Self::read(login, claims, None) {
            Err(IdentityFault::NoEmail) => {
                let mut claims = claims.clone();
                let subject = claims.get("sub").cloned().unwrap_or_default();
                claims.insert(login.email_claim.to_string(), subject);
                Self::read(login, &claims, None)
            }
            other => other,
        }
    }
}

/// A claim by its name as it stands, else by a path with dots into nested objects.
pub(crate) fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let mut steps = name.split('.');
    let first = claims.get(steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(step))
}

/// A claim that is a text and not empty.
pub(crate) fn find_text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    match find(claims, name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// A text, or a list whose members that are no texts are written as JSON.
fn groups(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::String(one)) if !one.is_empty() => vec![one.clone()],
        Some(Value::Array(many)) => many
            .iter()
            .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture;

    fn read(login: &Login, claims: Value) -> Result<Identity, IdentityFault> {
        Identity::read(login, claims.as_object().unwrap(), None)
    }

    #[test]
    fn the_userinfo_endpoint_fills_gaps_only() {
        let mut login = fixture::login();
        let read = |login: &Login, claims: Value, info: Value| {
            Identity::read(login, claims.as_object().unwrap(), info.as_object())
        };
        let info = json!({
            "sub": "other", "email": "i@b.c", "email_verified": true, "groups": ["i"],
            "preferred_username": "info", "realm": {"roles": ["r"]},
        });
        let thin = read(&login, json!({"sub": "s", "realm": {}}), info.clone()).unwrap();
        assert_eq!((thin.user.as_str(), thin.email.as_str()), ("s", "i@b.c"));
        assert_eq!(thin.groups, ["i"]);
        assert_eq!(thin.preferred_username.as_deref(), Some("info"));
        let full = json!({"sub": "s", "email": "t@b.c", "groups": [], "preferred_username": "t"});
        let full = read(&login, full, info.clone()).unwrap();
        assert_eq!(full.email, "t@b.c");
        assert!(full.groups.is_empty(), "an empty list is an answer");
        login.groups_claim = "realm.roles".into();
        let nested = read(&login, json!({"sub": "s", "realm": {}}), info).unwrap();
        assert_eq!(nested.groups, ["r"]);
        // Verified is what its own speaker says of it.
        login.email_verified = EmailVerified::Required;
        let mixed = read(
            &login,
            json!({"sub": "s", "email_verified": true}),
            json!({"email": "i@b.c"}),
        );
        assert_eq!(mixed, Err(IdentityFault::EmailNotVerified));
        let mixed = read(
            &login,
            json!({"sub": "s", "email": "t@b.c"}),
            json!({"email": "t@b.c", "email_verified": true}),
        );
        assert_eq!(mixed, Err(IdentityFault::EmailNotVerified));
    }

    #[test]
    fn claims_are_read_under_their_configured_names() {
        let mut login = fixture::login();
        let claims = json!({
            "sub": "s", "email": "a@b.c", "email_verified": true, "groups": ["x", 7, {"n": "y"}],
            "preferred_username": "ann", "mail": {"work": "w@b.c"}, "mail.home": "h@b.c",
            "role": "one",
        });
        let identity = read(&login, claims.clone()).unwrap();
        assert_eq!(identity.email, "a@b.c");
        assert_eq!(identity.groups, ["x", "7", r#"{"n":"y"}"#]);
        assert_eq!(identity.preferred_username.as_deref(), Some("ann"));
        login.email_claim = "mail.work".into();
        login.groups_claim = "role".into();
        let identity = read(&login, claims.clone()).unwrap();
        assert_eq!(
            (identity.email.as_str(), identity.groups.as_slice()),
            ("w@b.c", &["one".to_owned()][..])
        );
        login.email_claim = "mail.home".into();
        login.user_claim = "mail.work".into();
        login.preferred_username_claim = "role".into();
        let identity = read(&login, claims).unwrap();
        assert_eq!(identity.email, "h@b.c");
        assert_eq!(identity.user, "w@b.c");
        assert_eq!(identity.preferred_username.as_deref(), Some("one"));
        login.groups_claim = "realm.roles.0".into();
        let claims = json!({"sub": "s", "mail.home": "h@b.c", "mail": {"work": "w@b.c"}, "realm": {"roles": ["a"]}});
        assert!(read(&login, claims).unwrap().groups.is_empty());
        login.groups_claim = "realm.roles".into();
        let claims = json!({"mail.home": "h@b.c", "mail": {"work": "w@b.c"}, "realm": {"roles": ["a", "b"]}});
        assert_eq!(read(&login, claims).unwrap().groups, ["a", "b"]);
    }

    #[test]
    fn an_email_must_be_there_and_not_known_to_be_unverified() {
        let mut login = fixture::login();
        for missing in [
            json!({"sub": "s"}),
            json!({"sub": "s", "email": ""}),
            json!({"sub": "s", "email": ["a"]}),
        ] {
            assert_eq!(read(&login, missing), Err(IdentityFault::NoEmail));
        }
        assert_eq!(
            read(&login, json!({"email": "a@b.c"})),
            Err(IdentityFault::NoSubject)
        );
        let unverified = [json!(false), json!("false"), json!("False")];
        for value in unverified {
            let claims = json!({"sub": "s", "email": "a@b.c", "email_verified": value});
            assert_eq!(
                read(&login, claims.clone()),
                Err(IdentityFault::EmailNotVerified)
            );
            login.email_verified = EmailVerified::Any;
            assert!(read(&login, claims).is_ok());
            login.email_verified = EmailVerified::NotDenied;
        }
        let unsaid = json!({"sub": "s", "email": "a@b.c"});
        assert!(read(&login, unsaid.clone()).is_ok());
        login.email_verified = EmailVerified::Required;
        assert_eq!(read(&login, unsaid), Err(IdentityFault::EmailNotVerified));
        for value in [json!(true), json!("true")] {
            let claims = json!({"sub": "s", "email": "a@b.c", "email_verified": value});
            assert!(read(&login, claims).is_ok());
        }
        for value in [json!(1), json!("yes"), json!(null), json!([true])] {
            let claims = json!({"sub": "s", "email": "a@b.c", "email_verified": value});
            assert_eq!(read(&login, claims), Err(IdentityFault::EmailNotVerified));
        }
    }
}
