//! Entry points for `fuzz/`: any bytes in; a panic, an endless run or a broken promise is a bug.

use crate::objects::{File, ObjectSet};
use crate::snapshot::Regex;
use crate::{Compiled, compile};

/// Manifests of any text: they compile, to the same result each time.
pub fn manifests(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(text.to_owned());
    }
}

/// A configuration of Dex inside the ConfigMap that it comes in.
pub fn dex(bytes: &[u8]) {
    in_config_map(bytes, "dex", "config.yaml");
}

/// A configuration file of OAuth2 Proxy inside the ConfigMap that it comes in.
pub fn oauth2_proxy(bytes: &[u8]) {
    in_config_map(bytes, "oauth2-proxy", "oauth2_proxy.cfg");
}

/// A pattern of a route, a line feed, and what it is asked about.
pub fn pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (pattern, text) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(whole) = Regex::whole(pattern) {
        let anywhere = Regex::anywhere(pattern);
        let anywhere = anywhere.unwrap_or_else(|error| panic!("only whole compiles: {error}"));
        assert!(!whole.is_match(text) || anywhere.is_match(text));
        anywhere.replace_all(text, "\\0\\1");
    }
}

fn in_config_map(bytes: &[u8], name: &str, key: &str) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let object = serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "auth"},
        "data": {key: text},
    });
    check(object.to_string());
}

fn check(text: String) {
    let file = File {
        name: "fuzz.yaml".into(),
        text,
    };
    let objects = ObjectSet { files: vec![file] };
    let first: Compiled = compile(&objects);
    assert!(first == compile(&objects), "compiled to two results");
    for finding in &first.findings {
        assert!(!finding.fault.is_empty(), "a finding that says nothing");
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn every_kept_input_holds() {
    replay::replay("manifests", manifests);
    replay::replay("dex", dex);
    replay::replay("oauth2_proxy", oauth2_proxy);
    replay::replay("pattern", pattern);
}
