//! One rule of an `AuthorizationPolicy`: `from`, `to`, `when`.

use std::sync::Arc;

use super::policy_values as values;
use crate::finding::{Finding, Severity, codes};
use crate::objects::{Fault, Field};
use crate::snapshot::{Attribute, HeaderName, PolicyRule, Test, Values};

/// How the values of an attribute are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Host,
    Path,
    Principal,
    Namespace,
    ServiceAccount,
    TrustDomain,
    RequestPrincipal,
    Network,
    Port,
}

struct Reader<'a> {
    custom: bool,
    namespace: &'a Arc<str>,
    trust_domains: &'a [Arc<str>],
    findings: &'a mut Vec<Finding>,
}

/// Reads one rule.
pub(super) fn read(
    field: &Field<'_>,
    custom: bool,
    namespace: &Arc<str>,
    trust_domains: &[Arc<str>],
    findings: &mut Vec<Finding>,
) -> Result<PolicyRule, Fault> {
    let mut reader = Reader {
        custom,
        namespace,
        trust_domains,
        findings,
    };
    field.strict(&["from", "to", "when"])?;
    let mut rule = PolicyRule {
        line: field.line(),
        ..PolicyRule::default()
    };
    for item in filled(field, "from")? {
        item.strict(&["source"])?;
        rule.from.push(reader.source(&item.required("source")?)?);
    }
    for item in filled(field, "to")? {
        item.strict(&["operation"])?;
        rule.to
            .push(reader.operation(&item.required("operation")?)?);
    }
    for item in filled(field, "when")? {
        rule.when.push(reader.condition(&item)?);
    }
    Ok(rule)
}

/// A list that, when it is there, holds something.
fn filled<'a>(field: &Field<'a>, name: &str) -> Result<Vec<Field<'a>>, Fault> {
    let items = field.child_items(name)?;
    match field.child(name) {
        Some(list) if items.is_empty() => Err(list.fault(
            format!("`{}` is empty", list.path),
            "remove it or fill it in",
        )),
        _ => Ok(items),
    }
}

/// Field, its negation, attribute, form. Fields that say who the caller is are not known yet when
/// a CUSTOM policy is asked.
type Row = (&'static str, &'static str, Attribute, Form);

const SOURCE: [Row; 7] = [
    (
        "principals",
        "notPrincipals",
        Attribute::Principal,
        Form::Principal,
    ),
    (
        "requestPrincipals",
        "notRequestPrincipals",
        Attribute::RequestPrincipal,
        Form::RequestPrincipal,
    ),
    (
        "namespaces",
        "notNamespaces",
        Attribute::Namespace,
        Form::Namespace,
    ),
    (
        "serviceAccounts",
        "notServiceAccounts",
        Attribute::ServiceAccount,
        Form::ServiceAccount,
    ),
    (
        "trustDomains",
        "notTrustDomains",
        Attribute::TrustDomain,
        Form::TrustDomain,
    ),
    (
        "ipBlocks",
        "notIpBlocks",
        Attribute::SourceIp,
        Form::Network,
    ),
    (
        "remoteIpBlocks",
        "notRemoteIpBlocks",
        Attribute::RemoteIp,
        Form::Network,
    ),
];

const OPERATION: [Row; 4] = [
    ("hosts", "notHosts", Attribute::Host, Form::Host),
    ("ports", "notPorts", Attribute::Port, Form::Port),
    ("methods", "notMethods", Attribute::Method, Form::Text),
    ("paths", "notPaths", Attribute::Path, Form::Path),
];

