//! Ways to sign in beside the password list, from the browser's side.

use model::snapshot::{AuthProxyConnector, ConnectorKind, ProviderConnector};

use super::*;

fn connector(id: &str, kind: ConnectorKind) -> ProviderConnector {
    ProviderConnector {
        id: id.into(),
        name: format!("Way {id}").into(),
        kind,
        group_prefix: "".into(),
        grants: None,
    }
}

fn settings() -> Settings {
    let mut settings = fixture::settings();
    let mut mock = connector("mock", ConnectorKind::MockCallback);
    mock.group_prefix = "mock:".into();
    let header = |name: &str| format!("x-remote-{name}").into();
    let proxy = AuthProxyConnector {
        user: header("user"),
        user_id: header("user-id"),
        user_name: header("user-name"),
        email: header("user-email"),
        groups: header("group"),
        separator: ",".into(),
        static_groups: Vec::new(),
    };
    let typed = ConnectorKind::MockPassword {
        username: "kilgore".into(),
        password: model::names::Secret::new("venus"),
    };
    settings.connectors.extend([
        mock,
        connector("proxy", ConnectorKind::AuthProxy(Box::new(proxy))),
        connector("typed", typed),
    ]);
    settings
}

const OFFLINE: &str = "client_id=kubeflow&redirect_uri=%2Foauth2%2Fcallback&response_type=code\
                       &scope=email+groups+openid+offline_access&state=s";

/// Where `/auth/{connector}` sends the browser, without the host.
async fn away(bench: &Bench, connector: &str, query: &str) -> String {
    let begun = bench.get(&format!("/dex/auth/{connector}?{query}")).await;
    assert_eq!(begun.status, StatusCode::FOUND, "{}", begun.body);
    let host = "http://dex.auth.svc.cluster.local:5556";
    let location = begun.location();
    location.strip_prefix(host).unwrap_or(location).to_owned()
}

async fn claims_at(bench: &Bench, seen: &Seen) -> Map<String, Value> {
    assert_eq!(seen.status, StatusCode::SEE_OTHER, "{}", seen.body);
    let code = seen.location_form().text("code").to_owned();
    let tokens = bench.redeem(&code).await.tokens();
    bench.claims(&tokens.id_token.unwrap()).await
}

#[tokio::test]
async fn everybody_comes_back_from_where_they_were_sent() {
    let bench = Bench::with(settings()).await;
    let back = away(&bench, "mock", OFFLINE).await;
    assert!(back.starts_with("/dex/callback?state="), "{back}");
    let seen = bench.get(&back).await;
    assert_eq!(seen.location_form().text("state"), "s");
    let claims = claims_at(&bench, &seen).await;
    assert_eq!(
        claims["sub"],
        crate::subject::subject("0-385-28089-0", "mock")
    );
    assert_eq!(claims["email"], "kilgore@kilgore.trout");
    assert_eq!(claims["groups"], serde_json::json!(["mock:authors"]));
    // Once is enough.
    let again = bench.get(&back).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(again.body.contains("already finished"));
}

#[tokio::test]
async fn a_state_that_was_not_made_for_this_signs_nobody_in() {
    let bench = Bench::with(settings()).await;
    let back = away(&bench, "mock", OFFLINE).await;
    let state = back.split_once("state=").unwrap().1.to_owned();
    let login = bench.get(&format!("/dex/auth/typed?{OFFLINE}")).await;
    let login = login.location_form().text("state").to_owned();
    let proxied = away(&bench, "proxy", OFFLINE).await;
    assert!(
        proxied.starts_with("/dex/callback/proxy?state="),
        "{proxied}"
    );
    let proxied = proxied.split_once("state=").unwrap().1.to_owned();
    let forged = [
        "/dex/callback".to_owned(),
        "/dex/callback?state=".to_owned(),
        format!("/dex/callback?state={}", &state[1..]),
        format!("/dex/callback?state={}", &state[..state.len() - 2]),
        format!("/dex/callback?state={state}&state={state}"),
        // Sealed for a form.
        format!("/dex/callback?state={login}"),
        // Another connector's.
        format!("/dex/callback?state={proxied}"),
        format!("/dex/callback/proxy?state={state}"),
        format!("/dex/callback/mock?state={state}"),
        format!("/dex/callback/nobody?state={proxied}"),
        format!("/dex/auth/mock/login?state={state}"),
    ];
    for address in forged {
        let request = Request::get(&address).header("x-remote-user", "root");
        let seen = bench.send(request, "").await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{address}");
        assert_eq!(seen.location(), "", "{address}");
    }
    let posted = bench.send(posting(&back), "").await;
    assert_eq!(posted.status, StatusCode::BAD_REQUEST);
    // Nor does one of a client that may no longer have it, nor one that is too old.
    let mut strict = settings();
    strict.clients[0].allowed_connectors = vec!["local".into()];
    let provider = bench.reconfigured(strict);
    let seen = send(&provider, Request::get(&back), "").await;
    assert_eq!(seen.status, StatusCode::FORBIDDEN);
    let provider = bench.reconfigured(fixture::settings());
    let seen = send(&provider, Request::get(&back), "").await;
    assert_eq!(seen.status, StatusCode::BAD_REQUEST);
    bench.clock.pass(86_400);
    let seen = bench.get(&back).await;
    assert!(seen.body.contains("took too long"), "{}", seen.body);
}

