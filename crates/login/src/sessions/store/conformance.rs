//! What every engine must do: one suite, run on each of them.

use std::collections::BTreeSet;

use super::servers::{Server, store_at};
use super::*;
use crate::fixture::{NOW, SeededRandomness};

pub(crate) fn record(email: &str) -> Record {
    Record {
        login: "auth/proxy".into(),
        issuer: "https://issuer.example".into(),
        user: format!("sub of {email}"),
        sid: None,
        email: email.into(),
        groups: vec!["a".into(), "b \" c".into()],
        preferred_username: Some("ä\u{1F511}".into()),
        id_token: "id.to.ken".into(),
        access_token: Some("access".into()),
        refresh_token: None,
        tokens: None,
        created: NOW,
        expires: NOW.plus(DAY),
    }
}

const DAY: Duration = Duration::from_secs(86_400);

fn name(number: u8) -> Name {
    let mut name = [0; 32];
    name[0] = number;
    name[31] = 0xff;
    name
}

/// Two processes on one store, which has nobody yet.
pub(crate) struct Pair {
    pub(crate) here: Store,
    pub(crate) there: Store,
}

struct Suite {
    here: Store,
    there: Store,
    random: SeededRandomness,
}

/// Runs the suite.
pub(crate) async fn run(pair: Pair) {
    let Pair { here, there } = pair;
    let suite = Suite {
        here,
        there,
        random: SeededRandomness::default(),
    };
    suite.keeps_and_forgets().await;
    suite.rewrites_once().await;
    suite.lets_one_renew().await;
    suite.ends_by_what_issuers_say().await;
    suite.lists_in_order().await;
    suite.touches_and_sweeps().await;
    suite.tells_of_changes().await;
    suite
        .tells_of_changes_in_order_however_many_make_them()
        .await;
}

impl Suite {
    async fn insert(&self, number: u8, record: &Record) {
        let expires = record.expires;
        let name = name(number);
        let inserted = self.here.insert(&name, record, expires, &self.random);
        inserted.await.unwrap();
    }

    async fn names(&self) -> Vec<u8> {
        let all = self.there.list(&[], 1000).await.unwrap();
        all.iter().map(|entry| entry.name[0]).collect()
    }

    async fn empty(&self) {
        self.here.delete_all(NOW).await.unwrap();
        assert!(self.names().await.is_empty());
    }

    async fn keeps_and_forgets(&self) {
        let mut record = record("a@example.com");
        record.sid = Some("s1".into());
        record.refresh_token = Some("refresh".repeat(500));
        self.insert(1, &record).await;
        let found = self.there.find(&name(1)).await.unwrap().unwrap();
        assert_eq!(found.record, record);
        assert_eq!((found.version, found.seen), (1, NOW));
        assert!(self.there.find(&name(2)).await.unwrap().is_none());
        assert!(self.there.delete(&name(1), NOW).await.unwrap());
        assert!(!self.there.delete(&name(1), NOW).await.unwrap());
        assert!(self.here.find(&name(1)).await.unwrap().is_none());
        // What is ended leaves no trace that it is found by.
        let by_sid = self.here.list_by(&record.by_sid().unwrap()).await.unwrap();
        assert!(by_sid.is_empty());
    }

