//! Parameter files beside the manifests: `name=value` lines that kustomize fills in, among them
//! where OIDC AuthService sends people back to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::finding::{Code, codes};
use model::names::Place;
use model::{Finding, Severity, Snapshot};
use url::Url;

/// Directories deeper than this hold no manifests.
const DEEPEST: usize = 32;
/// A longer file is none of parameters.
const LONGEST: u64 = 1 << 20;

/// Names under which files tell where people come back from sign-in.
const CALLBACKS: [&str; 4] = [
    "oidc_redirect_uri",
    "redirect_url",
    "oauth2_proxy_redirect_url",
    "oidc_redirect_url",
];

/// What is wrong with the parameter files among `paths`. A file that cannot be read is left to the
/// reader of the manifests, who looks at the same directories.
pub(super) fn check(paths: &[PathBuf], snapshot: &Snapshot) -> Vec<Finding> {
    let mut files = Vec::new();
    for path in paths {
        // What is not there, the reader of the manifests has already told.
        let _ = gather(path, 0, &mut files);
    }
    files.sort();
    let mut findings = Vec::new();
    for file in files {
        if let Ok(text) = fs::read_to_string(&file) {
            look(&file.display().to_string(), &text, snapshot, &mut findings);
        }
    }
    findings
}

fn gather(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let about = fs::symlink_metadata(path)?;
    let is_hidden = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'));
    if depth > DEEPEST || depth > 0 && is_hidden {
        return Ok(());
    }
    if about.is_dir() {
        for entry in fs::read_dir(path)? {
            gather(&entry?.path(), depth + 1, files)?;
        }
    } else if about.is_file()
        && about.len() <= LONGEST
        && path
            .extension()
            .is_some_and(|extension| matches!(extension.to_str(), Some("params" | "env")))
    {
        files.push(path.to_owned());
    }
    Ok(())
}

fn look(name: &str, text: &str, snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        let Some((key, value)) = text.split_once('=').filter(|_| !text.starts_with('#')) else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim().trim_matches('"'));
        let is_callback = CALLBACKS.contains(&key.to_ascii_lowercase().as_str());
        let said = |code: Code, severity, fault: String, remedy: &str| Finding {
            code,
            severity,
            place: Some(Place::new(name, line)),
            object: None,
            field: key.to_owned(),
            fault,
            remedy: remedy.to_owned(),
        };
        match (placeholder(value), is_callback) {
            (Some(placeholder), true) => findings.push(said(
                codes::FOREIGN_CALLBACK,
                Severity::Error,
                format!(
                    "people come back from sign-in to `{placeholder}`, which is no address yet"
                ),
                "write the host that the certificate and the `Gateway` name, here and where the application is registered",
            )),
            (Some(placeholder), false) => findings.push(said(
                codes::PLACEHOLDER,
                Severity::Error,
                format!("the placeholder `{placeholder}` was never filled in"),
                "fill it in before you apply the manifests",
            )),
            (None, true) => {
                if let Some(fault) = foreign(value, snapshot) {
                    let remedy = "name a host that the certificate and the `Gateway` name";
                    let code = codes::FOREIGN_CALLBACK;
                    findings.push(said(code, Severity::Error, fault, remedy));
                }
            }
            (None, false) => {}
        }
    }
}

/// The first `<name>` or `${NAME}` in a value.
fn placeholder(value: &str) -> Option<&str> {
    let between = |open: &str, close: char| {
        let start = value.find(open)?;
        let inner = &value[start + open.len()..];
        let length = inner.find(close)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_- ".contains(&byte);
        let fits = length > 0 && inner[..length].bytes().all(is_name);
        fits.then(|| &value[start..start + open.len() + length + close.len_utf8()])
    };
    between("${", '}').or_else(|| between("<", '>'))
}

/// Why people do not get back to `url`.
fn foreign(url: &str, snapshot: &Snapshot) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.to_ascii_lowercase();
    let listeners = snapshot.listeners();
    if !listeners.is_empty() && !listeners.values().any(|one| one.covers(&host)) {
        return Some(format!(
            "people come back from sign-in to `{host}`, which no `Gateway` serves"
        ));
    }
    let address = host.trim_matches(['[', ']']).parse().ok();
    let mut wanted = snapshot.wanted_certificates().iter().filter(|one| {
        // One that is made up for want of any names nobody in particular.
        !one.dns_names.is_empty() || !one.addresses.is_empty()
    });
    let first = wanted.next()?;
    let names = |one: &model::snapshot::WantedCertificate| {
        let dns = one.dns_names.iter().any(|name| {
            model::names::HostPattern::parse(name).is_some_and(|pattern| pattern.covers(&host))
        });
        dns || address.is_some_and(|address| one.addresses.contains(&address))
    };
    let is_named = names(first) || wanted.any(names);
    (!is_named).then(|| {
        format!(
            "people come back from sign-in to `{host}`, which `{}` does not name",
            first.object
        )
    })
}

#[cfg(test)]
mod tests {
    use model::objects::{File, ObjectSet};

    use super::*;

    fn found(text: &str) -> Vec<(u16, u32, String)> {
        let manifests = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: s, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: c}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: c, namespace: istio-system}
spec: {secretName: c, dnsNames: [kf.example.com], ipAddresses: [192.0.2.7], issuerRef: {name: i, kind: ClusterIssuer}}
";
        let file = File {
            name: "m.yaml".into(),
            text: manifests.into(),
        };
        let snapshot = model::compile(&ObjectSet { files: vec![file] }).snapshot;
        let mut findings = Vec::new();
        look("a.params", text, &snapshot, &mut findings);
        findings
            .into_iter()
            .map(|one| (one.code.0, one.place.unwrap().line, one.fault))
            .collect()
    }

    #[test]
    fn people_come_back_to_an_address_that_the_certificate_names() {
        assert_eq!(
            found("oidc_redirect_uri=https://kf.example.com/login/oidc"),
            []
        );
        assert_eq!(found("REDIRECT_URL=https://192.0.2.7/login/oidc"), []);
        let told = found("# x=<y>\n\noidc_redirect_uri=https://192.0.2.8/login/oidc");
        assert_eq!(
            told,
            [(
                614,
                3,
                "people come back from sign-in to `192.0.2.8`, which `Certificate istio-system/c` does not name".to_owned()
            )]
        );
    }

    #[test]
    fn placeholders_are_told_and_values_are_not() {
        let told = found(
            "client_id=<client_id>\napplication_secret=hunter2\nissuer=https://h/<tenant_id>/v2.0\noidc_redirect_uri=https://<load_balancer_ip or dns_name>/login/oidc\nnamespace=${NS}\nskip=",
        );
        let codes: Vec<_> = told.iter().map(|one| (one.0, one.1)).collect();
        assert_eq!(codes, [(108, 1), (108, 3), (614, 4), (108, 5)]);
        assert!(told[2].2.contains("`<load_balancer_ip or dns_name>`"));
        assert!(!format!("{told:?}").contains("hunter2"));
    }
}
