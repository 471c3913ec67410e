//! Versions and suites of TLS that a `Gateway` server names.

use super::tls::{TlsSettings, warn};
use crate::finding::Finding;
use crate::objects::{Fault, Field};
use crate::snapshot::{CipherSuite, TlsVersion};

/// The versions that are spoken.
pub(super) fn versions(
    tls: &Field<'_>,
    settings: &mut TlsSettings,
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    if let Some(field) = tls.child("minProtocolVersion") {
        match field.text()? {
            "TLS_AUTO" | "TLSV1_2" => {}
            "TLSV1_3" => settings.min = TlsVersion::Tls13,
            "TLSV1_0" | "TLSV1_1" => {
                let fault = format!("`{}` is below TLS 1.2, which stays the oldest", field.path);
                warn(&field, fault, "write `TLSV1_2`", findings);
            }
            other => return Err(no_version(&field, other)),
        }
    }
    if let Some(field) = tls.child("maxProtocolVersion") {
        match field.text()? {
            "TLS_AUTO" | "TLSV1_3" => {}
            "TLSV1_2" => settings.max = TlsVersion::Tls12,
            "TLSV1_0" | "TLSV1_1" => {
                let fault = format!("`{}` allows no version that is spoken here", field.path);
                return Err(field.fault(fault, "write `TLSV1_2` or `TLSV1_3`"));
            }
            other => return Err(no_version(&field, other)),
        }
        if settings.max < settings.min {
            let fault = format!("`{}` is below `minProtocolVersion`", field.path);
            return Err(field.fault(fault, "raise it, or lower the other"));
        }
    }
    Ok(())
}

fn no_version(field: &Field<'_>, text: &str) -> Fault {
    let fault = format!("`{}` is no TLS version: `{text}`", field.path);
    field.fault(fault, "write `TLSV1_2` or `TLSV1_3`")
}

/// Suites that Istio accepts and that are not spoken here.
const UNSPOKEN: [&str; 9] = [
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];

/// The suites that are spoken; none leaves the choice to the gateway.
pub(super) fn suites(
    tls: &Field<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<CipherSuite>, Fault> {
    let mut suites = Vec::new();
    let (mut any, mut all) = (None, false);
    for item in tls.child_items("cipherSuites")? {
        let text = item.text()?;
        any = Some(item.clone());
        all |= text == "ALL";
        let what = match suite(text) {
            Some(suite) if suites.contains(&suite) => "stands there twice",
            Some(suite) => {
                suites.push(suite);
                continue;
            }
            None if text == "ALL" => continue,
            None if UNSPOKEN.contains(&text) => "is too weak to be spoken here",
            None => "is no suite",
        };
        let fault = format!("`{text}` in `{}` {what}", item.path);
        warn(&item, fault, "remove it", findings);
    }
    if let Some(field) = any.filter(|_| suites.is_empty() && !all) {
        let fault = format!(
            "`{}.cipherSuites` leaves none; the usual ones are spoken",
            tls.path
        );
        warn(
            &field,
            fault,
            "name an ECDHE suite with GCM or CHACHA20",
            findings,
        );
    }
    Ok(if all { Vec::new() } else { suites })
}

fn suite(text: &str) -> Option<CipherSuite> {
    Some(match text {
        "ECDHE-ECDSA-AES128-GCM-SHA256" => CipherSuite::EcdsaAes128,
        "ECDHE-ECDSA-AES256-GCM-SHA384" => CipherSuite::EcdsaAes256,
        "ECDHE-ECDSA-CHACHA20-POLY1305" => CipherSuite::EcdsaChacha20,
        "ECDHE-RSA-AES128-GCM-SHA256" => CipherSuite::RsaAes128,
        "ECDHE-RSA-AES256-GCM-SHA384" => CipherSuite::RsaAes256,
        "ECDHE-RSA-CHACHA20-POLY1305" => CipherSuite::RsaChacha20,
        _ => return None,
    })
}
