//! Policies as rules of the filter `rbac`.

use std::sync::Arc;

use model::snapshot::{
    Attribute, Policy, PolicyRule, PolicySet, PrincipalPattern, Test, TextPattern, Values,
};
use serde_json::{Map, Value, json};

/// Names of the two filters, in the order in which they are asked.
pub const FILTERS: [&str; 2] = ["deny", "allow"];

/// Where the port of a workload is for Envoy: what listens there in a test is on another one.
pub type PortOf<'a> = &'a dyn Fn(u16) -> u16;

/// What a route says to each of [`FILTERS`].
#[derive(Debug)]
pub struct Restraints {
    /// DENY.
    pub deny: Value,
    /// ALLOW.
    pub allow: Value,
}

/// DENY and ALLOW of one workload; AUDIT changes no answer, and CUSTOM is another filter's.
pub fn restraints(policies: &PolicySet, port_of: PortOf<'_>) -> Restraints {
    let PolicySet { deny, allow, .. } = policies;
    Restraints {
        deny: per_route((!deny.is_empty()).then(|| rules("DENY", deny, port_of))),
        // Without any ALLOW policy there is nothing that has to be allowed.
        allow: per_route((!allow.is_empty()).then(|| rules("ALLOW", allow, port_of))),
    }
}

fn per_route(rules: Option<Value>) -> Value {
    let rbac = rules.map_or_else(|| json!({}), |rules| json!({ "rules": rules }));
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
        "rbac": rbac,
    })
}

fn rules(action: &str, policies: &[Arc<Policy>], port_of: PortOf<'_>) -> Value {
    let mut all = Map::new();
    for policy in policies {
        for (number, rule) in policy.rules.iter().enumerate() {
            let name = format!("{}[{number}]", policy.info.object);
            all.insert(name, one_rule(rule, port_of));
        }
    }
    json!({ "action": action, "policies": all })
}

fn one_rule(rule: &PolicyRule, port_of: PortOf<'_>) -> Value {
    let side = |side: Side, alternatives: &[Vec<Test>]| {
        let of = |tests: &[Test]| {
            let tests = tests
                .iter()
                .filter(|test| Side::of(&test.attribute) == side);
            side.all(tests.map(|test| holds(test, side, port_of)).collect())
        };
        let mut parts = vec![of(&rule.when)];
        if !alternatives.is_empty() {
            parts.push(side.any(alternatives.iter().map(|tests| of(tests)).collect()));
        }
        side.all(parts)
    };
    json!({
        "permissions": [side(Side::Permission, &rule.to)],
        "principals": [side(Side::Principal, &rule.from)],
    })
}

/// Envoy has one vocabulary for what is asked for and one for who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Permission,
    Principal,
}

impl Side {
    fn of(attribute: &Attribute) -> Self {
        match attribute {
            Attribute::Host
            | Attribute::Port
            | Attribute::Method
            | Attribute::Path
            | Attribute::DestinationIp
            | Attribute::Sni => Self::Permission,
            Attribute::Principal
            | Attribute::Namespace
            | Attribute::ServiceAccount
            | Attribute::TrustDomain
            | Attribute::RequestPrincipal
            | Attribute::SourceIp
            | Attribute::RemoteIp
            | Attribute::Header(_)
            | Attribute::Audiences
            | Attribute::Presenter
            | Attribute::Claim(_)
            | Attribute::Group
            | Attribute::Missing => Self::Principal,
        }
    }

    fn all(self, parts: Vec<Value>) -> Value {
        match (self, parts.is_empty()) {
            (_, true) => json!({ "any": true }),
            (Self::Permission, _) => json!({ "and_rules": { "rules": parts } }),
            (Self::Principal, _) => json!({ "and_ids": { "ids": parts } }),
        }
    }

    fn any(self, parts: Vec<Value>) -> Value {
        match self {
            Self::Permission => json!({ "or_rules": { "rules": parts } }),
            Self::Principal => json!({ "or_ids": { "ids": parts } }),
        }
    }

    fn not(self, part: Value) -> Value {
        match self {
            Self::Permission => json!({ "not_rule": part }),
            Self::Principal => json!({ "not_id": part }),
        }
    }
}

fn holds(test: &Test, side: Side, port_of: PortOf<'_>) -> Value {
    let any = |values: &Values| side.any(matchers(&test.attribute, values, port_of));
    let mut parts = Vec::new();
    parts.extend(test.any_of.as_ref().map(any));
    parts.extend(test.none_of.as_ref().map(|values| side.not(any(values))));
    side.all(parts)
}

/// One matcher for each value.
fn matchers(attribute: &Attribute, values: &Values, port_of: PortOf<'_>) -> Vec<Value> {
    match values {
        Values::Text(patterns) => patterns.iter().map(|one| text(attribute, one)).collect(),
        Values::Ports(ports) => ports
            .iter()
            .map(|port| json!({ "destination_port": port_of(*port) }))
            .collect(),
        Values::Networks(networks) => {
            let field = match attribute {
                Attribute::SourceIp => "direct_remote_ip",
                Attribute::DestinationIp => "destination_ip",
                _ => "remote_ip",
            };
            let range = |network: &ipnet::IpNet| {
                json!({ field: {
                    "address_prefix": network.addr().to_string(),
                    "prefix_len": network.prefix_len(),
                } })
            };
            networks.iter().map(range).collect()
        }
        Values::Principals(patterns) => patterns.iter().map(request_principal).collect(),
    }
}

