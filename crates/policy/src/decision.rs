//! Outcomes and the reasons they carry.

mod consent;
mod step;

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use model::names::Duration;
use model::snapshot::{
    Abort, Closure, Destination, Forward, HeaderEdits, Mirror, PolicyInfo, Retries, Route,
    RouteAction, RouteInfo, Weighted,
};

use smallvec::SmallVec;

use crate::session::{Identified, NoSession, TokenFault};

pub use consent::Consent;
pub use step::{Found, Record, Stage, Step, Unmet};

/// What is to happen, and why.
#[derive(Debug)]
pub struct Decision {
    /// What is to happen.
    pub outcome: Outcome,
    /// The route that was chosen, if any.
    pub route: Option<Arc<RouteInfo>>,
    /// The rule that determined the outcome.
    pub reason: Reason,
}

/// The five things that can happen to a request.
#[derive(Debug)]
pub enum Outcome {
    /// It goes to an upstream.
    Forward(Permit),
    /// Somebody must sign in first.
    SignIn(SignIn),
    /// It is sent elsewhere.
    Redirect(Redirection),
    /// It is answered in this process.
    Serve(Serve),
    /// It is refused.
    Refuse(Refusal),
}

impl Outcome {
    /// The right that it grants, if any.
    pub fn permit(&self) -> Option<&Permit> {
        match self {
            Self::Forward(permit) => Some(permit),
            Self::Serve(serve) => serve.permit.as_ref(),
            Self::SignIn(_) | Self::Redirect(_) | Self::Refuse(_) => None,
        }
    }

    /// A stable word for logs, metrics and `explain`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Forward(_) => "forward",
            Self::SignIn(_) => "sign_in",
            Self::Redirect(_) => "redirect",
            Self::Serve(_) => "serve",
            Self::Refuse(_) => "refuse",
        }
    }
}

/// The rule that determined an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A rule of a policy.
    Rule {
        /// The policy.
        policy: Arc<PolicyInfo>,
        /// Line of the rule; the policy's own when it has no rule that matched.
        line: u32,
    },
    /// A named default, because no rule spoke.
    Default(DefaultReason),
}

impl Reason {
    /// Of two reasons to let through, this one after `earlier`: a rule says more than a default,
    /// and the last rule more than the first.
    pub(crate) fn after(self, earlier: Self) -> Self {
        match self {
            Self::Default(_) => earlier,
            rule @ Self::Rule { .. } => rule,
        }
    }
}

/// The defaults that can determine an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultReason {
    /// No ALLOW policy applies, and none denies.
    NoAllowPolicy,
    /// No route matches.
    NoRoute,
    /// The host belongs to another chain than the one the handshake chose.
    Misdirected,
    /// The route answers or redirects by itself.
    RouteAnswers,
    /// The `Gateway` server redirects to HTTPS.
    HttpsRedirect,
    /// The page belongs to the login proxy itself.
    LoginPage,
    /// A manifest cannot be read.
    ClosedDoor,
    /// A token was judged before any policy.
    Token,
    /// The route's `corsPolicy` answers what a browser asks first.
    Preflight,
    /// The route makes some of its requests fail on purpose.
    InjectedFault,
    /// The program that this process stands in for says so, by its check of who is signed in.
    LoginCheck,
    /// It has another address for what was asked.
    ProgramRedirect,
}

impl DefaultReason {
    /// A stable word for logs and `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAllowPolicy => "no_allow_policy",
            Self::NoRoute => "no_route",
            Self::Misdirected => "misdirected",
            Self::RouteAnswers => "route_answers",
            Self::HttpsRedirect => "https_redirect",
            Self::LoginPage => "login_page",
            Self::ClosedDoor => "closed_door",
            Self::Token => "token",
            Self::Preflight => "preflight",
            Self::InjectedFault => "injected_fault",
            Self::LoginCheck => "login_check",
            Self::ProgramRedirect => "program_redirect",
        }
    }
}

/// Most requests set no more headers than a known person has, and take nothing from the heap for
/// them.
pub(crate) const USUAL: usize = 8;

