//! `VirtualService` `http[]` that is answered by the gateway itself: `redirect`, `directResponse`.

use data_encoding::BASE64;

use crate::objects::{Fault, Field};
use crate::snapshot::{
    HeaderEdits, PathRewrite, Redirect, RedirectPort, Respond, TextMatch, UriMatch,
};

/// Reads `redirect`. `uris` are the conditions on the path under which it happens.
pub(super) fn redirect(
    field: &Field<'_>,
    headers: HeaderEdits,
    uris: &[Option<&UriMatch>],
) -> Result<Redirect, Fault> {
    field.only(&[
        "uri",
        "prefixRewrite",
        "authority",
        "port",
        "derivePort",
        "scheme",
        "redirectCode",
    ])?;
    let scheme = field.child_text("scheme")?;
    let port = match (field.child("port"), field.child("derivePort")) {
        (None, None) => RedirectPort::Keep,
        (Some(port), _) => match (port.port()?, scheme.as_deref()) {
            // The default port of the scheme is not written.
            (80, Some("http")) | (443, Some("https")) => RedirectPort::Keep,
            (number, _) => RedirectPort::Number(number),
        },
        (None, Some(derive)) => match derive.text()? {
            "FROM_PROTOCOL_DEFAULT" => RedirectPort::Keep,
            "FROM_REQUEST_PORT" => RedirectPort::FromRequest,
            other => {
                let fault = format!("`{}` knows no `{other}`", derive.path);
                return Err(derive.fault(
                    fault,
                    "write `FROM_PROTOCOL_DEFAULT` or `FROM_REQUEST_PORT`",
                ));
            }
        },
    };
    if !matches!(scheme.as_deref(), None | Some("http" | "https")) {
        let fault = format!("`{}.scheme` has to be `http` or `https`", field.path);
        return Err(field.fault(fault, "write one of them"));
    }
    let code = field
        .child("redirectCode")
        .map_or(Ok(301), |code| code.number())?;
    let code = match code {
        301 | 302 | 303 | 307 | 308 => u16::try_from(code).unwrap_or(301),
        _ => {
            let fault = format!("`{}.redirectCode` cannot be {code}", field.path);
            return Err(field.fault(fault, "write 301, 302, 303, 307 or 308"));
        }
    };
    let redirect = Redirect {
        path: redirected_path(field, uris)?,
        authority: field.child_text("authority")?,
        scheme,
        port,
        code,
        headers,
    };
    let changes = [
        "uri",
        "prefixRewrite",
        "authority",
        "scheme",
        "port",
        "derivePort",
    ];
    if !changes.iter().any(|name| field.child(name).is_some()) {
        let fault = format!("`{}` redirects to the same place", field.path);
        return Err(field.fault(fault, "add `uri`, `authority`, `scheme` or `port`"));
    }
    Ok(redirect)
}

/// `uri` replaces the whole path, `prefixRewrite` the prefix that matched.
fn redirected_path(
    field: &Field<'_>,
    uris: &[Option<&UriMatch>],
) -> Result<Option<PathRewrite>, Fault> {
    let whole = field.child_text("uri")?.filter(|uri| !uri.is_empty());
    let Some(prefix) = field.child("prefixRewrite") else {
        return Ok(whole.map(PathRewrite::Whole));
    };
    let is_prefix =
        |uri: &Option<&UriMatch>| uri.is_none_or(|uri| matches!(uri.text, TextMatch::Prefix(_)));
    if whole.is_some() || !uris.iter().all(is_prefix) {
        let fault = format!("`{}` has no prefix to replace", prefix.path);
        let remedy = "match `uri` by `prefix` in every match, and leave out `redirect.uri`";
        return Err(prefix.fault(fault, remedy));
    }
    Ok(Some(PathRewrite::Matched(prefix.text()?.into())))
}

/// Reads `directResponse`.
pub(super) fn respond(field: &Field<'_>, headers: HeaderEdits) -> Result<Respond, Fault> {
    field.only(&["status", "body"])?;
    const LARGEST: usize = 1 << 20;
    let status = field.required("status")?;
    let code = u16::try_from(status.number()?).unwrap_or(0);
    if !(200..=599).contains(&code) {
        return Err(status.fault(
            format!("`{}` cannot be {code}", status.path),
            "write 200 to 599",
        ));
    }
    let body: Vec<u8> = match field.child("body") {
        None => Vec::new(),
        Some(body) => match (body.child_text("string")?, body.child_text("bytes")?) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(bytes)) => BASE64.decode(bytes.as_bytes()).map_err(|_| {
                body.fault(format!("`{}.bytes` is no base64", body.path), "encode it")
            })?,
            _ => {
                let fault = format!("`{}` has to hold `string` or `bytes`", body.path);
                return Err(body.fault(fault, "keep one of them"));
            }
        },
    };
    if body.len() > LARGEST {
        return Err(field.fault(format!("`{}.body` is over 1 MB", field.path), "shorten it"));
    }
    Ok(Respond {
        status: code,
        body: body.into(),
        headers,
    })
}
