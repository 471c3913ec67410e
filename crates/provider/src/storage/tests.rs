use std::sync::Arc;

use model::names::Duration;
use tempfile::TempDir;

use super::*;
use crate::authorize::{Grant, Person, Scopes};
use crate::fixture::SeededRandomness;
use crate::keys::Rhythm;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const ISSUER: &str = "https://h/dex";
const RHYTHM: Rhythm = Rhythm {
    rotation: Duration::from_secs(6 * 3600),
    token_lifetime: Duration::from_secs(86_400),
};

async fn open(dir: &TempDir) -> Store {
    Store::open(&dir.path().join("provider.db")).await.unwrap()
}

fn grant() -> Grant {
    Grant {
        client: "kubeflow".into(),
        nonce: "n".into(),
        scopes: Scopes {
            email: true,
            audiences: vec!["é".into()],
            ..Scopes::default()
        },
        person: Person {
            user_id: "1".into(),
            connector: "local".into(),
            email: "user@example.com".into(),
            email_verified: true,
            name: "Ünsal".into(),
            preferred_username: String::new(),
            groups: Vec::new(),
            signed_in_at: 5,
        },
        challenge: None,
    }
}

fn code() -> Code {
    Code {
        client: "kubeflow".into(),
        redirect: "/cb".into(),
        expires_at: NOW.seconds() + 600,
        grant: grant(),
    }
}

fn family(name: &str) -> Family {
    Family {
        name: name.into(),
        client: "kubeflow".into(),
        token: "t0".into(),
        grant: grant(),
        rotated_at: NOW.seconds(),
        expires_at: NOW.seconds() + 1000,
    }
}

async fn put(store: &Store, request: &str, secret: &str) -> bool {
    store
        .answer_with_code(ISSUER, request, NOW.seconds() + 86_400, secret, &code())
        .await
        .unwrap()
}

fn kids(store: &Loaded) -> Vec<String> {
    let document: serde_json::Value = serde_json::from_slice(&store.document).unwrap();
    let kid = |key: &serde_json::Value| key["kid"].as_str().unwrap().to_owned();
    document["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(kid)
        .collect()
}

#[tokio::test]
async fn the_file_is_its_owners_alone_even_if_it_was_not() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("provider.db");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let store = open(&dir).await;
    put(&store, "r", "c").await;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn a_foreign_file_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("provider.db");
    std::fs::write(
        &path,
        "this is not a database, whatever its name says. ".repeat(100),
    )
    .unwrap();
    assert!(Store::open(&path).await.is_err());
    assert!(matches!(
        Store::open(&dir.path().join("missing/provider.db")).await,
        Err(StoreError::File(_))
    ));
}

#[tokio::test]
async fn keys_and_codes_survive_the_process() {
    let dir = TempDir::new().unwrap();
    let randomness = SeededRandomness::default();
    let store = open(&dir).await;
    let before = store.keys(ISSUER, &randomness, NOW).await.unwrap();
    let seal = *store.sealing_key(&randomness).await.unwrap();
    assert!(put(&store, "r", "secret").await);
    // The files as a killed process leaves them: nothing is closed.
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let again = open(&copy).await;
    let after = again.keys(ISSUER, &randomness, NOW).await.unwrap();
    assert_eq!(after.document, before.document);
    assert_eq!(after.signer.kid(), before.signer.kid());
    assert_eq!(*again.sealing_key(&randomness).await.unwrap(), seal);
    assert_eq!(again.code(ISSUER, "secret").await.unwrap(), Some(code()));
    assert!(again.is_answered("r").await.unwrap());
}

#[tokio::test]
async fn secrets_from_outside_are_stored_as_digests() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    put(&store, "r", "the-secret-code-itself").await;
    store
        .redeem(
            ISSUER,
            "the-secret-code-itself",
            &code(),
            Some(&Family {
                token: "the-refresh-token-itself".into(),
                ..family("f")
            }),
            NOW,
        )
        .await
        .unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in [&b"the-secret-code-itself"[..], b"the-refresh-token-itself"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}

