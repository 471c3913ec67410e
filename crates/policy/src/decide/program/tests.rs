//! Requests in, what OAuth2 Proxy does with them out: its decision matrix as a table.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use model::Snapshot;
use model::names::{Secret, Timestamp};
use model::oauth2_proxy::{CommandLine, Surroundings};
use model::snapshot::RouteAction;
use serde_json::json;

use crate::decision::{Outcome, Served};
use crate::request::{Request, RequestHead};
use crate::session::{Bearer, NoSession, Person, PersonParts, Session, Token};

const NOW: i64 = 1_800_000_000;

const USUAL: [&str; 8] = [
    "--provider=oidc",
    "--oidc-issuer-url=https://issuer",
    "--email-domain=a.example",
    "--client-id=client",
    "--client-secret=s",
    "--cookie-secret=0123456789abcdef",
    "--set-xauthrequest",
    "--set-authorization-header",
];

fn snapshot(more: &[&str]) -> Snapshot {
    let words = USUAL.iter().chain(more);
    let words: Vec<String> = words.map(|word| (*word).to_owned()).collect();
    let around = Surroundings {
        environment: &[],
        file: None,
        read: &|_| Some(Secret::new("")),
    };
    CommandLine::read(&words)
        .stand_in(&around)
        .unwrap()
        .snapshot
}

fn token(claims: serde_json::Value) -> Arc<Token> {
    let claims = claims.as_object().unwrap().clone();
    Arc::new(Token::assert_verified("e.p.s", claims).unwrap())
}

fn signed_in(email: &str) -> Session {
    let person = Person::assert_signed_in(PersonParts {
        login: "doorward/oauth2-proxy".into(),
        user: "subject".into(),
        email: Some(email.into()),
        groups: vec!["g1".into(), "g2".into()],
        preferred_username: Some("ann".into()),
        token: Some(token(json!({"iss": "https://issuer", "sub": "subject"}))),
        access_token: Some(HeaderValue::from_static("access")),
        expires: Timestamp::from_seconds(NOW + 1),
    });
    Session {
        person: Ok(Arc::new(person)),
        ..Session::anonymous()
    }
}

fn ann() -> Session {
    signed_in("ann@a.example")
}

fn with_bearer(email: &str) -> Session {
    let claims = json!({
        "iss": "https://issuer", "aud": "client", "sub": "machine", "email": email,
        "groups": ["g1"], "exp": NOW + 60,
    });
    Session {
        bearer: Bearer::Valid(token(claims)),
        ..Session::anonymous()
    }
}

fn without(absence: NoSession) -> Session {
    Session {
        person: Err(absence),
        ..Session::anonymous()
    }
}

struct Asked<'a> {
    method: Method,
    scheme: &'a str,
    headers: &'a [(&'a str, &'a str)],
    client: [u8; 4],
}

const PLAINLY: Asked<'_> = Asked {
    method: Method::GET,
    scheme: "http",
    headers: &[],
    client: [127, 0, 0, 1],
};

