//! Changes that are made, refused, and made by several at once.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use model::names::{ObjectRef, Place};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::Directory;

fn binding(name: &str) -> NewObject {
    NewObject {
        reference: ObjectRef::new("RoleBinding", "apps", name),
        content: json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name, "namespace": "apps"}}),
    }
}

fn creating(names: &[&str]) -> Change {
    Change {
        create: names.iter().map(|name| binding(name)).collect(),
        remove: Vec::new(),
    }
}

fn stands(file: PathBuf, name: &str) -> Stands {
    Stands {
        object: ObjectRef::new("RoleBinding", "apps", name),
        place: Place::new(file.to_string_lossy(), 1),
    }
}

fn removing(all: Vec<Stands>) -> Change {
    Change {
        create: Vec::new(),
        remove: all,
    }
}

fn own(root: &TempDir, name: &str) -> PathBuf {
    root.path()
        .join(format!("kfam/apps/rolebinding-{name}.json"))
}

/// Names of everything below, hidden files too.
fn everything(root: &TempDir) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![root.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            let name = path.strip_prefix(root.path()).unwrap();
            all.push(name.to_string_lossy().into_owned());
        }
    }
    all.sort();
    all
}

fn writer(root: &TempDir) -> DirectoryWriter {
    DirectoryWriter::new(&[root.path().into()])
}

#[test]
fn objects_come_and_go() {
    let root = TempDir::new().unwrap();
    let writer = writer(&root);
    writer.write(&creating(&["a", "b"])).unwrap();
    assert_eq!(
        everything(&root),
        [
            "kfam",
            "kfam/apps",
            "kfam/apps/rolebinding-a.json",
            "kfam/apps/rolebinding-b.json"
        ]
    );
    let read = Directory::new(vec![root.path().into()]).read().unwrap();
    assert_eq!(read.files.len(), 2);
    let gone = vec![stands(own(&root, "a"), "a"), stands(own(&root, "b"), "b")];
    writer.write(&removing(gone.clone())).unwrap();
    assert_eq!(everything(&root), ["kfam", "kfam/apps"]);
    let object = gone[0].object.clone();
    assert_eq!(
        writer.write(&removing(gone)),
        Err(WriteFault::Conflict(object))
    );
}

#[test]
fn a_name_that_is_taken_undoes_the_whole_change() {
    let root = TempDir::new().unwrap();
    let writer = writer(&root);
    writer.write(&creating(&["b"])).unwrap();
    let fault = writer.write(&creating(&["a", "b", "c"]));
    assert_eq!(fault, Err(WriteFault::Conflict(binding("b").reference)));
    assert_eq!(
        everything(&root),
        ["kfam", "kfam/apps", "kfam/apps/rolebinding-b.json"]
    );
}

#[test]
fn an_object_is_taken_out_of_a_file_with_others() {
    let root = TempDir::new().unwrap();
    let document = |name: &str| {
        format!("kind: RoleBinding\napiVersion: v1\nmetadata: {{name: {name}, namespace: apps}}\n")
    };
    let file = root.path().join("all.yaml");
    fs::write(&file, format!("{}---\n{}", document("a"), document("b"))).unwrap();
    let gone = removing(vec![stands(file.clone(), "b")]);
    writer(&root).write(&gone).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), document("a"));
    // The second step fails, so the first is undone.
    let two = removing(vec![
        stands(file.clone(), "a"),
        stands(own(&root, "x"), "x"),
    ]);
    assert!(matches!(
        writer(&root).write(&two),
        Err(WriteFault::Conflict(_))
    ));
    assert_eq!(fs::read_to_string(&file).unwrap(), document("a"));
    assert_eq!(everything(&root), ["all.yaml"]);
}

#[test]
fn what_another_writer_changed_meanwhile_is_left_alone() {
    let root = TempDir::new().unwrap();
    let paths = ["a.yaml", "b.yaml"].map(|name| root.path().join(name));
    for path in &paths {
        fs::write(path, "before").unwrap();
    }
    let step = |path: &PathBuf| Step {
        object: binding("a").reference,
        path: path.clone(),
        before: Some("before".to_owned()),
        after: Some("after".to_owned()),
    };
    let stage = Stage::prepare(paths.iter().map(step).collect()).unwrap();
    fs::write(&paths[1], "theirs").unwrap();
    assert!(stage.perform().is_err());
    let texts = paths
        .each_ref()
        .map(|path| fs::read_to_string(path).unwrap());
    assert_eq!(texts, ["before", "theirs"]);
    assert_eq!(everything(&root), ["a.yaml", "b.yaml"]);
}

#[test]
fn writers_at_once_lose_nothing_and_one_of_two_equal_changes_is_refused() {
    let root = TempDir::new().unwrap();
    let results: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..16)
            .map(|at| {
                // Each a process of its own, as far as the lock is concerned.
                let writer = Arc::new(writer(&root));
                let name = format!("n-{}", at / 2);
                scope.spawn(move || writer.write(&creating(&[&name])))
            })
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let made = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(made, 8);
    let files = everything(&root);
    assert_eq!(files.len(), 2 + 8, "{files:?}");
}

#[test]
fn a_place_that_cannot_be_written_to_is_left_as_it_is() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("kfam"), "no folder").unwrap();
    let fault = writer(&root).write(&creating(&["a"]));
    assert!(
        matches!(fault, Err(WriteFault::NotWritable(_))),
        "{fault:?}"
    );
    assert_eq!(everything(&root), ["kfam"]);
    let file = root.path().join("kfam");
    let nowhere = DirectoryWriter::new(&[file]).write(&creating(&["a"]));
    assert_eq!(nowhere, Err(WriteFault::Nowhere));
}

#[test]
fn a_writer_that_never_ends_does_not_hold_the_others_for_ever() {
    let root = TempDir::new().unwrap();
    let held = File::open(root.path()).unwrap();
    held.lock().unwrap();
    let fault = writer(&root).write(&creating(&["a"]));
    assert_eq!(
        fault,
        Err(WriteFault::NotWritable(io::ErrorKind::ResourceBusy))
    );
    drop(held);
    writer(&root).write(&creating(&["a"])).unwrap();
}

#[test]
fn a_name_that_would_lead_elsewhere_is_refused() {
    let root = TempDir::new().unwrap();
    for name in ["../x", "a/b", "", ".a"] {
        let fault = writer(&root).write(&creating(&[name]));
        let expected = WriteFault::NotWritable(std::io::ErrorKind::InvalidFilename);
        assert_eq!(fault, Err(expected), "{name}");
    }
    assert_eq!(everything(&root), [""; 0]);
}
