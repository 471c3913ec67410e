//! The login that settings describe, in the place of those of the manifests.

use std::collections::HashMap;
use std::sync::Arc;

use url::Url;

use crate::snapshot::{
    Action, Authorizer, AuthorizerKind, HeaderPattern, Login, PlayedBy, Policy, PolicyInfo,
    PolicyRule, PolicySet, Provider, Regex, SkipRule,
};
use crate::world::Key;

/// What policies would call it.
const NAME: &str = "doorward.yaml: login";

/// Lets `native` answer at `services`, where the manifests have a login proxy, readable or not. The
/// pages of providers in this process are open: people sign in there.
pub(super) fn take_over(
    native: &Arc<Login>,
    services: Vec<Key>,
    providers: &[Arc<Provider>],
    played: &mut HashMap<Key, PlayedBy>,
) -> Arc<Login> {
    let services = services.into_iter();
    played.extend(services.map(|key| (key, PlayedBy::Login(0))));
    let paths = providers.iter().filter_map(|provider| {
        let url = Url::parse(&provider.issuer).ok()?;
        let path = url.path().trim_end_matches('/').to_owned();
        (!path.is_empty()).then_some(path)
    });
    let open = paths.filter_map(|path| {
        let path = Regex::anywhere(&format!("^{}/", escaped(&path))).ok()?;
        Some(SkipRule {
            method: None,
            path,
            negate: false,
        })
    });
    let mut login = (**native).clone();
    login.skip_routes.extend(open);
    Arc::new(login)
}

/// Has the login asked about every request, unless a policy of the gateway asks it about some: then
/// the policies say which.
pub(super) fn guard(
    login: &Login,
    policies: &mut PolicySet,
    authorizers: &mut HashMap<Arc<str>, Arc<Authorizer>>,
) {
    let is_login = |name: &Arc<str>| {
        authorizers
            .get(name)
            .is_some_and(|authorizer| matches!(authorizer.kind, AuthorizerKind::Login(_)))
    };
    let asked = policies
        .custom
        .iter()
        .any(|policy| matches!(&policy.action, Action::Custom(name) if is_login(name)));
    if asked {
        return;
    }
    let name: Arc<str> = NAME.into();
    let authorizer = Authorizer {
        name: Arc::clone(&name),
        host: "".into(),
        kind: AuthorizerKind::Login(0),
        upstream_on_allow: ["authorization", "x-auth-request-access-token"]
            .map(|name| HeaderPattern::Exact(name.into()))
            .to_vec(),
        downstream_on_deny: Vec::new(),
        fail_open: false,
        status_on_error: 403,
    };
    authorizers.insert(Arc::clone(&name), Arc::new(authorizer));
    let info = PolicyInfo {
        object: login.object.clone(),
        place: login.place.clone(),
    };
    policies.custom.push(Arc::new(Policy {
        info: Arc::new(info),
        action: Action::Custom(name),
        rules: vec![PolicyRule {
            line: login.place.line,
            ..PolicyRule::default()
        }],
        closed: None,
    }));
}

/// `text` as a pattern that matches only itself.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if !letter.is_alphanumeric() && letter != '/' {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}
