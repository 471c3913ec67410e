//! Leaving for the issuer: the authorization request (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1,
//! RFC 7636 §4.3).

use model::snapshot::Login;
use url::form_urlencoded::Serializer;

use super::attempt::Attempt;
use crate::site::Site;

/// What the issuer of `login` is asked for `attempt`.
pub(crate) fn authorization_parameters(
    login: &Login,
    site: &Site,
    attempt: &Attempt,
) -> Vec<(String, String)> {
    let mut parameters = vec![
        ("client_id", login.client_id.to_string()),
        ("redirect_uri", redirect_uri(login, site)),
        ("response_type", "code".to_owned()),
        ("scope", scope(login)),
        ("state", attempt.state()),
        ("nonce", attempt.nonce()),
        ("code_challenge", attempt.verifier().challenge_s256()),
        ("code_challenge_method", "S256".to_owned()),
    ];
    if let Some(prompt) = &login.prompt {
        parameters.push(("prompt", prompt.to_string()));
    }
    let further = login.login_parameters.iter();
    parameters
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(further.map(|(name, value)| (name.to_string(), value.to_string())))
        .collect()
}

/// Those of `parameters` that stay outside when all of them are signed or pushed: OpenID Connect
/// Core §6.1 wants some again, and RFC 9126 §4 the client alone.
pub(crate) fn outside(
    parameters: &[(String, String)],
    names: &[&str],
    (name, value): (&str, String),
) -> Vec<(String, String)> {
    let kept = parameters
        .iter()
        .filter(|(name, _)| names.contains(&name.as_str()));
    kept.cloned().chain([(name.to_owned(), value)]).collect()
}

/// The URL with `parameters`. `endpoint` may be relative to the served host and may have a query of
/// its own.
pub(crate) fn authorization_url(endpoint: &str, parameters: &[(String, String)]) -> String {
    let endpoint = endpoint.split('#').next().unwrap_or_default();
    let mut url = endpoint.to_owned();
    url.push(match endpoint.split_once('?') {
        None => '?',
        Some(_) => '&',
    });
    let start = url.len();
    let mut query = Serializer::for_suffix(url, start);
    query.extend_pairs(parameters);
    query.finish()
}

/// `redirect_uri`, the same on the way out and on the way back: as configured when it is whole or is
/// to be sent as it stands, else completed with the served host.
pub(crate) fn redirect_uri(login: &Login, site: &Site) -> String {
    let scheme = if login.cookie_secure {
        "https"
    } else {
        site.scheme()
    };
    let here = format!("{scheme}://{}", site.authority);
    match &login.redirect_url {
        Some(url) if url.contains("://") || login.relative_redirect_url => url.to_string(),
        Some(path) => format!("{here}{path}"),
        None => format!("{here}{}/callback", login.prefix),
    }
}

/// `scope`; without `openid` there would be no ID token.
fn scope(login: &Login) -> String {
    let mut scopes: Vec<&str> = login.scopes.iter().map(|scope| &**scope).collect();
    if !scopes.contains(&"openid") {
        scopes.insert(0, "openid");
    }
    scopes.join(" ")
}

#[cfg(test)]
mod tests {
    use model::names::Timestamp;
    use url::Url;

    use super::*;
    use crate::fixture::{self, SeededRandomness};
    use crate::flow::target::Target;

    fn url(login: &Login, endpoint: &str, attempt: &Attempt) -> String {
        let parameters = authorization_parameters(login, &fixture::site(), attempt);
        authorization_url(endpoint, &parameters)
    }

    fn attempt() -> Attempt {
        let now = Timestamp::from_seconds(0);
        Attempt::new(
            &fixture::login(),
            &SeededRandomness::default(),
            now,
            Target::home(),
        )
    }

    #[test]
    fn the_request_names_everything_that_is_checked_on_return() {
        let attempt = attempt();
        let url = url(&fixture::login(), "/dex/auth", &attempt);
        assert!(url.starts_with("/dex/auth?client_id="), "{url}");
        let url = Url::parse("http://h").unwrap().join(&url).unwrap();
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let expected = [
            ("client_id", "kubeflow-oidc-authservice"),
            ("redirect_uri", "/oauth2/callback"),
            ("response_type", "code"),
            ("scope", "profile email groups openid"),
            ("state", &attempt.state()),
            ("nonce", &attempt.nonce()),
            ("code_challenge", &attempt.verifier().challenge_s256()),
            ("code_challenge_method", "S256"),
            ("prompt", "none"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs, expected);
    }

    #[test]
    fn the_endpoints_own_query_stays() {
        let url = url(&fixture::login(), "https://i/a?tenant=x#f", &attempt());
        assert!(url.starts_with("https://i/a?tenant=x&client_id="), "{url}");
    }

    #[test]
    fn the_redirect_uri_is_completed_only_when_it_must_be() {
        let mut login = fixture::login();
        let site = fixture::site();
        assert_eq!(redirect_uri(&login, &site), "/oauth2/callback");
        login.relative_redirect_url = false;
        assert_eq!(
            redirect_uri(&login, &site),
            "http://kubeflow.example:8080/oauth2/callback"
        );
        login.cookie_secure = true;
        assert_eq!(
            redirect_uri(&login, &site),
            "https://kubeflow.example:8080/oauth2/callback"
        );
        login.redirect_url = None;
        login.prefix = "/login".into();
        assert_eq!(
            redirect_uri(&login, &site),
            "https://kubeflow.example:8080/login/callback"
        );
        login.redirect_url = Some("https://other/cb".into());
        assert_eq!(redirect_uri(&login, &site), "https://other/cb");
    }

    #[test]
    fn further_parameters_are_sent_as_they_are_set() {
        let mut login = fixture::login();
        login.login_parameters = vec![("acr_values".into(), "mfa phr".into())];
        let url = url(&login, "/a", &attempt());
        assert!(url.ends_with("&acr_values=mfa+phr"), "{url}");
    }

    #[test]
    fn openid_is_always_asked_for() {
        let mut login = fixture::login();
        login.scopes = vec!["email".into()];
        assert_eq!(scope(&login), "openid email");
    }
}