    async fn rewrites_once(&self) {
        let before = record("a@example.com");
        self.insert(1, &before).await;
        let rewritten = |text: &str| {
            let mut record = before.clone();
            record.id_token = text.into();
            record.email = "new@example.com".into();
            record
        };
        let times = (NOW.plus(Duration::from_secs(60)), NOW.plus(2 * DAY));
        let (one, two) = (rewritten("one"), rewritten("two"));
        let key = name(1);
        let (here, there) = tokio::join!(
            self.here.replace(&key, 1, &one, times, &self.random),
            self.there.replace(&key, 1, &two, times, &self.random),
        );
        let (here, there) = (here.unwrap(), there.unwrap());
        let wrote = match (here, there) {
            (Some(2), None) => one,
            (None, Some(2)) => two,
            other => panic!("{other:?}"),
        };
        let found = self.here.find(&name(1)).await.unwrap().unwrap();
        assert_eq!((found.record, found.version), (wrote, 2));
        assert_eq!(found.seen, times.0);
        let by = |email: &str| Whose::Email(email.into());
        assert!(
            self.here
                .list_by(&by("a@example.com"))
                .await
                .unwrap()
                .is_empty()
        );
        let moved = self.here.list_by(&by("New@example.com")).await.unwrap();
        assert_eq!(moved.len(), 1);
        assert_eq!(moved[0].expires, times.1);
        // Who lost the race for it has not made it anybody else's.
        let stranger = record("stranger@example.com");
        let lost = self.here.replace(&key, 1, &stranger, times, &self.random);
        assert_eq!(lost.await.unwrap(), None);
        let strangers = by("stranger@example.com");
        assert!(self.here.list_by(&strangers).await.unwrap().is_empty());
        let ended = self.here.delete_by(&strangers, NOW).await.unwrap();
        assert_eq!(ended, [] as [Name; 0]);
        assert!(self.here.find(&key).await.unwrap().is_some());
        // An ended session does not come back by it.
        self.there.delete(&name(1), NOW).await.unwrap();
        let late = self.here.replace(&key, 2, &before, times, &self.random);
        assert_eq!(late.await.unwrap(), None);
        assert!(self.here.find(&name(1)).await.unwrap().is_none());
        assert!(
            self.here
                .list_by(&by("a@example.com"))
                .await
                .unwrap()
                .is_empty()
        );
    }

    async fn lets_one_renew(&self) {
        let span = Duration::from_secs(20);
        let at = |seconds| NOW.plus(Duration::from_secs(seconds));
        let (key, random) = (name(1), &self.random);
        let (here, there) = tokio::join!(
            self.here.lock(&key, NOW, span, random),
            self.there.lock(&key, NOW, span, random),
        );
        let mut locks: Vec<_> = [here.unwrap(), there.unwrap()]
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(locks.len(), 1);
        assert!(
            self.there
                .lock(&name(2), NOW, span, random)
                .await
                .unwrap()
                .is_some()
        );
        assert!(
            self.there
                .lock(&key, at(1), span, random)
                .await
                .unwrap()
                .is_none()
        );
        let lock = locks.pop().unwrap();
        self.here.unlock(lock).await.unwrap();
        let second = self
            .there
            .lock(&key, at(1), span, random)
            .await
            .unwrap()
            .unwrap();
        // Another's right is not given back with one that is over.
        let stale = RenewalLock {
            name: key,
            holder: [0; 16],
        };
        self.here.unlock(stale).await.unwrap();
        assert!(
            self.here
                .lock(&key, at(2), span, random)
                .await
                .unwrap()
                .is_none()
        );
        self.there.unlock(second).await.unwrap();
        let third = self.here.lock(&key, at(3), span, random).await.unwrap();
        self.here.unlock(third.unwrap()).await.unwrap();
    }

    async fn ends_by_what_issuers_say(&self) {
        self.empty().await;
        let session = |email: &str, sid: &str| {
            let mut record = record(email);
            record.sid = Some(sid.into());
            record
        };
        self.insert(1, &session("a@example.com", "s1")).await;
        self.insert(2, &session("a@example.com", "s2")).await;
        self.insert(3, &session("b@example.com", "s3")).await;
        let mut elsewhere = session("a@example.com", "s1");
        elsewhere.issuer = "https://other.example".into();
        self.insert(4, &elsewhere).await;

        let sid = session("", "s1").by_sid().unwrap();
        assert_eq!(self.there.delete_by(&sid, NOW).await.unwrap(), [name(1)]);
        assert_eq!(self.names().await, [2, 3, 4]);
        let subject = session("a@example.com", "").by_subject();
        assert_eq!(
            self.there.delete_by(&subject, NOW).await.unwrap(),
            [name(2)]
        );
        assert_eq!(self.names().await, [3, 4]);
        let email = Whose::Email("A@example.COM".into());
        assert_eq!(self.there.delete_by(&email, NOW).await.unwrap(), [name(4)]);
        assert_eq!(
            self.there.delete_by(&email, NOW).await.unwrap(),
            [] as [Name; 0]
        );
        assert_eq!(self.names().await, [3]);
        assert_eq!(self.there.delete_all(NOW).await.unwrap(), 1);
        assert!(self.names().await.is_empty());
    }

