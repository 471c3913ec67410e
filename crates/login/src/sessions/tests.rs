mod inherited;
mod records;
mod replicas;
mod sealed;
mod tokens;

use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE};
use model::names::{Duration, ObjectRef, Place};
use model::snapshot::{HeaderName, KeySource, PolicyInfo, TokenLocation};
use policy::{Bearer, TokenFault};
use serde_json::json;

use super::*;
use crate::fixture::{Bench, Browser, ISSUER, NOW};

const NAME: &str = "oauth2_proxy_kubeflow";

fn rule(issuer: &str, keys: KeySource, locations: Vec<TokenLocation>) -> JwtRule {
    let object = ObjectRef {
        kind: "RequestAuthentication".into(),
        namespace: "istio-system".into(),
        name: "dex-jwt".into(),
    };
    JwtRule {
        info: Arc::new(PolicyInfo {
            object,
            place: Place {
                file: "f".into(),
                line: 1,
            },
        }),
        issuer: issuer.into(),
        audiences: Vec::new(),
        keys,
        locations,
        claim_headers: Vec::new(),
        payload_header: None,
        forward_original: true,
        space_delimited: vec![],
    }
}

fn header(name: &'static str, prefix: &str) -> TokenLocation {
    TokenLocation::Header {
        name: HeaderName::from_static(name),
        prefix: prefix.into(),
    }
}

fn usual() -> Vec<TokenLocation> {
    vec![
        header("authorization", "Bearer "),
        TokenLocation::Query("access_token".into()),
    ]
}

fn dex() -> JwtRule {
    rule(
        ISSUER,
        KeySource::Uri(format!("{ISSUER}/keys").into()),
        usual(),
    )
}

impl Bench {
    fn now(&self, headers: &HeaderMap) -> Option<Result<Arc<Person>, NoSession>> {
        let logins = [self.login.clone()];
        let doors = Doors {
            logins: &logins,
            rules: &[],
            places: &[],
        };
        let session =
            self.sessions
                .look_now(headers, None, doors, &Memo::default(), self.clock.now())?;
        Some(session.person)
    }

    async fn bearer(
        &self,
        rules: &[JwtRule],
        headers: &[(&'static str, &str)],
        query: Option<&str>,
    ) -> Bearer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let logins = [self.login.clone()];
        let doors = Doors {
            logins: &logins,
            rules,
            places: &[],
        };
        self.sessions
            .look(&map, query, doors, self.clock.now())
            .await
            .bearer
    }
}

fn subject(bearer: &Bearer) -> &str {
    match bearer {
        Bearer::None => "none",
        Bearer::Valid(token) => token.subject(),
        Bearer::Invalid(fault) => fault.message(),
    }
}

#[tokio::test]
async fn a_session_in_memory_is_read_without_waiting() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let headers = browser.headers();
    let first = bench.now(&headers).unwrap().unwrap();
    let second = bench.now(&headers).unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(
        bench.now(&HeaderMap::new()).unwrap().unwrap_err(),
        NoSession::NoCookie
    );
}

#[tokio::test]
async fn sessions_survive_a_restart_with_their_token() {
    let mut bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let waiting = bench.leave(&mut browser, "/tab").await;
    let headers = browser.headers();
    let before = bench.now(&headers).unwrap().unwrap();
    bench.reopen().await;
    assert!(bench.now(&headers).is_none(), "not in memory yet");
    let after = bench
        .sessions
        .person(&headers, &bench.login, NOW)
        .await
        .unwrap();
    assert_eq!(after.email(), before.email());
    assert_eq!(after.groups(), before.groups());
    assert_eq!(after.preferred_username(), before.preferred_username());
    assert_eq!(after.access_token(), before.access_token());
    assert_eq!(after.expires(), before.expires());
    assert_eq!(
        after.token().unwrap().bearer(),
        before.token().unwrap().bearer()
    );
    assert!(bench.now(&headers).unwrap().is_ok(), "in memory now");
    // Who was at the issuer meanwhile is not lost either.
    let answer = bench.get(&waiting, &browser).await;
    assert_eq!(crate::fixture::location(&answer), "/tab");
}

