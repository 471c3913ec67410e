use model::names::{Secret, Timestamp};
use model::snapshot::{Conformance, RequestRule};

use super::*;
use crate::fixture;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

const GOOD: &str = "client_id=kubeflow&redirect_uri=%2Foauth2%2Fcallback&response_type=code\
                    &scope=profile+email+groups+openid&state=s&nonce=n&prompt=none";

fn run(query: &str) -> Result<Asked, CheckFault> {
    run_with(&fixture::settings(), query)
}

fn run_with(settings: &Provider, query: &str) -> Result<Asked, CheckFault> {
    let form = Form::parse(query.as_bytes()).unwrap();
    let keys = KeySet::from_json(r#"{"keys":[]}"#).unwrap();
    let facts = Facts {
        settings,
        client: &settings.clients[0],
        keys: &keys,
        arrival: Arrival::Plain,
        now: NOW,
    };
    facts.check(&form, "local", "id".into())
}

/// The error code that goes to the client.
fn redirected(query: &str) -> Option<ErrorCode> {
    match run(query) {
        Err(CheckFault::Redirected { delivery, code, .. }) => {
            assert_eq!(
                (delivery.redirect.as_str(), delivery.state.as_str()),
                ("/oauth2/callback", "s")
            );
            Some(code)
        }
        _ => None,
    }
}

#[test]
fn the_stock_request_passes_in_spite_of_prompt_none() {
    assert_eq!(run(GOOD).unwrap(), fixture::asked());
}

#[test]
fn challenges_are_demanded_and_limited_as_configured() {
    let mut settings = fixture::settings();
    settings.pkce.enforced = true;
    settings.pkce.methods = vec!["S256".into()];
    assert!(run_with(&settings, GOOD).is_err());
    let plain = format!("{GOOD}&code_challenge=x");
    assert!(run_with(&settings, &plain).is_err());
    assert!(run_with(&settings, &format!("{plain}&code_challenge_method=S256")).is_ok());
    let mut strict = fixture::settings();
    strict.protocol.conformance = Conformance::Strict;
    assert!(run_with(&strict, GOOD).is_ok());
    assert!(run_with(&strict, &plain).is_err());
    strict.clients[0].public = true;
    assert!(run_with(&strict, GOOD).is_err());
}

#[test]
fn a_client_that_has_to_push_may_not_come_by_the_browser() {
    let mut settings = fixture::settings();
    settings.clients[0].rules.requests = RequestRule::Pushed;
    assert!(run_with(&settings, GOOD).is_err());
}

#[test]
fn the_approval_page_can_be_asked_for() {
    assert!(
        run(&format!("{GOOD}&approval_prompt=force"))
            .unwrap()
            .ask_approval
    );
    assert!(
        run(&GOOD.replace("prompt=none", "prompt=login+consent"))
            .unwrap()
            .ask_approval
    );
}

#[test]
fn what_cannot_be_the_clients_is_shown() {
    for redirect in [
        "",
        "%2Foauth2%2Fcallback%2F",
        "https%3A%2F%2Fevil",
        "%252Foauth2%252Fcallback",
    ] {
        let query = GOOD.replace("%2Foauth2%2Fcallback", redirect);
        assert_eq!(
            run(&query).unwrap_err(),
            CheckFault::UnregisteredRedirect,
            "{redirect}"
        );
    }
}

#[test]
fn everything_else_is_redirected() {
    use ErrorCode as E;
    for (query, code) in [
        (format!("{GOOD}&request=x"), E::RequestNotSupported),
        (format!("{GOOD}&request_uri=x"), E::RequestUriNotSupported),
        (
            format!("{GOOD}&code_challenge=x&code_challenge_method=S512"),
            E::InvalidRequest,
        ),
        (GOOD.replace("+openid", ""), E::InvalidScope),
        (
            format!("{GOOD}&x=1").replace("+openid", "+openid+audience:server:client_id:other"),
            E::InvalidScope,
        ),
        (
            GOOD.replace("+openid", "+openid+audience:server:client_id:nobody"),
            E::InvalidScope,
        ),
        (GOOD.replace("=code", "="), E::InvalidRequest),
        (GOOD.replace("=code", "=magic"), E::InvalidRequest),
        (GOOD.replace("=code", "=token"), E::InvalidRequest),
        (
            GOOD.replace("=code", "=code+token"),
            E::UnsupportedResponseType,
        ),
        (
            GOOD.replace("=code", "=id_token"),
            E::UnsupportedResponseType,
        ),
    ] {
        assert_eq!(redirected(&query), Some(code), "{query}");
    }
}

#[test]
fn the_first_broken_rule_counts() {
    let query = format!("{GOOD}&request=x")
        .replace("+openid", "")
        .replace("=code", "=magic");
    assert_eq!(redirected(&query), Some(ErrorCode::RequestNotSupported));
    assert_eq!(
        run(&query.replace("%2Foauth2%2Fcallback", "x")).unwrap_err(),
        CheckFault::UnregisteredRedirect
    );
}

#[test]
fn unknown_scopes_and_challenge_methods_without_challenge_are_ignored() {
    assert!(run(&GOOD.replace("+openid", "+openid+address+phone")).is_ok());
    assert!(run(&format!("{GOOD}&code_challenge_method=S512")).is_ok());
}

#[test]
fn challenges_are_plain_unless_said_otherwise() {
    let challenge = |more: &str| run(&format!("{GOOD}{more}")).unwrap().challenge;
    let made = |hashed| {
        Some(Challenge {
            hashed,
            text: "x".into(),
        })
    };
    assert_eq!(challenge("&code_challenge=x"), made(false));
    assert_eq!(
        challenge("&code_challenge=x&code_challenge_method=plain"),
        made(false)
    );
    assert_eq!(
        challenge("&code_challenge=x&code_challenge_method=S256"),
        made(true)
    );
}

#[test]
fn audiences_must_trust_the_client() {
    let query = GOOD.replace(
        "+openid",
        "+openid+audience:server:client_id:peer+audience:server:client_id:kubeflow",
    );
    assert_eq!(run(&query).unwrap().scopes.audiences, ["peer", "kubeflow"]);
}

#[test]
fn public_clients_without_addresses_may_use_their_own_machine() {
    let mut client = ProviderClient::with_defaults("cli", Secret::new(""), Vec::new());
    for good in [
        OUT_OF_BAND,
        "http://localhost:8000/cb",
        "http://127.0.0.1/",
        "http://127.1.2.3:1/x?y",
        "http://[::1]:5/",
    ] {
        assert!(redirect_is_allowed(&client, good), "{good}");
    }
    for bad in [
        "",
        "https://localhost/",
        "http://localhost.evil/",
        "http://evil@localhost/",
        "http://128.0.0.1/",
        "http://10.0.0.1/",
        "/relative",
        "javascript:alert(1)",
    ] {
        assert!(!redirect_is_allowed(&client, bad), "{bad}");
    }
    client.redirect_uris = vec!["http://localhost/known".into()];
    assert!(!redirect_is_allowed(&client, "http://localhost:8000/cb"));
    assert!(redirect_is_allowed(&client, "http://localhost/known"));
    client.redirect_uris.clear();
    client.public = false;
    assert!(!redirect_is_allowed(&client, "http://localhost:8000/cb"));
}
