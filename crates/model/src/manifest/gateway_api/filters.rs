//! `filters[]`: what happens to a request on its way.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::backend_ref::BackendRef;
use super::cors;
use super::http_route::RouteKind;
use crate::objects::{Fault, Field};
use crate::snapshot::{Cors, HeaderEdits, PathRewrite, Redirect, RedirectPort, Rewrite, Share};

/// The filters of a rule or of a backend.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    pub(crate) request: HeaderEdits,
    pub(crate) response: HeaderEdits,
    pub(crate) redirect: Option<Redirect>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) mirrors: Vec<MirrorRef>,
    pub(crate) cors: Option<Arc<Cors>>,
}

/// `requestMirror`.
#[derive(Clone, Debug)]
pub(crate) struct MirrorRef {
    pub(crate) backend: BackendRef,
    pub(crate) share: Share,
}

impl Filters {
    /// Reads `filters` below `field`. A filter that cannot be read or is not known is the fault:
    /// skipping it would serve what it was meant to change or refuse.
    pub(super) fn read(field: &Field<'_>, of: RouteKind) -> Result<Self, Fault> {
        let mut filters = Self::default();
        for item in field.child_items("filters")? {
            filters.add(&item, of)?;
        }
        if filters.redirect.is_some() && filters.rewrite.is_some() {
            let fault = format!("`{}` both redirects and rewrites", field.path);
            return Err(field.fault(fault, "keep `RequestRedirect` or `URLRewrite`"));
        }
        if let Some(redirect) = &mut filters.redirect {
            redirect.headers = filters.response.clone();
        }
        Ok(filters)
    }

    fn add(&mut self, item: &Field<'_>, of: RouteKind) -> Result<(), Fault> {
        let kind = item.required("type")?;
        let twice = || {
            let fault = format!(
                "`{}` stands here twice",
                kind.node.text().unwrap_or_default()
            );
            Err(item.fault(fault, "keep one of them"))
        };
        match (kind.text()?, of) {
            ("RequestHeaderModifier", RouteKind::Http | RouteKind::Grpc) => {
                let modifier = item.required("requestHeaderModifier")?;
                append(&mut self.request, edits(&modifier)?);
            }
            ("ResponseHeaderModifier", RouteKind::Http | RouteKind::Grpc) => {
                let modifier = item.required("responseHeaderModifier")?;
                append(&mut self.response, edits(&modifier)?);
            }
            ("RequestMirror", RouteKind::Http | RouteKind::Grpc) => {
                self.mirrors.push(mirror(&item.required("requestMirror")?)?)
            }
            ("RequestRedirect", RouteKind::Http) => {
                let redirect = redirect(&item.required("requestRedirect")?)?;
                if self.redirect.replace(redirect).is_some() {
                    return twice();
                }
            }
            ("URLRewrite", RouteKind::Http) => {
                let rewrite = rewrite(&item.required("urlRewrite")?)?;
                if self.rewrite.replace(rewrite).is_some() {
                    return twice();
                }
            }
            ("CORS", RouteKind::Http) => {
                let cors = cors::read(&item.required("cors")?)?;
                if self.cors.replace(Arc::new(cors)).is_some() {
                    return twice();
                }
            }
            (other, _) => {
                let fault = format!("the filter `{other}` is not served here");
                return Err(kind.fault(fault, "remove it, or write the rule without it"));
            }
        }
        Ok(())
    }
}

fn append(own: &mut HeaderEdits, more: HeaderEdits) {
    own.remove.extend(more.remove);
    own.set.extend(more.set);
    own.add.extend(more.add);
}

fn edits(field: &Field<'_>) -> Result<HeaderEdits, Fault> {
    field.only(&["set", "add", "remove"])?;
    let mut edits = HeaderEdits {
        remove: Vec::new(),
        set: pairs(field, "set")?,
        add: pairs(field, "add")?,
    };
    for item in field.child_items("remove")? {
        edits.remove.push(header_name(&item)?);
    }
    Ok(edits)
}

fn pairs(field: &Field<'_>, name: &str) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let mut pairs: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for item in field.child_items(name)? {
        let header = header_name(&item.required("name")?)?;
        let value = item.required("value")?;
        let value = HeaderValue::from_str(value.text()?).map_err(|_| {
            let fault = format!("`{}` is no header value", value.path);
            value.fault(fault, "write plain text")
        })?;
        // Of entries with one name, the first counts.
        if !pairs.iter().any(|(other, _)| *other == header) {
            pairs.push((header, value));
        }
    }
    Ok(pairs)
}

