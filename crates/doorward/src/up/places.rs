//! Where the hosts of issuers live: where a rule says so, else where DNS does.

use std::sync::Arc;
use std::task::{Context, Poll};

use gateway::ResolveRule;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tower_service::Service;

/// Connects to the place of a URL's host. TLS is still about the host that the URL names.
#[derive(Clone)]
pub(crate) struct Places {
    http: HttpConnector,
    rules: Arc<[ResolveRule]>,
}

impl Places {
    pub(crate) fn new(rules: &[ResolveRule]) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        Self {
            http,
            rules: rules.into(),
        }
    }

    /// The URL to connect to.
    fn place(&self, uri: Uri) -> Uri {
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        });
        let host = uri.host().unwrap_or_default();
        let Some((host, port)) = ResolveRule::reach(&self.rules, host, port) else {
            return uri;
        };
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_string(),
        };
        format!("http://{host}:{port}/").parse().unwrap_or(uri)
    }
}

impl Service<Uri> for Places {
    type Response = <HttpConnector as Service<Uri>>::Response;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = <HttpConnector as Service<Uri>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.http.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let place = self.place(uri);
        self.http.call(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_leads_elsewhere_and_one_for_everything_does_not() {
        let rules: Vec<ResolveRule> = [
            "dex.auth=127.0.0.1:4000",
            "dex.auth:5557=127.0.0.1:4001",
            "id.example=::1",
            "*=127.0.0.1:9",
        ]
        .iter()
        .map(|rule| rule.parse().unwrap())
        .collect();
        let places = Places::new(&rules);
        for (uri, wanted) in [
            (
                "http://dex.auth.svc.cluster.local:5556/dex",
                "http://127.0.0.1:4000/",
            ),
            ("http://dex.auth:5557/dex", "http://127.0.0.1:4001/"),
            ("https://ID.example/x", "http://[::1]:443/"),
            ("https://accounts.example/x", "https://accounts.example/x"),
            ("http://dex.authority/x", "http://dex.authority/x"),
        ] {
            assert_eq!(places.place(Uri::from_static(uri)).to_string(), wanted);
        }
    }
}
