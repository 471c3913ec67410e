//! Clients that knock at a door.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends bytes in the clear, returns everything that comes until the other side closes.
pub(crate) async fn raw(at: SocketAddr, bytes: &[u8]) -> String {
    all_that_comes(TcpStream::connect(at).await.unwrap(), bytes).await
}

/// Sends bytes, returns everything that comes until the other side closes.
pub(super) async fn all_that_comes(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // Whatever is said of a connection that was cut, what was said before it counts.
    let _ = tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .expect("it closes");
    String::from_utf8_lossy(&answer).into_owned()
}

/// An HTTP/1.1 client with one connection.
pub(crate) struct Client {
    pub(crate) sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
}

impl Client {
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        self.sender.ready().await.unwrap();
        whole(self.sender.send_request(request).await.unwrap()).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Response<Bytes> {
        self.send(get(path)).await
    }
}

pub(crate) async fn whole(response: Response<hyper::body::Incoming>) -> Response<Bytes> {
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

/// A GET for `path` on `kubeflow.example`.
pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    with_headers(path, &[])
}

pub(crate) fn with_headers(path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .uri(path)
        .header("host", "kubeflow.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

/// The same as an HTTP/2 request.
pub(crate) fn get2(path: &str) -> Request<Full<Bytes>> {
    let uri = format!("https://kubeflow.example{path}");
    Request::builder()
        .version(Version::HTTP_2)
        .uri(uri)
        .body(Full::default())
        .unwrap()
}

/// Verifies what `localhost` would have to show, whatever name is asked for.
#[derive(Debug)]
pub(crate) struct AsLocalhost(Arc<WebPkiServerVerifier>);

impl AsLocalhost {
    pub(crate) fn new(roots: &Arc<rustls::RootCertStore>) -> Arc<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider);
        Arc::new(Self(verifier.build().unwrap()))
    }
}

impl ServerCertVerifier for AsLocalhost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = ServerName::try_from("localhost").unwrap();
        self.0
            .verify_server_cert(end_entity, intermediates, &name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
