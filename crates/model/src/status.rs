//! What the Gateway API wants written back: the conditions of its objects, as data. Whoever writes to
//! the cluster makes patches of them; `doctor` shows the false ones as findings.

use std::sync::Arc;

use crate::names::ObjectRef;

/// The status of every object of the Gateway API that is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statuses {
    /// `GatewayClass`es of this controller.
    pub classes: Vec<ClassStatus>,
    /// `Gateway`s that this process serves.
    pub gateways: Vec<GatewayStatus>,
    /// Routes that name one of these Gateways.
    pub routes: Vec<RouteStatus>,
    /// `BackendTLSPolicy`s.
    pub policies: Vec<RouteStatus>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `type`, such as `Accepted`.
    pub kind: &'static str,
    /// `status`.
    pub holds: bool,
    /// `reason`: one word that the specification lists.
    pub reason: &'static str,
    /// `message`, for people.
    pub message: String,
}

/// Status of a `GatewayClass`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassStatus {
    /// The class.
    pub object: ObjectRef,
    /// `metadata.generation`, which every condition was computed for.
    pub generation: Option<i64>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

/// Status of a `Gateway`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayStatus {
    /// The Gateway.
    pub object: ObjectRef,
    /// `metadata.generation`, which every condition was computed for.
    pub generation: Option<i64>,
    /// Its own conditions.
    pub conditions: Vec<Condition>,
    /// In the order of its listeners.
    pub listeners: Vec<ListenerStatus>,
}

/// Status of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Kinds of routes of the Gateway API that may attach.
    pub supported_kinds: Vec<&'static str>,
    /// Routes that are attached and accepted.
    pub attached_routes: u32,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

/// Status of an object that hangs on Gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteStatus {
    /// The route or policy.
    pub object: ObjectRef,
    /// `metadata.generation`, which every condition was computed for.
    pub generation: Option<i64>,
    /// For each of its parents that is ours, in the order of the object.
    pub parents: Vec<ParentStatus>,
}

/// Status of a route at one of its parents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentStatus {
    /// The Gateway.
    pub parent: ObjectRef,
    /// `sectionName` of the reference.
    pub section: Option<Arc<str>>,
    /// `port` of the reference.
    pub port: Option<u16>,
    /// Who says so.
    pub controller: &'static str,
    /// The conditions.
    pub conditions: Vec<Condition>,
}

/// The condition of this type.
fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

impl Statuses {
    /// The Gateway of this namespace and name.
    pub fn gateway(&self, namespace: &str, name: &str) -> Option<&GatewayStatus> {
        let mut all = self.gateways.iter();
        all.find(|one| &*one.object.namespace == namespace && &*one.object.name == name)
    }

    /// The route of this kind, namespace and name.
    pub fn route(&self, kind: &str, namespace: &str, name: &str) -> Option<&RouteStatus> {
        self.routes.iter().find(|one| {
            let object = &one.object;
            (&*object.kind, &*object.namespace, &*object.name) == (kind, namespace, name)
        })
    }
}

impl GatewayStatus {
    /// A condition of the Gateway itself.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        find(&self.conditions, kind)
    }

    /// A listener by name.
    pub fn listener(&self, name: &str) -> Option<&ListenerStatus> {
        self.listeners.iter().find(|one| &*one.name == name)
    }
}

impl ListenerStatus {
    /// One of its conditions.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        find(&self.conditions, kind)
    }
}

impl ParentStatus {
    /// One of its conditions.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        find(&self.conditions, kind)
    }
}
