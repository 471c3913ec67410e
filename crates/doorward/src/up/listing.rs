//! Snapshots and findings as JSON for people and scripts. Secrets are not in it: every member is
//! named here one by one.

use model::names::Place;
use model::snapshot::{
    Abort, Balance, Chain, ClientAuth, Destination, Endpoints, Forward, Listener, ListenerProtocol,
    OriginMatch, PathRewrite, PlayedBy, Policy, PolicySet, Profile, Route, RouteAction, Serves,
    StreamRoute, TextMatch, Trust, UpstreamProtocol,
};
use model::{Finding, Snapshot};
use serde_json::{Value, json};

/// One finding, as `doctor --format json` shows it.
pub(crate) fn finding(finding: &Finding) -> Value {
    json!({
        "code": finding.code.to_string(),
        "severity": finding.severity.to_string(),
        "file": finding.place.as_ref().map(|place| &*place.file),
        "line": finding.place.as_ref().map(|place| place.line),
        "object": finding.object.as_ref().map(ToString::to_string),
        "field": finding.field,
        "fault": finding.fault,
        "remedy": finding.remedy,
    })
}

/// What was compiled.
pub(crate) fn snapshot(snapshot: &Snapshot) -> Value {
    let identity = snapshot.identity();
    let logins = snapshot.logins().iter().map(|login| {
        json!({
            "object": login.object.to_string(),
            "place": login.place.to_string(),
            "prefix": &*login.prefix,
            "issuer": &*login.issuer,
            "clientId": &*login.client_id,
            "cookieName": &*login.cookie_name,
        })
    });
    let providers = snapshot.providers().iter().map(|provider| {
        let clients = provider.clients.iter().map(|client| &*client.id);
        json!({
            "object": provider.object.to_string(),
            "place": provider.place.to_string(),
            "issuer": &*provider.issuer,
            "clients": clients.collect::<Vec<_>>(),
            "users": provider.passwords.len(),
        })
    });
    json!({
        "gateway": {
            "namespace": &*identity.namespace,
            "labels": identity.labels.iter().map(|(name, value)| (name.to_string(), json!(&**value))).collect::<serde_json::Map<_, _>>(),
            "principal": &*identity.principal,
            "policies": policies(snapshot.gateway_policies()),
            "issuers": snapshot.gateway_authentication().rules.iter().map(|rule| json!({
                "issuer": &*rule.issuer,
                "object": rule.info.object.to_string(),
                "place": rule.info.place.to_string(),
            })).collect::<Vec<_>>(),
        },
        "listeners": snapshot.listeners().values().map(listener).collect::<Vec<_>>(),
        "logins": logins.collect::<Vec<_>>(),
        "providers": providers.collect::<Vec<_>>(),
        "profiles": snapshot.tenancy().profiles.values().map(|profile| self::profile(profile)).collect::<Vec<_>>(),
        "objects": snapshot.objects().iter().map(|(kind, count)| (kind.to_string(), json!(count))).collect::<serde_json::Map<_, _>>(),
    })
}

fn profile(profile: &Profile) -> Value {
    let contributors = profile.bindings.iter().map(|binding| {
        json!({
            "subject": binding.subject.to_string(),
            "role": binding.role.as_str(),
        })
    });
    json!({
        "name": &*profile.name,
        "place": profile.place.to_string(),
        "owner": profile.owner.to_string(),
        "contributors": contributors.collect::<Vec<_>>(),
    })
}

fn listener(listener: &Listener) -> Value {
    json!({
        "port": listener.port,
        "protocol": match listener.protocol {
            ListenerProtocol::Http => "HTTP",
            ListenerProtocol::Tls => "TLS",
            ListenerProtocol::Tcp => "TCP",
        },
        "chains": listener.chains().iter().map(chain).collect::<Vec<_>>(),
    })
}

fn chain(chain: &Chain) -> Value {
    let mut shown = json!({
        "name": &*chain.name,
        "serverNames": chain.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "clientCertificates": chain.tls.as_ref().map(|tls| match tls.client {
            ClientAuth::None => "none",
            ClientAuth::Optional(_) => "optional",
            ClientAuth::Required(_) => "required",
        }),
    });
    match &chain.serves {
        Serves::Http(hosts) => {
            let hosts = hosts.iter().map(|(host, routes)| {
                json!({
                    "host": host.to_string(),
                    "routes": routes.iter().map(|shown| route(shown)).collect::<Vec<_>>(),
                })
            });
            shown["hosts"] = hosts.collect();
        }
        Serves::Stream(routes) => shown["streams"] = routes.iter().map(|one| stream(one)).collect(),
        Serves::Nothing(closure) => {
            shown["closed"] = json!({ "code": closure.code.to_string(), "fault": &*closure.fault });
        }
    }
    shown
}

fn stream(route: &StreamRoute) -> Value {
    let to = route.destinations.iter().map(|one| &one.destination);
    json!({
        "object": route.info.object.to_string(),
        "name": &*route.info.name,
        "place": place(&route.info.place),
        "serverNames": route.server_names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "closed": route.closed.as_ref().map(|closure| &*closure.fault),
        "forward": to.map(|one| destination(one)).collect::<Vec<_>>(),
    })
}

