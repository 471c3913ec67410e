//! `authproxy`: a proxy in front signs people in and adds headers, on `/callback/{connector}` alone.

use http::HeaderMap;
use model::snapshot::AuthProxyConnector;

use super::{ConnectorFault, Context, Identity, Move, Purpose, Stage, Turn};

pub(super) fn begin(
    settings: &AuthProxyConnector,
    context: &Context,
    purpose: &Purpose<'_>,
) -> Turn<Stage> {
    match purpose {
        Purpose::Depart { state, .. } => {
            let query = crate::form::query(&[("state", state)]);
            Ok(Move::Depart(format!("{}?{query}", context.callback)))
        }
        Purpose::Return { headers, .. } => Ok(Move::Known(identity(settings, headers)?)),
        Purpose::Password { .. } | Purpose::Again { .. } => Err(ConnectorFault::NotForThis),
    }
}

fn identity(
    settings: &AuthProxyConnector,
    headers: &HeaderMap,
) -> Result<Identity, ConnectorFault> {
    let value = |name: &str| {
        let mut all = headers.get_all(name).iter();
        match (all.next(), all.next()) {
            // A header that is there twice was not written by the proxy alone.
            (Some(_), Some(_)) => Err(ConnectorFault::Answer("a header of the proxy is twice")),
            (Some(one), None) => Ok(String::from_utf8_lossy(one.as_bytes()).trim().to_owned()),
            (None, _) => Ok(String::new()),
        }
    };
    let user = value(&settings.user)?;
    if user.is_empty() {
        return Err(ConnectorFault::Answer("the proxy added no user"));
    }
    let or_user = |text: String| if text.is_empty() { user.clone() } else { text };
    let separator = &*settings.separator;
    let listed = value(&settings.groups)?;
    let named = listed.split(separator).map(str::trim);
    let mut groups: Vec<String> = named
        .filter(|group| !group.is_empty())
        .map(str::to_owned)
        .collect();
    groups.extend(settings.static_groups.iter().map(ToString::to_string));
    Ok(Identity {
        user_id: or_user(value(&settings.user_id)?),
        preferred_username: or_user(value(&settings.user_name)?),
        email: or_user(value(&settings.email)?),
        name: user.clone(),
        email_verified: true,
        groups,
        held: None,
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn settings() -> AuthProxyConnector {
        AuthProxyConnector {
            user: "x-remote-user".into(),
            user_id: "x-remote-user-id".into(),
            user_name: "x-remote-user-name".into(),
            email: "x-remote-user-email".into(),
            groups: "x-remote-group".into(),
            separator: ",".into(),
            static_groups: vec!["all".into()],
        }
    }

    fn run(pairs: &[(&'static str, &'static str)]) -> Result<Identity, ConnectorFault> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        identity(&settings(), &headers)
    }

    #[test]
    fn headers_say_who_it_is() {
        let seen = run(&[
            ("x-remote-user", "u"),
            ("x-remote-user-id", "7"),
            ("x-remote-user-name", "n"),
            ("x-remote-user-email", "u@e"),
            ("x-remote-group", "a, b,"),
        ]);
        let wanted = Identity {
            user_id: "7".into(),
            name: "u".into(),
            preferred_username: "n".into(),
            email: "u@e".into(),
            email_verified: true,
            groups: vec!["a".into(), "b".into(), "all".into()],
            held: None,
        };
        assert_eq!(seen, Ok(wanted));
        let alone = run(&[("x-remote-user", "u")]).unwrap();
        assert_eq!((&*alone.user_id, &*alone.email), ("u", "u"));
    }

    #[test]
    fn without_a_user_or_with_two_nobody_is_known() {
        let nobody = ConnectorFault::Answer("the proxy added no user");
        assert_eq!(run(&[("x-remote-user-id", "7")]), Err(nobody));
        let two = ConnectorFault::Answer("a header of the proxy is twice");
        assert_eq!(
            run(&[("x-remote-user", "a"), ("x-remote-user", "b")]),
            Err(two)
        );
    }
}
