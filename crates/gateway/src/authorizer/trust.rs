//! Who is believed when it says for whom it asks.

use crate::facts::Said;
use crate::listen::{Peer, Worker};

/// Whether `peer` is one of those that are named.
pub(super) fn is_trusted(worker: &Worker, peer: &Peer) -> bool {
    let peers = &worker.authorizer().trusted_peers;
    peers.iter().any(|network| network.contains(&peer.address))
}

/// Where what is believed of the client of a check is said. A page may be asked for through any
/// proxy, which lets the headers of Envoy pass as its client sent them.
pub(super) fn said(worker: &Worker, peer: &Peer, is_check: bool) -> Said {
    match (is_trusted(worker, peer), is_check) {
        (false, _) => Said::Nowhere,
        (true, true) => Said::Envoy,
        (true, false) => Said::Headers,
    }
}
