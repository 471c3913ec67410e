//! The certificate of a client, as upstreams are told of it: `x-forwarded-client-cert`, and
//! `client-cert` (RFC 9440).

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, HEXLOWER};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use model::snapshot::ForwardClientCert;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::X509Name;
use x509_parser::{oid_registry, parse_x509_certificate};

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const CERT: HeaderName = HeaderName::from_static("client-cert");

/// A certificate beyond this is told by its hash alone: upstreams limit their headers.
const LONGEST: usize = 8 * 1024;

/// Characters that a URL may hold as they are (RFC 3986 §2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A verified certificate, in the words of headers.
#[derive(Debug)]
pub(crate) struct Shown {
    /// SPIFFE id without `spiffe://`; none where there is not exactly one.
    pub(crate) principal: Option<Box<str>>,
    element: HeaderValue,
    whole: Option<HeaderValue>,
}

impl Shown {
    /// Reads a certificate that was verified; `None` when it cannot be told, which none is that can
    /// be verified.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(der).ok()?;
        let (uris, names) = alternative_names(&parsed);
        let mut spiffe = uris.iter().filter_map(|uri| uri.strip_prefix("spiffe://"));
        let principal = match (spiffe.next(), spiffe.next()) {
            (Some(only), None) => Some(only.into()),
            _ => None,
        };
        let mut element = format!("Hash={}", HEXLOWER.encode(digest(&SHA256, der).as_ref()));
        let fits = der.len() <= LONGEST;
        if fits {
            let pem = pem(der);
            let pem = utf8_percent_encode(&pem, ENCODED);
            element.push_str(&format!(";Cert=\"{pem}\""));
        }
        element.push_str(&format!(";Subject=\"{}\"", subject(parsed.subject())));
        for uri in uris {
            pair(&mut element, "URI", uri);
        }
        for name in names {
            pair(&mut element, "DNS", name);
        }
        let whole = format!(":{}:", BASE64.encode(der));
        Some(Self {
            principal,
            element: HeaderValue::try_from(element).ok()?,
            whole: HeaderValue::try_from(whole).ok().filter(|_| fits),
        })
    }
}

fn alternative_names<'a>(certificate: &'a X509Certificate<'_>) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut uris, mut names) = (Vec::new(), Vec::new());
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        for name in &extension.value.general_names {
            match name {
                GeneralName::URI(uri) => uris.push(*uri),
                GeneralName::DNSName(name) => names.push(*name),
                _ => {}
            }
        }
    }
    (uris, names)
}

/// A value with separators in it is quoted.
fn pair(element: &mut String, key: &str, value: &str) {
    if value.contains([',', ';', '=', '"']) {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        element.push_str(&format!(";{key}=\"{escaped}\""));
    } else {
        element.push_str(&format!(";{key}={value}"));
    }
}

fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// The name as RFC 2253 writes it: the last part first. What is escaped there reads right inside
/// the quotes of the header, too.
fn subject(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let one = |part: &x509_parser::x509::RelativeDistinguishedName<'_>| {
        let pairs: Vec<String> = part
            .iter()
            .map(|pair| {
                let oid = pair.attr_type();
                let value = pair.as_str().unwrap_or_default();
                format!("{}={}", short(oid), escaped(value))
            })
            .collect();
        pairs.join("+")
    };
    let parts: Vec<String> = parts.into_iter().rev().map(one).collect();
    parts.join(",")
}

fn short(oid: &x509_parser::der_parser::Oid<'_>) -> String {
    let known = [
        (oid_registry::OID_X509_COMMON_NAME, "CN"),
        (oid_registry::OID_X509_LOCALITY_NAME, "L"),
        (oid_registry::OID_X509_STATE_OR_PROVINCE_NAME, "ST"),
        (oid_registry::OID_X509_ORGANIZATION_NAME, "O"),
        (oid_registry::OID_X509_ORGANIZATIONAL_UNIT, "OU"),
        (oid_registry::OID_X509_COUNTRY_NAME, "C"),
        (oid_registry::OID_X509_STREET_ADDRESS, "street"),
        (oid_registry::OID_DOMAIN_COMPONENT, "DC"),
        (oid_registry::OID_USERID, "UID"),
        (oid_registry::OID_PKCS9_EMAIL_ADDRESS, "emailAddress"),
    ];
    let found = known.iter().find(|(known, _)| known == oid);
    found.map_or_else(|| oid.to_id_string(), |(_, name)| (*name).to_owned())
}