fn route(route: &Route) -> Value {
    let paths = route.matches.iter().map(|one| match &one.uri {
        None => "any path".to_owned(),
        Some(uri) => match &uri.text {
            TextMatch::Exact(text) => format!("exact {text}"),
            TextMatch::Prefix(text) => format!("prefix {text}"),
            TextMatch::Regex(regex) => format!("regex {}", regex.source()),
        },
    });
    json!({
        "object": route.info.object.to_string(),
        "name": &*route.info.name,
        "place": place(&route.info.place),
        "paths": paths.collect::<Vec<_>>(),
        "claims": route.matches.iter().flat_map(|one| &one.claims).map(|test| test.path.join(".")).collect::<Vec<_>>(),
        "cors": route.cors.as_ref().map(|cors| cors.origins.iter().map(origin).collect::<Vec<_>>()),
        "action": action(&route.action),
    })
}

fn origin(listed: &OriginMatch) -> String {
    match listed {
        OriginMatch::Any => "*".to_owned(),
        OriginMatch::Text(TextMatch::Exact(text)) => text.to_string(),
        OriginMatch::Text(TextMatch::Prefix(text)) => format!("prefix {text}"),
        OriginMatch::Text(TextMatch::Regex(regex)) => format!("regex {}", regex.source()),
        OriginMatch::Wildcard { scheme, suffix } => format!("{scheme}*{suffix}"),
    }
}

fn action(action: &RouteAction) -> Value {
    match action {
        RouteAction::Forward(Forward {
            destinations,
            timeout,
            retries,
            mirrors,
            fault,
            ..
        }) => json!({
            "forward": destinations.iter().map(|weighted| destination(&weighted.destination)).collect::<Vec<_>>(),
            "weights": destinations.iter().map(|weighted| weighted.weight).collect::<Vec<_>>(),
            "timeoutSeconds": timeout.map(|span| span.as_secs_f64()),
            "retries": retries.as_ref().map_or(0, |retries| retries.attempts),
            "mirrors": mirrors.iter().map(|mirror| mirror.destination.service.to_string()).collect::<Vec<_>>(),
            "delaySeconds": fault.as_ref().and_then(|fault| fault.delay).map(|(delay, _)| delay.as_secs_f64()),
            "abort": fault.as_ref().and_then(|fault| fault.abort).map(|(abort, _)| match abort {
                Abort::Http(status) => json!({ "http": status }),
                Abort::Grpc(status) => json!({ "grpc": status }),
            }),
        }),
        RouteAction::Redirect(redirect) => {
            json!({ "redirect": redirect.code, "path": redirect.path.as_ref().map(rewritten) })
        }
        RouteAction::Respond(respond) => json!({ "respond": respond.status }),
        RouteAction::Closed(closure) => {
            json!({ "closed": closure.code.to_string(), "fault": &*closure.fault })
        }
    }
}

fn rewritten(change: &PathRewrite) -> String {
    match change {
        PathRewrite::Matched(with) => format!("matched part becomes {with}"),
        PathRewrite::Segments(with) => format!("matched segments become {with}"),
        PathRewrite::Whole(with) => with.to_string(),
        PathRewrite::Regex(regex, with) => format!("regex {} becomes {with}", regex.source()),
    }
}

fn destination(destination: &Destination) -> Value {
    json!({
        "service": destination.service.to_string(),
        "playedBy": match &destination.played_by {
            PlayedBy::Upstream => "upstream",
            PlayedBy::Login(_) => "login",
            PlayedBy::Provider(_) => "provider",
            PlayedBy::Kfam => "kfam",
            PlayedBy::Whoami => "whoami",
            PlayedBy::Redirect(_) => "redirect",
            PlayedBy::Nobody(_) => "nobody",
        },
        "protocol": match destination.protocol {
            UpstreamProtocol::Http1 => "HTTP/1.1",
            UpstreamProtocol::Http2 => "HTTP/2",
        },
        "tls": destination.tls.as_ref().map(|tls| json!({
            "serverName": tls.server_name,
            "verified": tls.trust != Trust::Anybody,
            "clientCertificate": tls.client.is_some(),
        })),
        "places": match &destination.endpoints {
            Endpoints::ByHost => vec![destination.host.to_string()],
            Endpoints::At(places) => places.iter().map(|place| format!("{}:{}", place.host, place.port)).collect(),
        },
        "balance": match &destination.traffic.balance {
            Balance::LeastRequest => "least request",
            Balance::RoundRobin => "round robin",
            Balance::Random => "random",
            Balance::Consistent(_) => "consistent",
        },
        "policies": policies(&destination.policies),
    })
}

fn policies(set: &PolicySet) -> Value {
    let list = |policies: &[std::sync::Arc<Policy>]| {
        let shown = policies.iter().map(|policy| {
            json!({ "object": policy.info.object.to_string(), "place": place(&policy.info.place) })
        });
        shown.collect::<Vec<_>>()
    };
    json!({
        "CUSTOM": list(&set.custom),
        "AUDIT": list(&set.audit),
        "DENY": list(&set.deny),
        "ALLOW": list(&set.allow),
    })
}

fn place(place: &Place) -> String {
    place.to_string()
}
