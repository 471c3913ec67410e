//! Istio `RequestAuthentication` (security.istio.io).

use std::sync::Arc;

use super::authorization_policy::{closed_policy, object_info};
use super::selection::{Selection, TargetKind, Targets};
use crate::finding::{Finding, Severity, codes};
use crate::objects::{Broken, Fault, Field, Object};
use crate::snapshot::{
    ClaimHeader, Closure, HeaderName, JwtRule, KeySource, Policy, PolicyInfo, TokenLocation,
};

/// A RequestAuthentication and whom it is about.
#[derive(Clone, Debug)]
pub(crate) struct RequestAuthentication {
    pub(crate) info: Arc<PolicyInfo>,
    pub(crate) selection: Selection,
    pub(crate) rules: Vec<JwtRule>,
    /// Set when it cannot be read: then nobody gets in where it applies.
    pub(crate) closed: Option<Arc<Policy>>,
    /// Closes the Gateways that it attaches to.
    pub(crate) closed_gateways: Option<Arc<Policy>>,
}

const FIELDS: [&str; 12] = [
    "issuer",
    "audiences",
    "jwksUri",
    "jwks",
    "fromHeaders",
    "fromParams",
    "fromCookies",
    "outputPayloadToHeader",
    "outputClaimToHeaders",
    "forwardOriginalToken",
    "timeout",
    "spaceDelimitedClaims",
];

impl RequestAuthentication {
    /// Reads an object. One that cannot be read closes the workloads it selects, as far as that is
    /// readable, or all of its namespace.
    pub(crate) fn read(object: &Object, findings: &mut Vec<Finding>) -> Self {
        let mut read = Self {
            info: object_info(object),
            selection: Selection::whole(object.namespace()),
            rules: Vec::new(),
            closed: None,
            closed_gateways: None,
        };
        let mut closure = object.closed.clone();
        if let Err(mut fault) = read.fill(object, findings) {
            if fault.code == codes::FIELD {
                fault.code = codes::AUTHENTICATION_INVALID;
            }
            closure.get_or_insert_with(|| Arc::new(Closure::of(&fault)));
            findings.push(*fault);
        }
        match closure {
            Some(closure) => {
                read.selection.doubt(object);
                read.close(closure);
            }
            None => read.close_gateways(object, findings),
        }
        read
    }

    /// Stands in for a document that is no YAML. One whose namespace is unreadable might have been
    /// about everything.
    pub(crate) fn broken(broken: &Broken, root_namespace: &Arc<str>) -> Self {
        let info = PolicyInfo {
            object: broken.object.clone(),
            place: broken.place.clone(),
        };
        let mut read = Self {
            info: Arc::new(info),
            selection: Selection::of_broken(broken, root_namespace),
            rules: Vec::new(),
            closed: None,
            closed_gateways: None,
        };
        read.close(Arc::clone(&broken.closure));
        read
    }

    /// Tokens are judged alike wherever this process is entered, so tokens for one Gateway alone
    /// cannot be: it is closed.
    fn close_gateways(&mut self, object: &Object, findings: &mut Vec<Finding>) {
        let Targets::Named(targets) = &self.selection.targets else {
            return;
        };
        let mut targets = targets.iter();
        let is_gateway = |kind| matches!(kind, TargetKind::Gateway | TargetKind::GatewayClass);
        if let Some(target) = targets.find(|target| is_gateway(target.kind)) {
            let finding = object.finding(
                codes::TARGET_REF,
                Severity::Error,
                target.line,
                "spec.targetRefs",
                format!(
                    "tokens for `{}` alone are not told apart here, so what it serves is closed",
                    target.title()
                ),
                "select the ingress gateway with `selector.matchLabels`, in its namespace",
            );
            let closure = Arc::new(Closure::of(&finding));
            findings.push(finding);
            let info = Arc::clone(&self.info);
            self.closed_gateways = Some(Arc::new(closed_policy(info, closure)));
        }
    }

    fn close(&mut self, closure: Arc<Closure>) {
        self.rules.clear();
        self.closed = Some(Arc::new(closed_policy(Arc::clone(&self.info), closure)));
    }

