//! `trafficPolicy.tls`: what TLS to an upstream is to be like, certificates still by name.

use std::sync::Arc;

use crate::objects::{Fault, Field};

/// `tls`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TlsSettings {
    /// Plain text.
    Disable,
    /// With the identity that the mesh gives to its workloads.
    Mesh,
    /// As said here.
    Origin(Box<TlsOrigin>),
}

/// `SIMPLE` and `MUTUAL`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TlsOrigin {
    pub(crate) server_name: Option<Arc<str>>,
    pub(crate) subject_alt_names: Vec<Arc<str>>,
    pub(crate) trust: TrustSource,
    /// Whether a certificate is shown: `MUTUAL`.
    pub(crate) client: Option<ClientSource>,
    /// Such as `spec.trafficPolicy.tls`.
    pub(crate) path: String,
    pub(crate) line: u32,
}

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TrustSource {
    /// The system's authorities.
    System,
    /// `insecureSkipVerify`.
    Anybody,
    /// Those of a file or Secret.
    Named(CertificateSource),
}

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CertificateSource {
    /// A file in the gateway's pods.
    File(Arc<str>),
    /// `credentialName`: a Secret in the gateway's namespace.
    Secret(Arc<str>),
}

/// Where the certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientSource {
    /// Files in the gateway's pods.
    Files {
        /// `clientCertificate`.
        chain: Arc<str>,
        /// `privateKey`.
        key: Arc<str>,
    },
    /// `credentialName`.
    Secret(Arc<str>),
}

const FIELDS: [&str; 9] = [
    "mode",
    "clientCertificate",
    "privateKey",
    "caCertificates",
    "caCrl",
    "credentialName",
    "subjectAltNames",
    "sni",
    "insecureSkipVerify",
];

/// Reads `tls`.
pub(super) fn read(field: &Field<'_>) -> Result<TlsSettings, Fault> {
    field.only(&FIELDS)?;
    let mode = field.child_text("mode")?;
    let mutual = match mode.as_deref() {
        None | Some("DISABLE") => return Ok(TlsSettings::Disable),
        Some("ISTIO_MUTUAL") => return Ok(TlsSettings::Mesh),
        Some("SIMPLE") => false,
        Some("MUTUAL") => true,
        Some(other) => {
            let fault = format!("`{}.mode` knows no `{other}`", field.path);
            let remedy = "write `DISABLE`, `SIMPLE`, `MUTUAL` or `ISTIO_MUTUAL`";
            return Err(field.fault(fault, remedy));
        }
    };
    if let Some(list) = field.child("caCrl") {
        let fault = format!("`{}` is not looked at here", list.path);
        return Err(list.fault(fault, "remove it; trust an authority of your own instead"));
    }
    let text = |name: &str| -> Result<Option<Arc<str>>, Fault> {
        Ok(field.child_text(name)?.filter(|text| !text.is_empty()))
    };
    let credential = text("credentialName")?;
    let authorities = text("caCertificates")?;
    let trust = match (&authorities, &credential) {
        _ if field.flag("insecureSkipVerify")? => TrustSource::Anybody,
        (Some(system), None) if &**system == "system" => TrustSource::System,
        (Some(path), None) => TrustSource::Named(CertificateSource::File(Arc::clone(path))),
        (None, Some(name)) => TrustSource::Named(CertificateSource::Secret(Arc::clone(name))),
        (None, None) => TrustSource::System,
        (Some(_), Some(_)) => {
            let fault = format!("`{}` names authorities twice", field.path);
            return Err(field.fault(fault, "keep `credentialName` or `caCertificates`"));
        }
    };
    let client = match (mutual, credential) {
        (false, _) => None,
        (true, Some(name)) => Some(ClientSource::Secret(name)),
        (true, None) => match (text("clientCertificate")?, text("privateKey")?) {
            (Some(chain), Some(key)) => Some(ClientSource::Files { chain, key }),
            _ => {
                let fault = format!("`{}` has no certificate to show", field.path);
                let remedy = "add `credentialName`, or `clientCertificate` and `privateKey`";
                return Err(field.fault(fault, remedy));
            }
        },
    };
    Ok(TlsSettings::Origin(Box::new(TlsOrigin {
        server_name: text("sni")?,
        subject_alt_names: field.texts("subjectAltNames")?,
        trust,
        client,
        path: field.path.clone(),
        line: field.line(),
    })))
}
