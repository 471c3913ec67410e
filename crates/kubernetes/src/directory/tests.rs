//! Directories as operators and kubelets change them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use model::objects::ObjectSet;
use tempfile::TempDir;

use super::{Directory, FILE_LIMIT};
use crate::fault::SourceFault;

struct Tree(TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(TempDir::new().unwrap());
        for (name, text) in files {
            tree.write(name, text);
        }
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self) -> Result<Vec<(String, String)>, SourceFault> {
        let set = Directory::new(vec![self.0.path().into()]).read()?;
        Ok(short(&set, self.0.path()))
    }
}

fn short(set: &ObjectSet, root: &Path) -> Vec<(String, String)> {
    let root = format!("{}/", root.display());
    set.files
        .iter()
        .map(|file| {
            let name = file.name.strip_prefix(&root).unwrap_or(&file.name);
            (name.to_string(), file.text.clone())
        })
        .collect()
}

fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files
        .iter()
        .map(|(name, text)| ((*name).to_string(), (*text).to_string()))
        .collect()
}

#[test]
fn manifests_are_read_recursively_in_order_of_their_names() {
    let tree = Tree::new(&[
        ("b.yml", "b"),
        ("a/2.json", "2"),
        ("a/1.yaml", "1"),
        ("README.md", "no"),
        ("c.yaml.bak", "no"),
    ]);
    let expected = pairs(&[("a/1.yaml", "1"), ("a/2.json", "2"), ("b.yml", "b")]);
    assert_eq!(tree.read(), Ok(expected));
}

#[test]
fn files_are_called_as_the_user_named_the_path() {
    let directory = Directory::new(vec!["src/directory/../../Cargo.toml".into()]);
    let set = directory.read().unwrap();
    assert_eq!(&*set.files[0].name, "src/directory/../../Cargo.toml");
}

#[test]
fn a_mounted_config_map_is_read_once_through_its_links() {
    let tree = Tree::new(&[("..2026_1/a.yaml", "one")]);
    symlink("..2026_1", tree.path("..data")).unwrap();
    symlink("..data/a.yaml", tree.path("a.yaml")).unwrap();
    assert_eq!(tree.read(), Ok(pairs(&[("a.yaml", "one")])));
}

#[test]
fn a_link_to_a_parent_ends_the_walk_and_a_second_name_adds_nothing() {
    let tree = Tree::new(&[("a/x.yaml", "x")]);
    symlink("..", tree.path("a/up")).unwrap();
    symlink("a", tree.path("z")).unwrap();
    symlink("x.yaml", tree.path("a/y.yaml")).unwrap();
    assert_eq!(tree.read(), Ok(pairs(&[("a/x.yaml", "x")])));
}

#[test]
fn a_linked_directory_elsewhere_is_followed() {
    let other = Tree::new(&[("x.yaml", "x")]);
    let tree = Tree::new(&[]);
    symlink(other.0.path(), tree.path("linked")).unwrap();
    assert_eq!(tree.read(), Ok(pairs(&[("linked/x.yaml", "x")])));
}

#[test]
fn a_manifest_that_links_nowhere_is_a_fault_and_another_such_link_is_not() {
    let tree = Tree::new(&[("a.yaml", "a")]);
    symlink("nowhere", tree.path("link")).unwrap();
    assert_eq!(tree.read(), Ok(pairs(&[("a.yaml", "a")])));
    symlink("nowhere", tree.path("b.yaml")).unwrap();
    assert_eq!(
        tree.read(),
        Err(SourceFault::Missing {
            path: tree.path("b.yaml")
        })
    );
}

#[test]
fn overlapping_paths_read_each_file_once() {
    let tree = Tree::new(&[("a.yaml", "a")]);
    let directory = Directory::new(vec![tree.path("a.yaml"), tree.0.path().into()]);
    assert_eq!(directory.read().unwrap().files.len(), 1);
}

#[test]
fn a_file_that_is_left_out_is_not_read_by_any_name() {
    let tree = Tree::new(&[("a.yaml", "a"), ("doorward.yaml", "settings")]);
    symlink("doorward.yaml", tree.path("b.yaml")).unwrap();
    let all = Directory::new(vec![tree.0.path().into()]);
    let set = all
        .without(tree.path("doorward.yaml"))
        .without(tree.path("nothing"))
        .read();
    assert_eq!(
        short(&set.unwrap(), tree.0.path()),
        pairs(&[("a.yaml", "a")])
    );
}

#[test]
fn nothing_to_read_is_a_fault() {
    assert_eq!(Directory::new(vec![]).read(), Err(SourceFault::NoPaths));
    assert!(matches!(
        Directory::new(vec![]).watch(),
        Err(SourceFault::NoPaths)
    ));
    let missing = Directory::new(vec!["no/such/thing".into()]);
    let fault = SourceFault::Missing {
        path: "no/such/thing".into(),
    };
    assert_eq!(missing.read(), Err(fault.clone()));
    assert_eq!(fault.to_string(), "`no/such/thing` is not there");
}

#[test]
fn bytes_that_are_no_text_are_a_fault_with_a_line() {
    let tree = Tree::new(&[("good.yaml", "a")]);
    fs::write(tree.path("bad.yaml"), b"a: 1\nb: \xff\n").unwrap();
    let fault = SourceFault::NotText {
        path: tree.path("bad.yaml"),
        line: 2,
    };
    assert_eq!(tree.read(), Err(fault));
}

#[test]
fn a_file_at_the_limit_is_read_and_one_byte_more_is_a_fault() {
    let tree = Tree::new(&[]);
    let file = fs::File::create(tree.path("a.yaml")).unwrap();
    file.set_len(FILE_LIMIT).unwrap();
    assert_eq!(tree.read().unwrap()[0].1.len() as u64, FILE_LIMIT);
    file.set_len(FILE_LIMIT + 1).unwrap();
    assert_eq!(
        tree.read(),
        Err(SourceFault::FileTooLarge {
            path: tree.path("a.yaml")
        })
    );
}

#[test]
fn all_files_together_have_a_limit() {
    let tree = Tree::new(&[]);
    for number in 0..17 {
        let file = fs::File::create(tree.path(&format!("{number:02}.yaml"))).unwrap();
        file.set_len(FILE_LIMIT).unwrap();
    }
    assert_eq!(
        tree.read(),
        Err(SourceFault::TooLarge {
            path: tree.path("16.yaml")
        })
    );
}
