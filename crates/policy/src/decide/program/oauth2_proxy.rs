//! OAuth2 Proxy: its pipeline, and what becomes of a request to what it protects.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, USER_AGENT};
use model::snapshot::{Mount, MountedUpstream, OAuth2Proxy, Route, RouteAction};

use super::constraints::are_met;
use super::paths::{cleaned, cleaned_when_decoded, with_query};
use super::told::{to_client, to_upstream};
use super::{Asked, End, answer, leave, own_page, redirect, refuse, say, tell};
use crate::decide::login::{self, Answer, Known, PAGES};
use crate::decision::{
    DefaultReason, OriginalPath, Outcome, Permit, Refusal, Serve, Served, SignInAnswer,
};
use crate::recorder::Recorder;
use crate::request::Request;
use crate::session::NoSession;

/// The target that a trusted proxy asks about.
const FORWARDED_URI: &str = "x-forwarded-uri";

pub(super) fn decide(proxy: &OAuth2Proxy, asked: &Asked<'_>, recorder: &mut Recorder<'_>) -> End {
    let request = asked.request;
    let head = request.head();
    let path = request.path();
    if let Some(clean) = cleaned(path) {
        return redirect(with_query(&clean, request.query()), 301);
    }
    if let Some(port) = proxy.force_https.filter(|_| head.scheme == "http") {
        return to_https(request, port);
    }
    if proxy.pings.iter().any(|ping| {
        *ping.path == *path
            && ping
                .user_agent
                .as_ref()
                .is_none_or(|wanted| says(head.headers, wanted))
    }) {
        return (answer(&proxy.alive, None), DefaultReason::LoginPage);
    }
    if *path == *proxy.ready_path {
        let serve = Serve::plain(Served::Ready, None);
        return (Outcome::Serve(serve), DefaultReason::LoginPage);
    }
    if path == "/robots.txt" {
        return (answer(&proxy.robots, None), DefaultReason::LoginPage);
    }
    let page = path
        .strip_prefix(&*asked.login.prefix)
        .and_then(|rest| rest.strip_prefix('/'));
    match page {
        Some("auth") => auth(proxy, asked, recorder),
        Some("userinfo" | "sign_out") if is_unproven(proxy, asked) => refuse(Refusal::Forbidden),
        Some(page) if PAGES.contains(&page) || page.starts_with("static/") => own_page(),
        _ => proxied(proxy, asked, recorder),
    }
}

fn says(headers: &HeaderMap, wanted: &str) -> bool {
    let said = headers.get(USER_AGENT);
    said.is_some_and(|said| said.as_bytes() == wanted.as_bytes())
}

/// A port in the host is that of HTTP: there it is another.
fn to_https(request: &Request<'_>, port: u16) -> End {
    let host = request.host();
    let has_port = request.authority().len() > host.len();
    let authority = match has_port && port != 443 {
        true => format!("{host}:{port}"),
        false => host.to_owned(),
    };
    redirect(request.location("https", &authority), 308)
}

/// Whether an `Authorization` is there that proves nothing, where that is not overlooked.
fn is_unproven(proxy: &OAuth2Proxy, asked: &Asked<'_>) -> bool {
    let Asked {
        login,
        request,
        session,
    } = *asked;
    proxy.bearer_only
        && request.head().headers.contains_key(AUTHORIZATION)
        && login::bearer_session(login, request.path(), request, session).is_none()
}

/// Who asks. Rules that exempt see the target that a trusted proxy names.
fn judge<'a>(proxy: &OAuth2Proxy, asked: &Asked<'a>, recorder: &mut Recorder<'_>) -> Answer<'a> {
    let Asked {
        login,
        request,
        session,
    } = *asked;
    let head = request.head();
    let forwarded = head
        .headers
        .get(FORWARDED_URI)
        .filter(|_| proxy.trust.covers(head.peer))
        .and_then(|uri| uri.to_str().ok())
        .map(|uri| uri.split(['?', '#']).next().unwrap_or_default());
    let path = forwarded.unwrap_or(request.path());
    let is_trusted = || {
        let mut clients = proxy.trusted_clients.iter();
        clients.any(|network| network.contains(&head.client))
    };
    let is_exempt = login::is_exempt(login, path, request) || is_trusted();
    let answer = login::judge(login, path, is_exempt, request, session);
    say(recorder, login, &answer);
    answer
}

