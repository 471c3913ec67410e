use std::sync::Arc;

use model::names::Secret;
use tempfile::TempDir;

use super::*;
use crate::fixture::{self, PASSWORD, SeededRandomness};

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const GOOD: &str = "correct horse battery";

struct Bench {
    store: Store,
    randomness: SeededRandomness,
    _dir: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self {
            store: Store::open(
                &dir.path().join("provider.db"),
                &SeededRandomness::default(),
            )
            .await
            .unwrap(),
            randomness: SeededRandomness::default(),
            _dir: dir,
        }
    }

    async fn add(&self, email: &str, password: GivenPassword) -> Result<User, UserFault> {
        let new = NewUser {
            email: email.into(),
            email_verified: true,
            name: "Anna Berg".into(),
            groups: vec!["ml".into()],
            ..NewUser::default()
        };
        self.store
            .add_user(new, password, &self.randomness, NOW)
            .await
    }

    async fn check(&self, login: &str, password: &str) -> Checked {
        let configured = fixture::settings().passwords;
        let checked = self.store.check_password(
            &configured,
            login,
            password,
            &self.randomness,
            NOW.seconds(),
        );
        checked.await.unwrap()
    }

    async fn hash_of(&self, email: &str) -> String {
        let stored = self.store.user_by_login(email).await.unwrap().unwrap();
        stored.password.unwrap().as_str().to_owned()
    }
}

fn lasting(text: &str) -> GivenPassword {
    GivenPassword::Lasting(Secret::new(text))
}

#[tokio::test]
async fn people_sign_in_with_their_own_password() {
    let bench = Bench::new().await;
    let anna = bench.add("Anna@Example.com", lasting(GOOD)).await.unwrap();
    assert_eq!((anna.id.len(), anna.password), (36, PasswordState::Own));
    let Checked::Person(person) = bench.check("anna@example.COM", GOOD).await else {
        panic!();
    };
    assert_eq!(
        (person.user_id, person.connector.as_str()),
        (anna.id, "local")
    );
    assert_eq!(
        (person.email.as_str(), person.groups),
        ("Anna@Example.com", vec!["ml".to_owned()])
    );
    assert!(matches!(
        bench.check("anna@example.com", "wrong").await,
        Checked::Nobody
    ));
    assert!(matches!(
        bench.check("nobody@example.com", GOOD).await,
        Checked::Nobody
    ));
    assert!(matches!(
        bench.check("user@example.com", PASSWORD).await,
        Checked::Person(_)
    ));
}

#[tokio::test]
async fn a_configured_person_shadows_one_of_the_storage() {
    let bench = Bench::new().await;
    bench.add("user@example.com", lasting(GOOD)).await.unwrap();
    assert!(matches!(
        bench.check("user@example.com", GOOD).await,
        Checked::Nobody
    ));
    let Checked::Person(person) = bench.check("user@example.com", PASSWORD).await else {
        panic!();
    };
    assert_eq!(person.user_id, "15841185641784");
}

#[tokio::test]
async fn hashes_of_other_programs_are_replaced_at_the_next_sign_in() {
    let bench = Bench::new().await;
    let old = bcrypt::hash("old", 10).unwrap();
    let given = GivenPassword::Hash(Secret::new(old.as_bytes()));
    bench.add("anna@x", given).await.unwrap();
    assert_eq!(bench.hash_of("anna@x").await, old);
    assert!(matches!(
        bench.check("anna@x", "wrong").await,
        Checked::Nobody
    ));
    assert_eq!(bench.hash_of("anna@x").await, old);
    assert!(matches!(
        bench.check("anna@x", "old").await,
        Checked::Person(_)
    ));
    let new = bench.hash_of("anna@x").await;
    assert!(new.starts_with("$argon2id$"), "{new}");
    assert!(matches!(
        bench.check("anna@x", "old").await,
        Checked::Person(_)
    ));
    assert_eq!(bench.hash_of("anna@x").await, new);
    let bad = GivenPassword::Hash(Secret::new("$2b$04$x"));
    assert!(matches!(
        bench.add("b@x", bad).await,
        Err(UserFault::Hash(_))
    ));
}

#[tokio::test]
async fn who_is_disabled_or_without_password_does_not_sign_in() {
    let bench = Bench::new().await;
    bench.add("anna@x", lasting(GOOD)).await.unwrap();
    bench.store.enable_user("ANNA@x", false).await.unwrap();
    assert!(matches!(
        bench.check("anna@x", GOOD).await,
        Checked::Disabled
    ));
    // Only who knows the password is told so.
    assert!(matches!(
        bench.check("anna@x", "wrong").await,
        Checked::Nobody
    ));
    bench.store.enable_user("anna@x", true).await.unwrap();
    let Checked::Person(person) = bench.check("anna@x", GOOD).await else {
        panic!();
    };
    let now = async |person| bench.store.person_now(&[], person).await.unwrap();
    bench
        .store
        .regroup_user("anna@x", vec!["ops".into()], &["ml".into()])
        .await
        .unwrap();
    assert_eq!(now(&person).await.unwrap().groups, ["ops"]);
    bench.store.enable_user("anna@x", false).await.unwrap();
    assert_eq!(now(&person).await, None);
    bench.store.remove_user("anna@x").await.unwrap();
    assert_eq!(now(&person).await, None);
    assert!(matches!(
        bench.store.remove_user("anna@x").await,
        Err(UserFault::Unknown)
    ));
    bench.add("b@x", GivenPassword::None).await.unwrap();
    assert!(matches!(bench.check("b@x", "").await, Checked::Nobody));
}