/// A header name.
pub(super) fn header_name(field: &Field<'_>) -> Result<HeaderName, Fault> {
    let text = field.text()?;
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| field.fault(format!("`{text}` is no header name"), "write a header name"))
}

fn mirror(field: &Field<'_>) -> Result<MirrorRef, Fault> {
    field.only(&["backendRef", "percent", "fraction"])?;
    let backend = BackendRef::plain(&field.required("backendRef")?)?;
    let share = match (field.child("percent"), field.child("fraction")) {
        (None, None) => Share::ALL,
        (Some(percent), None) => share(&percent, percent.number()?, 100)?,
        (None, Some(fraction)) => {
            let denominator = fraction.child("denominator");
            let denominator = denominator.map_or(Ok(100), |field| field.number())?;
            share(
                &fraction,
                fraction.required("numerator")?.number()?,
                denominator,
            )?
        }
        (Some(_), Some(_)) => {
            let fault = format!("`{}` has both `percent` and `fraction`", field.path);
            return Err(field.fault(fault, "keep one of them"));
        }
    };
    Ok(MirrorRef { backend, share })
}

fn share(field: &Field<'_>, numerator: u64, denominator: u64) -> Result<Share, Fault> {
    if denominator == 0 || numerator > denominator {
        let fault = format!("`{}` is no share of the whole", field.path);
        return Err(field.fault(fault, "write at most the whole"));
    }
    let millionths = u128::from(numerator) * 1_000_000 / u128::from(denominator);
    // At most a million, by the check above.
    Ok(Share::of_million(
        u32::try_from(millionths).unwrap_or(u32::MAX),
    ))
}

fn path_change(field: &Field<'_>) -> Result<Option<PathRewrite>, Fault> {
    let Some(path) = field.child("path") else {
        return Ok(None);
    };
    path.only(&["type", "replaceFullPath", "replacePrefixMatch"])?;
    let kind = path.required("type")?;
    match kind.text()? {
        "ReplaceFullPath" => {
            let whole = path.required("replaceFullPath")?.text()?;
            Ok(Some(PathRewrite::Whole(whole.into())))
        }
        "ReplacePrefixMatch" => {
            let with = path.required("replacePrefixMatch")?.text()?;
            Ok(Some(PathRewrite::Segments(with.into())))
        }
        other => {
            let fault = format!("`{}` is no change of a path: `{other}`", kind.path);
            Err(kind.fault(fault, "write `ReplaceFullPath` or `ReplacePrefixMatch`"))
        }
    }
}

fn rewrite(field: &Field<'_>) -> Result<Rewrite, Fault> {
    field.only(&["hostname", "path"])?;
    Ok(Rewrite {
        path: path_change(field)?,
        authority: field.child_text("hostname")?,
    })
}

fn redirect(field: &Field<'_>) -> Result<Redirect, Fault> {
    field.only(&["scheme", "hostname", "path", "port", "statusCode"])?;
    let scheme = field.child_text("scheme")?;
    // Without a port: the scheme's own where one is named, else that of the listener.
    let port = match (field.child("port"), scheme.as_deref()) {
        (Some(port), _) => RedirectPort::Replace(Some(port.port()?)),
        (None, Some("http")) => RedirectPort::Replace(Some(80)),
        (None, Some("https")) => RedirectPort::Replace(Some(443)),
        (None, Some(other)) => {
            let fault = format!("`{}.scheme` cannot be `{other}`", field.path);
            return Err(field.fault(fault, "write `http` or `https`"));
        }
        (None, None) => RedirectPort::Replace(None),
    };
    let code = match field.child("statusCode") {
        None => 302,
        Some(status) => match status.number()? {
            code @ (301 | 302 | 303 | 307 | 308) => code as u16,
            code => {
                let fault = format!("`{}` cannot be {code}", status.path);
                return Err(status.fault(fault, "write 301, 302, 303, 307 or 308"));
            }
        },
    };
    Ok(Redirect {
        path: path_change(field)?,
        authority: field.child_text("hostname")?,
        scheme,
        port,
        code,
        headers: HeaderEdits::default(),
    })
}
