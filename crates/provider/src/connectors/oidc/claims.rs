//! From claims of the upstream to who somebody is.

use model::snapshot::{NewGroup, OidcConnector};
use serde_json::{Map, Value};

use crate::connectors::{ConnectorFault, Identity};

type Claims = Map<String, Value>;

fn text<'c>(claims: &'c Claims, name: &str) -> Option<&'c str> {
    let found = claims.get(name).and_then(Value::as_str);
    found.filter(|text| !text.is_empty())
}

/// A standard claim, or the one that is mapped to it.
fn mapped<'c>(
    settings: &OidcConnector,
    claims: &'c Claims,
    standard: &str,
    key: &str,
) -> Option<&'c Value> {
    match settings.override_claims {
        true => claims.get(key).or_else(|| claims.get(standard)),
        false => claims.get(standard).or_else(|| claims.get(key)),
    }
}

/// Who the claims are about.
pub(super) fn identity(
    settings: &OidcConnector,
    claims: &Claims,
) -> Result<Identity, ConnectorFault> {
    text(claims, "sub").ok_or(ConnectorFault::Claim("sub"))?;
    let user_id = text(claims, &settings.user_id_key).ok_or(ConnectorFault::Claim("userIDKey"))?;
    let name = text(claims, &settings.user_name_key).ok_or(ConnectorFault::Claim("userNameKey"))?;
    let mapped_text = |standard: &str, key: &str| {
        let found = mapped(settings, claims, standard, key).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let email = mapped_text("email", &settings.email_key);
    let asks_email = settings.scopes.iter().any(|scope| **scope == *"email");
    if email.is_empty() && asks_email {
        return Err(ConnectorFault::Claim("email"));
    }
    let email_verified = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        // Cognito writes it as text.
        Some(Value::String(text)) if text == "true" => true,
        Some(Value::String(text)) if text == "false" => false,
        None if settings.skip_email_verified => true,
        None | Some(_) if asks_email => return Err(ConnectorFault::Claim("email_verified")),
        None | Some(_) => false,
    };
    Ok(Identity {
        user_id: user_id.to_owned(),
        name: name.to_owned(),
        preferred_username: mapped_text("preferred_username", &settings.preferred_username_key),
        email,
        email_verified,
        groups: groups(settings, claims)?,
        held: None,
    })
}

fn groups(settings: &OidcConnector, claims: &Claims) -> Result<Vec<String>, ConnectorFault> {
    let mut groups = Vec::new();
    if settings.enable_groups {
        let told = mapped(settings, claims, "groups", &settings.groups_key);
        groups = told.map_or(Ok(Vec::new()), named)?;
        if let Some(filter) = &settings.groups_filter {
            groups.retain(|group| filter.is_match(group));
        }
        if !settings.allowed_groups.is_empty() {
            groups.retain(|group| settings.allowed_groups.iter().any(|one| **one == **group));
            if groups.is_empty() {
                return Err(ConnectorFault::NotAMember);
            }
        }
        let (prefix, suffix) = (&settings.groups_prefix, &settings.groups_suffix);
        for group in &mut groups {
            *group = format!("{prefix}{group}{suffix}");
        }
    } else if !settings.allowed_groups.is_empty() {
        // Dex lets everybody in: groups are not looked at.
        return Err(ConnectorFault::NotAMember);
    }
    groups.extend(
        settings
            .new_groups
            .iter()
            .filter_map(|new| joined(new, claims)),
    );
    Ok(groups)
}

/// A list of names, a list of objects with a name, or one name.
fn named(told: &Value) -> Result<Vec<String>, ConnectorFault> {
    match told {
        Value::String(one) => Ok(vec![one.clone()]),
        Value::Null => Ok(Vec::new()),
        Value::Array(many) => many
            .iter()
            .map(|one| match one {
                Value::String(name) => Ok(name.clone()),
                Value::Object(entry) => match entry.get("name").and_then(Value::as_str) {
                    Some(name) => Ok(name.to_owned()),
                    None => Err(ConnectorFault::Claim("groups")),
                },
                _ => Err(ConnectorFault::Claim("groups")),
            })
            .collect(),
        _ => Err(ConnectorFault::Claim("groups")),
    }
}

