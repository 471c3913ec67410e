use std::collections::{BTreeMap, BTreeSet};

use model::objects::{File, ObjectSet};

use super::*;
use crate::membership::{Filter, Member, members};

const TREE: &str = "
apiVersion: kubeflow.org/v1
kind: Profile
metadata: {name: ann}
spec: {owner: {kind: User, name: ann@example.com}}
---
apiVersion: kubeflow.org/v1
kind: Profile
metadata: {name: team}
spec: {owner: {kind: Group, name: team}}
---
apiVersion: v1
kind: Service
metadata: {name: busy, namespace: team}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: profiles-config, namespace: kubeflow}
data: {ADMIN: root@example.com}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: dashboard, namespace: kubeflow}
data: {CD_REGISTRATION_FLOW: 'true'}
";

/// The tree and what was written since.
fn tenancy(written: &[&Change]) -> Tenancy {
    let mut text = TREE.to_owned();
    for new in written.iter().flat_map(|change| &change.create) {
        text.push_str(&format!("---\n{}\n", new.content));
    }
    let file = File {
        name: "a.yaml".into(),
        text,
    };
    let compiled = model::compile(&ObjectSet { files: vec![file] });
    let worst = compiled
        .findings
        .iter()
        .find(|one| one.severity == model::Severity::Error);
    assert_eq!(worst, None);
    compiled.snapshot.tenancy().clone()
}

fn caller(user: &str, groups: &[&str]) -> Caller {
    Caller::described(user, groups)
}

fn wanted(namespace: &str, kind: SubjectKind, name: &str, role: Role) -> Wanted {
    Wanted {
        namespace: namespace.into(),
        subject: Subject {
            kind,
            name: name.into(),
        },
        role,
    }
}

fn names(change: &Change) -> Vec<String> {
    let created = change.create.iter().map(|new| new.reference.to_string());
    let removed = change.remove.iter().map(|gone| gone.object.to_string());
    created.chain(removed).collect()
}

#[test]
fn an_owner_lets_somebody_in_and_out_again() {
    let before = tenancy(&[]);
    let ann = caller("ann@example.com", &[]);
    let bob = wanted("ann", SubjectKind::User, "Bob.B@example.com", Role::Edit);
    let added = add(&before, &ann, &bob).unwrap();
    assert_eq!(
        names(&added),
        [
            "RoleBinding ann/user-bob-b-example-com-clusterrole-edit",
            "AuthorizationPolicy ann/user-bob-b-example-com-clusterrole-edit",
        ]
    );
    assert!(!is_shown(&before, &added));
    let after = tenancy(&[&added]);
    assert!(is_shown(&after, &added));
    let listed = members(
        &after,
        &ann,
        Filter {
            namespace: Some("ann"),
            ..Filter::default()
        },
    );
    let told: Vec<_> = listed
        .iter()
        .map(|Member { subject, role, .. }| (&*subject.name, *role))
        .collect();
    assert_eq!(
        told,
        [
            ("ann@example.com", Role::Admin),
            ("Bob.B@example.com", Role::Edit)
        ]
    );
    let removed = remove(&after, &ann, &bob).unwrap();
    assert_eq!(
        names(&removed),
        [
            "AuthorizationPolicy ann/user-bob-b-example-com-clusterrole-edit",
            "RoleBinding ann/user-bob-b-example-com-clusterrole-edit",
        ]
    );
    assert!(!is_shown(&after, &removed) && is_shown(&before, &removed));
    assert!(matches!(
        remove(&before, &ann, &bob),
        Err(Refused::Absent(_))
    ));
}

