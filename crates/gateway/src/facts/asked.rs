//! Facts of a request that another proxy has received and asks about.

use std::net::IpAddr;
use std::rc::Rc;

use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::{Method, Uri};

use super::{
    CLIENT, Facts, MOST_HEADERS, Unclear, View, authority, certificate, cookies, forwarded,
    headers, is_plainly_framed,
};
use crate::listen::{Peer, Worker};

/// Whom the proxy that asks heard a request from.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Who is connected to it.
    pub(crate) peer: IpAddr,
    /// SPIFFE id of a certificate that it verified, without `spiffe://`.
    pub(crate) principal: Option<Box<str>>,
    /// Server name of the handshake with it.
    pub(crate) sni: Option<Box<str>>,
}

/// Where the proxy that asks says what it knows of its client.
pub(crate) enum Said {
    /// Nowhere: it is not believed.
    Nowhere,
    /// In `x-forwarded-*`.
    Headers,
    /// The same, and in `x-envoy-external-address`, which wins: Envoy adds its own address to the
    /// `x-forwarded-for` of a check.
    Envoy,
    /// In the question itself.
    Question {
        /// Whom it heard the request from.
        asked: Rc<Asked>,
        /// Whether browsers speak HTTPS, where no header says it.
        secure: Option<bool>,
    },
}

/// Reads the facts of a question and puts `parts` into the form that is decided about. The proxy
/// that asks is believed what it says of its client where `is_trusted`.
pub(crate) fn gather_asked(
    parts: &mut Parts,
    peer: &Peer,
    worker: &Worker,
    view: &View,
    said: Said,
) -> Result<Facts, Unclear> {
    if parts.method == Method::CONNECT {
        return Err(Unclear::Connect);
    }
    if parts.headers.len() > MOST_HEADERS {
        return Err(Unclear::TooManyHeaders);
    }
    if !is_plainly_framed(&parts.headers) {
        return Err(Unclear::Coding);
    }
    let authority = authority(parts)?;
    if parts.uri.authority().is_some() {
        let target = parts.uri.path_and_query().cloned();
        parts.uri = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    // It is ours to say, and goes with the others.
    let external = parts.headers.get(&CLIENT).and_then(forwarded::whole);
    let websocket = headers::strip_request(parts, &view.names);
    cookies::join(&mut parts.headers);
    let usual = worker.authorizer().scheme.as_str();
    let trusted_hops = view.world.snapshot.trusted_hops();
    let headers = &parts.headers;
    let (told, asked) = match said {
        Said::Nowhere => {
            let told = forwarded::Told {
                scheme: usual,
                peer: peer.address,
                client: peer.address,
            };
            (told, None)
        }
        Said::Headers => {
            let told = forwarded::told(headers, peer.address, usual, trusted_hops);
            (told, None)
        }
        Said::Envoy => {
            let mut told = forwarded::told(headers, peer.address, usual, trusted_hops);
            if let Some(external) = external {
                (told.peer, told.client) = (external, external);
            }
            (told, None)
        }
        Said::Question { asked, secure } => {
            let usual = match secure {
                Some(true) => "https",
                Some(false) => "http",
                None => usual,
            };
            let mut told = forwarded::told(headers, asked.peer, usual, trusted_hops);
            if trusted_hops == 0 {
                told.client = asked.peer;
            }
            told.peer = asked.peer;
            (told, Some(asked))
        }
    };
    let (request_id, draw) = worker.identifiers.borrow_mut().identify(&mut parts.headers);
    let client = if told.client == peer.address {
        peer.address_text.clone()
    } else {
        // An IP address is made of bytes that a header may have.
        let text = HeaderValue::try_from(told.client.to_string());
        text.unwrap_or_else(|_| peer.address_text.clone())
    };
    forwarded::set_asked(&mut parts.headers, client, told.scheme, &authority);
    let mode = view.world.snapshot.forward_client_cert();
    certificate::tell(&mut parts.headers, None, mode);
    parts.headers.insert(HOST, authority.clone());
    let port = view.entry_asked(told.scheme, authority.to_str().unwrap_or_default());
    Ok(Facts {
        authority,
        site: None,
        scheme: told.scheme,
        client: told.client,
        request_id,
        websocket,
        assertion: None,
        extended: false,
        draw,
        port,
        asked: Some(asked.unwrap_or_else(|| {
            Rc::new(Asked {
                peer: told.peer,
                principal: None,
                sni: None,
            })
        })),
        upgrade: false,
    })
}
