//! `servers[].tls` of a `Gateway`.

use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use crate::finding::{Code, Finding, Severity, codes};
use crate::objects::{Fault, Field};
use crate::snapshot::{CipherSuite, TlsVersion};

use super::versions::{suites, versions};

/// How a TLS server handles connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    pub(crate) inside: Inside,
    /// Where its key pairs come from: one, or one for each kind of key.
    pub(crate) pairs: Vec<PairSource>,
    pub(crate) client: ClientSettings,
    pub(crate) min: TlsVersion,
    pub(crate) max: TlsVersion,
    pub(crate) suites: Vec<CipherSuite>,
}

/// What is made of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// TLS ends here, and HTTP is inside.
    Http,
    /// TLS ends here, and what is inside is passed on.
    Stream,
    /// TLS is passed on as it is.
    Untouched,
}

/// Where a key pair comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PairSource {
    /// `credentialName`.
    Credential(Arc<str>),
    /// `serverCertificate` and `privateKey`.
    Files(Arc<str>, Arc<str>),
}

/// Whether clients show a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientSettings {
    None,
    Optional(TrustSettings),
    Required(TrustSettings),
}

/// Whose certificates are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrustSettings {
    pub(crate) authority: AuthoritySource,
    /// `caCrl`.
    pub(crate) revoked: Option<Arc<str>>,
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) keys: Vec<[u8; 32]>,
    pub(crate) certificates: Vec<[u8; 32]>,
}

/// Where the authorities come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuthoritySource {
    /// Beside the key pair: `<name>-cacert`, else the Secret itself.
    Beside(Arc<str>),
    /// `caCertCredentialName`.
    Credential(Arc<str>),
    /// `caCertificates`.
    File(Arc<str>),
    /// Nowhere.
    Missing,
}

impl TlsSettings {
    /// What a server has that says nothing.
    pub(super) fn plain(inside: Inside) -> Self {
        Self {
            inside,
            pairs: Vec::new(),
            client: ClientSettings::None,
            min: TlsVersion::Tls12,
            max: TlsVersion::Tls13,
            suites: Vec::new(),
        }
    }
}

/// Fields that name a certificate or say whom to trust.
const CERTIFICATE_FIELDS: [&str; 9] = [
    "credentialName",
    "credentialNames",
    "tlsCertificates",
    "serverCertificate",
    "privateKey",
    "caCertificates",
    "caCrl",
    "caCertCredentialName",
    "subjectAltNames",
];

/// Reads `tls` of a server that ends TLS unless its mode says otherwise; with the fault that closes
/// it.
pub(super) fn read(
    tls: &Field<'_>,
    inside: Inside,
    findings: &mut Vec<Finding>,
) -> (TlsSettings, Option<Fault>) {
    let mut settings = TlsSettings::plain(inside);
    let fault = fill(tls, &mut settings, findings).err();
    (settings, fault)
}

fn fill(
    tls: &Field<'_>,
    settings: &mut TlsSettings,
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    let given = CERTIFICATE_FIELDS
        .into_iter()
        .find(|name| tls.child(name).is_some());
    let mode = tls.child("mode");
    match mode.as_ref().map(Field::text).transpose()? {
        Some("SIMPLE") => {}
        Some("MUTUAL") => settings.client = ClientSettings::Required(trust(tls)?),
        Some("OPTIONAL_MUTUAL") => settings.client = ClientSettings::Optional(trust(tls)?),
        Some("PASSTHROUGH") => {
            settings.inside = Inside::Untouched;
            if let Some(name) = given {
                let field = tls.child(name).unwrap_or_else(|| tls.clone());
                let fault = format!("`{}` has no effect with `mode: PASSTHROUGH`", field.path);
                warn(&field, fault, "remove it, or write another mode", findings);
            }
            return Ok(());
        }
        None if given.is_none() => {
            settings.inside = Inside::Untouched;
            let fault = format!("`{}.mode` is missing, which means PASSTHROUGH", tls.path);
            let remedy = "add `mode: PASSTHROUGH` if that is meant, else `mode: SIMPLE`";
            findings.push(tls.finding(codes::TLS_MODE, Severity::Warning, fault, remedy));
            return Ok(());
        }
        None => {
            let fault = format!(
                "`{}.mode` is missing, which means PASSTHROUGH, not SIMPLE",
                tls.path
            );
            return Err(coded(
                codes::TLS_MODE,
                tls.fault(fault, "add `mode: SIMPLE`"),
            ));
        }
        Some("AUTO_PASSTHROUGH") => {
            return Err(unserved(
                tls,
                "`AUTO_PASSTHROUGH`, which joins the meshes of several clusters and is not served here",
                "write `PASSTHROUGH` and route by `sniHosts`",
            ));
        }
        Some("ISTIO_MUTUAL") => {
            let fault = "`ISTIO_MUTUAL`, which needs the certificates of a mesh; doorward has none";
            return Err(unserved(
                tls,
                fault,
                "write `MUTUAL` with a `credentialName`",
            ));
        }
        Some(other) => {
            let fault = format!("`{}.mode` is no mode: `{other}`", tls.path);
            let known = "write `SIMPLE`, `MUTUAL`, `OPTIONAL_MUTUAL` or `PASSTHROUGH`";
            return Err(tls.fault(fault, known));
        }
    }
    settings.pairs = pairs(tls)?;
    if let Some(field) = tls.child("caCrl") {
        match (&settings.client, tls.child("credentialName")) {
            (ClientSettings::None, _) => {
                let fault = format!("`{}` has no effect with `mode: SIMPLE`", field.path);
                warn(&field, fault, "remove it, or write `MUTUAL`", findings);
            }
            // Left out, it would let revoked certificates in.
            (_, Some(_)) => {
                let fault = format!("`{}` is not read beside `credentialName`", field.path);
                let remedy = "put the list into the Secret of the authorities, under `ca.crl`";
                return Err(field.fault(fault, remedy));
            }
            (_, None) => {}
        }
    }
    if let Some(field) = tls.child("insecureSkipVerify").filter(|field| {
        !matches!(settings.client, ClientSettings::None) && field.boolean().unwrap_or(true)
    }) {
        let fault = format!(
            "`{}` is not followed: certificates are verified",
            field.path
        );
        warn(&field, fault, "remove it", findings);
    }
    versions(tls, settings, findings)?;
    settings.suites = suites(tls, findings)?;
    Ok(())
}

