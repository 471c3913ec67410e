//! A message's way to a request, for fuzzing.

use std::net::Ipv4Addr;

use envoy_types::ext_authz::v3::pb::CheckRequest;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use tonic_prost::prost::Message;

use super::message::Told;
use crate::facts::read_parts;

/// Reads `bytes` as a message of a check, without the five bytes that gRPC puts in front.
pub(crate) fn read_check(bytes: &[u8]) {
    let Ok(request) = CheckRequest::decode(bytes) else {
        return;
    };
    let asker = Ipv4Addr::LOCALHOST.into();
    let Some(Told {
        parts,
        asked,
        body: _,
        secure: _,
    }) = Told::read(request, asker)
    else {
        return;
    };
    // A message tells one host, and never how a body is framed.
    assert_eq!(parts.headers.get_all(HOST).iter().count(), 1);
    assert!(!parts.headers.contains_key(CONTENT_LENGTH));
    assert!(!parts.headers.contains_key(TRANSFER_ENCODING));
    // Nor another host in its path.
    assert!(parts.uri.authority().is_none());
    assert!(asked.peer == asked.peer.to_canonical());
    read_parts(parts);
}
