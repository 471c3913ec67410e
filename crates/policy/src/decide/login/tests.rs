use http::{HeaderMap, HeaderName};
use model::names::{ObjectRef, Place, Secret};
use model::snapshot::{EmailVerified, EntryRule, ExtraIssuer, Normalization, Regex};
use serde_json::json;

use super::*;
use crate::request::RequestHead;
use crate::session::PersonParts;

const NOW: i64 = 1_800_000_000;

fn login() -> Login {
    let usual = Login::with_defaults(
        ObjectRef::new("ConfigMap", "oauth2-proxy", "oauth2-proxy"),
        Place::new("a.yaml", 1),
        "https://issuer".into(),
        "client".into(),
    );
    Login {
        client_secret: Secret::new("secret"),
        email_domains: vec!["*".into()],
        set_authorization_header: true,
        set_xauthrequest: true,
        ..usual
    }
}

fn person(email: Option<&str>, groups: &[&str]) -> Session {
    let person = Person::assert_signed_in(PersonParts {
        login: login().key().into(),
        user: "subject".into(),
        email: email.map(Arc::from),
        groups: groups.iter().map(|group| Arc::from(*group)).collect(),
        preferred_username: None,
        token: None,
        access_token: None,
        expires: Timestamp::from_seconds(NOW + 1),
    });
    Session {
        person: Ok(Arc::new(person)),
        bearer: Bearer::None,
        elsewhere: vec![],
    }
}

fn with_token(claims: Value) -> Session {
    let token = Token::assert_verified("e.p.s", claims.as_object().unwrap().clone()).unwrap();
    Session {
        bearer: Bearer::Valid(Arc::new(token)),
        ..Session::anonymous()
    }
}

fn said(
    login: &Login,
    method: Method,
    target: &str,
    sent: &[(&str, &str)],
    session: &Session,
) -> String {
    let headers: HeaderMap = sent
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect();
    let head = RequestHead {
        method: &method,
        scheme: "https",
        now: Timestamp::from_seconds(NOW),
        ..RequestHead::sample("h", target, &headers)
    };
    let request = Request::read(head, Normalization::Base).unwrap();
    match check(login, request.path(), &request, session) {
        Answer::NoSession(how, absence) => format!("{how:?} {}", absence.as_str()),
        Answer::Session(known) => format!("session {}", known.label),
        Answer::Exempt(Some(known)) => format!("exempt {}", known.label),
        other => other.as_str().to_owned(),
    }
}

fn get(login: &Login, target: &str, session: &Session) -> String {
    said(login, Method::GET, target, &[], session)
}

#[test]
fn its_own_pages_are_below_its_prefix() {
    let nobody = Session::anonymous();
    assert_eq!(get(&login(), "/oauth2/start?rd=/x", &nobody), "own_page");
    assert_eq!(get(&login(), "/oauth2", &nobody), "Page no_cookie");
    assert_eq!(get(&login(), "/oauth2x/start", &nobody), "Page no_cookie");
    let bare = Login {
        prefix: "".into(),
        ..login()
    };
    assert_eq!(get(&bare, "/callback", &nobody), "own_page");
    assert_eq!(get(&bare, "/static/x.css", &nobody), "own_page");
    assert_eq!(get(&bare, "/reports", &nobody), "Page no_cookie");
}

#[test]
fn skip_rules_see_the_decoded_path_but_no_hidden_separator() {
    let rule = |method: Option<&str>, path: &str, negate| SkipRule {
        method: method.map(Arc::from),
        path: Regex::anywhere(path).unwrap(),
        negate,
    };
    let with = |rule| Login {
        skip_routes: vec![rule],
        ..login()
    };
    let nobody = Session::anonymous();
    let docs = with(rule(None, "^/my docs/", false));
    assert_eq!(get(&docs, "/my%20docs/x", &nobody), "exempt");
    assert_eq!(get(&docs, "/my%20docs/x%2fy", &nobody), "Page no_cookie");
    assert_eq!(get(&docs, "/my%20docs/%23", &nobody), "Page no_cookie");
    assert_eq!(get(&docs, "/my%20docs/%ff", &nobody), "Page no_cookie");
    assert_eq!(get(&docs, "/x?/my docs/", &nobody), "Page no_cookie");
    let reads = with(rule(Some("GET"), "^/public", false));
    assert_eq!(get(&reads, "/public", &nobody), "exempt");
    assert_eq!(
        said(&reads, Method::POST, "/public", &[], &nobody),
        "Page no_cookie"
    );
    let all_but = with(rule(None, "^/private", true));
    assert_eq!(get(&all_but, "/x", &nobody), "exempt");
    assert_eq!(get(&all_but, "/private", &nobody), "Page no_cookie");
    assert_eq!(get(&all_but, "/%70rivate%2fx", &nobody), "Page no_cookie");
    assert_eq!(
        get(&all_but, "/x", &person(Some("a@b.c"), &[])),
        "exempt a@b.c"
    );
    let preflight = Login {
        skip_preflight: true,
        ..login()
    };
    assert_eq!(
        said(&preflight, Method::OPTIONS, "/x", &[], &nobody),
        "exempt"
    );
    assert_eq!(
        said(&login(), Method::OPTIONS, "/x", &[], &nobody),
        "Page no_cookie"
    );
}

