//! What a program that is stood in for finds: the environment of this process, and files that are
//! no manifests.

use std::sync::Arc;

use super::{Environment, Variable};
use crate::names::Secret;
use crate::objects::{File, Object, ObjectSet};
use crate::world::World;

/// Something that is no manifest and that findings are about: the configuration of `program`, from
/// what is called `name`. Sessions are told apart by the program's name.
pub(crate) fn named(program: &str, name: &str) -> Arc<Object> {
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {program}, namespace: doorward}}\n"
    );
    let files = vec![File {
        name: name.into(),
        text,
    }];
    let world = World::read(&ObjectSet { files }, &mut Vec::new());
    Arc::clone(&world.of_kind("ConfigMap")[0])
}

/// The environment of this process.
pub(crate) fn of_process(program: &str, variables: &[(String, String)]) -> Environment {
    let object = named(program, "environment");
    let mut environment = Environment::default();
    for (name, value) in variables {
        let variable = Variable {
            value: Secret::new(value.as_bytes()),
            object: Arc::clone(&object),
            line: 0,
            field: name.clone(),
        };
        environment.insert(name, Some(variable));
    }
    environment
}
