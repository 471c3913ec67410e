//! One request, and what is said of its answer.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Request, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;

use super::door::Door;
use super::format::{Ask, Redirect, Seen, full};
use super::pairs::Pairs;

/// An answer.
pub(crate) struct Heard {
    status: u16,
    headers: HeaderMap,
    /// What the backend saw; nothing where none answered.
    told: Value,
}

impl Heard {
    /// A text that the backend tells of itself or the request.
    pub(crate) fn seen(&self, name: &str) -> &str {
        self.told[name].as_str().unwrap_or_default()
    }

    /// Every value of a header that the backend saw.
    pub(crate) fn seen_headers(&self, name: &str) -> Vec<&str> {
        let headers = self.told["headers"].as_array();
        headers
            .into_iter()
            .flatten()
            .filter(|pair| pair[0] == name)
            .filter_map(|pair| pair[1].as_str())
            .collect()
    }

    fn answered(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }
}

/// Sends a request over a connection of its own.
pub(crate) async fn send(
    door: &Door,
    pairs: &Pairs,
    port: u16,
    ask: &Ask,
) -> Result<Heard, String> {
    if ask.through {
        let stream = TcpStream::connect(door.https()).await.unwrap();
        let name = ask.sni.clone().unwrap_or_else(|| ask.host.clone());
        let name = ServerName::try_from(name).unwrap();
        let stream = TlsConnector::from(pairs.client())
            .connect(name, stream)
            .await
            .map_err(|error| format!("no handshake: {error}"))?;
        return exchange(stream, "https", ask).await;
    }
    let http2 = ask.protocol.is_some();
    if port == 443 {
        let protocol: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
        let name = ask.sni.as_deref().unwrap_or("localhost");
        exchange(door.tls_to(name, protocol).await, "https", ask).await
    } else {
        let at = door.gateway.address(port).unwrap_or_else(|| door.http());
        let stream = TcpStream::connect(at).await.unwrap();
        exchange(stream, "http", ask).await
    }
}

