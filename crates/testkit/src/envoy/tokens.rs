//! Token rules as configuration of the filter `jwt_authn`.

use model::snapshot::{Authentication, JwtRule, KeySource, TokenLocation};
use serde_json::{Map, Value, json};

/// The filter's configuration for every workload of `all`. A route names the one that it is about,
/// by its number, in `requirement_name`.
pub fn authentication(all: &[Authentication]) -> Value {
    let (mut providers, mut requirements) = (Map::new(), Map::new());
    for (number, one) in all.iter().enumerate() {
        let mut any: Vec<Value> = Vec::new();
        for (at, rule) in one.rules.iter().enumerate() {
            let name = format!("{number}-{at}");
            any.push(json!({ "provider_name": name }));
            providers.insert(name, provider(rule));
        }
        if any.is_empty() {
            continue;
        }
        // No token is for the policies to judge.
        any.push(json!({ "allow_missing": {} }));
        let requirement = json!({ "requires_any": { "requirements": any } });
        requirements.insert(number.to_string(), requirement);
    }
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "bypass_cors_preflight": true,
        "providers": providers,
        "requirement_map": requirements,
    })
}

fn provider(rule: &JwtRule) -> Value {
    let mut provider = json!({
        "issuer": &*rule.issuer,
        "audiences": rule.audiences.iter().map(|one| &**one).collect::<Vec<&str>>(),
        "forward": rule.forward_original,
        "payload_in_metadata": "payload",
    });
    if let KeySource::Inline(keys) = &rule.keys {
        provider["local_jwks"] = json!({ "inline_string": &**keys });
    }
    let (mut headers, mut parameters, mut cookies) = (Vec::new(), Vec::new(), Vec::new());
    for location in &rule.locations {
        match location {
            TokenLocation::Header { name, prefix } => {
                headers.push(json!({ "name": name.as_str(), "value_prefix": &**prefix }));
            }
            TokenLocation::Query(name) => parameters.push(json!(&**name)),
            TokenLocation::Cookie(name) => cookies.push(json!(&**name)),
        }
    }
    provider["from_headers"] = headers.into();
    provider["from_params"] = parameters.into();
    provider["from_cookies"] = cookies.into();
    let words = ["scope", "permission"].into_iter();
    let words: Vec<&str> = words
        .chain(rule.space_delimited.iter().map(|claim| &**claim))
        .collect();
    provider["normalize_payload_in_metadata"] = json!({ "space_delimited_claims": words });
    if let Some(name) = &rule.payload_header {
        provider["forward_payload_header"] = json!(name.as_str());
    }
    let outputs = rule.claim_headers.iter().map(|output| {
        let header = output.header.as_str();
        json!({ "header_name": header, "claim_name": output.claim.join(".") })
    });
    provider["claim_to_headers"] = outputs.collect();
    provider
}