impl Reader<'_> {
    fn source(&mut self, field: &Field<'_>) -> Result<Vec<Test>, Fault> {
        let tests = self.tests(field, &SOURCE)?;
        let has = |names: [&str; 2]| names.iter().any(|name| field.child(name).is_some());
        let accounts = has(["serviceAccounts", "notServiceAccounts"]);
        if accounts
            && (has(["principals", "notPrincipals"]) || has(["namespaces", "notNamespaces"]))
        {
            let fault = format!(
                "`{}` names service accounts beside principals or namespaces",
                field.path
            );
            return Err(field.fault(fault, "keep one way to name the caller"));
        }
        Ok(tests)
    }

    fn operation(&mut self, field: &Field<'_>) -> Result<Vec<Test>, Fault> {
        self.tests(field, &OPERATION)
    }

    fn tests(&mut self, field: &Field<'_>, rows: &[Row]) -> Result<Vec<Test>, Fault> {
        let known: Vec<&str> = rows
            .iter()
            .flat_map(|(name, not, ..)| [*name, *not])
            .collect();
        field.strict(&known)?;
        let mut tests = Vec::new();
        for (name, not, attribute, form) in rows {
            let (given, refused) = (field.child(name), field.child(not));
            let Some(first) = given.as_ref().or(refused.as_ref()) else {
                continue;
            };
            self.refuse_in_custom(attribute, first)?;
            tests.push(Test {
                attribute: attribute.clone(),
                any_of: given.map(|list| self.values(&list, *form)).transpose()?,
                none_of: refused.map(|list| self.values(&list, *form)).transpose()?,
            });
        }
        if tests.is_empty() {
            return Err(field.fault(
                format!("`{}` is empty", field.path),
                "remove it or fill it in",
            ));
        }
        Ok(tests)
    }

    fn condition(&mut self, field: &Field<'_>) -> Result<Test, Fault> {
        field.strict(&["key", "values", "notValues"])?;
        let key = field.required("key")?;
        let (attribute, form) = attribute(key.text()?).ok_or_else(|| {
            let fault = format!(
                "`{}` is no attribute: `{}`",
                key.path,
                key.text().unwrap_or_default()
            );
            key.fault(
                fault,
                "write one that Istio knows, such as `request.headers[name]`",
            )
        })?;
        self.refuse_in_custom(&attribute, &key)?;
        let any_of = field
            .child("values")
            .map(|list| self.values(&list, form))
            .transpose()?;
        let none_of = field
            .child("notValues")
            .map(|list| self.values(&list, form))
            .transpose()?;
        if any_of.is_none() && none_of.is_none() {
            let fault = format!("`{}` has neither `values` nor `notValues`", field.path);
            return Err(field.fault(fault, "add one of them"));
        }
        Ok(Test {
            attribute,
            any_of,
            none_of,
        })
    }

    fn refuse_in_custom(&self, attribute: &Attribute, field: &Field<'_>) -> Result<(), Fault> {
        let caller = matches!(
            attribute,
            Attribute::Principal
                | Attribute::Namespace
                | Attribute::ServiceAccount
                | Attribute::TrustDomain
                | Attribute::RequestPrincipal
                | Attribute::Audiences
                | Attribute::Presenter
                | Attribute::Claim(_)
        );
        if self.custom && caller {
            let fault = format!("`{}` cannot stand in a CUSTOM policy", field.path);
            return Err(field.fault(
                fault,
                "tokens and callers are only known to the other actions",
            ));
        }
        Ok(())
    }

    fn values(&mut self, list: &Field<'_>, form: Form) -> Result<Values, Fault> {
        let items = list.items()?;
        if items.is_empty() {
            return Err(list.fault(
                format!("`{}` is empty", list.path),
                "remove it or fill it in",
            ));
        }
        let mut texts = Vec::with_capacity(items.len());
        for item in &items {
            let text = item.text()?;
            if text.is_empty() {
                let fault = format!("`{}` is an empty text", item.path);
                return Err(item.fault(fault, "remove it or fill it in"));
            }
            self.warn_literal_star(item, text, form);
            texts.push((item, text));
        }
        let each = texts.iter().copied();
        match form {
            Form::Network => each
                .map(|(item, text)| values::network(item, text))
                .collect::<Result<_, _>>()
                .map(Values::Networks),
            Form::Port => each
                .map(|(item, text)| values::port(item, text))
                .collect::<Result<_, _>>()
                .map(Values::Ports),
            Form::RequestPrincipal => Ok(Values::Principals(
                each.map(|(_, text)| values::request_principal(text))
                    .collect(),
            )),
            Form::Text => Ok(Values::Text(
                each.map(|(_, text)| values::text(text)).collect(),
            )),
            Form::Host => Ok(Values::Text(
                each.map(|(_, text)| values::text(&text.to_ascii_lowercase()))
                    .collect(),
            )),
            Form::Namespace => Ok(Values::Text(
                each.map(|(_, text)| values::namespace(text)).collect(),
            )),
            Form::Principal => Ok(Values::Text(
                each.flat_map(|(_, text)| values::principals(text, self.trust_domains))
                    .collect(),
            )),
            Form::ServiceAccount => values::service_accounts(list, &texts, self.namespace)
                .map(|patterns| Values::Text(patterns.into())),
            Form::TrustDomain => each
                .map(|(item, text)| values::trust_domain(item, text))
                .collect::<Result<_, _>>()
                .map(Values::Text),
            Form::Path => each
                .map(|(item, text)| values::path(item, text))
                .collect::<Result<_, _>>()
                .map(Values::Text),
        }
    }

    /// A star that looks like a pattern and is none.
    fn warn_literal_star(&mut self, item: &Field<'_>, text: &str, form: Form) {
        if !matches!(form, Form::Text | Form::Host | Form::Path)
            || text == "*"
            || text.contains('{')
        {
            return;
        }
        let inner = text
            .strip_prefix('*')
            .or_else(|| text.strip_suffix('*'))
            .unwrap_or(text);
        if inner.contains('*') {
            self.findings.push(item.finding(
                codes::LITERAL_STAR,
                Severity::Warning,
                format!("the inner `*` of `{text}` is an ordinary character"),
                "one `*` at an end is a pattern; `{*}` and `{**}` are templates of paths",
            ));
        }
    }
}