async fn exchange<S>(stream: S, scheme: &str, ask: &Ask) -> Result<Heard, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let fault = |error: hyper::Error| format!("no answer: {error}");
    let io = TokioIo::new(stream);
    let response = if ask.protocol.is_some() {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io)
            .await
            .map_err(fault)?;
        tokio::spawn(connection);
        sender
            .send_request(request(Some(scheme), ask))
            .await
            .map_err(fault)?
    } else {
        let (mut sender, connection) = http1::handshake(io).await.map_err(fault)?;
        tokio::spawn(connection);
        sender
            .send_request(request(None, ask))
            .await
            .map_err(fault)?
    };
    let (parts, body): (_, Incoming) = response.into_parts();
    let body = body.collect().await.map_err(fault)?.to_bytes();
    Ok(Heard {
        status: parts.status.as_u16(),
        headers: parts.headers,
        told: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

fn request(http2_scheme: Option<&str>, ask: &Ask) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(ask.method.as_str());
    request = match http2_scheme {
        Some(scheme) => request
            .version(Version::HTTP_2)
            .uri(format!("{scheme}://{}{}", ask.host, ask.path)),
        None => request.uri(ask.path.as_str()).header("host", &ask.host),
    };
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    if !ask.backend_sets.is_empty() {
        let pairs = ask.backend_sets.iter();
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        request = request.header("x-echo-set-header", pairs.join(","));
    }
    request.body(Full::default()).unwrap()
}

/// Compares an answer with what is expected.
pub(crate) fn compare(ask: &Ask, heard: &Heard, port: u16) -> Result<(), String> {
    if !ask.status.allows(heard.status) {
        return Err(format!(
            "status {} instead of {:?}",
            heard.status, ask.status
        ));
    }
    match heard.status {
        200 | 204 => {
            if ask.anybody || ask.backend.is_some() {
                seen(ask, heard)?;
            }
            answered(ask, heard)
        }
        300..400 => match &ask.redirect {
            Some(redirect) => redirected(ask, redirect, heard, port),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn seen(ask: &Ask, heard: &Heard) -> Result<(), String> {
    if let Some(backend) = &ask.backend {
        let (namespace, name) = full(backend);
        let found = (heard.seen("namespace"), heard.seen("backend"));
        if found != (namespace, name) {
            return Err(format!("{found:?} answered instead of {backend}"));
        }
    }
    let as_sent = Seen {
        path: Some(ask.path.clone()),
        method: Some(ask.method.clone()),
        headers: ask.headers.clone(),
        ..Seen::default()
    };
    let wanted = ask.seen.as_ref().unwrap_or(&as_sent);
    let path = wanted.path.as_ref().unwrap_or(&ask.path);
    let method = wanted.method.as_ref().unwrap_or(&ask.method);
    let pairs = [
        ("path", Some(path)),
        ("method", Some(method)),
        ("host", wanted.host.as_ref()),
        ("protocol", wanted.protocol.as_ref()),
        ("sni", wanted.sni.as_ref()),
    ];
    for (name, value) in pairs {
        if let Some(value) = value
            && heard.seen(name) != value
        {
            let found = heard.seen(name);
            return Err(format!("{name} {found:?} reached it instead of {value:?}"));
        }
    }
    for (name, value) in &wanted.headers {
        let found = heard.seen_headers(name).join(",");
        if found != *value {
            return Err(format!("{name} {found:?} reached it instead of {value:?}"));
        }
    }
    for name in &wanted.absent {
        let found = heard.seen_headers(name);
        if !found.is_empty() {
            return Err(format!("{name} {found:?} reached it"));
        }
    }
    Ok(())
}

fn answered(ask: &Ask, heard: &Heard) -> Result<(), String> {
    let bare = |text: &str| text.replace(' ', "");
    let only = ask
        .answer
        .headers
        .iter()
        .map(|(name, value)| (name, std::slice::from_ref(value)));
    let one_of = ask.answer.one_of.iter();
    for (name, values) in only.chain(one_of.map(|(name, values)| (name, values.as_slice()))) {
        let found = heard.answered(name).unwrap_or_default();
        if !values.iter().any(|value| bare(value) == bare(&found)) {
            return Err(format!("it answers {name} {found:?} instead of {values:?}"));
        }
    }
    for name in &ask.answer.absent {
        if let Some(found) = heard.answered(name) {
            return Err(format!("it answers {name} {found:?}"));
        }
    }
    Ok(())
}

fn redirected(ask: &Ask, wanted: &Redirect, heard: &Heard, port: u16) -> Result<(), String> {
    let location = heard.answered("location").unwrap_or_default();
    let fault = |part: &str| Err(format!("{part} of `{location}` is not that of {wanted:?}"));
    let uri: Uri = location
        .parse()
        .map_err(|_| format!("`{location}` is no URL"))?;
    let own_scheme = if port == 443 { "https" } else { "http" };
    let scheme = wanted.scheme.as_deref().unwrap_or(own_scheme);
    if uri.scheme_str() != Some(scheme) {
        return fault("the scheme");
    }
    let host = wanted.host.as_deref().unwrap_or(&ask.host);
    if uri.host() != Some(host) {
        return fault("the host");
    }
    let usual = if scheme == "https" { 443 } else { 80 };
    let right = match &wanted.port {
        Some(port) => uri.port().is_some_and(|found| found.as_str() == port),
        None => uri.port_u16().is_none_or(|port| port == usual),
    };
    if !right {
        return fault("the port");
    }
    if uri.path() != wanted.path.as_deref().unwrap_or(&ask.path) {
        return fault("the path");
    }
    Ok(())
}

/// Whether messages come back over a WebSocket.
pub(crate) async fn web_socket(door: &Door, path: &str) -> Result<(), String> {
    let stream = TcpStream::connect(door.http()).await.unwrap();
    let url = format!("ws://gateway.example{path}");
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream)
        .await
        .map_err(|error| format!("no WebSocket: {error}"))?;
    for message in [
        Message::text("Websocket Support!"),
        Message::binary(vec![1, 2, 3, 4, 5, 6, 7]),
    ] {
        let sent = socket.send(message.clone()).await;
        sent.map_err(|error| format!("the WebSocket broke: {error}"))?;
        match socket.next().await {
            Some(Ok(reply)) if reply == message => {}
            other => return Err(format!("{other:?} came back instead of {message:?}")),
        }
    }
    Ok(())
}
