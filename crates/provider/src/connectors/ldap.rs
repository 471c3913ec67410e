//! `ldap`: a directory (RFC 4511) is asked who has a name, and whether a password is theirs.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::snapshot::{LdapConnector, LdapMatcher};
use serde_json::{Value, json};

use super::{
    Answered, ConnectorFault, Context, DirectoryAsk, DirectoryEntry, DirectoryTold, Identity, Move,
    Purpose, Question, Turn,
};

/// `invalidCredentials`.
const INVALID_CREDENTIALS: u32 = 49;
/// `constraintViolation`: a locked account, with some directories.
const CONSTRAINT_VIOLATION: u32 = 19;
/// `noSuchObject`.
const NO_SUCH_OBJECT: u32 = 32;
/// Groups above this are no memberships but a loop, or a directory that must not be read whole.
const MOST_GROUPS: usize = 5000;

/// Where a conversation stands.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The service account is bound.
    Bound(Errand),
    /// Who has the name.
    People(Errand),
    /// The person is bound.
    Proven {
        login: String,
        entry: DirectoryEntry,
    },
    /// The service account is bound again.
    Back {
        login: String,
        entry: DirectoryEntry,
    },
    /// The groups of one look-up.
    Groups(Box<Climb>),
}

/// What the directory is asked for.
pub(crate) enum Errand {
    Login { login: String, password: String },
    Again { login: String, dn: String },
}

impl std::fmt::Debug for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Login { .. } => "Login",
            Self::Again { .. } => "Again",
        })
    }
}

/// A way up through groups.
#[derive(Debug)]
pub(crate) struct Climb {
    identity: Identity,
    /// Look-ups that have yet to be made: attribute, value, attribute of the groups above.
    ahead: Vec<(Arc<str>, String, Arc<str>)>,
    /// Of the look-up that is being made.
    recursion: Arc<str>,
    seen: BTreeSet<String>,
}

pub(super) fn begin(settings: &LdapConnector, purpose: Purpose<'_>) -> Turn<Stage> {
    let errand = match purpose {
        // A directory takes a bind without password for one of nobody, and grants it.
        Purpose::Password { password: "", .. } => return Ok(Move::Wrong),
        Purpose::Password { login, password } => Errand::Login {
            login: login.to_owned(),
            password: password.to_owned(),
        },
        Purpose::Again { before } => {
            let held = |name: &str| {
                let held = before.held.as_ref().and_then(|held| held.get(name));
                held.and_then(Value::as_str).map(str::to_owned)
            };
            match (held("login"), held("dn")) {
                (Some(login), Some(dn)) => Errand::Again { login, dn },
                _ => return Err(ConnectorFault::Gone),
            }
        }
        Purpose::Depart { .. } | Purpose::Return { .. } => return Err(ConnectorFault::NotForThis),
    };
    if settings.bind_dn.is_empty() {
        return Ok(find_person(settings, errand));
    }
    Ok(Move::Ask(service(settings), Stage::Bound(errand)))
}

fn service(settings: &LdapConnector) -> Question {
    Question::Directory(DirectoryAsk::Bind {
        dn: settings.bind_dn.to_string(),
        password: settings
            .bind_password
            .expose_str()
            .unwrap_or_default()
            .to_owned(),
    })
}

fn find_person(settings: &LdapConnector, errand: Errand) -> Move<Stage> {
    let (Errand::Login { login, .. } | Errand::Again { login, .. }) = &errand;
    let users = &settings.users;
    let matches: String = users
        .usernames
        .iter()
        .map(|attribute| format!("({attribute}={})", escaped(login)))
        .collect();
    let matches = match users.usernames.len() {
        1 => matches,
        _ => format!("(|{matches})"),
    };
    let filter = match users.filter.is_empty() {
        true => matches,
        false => format!("(&{}{matches})", users.filter),
    };
    let named = [
        &users.id,
        &users.email,
        &users.name,
        &users.preferred_username,
    ];
    let mut attributes: Vec<String> = named.iter().map(ToString::to_string).collect();
    if let Some(groups) = &settings.groups {
        attributes.extend(
            groups
                .matchers
                .iter()
                .map(|matcher| matcher.user.to_string()),
        );
    }
    attributes.retain(|name| !name.is_empty() && name != "DN");
    attributes.sort();
    attributes.dedup();
    let ask = DirectoryAsk::Search {
        base: users.base.to_string(),
        scope: users.scope,
        filter,
        attributes,
    };
    Move::Ask(Question::Directory(ask), Stage::People(errand))
}