fn unserved(tls: &Field<'_>, what: &str, remedy: &str) -> Fault {
    let fault = tls.fault(format!("`{}.mode` is {what}", tls.path), remedy);
    coded(codes::UNSUPPORTED_SERVER, fault)
}

pub(super) fn coded(code: Code, mut fault: Fault) -> Fault {
    fault.code = code;
    fault
}

pub(super) fn warn(field: &Field<'_>, fault: String, remedy: &str, findings: &mut Vec<Finding>) {
    findings.push(field.finding(codes::TLS_SETTING, Severity::Warning, fault, remedy));
}

/// The key pairs, from one kind of source.
fn pairs(tls: &Field<'_>) -> Result<Vec<PairSource>, Fault> {
    let mut sources: Vec<(&str, Vec<PairSource>)> = Vec::new();
    if let Some(name) = tls
        .child_text("credentialName")?
        .filter(|it| !it.is_empty())
    {
        sources.push(("credentialName", vec![PairSource::Credential(name)]));
    }
    let names = tls.texts("credentialNames")?;
    if !names.is_empty() {
        let pairs = names.into_iter().map(PairSource::Credential).collect();
        sources.push(("credentialNames", pairs));
    }
    let several = tls.child_items("tlsCertificates")?;
    if !several.is_empty() {
        let mut pairs = Vec::new();
        for item in &several {
            let chain = item.required("serverCertificate")?.text()?;
            let key = item.required("privateKey")?.text()?;
            pairs.push(PairSource::Files(chain.into(), key.into()));
        }
        sources.push(("tlsCertificates", pairs));
    }
    let chain = tls.child_text("serverCertificate")?;
    let key = tls.child_text("privateKey")?;
    match (chain, key) {
        (Some(chain), Some(key)) => {
            sources.push(("serverCertificate", vec![PairSource::Files(chain, key)]));
        }
        (None, None) => {}
        _ => {
            let fault = format!("`{}` names half of a key pair", tls.path);
            return Err(tls.fault(fault, "name both `serverCertificate` and `privateKey`"));
        }
    }
    if let [(first, _), (second, _), ..] = sources.as_slice() {
        let fault = format!("`{}` has both `{first}` and `{second}`", tls.path);
        return Err(tls.fault(fault, "keep one source of the certificate"));
    }
    let pairs = sources.pop().map(|(_, pairs)| pairs).unwrap_or_default();
    if pairs.len() > 2 {
        let fault = format!("`{}` names more than two certificates", tls.path);
        return Err(tls.fault(fault, "keep one with an RSA key and one with an ECDSA key"));
    }
    Ok(pairs)
}

/// Whose certificates clients may show.
fn trust(tls: &Field<'_>) -> Result<TrustSettings, Fault> {
    let first =
        |name| -> Result<Option<Arc<str>>, Fault> { Ok(tls.texts(name)?.into_iter().next()) };
    let beside = match tls.child_text("credentialName")? {
        Some(name) => Some(name),
        None => first("credentialNames")?,
    };
    let mut file = tls.child_text("caCertificates")?;
    for item in tls.child_items("tlsCertificates")? {
        file = file.or(item.child_text("caCertificates")?);
    }
    let authority = match (tls.child_text("caCertCredentialName")?, beside, file) {
        (Some(name), ..) => AuthoritySource::Credential(name),
        (None, Some(name), _) => AuthoritySource::Beside(name),
        (None, None, Some(file)) => AuthoritySource::File(file),
        (None, None, None) => AuthoritySource::Missing,
    };
    Ok(TrustSettings {
        authority,
        revoked: tls.child_text("caCrl")?,
        names: tls.texts("subjectAltNames")?,
        keys: digests(tls, "verifyCertificateSpki", |text| {
            BASE64.decode(text.as_bytes()).ok()
        })?,
        certificates: digests(tls, "verifyCertificateHash", |text| {
            let digits = text.replace(':', "");
            HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()
        })?,
    })
}

fn digests(
    tls: &Field<'_>,
    name: &str,
    decode: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<[u8; 32]>, Fault> {
    let mut digests = Vec::new();
    for item in tls.child_items(name)? {
        let bytes = decode(item.text()?).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let fault = || {
            let fault = format!("`{}` is no SHA-256", item.path);
            item.fault(fault, "write 32 bytes as the field asks for them")
        };
        digests.push(bytes.ok_or_else(fault)?);
    }
    Ok(digests)
}