fn request_principal(PrincipalPattern { issuer, subject }: &PrincipalPattern) -> Value {
    Side::Principal.all(vec![
        metadata(&["iss"], json!({ "string_match": string(issuer) })),
        metadata(&["sub"], json!({ "string_match": string(subject) })),
    ])
}

fn text(attribute: &Attribute, pattern: &TextPattern) -> Value {
    match attribute {
        Attribute::Host => header(":authority", pattern, true),
        Attribute::Method => header(":method", pattern, false),
        Attribute::Header(name) => header(name.as_str(), pattern, false),
        Attribute::Path => match pattern {
            TextPattern::Template(template) => json!({ "uri_template": {
                "name": "template",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
                    "path_template": template.source.replace("{**}", "**").replace("{*}", "*"),
                },
            } }),
            plain => json!({ "url_path": { "path": string(plain) } }),
        },
        Attribute::Sni => json!({ "requested_server_name": string(pattern) }),
        Attribute::Principal => authenticated(match pattern {
            TextPattern::Exact(id) => json!({ "exact": format!("spiffe://{id}") }),
            TextPattern::Prefix(start) => json!({ "prefix": format!("spiffe://{start}") }),
            other => string(other),
        }),
        Attribute::Namespace => authenticated(regex(&format!(".*/ns/{}/.*", glob(pattern)))),
        Attribute::ServiceAccount => {
            let account = glob(pattern).replace('/', "/sa/");
            authenticated(regex(&format!("spiffe://.+/ns/{account}")))
        }
        Attribute::TrustDomain => {
            let domain = match pattern {
                TextPattern::Present => "[^/]+".to_owned(),
                TextPattern::Prefix(start) => format!("{}[^/]*", escaped(start)),
                TextPattern::Suffix(end) => format!("[^/]*{}", escaped(end)),
                other => glob(other),
            };
            authenticated(regex(&format!("spiffe://{domain}/.*")))
        }
        Attribute::Audiences => claim(&["aud"], pattern),
        Attribute::Presenter => claim(&["azp"], pattern),
        Attribute::Claim(path) => {
            let path: Vec<&str> = path.iter().map(|name| &**name).collect();
            claim(&path, pattern)
        }
        // No filter that these tests run says anything under this name.
        _ => json!({ "metadata": {
            "filter": "filter.of.nobody",
            "path": [{ "key": "key" }],
            "value": { "string_match": string(pattern) },
        } }),
    }
}

fn authenticated(name: Value) -> Value {
    json!({ "authenticated": { "principal_name": name } })
}

fn header(name: &str, pattern: &TextPattern, ignore_case: bool) -> Value {
    if *pattern == TextPattern::Present {
        return json!({ "header": { "name": name, "present_match": true } });
    }
    let mut matcher = string(pattern);
    if ignore_case {
        matcher["ignore_case"] = json!(true);
    }
    json!({ "header": { "name": name, "string_match": matcher } })
}

/// A text, or one of a list.
fn claim(path: &[&str], pattern: &TextPattern) -> Value {
    let one = json!({ "string_match": string(pattern) });
    let list = json!({ "list_match": { "one_of": one } });
    metadata(
        path,
        json!({ "or_match": { "value_matchers": [one, list] } }),
    )
}

/// What the token filter says of the claims.
fn metadata(path: &[&str], value: Value) -> Value {
    let segments = ["payload"].iter().chain(path);
    let path: Vec<Value> = segments.map(|name| json!({ "key": name })).collect();
    json!({ "metadata": {
        "filter": "envoy.filters.http.jwt_authn",
        "path": path,
        "value": value,
    } })
}

fn string(pattern: &TextPattern) -> Value {
    match pattern {
        TextPattern::Present => regex(".+"),
        TextPattern::Exact(text) => json!({ "exact": &**text }),
        TextPattern::Prefix(text) => json!({ "prefix": &**text }),
        TextPattern::Suffix(text) => json!({ "suffix": &**text }),
        TextPattern::Wildcard(_) | TextPattern::Template(_) => regex(&glob(pattern)),
    }
}

fn regex(expression: &str) -> Value {
    json!({ "safe_regex": { "regex": expression } })
}

/// A pattern whose stars stand for any text.
fn glob(pattern: &TextPattern) -> String {
    match pattern {
        TextPattern::Present => ".+".to_owned(),
        TextPattern::Exact(text) => escaped(text),
        TextPattern::Prefix(text) => format!("{}.*", escaped(text)),
        TextPattern::Suffix(text) => format!(".*{}", escaped(text)),
        TextPattern::Wildcard(parts) => {
            let parts: Vec<String> = parts.iter().map(|part| escaped(part)).collect();
            parts.join(".*")
        }
        TextPattern::Template(template) => escaped(&template.source),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if !character.is_ascii_alphanumeric() && character != '/' && character != '-' {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