/// The right to forward one request: only [`crate::decide()`] makes one, and forwarding consumes
/// it.
#[derive(Debug)]
pub struct Permit {
    pub(crate) route: Arc<Route>,
    pub(crate) destination: Arc<Destination>,
    /// Which of the route's destinations it is.
    pub(crate) chosen: usize,
    /// A number drawn for this request.
    pub(crate) draw: u32,
    /// `None` where it is the target exactly as it was received.
    pub(crate) path_and_query: Option<Box<str>>,
    pub(crate) original_path: OriginalPath,
    pub(crate) authority: Option<Arc<str>>,
    pub(crate) identity: SmallVec<[(HeaderName, HeaderValue); USUAL]>,
    pub(crate) remove: Vec<HeaderName>,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) identified: Option<Identified>,
    /// Whether somebody vouches for the groups in there too.
    pub(crate) groups_are_told: bool,
    /// What is added to the answer: what a page of another origin is told, or whose session it is.
    pub(crate) added: Option<Box<HeaderEdits>>,
    /// Which of the route's mirrors get a copy.
    pub(crate) mirrors: Vec<usize>,
}

impl Permit {
    /// Where to.
    pub fn destination(&self) -> &Arc<Destination> {
        &self.destination
    }

    /// Path and query to ask for, where they are not the target exactly as it was received.
    pub fn path_and_query(&self) -> Option<&str> {
        self.path_and_query.as_deref()
    }

    /// Path and query to ask for, of a request whose target was `received`.
    pub fn target<'a>(&'a self, received: &'a str) -> &'a str {
        self.path_and_query().unwrap_or(received)
    }

    /// The path before the route rewrote it.
    pub fn original_path(&self) -> &OriginalPath {
        &self.original_path
    }

    /// `Host` to send, when it changes.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Headers that say who the user is: they replace any of the same name, before
    /// [`Self::request_headers`].
    pub fn identity(&self) -> &[(HeaderName, HeaderValue)] {
        &self.identity
    }

    /// Headers that held a consumed token: removed before [`Self::identity`] is set.
    pub fn remove(&self) -> &[HeaderName] {
        &self.remove
    }

    /// The edits of the request, in the order in which they run.
    pub fn request_headers(&self) -> impl Iterator<Item = &HeaderEdits> {
        self.edits(|one| &one.request_headers, |route| &route.request_headers)
    }

    /// The edits of the answer, in the order in which they run.
    pub fn response_headers(&self) -> impl Iterator<Item = &HeaderEdits> {
        self.edits(|one| &one.response_headers, |route| &route.response_headers)
            .chain(self.added.as_deref())
    }

    fn edits<'a>(
        &'a self,
        own: impl Fn(&'a Weighted) -> &'a HeaderEdits,
        whole: impl Fn(&'a Forward) -> &'a HeaderEdits,
    ) -> impl Iterator<Item = &'a HeaderEdits> {
        let forward = self.forward();
        let one = forward.and_then(|forward| forward.destinations.get(self.chosen));
        let both = [one.map(own), forward.map(whole)];
        both.into_iter().flatten().filter(|edits| !edits.is_empty())
    }

    /// Time until the whole answer; `None` waits for ever.
    pub fn timeout(&self) -> Option<Duration> {
        self.forward().and_then(|forward| forward.timeout)
    }

    /// Whether and when it is sent again; `None` sends it once.
    pub fn retries(&self) -> Option<&Retries> {
        self.forward()?.retries.as_deref()
    }

    /// Who gets a copy of this request.
    pub fn mirrors(&self) -> impl Iterator<Item = &Mirror> {
        let mirrors = self.forward().map_or(&[][..], |forward| &forward.mirrors);
        self.mirrors
            .iter()
            .filter_map(|number| mirrors.get(*number))
    }

    /// Time that this request has to wait first.
    pub fn delay(&self) -> Option<Duration> {
        delay(self.forward()?, self.draw)
    }

    /// The route, for what it says of answers to pages of other origins.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// A number drawn for this request.
    pub fn draw(&self) -> u32 {
        self.draw
    }

    fn forward(&self) -> Option<&Forward> {
        match &self.route.action {
            RouteAction::Forward(forward) => Some(forward),
            _ => None,
        }
    }

    /// Whom it is for; `None` where nobody had to tell who they are.
    pub fn identified(&self) -> Option<&Identified> {
        self.identified.as_ref()
    }

    /// Groups of whom it is for, where who vouches for them is trusted with groups.
    pub fn groups(&self) -> Vec<&str> {
        let sender = self.identified.as_ref().filter(|_| self.groups_are_told);
        sender.map(Identified::groups).unwrap_or_default()
    }

