//! The listening sockets of the process, and which worker accepts on which.
//!
//! A worker has a socket of its own for each port (`SO_REUSEPORT`). Connections wait in the queue of
//! one socket, and are reset when the last process that has it closes it. So those that were given
//! to this process are all accepted on, however many there are, and none is opened beside them.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;

use super::{HTTP, HTTPS, StartFault, socket};
use crate::settings::{Listening, Purpose, Settings};

type Open = BTreeMap<Purpose, Vec<Vec<Arc<StdListener>>>>;

/// All of them.
pub(super) struct Sockets {
    addresses: BTreeMap<Purpose, SocketAddr>,
    workers: usize,
    /// By purpose, then by worker.
    open: Mutex<Open>,
}

impl Sockets {
    /// Decides every address: of a socket that was given, or one that nobody listens on. The rest of
    /// `given` is closed.
    pub(super) fn open(
        settings: &Settings,
        mut given: Vec<Listening>,
        workers: usize,
    ) -> Result<Self, StartFault> {
        let further = settings.listen.iter().filter_map(|(port, at)| {
            let purpose = Purpose::Gateway(*port);
            let address = at.address.filter(|_| ![HTTPS, HTTP].contains(&purpose))?;
            Some((purpose, address))
        });
        let http = settings.http.map(|address| (HTTP, address));
        let asked = [
            (Purpose::AuthorizerHttp, settings.authorizer.http),
            (Purpose::AuthorizerGrpc, settings.authorizer.grpc),
        ];
        let asked = asked.into_iter();
        let asked = asked.filter_map(|(purpose, address)| Some((purpose, address?)));
        let https = settings.https.map(|address| (HTTPS, address));
        let wanted = https.into_iter().chain(http).chain(further).chain(asked);
        let mut addresses = BTreeMap::new();
        let mut open = BTreeMap::new();
        for (purpose, address) in wanted {
            let fault = |source| StartFault::Bind { address, source };
            let taken: Vec<_> = given
                .extract_if(.., |one| is_at(one, purpose, address))
                .collect();
            let bound = match taken.first() {
                Some(first) => first.socket.local_addr().map_err(fault)?,
                None => socket::probe(address).map_err(fault)?,
            };
            // A picked port is one: sockets at others would be told nobody.
            let sockets = taken
                .into_iter()
                .map(|one| one.socket)
                .filter(|socket| socket.local_addr().is_ok_and(|at| at == bound))
                .collect();
            open.insert(purpose, seated(sockets, workers));
            addresses.insert(purpose, bound);
        }
        Ok(Self {
            addresses,
            workers,
            open: Mutex::new(open),
        })
    }

    /// Where something is served.
    pub(super) fn address(&self, purpose: Purpose) -> Option<SocketAddr> {
        self.addresses.get(&purpose).copied()
    }

    /// The ports that are open only while a `Gateway` has them.
    pub(super) fn further(&self) -> impl Iterator<Item = u16> {
        let purposes = self.addresses.keys();
        purposes.filter_map(|purpose| match purpose {
            &(HTTPS | HTTP) | Purpose::AuthorizerHttp | Purpose::AuthorizerGrpc => None,
            Purpose::Gateway(port) => Some(*port),
        })
    }

    /// What a worker accepts on; opened now unless it is. Call it on the worker's runtime.
    pub(super) fn take(&self, purpose: Purpose, worker: usize) -> io::Result<Vec<TcpListener>> {
        let address = self.addresses.get(&purpose);
        let address = address.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut open = self.lock();
        let seats = open
            .entry(purpose)
            .or_insert_with(|| seated(Vec::new(), self.workers));
        let seat = seats.get_mut(worker).ok_or(io::ErrorKind::NotFound)?;
        if seat.is_empty() {
            seat.push(Arc::new(socket::open_shared(*address)?));
        }
        seat.iter()
            .map(|socket| TcpListener::from_std(socket.try_clone()?))
            .collect()
    }

    /// A worker accepts on a port no more.
    pub(super) fn close(&self, port: u16, worker: usize) {
        if let Some(seat) = self
            .lock()
            .get_mut(&Purpose::Gateway(port))
            .and_then(|seats| seats.get_mut(worker))
        {
            seat.clear();
        }
    }

    /// Nobody accepts any more.
    pub(super) fn close_all(&self) {
        self.lock().clear();
    }