    async fn lists_in_order(&self) {
        self.empty().await;
        for number in (1..=25).rev() {
            let email = format!("{}@example.com", number % 2);
            self.insert(number, &record(&email)).await;
        }
        let mut seen = Vec::new();
        let mut after = Vec::new();
        loop {
            let page = self.there.list(&after, 10).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.name.to_vec();
            seen.extend(page.iter().map(|entry| entry.name[0]));
        }
        assert_eq!(seen, (1..=25).collect::<Vec<u8>>());
        let whose = Whose::Email("1@example.com".into());
        let mine = self.there.list_by(&whose);
        let mine: BTreeSet<u8> = mine.await.unwrap().iter().map(|one| one.name[0]).collect();
        assert_eq!(mine, (1..=25).filter(|number| number % 2 == 1).collect());
        self.empty().await;
    }

    async fn touches_and_sweeps(&self) {
        let at = |seconds| NOW.plus(Duration::from_secs(seconds));
        let record = record("a@example.com");
        for name in (1..=3).map(name) {
            let inserted = self.here.insert(&name, &record, at(600), &self.random);
            inserted.await.unwrap();
        }
        self.here.touch(&name(1), at(300), at(900)).await.unwrap();
        // Late news changes nothing; news of a session that is gone bring none back.
        self.there.touch(&name(1), at(200), at(800)).await.unwrap();
        self.there.touch(&name(9), at(200), at(800)).await.unwrap();
        let entries = self.there.list(&[], 10).await.unwrap();
        let times: Vec<_> = entries
            .iter()
            .map(|entry| (entry.name[0], entry.stored.seen, entry.expires))
            .collect();
        let rest = |number| (number, NOW, at(600));
        assert_eq!(times, [(1, at(300), at(900)), rest(2), rest(3)]);
        assert_eq!(entries[0].stored.version, 1);
        self.there.sweep(at(599)).await.unwrap();
        assert_eq!(self.names().await, [1, 2, 3]);
    }

    async fn tells_of_changes(&self) {
        self.empty().await;
        for number in 1..=4 {
            self.insert(number, &record("a@example.com")).await;
        }
        let start = self.there.cursor().await.unwrap();
        assert_eq!(self.heard(start).await, (vec![], start));
        self.here.delete(&name(1), NOW).await.unwrap();
        let (times, second) = ((NOW, NOW.plus(DAY)), name(2));
        let again = record("b@example.com");
        let replaced = self.here.replace(&second, 1, &again, times, &self.random);
        replaced.await.unwrap().unwrap();
        let (names, middle) = self.heard(start).await;
        assert_eq!(names, [1, 2]);
        assert!(middle > start);
        let whose = Whose::Email("a@example.com".into());
        self.here.delete_by(&whose, NOW).await.unwrap();
        let (names, end) = self.heard(middle).await;
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), [3, 4].into());
        assert_eq!(self.heard(end).await, (vec![], end));
        let (names, _) = self.heard(start).await;
        assert_eq!(names.len(), 4);
        // All at once.
        self.here.delete_all(NOW).await.unwrap();
        let changes = self.there.changes(end).await.unwrap();
        let Changes::Unknown(end) = changes else {
            panic!("{changes:?}");
        };
        assert_eq!(self.heard(end).await, (vec![], end));
    }

    async fn heard(&self, cursor: Cursor) -> (Vec<u8>, Cursor) {
        match self.there.changes(cursor).await.unwrap() {
            Changes::Of(names, next) => (names.iter().map(|name| name[0]).collect(), next),
            unknown @ Changes::Unknown(_) => panic!("{unknown:?}"),
        }
    }

    async fn tells_of_changes_in_order_however_many_make_them(&self) {
        let mut cursor = self.there.cursor().await.unwrap();
        let ending = async {
            for chunk in (1..=120_u8).collect::<Vec<_>>().chunks(4) {
                let keys: Vec<Name> = chunk.iter().map(|number| name(*number)).collect();
                let ended = tokio::join!(
                    self.here.delete(&keys[0], NOW),
                    self.there.delete(&keys[1], NOW),
                    self.here.delete(&keys[2], NOW),
                    self.there.delete(&keys[3], NOW),
                );
                ended.0.and(ended.1).and(ended.2).and(ended.3).unwrap();
            }
        };
        let mut heard = BTreeSet::new();
        tokio::pin!(ending);
        let mut done = false;
        loop {
            let (names, next) = self.heard(cursor).await;
            assert!(next >= cursor);
            cursor = next;
            heard.extend(names);
            if done {
                break;
            }
            tokio::select! {
                () = &mut ending => done = true,
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(heard, (1..=120).collect());
    }
}

#[tokio::test]
async fn sqlite_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions.db");
    run(Pair {
        here: Store::open(&path).await.unwrap(),
        there: Store::open(&path).await.unwrap(),
    })
    .await;
}

