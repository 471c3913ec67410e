//! A remembered sign-in, and what it spares a request.

use model::names::Timestamp;
use oidc::wire::ErrorCode;
use serde::{Deserialize, Serialize};

use super::wishes::{ONE_FACTOR, Prompt};
use super::{Asked, Person};
use crate::subject::subject;

/// Who signed in, when and how: one row, named by a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignIn {
    /// What clients see of it (`sid`).
    pub(crate) sid: String,
    pub(crate) person: Person,
}

/// What becomes of a checked request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The person has to sign in.
    SignIn,
    /// They have; nothing need be shown but the approval page.
    Known(Person),
    /// The client is told that nothing can be done without showing something.
    Refuse(ErrorCode, &'static str),
}

impl Asked {
    /// What is next, with what is remembered of this browser. `approves` says that nobody need be
    /// asked for approval.
    pub(crate) fn next(&self, remembered: Option<&SignIn>, approves: bool, now: Timestamp) -> Next {
        let silent = self.wishes.prompt == Prompt::Never;
        let fresh = |person: &Person| match self.wishes.oldest() {
            None => true,
            Some(age) => {
                // A second of grace would be a second too many for `max_age=0`.
                let ends = Timestamp::from_seconds(person.signed_in_at).plus(age);
                ends > now
            }
        };
        let meant = |person: &Person| match &self.wishes.subject {
            None => true,
            Some(wanted) => *wanted == subject(&person.user_id, &person.connector),
        };
        let known = remembered
            .map(|sign_in| &sign_in.person)
            .filter(|_| self.wishes.prompt != Prompt::SignIn)
            .filter(|person| self.connector.is_empty() || person.connector == self.connector)
            .filter(|person| fresh(person) && meant(person))
            .filter(|person| self.wishes.admits(class(person)));
        match known {
            Some(_) if silent && (self.ask_approval || !approves) => Next::Refuse(
                ErrorCode::ConsentRequired,
                "the person would have to be asked for approval",
            ),
            Some(person) => Next::Known(person.clone()),
            None if silent => {
                Next::Refuse(ErrorCode::LoginRequired, "nobody is signed in as asked for")
            }
            None => Next::SignIn,
        }
    }

    /// Why `person`, who has just signed in, is not who or what the client asked for.
    pub(crate) fn objection(&self, person: &Person) -> Option<(ErrorCode, &'static str)> {
        let wanted = self.wishes.subject.as_deref();
        if wanted.is_some_and(|one| one != subject(&person.user_id, &person.connector)) {
            return Some((ErrorCode::LoginRequired, "somebody else has signed in"));
        }
        if !self.wishes.admits(class(person)) {
            return Some((
                ErrorCode::UnmetAuthenticationRequirements,
                "no sign-in of that class is offered",
            ));
        }
        None
    }
}

/// The class of somebody's sign-in (`acr`).
pub(crate) fn class(_: &Person) -> &'static str {
    ONE_FACTOR
}

/// How somebody proved who they are (`amr`, RFC 8176); nothing is known of other connectors.
pub(crate) fn methods(person: &Person) -> &'static [&'static str] {
    match person.connector.as_str() {
        "local" => &["pwd"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn remembered(seconds_ago: i64) -> SignIn {
        let mut person = fixture::person();
        person.signed_in_at = NOW.seconds() - seconds_ago;
        SignIn {
            sid: "sid".into(),
            person,
        }
    }

    fn asked(change: impl FnOnce(&mut Asked)) -> Asked {
        let mut asked = fixture::asked();
        asked.connector = String::new();
        change(&mut asked);
        asked
    }

    /// What is next in one word.
    fn next(asked: &Asked, remembered: Option<&SignIn>, approves: bool) -> &'static str {
        match asked.next(remembered, approves, NOW) {
            Next::SignIn => "sign in",
            Next::Known(_) => "known",
            Next::Refuse(ErrorCode::LoginRequired, _) => "login_required",
            Next::Refuse(ErrorCode::ConsentRequired, _) => "consent_required",
            Next::Refuse(..) => "other",
        }
    }

    #[test]
    fn each_wish_is_kept() {
        let me = remembered(100);
        let subject = subject(&me.person.user_id, &me.person.connector);
        let silent = |asked: &mut Asked| asked.wishes.prompt = Prompt::Never;
        let again = |asked: &mut Asked| asked.wishes.prompt = Prompt::SignIn;
        for (asked, expected) in [
            (asked(|_| ()), ("sign in", "known")),
            (asked(silent), ("login_required", "known")),
            (asked(again), ("sign in", "sign in")),
            (
                asked(|one| one.wishes.max_age = Some(101)),
                ("sign in", "known"),
            ),
            (
                asked(|one| one.wishes.max_age = Some(100)),
                ("sign in", "sign in"),
            ),
            (
                asked(|one| one.wishes.subject = Some(subject.clone())),
                ("sign in", "known"),
            ),
            (
                asked(|one| one.wishes.subject = Some("other".into())),
                ("sign in", "sign in"),
            ),
            (
                asked(|one| {
                    silent(one);
                    one.wishes.subject = Some("other".into());
                }),
                ("login_required", "login_required"),
            ),
            (
                asked(|one| one.wishes.classes = vec!["2".into()]),
                ("sign in", "sign in"),
            ),
            (
                asked(|one| one.connector = "github".into()),
                ("sign in", "sign in"),
            ),
            (
                asked(|one| {
                    silent(one);
                    one.ask_approval = true;
                }),
                ("login_required", "consent_required"),
            ),
        ] {
            let seen = (next(&asked, None, true), next(&asked, Some(&me), true));
            assert_eq!(seen, expected, "{asked:?}");
        }
        let asked = asked(silent);
        assert_eq!(next(&asked, Some(&me), false), "consent_required");
    }

    #[test]
    fn who_signs_in_must_be_who_was_asked_for() {
        let me = fixture::person();
        assert_eq!(asked(|_| ()).objection(&me), None);
        let other = asked(|one| one.wishes.subject = Some("other".into()));
        assert_eq!(other.objection(&me).unwrap().0, ErrorCode::LoginRequired);
        let classy = asked(|one| one.wishes.classes = vec!["2".into()]);
        assert_eq!(
            classy.objection(&me).unwrap().0,
            ErrorCode::UnmetAuthenticationRequirements
        );
    }
}
