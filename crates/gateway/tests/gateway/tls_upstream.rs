//! Upstreams behind TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::names::Secret;
use model::snapshot::{KeyPair, Trust, UpstreamProtocol, UpstreamTls};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::net::TcpListener;

use crate::door::Door;
use crate::peers::{destination, lead_tls};

/// An authority and what it signs.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: rcgen::Issuer::new(params, key),
            pem,
        }
    }

    /// Chain and key for `names`.
    fn sign(&self, names: &[rcgen::SanType]) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.to_vec();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        (signed.pem(), key.serialize_pem())
    }
}

fn dns(name: &str) -> rcgen::SanType {
    rcgen::SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> rcgen::SanType {
    rcgen::SanType::URI(name.try_into().unwrap())
}

/// An upstream with this certificate. It answers with the HTTP version and the number of
/// certificates that the client showed, which must come from `clients` where that is given.
async fn serving(
    (chain, key): (String, String),
    protocols: &[&str],
    clients: Option<&str>,
) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = rustls::RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
                .unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                provider,
            );
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let tls = stream.get_ref().1;
                let shown = tls.peer_certificates().map_or(0, <[_]>::len);
                let asked = tls.server_name().unwrap_or("-").to_owned();
                let service = service_fn(move |request: Request<Incoming>| {
                    let said = format!("{:?} {shown} {asked}", request.version());
                    async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(said))) }
                });
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

const HOST: &str = "app.team.svc.cluster.local";

fn wanted(trust: Trust) -> UpstreamTls {
    UpstreamTls {
        server_name: None,
        trust,
        subject_alt_names: Vec::new(),
        client: None,
    }
}

async fn asked(app: SocketAddr, tls: UpstreamTls, protocol: UpstreamProtocol) -> (u16, String) {
    let door = Door::changed(move |forward| {
        lead_tls(forward, app, &tls);
        destination(forward).protocol = protocol;
    })
    .await;
    let answer = door.client().await.get("/app/").await;
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    (answer.status().as_u16(), text)
}

async fn asked_http1(app: SocketAddr, tls: UpstreamTls) -> (u16, String) {
    asked(app, tls, UpstreamProtocol::Http1).await
}

#[tokio::test]
async fn an_upstream_is_trusted_for_its_authority_and_its_name() {
    let authority = Authority::new();
    let trust = Trust::Authorities(authority.pem.as_str().into());
    let app = serving(authority.sign(&[dns(HOST)]), &["http/1.1"], None).await;
    assert_eq!(
        asked_http1(app, wanted(trust.clone())).await,
        (200, format!("HTTP/1.1 0 {HOST}"))
    );

    let refused = (
        503,
        "service `app.team:80` cannot be reached over TLS; the gateway's log says why".to_owned(),
    );
    let stranger = Trust::Authorities(Authority::new().pem.into());
    assert_eq!(asked_http1(app, wanted(stranger)).await, refused);
    assert_eq!(asked_http1(app, wanted(Trust::System)).await, refused);
    let other = UpstreamTls {
        server_name: Some("other.example".into()),
        ..wanted(trust.clone())
    };
    assert_eq!(asked_http1(app, other).await, refused);
    let unread = Trust::Authorities("no certificate".into());
    assert_eq!(asked_http1(app, wanted(unread)).await, refused);

    let anybody = UpstreamTls {
        server_name: Some("other.example".into()),
        ..wanted(Trust::Anybody)
    };
    assert_eq!(
        asked_http1(app, anybody).await,
        (200, "HTTP/1.1 0 other.example".into())
    );
}

#[tokio::test]
async fn a_certificate_needs_one_of_the_names_that_the_manifest_lists() {
    let authority = Authority::new();
    let trust = Trust::Authorities(authority.pem.as_str().into());
    let names = [
        dns("real.example"),
        uri("spiffe://cluster.local/ns/team/sa/app"),
    ];
    let app = serving(authority.sign(&names), &["http/1.1"], None).await;
    for (listed, status) in [
        (&["spiffe://cluster.local/ns/team/sa/app"][..], 200),
        (&["none.example", "real.example"], 200),
        (
            &["none.example", "spiffe://cluster.local/ns/team/sa/other"],
            503,
        ),
        (&[], 503),
    ] {
        let tls = UpstreamTls {
            subject_alt_names: listed.iter().map(|name| (*name).into()).collect(),
            ..wanted(trust.clone())
        };
        assert_eq!(asked_http1(app, tls).await.0, status, "{listed:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_asks_is_shown_our_certificate() {
    let authority = Authority::new();
    let trust = Trust::Authorities(authority.pem.as_str().into());
    let ours = authority.sign(&[dns("gateway.example")]);
    let app = serving(
        authority.sign(&[dns(HOST)]),
        &["http/1.1"],
        Some(&authority.pem),
    )
    .await;
    assert_eq!(asked_http1(app, wanted(trust.clone())).await.0, 503);
    let (chain, key) = ours;
    let tls = UpstreamTls {
        client: Some(KeyPair {
            chain: chain.into(),
            key: Secret::new(key),
        }),
        ..wanted(trust)
    };
    let (status, said) = asked_http1(app, tls).await;
    assert_eq!((status, said), (200, format!("HTTP/1.1 1 {HOST}")));
}

#[tokio::test]
async fn the_upstream_chooses_between_the_versions_of_http() {
    let authority = Authority::new();
    let trust = Trust::Authorities(authority.pem.as_str().into());
    let tls = wanted(trust);
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], "HTTP/2.0"),
        (&["http/1.1"], "HTTP/1.1"),
    ] {
        let app = serving(authority.sign(&[dns(HOST)]), protocols, None).await;
        let (status, said) = asked(app, tls.clone(), UpstreamProtocol::Http2).await;
        assert_eq!((status, said), (200, format!("{version} 0 {HOST}")));
        let (_, said) = asked(app, tls.clone(), UpstreamProtocol::Http1).await;
        assert_eq!(said, format!("HTTP/1.1 0 {HOST}"));
    }
}
