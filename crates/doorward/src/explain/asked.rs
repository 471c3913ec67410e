//! The request that is asked about: facts from flags, as the gateway takes them from the wire.

use http::header::HOST;
use http::{HeaderMap, HeaderName};
use model::Snapshot;
use policy::request::FoldedNames;

use super::ExplainArgs;
use super::probe::Probe;

/// The request that is asked about.
pub(super) struct Asked {
    pub(super) probe: Probe,
    /// Names of the identity headers that were removed.
    stripped: Vec<HeaderName>,
}

impl Asked {
    /// The request for `path` of `host` that the flags tell more of. It comes from this machine.
    pub(super) fn of(args: &ExplainArgs, host: &str, path: &str, snapshot: &Snapshot) -> Self {
        let mut probe = Probe::of(snapshot, args.scheme, host);
        let mut headers = HeaderMap::new();
        for (name, value) in &args.headers {
            headers.append(name, value.clone());
        }
        let before: Vec<_> = headers.keys().cloned().collect();
        FoldedNames::of(snapshot.identity_headers()).remove_from(&mut headers);
        let stripped = before
            .into_iter()
            .filter(|name| !headers.contains_key(name))
            .collect();
        if let Some(host) = probe.headers.remove(HOST) {
            headers.entry(HOST).or_insert(host);
        }
        path.clone_into(&mut probe.path);
        probe.method.clone_from(&args.method);
        probe.headers = headers;
        probe.port = args.port.unwrap_or(probe.port);
        if let Some(name) = &args.server_name {
            probe.server_name = Some(name.clone());
        }
        Self { probe, stripped }
    }

    /// What the gateway does before the decision.
    pub(super) fn notes(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut notes: Vec<_> = self
            .stripped
            .iter()
            .map(|name| format!("`{name}` says who the user is and is removed from outside"))
            .collect();
        if self.probe.scheme == "http" {
            notes.push(
                "`up` redirects plain HTTP to HTTPS first, unless `--https-upgrade off`".into(),
            );
        }
        if snapshot.listener(self.probe.port).is_none() {
            notes.push(format!("no `Gateway` serves port {}", self.probe.port));
        }
        notes
    }
}
