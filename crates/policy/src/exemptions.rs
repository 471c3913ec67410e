//! Which paths are exempt from sign-in, and which only look so.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{HeaderMap, Method};
use model::finding::{Code, codes};
use model::names::{HostPattern, Place, Timestamp};
use model::snapshot::{
    Destination, ListenerProtocol, PlayedBy, PolicyInfo, Route, RouteAction, RouteInfo, TextMatch,
    VirtualHosts,
};
use model::{Finding, Severity, Snapshot};

use crate::decision::{Record, Stage, Step};
use crate::{Request, RequestHead, Session, decide_recording};

/// Routes to pages that sign people in and are behind the sign-in, and exemptions that take less
/// or more than they look.
pub fn check_exemptions(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    if snapshot.gateway_policies().custom.is_empty() {
        return findings;
    }
    let mut said = BTreeSet::new();
    for (port, listener) in snapshot.listeners() {
        let asker = Asker {
            snapshot,
            port: *port,
            is_tls: listener.protocol == ListenerProtocol::Tls,
        };
        for (pattern, routes) in listener.virtual_hosts().flat_map(VirtualHosts::iter) {
            let host = sample(&pattern);
            for route in routes.iter() {
                for prefix in prefixes(route) {
                    let found = asker.look(&host, route, prefix);
                    findings.extend(found.filter(|found| {
                        said.insert((found.code, found.place.clone(), found.fault.clone()))
                    }));
                }
            }
        }
    }
    findings
}

fn sample(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Exact(host) => host.to_string(),
        HostPattern::Suffix(suffix) => format!("any{suffix}"),
        HostPattern::Any => "any.invalid".to_owned(),
    }
}

/// Prefixes of bytes that a route takes.
fn prefixes(route: &Route) -> impl Iterator<Item = &str> {
    let uris = route.matches.iter().filter_map(|one| one.uri.as_ref());
    uris.filter_map(|uri| match &uri.text {
        TextMatch::Prefix(prefix) if !uri.whole_segments => Some(&**prefix),
        _ => None,
    })
}

/// What a route that signs people in leads to.
enum SignsIn {
    Provider,
    Login,
}

struct Asker<'s> {
    snapshot: &'s Snapshot,
    port: u16,
    is_tls: bool,
}

impl Asker<'_> {
    /// What is amiss with one prefix of a route: at most one thing of each kind.
    fn look(
        &self,
        host: &str,
        route: &Route,
        prefix: &str,
    ) -> impl Iterator<Item = Finding> + use<> {
        let bare = prefix.trim_end_matches('/');
        let below = self.asked(host, &format!("{bare}/x"));
        let is_open = !prefix.ends_with('/');
        let mut found = Vec::new();
        match (&below, self.signs_in(route)) {
            (Some((policy, line)), Some(signs_in)) => {
                let rule = (&**policy, *line, &*route.info);
                found.push(behind_itself(rule, prefix, &signs_in));
            }
            // Exempt below; whether at the edge too only matters where the route goes that far.
            (None, _) if is_open && !bare.is_empty() => {
                if let Some((policy, line)) = self.asked(host, bare) {
                    let fault = format!(
                        "`{bare}/…` is exempt from sign-in and `{bare}` is not, which a route takes too"
                    );
                    let rule = (&*policy, line, &*route.info);
                    let (code, warning) = (codes::EXEMPTION_SHORT, Severity::Warning);
                    found.push(of_rule(
                        rule,
                        code,
                        warning,
                        &fault,
                        format!("add `{bare}` to `notPaths`"),
                    ));
                } else if self.asked(host, &format!("{bare}x")).is_none()
                    && self.asked(host, "/").is_some()
                {
                    found.push(said(
                        codes::EXEMPTION_WIDE,
                        &route.info,
                        format!("`{bare}x` and the like are exempt from sign-in as `{bare}` is"),
                        format!("write `{bare}` and `{bare}/*` instead of `{bare}*`"),
                    ));
                }
            }
            _ => {}
        }
        found.into_iter()
    }

    /// The CUSTOM rule at the gateway that asks whether somebody signed in.
    fn asked(&self, host: &str, path: &str) -> Option<(Arc<PolicyInfo>, u32)> {
        let headers = HeaderMap::new();
        let head = RequestHead {
            method: &Method::GET,
            // The redirect to HTTPS comes before any policy.
            scheme: "https",
            authority: host,
            target: path,
            headers: &headers,
            port: self.port,
            peer: [192, 0, 2, 1].into(),
            client: [192, 0, 2, 1].into(),
            principal: None,
            sni: self.is_tls.then_some(host),
            now: Timestamp::from_seconds(0),
            draw: 0,
        };
        let request = Request::read(head, self.snapshot.normalization()).ok()?;
        let mut asking = Asking::default();
        decide_recording(&request, self.snapshot, &Session::anonymous(), &mut asking);
        asking.0
    }

    fn signs_in(&self, route: &Route) -> Option<SignsIn> {
        let RouteAction::Forward(forward) = &route.action else {
            return None;
        };
        let authorizers = || {
            let custom = self.snapshot.gateway_policies().custom.iter();
            custom.filter_map(|policy| match &policy.action {
                model::snapshot::Action::Custom(name) => self.snapshot.authorizer(name),
                _ => None,
            })
        };
        let one = |destination: &Destination| match destination.played_by {
            PlayedBy::Provider(_) => Some(SignsIn::Provider),
            PlayedBy::Login(_) => Some(SignsIn::Login),
            _ if authorizers().any(|one| one.host == destination.host) => Some(SignsIn::Login),
            _ => None,
        };
        let mut destinations = forward.destinations.iter();
        destinations.find_map(|weighted| one(&weighted.destination))
    }
}

