//! Sessions over the administration listener: listed and ended, never a cookie or a token.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use login::{Listed, Sessions, StoreError};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::admin::{json_answer, text};

/// Listed at once, at most.
const MOST: usize = 1000;

/// What a query asks for.
#[derive(Default)]
struct Asked {
    user: Option<String>,
    after: String,
    at_most: Option<usize>,
    all: bool,
}

impl Asked {
    /// `None` when something in it is not known: nobody ends more than they meant to.
    fn read(query: &str) -> Option<Self> {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "user" if !value.is_empty() => asked.user = Some(value.into_owned()),
                "after" => asked.after = value.into_owned(),
                "limit" => asked.at_most = Some(value.parse().ok()?),
                "all" if value == "true" => asked.all = true,
                _ => return None,
            }
        }
        Some(asked)
    }
}

/// `GET /sessions[?user=U][&after=ID][&limit=N]`, `DELETE /sessions/ID`, `DELETE /sessions?user=U`,
/// `DELETE /sessions?all=true`. `rest` is the path after `/sessions`.
pub(super) async fn answer<B>(
    sessions: &Sessions,
    request: &Request<B>,
    rest: &str,
) -> Response<Full<Bytes>> {
    // A page in a browser on this machine is no administrator.
    let headers = request.headers();
    if headers.contains_key("origin") || headers.contains_key("sec-fetch-site") {
        return text(StatusCode::FORBIDDEN, "not from a browser\n");
    }
    let Some(asked) = Asked::read(request.uri().query().unwrap_or_default()) else {
        return text(
            StatusCode::BAD_REQUEST,
            "the query knows user, after, limit and all=true\n",
        );
    };
    let id = rest.strip_prefix('/').filter(|id| !id.is_empty());
    let answer = match (request.method(), id) {
        (&Method::GET | &Method::HEAD, None) if matches!(rest, "" | "/") => {
            list(sessions, &asked).await
        }
        (&Method::DELETE, Some(id)) => match sessions.end_listed(id).await {
            Ok(true) => Ok(ended(1)),
            Ok(false) => Ok(text(StatusCode::NOT_FOUND, "no such session\n")),
            Err(error) => Err(error),
        },
        (&Method::DELETE, None) => match (asked.user, asked.all) {
            (Some(user), false) => sessions.end_of(&user).await.map(|one| ended(one as u64)),
            (None, true) => sessions.end_all().await.map(ended),
            (Some(_), true) | (None, false) => Ok(text(
                StatusCode::BAD_REQUEST,
                "whose? /sessions/ID, /sessions?user=U or /sessions?all=true\n",
            )),
        },
        (&Method::GET | &Method::HEAD, _) => Ok(text(StatusCode::NOT_FOUND, "not here\n")),
        _ => Ok(text(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET and DELETE only\n",
        )),
    };
    answer.unwrap_or_else(|error| {
        tracing::error!(%error, "sessions cannot be administered");
        let status = match error.is_outage() {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
        text(status, format!("{error}\n"))
    })
}

async fn list(sessions: &Sessions, asked: &Asked) -> Result<Response<Full<Bytes>>, StoreError> {
    let at_most = asked.at_most.unwrap_or(MOST).clamp(1, MOST);
    let user = asked.user.as_deref();
    let page = sessions.list(user, &asked.after, at_most).await?;
    let found: Vec<Value> = page.sessions.iter().map(told).collect();
    let body = json!({ "sessions": found, "next": page.next });
    Ok(json_answer(StatusCode::OK, &body))
}

/// A session as JSON; times are seconds since 1970.
pub(crate) fn told(session: &Listed) -> Value {
    let Listed {
        id,
        login,
        issuer,
        user,
        email,
        created,
        seen,
        expires,
        idle_until,
    } = session;
    json!({
        "id": id,
        "user": email,
        "subject": user,
        "issuer": issuer,
        "login": login,
        "created": created.seconds(),
        "seen": seen.seconds(),
        "expires": expires.seconds(),
        "idleUntil": idle_until.seconds(),
    })
}

fn ended(number: u64) -> Response<Full<Bytes>> {
    json_answer(StatusCode::OK, &json!({ "ended": number }))
}