impl Stage {
    pub(super) fn next(
        self,
        settings: &LdapConnector,
        context: &Context,
        answered: Answered,
    ) -> Turn<Self> {
        let Answered::Directory(told) = answered else {
            return Err(ConnectorFault::NotForThis);
        };
        match (self, told) {
            (Self::Bound(errand), DirectoryTold::Code(0)) => Ok(find_person(settings, errand)),
            (Self::People(errand), DirectoryTold::Entries(entries)) => {
                people(settings, context, errand, entries)
            }
            (Self::People(Errand::Login { .. }), DirectoryTold::Code(NO_SUCH_OBJECT)) => {
                Ok(Move::Wrong)
            }
            (Self::Proven { login, entry }, DirectoryTold::Code(0)) => {
                match settings.groups.is_some() && context.wanted.groups {
                    // The person may not be allowed to read groups; the service account is.
                    true => Ok(Move::Ask(service(settings), Self::Back { login, entry })),
                    false => known(settings, context, &login, &entry),
                }
            }
            (
                Self::Proven { .. },
                DirectoryTold::Code(INVALID_CREDENTIALS | CONSTRAINT_VIOLATION),
            ) => Ok(Move::Wrong),
            (Self::Back { login, entry }, DirectoryTold::Code(0)) => {
                known(settings, context, &login, &entry)
            }
            (Self::Groups(climb), DirectoryTold::Entries(entries)) => climb.with(settings, entries),
            // No group there is none that somebody is in.
            (Self::Groups(climb), DirectoryTold::Code(NO_SUCH_OBJECT)) => {
                climb.with(settings, Vec::new())
            }
            (_, DirectoryTold::Code(code)) => Err(ConnectorFault::Directory(code)),
            (_, DirectoryTold::Entries(_)) => Err(ConnectorFault::NotForThis),
        }
    }
}

fn people(
    settings: &LdapConnector,
    context: &Context,
    errand: Errand,
    entries: Vec<DirectoryEntry>,
) -> Turn<Stage> {
    let mut entries = entries.into_iter();
    let (first, second) = (entries.next(), entries.next());
    if second.is_some() {
        return Err(ConnectorFault::Ambiguous);
    }
    match (errand, first) {
        (Errand::Login { .. }, None) => Ok(Move::Wrong),
        (Errand::Again { .. }, None) => Err(ConnectorFault::Gone),
        (Errand::Login { login, password }, Some(entry)) => {
            let dn = entry.dn.clone();
            let ask = DirectoryAsk::Bind { dn, password };
            Ok(Move::Ask(
                Question::Directory(ask),
                Stage::Proven { login, entry },
            ))
        }
        (Errand::Again { login, dn }, Some(entry)) => {
            // The name is another person's by now.
            if !entry.dn.eq_ignore_ascii_case(&dn) {
                return Err(ConnectorFault::Gone);
            }
            known(settings, context, &login, &entry)
        }
    }
}

/// Values of an attribute; names of attributes have no letter case (RFC 4512 §2.5).
fn values<'e>(entry: &'e DirectoryEntry, name: &str) -> Vec<&'e str> {
    if name == "DN" {
        return vec![&entry.dn];
    }
    let found = entry.attributes.iter();
    let found = found.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    found
        .flat_map(|(_, values)| values.iter().map(String::as_str))
        .collect()
}

