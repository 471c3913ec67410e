//! People of the storage.

use model::names::Secret;

use super::*;
use crate::users::{GivenPassword, NewUser, UserFault};

fn stored(id: &str, email: &str) -> StoredUser {
    StoredUser {
        id: id.into(),
        version: 1,
        details: UserDetails {
            email: email.into(),
            name: "Ünsal 名".into(),
            groups: vec!["ml".into()],
            ..UserDetails::default()
        },
        password: None,
        one_time: false,
        enabled: true,
        created_at: NOW,
        changed_at: NOW,
    }
}

pub(super) async fn are_kept_and_listed(place: Place) {
    let store = place.open().await;
    for (id, email) in [
        ("2", "berg@example.com"),
        ("1", "Anna@Example.com"),
        ("3", "zoe@x"),
    ] {
        assert!(store.insert_user(&stored(id, email)).await.unwrap());
    }
    // The id is somebody's, and the e-mail in whatever case.
    assert!(
        !store
            .insert_user(&stored("1", "new@example.com"))
            .await
            .unwrap()
    );
    assert!(
        !store
            .insert_user(&stored("4", "ANNA@example.com"))
            .await
            .unwrap()
    );
    let anna = store
        .user_by_login("aNNa@example.com")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(anna, stored("1", "Anna@Example.com"));
    assert_eq!(store.user_by_id("1").await.unwrap(), Some(anna));
    assert_eq!(store.user_by_id("9").await.unwrap(), None);
    let listed = async |after: &str, at_most| {
        let people = store.users(after, at_most).await.unwrap();
        people.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(listed("", 2).await, ["1", "2"]);
    assert_eq!(listed("Berg@example.com", 2).await, ["3"]);
    assert!(store.delete_user("2").await.unwrap());
    assert!(!store.delete_user("2").await.unwrap());
    assert_eq!(listed("", 9).await, ["1", "3"]);
}

pub(super) async fn are_changed_by_who_read_them_last(place: Place) {
    let store = place.open().await;
    for (id, email) in [("1", "anna@x"), ("2", "berg@x")] {
        store.insert_user(&stored(id, email)).await.unwrap();
    }
    let read = store.user_by_id("1").await.unwrap().unwrap();
    let mut renamed = read.clone();
    renamed.details.email = "Anna.Berg@x".into();
    assert!(store.replace_user(&renamed).await.unwrap());
    assert!(!store.replace_user(&read).await.unwrap());
    let again = store.user_by_login("anna.berg@x").await.unwrap().unwrap();
    assert_eq!((again.version, again.id.as_str()), (2, "1"));
    assert_eq!(store.user_by_login("anna@x").await.unwrap(), None);
    // Nobody takes another's e-mail.
    let mut thief = again.clone();
    thief.details.email = "BERG@x".into();
    assert!(!store.replace_user(&thief).await.unwrap());
    let hashes = store.dearest_hashes().await.unwrap();
    assert_eq!((hashes.bcrypt_cost, hashes.argon2id), (None, true));
    for (id, cost) in [("3", 10), ("4", 12)] {
        let hash = crate::users::hash::PasswordHash::dummy_bcrypt(cost).unwrap();
        let with_hash = StoredUser {
            password: Some(hash),
            ..stored(id, &format!("{id}@x"))
        };
        store.insert_user(&with_hash).await.unwrap();
    }
    assert_eq!(store.dearest_hashes().await.unwrap().bcrypt_cost, Some(12));
}

pub(super) async fn are_changed_by_many_at_once(place: Place) {
    let stores = [Arc::new(place.open().await), Arc::new(place.open().await)];
    let new = NewUser {
        email: "anna@x".into(),
        ..NewUser::default()
    };
    let password = GivenPassword::OneTime(Secret::new("k7mq-2xwd-9fhj-c4tp"));
    let randomness = SeededRandomness::default();
    stores[0]
        .add_user(new, password, &randomness, NOW)
        .await
        .unwrap();
    let changes: Vec<_> = (0..12)
        .map(|turn| {
            let store = Arc::clone(&stores[turn % 2]);
            tokio::spawn(async move {
                let join = vec![format!("group-{turn}")];
                loop {
                    match store.regroup_user("anna@x", join.clone(), &[]).await {
                        Err(UserFault::Busy) => {}
                        done => return done.map(|_| ()),
                    }
                }
            })
        })
        .collect();
    for change in changes {
        change.await.unwrap().unwrap();
    }
    let anna = stores[1].user("anna@x").await.unwrap();
    assert_eq!(anna.groups.len(), 12);
}
