//! Who is believed when it says for whom it asks.

use crate::listen::{Peer, Worker};

/// Whether `peer` is one of those that are named.
pub(super) fn is_trusted(worker: &Worker, peer: &Peer) -> bool {
    let peers = &worker.authorizer().trusted_peers;
    peers.iter().any(|network| network.contains(&peer.address))
}