fn value(
    entry: &DirectoryEntry,
    name: &str,
    option: &'static str,
) -> Result<String, ConnectorFault> {
    if name.is_empty() {
        return Ok(String::new());
    }
    let first = values(entry, name).first().copied();
    let first = first.filter(|text| !text.is_empty());
    first
        .map(str::to_owned)
        .ok_or(ConnectorFault::Claim(option))
}

fn known(
    settings: &LdapConnector,
    context: &Context,
    login: &str,
    entry: &DirectoryEntry,
) -> Turn<Stage> {
    let users = &settings.users;
    let name = value(entry, &users.name, "nameAttr")?;
    let email = match users.email_suffix.is_empty() {
        true => value(entry, &users.email, "emailAttr")?,
        false => format!("{name}@{}", users.email_suffix),
    };
    let identity = Identity {
        user_id: value(entry, &users.id, "idAttr")?,
        preferred_username: value(entry, &users.preferred_username, "preferredUsernameAttr")?,
        name,
        email,
        email_verified: true,
        groups: Vec::new(),
        held: context
            .wanted
            .offline
            .then(|| json!({ "login": login, "dn": entry.dn })),
    };
    let Some(groups) = settings.groups.as_ref().filter(|_| context.wanted.groups) else {
        return Ok(Move::Known(identity));
    };
    let ahead = groups.matchers.iter().flat_map(|matcher: &LdapMatcher| {
        let of = values(entry, &matcher.user).into_iter();
        of.map(|value| {
            (
                Arc::clone(&matcher.group),
                value.to_owned(),
                Arc::clone(&matcher.recursion),
            )
        })
    });
    let climb = Climb {
        identity,
        ahead: ahead.collect(),
        recursion: "".into(),
        seen: BTreeSet::new(),
    };
    Box::new(climb).on(settings)
}

impl Climb {
    /// Makes the next look-up.
    fn on(mut self: Box<Self>, settings: &LdapConnector) -> Turn<Stage> {
        let (Some(groups), Some((attribute, value, recursion))) =
            (&settings.groups, self.ahead.pop())
        else {
            return Ok(Move::Known(self.identity));
        };
        self.recursion = recursion;
        let matches = format!("({attribute}={})", escaped(&value));
        let ask = DirectoryAsk::Search {
            base: groups.base.to_string(),
            scope: groups.scope,
            filter: match groups.filter.is_empty() {
                true => matches,
                false => format!("(&{}{matches})", groups.filter),
            },
            attributes: match *groups.name == *"DN" {
                true => Vec::new(),
                false => vec![groups.name.to_string()],
            },
        };
        Ok(Move::Ask(Question::Directory(ask), Stage::Groups(self)))
    }

    /// Goes on with what a look-up found.
    fn with(
        mut self: Box<Self>,
        settings: &LdapConnector,
        found: Vec<DirectoryEntry>,
    ) -> Turn<Stage> {
        let Some(groups) = &settings.groups else {
            return Err(ConnectorFault::NotForThis);
        };
        for entry in found {
            // Each group once: circles of groups end here.
            if !self.seen.insert(entry.dn.to_ascii_lowercase()) {
                continue;
            }
            if self.seen.len() > MOST_GROUPS {
                return Err(ConnectorFault::Answer("somebody is in too many groups"));
            }
            let name = value(&entry, &groups.name, "groupSearch.nameAttr")?;
            self.identity.groups.push(name);
            if !self.recursion.is_empty() {
                let above = Arc::clone(&self.recursion);
                self.ahead.push((Arc::clone(&above), entry.dn, above));
            }
        }
        self.identity.groups.sort();
        self.identity.groups.dedup();
        self.on(settings)
    }
}

/// A value in a filter (RFC 4515 §3).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '*' | '(' | ')' | '\\' | '\0' => out.push_str(&format!("\\{:02x}", letter as u32)),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests;
