//! Conversations between two ends in one process.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicI32, Ordering};

use tokio::net::UnixStream;

use super::giving::Holdings;
use super::wire::{AT_ONCE, Wire};
use super::*;

struct Kept {
    sockets: Vec<(Role, TcpListener)>,
    lock: File,
    sharers: AtomicI32,
}

impl Kept {
    fn with(state: &Path, sockets: usize) -> Self {
        let socket = || TcpListener::bind("127.0.0.1:0").unwrap();
        let mut all: Vec<_> = (0..sockets)
            .map(|at| (Role::Gateway(u16::try_from(at).unwrap()), socket()))
            .collect();
        all.push((Role::Admin, socket()));
        Self {
            sockets: all,
            lock: File::create(state.join("lock")).unwrap(),
            sharers: AtomicI32::new(0),
        }
    }

    fn sharers(&self) -> i32 {
        self.sharers.load(Ordering::SeqCst)
    }
}

impl Holdings for Kept {
    fn sockets(&self) -> io::Result<Vec<(Role, TcpListener)>> {
        let sockets = self.sockets.iter();
        sockets
            .map(|(role, socket)| Ok((*role, socket.try_clone()?)))
            .collect()
    }

    fn lock(&self) -> &File {
        &self.lock
    }

    fn share(&self) {
        self.sharers.fetch_add(1, Ordering::SeqCst);
    }

    fn unshare(&self) {
        self.sharers.fetch_sub(1, Ordering::SeqCst);
    }
}

fn address(socket: &TcpListener) -> SocketAddr {
    socket.local_addr().unwrap()
}

#[tokio::test]
async fn everything_is_passed_and_the_end_of_the_old_process_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    // More than go with one line.
    let holdings = Kept::with(root.path(), 2 * AT_ONCE + 3);
    let giver = Giver::listen(root.path()).unwrap();
    let mode = std::fs::metadata(path(root.path())).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let ask = async {
        let mut asked = ask(root.path()).await.unwrap().unwrap();
        assert_eq!(holdings.sharers(), 1);
        assert_eq!(asked.sockets.len(), 2 * AT_ONCE + 3);
        for (at, one) in asked.sockets.iter().enumerate() {
            assert!(matches!(one.purpose, Purpose::Gateway(port) if usize::from(port) == at));
            assert_eq!(address(&one.socket), address(&holdings.sockets[at].1));
        }
        let admin = &holdings.sockets.last().unwrap().1;
        assert_eq!(asked.admin.as_ref().map(address), Some(address(admin)));
        holdings.lock.try_lock().unwrap();
        // The same open file has the lock already.
        asked.lock.try_lock().unwrap();
        asked.predecessor.serving().await.unwrap();
        asked.predecessor
    };
    let (successor, predecessor) = tokio::join!(giver.succeeded(&holdings), ask);
    assert_eq!(holdings.sharers(), 1, "as long as the old process lives");
    let mut ended = tokio::spawn(predecessor.ended());
    let early = tokio::time::timeout(Duration::from_millis(20), &mut ended).await;
    assert!(early.is_err(), "the old process is still there");
    drop(successor);
    ended.await.unwrap();
}

#[tokio::test]
async fn a_successor_that_goes_away_changes_nothing_and_the_next_one_succeeds() {
    let root = tempfile::tempdir().unwrap();
    let holdings = Kept::with(root.path(), 2);
    let giver = Giver::listen(root.path()).unwrap();
    let ask = async {
        let first = ask(root.path()).await.unwrap().unwrap();
        assert_eq!(holdings.sharers(), 1);
        let second = ask(root.path()).await;
        let Err(HandOverFault::Refused(why)) = second else {
            panic!("two at once");
        };
        assert!(why.contains("at this moment"), "{why}");
        drop(first);
        let mut third = loop {
            // The other end notices in its own time.
            if let Ok(asked) = ask(root.path()).await {
                break asked.unwrap();
            }
        };
        assert_eq!(holdings.sharers(), 1, "the first is not counted any more");
        third.predecessor.serving().await.unwrap();
        third
    };
    let (_successor, _predecessor) = tokio::join!(giver.succeeded(&holdings), ask);
    assert_eq!(holdings.sharers(), 1);
}

#[tokio::test]
async fn whoever_speaks_another_version_or_nonsense_gets_nothing() {
    let root = tempfile::tempdir().unwrap();
    let holdings = Kept::with(root.path(), 1);
    let giver = Giver::listen(root.path()).unwrap();
    let talk = async {
        for said in [
            Said::TakeOver {
                version: VERSION + 1,
                pid: 1,
            },
            Said::Serving,
        ] {
            let mut wire = Wire::new(UnixStream::connect(path(root.path())).await.unwrap());
            wire.say(&said, &[]).await.unwrap();
            let answer = wire.hear().await.unwrap();
            assert!(matches!(answer, Some(Said::Refused { .. })), "{answer:?}");
            assert!(wire.descriptors.is_empty());
            assert!(wire.hear().await.unwrap().is_none());
        }
    };
    tokio::select! {
        _ = giver.succeeded(&holdings) => panic!("nobody succeeds"),
        () = talk => {}
    }
    assert_eq!(holdings.sharers(), 0);
}

#[tokio::test]
async fn sessions_are_shared_with_a_refused_successor_until_it_has_ended() {
    let root = tempfile::tempdir().unwrap();
    let holdings = Kept::with(root.path(), 1);
    let giver = Giver::listen(root.path()).unwrap();
    let ask = Said::TakeOver {
        version: VERSION,
        pid: 1,
    };
    let talk = async {
        let mut wire = Wire::new(UnixStream::connect(path(root.path())).await.unwrap());
        wire.say(&ask, &[]).await.unwrap();
        while !matches!(wire.hear().await.unwrap(), Some(Said::Passed)) {}
        // It has everything and does not say that it serves.
        wire.say(&ask, &[]).await.unwrap();
        let answer = wire.hear().await.unwrap();
        assert!(matches!(answer, Some(Said::Refused { .. })), "{answer:?}");
        tokio::task::yield_now().await;
        assert_eq!(holdings.sharers(), 1, "it may serve");
        drop(wire);
        while holdings.sharers() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = giver.succeeded(&holdings) => panic!("nobody succeeds"),
        () = talk => {}
    }
}

#[tokio::test]
async fn where_nobody_is_nobody_is_asked() {
    let root = tempfile::tempdir().unwrap();
    assert!(ask(root.path()).await.unwrap().is_none());
    let giver = Giver::listen(root.path()).unwrap();
    let socket = path(root.path());
    // As after a crash: the file is there and nobody listens.
    drop(giver);
    assert!(socket.exists());
    assert!(ask(root.path()).await.unwrap().is_none());
    Giver::listen(root.path()).unwrap().withdraw();
    assert!(!socket.exists());
}