#[tokio::test]
async fn a_password_for_one_time_is_changed_first() {
    let bench = Bench::new().await;
    let secret = one_time_password(&bench.randomness);
    let text = secret.expose_str().unwrap().to_owned();
    assert_eq!((text.len(), text.matches('-').count()), (19, 3));
    bench
        .add("anna@x", GivenPassword::OneTime(secret))
        .await
        .unwrap();
    let Checked::OneTime(user) = bench.check("anna@x", &text).await else {
        panic!();
    };
    let choose = async |password: &str| {
        let user = (*user).clone();
        bench
            .store
            .choose_password(user, password, &bench.randomness, NOW)
            .await
    };
    for (bad, why) in [
        (text.as_str(), Weakness::Same),
        ("short", Weakness::Short(8)),
        ("Anna Berg", Weakness::Guessable),
    ] {
        let Err(UserFault::Weak(weakness)) = choose(bad).await else {
            panic!("{bad}");
        };
        assert_eq!(weakness, why);
    }
    assert!(choose(GOOD).await.unwrap());
    assert!(matches!(
        bench.check("anna@x", GOOD).await,
        Checked::Person(_)
    ));
    assert!(matches!(
        bench.check("anna@x", &text).await,
        Checked::Nobody
    ));
    // The same form again: somebody was first.
    assert!(!choose("another good horse").await.unwrap());
}

#[tokio::test]
async fn what_an_administrator_gives_is_checked() {
    let bench = Bench::new().await;
    for bad in [
        "", "anna", "@x", "anna@", "a b@x", "a@x,b@y", "a\n@x", "<a@x>",
    ] {
        let fault = bench.add(bad, lasting(GOOD)).await;
        assert!(matches!(fault, Err(UserFault::Email)), "{bad}");
    }
    let weak = bench.add("a@x", lasting("password")).await;
    assert!(matches!(weak, Err(UserFault::Weak(Weakness::Guessable))));
    bench.add("a@x", lasting(GOOD)).await.unwrap();
    assert!(matches!(
        bench.add("A@x", lasting(GOOD)).await,
        Err(UserFault::Taken)
    ));
    for bad in ["", " ", "a,b", "a\nb"] {
        let joined = bench.store.regroup_user("a@x", vec![bad.into()], &[]).await;
        assert!(matches!(joined, Err(UserFault::Group)), "{bad}");
    }
    let reset = async |email: &str| {
        let store = &bench.store;
        store
            .reset_password(email, lasting("another good horse"), &bench.randomness, NOW)
            .await
    };
    assert!(matches!(reset("b@x").await, Err(UserFault::Unknown)));
    reset("a@x").await.unwrap();
    assert!(matches!(
        bench.check("a@x", "another good horse").await,
        Checked::Person(_)
    ));
}

/// What an answer costs is which hashes are computed; it is counted, not timed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_people_cost_as_much_as_known_ones() {
    let bench = Bench::new().await;
    let stored = Arc::new(bench);
    let old = bcrypt::hash("old", 12).unwrap();
    let given = GivenPassword::Hash(Secret::new(old.as_bytes()));
    stored.add("anna@x", given).await.unwrap();
    stored.add("berg@x", lasting(GOOD)).await.unwrap();
    let dearest = stored.store.dearest_hashes().await.unwrap();
    assert_eq!((dearest.bcrypt_cost, dearest.argon2id), (Some(12), true));
    let dummies = check::dummies(&fixture::settings().passwords, dearest).unwrap();
    let costs: Vec<_> = dummies.iter().map(PasswordHash::bcrypt_cost).collect();
    assert_eq!(costs, [Some(12), None]);
    let counted = |own: Option<&PasswordHash>| check::hashes_of_a_refusal(own, &dummies);
    let bcrypt = PasswordHash::parse(&old).unwrap();
    let argon2id = PasswordHash::dummy_argon2id().unwrap();
    for own in [None, Some(&bcrypt), Some(&argon2id)] {
        let mut costs = counted(own);
        costs.sort();
        assert_eq!(costs, [None, Some(12)]);
    }
    let alone = check::dummies(&[], crate::storage::Dearest::default()).unwrap();
    assert_eq!(alone.len(), 1);
}
