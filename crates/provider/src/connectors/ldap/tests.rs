//! Conversations with a directory that a test plays.

use model::names::Secret;
use model::snapshot::{IssuerTls, LdapGroups, LdapScope, LdapSecurity, LdapUsers};

use super::*;
use crate::connectors::Wanted;

fn settings() -> LdapConnector {
    LdapConnector {
        host: "d".into(),
        port: 389,
        security: LdapSecurity::Plain,
        tls: IssuerTls::default(),
        bind_dn: "cn=us".into(),
        bind_password: Secret::new("ours"),
        prompt: "Username".into(),
        users: LdapUsers {
            base: "ou=people".into(),
            filter: "(objectClass=person)".into(),
            usernames: vec!["uid".into(), "mail".into()],
            scope: LdapScope::Subtree,
            id: "DN".into(),
            email: "mail".into(),
            name: "CN".into(),
            preferred_username: "uid".into(),
            email_suffix: "".into(),
        },
        groups: Some(LdapGroups {
            base: "ou=groups".into(),
            filter: "".into(),
            scope: LdapScope::Subtree,
            name: "cn".into(),
            matchers: vec![LdapMatcher {
                user: "DN".into(),
                group: "member".into(),
                recursion: "member".into(),
            }],
        }),
    }
}

fn jane() -> DirectoryEntry {
    let one = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
    DirectoryEntry {
        dn: "uid=jane,ou=people".into(),
        attributes: vec![one("mail", "jane@e"), one("cn", "Jane"), one("uid", "jane")],
    }
}

fn group(dn: &str, name: &str) -> DirectoryEntry {
    DirectoryEntry {
        dn: dn.into(),
        attributes: vec![("cn".into(), vec![name.into()])],
    }
}

/// Plays the directory: what it is asked, and how it ends.
fn play(
    settings: &LdapConnector,
    purpose: Purpose<'_>,
    answers: impl IntoIterator<Item = DirectoryTold>,
) -> (Vec<DirectoryAsk>, Result<Option<Identity>, ConnectorFault>) {
    let context = Context {
        callback: String::new(),
        wanted: Wanted {
            groups: true,
            offline: true,
        },
        now: 0,
    };
    let mut answers = answers.into_iter();
    let mut asked = Vec::new();
    let mut moved = begin(settings, purpose);
    loop {
        match moved {
            Err(fault) => return (asked, Err(fault)),
            Ok(Move::Wrong) => return (asked, Ok(None)),
            Ok(Move::Known(identity)) => return (asked, Ok(Some(identity))),
            Ok(Move::Ask(Question::Directory(ask), stage)) => {
                asked.push(ask);
                let told = answers.next().expect("no more questions");
                moved = stage.next(settings, &context, Answered::Directory(told));
            }
            Ok(other) => panic!("{other:?}"),
        }
    }
}

const OK: DirectoryTold = DirectoryTold::Code(0);

fn found(entries: &[DirectoryEntry]) -> DirectoryTold {
    DirectoryTold::Entries(entries.to_vec())
}

fn typed<'a>(login: &'a str, password: &'a str) -> Purpose<'a> {
    Purpose::Password { login, password }
}