    /// Who it is for, for the log: e-mail, else subject.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }
}

/// Time that a request with this draw has to wait first. The draw is turned, so that what one
/// number decides does not hang together.
pub(crate) fn delay(forward: &Forward, draw: u32) -> Option<Duration> {
    let (delay, share) = forward.fault.as_ref()?.delay?;
    share.includes(draw.rotate_right(8)).then_some(delay)
}

/// What `x-envoy-original-path` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginalPath {
    /// Nothing: the path is not rewritten.
    Kept,
    /// The target as it was received.
    Received,
    /// This one: the target in normal form, without consumed tokens.
    Normal(Box<str>),
}

/// Somebody must sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// Index of the login proxy in [`model::Snapshot::logins`].
    pub login: usize,
    /// How this request is told.
    pub how: SignInAnswer,
    /// Why there is no session.
    pub absence: NoSession,
}

/// How a request without session is told to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInAnswer {
    /// 403 with the sign-in page.
    Page,
    /// 302 to the issuer.
    Redirect,
    /// 401 with `{}`, for scripts.
    Unauthorized,
    /// 401 with a line of text, for proxies that ask.
    Plain,
    /// 403: there is a session, and it ends, because its owner may not enter.
    NotAllowedIn,
}

/// A redirect, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// `Location`.
    pub location: Box<str>,
    /// Status.
    pub code: u16,
    /// Edits of the answer's headers, in the order in which they run.
    pub edits: Vec<HeaderEdits>,
}

impl Redirection {
    /// A redirect that nothing is added to.
    pub fn plain(location: Box<str>, code: u16) -> Self {
        Self {
            location,
            code,
            edits: Vec::new(),
        }
    }
}

/// Something answered in this process.
#[derive(Debug)]
pub struct Serve {
    /// What answers.
    pub what: Served,
    /// The right to ask it, when it stands for a destination of a route. Pages that a login proxy
    /// answers within its check need none.
    pub permit: Option<Permit>,
    /// Edits of the answer's headers, in the order in which they run; those of a permit stand
    /// there.
    pub edits: Vec<HeaderEdits>,
    /// Time to wait before the answer.
    pub delay: Option<Duration>,
}

impl Serve {
    /// What answers, with or without a permit, and nothing besides.
    pub(crate) fn plain(what: Served, permit: Option<Permit>) -> Self {
        Self {
            what,
            permit,
            edits: Vec::new(),
            delay: None,
        }
    }
}

/// What answers in this process.
#[derive(Clone, Debug, PartialEq)]
pub enum Served {
    /// A login proxy, by index.
    Login(usize),
    /// An OpenID provider, by index.
    Provider(usize),
    /// KFAM.
    Kfam,
    /// The built-in `whoami` application.
    Whoami,
    /// Whether the program that this process stands in for can do its work.
    Ready,
    /// A file of a directory.
    Files {
        /// The directory.
        directory: Arc<str>,
        /// What was asked for below it, as it was received.
        below: Box<str>,
    },
    /// The `directResponse` of this route.
    Response(Arc<Route>),
    /// The same, and leave to pass: a proxy that asked removes what would say who somebody is and
    /// that the answer does not.
    Leave(Arc<Route>),
    /// Leave to pass, if another program agrees.
    Consent(Box<Consent>),
    /// The gateway itself: what a browser asks before a request to another origin.
    Preflight,
    /// The gateway itself: a failure made on purpose.
    Fault(Abort),
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No route: 404.
    NoRoute,
    /// No upstream of a program that this process stands in for: 404.
    NoUpstream,
    /// The connection was made for another host's chain: 421.
    Misdirected,
    /// A policy says no: 403, `RBAC: access denied`.
    Denied,
    /// A bad token: 401 (403 for a foreign audience).
    Token(TokenFault),
    /// The e-mail or group may not enter: 403.
    NotAllowedIn,
    /// A session does not meet what the query wants, or a token proves nothing: 403 `Forbidden`.
    Forbidden,
    /// The authorizer cannot be asked: its `statusOnError`.
    AuthorizerUnavailable(u16),
    /// The session store did not answer: 503.
    StoreUnavailable,
    /// A manifest cannot be read, or a destination does not exist: 503.
    Closed(Arc<Closure>),
}