#[test]
fn who_may_enter_is_said_by_domain_and_group() {
    let strict = Login {
        email_domains: vec!["example.com".into()],
        allowed_groups: vec!["a".into(), "b".into()],
        ..login()
    };
    let in_b = &["x", "b"][..];
    assert_eq!(
        get(&strict, "/", &person(Some("u@example.com"), in_b)),
        "session u@example.com"
    );
    assert_eq!(
        get(&strict, "/", &person(Some("u@example.com"), &["x"])),
        "not_allowed_in"
    );
    assert_eq!(
        get(&strict, "/", &person(Some("u@example.org"), in_b)),
        "not_allowed_in"
    );
    assert_eq!(get(&strict, "/", &person(None, in_b)), "not_allowed_in");
    let nobody_named = Login {
        email_domains: vec![],
        ..login()
    };
    assert_eq!(
        get(&nobody_named, "/", &person(Some("u@example.com"), &[])),
        "not_allowed_in"
    );
    assert_eq!(get(&login(), "/", &person(None, &[])), "session subject");
}

#[test]
fn how_to_sign_in_depends_on_settings_and_request() {
    let nobody = Session::anonymous();
    let straight = Login {
        skip_provider_button: true,
        ..login()
    };
    assert_eq!(get(&straight, "/", &nobody), "Redirect no_cookie");
    let accepts = |accept| said(&straight, Method::GET, "/", &[("accept", accept)], &nobody);
    assert_eq!(
        accepts("text/html,application/json"),
        "Unauthorized no_cookie"
    );
    assert_eq!(
        accepts("application/json;q=0.9, application/*"),
        "Redirect no_cookie"
    );
    let json = Login {
        force_json_errors: true,
        ..login()
    };
    assert_eq!(get(&json, "/", &nobody), "Unauthorized no_cookie");
    let api = Login {
        api_routes: vec![Regex::anywhere("/api/").unwrap()],
        ..login()
    };
    assert_eq!(get(&api, "/x/api/y", &nobody), "Unauthorized no_cookie");
    assert_eq!(get(&api, "/x?to=/api/", &nobody), "Unauthorized no_cookie");
    assert_eq!(get(&api, "/x/api", &nobody), "Page no_cookie");
}

#[test]
fn a_bearer_token_is_a_session_only_where_that_is_switched_on() {
    let claims = |change: &dyn Fn(&mut Value)| {
        let mut claims = json!({
            "iss": "https://issuer", "aud": ["x", "client"], "sub": "robot",
            "email": "robot@example.com", "exp": NOW + 1,
        });
        change(&mut claims);
        with_token(claims)
    };
    let on = Login {
        skip_jwt_bearer_tokens: true,
        extra_issuers: vec![ExtraIssuer {
            issuer: "https://extra".into(),
            audience: "aud".into(),
        }],
        ..login()
    };
    let sent = [("authorization", "Bearer e.p.s")];
    let said = |login: &Login, session: &Session| said(login, Method::GET, "/", &sent, session);
    let anonymous = "Page no_cookie";
    assert_eq!(said(&login(), &claims(&|_| {})), anonymous);
    assert_eq!(said(&on, &claims(&|_| {})), "session robot@example.com");
    assert_eq!(
        get(&on, "/", &claims(&|_| {})),
        anonymous,
        "it must lie in the header"
    );
    assert_eq!(
        said(&on, &claims(&|all| all["aud"] = json!("y"))),
        anonymous
    );
    assert_eq!(
        said(&on, &claims(&|all| all["iss"] = json!("https://extra"))),
        anonymous
    );
    let extra = |all: &mut Value| {
        all["iss"] = json!("https://extra");
        all["aud"] = json!("aud");
    };
    assert_eq!(said(&on, &claims(&extra)), "session robot@example.com");
    assert_eq!(
        said(&on, &claims(&|all| all["exp"] = json!(NOW))),
        anonymous
    );
    assert_eq!(
        said(&on, &claims(&|all| all["exp"] = json!(NOW - 1))),
        anonymous
    );
    assert_eq!(
        said(&on, &claims(&|all| all["nbf"] = json!(NOW + 300))),
        "session robot@example.com"
    );
    assert_eq!(
        said(&on, &claims(&|all| all["nbf"] = json!(NOW + 301))),
        anonymous
    );
    assert_eq!(
        said(&on, &claims(&|all| all["email_verified"] = json!(false))),
        anonymous
    );
    let unverified = Login {
        email_verified: EmailVerified::Any,
        ..on.clone()
    };
    let session = claims(&|all| all["email_verified"] = json!(false));
    assert_eq!(said(&unverified, &session), "session robot@example.com");
    assert_eq!(
        said(&on, &claims(&|all| all["email"] = json!(null))),
        "session robot"
    );
    let grouped = Login {
        allowed_groups: vec!["ci".into()],
        ..on.clone()
    };
    assert_eq!(said(&grouped, &claims(&|_| {})), "not_allowed_in");
    assert_eq!(
        said(&grouped, &claims(&|all| all["groups"] = json!(["ci"]))),
        "session robot@example.com"
    );
}

