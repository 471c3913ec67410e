//! From a passed gateway to a permit: the destination's own rules, and what the request looks
//! like when it gets there.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::HOST;
use model::Snapshot;
use model::snapshot::{
    Closure, Destination, Forward, HeaderEdits, PlayedBy, Rewrite, Route, RouteMatch, UserHeader,
    Weighted,
};

use super::changes::Changes;
use super::custom::{self, EMAIL, GROUPS, PREFERRED, USER};
use super::login::Known;
use super::token::{self, Tokens};
use super::{End, Entered, Passed, go_on};
use crate::authorization::{self, Accepted, Headers, View};
use crate::decision::{
    self, DefaultReason, OriginalPath, Outcome, Permit, Reason, Redirection, Refusal, Serve,
    Served, Stage,
};
use crate::recorder::Recorder;
use crate::request::{Request, join};
use crate::route;
use crate::session::{Identified, Session, Token, TokenFault, header_value};

/// Sets the headers that tell an application who the user is.
pub(super) fn introduce(names: &UserHeader, known: &Known<'_>, changes: &mut Changes) {
    let values = &known.values;
    let UserHeader {
        user,
        groups,
        prefix,
    } = names;
    match &values.email {
        Some(email) if !prefix.is_empty() => {
            let text = String::from_utf8_lossy(email.as_bytes());
            changes.set_some(user, header_value(&format!("{prefix}{text}")).as_ref());
        }
        email => changes.set_some(user, email.as_ref()),
    }
    changes.set_some(groups, values.groups.as_ref());
    changes.set_some(&USER, values.user.as_ref());
    changes.set_some(&EMAIL, values.email.as_ref());
    changes.set_some(&GROUPS, values.groups.as_ref());
    changes.set_some(&PREFERRED, values.preferred_username.as_ref());
}

pub(super) fn bad_token(fault: TokenFault) -> Box<End> {
    End::by_default(Outcome::Refuse(Refusal::Token(fault)), DefaultReason::Token)
}

pub(super) fn closed_door(closure: &Arc<Closure>) -> Box<End> {
    let refusal = Refusal::Closed(closure.clone());
    End::by_default(Outcome::Refuse(refusal), DefaultReason::ClosedDoor)
}

/// A route to a destination.
pub(super) struct Forwarding<'s> {
    pub(super) route: &'s Arc<Route>,
    pub(super) forward: &'s Forward,
    pub(super) matched: Option<&'s RouteMatch>,
    /// Which of its destinations; drawn unless given.
    pub(super) only: Option<usize>,
    /// What the answer tells a page of another origin.
    pub(super) cors: Option<Box<HeaderEdits>>,
}