/// `<prefix>/auth`, for proxies that ask.
fn auth(proxy: &OAuth2Proxy, asked: &Asked<'_>, recorder: &mut Recorder<'_>) -> End {
    if is_unproven(proxy, asked) {
        return refuse(Refusal::Forbidden);
    }
    let known = match judge(proxy, asked, recorder) {
        Answer::Exempt(known) => known,
        Answer::Session(known) => Some(known),
        Answer::StoreUnavailable => return refuse(Refusal::StoreUnavailable),
        Answer::NoSession(_, absence) => return tell(SignInAnswer::Plain, absence),
        Answer::OwnPage | Answer::NotAllowedIn => {
            return tell(SignInAnswer::Plain, NoSession::Unknown);
        }
    };
    if !known
        .as_ref()
        .is_none_or(|known| are_met(asked.request.query(), known))
    {
        return refuse(Refusal::Forbidden);
    }
    let told = to_client(proxy, known.as_ref());
    (answer(&proxy.accepted, told), DefaultReason::LoginCheck)
}

fn proxied(proxy: &OAuth2Proxy, asked: &Asked<'_>, recorder: &mut Recorder<'_>) -> End {
    if is_unproven(proxy, asked) {
        return refuse(Refusal::Forbidden);
    }
    let known = match judge(proxy, asked, recorder) {
        Answer::Exempt(known) => known,
        Answer::Session(known) => Some(known),
        Answer::StoreUnavailable => return refuse(Refusal::StoreUnavailable),
        Answer::NoSession(how, absence) => return tell(how, absence),
        Answer::OwnPage | Answer::NotAllowedIn => {
            return tell(SignInAnswer::NotAllowedIn, NoSession::Unknown);
        }
    };
    if !known
        .as_ref()
        .is_none_or(|known| are_met(asked.request.query(), known))
    {
        return refuse(Refusal::Forbidden);
    }
    pass(proxy, asked, known)
}

/// To the upstream.
fn pass(proxy: &OAuth2Proxy, asked: &Asked<'_>, known: Option<Known<'_>>) -> End {
    let request = asked.request;
    let path = request.path();
    if let Some(clean) = cleaned_when_decoded(path) {
        return redirect(with_query(&clean, request.query()), 301);
    }
    let Some(mount) = proxy.mounts.iter().find(|mount| holds(mount, path)) else {
        let with_slash = format!("{path}/");
        return match proxy.mounts.iter().any(|mount| *mount.path == *with_slash) {
            true => redirect(with_query(&with_slash, request.query()), 301),
            false => (Outcome::Refuse(Refusal::NoUpstream), DefaultReason::NoRoute),
        };
    };
    let told = to_client(proxy, known.as_ref());
    let outcome = match &mount.upstream {
        MountedUpstream::Files(directory) => Outcome::Serve(Serve {
            edits: told.into_iter().collect(),
            ..Serve::plain(
                Served::Files {
                    directory: Arc::clone(directory),
                    below: path[mount.path.len().min(path.len())..].into(),
                },
                None,
            )
        }),
        MountedUpstream::Route(route) => match permit(proxy, request, route, known) {
            Some(permit) => Outcome::Forward(Permit {
                added: told.map(Box::new),
                ..permit
            }),
            None => leave(route, told),
        },
    };
    (outcome, DefaultReason::LoginCheck)
}

fn holds(mount: &Mount, path: &str) -> bool {
    match mount.path.ends_with('/') {
        true => path.starts_with(&*mount.path),
        false => *mount.path == *path,
    }
}

/// `None` where nothing is forwarded.
fn permit(
    proxy: &OAuth2Proxy,
    request: &Request<'_>,
    route: &Arc<Route>,
    known: Option<Known<'_>>,
) -> Option<Permit> {
    let RouteAction::Forward(forward) = &route.action else {
        return None;
    };
    let destination = &forward.destinations.first()?.destination;
    let identity = known.as_ref().map(|known| to_upstream(proxy, known));
    let is_told_apart = proxy.to_upstream.basic || proxy.to_upstream.bearer;
    let (user, identified) = known.map(|known| (known.label, known.identified)).unzip();
    let rewrite = forward.rewrite.as_ref();
    Some(Permit {
        route: Arc::clone(route),
        destination: Arc::clone(destination),
        chosen: 0,
        draw: request.head().draw,
        path_and_query: (!request.is_verbatim()).then(|| request.path_and_query().into()),
        original_path: OriginalPath::Kept,
        authority: rewrite.and_then(|rewrite| rewrite.authority.clone()),
        identity: identity.unwrap_or_default().into(),
        // Where an upstream learns from it who somebody is, nobody else may say so.
        remove: is_told_apart.then_some(AUTHORIZATION).into_iter().collect(),
        user,
        identified,
        groups_are_told: true,
        added: None,
        mirrors: Vec::new(),
    })
}
