//! People of the storage: a password for one time, disabled ones, refresh tokens of removed ones.

use model::names::Secret;

use super::*;
use crate::users::{GivenPassword, NewUser};

const ONE_TIME: &str = "k7mq-2xwd-9fhj-c4tp";
const GOOD: &str = "correct horse battery";

async fn add(bench: &Bench, password: GivenPassword) {
    let new = NewUser {
        email: "anna@example.com".into(),
        name: "Anna".into(),
        groups: vec!["ml".into()],
        ..NewUser::default()
    };
    let randomness = SeededRandomness::default();
    let now = bench.clock.now();
    bench
        .store
        .add_user(new, password, &randomness, now)
        .await
        .unwrap();
}

async fn sign_in(bench: &Bench, address: &str, password: &str) -> Seen {
    bench
        .post(
            address,
            &[("login", "anna@example.com"), ("password", password)],
        )
        .await
}

#[tokio::test]
async fn a_password_for_one_time_is_changed_on_the_way() {
    let bench = Bench::new().await;
    add(&bench, GivenPassword::OneTime(Secret::new(ONE_TIME))).await;
    let login = bench.login_address(STOCK).await;
    let proved = sign_in(&bench, &login, ONE_TIME).await;
    assert_eq!(proved.status, StatusCode::SEE_OTHER);
    let address = proved.location().to_owned();
    assert!(
        address.starts_with("/dex/auth/local/password?state="),
        "{address}"
    );
    let form = bench.get(&address).await;
    assert_eq!(form.status, StatusCode::OK);
    assert_eq!(form.attribute("method=\"post\"", "action"), address);
    assert_eq!(
        form.attribute("id=\"password\"", "autocomplete"),
        "new-password"
    );
    assert_eq!(
        form.attribute("name=\"username\"", "value"),
        "anna@example.com"
    );
    for (password, again, text) in [
        (GOOD, "correct horse batterz", "not the same"),
        ("", "", "too short"),
        ("password1", "password1", "easy to guess"),
        (ONE_TIME, ONE_TIME, "has to be changed"),
    ] {
        let fields = [("password", password), ("again", again)];
        let seen = bench.post(&address, &fields).await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{password}");
        assert!(seen.body.contains(text), "{}", seen.body);
        assert_eq!(seen.attribute("id=\"password\"", "aria-invalid"), "true");
        assert!(password.is_empty() || !seen.body.contains(password));
    }
    let fields = [("password", GOOD), ("again", GOOD)];
    let done = bench.post(&address, &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert!(
        done.location().starts_with("/oauth2/callback?code="),
        "{}",
        done.location()
    );
    // Neither the form nor the old password is good again.
    assert_eq!(bench.get(&address).await.status, StatusCode::BAD_REQUEST);
    let fresh = bench.login_address(STOCK).await;
    assert_eq!(
        sign_in(&bench, &fresh, ONE_TIME).await.status,
        StatusCode::UNAUTHORIZED
    );
    let in_again = sign_in(&bench, &fresh, GOOD).await;
    assert!(in_again.location().starts_with("/oauth2/callback?code="));
}

#[tokio::test]
async fn the_form_for_a_new_password_needs_its_proof_and_ends() {
    let bench = Bench::new().await;
    add(&bench, GivenPassword::OneTime(Secret::new(ONE_TIME))).await;
    let login = bench.login_address(STOCK).await;
    let address = sign_in(&bench, &login, ONE_TIME)
        .await
        .location()
        .to_owned();
    let state = login.split_once("state=").unwrap().1;
    for bad in [
        "/dex/auth/local/password".to_owned(),
        format!("/dex/auth/local/password?state={state}"),
        address.replace("/local/", "/other/"),
    ] {
        let fields = [("password", GOOD), ("again", GOOD)];
        assert_eq!(
            bench.post(&bad, &fields).await.status,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
    // An administrator gives another one meanwhile.
    let other = GivenPassword::OneTime(Secret::new("another good horse"));
    let (now, randomness) = (bench.clock.now(), SeededRandomness::default());
    let email = "anna@example.com";
    bench
        .store
        .reset_password(email, other, &randomness, now)
        .await
        .unwrap();
    assert_eq!(bench.get(&address).await.status, StatusCode::BAD_REQUEST);
    let second = sign_in(&bench, &login, "another good horse")
        .await
        .location()
        .to_owned();
    assert_eq!(bench.get(&second).await.status, StatusCode::OK);
    bench.clock.pass(900);
    assert_eq!(bench.get(&second).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn who_is_disabled_is_told_and_refreshes_no_more() {
    let bench = Bench::new().await;
    add(&bench, GivenPassword::Lasting(Secret::new(GOOD))).await;
    let query = STOCK.replace("+openid", "+openid+offline_access");
    let done = sign_in(&bench, &bench.login_address(&query).await, GOOD).await;
    let tokens = bench
        .redeem(done.location_form().text("code"))
        .await
        .tokens();
    let refresh = tokens.refresh_token.unwrap();
    let again = async |token: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        bench.token(&form).await
    };
    let second = again(&refresh).await;
    assert_eq!(second.status, StatusCode::OK);
    let refresh = second.tokens().refresh_token.unwrap();
    bench
        .store
        .enable_user("anna@example.com", false)
        .await
        .unwrap();
    assert_eq!(again(&refresh).await.status, StatusCode::BAD_REQUEST);
    let address = bench.login_address(STOCK).await;
    let told = sign_in(&bench, &address, GOOD).await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED);
    assert!(told.body.contains("This account is disabled"));
    let wrong = sign_in(&bench, &address, "wrong").await;
    assert!(!wrong.body.contains("disabled"));
}

#[tokio::test]
async fn a_browser_that_signed_in_before_is_not_slowed_by_others() {
    let bench = Bench::new().await;
    let address = bench.login_address(STOCK).await;
    let send = async |cookie: &str, from: &str, password: &str| {
        let request = posting(&address)
            .header("x-envoy-external-address", from)
            .header("cookie", cookie);
        let form = [("login", "user@example.com"), ("password", password)];
        bench.send(request, &crate::form::query(&form)).await
    };
    let other = bench.login_address(STOCK).await;
    let known = bench.sign_in_at(&other).await;
    let cookies = known.headers.get_all("set-cookie").iter();
    let mut cookies = cookies.map(|value| value.to_str().unwrap());
    let set = cookies.find(|text| text.starts_with("doorward_device="));
    let set = set.unwrap();
    assert!(set.contains("; HttpOnly; SameSite=Lax"));
    let cookie = set.split_once(';').unwrap().0;
    for _ in 0..10 {
        let seen = send("", "1.2.3.4", "wrong").await;
        assert_eq!(seen.status, StatusCode::UNAUTHORIZED);
    }
    let stranger = send("", "1.2.3.4", PASSWORD).await;
    assert_eq!(stranger.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(stranger.body.contains("Too many failed attempts"));
    let seen = send(cookie, "1.2.3.4", "wrong").await;
    assert_eq!(seen.status, StatusCode::UNAUTHORIZED);
    let done = send(cookie, "1.2.3.4", PASSWORD).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    let counts = bench.store.sign_in_counts();
    assert_eq!(
        counts,
        [
            ("let_in", 2),
            ("refused", 11),
            ("slowed", 1),
            ("disabled", 0)
        ]
    );
}