impl Forwarding<'_> {
    /// Asks the destination's own rules, with this gateway as the source, and permits.
    pub(super) fn perform(
        self,
        passed: Passed<'_, '_>,
        recorder: &mut Recorder<'_>,
    ) -> Result<(Outcome, Reason), Box<End>> {
        let Self {
            route,
            forward,
            matched,
            only,
            cors,
        } = self;
        let Passed {
            request,
            snapshot,
            session,
            entered,
            reason: at_gateway,
        } = passed;
        let Entered {
            mut changes,
            known,
            tokens,
            token,
        } = entered;
        let (user, identified) = known.map(|known| (known.label, known.identified)).unzip();
        let bearer = |one: Accepted<'_>| Identified::Bearer(Arc::clone(one.token));
        let by_token = match &identified {
            Some(_) => None,
            None => token
                .filter(|one| tells_groups(snapshot, one.token))
                .map(bearer),
        };
        let sender = identified.as_ref().or(by_token.as_ref());
        let groups_are_told = sender.is_some();
        let head = request.head();
        let weights = forward.destinations.iter().map(|one| one.weight);
        let chosen = only.or_else(|| route::pick(weights, head.draw));
        let chosen = chosen.unwrap_or(0);
        let Some(weighted) = forward.destinations.get(chosen) else {
            let refusal = Outcome::Refuse(Refusal::NoRoute);
            return Err(End::by_default(refusal, DefaultReason::NoRoute));
        };
        let destination = &weighted.destination;
        let rewrite = weighted.rewrite.as_ref().or(forward.rewrite.as_ref());
        let path = route::rewrite(rewrite, matched, request);
        let authority = authority(forward, weighted);

        let arrival = Arrival {
            request,
            snapshot,
            session,
            sender,
            injected: tokens.injected,
            path: &path,
            authority: authority.as_deref().unwrap_or(request.authority()),
            edits: edits_of(forward, weighted),
        };
        let (own_token, verdict) = arrival.enter(destination, &mut changes, recorder)?;
        let reason = verdict.after(at_gateway);
        let accepted = token.or(own_token.filter(|one| one.names_user));
        let mirrors = arrival.copies(forward, &changes);
        let query = changes.query(request.query());
        let is_verbatim = matches!(path, Cow::Borrowed(_))
            && request.is_verbatim()
            && changes.consumed_parameters.is_empty();
        let original_path = match &path {
            Cow::Borrowed(_) => OriginalPath::Kept,
            Cow::Owned(_) if request.is_verbatim() && changes.consumed_parameters.is_empty() => {
                OriginalPath::Received
            }
            Cow::Owned(_) => OriginalPath::Normal(join(request.path(), query.as_deref()).into()),
        };
        let permit = Permit {
            route: route.clone(),
            destination: destination.clone(),
            chosen,
            draw: head.draw,
            path_and_query: (!is_verbatim).then(|| join(&path, query.as_deref()).into()),
            original_path,
            authority,
            identity: changes.set,
            remove: changes.removed,
            user: user.or_else(|| accepted.map(|one| label(one.token))),
            identified: identified.or_else(|| accepted.map(bearer)),
            groups_are_told,
            added: cors,
            mirrors,
        };
        let what = match &destination.played_by {
            PlayedBy::Upstream => return Ok((Outcome::Forward(permit), reason)),
            PlayedBy::Login(index) => Served::Login(*index),
            PlayedBy::Provider(index) => Served::Provider(*index),
            PlayedBy::Kfam => Served::Kfam,
            PlayedBy::Whoami => Served::Whoami,
            PlayedBy::Redirect(redirect) => {
                let location = route::location(redirect, matched, request).into();
                let headers = Some(&redirect.headers).filter(|edits| !edits.is_empty());
                let redirection = Redirection {
                    location,
                    code: redirect.code,
                    edits: headers
                        .into_iter()
                        .chain(permit.added.as_deref())
                        .cloned()
                        .collect(),
                };
                let answers = Reason::Default(DefaultReason::RouteAnswers);
                return Ok((Outcome::Redirect(redirection), answers));
            }
            PlayedBy::Nobody(closure) => return Err(closed_door(closure)),
        };
        Ok((Outcome::Serve(Serve::plain(what, Some(permit))), reason))
    }
}

/// Ends a request that is to fail on purpose.
pub(super) fn injected(forward: &Forward, draw: u32) -> Result<(), Box<End>> {
    let abort = forward.fault.as_ref().and_then(|fault| fault.abort);
    match abort {
        // Turned, so that it does not hang together with the destination or the delay.
        Some((abort, share)) if share.includes(draw.rotate_right(24)) => {
            let serve = Serve {
                delay: decision::delay(forward, draw),
                ..Serve::plain(Served::Fault(abort), None)
            };
            Err(End::by_default(
                Outcome::Serve(serve),
                DefaultReason::InjectedFault,
            ))
        }
        _ => Ok(()),
    }
}