/// The outcome in a few words, and the headers that are told.
fn told(
    snapshot: &Snapshot,
    asked: &Asked<'_>,
    target: &str,
    session: &Session,
) -> (String, Vec<String>) {
    let pair = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    let headers: HeaderMap = asked.headers.iter().map(pair).collect();
    let head = RequestHead {
        method: &asked.method,
        scheme: asked.scheme,
        now: Timestamp::from_seconds(NOW),
        client: asked.client.into(),
        ..RequestHead::sample("door.example:4180", target, &headers)
    };
    let request = Request::read(head, snapshot.normalization()).unwrap();
    let outcome = crate::decide(&request, snapshot, session).outcome;
    let text =
        |(name, value): &(HeaderName, HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    match &outcome {
        Outcome::Forward(permit) => {
            let host = &permit.destination().host;
            let path = permit.target(target);
            let sent = permit.identity().iter().map(text);
            let removed = permit.remove().iter().map(|name| format!("-{name}"));
            let answered = permit.response_headers().flat_map(|edits| &edits.set);
            let answered = answered.map(text).map(|header| format!("< {header}"));
            let headers = removed.chain(sent).chain(answered).collect();
            (format!("forward {host}{path}"), headers)
        }
        Outcome::Serve(serve) => {
            let edits = serve.edits.iter().flat_map(|edits| &edits.set);
            let edits = edits.filter(|(name, _)| *name != http::header::CONTENT_TYPE);
            let what = match &serve.what {
                Served::Response(route) | Served::Leave(route) => match &route.action {
                    RouteAction::Respond(respond) => format!(
                        "{} {}",
                        respond.status,
                        std::str::from_utf8(&respond.body).unwrap().trim()
                    ),
                    other => panic!("{other:?}"),
                },
                Served::Files { directory, below } => format!("file {directory} {below}"),
                Served::Login(_) => "page".to_owned(),
                Served::Ready => "ready".to_owned(),
                other => panic!("{other:?}"),
            };
            (what, edits.map(text).collect())
        }
        Outcome::SignIn(sign_in) => (format!("{:?}", sign_in.how), Vec::new()),
        Outcome::Redirect(to) => (format!("{} {}", to.code, to.location), Vec::new()),
        Outcome::Refuse(refusal) => (format!("{refusal:?}"), Vec::new()),
    }
}

fn get(snapshot: &Snapshot, target: &str, session: &Session) -> String {
    told(snapshot, &PLAINLY, target, session).0
}

fn with_headers(
    snapshot: &Snapshot,
    headers: &[(&str, &str)],
    target: &str,
    session: &Session,
) -> String {
    let asked = Asked { headers, ..PLAINLY };
    told(snapshot, &asked, target, session).0
}

#[test]
fn paths_are_cleaned_before_anything_else() {
    let checker = snapshot(&["--upstream=static://200"]);
    let nobody = Session::anonymous();
    for (target, wanted) in [
        ("//evil.example/x?q=1", "301 /evil.example/x?q=1"),
        ("/a/../ping", "301 /ping"),
        ("/oauth2//auth", "301 /oauth2/auth"),
        ("/a/./b/", "301 /a/b/"),
    ] {
        assert_eq!(get(&checker, target, &nobody), wanted, "{target}");
    }
    // Encoded ones only when somebody gets that far.
    assert_eq!(get(&checker, "/a%2F%2Fb", &nobody), "Page");
    assert_eq!(get(&checker, "/a%2F%2Fb?q=1", &ann()), "301 /a/b?q=1");
}

#[test]
fn probes_and_pages_are_its_own() {
    let checker = snapshot(&["--upstream=static://200"]);
    let nobody = Session::anonymous();
    for (target, wanted) in [
        ("/ping", "200 OK"),
        ("/ready", "ready"),
        ("/robots.txt", "200 User-agent: *\nDisallow: /"),
        ("/oauth2/start?rd=/x", "page"),
        ("/oauth2/callback", "page"),
        ("/oauth2/sign_in", "page"),
        ("/oauth2/sign_out", "page"),
        ("/oauth2/userinfo", "page"),
        ("/oauth2/static/doorward.css", "page"),
        // Nothing else below the prefix is.
        ("/oauth2/other", "Page"),
        ("/oauth2", "Page"),
        ("/ping/", "Page"),
    ] {
        assert_eq!(get(&checker, target, &nobody), wanted, "{target}");
    }
    let google = snapshot(&["--upstream=static://200", "--gcp-healthchecks"]);
    let as_google = [("user-agent", "GoogleHC/1.0")];
    for target in ["/ping", "/liveness_check", "/readiness_check"] {
        assert_eq!(get(&google, target, &nobody), "Page", "{target}");
        assert_eq!(with_headers(&google, &as_google, target, &nobody), "200 OK");
    }
}

#[test]
fn the_matrix_of_a_checker() {
    let nobody = Session::anonymous();
    let json = [("accept", "text/html, application/json")];
    let star = [
        ("accept", "application/*"),
        ("accept", "application/json;q=1"),
    ];
    let checker = snapshot(&[
        "--upstream=static://200",
        "--api-route=/api/",
        "--api-route=x=1$",
        "--skip-auth-route=GET=^/public",
        "--skip-jwt-bearer-tokens",
    ]);
    let see = |headers: &[(&str, &str)], target: &str, session: &Session| {
        with_headers(&checker, headers, target, session)
    };
    // Row 2: exempt.
    assert_eq!(see(&[], "/public/a", &nobody), "200 Authenticated");
    let posted = Asked {
        method: Method::POST,
        ..PLAINLY
    };
    assert_eq!(told(&checker, &posted, "/public/a", &nobody).0, "Page");
    // Row 3: signed in, and not allowed in.
    assert_eq!(see(&[], "/a", &signed_in("o@b.example")), "NotAllowedIn");
    // Row 4: not what the query wants.
    assert_eq!(see(&[], "/a?allowed_groups=g3", &ann()), "Forbidden");
    assert_eq!(
        see(&[], "/a?allowed_groups=g3,g2", &ann()),
        "200 Authenticated"
    );
    assert_eq!(
        see(&[], "/a?allowed_emails=o@b.example", &ann()),
        "Forbidden"
    );
    assert_eq!(
        see(&[], "/a?allowed_email_domains=.a.example", &ann()),
        "200 Authenticated"
    );
    assert_eq!(see(&[], "/a?allowed_groups=g3", &nobody), "Page");
    // Row 5: fine.
    assert_eq!(see(&[], "/any/path?q", &ann()), "200 Authenticated");
    // Row 6: scripts.
    assert_eq!(see(&json, "/a", &nobody), "Unauthorized");
    assert_eq!(see(&star, "/a", &nobody), "Page");
    assert_eq!(see(&[], "/apps/api/x", &nobody), "Unauthorized");
    assert_eq!(see(&[], "/a?x=1", &nobody), "Unauthorized");
    // Row 8: the page, whatever the method, and whatever is wrong with the session.
    assert_eq!(told(&checker, &posted, "/a", &nobody).0, "Page");
    for absence in [NoSession::Unknown, NoSession::Expired] {
        assert_eq!(see(&[], "/a", &without(absence)), "Page");
    }
    // Nobody is signed out by a store that does not answer.
    let silent = without(NoSession::StoreUnavailable);
    assert_eq!(see(&[], "/a", &silent), "StoreUnavailable");
    // A token of the client's own.
    let bearer = [("authorization", "Bearer e.p.s")];
    assert_eq!(
        see(&bearer, "/a", &with_bearer("m@a.example")),
        "200 Authenticated"
    );
    assert_eq!(
        see(&bearer, "/a", &with_bearer("m@b.example")),
        "NotAllowedIn"
    );
    // Row 7: straight to the issuer.
    let straight = snapshot(&["--upstream=static://200", "--skip-provider-button"]);
    assert_eq!(get(&straight, "/a", &nobody), "Redirect");
    assert_eq!(
        with_headers(&straight, &json, "/a", &nobody),
        "Unauthorized"
    );
    let scripts = snapshot(&["--upstream=static://200", "--force-json-errors"]);
    assert_eq!(get(&scripts, "/a", &nobody), "Unauthorized");
}

#[test]
fn an_authorization_that_proves_nothing_is_refused_where_it_is_not_overlooked() {
    let strict = snapshot(&[
        "--upstream=static://200",
        "--skip-jwt-bearer-tokens",
        "--bearer-token-login-fallback=false",
        "--skip-auth-route=^/public",
    ]);
    let nobody = Session::anonymous();
    for value in ["Bearer x.y.z", "Basic dTpw"] {
        let sent = [("authorization", value)];
        for target in ["/a", "/public", "/oauth2/auth", "/oauth2/userinfo"] {
            assert_eq!(with_headers(&strict, &sent, target, &nobody), "Forbidden");
        }
        assert_eq!(
            with_headers(&strict, &sent, "/oauth2/start", &nobody),
            "page"
        );
        assert_eq!(with_headers(&strict, &sent, "/ping", &nobody), "200 OK");
    }
    let good = [("authorization", "Bearer e.p.s")];
    let machine = with_bearer("m@a.example");
    assert_eq!(
        with_headers(&strict, &good, "/a", &machine),
        "200 Authenticated"
    );
    assert_eq!(get(&strict, "/a", &nobody), "Page");
}

#[test]
fn proxies_that_ask_get_202_401_or_403() {
    let checker = snapshot(&["--upstream=static://200", "--skip-auth-preflight"]);
    let see = |target: &str, session: &Session| get(&checker, target, session);
    assert_eq!(see("/oauth2/auth", &ann()), "202 ");
    assert_eq!(see("/oauth2/auth?allowed_groups=g1", &ann()), "202 ");
    assert_eq!(see("/oauth2/auth?allowed_groups=g3", &ann()), "Forbidden");
    assert_eq!(see("/oauth2/auth", &Session::anonymous()), "Plain");
    assert_eq!(
        see("/oauth2/auth?allowed_groups=g3", &Session::anonymous()),
        "Plain"
    );
    assert_eq!(see("/oauth2/auth", &signed_in("o@b.example")), "Plain");
    let preflight = Asked {
        method: Method::OPTIONS,
        ..PLAINLY
    };
    let (said, headers) = told(&checker, &preflight, "/oauth2/auth", &Session::anonymous());
    assert_eq!((&*said, headers), ("202 ", vec![]));
}

#[test]
fn the_answer_tells_who_it_is() {
    let checker = snapshot(&["--upstream=static://200", "--pass-access-token"]);
    let (_, headers) = told(&checker, &PLAINLY, "/a", &ann());
    let wanted = [
        "gap-auth: ann@a.example",
        "x-auth-request-user: subject",
        "x-auth-request-email: ann@a.example",
        "x-auth-request-groups: g1,g2",
        "x-auth-request-preferred-username: ann",
        "x-auth-request-access-token: access",
        "authorization: Bearer e.p.s",
    ];
    assert_eq!(headers, wanted);
    let (_, asked) = told(&checker, &PLAINLY, "/oauth2/auth", &ann());
    assert_eq!(asked, wanted);
}

#[test]
fn the_upstream_is_told_who_it_is_and_nobody_else_may_say() {
    let nobody = Session::anonymous();
    let proxy = snapshot(&[
        "--upstream=http://app:8080/",
        "--upstream=http://api:81/api/",
        "--upstream=http://one:82/exact",
        "--upstream=file:///srv#/files/",
        "--pass-authorization-header",
        "--pass-access-token",
        "--skip-auth-route=^/public",
    ]);
    let (said, headers) = told(&proxy, &PLAINLY, "/a%20b?q=%2F", &ann());
    assert_eq!(said, "forward app/a%20b?q=%2F");
    let wanted = [
        "-authorization",
        "x-forwarded-user: subject",
        "x-forwarded-email: ann@a.example",
        "x-forwarded-groups: g1,g2",
        "x-forwarded-preferred-username: ann",
        "x-forwarded-access-token: access",
        "authorization: Bearer e.p.s",
    ];
    assert_eq!(headers[..wanted.len()], wanted);
    assert!(
        headers[wanted.len()..]
            .iter()
            .all(|header| header.starts_with("< "))
    );
    // Exempt, and anonymous: nothing is said, and what the client says of itself goes.
    let (said, headers) = told(&proxy, &PLAINLY, "/public", &nobody);
    assert_eq!(
        (&*said, headers),
        ("forward app/public", vec!["-authorization".to_owned()])
    );
    for name in [
        "x-forwarded-email",
        "x-forwarded-user",
        "x-auth-request-email",
        "gap-auth",
    ] {
        let listed = proxy.identity_headers();
        assert!(listed.iter().any(|one| one == name), "{name}");
    }
    // The longest mount that fits.
    for (target, wanted) in [
        ("/api/x", "forward api/api/x"),
        ("/api", "forward app/api"),
        ("/exact", "forward one/exact"),
        ("/exact/", "forward app/exact/"),
        ("/files/a/b", "file /srv a/b"),
    ] {
        assert_eq!(get(&proxy, target, &ann()), wanted, "{target}");
    }
    let alone = snapshot(&["--upstream=http://api:81/api/"]);
    assert_eq!(get(&alone, "/api?q", &ann()), "301 /api/?q");
    assert_eq!(get(&alone, "/other", &ann()), "NoUpstream");
    assert_eq!(get(&alone, "/other", &nobody), "Page");
}

#[test]
fn a_password_that_is_the_same_for_everybody_names_the_user() {
    let proxy = snapshot(&[
        "--upstream=http://app:8080/",
        "--basic-auth-password=p",
        "--prefer-email-to-user",
    ]);
    let (_, headers) = told(&proxy, &PLAINLY, "/", &ann());
    // ann@a.example:p
    assert!(headers.contains(&"authorization: Basic YW5uQGEuZXhhbXBsZTpw".to_owned()));
    assert!(headers.contains(&"x-forwarded-user: ann@a.example".to_owned()));
    assert!(
        !headers
            .iter()
            .any(|header| header.starts_with("x-forwarded-email"))
    );
}

#[test]
fn http_is_sent_to_https_where_that_is_forced() {
    let forced = snapshot(&[
        "--upstream=static://200",
        "--force-https",
        "--https-address=:8443",
    ]);
    let nobody = Session::anonymous();
    let to = "308 https://door.example:8443/ping?q=1";
    assert_eq!(get(&forced, "/ping?q=1", &nobody), to);
    let secure = Asked {
        scheme: "https",
        ..PLAINLY
    };
    assert_eq!(told(&forced, &secure, "/ping", &nobody).0, "200 OK");
}

#[test]
fn clients_and_targets_are_believed_only_where_the_peer_is() {
    let nobody = Session::anonymous();
    let trusting = |more: &[&str]| {
        let words = [
            &["--upstream=static://200", "--skip-auth-route=^/public"],
            more,
        ]
        .concat();
        snapshot(&words)
    };
    let near = [("x-forwarded-uri", "/public/x?y")];
    let open = trusting(&["--reverse-proxy", "--trusted-proxy-ip=127.0.0.1"]);
    assert_eq!(with_headers(&open, &near, "/oauth2/auth", &nobody), "202 ");
    let other = trusting(&["--reverse-proxy", "--trusted-proxy-ip=10.0.0.0/8"]);
    assert_eq!(
        with_headers(&other, &near, "/oauth2/auth", &nobody),
        "Plain"
    );
    assert_eq!(
        with_headers(&trusting(&[]), &near, "/oauth2/auth", &nobody),
        "Plain"
    );
    let clients = trusting(&["--trusted-ip=10.0.0.0/8"]);
    let inside = Asked {
        client: [10, 1, 2, 3],
        ..PLAINLY
    };
    assert_eq!(
        told(&clients, &inside, "/a", &nobody).0,
        "200 Authenticated"
    );
    assert_eq!(get(&clients, "/a", &nobody), "Page");
}
