use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use oidc::jose::SigningAlgorithm;
use tempfile::TempDir;

use super::conformance::{ISSUER, KEEP, NOW, RHYTHM, code, family, put};
use super::*;
use crate::fixture::SeededRandomness;
use crate::keys::KeyFileFault;

async fn open(dir: &TempDir) -> Store {
    let path = dir.path().join("provider.db");
    Store::open(&path, &SeededRandomness::default())
        .await
        .unwrap()
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
    assert!(
        Store::open(&path, &SeededRandomness::default())
            .await
            .is_err()
    );
    assert!(matches!(
        Store::open(
            &dir.path().join("missing/provider.db"),
            &SeededRandomness::default()
        )
        .await,
        Err(StoreError::File(_))
    ));
}

#[tokio::test]
async fn keys_and_codes_survive_the_process() {
    let dir = TempDir::new().unwrap();
    let randomness = SeededRandomness::default();
    let store = open(&dir).await;
    let before = store
        .keys(ISSUER, RHYTHM.algorithm, &randomness, NOW)
        .await
        .unwrap();
    let seal = *store.sealing_key(&randomness).await.unwrap();
    assert!(put(&store, "r", "secret").await);
    // The files as a killed process leaves them: nothing is closed.
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let again = open(&copy).await;
    let after = again
        .keys(ISSUER, RHYTHM.algorithm, &randomness, NOW)
        .await
        .unwrap();
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
            (NOW, KEEP),
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
async fn a_file_that_is_locked_or_full_is_an_outage_until_it_is_not() {
    let dir = TempDir::new().unwrap();
    let (store, other) = (open(&dir).await, open(&dir).await);
    let set = async |text| store.engine.run(sql(text)).await.unwrap();
    set("PRAGMA busy_timeout = 10").await;
    let holder = other.engine.begin().await.unwrap();
    let locked = store.answer("r", NOW.seconds()).await.unwrap_err();
    assert!(locked.is_outage(), "{locked}");
    drop(holder);
    set("PRAGMA busy_timeout = 30000").await;
    assert!(store.answer("r", NOW.seconds()).await.unwrap());

    let pages = store.engine.find(sql("PRAGMA page_count")).await.unwrap();
    assert!(pages.unwrap().integer(0).unwrap() > 1);
    // Never fewer than there are.
    set("PRAGMA max_page_count = 1").await;
    let long = "x".repeat(100_000);
    let full = store.answer(&long, NOW.seconds()).await.unwrap_err();
    assert!(full.is_outage(), "{full}");
    set("PRAGMA max_page_count = 1000000").await;
    assert!(store.answer(&long, NOW.seconds()).await.unwrap());
}

/// The database as an earlier version left it: keys plain, no key file.
async fn made_plain(dir: &TempDir) {
    let randomness = SeededRandomness::default();
    let store = open(dir).await;
    store
        .keys(ISSUER, RHYTHM.algorithm, &randomness, NOW)
        .await
        .unwrap();
    let seal = *store.sealing_key(&randomness).await.unwrap();
    let (_, ring) = store.ring(ISSUER).await.unwrap().unwrap();
    // Members that came later are not there.
    let mut plain = serde_json::to_value(&ring).unwrap();
    plain.as_object_mut().unwrap().shift_remove("wanted");
    plain["current"]
        .as_object_mut()
        .unwrap()
        .shift_remove("alg");
    store
        .engine
        .run(sql("UPDATE key_rings SET ring = $1").bind(plain.to_string()))
        .await
        .unwrap();
    store
        .engine
        .run(sql("UPDATE own_secrets SET bytes = $1").bind(&seal[..]))
        .await
        .unwrap();
    store.close().await;
    std::fs::remove_file(dir.path().join("provider.key")).unwrap();
}

#[tokio::test]
async fn plain_keys_of_an_earlier_version_are_sealed_and_leave_no_trace() {
    let dir = TempDir::new().unwrap();
    made_plain(&dir).await;
    let found = || {
        std::fs::read_dir(dir.path()).unwrap().any(|entry| {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(7).any(|window| window == b"\"pkcs8\"")
        })
    };
    assert!(found(), "the test looks for the right thing");

    let store = open(&dir).await;
    let randomness = SeededRandomness::default();
    let keys = store
        .keys(ISSUER, RHYTHM.algorithm, &randomness, NOW)
        .await
        .unwrap();
    assert_eq!(keys.signer.algorithm(), SigningAlgorithm::Rs256);
    store.sealing_key(&randomness).await.unwrap();
    assert!(!found());
    // Another process, and the next start, read the same.
    let again = open(&dir).await;
    let same = again
        .keys(ISSUER, RHYTHM.algorithm, &randomness, NOW)
        .await
        .unwrap();
    assert_eq!(same.document, keys.document);
}

#[tokio::test]
async fn a_sealing_that_was_cut_short_goes_on_at_the_next_start() {
    let dir = TempDir::new().unwrap();
    made_plain(&dir).await;
    // The key file is there, one row is sealed, the other is not.
    let store = open(&dir).await;
    let randomness = SeededRandomness::default();
    let seal = *store.sealing_key(&randomness).await.unwrap();
    store
        .engine
        .run(sql("UPDATE own_secrets SET bytes = $1").bind(&seal[..]))
        .await
        .unwrap();
    store.close().await;
    let again = open(&dir).await;
    assert_eq!(*again.sealing_key(&randomness).await.unwrap(), seal);
    let row = again
        .engine
        .find(sql("SELECT bytes FROM own_secrets"))
        .await;
    let bytes = row.unwrap().unwrap().bytes(0).unwrap();
    assert!(bytes.len() > 32 && bytes != seal);
}

#[tokio::test]
async fn without_its_key_file_a_sealed_database_is_not_opened_and_not_changed() {
    let dir = TempDir::new().unwrap();
    let randomness = SeededRandomness::default();
    let store = open(&dir).await;
    let keys = store.keys(ISSUER, RHYTHM.algorithm, &randomness, NOW).await;
    let document = keys.unwrap().document.clone();
    store.close().await;
    let (key, away) = (dir.path().join("provider.key"), dir.path().join("away"));
    std::fs::rename(&key, &away).unwrap();
    let path = dir.path().join("provider.db");
    let fault = Store::open(&path, &randomness).await.unwrap_err();
    assert!(
        matches!(&fault, StoreError::KeyFile(KeyFileFault::Missing(_))),
        "{fault}"
    );
    assert!(!key.exists(), "a new key would hide the loss");
    std::fs::write(&key, [9; 32]).unwrap();
    let fault = Store::open(&path, &randomness).await.unwrap_err();
    assert!(matches!(fault, StoreError::KeyFile(KeyFileFault::Another)));
    std::fs::rename(&away, &key).unwrap();
    let back = open(&dir).await;
    let keys = back.keys(ISSUER, RHYTHM.algorithm, &randomness, NOW).await;
    assert_eq!(keys.unwrap().document, document);
}