/// A request as it gets to a destination, and to the mirrors that get a copy of it.
struct Arrival<'w, 'a> {
    request: &'w Request<'w>,
    snapshot: &'w Snapshot,
    session: &'a Session,
    /// Whoever sent it, if somebody vouches for their groups.
    sender: Option<&'w Identified>,
    /// The token that a login check at the gateway put into `Authorization`.
    injected: Option<&'a Arc<Token>>,
    path: &'w str,
    authority: &'w str,
    edits: [Option<&'w HeaderEdits>; 2],
}

impl<'a> Arrival<'_, 'a> {
    /// Asks the own rules of `destination`, with this gateway as the source: the token that they
    /// accept, and why they let the request in.
    fn enter(
        &self,
        destination: &'a Destination,
        changes: &mut Changes,
        recorder: &mut Recorder<'_>,
    ) -> Result<(Option<Accepted<'a>>, Reason), Box<End>> {
        const STAGE: Stage = Stage::Destination;
        let Destination {
            policies,
            authentication,
            target_port,
            ..
        } = destination;
        if let Some(verdict) = authorization::closed(policies) {
            go_on(verdict)?;
        }
        let (request, edits) = (self.request, self.edits);
        let head = request.head();
        let mut tokens = Tokens {
            injected: self.injected,
            bearer: &self.session.bearer,
            elsewhere: &self.session.elsewhere,
        };
        if !policies.custom.is_empty() {
            let as_arrived = changes.clone();
            let asking = self.view(*target_port, as_arrived.over(head.headers, edits), None);
            let asked = custom::ask(
                (self.snapshot, &policies.custom, STAGE),
                request,
                self.session,
                &asking,
                changes,
                recorder,
            )?;
            if asked.is_token_injected {
                tokens.injected = asked.known.and_then(|known| known.token);
            }
        }
        let judging = (&mut *changes, edits);
        let token = token::judge(authentication, tokens, request, judging, STAGE, recorder)
            .map_err(bad_token)?;
        let headers = changes.over(head.headers, edits);
        let view = self.view(*target_port, headers, token);
        let verdict = authorization::judge(policies, &view, STAGE, recorder);
        Ok((token, go_on(verdict)?))
    }

    /// What the destination's rules see.
    fn view<'v>(
        &'v self,
        port: u16,
        headers: Headers<'v>,
        token: Option<Accepted<'v>>,
    ) -> View<'v> {
        let head = self.request.head();
        View {
            method: head.method.as_str(),
            path: self.path,
            authority: self.authority,
            headers,
            token,
            sender: self.sender,
            principal: Some(&self.snapshot.identity().principal),
            connection: None,
            remote_ip: head.client,
            port,
        }
    }

    /// Which mirrors get one: those that are drawn, and whose own rules let the request in. What
    /// they answer is thrown away, but what they do is not.
    fn copies(&self, forward: &Forward, changes: &Changes) -> Vec<usize> {
        // Turned, so that mirrors do not hang together with the destination that was drawn.
        let draw = self.request.head().draw.rotate_right(16);
        let may_enter = |destination| {
            let nobody = &mut Recorder::nobody();
            self.enter(destination, &mut changes.clone(), nobody)
                .is_ok()
        };
        let mirrors = forward.mirrors.iter().enumerate();
        mirrors
            .filter(|(_, mirror)| mirror.share.includes(draw) && may_enter(&mirror.destination))
            .map(|(number, _)| number)
            .collect()
    }
}

/// Whether the issuer of a token that the gateway accepted is trusted with groups: its rule makes
/// the header of groups from them. Others may be trusted to say who somebody is, and no more.
fn tells_groups(snapshot: &Snapshot, token: &Token) -> bool {
    let names = &snapshot.user_header().groups;
    let mut rules = snapshot.gateway_authentication().rules.iter();
    rules.any(|rule| {
        *rule.issuer == *token.issuer()
            && rule.claim_headers.iter().any(|told| {
                told.header == *names && matches!(&*told.claim, [claim] if &**claim == "groups")
            })
    })
}

/// Edits of the request in the order in which they run: those of the chosen destination, then the
/// route's.
fn edits_of<'f>(forward: &'f Forward, weighted: &'f Weighted) -> [Option<&'f HeaderEdits>; 2] {
    [&weighted.request_headers, &forward.request_headers].map(Some)
}

/// `Host` that the route sends: its rewrite, else a header edit, else those of the destination.
fn authority(forward: &Forward, weighted: &Weighted) -> Option<Arc<str>> {
    let rewritten = |rewrite: &Option<Rewrite>| rewrite.as_ref()?.authority.clone();
    let edited = |edits: &HeaderEdits| {
        edits
            .set
            .iter()
            .chain(&edits.add)
            .find(|(name, _)| *name == HOST)
            .and_then(|(_, value)| value.to_str().ok())
            .map(Arc::from)
    };
    rewritten(&forward.rewrite)
        .or_else(|| edited(&forward.request_headers))
        .or_else(|| rewritten(&weighted.rewrite))
        .or_else(|| edited(&weighted.request_headers))
}

/// How the log calls the bearer of a token: e-mail, else subject.
pub(super) fn label(token: &Token) -> Arc<str> {
    token
        .claims()
        .get("email")
        .and_then(serde_json::Value::as_str)
        .unwrap_or(token.subject())
        .into()
}