#[test]
fn everything_that_gives_somebody_a_role_goes() {
    let ann = caller("ann@example.com", &[]);
    let bob = wanted("ann", SubjectKind::User, "bob@example.com", Role::Edit);
    let added = add(&tenancy(&[]), &ann, &bob).unwrap();
    let mut by_hand = added.clone();
    for new in &mut by_hand.create {
        new.content["metadata"]["name"] = json!("by-hand");
    }
    let after = tenancy(&[&added, &by_hand]);
    let removed = remove(&after, &ann, &bob).unwrap();
    assert_eq!(removed.remove.len(), 4);
    assert_eq!(&*removed.remove[1].object.kind, "AuthorizationPolicy");
}

#[test]
fn the_same_name_for_another_user_is_in_the_way() {
    let ann = caller("ann@example.com", &[]);
    let bob = wanted("ann", SubjectKind::User, "bob@example.com", Role::Edit);
    let added = add(&tenancy(&[]), &ann, &bob).unwrap();
    let after = tenancy(&[&added]);
    let alike = wanted("ann", SubjectKind::User, "bob.example@com", Role::Edit);
    for again in [&bob, &alike] {
        assert!(matches!(add(&after, &ann, again), Err(Refused::Present(_))));
    }
    // Taking the other out does not take this one out by the name that they share.
    assert!(matches!(
        remove(&after, &ann, &alike),
        Err(Refused::Absent(_))
    ));
    assert!(remove(&after, &ann, &bob).is_ok());
}

#[test]
fn only_owners_and_administrators_change_who_gets_in() {
    let tenancy = tenancy(&[]);
    let bob = |namespace| wanted(namespace, SubjectKind::User, "bob@example.com", Role::View);
    let may = |who: &Caller, namespace| add(&tenancy, who, &bob(namespace)).is_ok();
    let ann = caller("ann@example.com", &[]);
    assert!(may(&ann, "ann") && !may(&ann, "team") && !may(&ann, "none"));
    assert!(may(&caller("ron@example.com", &["team"]), "team"));
    assert!(may(&caller("root@example.com", &[]), "team"));
    for stranger in [
        caller("eve@example.com", &["ann"]),
        caller("team", &[]),
        caller("Ann@example.com", &[]),
    ] {
        assert!(!may(&stranger, "ann") && !may(&stranger, "team"));
        let refused = delete_profile(&tenancy, &stranger, "ann");
        assert!(matches!(refused, Err(Refused::NotAllowed(_))));
    }
    let root = caller("root@example.com", &[]);
    assert!(matches!(
        add(&tenancy, &root, &bob("none")),
        Err(Refused::Absent(_))
    ));
}

#[test]
fn names_that_would_mean_more_than_one_are_refused() {
    let tenancy = tenancy(&[]);
    let ann = caller("ann@example.com", &[]);
    for name in [
        "",
        "*",
        "*@example.com",
        "a*",
        "${USER}",
        "a\nb",
        &"x".repeat(513),
    ] {
        let bad = wanted("ann", SubjectKind::User, name, Role::View);
        assert!(
            matches!(add(&tenancy, &ann, &bad), Err(Refused::Invalid(_))),
            "{name}"
        );
    }
    let program = wanted("ann", SubjectKind::ServiceAccount, "a", Role::View);
    assert!(matches!(
        add(&tenancy, &ann, &program),
        Err(Refused::Invalid(_))
    ));
}

fn profile(name: &str, kind: SubjectKind, owner: &str) -> WantedProfile {
    WantedProfile {
        name: name.into(),
        owner: Subject {
            kind,
            name: owner.into(),
        },
        more: serde_json::Map::new(),
    }
}

