//! Entry points for `fuzz/`: any bytes in; a panic, an endless run or a broken promise is a bug.

use std::sync::OnceLock;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};
use model::objects::{File, ObjectSet};
use model::{Snapshot, compile};

use crate::cookies;
use crate::sessions::tokens_found;

/// The rules and login proxies of stock Kubeflow.
fn stock() -> &'static Snapshot {
    static STOCK: OnceLock<Snapshot> = OnceLock::new();
    STOCK.get_or_init(|| {
        let text = |name: &str, text: &str| File {
            name: name.into(),
            text: text.to_owned(),
        };
        let files = vec![
            text(
                "config.yaml",
                include_str!("../../../fixtures/kubeflow-26.03/15-config.yaml"),
            ),
            text(
                "workloads.yaml",
                include_str!("../../../fixtures/kubeflow-26.03/60-workloads.yaml"),
            ),
            text(
                "services.yaml",
                include_str!("../../../fixtures/kubeflow-26.03/10-services.yaml"),
            ),
            text(
                "authentication.yaml",
                include_str!("../testdata/fuzz-authentication.yaml"),
            ),
        ];
        compile(&ObjectSet { files }).snapshot
    })
}

/// Lines: a query, `Authorization`, and values of `Cookie`.
pub fn bearer(bytes: &[u8]) {
    let snapshot = stock();
    assert!(!snapshot.gateway_authentication().rules.is_empty() && !snapshot.logins().is_empty());
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let query = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let mut headers = HeaderMap::new();
    if let Some(value) = lines
        .next()
        .and_then(|line| HeaderValue::from_bytes(line).ok())
    {
        headers.insert(AUTHORIZATION, value);
    }
    for value in lines.filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        headers.append(COOKIE, value);
    }
    tokens_found(&headers, query, snapshot);
    for login in snapshot.logins() {
        let own = cookies::belonging(&headers, login, true, true);
        assert!(own.iter().all(|name| name.starts_with(&*login.cookie_name)));
        for name in &own {
            assert!(cookies::named(&headers, name).next().is_some());
        }
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn every_kept_input_holds() {
    replay::replay("bearer", bearer);
}
