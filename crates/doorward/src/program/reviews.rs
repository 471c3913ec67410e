//! The API server of the cluster that this process runs in, as who reviews tokens: found as
//! Kubernetes' own clients find it, by `KUBECONFIG` or by the service account of the pod.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use kubernetes::{REVIEWS, TokenReview, token_answer, token_question};
use login::{Review, Reviewed, Reviewer, Transport as _};
use model::names::Secret;
use model::snapshot::{IssuerTls, IssuerTlsClient};
use serde::Deserialize;

use super::variable;
use crate::up::transport::{IssuerTransport, tls};

/// Where a pod finds what its service account is.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Asks an API server.
pub(super) struct ApiServer {
    server: String,
    credential: Credential,
    transport: IssuerTransport,
}

/// Who we are there.
enum Credential {
    /// By the connection.
    Certificate,
    Token(Secret),
    /// Read anew each time: a kubelet renews it.
    TokenFile(PathBuf),
}

impl ApiServer {
    /// `None` where there is no cluster. The error says what to correct.
    pub(super) fn find() -> Result<Option<Self>, String> {
        if let Some(path) = variable("KUBECONFIG") {
            return Self::of_kubeconfig(Path::new(&path))
                .map(Some)
                .map_err(|why| {
                    format!("`KUBECONFIG` names `{path}`: {why}\nhelp: name a kubeconfig whose current context has a server and a credential")
                });
        }
        let (Some(host), Some(port)) = (
            variable("KUBERNETES_SERVICE_HOST"),
            variable("KUBERNETES_SERVICE_PORT"),
        ) else {
            return Ok(None);
        };
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host,
        };
        let account = Path::new(ACCOUNT);
        let authority = fs::read_to_string(account.join("ca.crt")).map_err(|why| {
            format!("`{ACCOUNT}/ca.crt` cannot be read: {why}\nhelp: let the pod mount its service account's token, or set `KUBERNETES_AUTHN_ENABLED` to `false`")
        })?;
        let credential = Credential::TokenFile(account.join("token"));
        Self::at(
            format!("https://{host}:{port}"),
            Some(authority),
            credential,
            None,
        )
        .map(Some)
    }

    fn of_kubeconfig(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|why| why.to_string())?;
        let config: Kubeconfig = serde_saphyr::from_str(&text).map_err(|why| why.to_string())?;
        let near = path.parent().unwrap_or(Path::new("."));
        let read = |path: &str| {
            fs::read_to_string(near.join(path)).map_err(|why| format!("`{path}`: {why}"))
        };
        let decoded = |text: &str| {
            let bytes = BASE64.decode(text.as_bytes()).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| "it has data that is no base64 of text".to_owned())
        };
        // Data wins over a file of the same name.
        let either = |data: &Option<String>, file: &Option<String>| match (data, file) {
            (Some(data), _) => decoded(data).map(Some),
            (None, Some(file)) => read(file).map(Some),
            (None, None) => Ok(None),
        };
        let context = config.contexts.iter();
        let context = context
            .into_iter()
            .find(|one| one.name == config.current_context)
            .map(|one| &one.context)
            .ok_or_else(|| format!("it has no context `{}`", config.current_context))?;
        let cluster = config.clusters.iter();
        let cluster = cluster
            .into_iter()
            .find(|one| one.name == context.cluster)
            .map(|one| &one.cluster)
            .ok_or_else(|| format!("it has no cluster `{}`", context.cluster))?;
        let user = config.users.iter();
        let user = user
            .into_iter()
            .find(|one| one.name == context.user)
            .map(|one| &one.user)
            .ok_or_else(|| format!("it has no user `{}`", context.user))?;
        let authority = either(
            &cluster.certificate_authority_data,
            &cluster.certificate_authority,
        )?;
        let certificate = either(&user.client_certificate_data, &user.client_certificate)?;
        let key = either(&user.client_key_data, &user.client_key)?;
        let client = certificate
            .zip(key)
            .map(|(certificates, key)| IssuerTlsClient {
                certificates: certificates.into(),
                key: Secret::new(key.as_bytes()),
            });
        let credential = match (&user.token_file, &user.token) {
            (Some(file), _) => Credential::TokenFile(near.join(file)),
            (None, Some(token)) => Credential::Token(Secret::new(token.as_bytes())),
            (None, None) if client.is_some() => Credential::Certificate,
            (None, None) => return Err("its user has no token and no certificate".to_owned()),
        };
        Self::at(cluster.server.clone(), authority, credential, client)
    }

    fn at(
        server: String,
        authority: Option<String>,
        credential: Credential,
        client: Option<IssuerTlsClient>,
    ) -> Result<Self, String> {
        let settings = IssuerTls {
            authorities: authority.map(Into::into),
            system_too: false,
            unverified: false,
            client,
        };
        let tls =
            tls(&settings).map_err(|why| format!("TLS to the API server cannot be had: {why}"))?;
        Ok(Self {
            server: server.trim_end_matches('/').to_owned(),
            credential,
            transport: IssuerTransport::over(tls, &[]),
        })
    }

    fn authorization(&self) -> Option<HeaderValue> {
        let read;
        let token = match &self.credential {
            Credential::Certificate => return None,
            Credential::Token(token) => token,
            Credential::TokenFile(path) => {
                let bytes = fs::read(path)
                    .inspect_err(|why| {
                        tracing::warn!(path = %path.display(), %why, "our own token for the API server cannot be read");
                    })
                    .ok()?;
                read = Secret::new(bytes.trim_ascii());
                &read
            }
        };
        let mut value =
            HeaderValue::from_bytes(&[b"Bearer ".as_slice(), token.expose()].concat()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    async fn ask(&self, token: &str, audiences: &[Arc<str>]) -> Review {
        let audiences: Vec<&str> = audiences.iter().map(|one| &**one).collect();
        let question = token_question(token, &audiences);
        let mut request = Request::post(format!("{}{REVIEWS}", self.server))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json");
        if let Some(authorization) = self.authorization() {
            request = request.header(AUTHORIZATION, authorization);
        }
        let Ok(request) = request.body(Bytes::from(question)) else {
            return Review::Nobody;
        };
        let answer = match self.transport.send(request).await {
            Ok(answer) => answer,
            Err(fault) => {
                tracing::warn!(%fault, "the API server does not review a token");
                return Review::Nobody;
            }
        };
        if !matches!(answer.status(), StatusCode::OK | StatusCode::CREATED) {
            tracing::warn!(
                status = answer.status().as_u16(),
                help = "let the service account create `tokenreviews`, as the ClusterRole `system:auth-delegator` does",
                "the API server does not review a token"
            );
            return Review::Nobody;
        }
        match token_answer(answer.body(), &audiences) {
            Some(TokenReview::Of { user, groups }) => Review::Somebody { name: user, groups },
            Some(TokenReview::Refused(why)) if why.contains("expired") => Review::Expired,
            Some(TokenReview::Refused(_) | TokenReview::OtherAudience) => Review::Nobody,
            None => {
                tracing::warn!("the API server answers a review with something else");
                Review::Nobody
            }
        }
    }
}

impl Reviewer for ApiServer {
    fn review<'a>(&'a self, token: &'a str, audiences: &'a [Arc<str>]) -> Reviewed<'a> {
        Box::pin(self.ask(token, audiences))
    }
}

/// Of a kubeconfig what leads to a server.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    current_context: String,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
}
