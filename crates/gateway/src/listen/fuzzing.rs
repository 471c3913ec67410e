//! Entry points for what is read before there is a request.

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::frame_guard::FrameGuard;
use super::head_guard::HeadGuard;

/// A place to cut, and the bytes of a connection: whole or in two pieces, the guard says the same.
pub fn head_guard(bytes: &[u8]) {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let mut whole = bytes.to_vec();
    HeadGuard::default().inspect(&mut whole, 0);
    let mut guard = HeadGuard::default();
    let mut pieces = bytes.to_vec();
    let (first, second) = pieces.split_at_mut(usize::from(cut).min(bytes.len()));
    guard.inspect(first, 0);
    guard.inspect(second, 0);
    assert_eq!(whole, pieces);
    let mut single = bytes.to_vec();
    let mut guard = HeadGuard::default();
    for byte in single.chunks_mut(1) {
        guard.inspect(byte, 0);
    }
    assert_eq!(whole, single);
    // Only a line feed is ever changed.
    for (before, after) in bytes.iter().zip(&whole) {
        assert!(before == after || (*before == b'\n' && *after == 0));
    }
}

/// A place to cut, and what an HTTP/2 client sends: whole or in two pieces, the guard says the same.
pub fn frame_guard(bytes: &[u8]) {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let mut guard = FrameGuard::default();
    let whole = guard.inspect(bytes, 0).map_err(|flood| flood.kind());
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let mut guard = FrameGuard::default();
    let pieces = guard.inspect(first, 0).and_then(|head| match second {
        [] => Ok(head),
        second => guard.inspect(second, 0),
    });
    assert_eq!(pieces.map_err(|flood| flood.kind()), whole);
}

/// A PROXY protocol header and what follows it: not one byte of that is read.
pub fn proxy_header(bytes: &[u8]) {
    let mut rest = bytes;
    // Memory never makes anybody wait.
    let named = super::proxy_header::read(&mut rest).now_or_never();
    if let Some(Ok(named)) = named {
        let mut header = &bytes[..bytes.len() - rest.len()];
        let again = super::proxy_header::read(&mut header).now_or_never();
        assert_eq!(again, Some(Ok(named)));
        assert!(header.is_empty());
    }
}

/// A place to cut, and the first message of a TLS client: whole or in two pieces, it is the same one.
pub fn hello(bytes: &[u8]) {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let read = |mut stream: &mut (dyn AsyncRead + Unpin)| {
        let hello = super::hello::read(&mut stream).now_or_never();
        hello.and_then(Result::ok).map(|hello| {
            assert!(bytes.starts_with(&hello.bytes));
            if let Some(name) = &hello.server_name {
                assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()));
            }
            (hello.server_name, hello.is_challenge)
        })
    };
    let whole = read(&mut &*bytes);
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    assert_eq!(read(&mut first.chain(second)), whole);
}
