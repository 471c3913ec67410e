//! Findings as SARIF 2.1.0 (OASIS), which code hosts and editors read.

use std::collections::BTreeSet;
use std::path::Path;

use model::{Finding, Severity};
use serde_json::{Value, json};
use url::Url;

pub(super) fn document(findings: &[Finding]) -> Value {
    let codes: BTreeSet<_> = findings
        .iter()
        .map(|finding| finding.code.to_string())
        .collect();
    let rules: Vec<_> = codes
        .into_iter()
        .map(|code| json!({ "id": code }))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "doorward",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(finding: &Finding) -> Value {
    let Finding {
        code,
        severity,
        place,
        object,
        field,
        fault,
        remedy,
    } = finding;
    let mut result = json!({
        "ruleId": code.to_string(),
        "level": match severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        },
        "message": { "text": format!("{fault}\nhelp: {remedy}") },
    });
    if place.is_none() && object.is_none() {
        return result;
    }
    let mut location = json!({});
    if let Some(place) = place {
        let mut physical = json!({ "artifactLocation": { "uri": uri(&place.file) } });
        // Line 0 means the whole file.
        if place.line > 0 {
            physical["region"] = json!({ "startLine": place.line });
        }
        location["physicalLocation"] = physical;
    }
    if let Some(object) = object {
        let name = format!("{object}{}{field}", if field.is_empty() { "" } else { " " });
        location["logicalLocations"] = json!([{ "fullyQualifiedName": name }]);
    }
    result["locations"] = json!([location]);
    result
}

/// A file name as a URI reference (RFC 3986): relative ones stay relative.
fn uri(file: &str) -> String {
    let path = Path::new(file);
    let absolute = Path::new("/").join(path);
    match Url::from_file_path(&absolute) {
        Ok(url) if path.is_absolute() => url.into(),
        Ok(url) => url.path().trim_start_matches('/').to_owned(),
        Err(()) => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn file_names_are_escaped_and_relative_ones_stay_relative() {
        assert_eq!(uri("a dir/50%#x.yaml"), "a%20dir/50%25%23x.yaml");
        assert_eq!(uri("/etc/a.yaml"), "file:///etc/a.yaml");
    }
}