#[test]
fn a_person_is_found_proven_and_their_groups_climbed() {
    let settings = settings();
    let answers = [
        OK,
        found(&[jane()]),
        OK,
        OK,
        found(&[group("cn=a,ou=groups", "a"), group("cn=b,ou=groups", "b")]),
        // `b` is in `a`: a circle.
        found(&[group("CN=a,ou=groups", "a")]),
        found(&[
            group("cn=b,ou=groups", "b"),
            group("cn=top,ou=groups", "top"),
        ]),
        found(&[]),
    ];
    let (asked, identity) = play(&settings, typed("jane", "hers"), answers);
    let identity = identity.unwrap().unwrap();
    assert_eq!(identity.user_id, "uid=jane,ou=people");
    assert_eq!(identity.name, "Jane");
    assert_eq!(identity.preferred_username, "jane");
    assert_eq!(
        (&*identity.email, identity.email_verified),
        ("jane@e", true)
    );
    assert_eq!(identity.groups, ["a", "b", "top"]);
    let bind = |dn: &str, password: &str| DirectoryAsk::Bind {
        dn: dn.into(),
        password: password.into(),
    };
    assert_eq!(asked[0], bind("cn=us", "ours"));
    assert_eq!(asked[2], bind("uid=jane,ou=people", "hers"));
    // Groups are read by the service account.
    assert_eq!(asked[3], bind("cn=us", "ours"));
    let filters: Vec<_> = asked
        .iter()
        .filter_map(|ask| match ask {
            DirectoryAsk::Search { filter, .. } => Some(&**filter),
            DirectoryAsk::Bind { .. } => None,
        })
        .collect();
    let wanted = [
        "(&(objectClass=person)(|(uid=jane)(mail=jane)))",
        "(member=uid=jane,ou=people)",
        "(member=cn=b,ou=groups)",
        "(member=cn=a,ou=groups)",
        "(member=cn=top,ou=groups)",
    ];
    assert_eq!(filters, wanted);
}

#[test]
fn only_what_is_about_the_person_is_their_fault() {
    let settings = settings();
    let run = |login, password, answers: Vec<DirectoryTold>| {
        play(&settings, typed(login, password), answers)
            .1
            .map(|known| known.is_some())
    };
    let code = DirectoryTold::Code;
    // Without a password nobody is even asked for.
    assert_eq!(run("jane", "", vec![]), Ok(false));
    assert_eq!(run("jane", "x", vec![OK, found(&[])]), Ok(false));
    assert_eq!(
        run("jane", "x", vec![OK, found(&[jane()]), code(49)]),
        Ok(false)
    );
    assert_eq!(
        run("jane", "x", vec![OK, found(&[jane()]), code(19)]),
        Ok(false)
    );
    let broken = |code| Err(ConnectorFault::Directory(code));
    assert_eq!(run("jane", "x", vec![code(49)]), broken(49));
    assert_eq!(run("jane", "x", vec![OK, code(51)]), broken(51));
    assert_eq!(
        run("jane", "x", vec![OK, found(&[jane()]), code(53)]),
        broken(53)
    );
    let two = vec![OK, found(&[jane(), jane()])];
    assert_eq!(run("jane", "x", two), Err(ConnectorFault::Ambiguous));
    let mut bare = jane();
    bare.attributes.remove(0);
    let answers = vec![OK, found(&[bare]), OK, OK];
    assert_eq!(
        run("jane", "x", answers),
        Err(ConnectorFault::Claim("emailAttr"))
    );
}

#[test]
fn names_cannot_change_the_filter() {
    let (asked, _) = play(&settings(), typed("*)(uid=\\\0", "x"), [OK, found(&[])]);
    let DirectoryAsk::Search { filter, .. } = &asked[1] else {
        panic!("{asked:?}");
    };
    let name = "\\2a\\29\\28uid=\\5c\\00";
    let wanted = format!("(&(objectClass=person)(|(uid={name})(mail={name})))");
    assert_eq!(*filter, wanted);
}

#[test]
fn somebody_is_asked_for_again_without_a_password() {
    let mut settings = settings();
    settings.groups = None;
    let before = Identity {
        held: Some(json!({ "login": "jane", "dn": "uid=jane,ou=people" })),
        ..Identity::default()
    };
    let run = |answers: Vec<DirectoryTold>| {
        play(&settings, Purpose::Again { before: &before }, answers).1
    };
    let known = run(vec![OK, found(&[jane()])]).unwrap().unwrap();
    assert_eq!(known.held, before.held);
    assert_eq!(run(vec![OK, found(&[])]), Err(ConnectorFault::Gone));
    let mut other = jane();
    other.dn = "uid=jane,ou=others".into();
    assert_eq!(run(vec![OK, found(&[other])]), Err(ConnectorFault::Gone));
}

#[test]
fn passwords_are_not_printed() {
    let ask = DirectoryAsk::Bind {
        dn: "cn=us".into(),
        password: "secret".into(),
    };
    assert_eq!(format!("{ask:?}"), "Bind(cn=us)");
}