/// The attribute that a `when` key names.
fn attribute(key: &str) -> Option<(Attribute, Form)> {
    if let Some(header) = key
        .strip_prefix("request.headers[")
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let name = HeaderName::from_bytes(header.as_bytes()).ok()?;
        return Some((Attribute::Header(name), Form::Text));
    }
    if let Some(path) = key.strip_prefix("request.auth.claims") {
        let path = path.strip_prefix('[')?.strip_suffix(']')?;
        let parts: Vec<Arc<str>> = path.split("][").map(Arc::from).collect();
        let plain = parts
            .iter()
            .all(|part| !part.is_empty() && !part.contains(['[', ']']));
        return plain.then(|| (Attribute::Claim(parts.into()), Form::Text));
    }
    if let Some(rest) = key.strip_prefix("experimental.envoy.filters.") {
        let named = rest
            .split_once('[')
            .is_some_and(|(filter, key)| !filter.is_empty() && key.ends_with(']'));
        return named.then_some((Attribute::Missing, Form::Text));
    }
    Some(match key {
        "source.ip" => (Attribute::SourceIp, Form::Network),
        "remote.ip" => (Attribute::RemoteIp, Form::Network),
        "source.namespace" => (Attribute::Namespace, Form::Namespace),
        "source.principal" => (Attribute::Principal, Form::Principal),
        "source.serviceAccount" => (Attribute::ServiceAccount, Form::ServiceAccount),
        "source.trustDomain" => (Attribute::TrustDomain, Form::TrustDomain),
        "request.auth.principal" => (Attribute::RequestPrincipal, Form::RequestPrincipal),
        "request.auth.audiences" => (Attribute::Audiences, Form::Text),
        "request.auth.presenter" => (Attribute::Presenter, Form::Text),
        "destination.ip" => (Attribute::DestinationIp, Form::Network),
        "destination.port" => (Attribute::Port, Form::Port),
        "connection.sni" => (Attribute::Sni, Form::Text),
        _ => return None,
    })
}
