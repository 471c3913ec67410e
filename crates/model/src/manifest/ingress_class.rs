//! `IngressClass`: which controller an `Ingress` is for.

use std::sync::Arc;

use crate::objects::Object;

/// Controllers whose Ingresses are ours: doorward's own, and the one that doorward stands in for.
const OURS: [&str; 2] = ["doorward.dev/ingress", "istio.io/ingress-controller"];

/// An IngressClass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IngressClass {
    pub(crate) name: Arc<str>,
    /// Whether its controller is ours.
    pub(crate) is_ours: bool,
    /// Whether an Ingress without a class is of this one.
    pub(crate) is_default: bool,
}

impl IngressClass {
    /// Reads an IngressClass; one without a controller is nobody's.
    pub(crate) fn read(object: &Object) -> Self {
        let controller = object.root.path(&["spec", "controller"]);
        let controller = controller.and_then(|controller| controller.text());
        Self {
            name: Arc::clone(object.name()),
            is_ours: controller.is_some_and(|controller| OURS.contains(&controller)),
            is_default: object.annotation("ingressclass.kubernetes.io/is-default-class")
                == Some("true"),
        }
    }
}
