//! What every engine must do, tried on each.

use std::sync::{Arc, LazyLock};

use model::names::Duration;
use oidc::jose::SigningAlgorithm;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use super::server::Server;
use super::statement::Row;
use super::*;
use crate::authorize::{Grant, Person, Scopes, SignIn, WantedClaims};
use crate::fixture::SeededRandomness;
use crate::keys::Rhythm;

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
/// How long a spent code is remembered.
pub(super) const KEEP: Timestamp = Timestamp::from_seconds(NOW.seconds() + 86_400);
pub(super) const ISSUER: &str = "https://h/dex";
pub(super) const RHYTHM: Rhythm = Rhythm {
    algorithm: SigningAlgorithm::Rs256,
    rotation: Duration::from_secs(6 * 3600),
    token_lifetime: Duration::from_secs(86_400),
};

mod people;

/// The state directory of all processes on one server: they share the key file.
static STATE: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().unwrap());

/// Where the rows of one test are; a store opened twice is two processes.
pub(crate) enum Place {
    File(TempDir),
    Database(Box<PgConnectOptions>),
}

impl Place {
    pub(crate) async fn open(&self) -> Store {
        match self {
            Self::File(dir) => {
                let path = dir.path().join("provider.db");
                Store::open(&path, &SeededRandomness::default())
                    .await
                    .unwrap()
            }
            Self::Database(options) => {
                let address = StoreAddress::Postgres(options.clone());
                let path = STATE.path().join("provider.db");
                Store::at(&address, &path, &SeededRandomness::default())
                    .await
                    .unwrap()
            }
        }
    }
}

/// Runs each rule on each engine, on rows of its own.
macro_rules! on_every_engine {
    ($($rule:path),+ $(,)?) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn sqlite_keeps_every_rule() {
            $($rule(Place::File(TempDir::new().unwrap())).await;)+
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn postgres_keeps_every_rule() {
            let server = Server::start().await;
            $($rule(Place::Database(Box::new(server.database().await))).await;)+
        }
    };
}

on_every_engine!(
    overdrawn_budgets_outlive_the_process,
    people::are_kept_and_listed,
    people::are_changed_by_who_read_them_last,
    people::are_changed_by_many_at_once,
    transactions_come_into_force_whole,
    a_request_is_answered_once,
    of_many_redemptions_exactly_one_wins,
    codes_belong_to_issuer_client_address_and_time,
    sweeping_deletes_what_has_expired_and_nothing_else,
    a_refresh_token_is_replaced_by_who_holds_the_good_one,
    a_code_that_comes_again_takes_back_what_it_brought,
    a_sign_in_is_found_by_its_cookie_while_it_lives,
    two_processes_share_the_first_key_and_rotate_once,
    a_ring_is_replaced_only_by_who_read_it_last,
    damaged_keys_are_told_and_not_replaced,
    a_word_is_new_once_until_it_expires,
    an_operator_can_have_the_next_key_sign,
);

pub(super) fn grant() -> Grant {
    Grant {
        id: "g".into(),
        session: None,
        claims: WantedClaims::default(),
        key: None,
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
            held: None,
        },
        challenge: None,
    }
}

pub(super) fn code() -> Code {
    Code {
        client: "kubeflow".into(),
        redirect: "/cb".into(),
        expires_at: NOW.seconds() + 600,
        grant: grant(),
    }
}

pub(super) fn family(name: &str) -> Family {
    Family {
        name: name.into(),
        client: "kubeflow".into(),
        token: "t0".into(),
        grant: grant(),
        rotated_at: NOW.seconds(),
        expires_at: NOW.seconds() + 1000,
    }
}

