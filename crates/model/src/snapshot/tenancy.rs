//! Kubeflow's multi-tenancy: whose a namespace is, and who else was let into it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::mesh::HeaderName;
use crate::names::{ObjectRef, Place};

/// Every `Profile` with its contributors, and what a change of them has to know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tenancy {
    /// Profiles by their name, which is that of their namespace. One that cannot be read is none.
    pub profiles: BTreeMap<Arc<str>, Arc<Profile>>,
    /// Every namespace that an object, a broken one too, stands in or makes.
    pub namespaces: BTreeSet<Arc<str>>,
    /// Who may change every profile: KFAM's `-cluster-admin`.
    pub cluster_admins: Vec<Arc<str>>,
    /// Whether people may make a profile for themselves: the dashboard's `REGISTRATION_FLOW`.
    pub self_service: bool,
    /// What the policies of a profile name.
    pub named: Option<Arc<Named>>,
}

/// What `ns-owner-access-istio` and the policies of contributors name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Principal of the ingress gateway.
    pub gateway: Arc<str>,
    /// Principal of the user interface of Kubeflow Pipelines, which asks on behalf of people.
    pub pipelines: Arc<str>,
    /// Principal of the notebook controller, which looks for idle notebooks.
    pub notebooks: Arc<str>,
    /// Header that carries the user.
    pub header: HeaderName,
    /// What stands before the user there.
    pub prefix: Arc<str>,
}

/// A namespace with an owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its name, and that of its namespace.
    pub name: Arc<str>,
    /// Whose it is.
    pub owner: Subject,
    /// Where the `Profile` stands.
    pub place: Place,
    /// Who else was let in, by the name of the `RoleBinding`.
    pub bindings: Vec<Binding>,
    /// Objects of the namespace that the profile controller or KFAM makes, as far as they are in
    /// the manifests.
    pub own: Vec<Stands>,
    /// Some other object in the namespace: it would be open to everybody without the profile.
    pub occupied: Option<ObjectRef>,
}

/// An object and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stands {
    /// The object.
    pub object: ObjectRef,
    /// Where.
    pub place: Place,
}

/// Somebody who was let into a profile's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Name of the `RoleBinding`, and of the `AuthorizationPolicy` beside it.
    pub name: Arc<str>,
    /// Who.
    pub subject: Subject,
    /// As what.
    pub role: Role,
}

/// Who has a role: RBAC's `Subject`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// What the name is of.
    pub kind: SubjectKind,
    /// Name; of a user the e-mail.
    pub name: Arc<str>,
}

/// Kinds of [`Subject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectKind {
    /// A person.
    User,
    /// Everybody in a group.
    Group,
    /// A program in the cluster.
    ServiceAccount,
}

impl SubjectKind {
    /// The kind of this name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "User" => Some(Self::User),
            "Group" => Some(Self::Group),
            "ServiceAccount" => Some(Self::ServiceAccount),
            _ => None,
        }
    }

    /// As manifests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::ServiceAccount => "ServiceAccount",
        }
    }
}

/// What somebody may do in a profile's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// `kubeflow-admin`.
    Admin,
    /// `kubeflow-edit`.
    Edit,
    /// `kubeflow-view`.
    View,
}

impl Role {
    /// The role of a name, with or without `kubeflow-` before it.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("kubeflow-").unwrap_or(text) {
            "admin" => Some(Self::Admin),
            "edit" => Some(Self::Edit),
            "view" => Some(Self::View),
            _ => None,
        }
    }

    /// As KFAM calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Edit => "edit",
            Self::View => "view",
        }
    }

    /// The `ClusterRole`.
    pub fn cluster_role(self) -> &'static str {
        match self {
            Self::Admin => "kubeflow-admin",
            Self::Edit => "kubeflow-edit",
            Self::View => "kubeflow-view",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}