async fn pair(server: &Server) -> Pair {
    Pair {
        here: server.store().await,
        there: server.store().await,
    }
}

#[tokio::test]
async fn postgres_conforms() {
    let server = Server::postgres().await;
    run(pair(&server).await).await;
}

#[tokio::test]
async fn redis_conforms() {
    let server = Server::redis(&[]).await;
    run(pair(&server).await).await;
}

#[tokio::test]
async fn postgres_and_redis_conform_over_tls() {
    let (postgres, redis) = tokio::join!(Server::postgres_tls(), Server::redis_tls());
    run(pair(&postgres).await).await;
    run(pair(&redis).await).await;
    // A certificate that nobody here trusts is no outage, which would pass.
    let stranger = store_at(&redis.address_of_strangers()).await;
    let stranger = match stranger {
        Ok(store) => store.cursor().await.err(),
        Err(fault) => Some(fault),
    };
    assert!(stranger.is_some());
}

#[tokio::test]
async fn a_redis_cluster_conforms() {
    let (_servers, address) = Server::cluster().await;
    // Its nodes learn of each other before it answers.
    let mut here = store_at(&address).await.unwrap();
    for _ in 0..200 {
        if here.ready().await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        here = store_at(&address).await.unwrap();
    }
    let there = store_at(&address).await.unwrap();
    run(Pair { here, there }).await;
}

#[tokio::test]
async fn what_a_master_had_its_successor_has() {
    let mut master = Server::redis(&[]).await;
    let replica = master.replica().await;
    let sentinel = master.sentinel().await;
    let both = pair(&sentinel).await;
    let (key, random) = (name(1), SeededRandomness::default());
    run(both).await;
    let store = sentinel.store().await;
    let kept = record("a@example.com");
    store
        .insert(&key, &kept, kept.expires, &random)
        .await
        .unwrap();
    // Replication is not waited for by anybody; here it has to be through.
    let copy = replica.store().await;
    let mut tries = 0;
    while copy.find(&key).await.unwrap().is_none() {
        tries += 1;
        assert!(tries < 500);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    master.kill();
    let mut found = store.find(&key).await;
    for _ in 0..600 {
        if found.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        found = store.find(&key).await;
    }
    assert_eq!(found.unwrap().unwrap().record, kept);
    // It takes writes.
    let mut deleted = store.delete(&key, NOW).await;
    for _ in 0..600 {
        if deleted.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        deleted = store.delete(&key, NOW).await;
    }
    assert!(store.find(&key).await.unwrap().is_none());
}