#[test]
fn a_person_is_known_without_a_check_unless_a_token_speaks() {
    let logins = [Arc::new(login())];
    let now = Timestamp::from_seconds(NOW);
    let known = |session: &Session, now| {
        known_without_check(&logins, session, now).map(|known| known.label.to_string())
    };
    let mut session = person(Some("a@b.c"), &[]);
    assert_eq!(known(&session, now).as_deref(), Some("a@b.c"));
    assert_eq!(known(&session, Timestamp::from_seconds(NOW + 1)), None);
    session.bearer = Bearer::Invalid(crate::session::TokenFault::BadSignature);
    assert_eq!(known(&session, now), None);
}

#[test]
fn scripts_and_parts_of_pages_get_401_and_people_a_page() {
    let nobody = Session::anonymous();
    let straight = Login {
        skip_provider_button: true,
        ..login()
    };
    let asks = |method: Method, sent: &[(&str, &str)]| {
        let answer = said(&straight, method, "/x", sent, &nobody);
        answer.split(' ').next().unwrap().to_owned()
    };
    for mode in ["cors", "no-cors", "same-origin", "websocket", "CORS"] {
        let sent = [("sec-fetch-mode", mode), ("accept", "*/*")];
        assert_eq!(asks(Method::GET, &sent), "Unauthorized", "{mode}");
        assert_eq!(asks(Method::POST, &sent), "Unauthorized", "{mode}");
    }
    for sent in [
        [("x-requested-with", "XMLHttpRequest")],
        [("upgrade", "websocket")],
        [("accept", "text/event-stream")],
        [("content-type", "application/grpc-web+proto")],
    ] {
        assert_eq!(asks(Method::GET, &sent), "Unauthorized", "{sent:?}");
    }
    let navigates = [("sec-fetch-mode", "navigate"), ("accept", "text/html,*/*")];
    assert_eq!(asks(Method::GET, &navigates), "Redirect");
    assert_eq!(asks(Method::HEAD, &navigates), "Redirect");
    // What was typed into a form must not vanish behind a redirect.
    assert_eq!(asks(Method::POST, &navigates), "Page");
    assert_eq!(asks(Method::POST, &[]), "Redirect");
}

#[test]
fn rules_for_hosts_and_paths_bind_cookies_and_tokens() {
    let ruled = Login {
        skip_jwt_bearer_tokens: true,
        entry_rules: vec![EntryRule {
            paths: vec!["/admin".into()],
            groups: vec!["admins".into()],
            ..EntryRule::default()
        }],
        ..login()
    };
    let user = person(Some("u@example.com"), &["users"]);
    assert_eq!(get(&ruled, "/", &user), "session u@example.com");
    assert_eq!(get(&ruled, "/admin/x", &user), "not_allowed_in");
    let admin = person(Some("u@example.com"), &["admins"]);
    assert_eq!(get(&ruled, "/admin/x", &admin), "session u@example.com");
    let robot = with_token(json!({
        "iss": "https://issuer", "aud": "client", "sub": "robot", "exp": NOW + 1,
    }));
    let sent = [("authorization", "Bearer e.p.s")];
    let robot = |path: &str| said(&ruled, Method::GET, path, &sent, &robot);
    assert_eq!(robot("/"), "session robot");
    assert_eq!(robot("/admin"), "not_allowed_in");
}

#[test]
fn with_several_issuers_people_choose_and_tokens_of_each_count() {
    let second = Login {
        client_id: "second".into(),
        email_claim: "upn".into(),
        issuer: "https://other".into(),
        ..login()
    };
    let both = Login {
        skip_provider_button: true,
        skip_jwt_bearer_tokens: true,
        others: vec![Arc::new(second)],
        ..login()
    };
    assert_eq!(get(&both, "/", &Session::anonymous()), "Page no_cookie");
    let robot = with_token(json!({
        "iss": "https://other", "aud": "second", "sub": "robot", "exp": NOW + 1, "upn": "r@x.y",
    }));
    let sent = [("authorization", "Bearer e.p.s")];
    assert_eq!(
        said(&both, Method::GET, "/", &sent, &robot),
        "session r@x.y"
    );
    let mixed = with_token(json!({
        "iss": "https://other", "aud": "client", "sub": "robot", "exp": NOW + 1,
    }));
    assert_eq!(
        said(&both, Method::GET, "/", &sent, &mixed),
        "Page no_cookie"
    );
}