    /// Every open socket, once each.
    pub(super) fn all(&self) -> io::Result<Vec<Listening>> {
        let mut found = BTreeMap::new();
        for (purpose, seats) in &*self.lock() {
            for socket in seats.iter().flatten() {
                found.insert((*purpose, Arc::as_ptr(socket).addr()), Arc::clone(socket));
            }
        }
        let found = found.into_iter();
        Ok(found
            .map(|((purpose, _), socket)| Listening { purpose, socket })
            .collect())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a socket that was given is what an address asks for. Port 0 asks for any.
fn is_at(one: &Listening, purpose: Purpose, wanted: SocketAddr) -> bool {
    one.socket.local_addr().is_ok_and(|at| {
        at == wanted || (wanted.port() == 0 && one.purpose == purpose && at.ip() == wanted.ip())
    })
}

/// Deals sockets out: every one to somebody, and somebody's to everyone, if there are any.
fn seated(sockets: Vec<Arc<StdListener>>, workers: usize) -> Vec<Vec<Arc<StdListener>>> {
    let mut seats = vec![Vec::new(); workers];
    if sockets.is_empty() {
        return seats;
    }
    for turn in 0..workers.max(sockets.len()) {
        let socket = &sockets[turn % sockets.len()];
        seats[turn % workers].push(Arc::clone(socket));
    }
    seats
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuthorizerSettings, Limits, ListenAt};

    fn settings(https: &str, http: Option<&str>) -> Settings {
        Settings {
            https: Some(https.parse().unwrap()),
            http: http.map(|it| it.parse().unwrap()),
            listen: BTreeMap::new(),
            hsts: None,
            https_upgrade: true,
            authorizer: AuthorizerSettings::default(),
            workers: 1,
            limits: Limits::default(),
            resolve: Vec::new(),
            given: Vec::new(),
        }
    }

    fn open(settings: &Settings, given: Vec<Listening>, workers: usize) -> Sockets {
        let sockets = Sockets::open(settings, given, workers).unwrap();
        for purpose in sockets.addresses.keys() {
            for worker in 0..workers {
                assert!(!sockets.take(*purpose, worker).unwrap().is_empty());
            }
        }
        sockets
    }

    #[tokio::test]
    async fn port_0_gives_every_worker_the_same_port_and_nobody_else_gets_it() {
        let sockets = open(&settings("127.0.0.1:0", None), Vec::new(), 3);
        let address = sockets.address(HTTPS).unwrap();
        assert_ne!(address.port(), 0);
        let all = sockets.all().unwrap();
        assert_eq!(all.len(), 3);
        for one in &all {
            assert_eq!(one.socket.local_addr().unwrap(), address);
        }
        let second = Sockets::open(&settings(&address.to_string(), None), Vec::new(), 1);
        let Err(StartFault::Bind { source, .. }) = second else {
            panic!("shared in silence");
        };
        assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn given_sockets_are_all_accepted_on_whatever_the_number_of_workers() {
        for (before, after) in [(1, 3), (3, 1), (2, 3), (3, 2), (2, 2)] {
            let mut settings = settings("127.0.0.1:0", Some("127.0.0.1:0"));
            let further = ListenAt {
                address: Some("127.0.0.1:0".parse().unwrap()),
                proxy_protocol: None,
            };
            settings.listen.insert(9000, further);
            let first = open(&settings, Vec::new(), before);
            let second = open(&settings, first.all().unwrap(), after);
            assert_eq!(first.addresses, second.addresses);
            assert_eq!(first.further().collect::<Vec<_>>(), [9000]);
            let of = |sockets: &Sockets| {
                let all = sockets.all().unwrap().into_iter();
                all.map(|one| (one.purpose, Arc::as_ptr(&one.socket).addr()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(of(&first), of(&second), "{before} to {after}");
        }
    }

    #[tokio::test]
    async fn an_address_that_nobody_gave_is_bound_and_what_nobody_wants_is_closed() {
        let first = open(&settings("127.0.0.1:0", Some("127.0.0.1:0")), Vec::new(), 1);
        let https = first.address(HTTPS).unwrap();
        let http = first.address(HTTP).unwrap();
        // The address counts, and not what it was used for.
        let wanted = settings(&http.to_string(), None);
        let second = open(&wanted, first.all().unwrap(), 1);
        drop(first);
        assert_eq!(second.address(HTTPS), Some(http));
        assert_eq!(second.all().unwrap().len(), 1);
        socket::probe(https).unwrap();
        assert!(socket::probe(http).is_err());
    }

    #[tokio::test]
    async fn a_port_that_is_closed_is_free_and_can_be_opened_again() {
        let sockets = open(&settings("127.0.0.1:0", None), Vec::new(), 2);
        let address = sockets.address(HTTPS).unwrap();
        sockets.close(443, 0);
        assert!(socket::probe(address).is_err());
        sockets.close(443, 1);
        socket::probe(address).unwrap();
        sockets.take(HTTPS, 1).unwrap();
        assert_eq!(sockets.all().unwrap().len(), 1);
    }
}