#[tokio::test]
async fn a_copy_of_the_files_as_a_crash_leaves_them_has_the_session() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let copy = tempfile::tempdir().unwrap();
    for name in ["sessions.db", "sessions.db-wal"] {
        std::fs::copy(bench.directory.path().join(name), copy.path().join(name)).unwrap();
    }
    let path = copy.path().join("sessions.db");
    let randomness = Arc::new(crate::fixture::SeededRandomness::default());
    let sessions = Sessions::open(&path, bench.keys.clone(), bench.clock.clone(), randomness)
        .await
        .unwrap();
    assert!(
        sessions
            .person(&browser.headers(), &bench.login, NOW)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_store_is_private_and_does_not_hold_the_cookie() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let cookie = browser.cookie(NAME).unwrap().as_bytes().to_vec();
    let raw = data_encoding::BASE64URL_NOPAD.decode(&cookie).unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(bench.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{path:?}"
        );
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(cookie.len()).any(|window| window == cookie));
        assert!(!bytes.windows(32).any(|window| window == &raw[..32]));
        files += 1;
    }
    assert!(files >= 2);
}

#[tokio::test]
async fn a_forged_cookie_is_told_without_asking_the_store() {
    let bench = Bench::new().await;
    bench.sessions.close().await;
    let long = "A".repeat(64);
    for forged in [
        "",
        "x",
        &long,
        "aGVsbG8=|1700000000|b4ORk0NsJQc15QYTd5ixYpp8qkfPANguXJmQdjgktMA=",
    ] {
        let browser = Browser {
            cookies: vec![(NAME.to_owned(), forged.to_owned())],
        };
        let absence = bench.now(&browser.headers()).unwrap().unwrap_err();
        assert_eq!(absence, NoSession::Unknown, "{forged}");
    }
}

#[tokio::test]
async fn a_cookie_of_another_state_directory_is_unknown() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let other = tempfile::tempdir().unwrap();
    let randomness = Arc::new(crate::fixture::SeededRandomness::default());
    randomness_skip(&*randomness);
    let path = other.path().join("sessions.db");
    let sessions = Sessions::open(&path, bench.keys.clone(), bench.clock.clone(), randomness)
        .await
        .unwrap();
    let absence = sessions
        .person(&browser.headers(), &bench.login, NOW)
        .await
        .unwrap_err();
    assert_eq!(absence, NoSession::Unknown);
}

fn randomness_skip(randomness: &dyn Randomness) {
    randomness.fill(&mut [0; 4096]);
}

#[tokio::test]
async fn an_ended_session_stays_ended_and_costs_the_store_nothing_more() {
    let mut bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let headers = browser.headers();
    bench.sessions.end(&headers, &bench.login).await.unwrap();
    assert_eq!(
        bench.now(&headers).unwrap().unwrap_err(),
        NoSession::Unknown
    );
    bench.reopen().await;
    assert!(bench.now(&headers).is_none());
    let absence = bench
        .sessions
        .person(&headers, &bench.login, NOW)
        .await
        .unwrap_err();
    assert_eq!(absence, NoSession::Unknown);
    // Remembered: the store is not asked again.
    assert_eq!(
        bench.now(&headers).unwrap().unwrap_err(),
        NoSession::Unknown
    );
}

#[tokio::test]
async fn a_session_that_another_process_ends_is_ended_here_too() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let headers = browser.headers();
    let other = bench.beside().await;
    let here = || bench.sessions.person(&headers, &bench.login, NOW);
    assert!(other.person(&headers, &bench.login, NOW).await.is_ok());

    bench.sessions.share();
    assert!(bench.now(&headers).is_none(), "the store is asked");
    assert!(here().await.is_ok());
    assert!(bench.now(&headers).is_none(), "and asked again");
    // A second one comes before the first has gone.
    bench.sessions.share();
    bench.sessions.unshare();
    other.end(&headers, &bench.login).await.unwrap();
    assert_eq!(here().await.unwrap_err(), NoSession::Unknown);
    bench.sessions.unshare();
    assert_eq!(here().await.unwrap_err(), NoSession::Unknown);

    // What was in memory before is not believed afterwards.
    bench.sign_in(&mut browser, "/").await;
    let headers = browser.headers();
    let here = || bench.sessions.person(&headers, &bench.login, NOW);
    assert!(bench.now(&headers).unwrap().is_ok());
    bench.sessions.share();
    other.end(&headers, &bench.login).await.unwrap();
    bench.sessions.unshare();
    assert_eq!(here().await.unwrap_err(), NoSession::Unknown);

    // Alone again, memory counts.
    bench.sign_in(&mut browser, "/").await;
    assert!(bench.now(&browser.headers()).unwrap().is_ok());
}