#[tokio::test]
async fn a_request_is_answered_once() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    assert!(put(&store, "r", "one").await);
    assert!(!put(&store, "r", "two").await);
    assert_eq!(store.code(ISSUER, "two").await.unwrap(), None);
    assert!(!store.answer("r", 0).await.unwrap());
    assert!(store.answer("other", NOW.seconds()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_redemptions_exactly_one_wins() {
    let dir = TempDir::new().unwrap();
    // Two stores on one file are two processes.
    let stores = [Arc::new(open(&dir).await), Arc::new(open(&dir).await)];
    put(&stores[0], "r", "secret").await;
    let racers: Vec<_> = (0..16)
        .map(|turn| {
            let store = Arc::clone(&stores[turn % 2]);
            tokio::spawn(async move {
                store
                    .redeem(ISSUER, "secret", &code(), None, NOW)
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut spent = 0;
    for racer in racers {
        spent += usize::from(racer.await.unwrap() == Redeemed::Spent);
    }
    assert_eq!(spent, 1);
}

#[tokio::test]
async fn codes_belong_to_issuer_client_address_and_time() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    put(&store, "r", "secret").await;
    assert_eq!(store.code("https://other", "secret").await.unwrap(), None);
    let late = Timestamp::from_seconds(code().expires_at);
    let other_client = Code {
        client: "other".into(),
        ..code()
    };
    let other_address = Code {
        redirect: "/other".into(),
        ..code()
    };
    for (issuer, code, now) in [
        ("https://other", &code(), NOW),
        (ISSUER, &other_client, NOW),
        (ISSUER, &other_address, NOW),
        (ISSUER, &code(), late),
    ] {
        let redeemed = store
            .redeem(issuer, "secret", code, None, now)
            .await
            .unwrap();
        assert_eq!(redeemed, Redeemed::Gone);
    }
    assert_eq!(
        store
            .redeem(ISSUER, "secret", &code(), None, NOW)
            .await
            .unwrap(),
        Redeemed::Spent
    );
}

#[tokio::test]
async fn sweeping_deletes_what_has_expired_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    for number in 0..STEP + 10 {
        store
            .answer(&number.to_string(), NOW.seconds())
            .await
            .unwrap();
    }
    put(&store, "r", "secret").await;
    assert_eq!(store.sweep(NOW).await.unwrap(), STEP.unsigned_abs() + 10);
    assert_eq!(store.code(ISSUER, "secret").await.unwrap(), Some(code()));
    assert!(store.is_answered("r").await.unwrap());
    assert_eq!(
        store
            .sweep(NOW.plus(Duration::from_secs(600)))
            .await
            .unwrap(),
        1
    );
    assert_eq!(store.code(ISSUER, "secret").await.unwrap(), None);
}

#[tokio::test]
async fn a_refresh_token_changes_with_each_use_and_an_old_one_ends_the_family() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    put(&store, "r", "code").await;
    store
        .redeem(ISSUER, "code", &code(), Some(&family("f")), NOW)
        .await
        .unwrap();
    let rotate = async |old, new, now: Timestamp| {
        let expiry = now.plus(Duration::from_secs(1000));
        store
            .rotate(ISSUER, "f", (old, new), expiry, now)
            .await
            .unwrap()
    };
    let alive = async || store.family(ISSUER, "f", NOW).await.unwrap().is_some();
    assert_eq!(rotate("t0", "t1", NOW).await, Rotated::Done);
    // Twice at once: refused, but no theft.
    assert_eq!(
        rotate("t0", "t9", NOW.plus(Duration::from_secs(10))).await,
        Rotated::Refused
    );
    assert!(alive().await);
    assert_eq!(
        rotate("t1", "t2", NOW.plus(Duration::from_secs(10))).await,
        Rotated::Done
    );
    assert_eq!(
        rotate("t0", "t9", NOW.plus(Duration::from_secs(21))).await,
        Rotated::Refused
    );
    assert!(!alive().await);
    assert_eq!(
        rotate("t2", "t3", NOW.plus(Duration::from_secs(21))).await,
        Rotated::Refused
    );
}

#[tokio::test]
async fn a_code_that_comes_again_ends_its_family() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    put(&store, "r", "code").await;
    store
        .redeem(ISSUER, "code", &code(), Some(&family("f")), NOW)
        .await
        .unwrap();
    assert_eq!(
        store.family(ISSUER, "f", NOW).await.unwrap(),
        Some(("kubeflow".into(), grant()))
    );
    assert_eq!(
        store
            .end_family_of_code("https://other", "code")
            .await
            .unwrap(),
        0
    );
    assert_eq!(store.end_family_of_code(ISSUER, "code").await.unwrap(), 1);
    assert_eq!(store.family(ISSUER, "f", NOW).await.unwrap(), None);
}

#[tokio::test]
async fn two_processes_share_the_first_key_and_rotate_once() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (open(&dir).await, open(&dir).await);
    let randomness = SeededRandomness::default();
    let (first, second) = tokio::join!(
        one.keys(ISSUER, &randomness, NOW),
        two.keys(ISSUER, &randomness, NOW)
    );
    assert_eq!(first.unwrap().document, second.unwrap().document);

    let turn = async |now| {
        let (a, b) = tokio::join!(
            one.turn_keys(ISSUER, RHYTHM, &randomness, now),
            two.turn_keys(ISSUER, RHYTHM, &randomness, now)
        );
        a.unwrap();
        b.unwrap();
        let (a, b) = tokio::join!(
            one.keys(ISSUER, &randomness, now),
            two.keys(ISSUER, &randomness, now)
        );
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((a.version, &a.document), (b.version, &b.document));
        (a.version, kids(&a))
    };
    let (version, published) = turn(NOW).await;
    assert_eq!((version, published.len()), (2, 2));
    let later = NOW.plus(RHYTHM.rotation);
    let (version, rotated) = turn(later).await;
    assert_eq!((version, rotated.len()), (3, 3));
    assert_eq!((&rotated[0], &rotated[2]), (&published[1], &published[0]));
}

#[tokio::test]
async fn a_ring_is_replaced_only_by_who_read_it_last() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    let randomness = SeededRandomness::default();
    store.keys(ISSUER, &randomness, NOW).await.unwrap();
    let (version, ring) = store.ring(ISSUER).await.unwrap().unwrap();
    assert!(!store.create_ring(ISSUER, &ring).await.unwrap());
    assert!(store.replace_ring(ISSUER, version, &ring).await.unwrap());
    assert!(!store.replace_ring(ISSUER, version, &ring).await.unwrap());
}

#[tokio::test]
async fn damaged_keys_are_told_and_not_replaced() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    let randomness = SeededRandomness::default();
    store.keys(ISSUER, &randomness, NOW).await.unwrap();
    sqlx::query("UPDATE key_rings SET ring = '{}'")
        .execute(&store.writer)
        .await
        .unwrap();
    store.forget_keys();
    assert!(matches!(
        store.keys(ISSUER, &randomness, NOW).await,
        Err(StoreError::Damaged(Damaged::Ring))
    ));
}