/// RFC 2253 §2.4; bytes that a header must not hold are escaped as two digits.
fn escaped(value: &str) -> String {
    let mut out = String::new();
    let last = value.len().wrapping_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'#' if at == 0 => out.push_str("\\#"),
            b' ' if at == 0 || at == last => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("\\{other:02X}")),
        }
    }
    out
}

/// Takes what came from outside away or passes it on, and tells what this connection showed.
pub(super) fn tell(headers: &mut HeaderMap, shown: Option<&Shown>, mode: ForwardClientCert) {
    let keeps = match mode {
        ForwardClientCert::Sanitize | ForwardClientCert::SanitizeSet => false,
        ForwardClientCert::ForwardOnly | ForwardClientCert::AppendForward => shown.is_some(),
        ForwardClientCert::AlwaysForwardOnly => true,
    };
    if !keeps {
        headers.remove(FORWARDED);
    }
    let says = match mode {
        ForwardClientCert::SanitizeSet | ForwardClientCert::AppendForward => shown,
        ForwardClientCert::Sanitize
        | ForwardClientCert::ForwardOnly
        | ForwardClientCert::AlwaysForwardOnly => None,
    };
    let Some(shown) = says else { return };
    // Lines of one name are one list: the own element is the last.
    headers.append(FORWARDED, shown.element.clone());
    if let Some(whole) = &shown.whole {
        headers.insert(CERT, whole.clone());
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(uris: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["client.example".into()]).unwrap();
        for uri in uris {
            let uri = (*uri).try_into().unwrap();
            params.subject_alt_names.push(SanType::URI(uri));
        }
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, "A, B \"C\" ü");
        name.push(DnType::CommonName, "client");
        params.distinguished_name = name;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    const ID: &str = "spiffe://cluster.local/ns/a/sa/b";

    #[test]
    fn a_certificate_is_told_as_envoy_tells_it() {
        let der = certificate(&[ID, "https://x.example/?a=1,2"]);
        let shown = Shown::read(&der).unwrap();
        assert_eq!(shown.principal.as_deref(), Some("cluster.local/ns/a/sa/b"));
        let text = shown.element.to_str().unwrap();
        let (hash, rest) = text.split_once(";Cert=\"").unwrap();
        let digest = digest(&SHA256, &der);
        assert_eq!(hash, format!("Hash={}", HEXLOWER.encode(digest.as_ref())));
        let (pem, rest) = rest.split_once('"').unwrap();
        let pem = percent_encoding::percent_decode_str(pem)
            .decode_utf8()
            .unwrap();
        let read = rustls_pki_types::pem::PemObject::from_pem_slice(pem.as_bytes());
        assert_eq!(
            Ok(der.clone()),
            read.map_err(|_: rustls_pki_types::pem::Error| ())
        );
        assert_eq!(
            rest,
            ";Subject=\"CN=client,O=A\\, B \\\"C\\\" \\C3\\BC\";URI=spiffe://cluster.local/ns/a/sa/b;URI=\"https://x.example/?a=1,2\";DNS=client.example"
        );
        let whole = format!(":{}:", BASE64.encode(&der));
        assert_eq!(shown.whole.unwrap().to_str().unwrap(), whole);
    }

    #[test]
    fn two_spiffe_ids_are_nobody() {
        let der = certificate(&[ID, "spiffe://cluster.local/ns/c/sa/d"]);
        assert_eq!(Shown::read(&der).unwrap().principal, None);
    }

    #[test]
    fn what_comes_from_outside_passes_only_where_it_is_asked_for() {
        let shown = Shown::read(&certificate(&[ID])).unwrap();
        let told = |mode, shown: Option<&Shown>| {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED, HeaderValue::from_static("By=liar"));
            tell(&mut headers, shown, mode);
            let certificate = headers.contains_key(CERT);
            let values = headers.get_all(FORWARDED).iter();
            let values: Vec<_> = values.map(|value| value == "By=liar").collect();
            (values, certificate)
        };
        let shown = Some(&shown);
        use ForwardClientCert::*;
        assert_eq!(told(Sanitize, shown), (vec![], false));
        assert_eq!(told(SanitizeSet, shown), (vec![false], true));
        assert_eq!(told(SanitizeSet, None), (vec![], false));
        assert_eq!(told(ForwardOnly, shown), (vec![true], false));
        assert_eq!(told(ForwardOnly, None), (vec![], false));
        assert_eq!(told(AppendForward, shown), (vec![true, false], true));
        assert_eq!(told(AppendForward, None), (vec![], false));
        assert_eq!(told(AlwaysForwardOnly, None), (vec![true], false));
    }
}