#[tokio::test]
async fn a_session_that_ends_while_it_is_loaded_does_not_come_back() {
    let mut bench = Bench::new().await;
    for round in 0..50 {
        let mut browser = Browser::default();
        bench.sign_in(&mut browser, "/").await;
        if round % 10 == 0 {
            bench.reopen().await;
        }
        let headers = browser.headers();
        let value = CookieValue::read(browser.cookie(NAME).unwrap().as_bytes()).unwrap();
        bench.sessions.live.remove(&value.name());
        let load = bench.sessions.person(&headers, &bench.login, NOW);
        let end = bench.sessions.end(&headers, &bench.login);
        let (_, ended) = tokio::join!(load, end);
        ended.unwrap();
        assert_eq!(
            bench.now(&headers).unwrap().unwrap_err(),
            NoSession::Unknown,
            "{round}"
        );
        assert!(bench.sessions.live.get(&value.name()).is_none(), "{round}");
    }
}

#[tokio::test]
async fn an_expired_session_is_told_apart_and_swept() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let headers = browser.headers();
    bench.clock.advance(Duration::from_secs(86_399));
    assert!(bench.now(&headers).unwrap().is_ok());
    assert_eq!(bench.sessions.sweep(bench.clock.now()).await.unwrap(), 0);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(
        bench.now(&headers).unwrap().unwrap_err(),
        NoSession::Expired
    );
    assert_eq!(bench.sessions.sweep(bench.clock.now()).await.unwrap(), 1);
    assert_eq!(bench.sessions.sweep(bench.clock.now()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_session_is_over_with_its_id_token() {
    let bench = Bench::new().await;
    let soon = json!({"exp": NOW.seconds() + 600});
    bench
        .issuer
        .misbehave(|quirks| quirks.claims = soon.as_object().unwrap().clone());
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let person = bench.now(&browser.headers()).unwrap().unwrap();
    assert_eq!(person.expires(), NOW.plus(Duration::from_secs(600)));
}

#[tokio::test]
async fn a_store_that_fails_is_a_reason_of_its_own() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let value = CookieValue::read(browser.cookie(NAME).unwrap().as_bytes()).unwrap();
    bench.sessions.live.remove(&value.name());
    bench.sessions.close().await;
    let absence = bench
        .sessions
        .person(&browser.headers(), &bench.login, NOW)
        .await
        .unwrap_err();
    assert_eq!(absence, NoSession::StoreUnavailable);
    let answer = bench.get("/oauth2/sign_out", &browser).await;
    assert_eq!(answer.status(), 500);
    assert_eq!(
        bench.now(&browser.headers()).unwrap().unwrap_err(),
        NoSession::Unknown
    );
}

#[tokio::test]
async fn of_several_cookies_the_good_one_counts() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let good = browser.cookie(NAME).unwrap();
    let mut headers = HeaderMap::new();
    let text = format!("{NAME}=old; a=b; {NAME}={good}");
    headers.append(COOKIE, HeaderValue::from_static("x=y"));
    headers.append(COOKIE, HeaderValue::from_str(&text).unwrap());
    assert!(bench.now(&headers).unwrap().is_ok());
}

#[tokio::test]
async fn each_login_proxy_has_its_own_cookie() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let mut second = (*bench.login).clone();
    second.object.name = "second".into();
    second.cookie_name = "second".into();
    let logins = [Arc::new(second), bench.login.clone()];
    let doors = Doors {
        logins: &logins,
        rules: &[],
        places: &[],
    };
    let value = browser.cookie(NAME).unwrap();
    let read = |text: String| {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(&text).unwrap());
        bench
            .sessions
            .look_now(&headers, None, doors, &Memo::default(), NOW)
            .unwrap()
            .person
    };
    assert_eq!(
        read(format!("{NAME}={value}")).unwrap().login(),
        "oauth2-proxy/oauth2-proxy"
    );
    assert_eq!(
        read(format!("second={value}")).unwrap_err(),
        NoSession::Unknown
    );
}

#[test]
fn sessions_are_shared_by_runtimes_that_come_and_go() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let home = runtime();
    let (bench, browser) = home.block_on(async {
        let bench = Bench::new().await;
        let mut browser = Browser::default();
        bench.sign_in(&mut browser, "/").await;
        (bench, browser)
    });
    let value = CookieValue::read(browser.cookie(NAME).unwrap().as_bytes()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    bench.sessions.live.remove(&value.name());
                    let person = runtime().block_on(bench.sessions.person(
                        &browser.headers(),
                        &bench.login,
                        NOW,
                    ));
                    assert!(person.is_ok(), "{person:?}");
                }
            });
        }
    });
    let person = home.block_on(bench.sessions.person(&browser.headers(), &bench.login, NOW));
    assert!(person.is_ok());
}
