//! Who owns the namespaces of profiles and who was let into them: what KFAM asks before it tells or
//! changes anything.

use model::snapshot::{Binding, Profile, Role, Subject, SubjectKind, Tenancy, UserHeader};

use crate::decision::Permit;

/// Somebody who asks KFAM, as whoever let the request through knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    user: Box<str>,
    groups: Vec<Box<str>>,
}

impl Caller {
    /// Whom a permit is for: the user that applications are told, without the prefix. `None` where
    /// they are told nobody.
    pub fn of(permit: &Permit, names: &UserHeader) -> Option<Self> {
        permit.identified()?;
        let mut told = permit.identity().iter();
        let (_, value) = told.find(|(name, _)| *name == names.user)?;
        let text = std::str::from_utf8(value.as_bytes()).ok()?;
        let user = text.strip_prefix(&*names.prefix)?;
        let groups = permit.groups();
        (!user.is_empty()).then(|| Self {
            user: user.into(),
            groups: groups.into_iter().map(Into::into).collect(),
        })
    }

    /// Somebody described by a test.
    #[cfg(any(test, feature = "testing"))]
    pub fn described(user: &str, groups: &[&str]) -> Self {
        Self {
            user: user.into(),
            groups: groups.iter().map(|group| (*group).into()).collect(),
        }
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether the caller is meant by `subject`.
    pub fn is(&self, subject: &Subject) -> bool {
        match subject.kind {
            SubjectKind::Group => self.groups.iter().any(|group| **group == *subject.name),
            // Programs come with a token whose subject is their name.
            SubjectKind::User | SubjectKind::ServiceAccount => *self.user == *subject.name,
        }
    }
}

/// Whether a user may change every profile.
pub fn is_cluster_admin(tenancy: &Tenancy, user: &str) -> bool {
    tenancy.cluster_admins.iter().any(|admin| **admin == *user)
}

/// Whether the caller may say who gets into the namespace of `profile`.
pub fn may_manage(tenancy: &Tenancy, profile: &Profile, caller: &Caller) -> bool {
    caller.is(&profile.owner) || is_cluster_admin(tenancy, caller.user())
}

/// One line of a list of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'t> {
    /// Name of the profile and its namespace.
    pub namespace: &'t str,
    /// Who.
    pub subject: &'t Subject,
    /// As what; the owner is an admin.
    pub role: Role,
}

/// Which members are asked for; `None` means any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter<'a> {
    /// Name of the subject.
    pub user: Option<&'a str>,
    /// Profile.
    pub namespace: Option<&'a str>,
    /// Role.
    pub role: Option<Role>,
}

/// The members that are asked for, as far as they are the caller's business: all of what they
/// manage, and elsewhere what they are themselves.
pub fn members<'t>(tenancy: &'t Tenancy, caller: &Caller, filter: Filter<'_>) -> Vec<Member<'t>> {
    let Filter {
        user,
        namespace,
        role,
    } = filter;
    let one = namespace.map(|name| tenancy.profiles.get(name).into_iter());
    let profiles: Vec<_> = match one {
        Some(one) => one.collect(),
        None => tenancy.profiles.values().collect(),
    };
    let mut found = Vec::new();
    for profile in profiles {
        let manages = may_manage(tenancy, profile, caller);
        let owner = std::iter::once((&profile.owner, Role::Admin));
        let others = profile
            .bindings
            .iter()
            .map(|Binding { subject, role, .. }| (subject, *role));
        let members = owner.chain(others).filter(|(subject, own)| {
            user.is_none_or(|user| *subject.name == *user)
                && role.is_none_or(|role| role == *own)
                && (manages || caller.is(subject))
        });
        found.extend(members.map(|(subject, role)| Member {
            namespace: &profile.name,
            subject,
            role,
        }));
    }
    found
}
