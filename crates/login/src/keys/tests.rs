use std::sync::atomic::Ordering::SeqCst;

use serde_json::json;

use super::*;
use crate::fixture::{Bench, ISSUER};

fn source() -> Source {
    Source::Uri(format!("{ISSUER}/keys").into())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn keys_are_fetched_once_for_many_who_wait() {
    let bench = Bench::new().await;
    let token = bench.issuer.token(json!({}));
    let source = source();
    let prove = || bench.keys.prove(&token, &source);
    let (a, b, c, d) = tokio::join!(prove(), prove(), prove(), prove());
    for proven in [a, b, c, d] {
        assert_eq!(proven.unwrap().subject(), "Cg1");
    }
    assert_eq!(bench.issuer.key_fetches.load(SeqCst), 1);
}

#[tokio::test]
async fn an_unknown_key_makes_the_keys_be_fetched_again_but_not_often() {
    let bench = Bench::new().await;
    let source = source();
    let fetches = || bench.issuer.key_fetches.load(SeqCst);
    let old = bench.issuer.token(json!({}));
    bench.keys.prove(&old, &source).await.unwrap();
    bench.issuer.rotate("two");
    let new = bench.issuer.token(json!({}));
    // Inside the pause the fetch that has just been is believed.
    assert_eq!(
        bench.keys.prove(&new, &source).await.unwrap_err(),
        TokenFault::UnknownKey
    );
    assert_eq!(fetches(), 1);
    bench.clock.advance(seconds(10));
    assert!(bench.keys.prove_now(&new, &source).is_none());
    assert!(bench.keys.prove(&new, &source).await.is_ok());
    assert_eq!(fetches(), 2);
    // What the old set proved is not proven by the new one.
    assert_eq!(
        bench.keys.prove(&old, &source).await.unwrap_err(),
        TokenFault::UnknownKey
    );
    bench.issuer.rotate("three");
    let unknown = bench.issuer.token(json!({}));
    bench.issuer.rotate("two");
    for _ in 0..20 {
        bench.clock.advance(seconds(1));
        assert_eq!(
            bench.keys.prove(&unknown, &source).await.unwrap_err(),
            TokenFault::UnknownKey
        );
    }
    assert_eq!(fetches(), 4, "two in twenty seconds");
}

#[tokio::test]
async fn a_token_that_the_issuer_gave_waits_for_no_pause() {
    let bench = Bench::new().await;
    let source = source();
    let fetches = || bench.issuer.key_fetches.load(SeqCst);
    let old = bench.issuer.token(json!({}));
    bench.keys.prove_given(&old, &source).await.unwrap();
    bench.issuer.rotate("two");
    let new = bench.issuer.token(json!({}));
    bench.keys.prove_given(&new, &source).await.unwrap();
    assert_eq!(fetches(), 2);
    // A stranger's token meanwhile makes nobody fetch.
    let strange = bench.keys.prove(&old, &source).await;
    assert_eq!(strange.unwrap_err(), TokenFault::UnknownKey);
    assert_eq!(fetches(), 2);
}

#[tokio::test]
async fn while_the_issuer_is_down_its_old_keys_stay_good() {
    let bench = Bench::new().await;
    let source = source();
    let token = bench.issuer.token(json!({}));
    bench.keys.prove(&token, &source).await.unwrap();
    bench.issuer.misbehave(|quirks| quirks.down = true);
    for _ in 0..10 {
        bench.clock.advance(seconds(3600));
        let fresh = bench.issuer.token(json!({}));
        assert!(bench.keys.prove(&fresh, &source).await.is_ok());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keys_that_grow_old_are_renewed_behind_the_request() {
    let bench = Bench::new().await;
    let source = source();
    bench
        .keys
        .prove(&bench.issuer.token(json!({})), &source)
        .await
        .unwrap();
    bench.clock.advance(FRESH);
    assert!(
        bench
            .keys
            .prove_now(&bench.issuer.token(json!({})), &source)
            .unwrap()
            .is_ok()
    );
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.issuer.key_fetches.load(SeqCst), 2);
    assert!(
        bench
            .keys
            .prove_now(&bench.issuer.token(json!({})), &source)
            .unwrap()
            .is_ok()
    );
    assert_eq!(bench.issuer.key_fetches.load(SeqCst), 2);
}

#[tokio::test]
async fn keys_that_were_never_had_are_asked_for_again_after_a_pause() {
    let bench = Bench::new().await;
    let source = source();
    let token = bench.issuer.token(json!({}));
    bench.issuer.misbehave(|quirks| quirks.down = true);
    let fault = bench.keys.prove(&token, &source).await.unwrap_err();
    assert_eq!(fault, TokenFault::KeysUnavailable);
    bench.issuer.misbehave(|quirks| quirks.down = false);
    let fault = bench.keys.prove_now(&token, &source).unwrap().unwrap_err();
    assert_eq!(fault, TokenFault::KeysUnavailable);
    bench.clock.advance(PAUSE);
    assert!(bench.keys.prove(&token, &source).await.is_ok());
}

#[tokio::test]
async fn keys_are_found_by_discovery() {
    let bench = Bench::new().await;
    let source = Source::Discovery(ISSUER.into());
    assert!(
        bench
            .keys
            .prove(&bench.issuer.token(json!({})), &source)
            .await
            .is_ok()
    );
    assert_eq!(bench.issuer.document_fetches.load(SeqCst), 1);
    let elsewhere = Source::Discovery("http://dex.auth.svc.cluster.local:5556/dex/".into());
    let fault = bench
        .keys
        .prove(&bench.issuer.token(json!({})), &elsewhere)
        .await
        .unwrap_err();
    assert_eq!(
        fault,
        TokenFault::KeysUnavailable,
        "the document names another issuer"
    );
}

#[tokio::test]
async fn the_same_keys_fetched_again_keep_what_they_proved() {
    let bench = Bench::new().await;
    let source = source();
    let token = bench.issuer.token(json!({}));
    let before = bench.keys.prove(&token, &source).await.unwrap();
    bench
        .keys
        .shared
        .fetch_keys(&source, Duration::ZERO)
        .await
        .unwrap();
    let after = bench.keys.prove_now(&token, &source).unwrap().unwrap();
    assert!(Arc::ptr_eq(&before, &after));
}

#[tokio::test]
async fn a_key_set_without_end_is_refused() {
    let key = json!({"kty": "oct"});
    let set = json!({"keys": vec![key; 101]}).to_string();
    assert_eq!(
        read_key_set(&set).map(|_| ()).unwrap_err(),
        IssuerFault::TooLarge
    );
}
