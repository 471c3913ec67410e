//! A decision in a few words: enough to compare two, and to list many.

use std::fmt;

use model::snapshot::PolicyInfo;
use policy::decision::SignInAnswer;
use policy::{Decision, Outcome, Reason, Refusal, Unreadable};
use serde_json::{Value, json};

use super::json::{rule_place, served};
use super::text::refused;

/// What becomes of a request, in a few words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Verdict {
    /// Whether it gets somewhere, in the order in which more is let through.
    pub(super) passes: Passes,
    /// `forward`, `sign_in` and so on.
    pub(super) outcome: &'static str,
    /// Where to, or why not.
    pub(super) what: String,
    /// The rule that determined it.
    pub(super) because: Because,
}

/// Whether a request gets somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Passes {
    /// No.
    Refused,
    /// After signing in, perhaps.
    SignIn,
    /// Yes.
    Allowed,
}

impl Passes {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::SignIn => "sign-in",
            Self::Allowed => "allowed",
        }
    }
}

/// The rule that determined a decision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Because {
    /// A rule of a policy, and where it stands.
    Rule {
        policy: String,
        file: String,
        line: u32,
    },
    /// Something that is no rule.
    Default(&'static str),
    /// The same, as a log tells it.
    Other(String),
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { policy, file, line } => write!(f, "{policy} {file}:{line}"),
            Self::Default(word) => f.write_str(&word.replace('_', " ")),
            Self::Other(word) => f.write_str(&word.replace('_', " ")),
        }
    }
}

impl Because {
    fn of(reason: &Reason) -> Self {
        match reason {
            Reason::Rule { policy, line } => {
                let PolicyInfo { object, place } = &**policy;
                let place = rule_place(place, *line);
                Self::Rule {
                    policy: object.to_string(),
                    file: place.file.to_string(),
                    line: place.line,
                }
            }
            Reason::Default(default) => Self::Default(default.as_str()),
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Rule { policy, file, line } => {
                json!({ "policy": policy, "file": file, "line": line })
            }
            Self::Default(word) => json!({ "default": word }),
            Self::Other(word) => json!({ "default": word }),
        }
    }
}

impl Verdict {
    pub(super) fn of(result: &Result<Decision, Unreadable>) -> Self {
        let decision = match result {
            Ok(decision) => decision,
            Err(fault) => {
                return Self {
                    passes: Passes::Refused,
                    outcome: "refuse",
                    what: fault.to_string(),
                    because: Because::Default("unreadable"),
                };
            }
        };
        let (passes, what) = match &decision.outcome {
            Outcome::Forward(permit) => {
                let to = format!("to `{}`", permit.destination().service);
                (Passes::Allowed, to)
            }
            Outcome::Serve(serve) => (
                Passes::Allowed,
                format!("by doorward, {}", served(&serve.what)),
            ),
            Outcome::Redirect(redirect) => (
                Passes::Allowed,
                format!("{} to {}", redirect.code, redirect.location),
            ),
            Outcome::SignIn(sign_in) => {
                let how = match sign_in.how {
                    SignInAnswer::Page => "sign-in page",
                    SignInAnswer::Redirect => "to the issuer",
                    SignInAnswer::Plain => "401",
                    SignInAnswer::NotAllowedIn => "403",
                    SignInAnswer::Unauthorized => "401",
                };
                (Passes::SignIn, how.to_owned())
            }
            // Where it stands is no part of what happens.
            Outcome::Refuse(Refusal::Closed(closure)) => (
                Passes::Refused,
                format!("closed by {}: {}", closure.code, closure.fault),
            ),
            Outcome::Refuse(refusal) => (Passes::Refused, refused(refusal)),
        };
        Self {
            passes,
            outcome: decision.outcome.as_str(),
            what,
            because: Because::of(&decision.reason),
        }
    }

    /// Whether both mean the same to whoever asked; the rule behind it may be another.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.passes, self.outcome, &self.what) == (other.passes, other.outcome, &other.what)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "outcome": self.outcome,
            "allowed": self.passes == Passes::Allowed,
            "what": self.what,
            "reason": self.because.json(),
        })
    }
}
