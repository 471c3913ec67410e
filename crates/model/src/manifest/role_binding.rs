//! `RoleBinding` (rbac.authorization.k8s.io), as far as it tells who was let into the namespace of a
//! Profile: the annotations `user` and `role`, and the one subject.

use std::sync::Arc;

use crate::finding::{Finding, Severity, codes};
use crate::objects::{Fault, Object};
use crate::snapshot::{Binding, Role, Subject, SubjectKind};

/// The binding that the profile controller makes for the owner.
pub(crate) const OWNER_BINDING: &str = "namespaceAdmin";

/// Reads a RoleBinding that KFAM or the profile controller made; any other has nothing to say here.
/// One that does not name exactly one subject is a finding and binds nobody.
pub(crate) fn read(object: &Object, findings: &mut Vec<Finding>) -> Option<Binding> {
    let (user, role) = (object.annotation("user")?, object.annotation("role")?);
    if object.closed.is_some() {
        return None;
    }
    match convert(object, user, role) {
        Ok(binding) => Some(binding),
        Err(mut fault) => {
            fault.code = codes::BINDING_INVALID;
            fault.severity = Severity::Warning;
            findings.push(*fault);
            None
        }
    }
}

fn convert(object: &Object, user: &str, role: &str) -> Result<Binding, Fault> {
    let top = object.top();
    let Some(role) = Role::parse(role) else {
        let fault = format!("the annotation `role` is `{role}`, which is no role of Kubeflow");
        return Err(top.fault(fault, "write `admin`, `edit` or `view`"));
    };
    let subjects = top.child_items("subjects")?;
    let [subject] = &subjects[..] else {
        let fault = format!("it has {} subjects", subjects.len());
        return Err(top.fault(
            fault,
            "name one subject in each `RoleBinding` with a `user`",
        ));
    };
    let kind = subject.required("kind")?;
    let Some(kind) = SubjectKind::parse(kind.text()?) else {
        let fault = format!("`{}` is no kind of subject", kind.text()?);
        return Err(kind.fault(fault, "write `User`, `Group` or `ServiceAccount`"));
    };
    let name = subject.required("name")?;
    if name.text()? != user {
        let fault = format!("the subject is not `{user}`, whom the annotation `user` names");
        return Err(name.fault(fault, "name the same one in both"));
    }
    Ok(Binding {
        name: Arc::clone(object.name()),
        subject: Subject {
            kind,
            name: user.into(),
        },
        role,
    })
}