/// `newGroupFromClaims`: nothing unless every claim is text.
fn joined(new: &NewGroup, claims: &Claims) -> Option<String> {
    let mut parts = vec![];
    if !new.prefix.is_empty() {
        parts.push(new.prefix.to_string());
    }
    for name in &new.claims {
        let value = text(claims, name)?;
        parts.push(match new.clear_delimiter && !new.delimiter.is_empty() {
            true => value.replace(&*new.delimiter, ""),
            false => value.to_owned(),
        });
    }
    (!new.claims.is_empty()).then(|| parts.join(&new.delimiter))
}

#[cfg(test)]
mod tests {
    use model::snapshot::Regex;
    use serde_json::json;

    use super::super::tests::settings;
    use super::*;

    fn run(settings: &OidcConnector, claims: Value) -> Result<Identity, ConnectorFault> {
        identity(settings, claims.as_object().unwrap())
    }

    fn somebody() -> Value {
        json!({"sub": "7", "name": "N", "email": "n@e", "email_verified": true,
               "groups": ["a", {"name": "b"}], "cognito:groups": ["c"], "role": "x-y"})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = somebody();
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims
                .as_object_mut()
                .unwrap()
                .insert(name.to_owned(), value),
        };
        claims
    }

    #[test]
    fn what_is_needed_has_to_be_there() {
        let known = run(&settings(), somebody()).unwrap();
        assert_eq!(
            (&*known.user_id, &*known.name, &*known.email),
            ("7", "N", "n@e")
        );
        assert!(known.email_verified);
        for (name, fault) in [
            ("sub", "sub"),
            ("name", "userNameKey"),
            ("email", "email"),
            ("email_verified", "email_verified"),
        ] {
            let seen = run(&settings(), with(name, Value::Null));
            let wanted = match name {
                // The id is the same claim.
                "sub" => ConnectorFault::Claim("sub"),
                _ => ConnectorFault::Claim(fault),
            };
            assert_eq!(seen, Err(wanted), "{name}");
        }
        let mut lax = settings();
        lax.skip_email_verified = true;
        assert!(
            run(&lax, with("email_verified", Value::Null))
                .unwrap()
                .email_verified
        );
        assert!(
            !run(&lax, with("email_verified", json!(false)))
                .unwrap()
                .email_verified
        );
        assert!(
            !run(&settings(), with("email_verified", json!("false")))
                .unwrap()
                .email_verified
        );
        let mut none = settings();
        none.scopes = vec!["profile".into()];
        assert_eq!(run(&none, with("email", Value::Null)).unwrap().email, "");
    }

    #[test]
    fn mapped_claims_stand_in_or_win() {
        let mut mapped = settings();
        mapped.enable_groups = true;
        mapped.groups_key = "cognito:groups".into();
        assert_eq!(run(&mapped, somebody()).unwrap().groups, ["a", "b"]);
        assert_eq!(
            run(&mapped, with("groups", Value::Null)).unwrap().groups,
            ["c"]
        );
        mapped.override_claims = true;
        assert_eq!(run(&mapped, somebody()).unwrap().groups, ["c"]);
        mapped.user_name_key = "role".into();
        assert_eq!(run(&mapped, somebody()).unwrap().name, "x-y");
    }

    #[test]
    fn groups_are_filtered_allowed_and_renamed_in_this_order() {
        let mut rules = settings();
        assert_eq!(run(&rules, somebody()).unwrap().groups, [""; 0]);
        rules.allowed_groups = vec!["b".into(), "z".into()];
        assert_eq!(run(&rules, somebody()), Err(ConnectorFault::NotAMember));
        rules.enable_groups = true;
        rules.groups_prefix = "up:".into();
        rules.groups_suffix = "!".into();
        assert_eq!(run(&rules, somebody()).unwrap().groups, ["up:b!"]);
        rules.groups_filter = Some(Regex::anywhere("^a").unwrap());
        assert_eq!(run(&rules, somebody()), Err(ConnectorFault::NotAMember));
        rules.allowed_groups.clear();
        rules.new_groups = vec![NewGroup {
            claims: vec!["role".into(), "name".into()],
            delimiter: "-".into(),
            clear_delimiter: true,
            prefix: "new".into(),
        }];
        assert_eq!(
            run(&rules, somebody()).unwrap().groups,
            ["up:a!", "new-xy-N"]
        );
        let odd = with("groups", json!([7]));
        assert_eq!(run(&rules, odd), Err(ConnectorFault::Claim("groups")));
    }
}