/// The first CUSTOM rule of the gateway that matches.
#[derive(Default)]
struct Asking(Option<(Arc<PolicyInfo>, u32)>);

impl Record for Asking {
    fn step(&mut self, step: Step) {
        if let Step::Policy {
            stage: Stage::Gateway,
            policy,
            action: "CUSTOM",
            matched: Some(line),
            ..
        } = step
        {
            self.0.get_or_insert((policy, line));
        }
    }
}

/// A rule of a policy, and the route that it is about.
type Rule<'r> = (&'r PolicyInfo, u32, &'r RouteInfo);

fn behind_itself(rule: Rule<'_>, prefix: &str, signs_in: &SignsIn) -> Finding {
    let (severity, fault) = match signs_in {
        SignsIn::Provider => (
            Severity::Error,
            format!("people sign in at `{prefix}`, and have to have signed in to get there"),
        ),
        SignsIn::Login => (
            Severity::Warning,
            format!(
                "people come back from sign-in below `{prefix}`, which is not exempt from the check: doorward lets its own pages through, Istio asks its authorizer once more"
            ),
        ),
    };
    let bare = prefix.trim_end_matches('/');
    let remedy = if prefix.ends_with('/') || bare.is_empty() {
        format!("add `{bare}/*` to `notPaths`")
    } else {
        format!("add `{bare}` and `{bare}/*` to `notPaths`")
    };
    of_rule(rule, codes::SIGN_IN_BEHIND_ITSELF, severity, &fault, remedy)
}

fn of_rule(
    (policy, line, route): Rule<'_>,
    code: Code,
    severity: Severity,
    fault: &str,
    remedy: String,
) -> Finding {
    Finding {
        code,
        severity,
        place: Some(Place::new(Arc::clone(&policy.place.file), line)),
        object: Some(policy.object.clone()),
        field: "spec.rules".to_owned(),
        fault: format!("{fault} (`{}` {})", route.object, route.place),
        remedy,
    }
}

fn said(code: Code, route: &RouteInfo, fault: String, remedy: String) -> Finding {
    Finding {
        code,
        severity: Severity::Warning,
        place: Some(route.place.clone()),
        object: Some(route.object.clone()),
        field: String::new(),
        fault,
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use model::objects::{File, ObjectSet};

    use super::*;

    /// A login and a provider, their routes at these prefixes, and what is exempt.
    fn codes_of(dex: &str, oauth: &str, not_paths: &str) -> Vec<(u16, Severity)> {
        let text = include_str!("exemptions.yaml")
            .replace("DEX", dex)
            .replace("OAUTH", oauth)
            .replace("NOT_PATHS", not_paths);
        let file = File {
            name: "m.yaml".into(),
            text,
        };
        let snapshot = model::compile(&ObjectSet { files: vec![file] }).snapshot;
        let findings = check_exemptions(&snapshot);
        findings
            .iter()
            .map(|one| (one.code.0, one.severity))
            .collect()
    }

    #[test]
    fn what_signs_people_in_has_to_be_exempt() {
        use Severity::{Error, Warning};

        let whole = "/dex/*, /oauth2/*";
        assert_eq!(codes_of("/dex/", "/oauth2/", whole), []);
        assert_eq!(codes_of("/dex/", "/oauth2/", "/dex/*"), [(416, Warning)]);
        assert_eq!(codes_of("/dex/", "/oauth2/", "/oauth2/*"), [(416, Error)]);
        // The route takes `/dex`, the exemption does not.
        assert_eq!(codes_of("/dex", "/oauth2/", whole), [(417, Warning)]);
        assert_eq!(codes_of("/dex", "/oauth2/", "/dex, /dex/*, /oauth2/*"), []);
        // The exemption takes `/dexter`, too.
        assert_eq!(
            codes_of("/dex", "/oauth2/", "/dex*, /oauth2/*"),
            [(418, Warning)]
        );
    }
}