#[tokio::test]
async fn a_proxy_says_who_it_is_on_its_own_path_alone() {
    let bench = Bench::with(settings()).await;
    let back = away(&bench, "proxy", OFFLINE).await;
    let without = bench.get(&back).await;
    assert_eq!(without.status, StatusCode::BAD_GATEWAY);
    let request = Request::get(&back)
        .header("x-remote-user", "jane")
        .header("x-remote-group", "a, b");
    let seen = bench.send(request, "").await;
    let code = seen.location_form().text("code").to_owned();
    let tokens = bench.redeem(&code).await.tokens();
    // Nobody can be asked again, so there is nothing to refresh.
    assert_eq!(tokens.refresh_token, None);
    let claims = bench.claims(&tokens.id_token.unwrap()).await;
    assert_eq!(claims["sub"], crate::subject::subject("jane", "proxy"));
    assert_eq!(claims["groups"], serde_json::json!(["a", "b"]));
}

#[tokio::test]
async fn connectors_with_a_form_ask_for_their_own_name() {
    let bench = Bench::with(settings()).await;
    let address = away(&bench, "typed", OFFLINE).await;
    let form = bench.get(&address).await;
    assert!(form.body.contains("<label for=\"login\">Username</label>"));
    let wrong = [("login", "kilgore"), ("password", "mars")];
    let seen = bench.post(&address, &wrong).await;
    assert_eq!(seen.status, StatusCode::UNAUTHORIZED);
    let right = [("login", "kilgore"), ("password", "venus")];
    let seen = bench.post(&address, &right).await;
    let code = seen.location_form().text("code").to_owned();
    let refresh = bench.redeem(&code).await.tokens().refresh_token.unwrap();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
    ];
    let tokens = bench.token(&form).await.tokens();
    let claims = bench.claims(&tokens.id_token.unwrap()).await;
    assert_eq!(
        claims["sub"],
        crate::subject::subject("0-385-28089-0", "typed")
    );
    // The people of the list are not those of this connector.
    let seen = bench
        .sign_in_at(&away(&bench, "typed", OFFLINE).await)
        .await;
    assert_eq!(seen.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_told_as_such() {
    let bench = Bench::with({
        let mut settings = settings();
        let upstream = crate::connectors::oidc_settings();
        settings
            .connectors
            .push(connector("up", ConnectorKind::Oidc(Box::new(upstream))));
        settings
    })
    .await;
    let seen = bench.get(&format!("/dex/auth/up?{OFFLINE}")).await;
    assert_eq!(seen.status, StatusCode::BAD_GATEWAY);
    assert!(!seen.body.contains("https://up"), "{}", seen.body);
}

#[tokio::test]
async fn all_ways_are_listed() {
    let bench = Bench::with(settings()).await;
    let list = bench.get(&format!("/dex/auth?{OFFLINE}")).await;
    assert_eq!(list.status, StatusCode::OK);
    for name in ["Email", "Way mock", "Way proxy", "Way typed"] {
        assert!(list.body.contains(name), "{name}");
    }
}