#[test]
fn people_make_one_profile_of_their_own_where_they_may_register() {
    use SubjectKind::{Group, User};
    let open = tenancy(&[]);
    let eve = caller("eve@example.com", &["team"]);
    let made = create_profile(&open, &eve, &profile("eve", User, "eve@example.com")).unwrap();
    assert_eq!(names(&made), ["Profile eve"]);
    let after = tenancy(&[&made]);
    assert!(is_shown(&after, &made));
    let refused = |tenancy: &Tenancy, wanted: &WantedProfile| {
        create_profile(tenancy, &eve, wanted).unwrap_err()
    };
    for (tenancy, wanted) in [
        (&open, profile("eve", User, "ann@example.com")),
        (&open, profile("eve", Group, "team")),
        (&after, profile("second", User, "eve@example.com")),
    ] {
        assert!(
            matches!(refused(tenancy, &wanted), Refused::NotAllowed(_)),
            "{wanted:?}"
        );
    }
    for name in ["kubeflow", "team", "default", "kube-system"] {
        let taken = profile(name, User, "eve@example.com");
        assert!(
            matches!(refused(&open, &taken), Refused::Present(_)),
            "{name}"
        );
    }
    for name in ["", "Eve", "a.b", "../x"] {
        let bad = profile(name, User, "eve@example.com");
        assert!(
            matches!(refused(&open, &bad), Refused::Invalid(_)),
            "{name}"
        );
    }
    let mut plugin = profile("eve", User, "eve@example.com");
    plugin.more.insert("plugins".to_owned(), json!([]));
    assert!(matches!(refused(&open, &plugin), Refused::NotAllowed(_)));
    let root = caller("root@example.com", &[]);
    assert!(create_profile(&open, &root, &plugin).is_ok());

    let closed = Tenancy {
        self_service: false,
        ..open
    };
    assert!(matches!(
        refused(&closed, &profile("eve", User, "eve@example.com")),
        Refused::NotAllowed(_)
    ));
    assert!(create_profile(&closed, &root, &profile("eve", Group, "eves")).is_ok());
}

#[test]
fn a_profile_goes_with_what_was_made_for_it_and_not_before_the_rest() {
    let ann = caller("ann@example.com", &[]);
    let bob = wanted("ann", SubjectKind::User, "bob@example.com", Role::Edit);
    let added = add(&tenancy(&[]), &ann, &bob).unwrap();
    let after = tenancy(&[&added]);
    let removed = names(&delete_profile(&after, &ann, "ann").unwrap());
    assert_eq!(removed.len(), 3);
    assert_eq!(removed[2], "Profile ann");
    let team = caller("ron@example.com", &["team"]);
    assert!(
        matches!(delete_profile(&after, &team, "team"), Err(Refused::Present(object)) if &*object.name == "busy")
    );
}

#[test]
fn people_see_what_they_manage_and_what_they_are() {
    let ann = caller("ann@example.com", &[]);
    let bob = wanted("ann", SubjectKind::User, "bob@example.com", Role::Edit);
    let group = wanted("ann", SubjectKind::Group, "guests", Role::View);
    let first = add(&tenancy(&[]), &ann, &bob).unwrap();
    let second = add(&tenancy(&[]), &ann, &group).unwrap();
    let after = tenancy(&[&first, &second]);
    let seen = |who: &Caller| {
        let all = members(&after, who, Filter::default());
        all.iter()
            .map(|one| format!("{} {}", one.namespace, one.subject.name))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        seen(&ann),
        ["ann ann@example.com", "ann guests", "ann bob@example.com"]
    );
    assert_eq!(
        seen(&caller("bob@example.com", &[])),
        ["ann bob@example.com"]
    );
    assert_eq!(
        seen(&caller("gus@example.com", &["guests", "team"])),
        ["ann guests", "team team"]
    );
    assert_eq!(seen(&caller("eve@example.com", &[])), [""; 0]);
    assert_eq!(seen(&caller("root@example.com", &[])).len(), 4);
}

#[test]
fn without_profiles_there_is_nothing_to_change() {
    let none = Tenancy {
        profiles: BTreeMap::new(),
        namespaces: BTreeSet::new(),
        ..Tenancy::default()
    };
    let bob = wanted("ann", SubjectKind::User, "bob@example.com", Role::Edit);
    assert!(add(&none, &caller("ann@example.com", &[]), &bob).is_err());
}