pub(super) async fn put(store: &Store, request: &str, secret: &str) -> bool {
    store
        .answer_request(
            ISSUER,
            (request, NOW.seconds() + 86_400),
            &code(),
            Some(secret),
        )
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

/// Texts of other scripts, empty ones and any bytes come back as they were.
async fn transactions_come_into_force_whole(place: Place) {
    let store = place.open().await;
    let insert = |name: &str, bytes: &[u8]| {
        sql("INSERT INTO own_secrets (name, bytes) VALUES ($1, $2)")
            .bind(name)
            .bind(bytes)
    };
    let listed = async || {
        let question = sql("SELECT name, bytes FROM own_secrets ORDER BY name");
        let rows = store.engine.list(question).await.unwrap();
        let both = |row: &Row| (row.text(0).unwrap(), row.bytes(1).unwrap());
        rows.iter().map(both).collect::<Vec<_>>()
    };
    let mut dropped = store.engine.begin().await.unwrap();
    assert_eq!(dropped.run(insert("a", b"1")).await.unwrap(), 1);
    drop(dropped);
    assert_eq!(listed().await, []);
    let mut kept = store.engine.begin().await.unwrap();
    kept.run(insert("", b"")).await.unwrap();
    kept.run(insert("Ünsal 名", &[0, 255])).await.unwrap();
    let read = sql("SELECT bytes FROM own_secrets WHERE name = $1");
    let row = kept.find(read.bind("Ünsal 名")).await.unwrap().unwrap();
    assert_eq!(row.bytes(0).unwrap(), [0, 255]);
    assert_eq!(listed().await, []);
    kept.commit().await.unwrap();
    let expected = [
        (String::new(), vec![]),
        ("Ünsal 名".to_owned(), vec![0, 255]),
    ];
    assert_eq!(listed().await, expected);
    let twice = store.engine.run(insert("", b"")).await.unwrap_err();
    assert!(!twice.is_outage());
}

async fn overdrawn_budgets_outlive_the_process(place: Place) {
    use crate::attempts::Attempt;
    let attempt = Attempt {
        account: "anna@x",
        address: "1.2.3.4",
        device: None,
    };
    let before = place.open().await;
    for _ in 0..12 {
        let overdrawn = before.attempts.failed(attempt, NOW);
        before.keep_attempts(&overdrawn).await.unwrap();
    }
    let reopened = async |now| {
        let store = place.open().await;
        store.recall_attempts(now).await.unwrap();
        store.attempts.closed_for(attempt, NOW)
    };
    assert_eq!(reopened(NOW).await, Some(Duration::from_secs(4)));
    assert_eq!(reopened(NOW.plus(Duration::from_secs(900))).await, None);
    let whole = before.attempts.succeeded(attempt).unwrap();
    before.forget_attempts(&whole).await.unwrap();
    assert_eq!(reopened(NOW).await, None);
    before
        .keep_attempts(&before.attempts.failed(attempt, NOW))
        .await
        .unwrap();
    before
        .sweep(NOW.plus(Duration::from_secs(900)))
        .await
        .unwrap();
}

async fn a_request_is_answered_once(place: Place) {
    let store = place.open().await;
    assert!(put(&store, "r", "one").await);
    assert!(!put(&store, "r", "two").await);
    assert_eq!(store.code(ISSUER, "two").await.unwrap(), None);
    assert!(!store.answer("r", 0).await.unwrap());
    assert!(store.answer("other", NOW.seconds()).await.unwrap());
}

async fn of_many_redemptions_exactly_one_wins(place: Place) {
    // Two stores on one file are two processes.
    let stores = [Arc::new(place.open().await), Arc::new(place.open().await)];
    put(&stores[0], "r", "secret").await;
    let racers: Vec<_> = (0..16)
        .map(|turn| {
            let store = Arc::clone(&stores[turn % 2]);
            tokio::spawn(async move {
                store
                    .redeem(ISSUER, "secret", &code(), None, (NOW, KEEP))
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

async fn codes_belong_to_issuer_client_address_and_time(place: Place) {
    let store = place.open().await;
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
            .redeem(issuer, "secret", code, None, (now, KEEP))
            .await
            .unwrap();
        assert_eq!(redeemed, Redeemed::Gone);
    }
    assert_eq!(
        store
            .redeem(ISSUER, "secret", &code(), None, (NOW, KEEP))
            .await
            .unwrap(),
        Redeemed::Spent
    );
}

async fn sweeping_deletes_what_has_expired_and_nothing_else(place: Place) {
    let store = place.open().await;
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

/// A family that came of a code.
async fn begun(place: &Place) -> Store {
    let store = place.open().await;
    put(&store, "r", "code").await;
    let (code, family) = (code(), family("f"));
    let redeemed = store.redeem(ISSUER, "code", &code, Some(&family), (NOW, KEEP));
    assert_eq!(redeemed.await.unwrap(), Redeemed::Spent);
    store
}

async fn a_refresh_token_is_replaced_by_who_holds_the_good_one(place: Place) {
    let store = begun(&place).await;
    let rotate = async |old, token, now: Timestamp| {
        let next = Follows {
            token,
            sealed: "sealed",
            expires_at: now.seconds() + 1000,
        };
        store.rotate(ISSUER, "f", old, next, now).await.unwrap()
    };
    let kept = async |now| store.family(ISSUER, "f", now).await.unwrap();
    assert!(rotate("t0", "t1", NOW).await);
    assert!(!rotate("t0", "t9", NOW).await);
    let one = kept(NOW).await.unwrap();
    assert_eq!(
        (one.place("t1"), one.place("t0")),
        (refresh::Place::Current, refresh::Place::Previous)
    );
    assert_eq!(one.place("t9"), refresh::Place::Other);
    assert_eq!(
        (one.sealed.as_str(), one.created_at),
        ("sealed", NOW.seconds())
    );
    let late = NOW.plus(Duration::from_secs(999));
    assert!(rotate("t1", "t2", late).await);
    assert_eq!(kept(late).await.unwrap().place("t0"), refresh::Place::Other);
    let used = |token: &'static str| store.use_family(ISSUER, "f", token, late.seconds() + 5, late);
    assert!(used("t2").await.unwrap());
    assert!(!used("t1").await.unwrap());
    assert_eq!(kept(late.plus(Duration::from_secs(5))).await, None);
    let until = KEEP;
    store.end_family(ISSUER, "f", "g", until).await.unwrap();
    assert_eq!(kept(late).await, None);
    assert!(store.is_revoked(ISSUER, "g.word").await.unwrap());
    assert!(!store.is_revoked("https://other", "g.word").await.unwrap());
}

async fn a_code_that_comes_again_takes_back_what_it_brought(place: Place) {
    let store = begun(&place).await;
    let kept = store.family(ISSUER, "f", NOW).await.unwrap().unwrap();
    assert_eq!((kept.client.as_str(), &kept.grant), ("kubeflow", &grant()));
    assert!(!store.take_back("https://other", "code").await.unwrap());
    assert!(!store.take_back(ISSUER, "unknown").await.unwrap());
    put(&store, "s", "fresh").await;
    assert!(
        !store.take_back(ISSUER, "fresh").await.unwrap(),
        "nobody spent it"
    );
    assert!(!store.is_revoked(ISSUER, "g.word").await.unwrap());
    assert!(store.take_back(ISSUER, "code").await.unwrap());
    assert!(store.is_revoked(ISSUER, "g.word").await.unwrap());
    assert_eq!(store.family(ISSUER, "f", NOW).await.unwrap(), None);
    store.sweep(KEEP).await.unwrap();
    assert!(!store.is_revoked(ISSUER, "g.word").await.unwrap());
}

async fn a_sign_in_is_found_by_its_cookie_while_it_lives(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    let lifetimes = Lifetimes {
        absolute: Duration::from_secs(1000),
        idle: Duration::from_secs(100),
    };
    let mine = SignIn {
        sid: "sid".into(),
        person: grant().person,
    };
    let at = |seconds| NOW.plus(Duration::from_secs(seconds));
    let keep = async |cookie: &str, sign_in: &SignIn, now| {
        let kept = one.remember_sign_in(ISSUER, cookie, sign_in, lifetimes, now);
        kept.await.unwrap()
    };
    let find = async |cookie: &str, now| {
        let found = two.sign_in(ISSUER, cookie, lifetimes, now).await.unwrap();
        found.map(|one| one.sid)
    };
    assert!(keep("a", &mine, NOW).await);
    assert_eq!(find("a", at(99)).await.as_deref(), Some("sid"));
    assert_eq!(find("b", at(99)).await, None);
    assert_eq!(
        find("a", at(198)).await.as_deref(),
        Some("sid"),
        "its use counts"
    );
    // Signing in again changes the cookie.
    assert!(keep("b", &mine, at(200)).await);
    assert_eq!(
        (find("a", at(201)).await, find("b", at(201)).await.is_some()),
        (None, true)
    );
    // Not another person's.
    let mut other = mine.clone();
    other.person.user_id = "2".into();
    assert!(!keep("c", &other, at(202)).await);
    assert_eq!(
        (find("c", at(203)).await, find("b", at(203)).await.is_some()),
        (None, true)
    );
    assert_eq!(find("b", at(1300)).await, None);
    assert!(keep("d", &mine, at(1300)).await);
    let notices = [("c", "n".to_owned())];
    let ended = two.end_sign_in(ISSUER, &mine, &notices, &[], at(1301));
    ended.await.unwrap();
    let due = one.due_notices(ISSUER, 9, at(1301)).await.unwrap();
    assert_eq!((due.len(), due[0].client.as_str()), (1, "c"));
    assert!(one.take_notice(&due[0], at(1301)).await.unwrap());
    assert!(!two.take_notice(&due[0], at(1301)).await.unwrap());
    assert!(
        one.due_notices(ISSUER, 9, at(1330))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(one.due_notices(ISSUER, 9, at(1331)).await.unwrap().len(), 1);
    one.drop_notice("n").await.unwrap();
    assert!(
        one.due_notices(ISSUER, 9, at(1400))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(find("d", at(1301)).await, None);
}

async fn two_processes_share_the_first_key_and_rotate_once(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    let randomness = SeededRandomness::default();
    let (first, second) = tokio::join!(
        one.keys(ISSUER, RHYTHM.algorithm, &randomness, NOW),
        two.keys(ISSUER, RHYTHM.algorithm, &randomness, NOW)
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
            one.keys(ISSUER, RHYTHM.algorithm, &randomness, now),
            two.keys(ISSUER, RHYTHM.algorithm, &randomness, now)
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

async fn a_ring_is_replaced_only_by_who_read_it_last(place: Place) {
    let store = place.open().await;
    let randomness = SeededRandomness::default();
    store
        .keys(ISSUER, RHYTHM.algorithm, &randomness, NOW)
        .await
        .unwrap();
    let (version, ring) = store.ring(ISSUER).await.unwrap().unwrap();
    assert!(!store.create_ring(ISSUER, &ring, &randomness).await.unwrap());
    assert!(
        store
            .replace_ring(ISSUER, version, &ring, &randomness)
            .await
            .unwrap()
    );
    assert!(
        !store
            .replace_ring(ISSUER, version, &ring, &randomness)
            .await
            .unwrap()
    );
}

async fn damaged_keys_are_told_and_not_replaced(place: Place) {
    let store = place.open().await;
    let randomness = SeededRandomness::default();
    store
        .keys(ISSUER, RHYTHM.algorithm, &randomness, NOW)
        .await
        .unwrap();
    let damage = sql("UPDATE key_rings SET ring = '{}'");
    store.engine.run(damage).await.unwrap();
    store.forget_keys();
    assert!(matches!(
        store.keys(ISSUER, RHYTHM.algorithm, &randomness, NOW).await,
        Err(StoreError::Damaged(Damaged::Ring))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_went_away_is_an_outage_until_it_is_back() {
    let mut server = Server::start().await;
    let place = Place::Database(Box::new(server.database().await));
    let store = place.open().await;
    put(&store, "r", "secret").await;
    server.kill();
    assert!(store.check().await.unwrap_err().is_outage());
    let begun = store.answer("other", NOW.seconds()).await;
    assert!(begun.unwrap_err().is_outage());
    // One that is started meanwhile begins without it.
    let late = place.open().await;
    server.restart().await;
    for store in [&store, &late] {
        assert_eq!(store.code(ISSUER, "secret").await.unwrap(), Some(code()));
        assert!(store.is_answered("r").await.unwrap());
    }
}

async fn a_word_is_new_once_until_it_expires(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    let word = |text: &str| crate::clients::Once {
        word: text.into(),
        expires_at: NOW.seconds() + 60,
    };
    let first = word("a");
    let (a, b) = tokio::join!(one.first_time(&first, NOW), two.first_time(&first, NOW));
    assert!(a.unwrap() ^ b.unwrap());
    assert!(one.first_time(&word("b"), NOW).await.unwrap());
    let late = NOW.plus(Duration::from_secs(60));
    assert!(one.first_time(&word("a"), late).await.unwrap());
}

async fn an_operator_can_have_the_next_key_sign(place: Place) {
    let store = place.open().await;
    let randomness = SeededRandomness::default();
    assert_eq!(
        store.want_rotation(ISSUER, &randomness).await.unwrap(),
        None
    );
    store
        .turn_keys(ISSUER, RHYTHM, &randomness, NOW)
        .await
        .unwrap();
    assert_eq!(store.issuers().await.unwrap(), [ISSUER]);
    let wanted = store.want_rotation(ISSUER, &randomness).await.unwrap();
    let wanted = wanted.unwrap();
    let ready = wanted.ready_at.unwrap();
    assert_eq!(ready, NOW.plus(crate::keys::CACHED));
    let signs = async |now| {
        store
            .turn_keys(ISSUER, RHYTHM, &randomness, now)
            .await
            .unwrap();
        let keys = store.keys(ISSUER, RHYTHM.algorithm, &randomness, now).await;
        keys.unwrap().signer.kid().to_owned()
    };
    assert_eq!(signs(NOW).await, wanted.signs);
    assert_eq!(Some(signs(ready).await), wanted.follows);
}