    fn fill(&mut self, object: &Object, findings: &mut Vec<Finding>) -> Result<(), Fault> {
        let Some(spec) = object.spec() else {
            return Ok(());
        };
        self.selection = Selection::read(object, &spec)?;
        spec.strict(&["selector", "targetRef", "targetRefs", "jwtRules"])?;
        for rule in spec.child_items("jwtRules")? {
            self.rules.push(jwt_rule(&rule, &self.info, findings)?);
        }
        Ok(())
    }
}

fn jwt_rule(
    field: &Field<'_>,
    info: &Arc<PolicyInfo>,
    findings: &mut Vec<Finding>,
) -> Result<JwtRule, Fault> {
    field.strict(&FIELDS)?;
    if let Some(timeout) = field.child("timeout") {
        findings.push(timeout.finding(
            codes::FIELD,
            Severity::Note,
            format!("`{}` has no effect here", timeout.path),
            "keys are fetched in the background, so no request waits for them",
        ));
    }
    let issuer = field.required("issuer")?;
    if issuer.text()?.is_empty() {
        return Err(issuer.fault(format!("`{}` is empty", issuer.path), "name the issuer"));
    }
    Ok(JwtRule {
        info: Arc::clone(info),
        issuer: issuer.text()?.into(),
        audiences: field.texts("audiences")?,
        keys: key_source(field)?,
        locations: locations(field)?,
        claim_headers: claim_headers(field)?,
        payload_header: field
            .child("outputPayloadToHeader")
            .map(|header| header_name(&header))
            .transpose()?,
        forward_original: field.flag("forwardOriginalToken")?,
        space_delimited: field.texts("spaceDelimitedClaims")?,
    })
}

fn key_source(field: &Field<'_>) -> Result<KeySource, Fault> {
    match (field.child_text("jwksUri")?, field.child_text("jwks")?) {
        (None, None) => Ok(KeySource::Discovery),
        (None, Some(keys)) => Ok(KeySource::Inline(keys)),
        (Some(uri), None) if uri.starts_with("https://") || uri.starts_with("http://") => {
            Ok(KeySource::Uri(uri))
        }
        (Some(_), None) => {
            let fault = format!("`{}.jwksUri` is no http or https address", field.path);
            Err(field.fault(fault, "write the whole address"))
        }
        (Some(_), Some(_)) => {
            let fault = format!("`{}` names keys twice", field.path);
            Err(field.fault(fault, "keep one of `jwksUri` and `jwks`"))
        }
    }
}

fn locations(field: &Field<'_>) -> Result<Vec<TokenLocation>, Fault> {
    let mut locations = Vec::new();
    for header in field.child_items("fromHeaders")? {
        header.strict(&["name", "prefix"])?;
        locations.push(TokenLocation::Header {
            name: header_name(&header.required("name")?)?,
            prefix: header.child_text("prefix")?.unwrap_or_default(),
        });
    }
    locations.extend(
        field
            .texts("fromParams")?
            .into_iter()
            .map(TokenLocation::Query),
    );
    locations.extend(
        field
            .texts("fromCookies")?
            .into_iter()
            .map(TokenLocation::Cookie),
    );
    if locations.is_empty() {
        let bearer = TokenLocation::Header {
            name: http::header::AUTHORIZATION,
            prefix: "Bearer ".into(),
        };
        locations = vec![bearer, TokenLocation::Query("access_token".into())];
    }
    Ok(locations)
}

fn claim_headers(field: &Field<'_>) -> Result<Vec<ClaimHeader>, Fault> {
    let mut headers = Vec::new();
    for item in field.child_items("outputClaimToHeaders")? {
        item.strict(&["header", "claim"])?;
        let claim = item.required("claim")?;
        if claim.text()?.is_empty() {
            return Err(claim.fault(format!("`{}` is empty", claim.path), "name the claim"));
        }
        headers.push(ClaimHeader {
            header: header_name(&item.required("header")?)?,
            claim: claim.text()?.split('.').map(Arc::from).collect(),
        });
    }
    Ok(headers)
}

fn header_name(field: &Field<'_>) -> Result<HeaderName, Fault> {
    let text = field.text()?;
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| field.fault(format!("`{text}` is no header name"), "write a header name"))
}
