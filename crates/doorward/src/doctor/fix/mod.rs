//! `doorward doctor --fix DIR`: what a remedy says to type is typed, into a copy.
//!
//! An edit is kept only when the tree, read once more, no longer has the finding and has fewer
//! errors and warnings than before. Nothing else decides whether an edit is right.

mod edits;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use model::finding::{Code, codes};
use model::names::{ObjectRef, Place, Timestamp};
use model::objects::ObjectSet;
use model::{Finding, Severity};

use super::{Report, Tree};

/// So many edits are tried.
const MOST_TRIES: usize = 500;

/// A finding that is no more.
pub(super) struct Fixed {
    pub(super) code: Code,
    pub(super) place: Place,
    pub(super) fault: String,
}

/// The tree as far as it can be mended, and what was.
pub(super) fn mend(tree: Tree, now: Timestamp) -> (Tree, Vec<Fixed>) {
    let mut tree = tree;
    let mut fixed = Vec::new();
    let mut tries = 0;
    loop {
        let findings = Report::of(&tree, now).findings;
        let mended = findings.iter().find_map(|finding| {
            let better = better(&tree, &findings, finding, now, &mut tries)?;
            Some((better, finding.clone()))
        });
        let Some((better, finding)) = mended else {
            return (tree, fixed);
        };
        tree = better;
        fixed.extend(finding.place.map(|place| Fixed {
            code: finding.code,
            place,
            fault: finding.fault,
        }));
    }
}

/// The tree without `finding`, and with nothing worse in its place.
fn better(
    tree: &Tree,
    findings: &[Finding],
    finding: &Finding,
    now: Timestamp,
    tries: &mut usize,
) -> Option<Tree> {
    let place = finding.place.as_ref()?;
    let mut files = tree.objects.files.iter();
    let number = files.position(|file| *file.name == *place.file)?;
    let candidates = edits::candidates(finding, &tree.objects.files[number].text);
    candidates.into_iter().find_map(|text| {
        *tries += 1;
        if *tries > MOST_TRIES {
            return None;
        }
        let mut objects: ObjectSet = tree.objects.clone();
        objects.files[number].text = text;
        let mended = Tree {
            compiled: model::compile(&objects),
            objects,
        };
        // What is no object any more has no findings either.
        if mended.compiled.snapshot.objects() != tree.compiled.snapshot.objects() {
            return None;
        }
        let after = Report::of(&mended, now).findings;
        let same = |all: &[Finding]| all.iter().filter(|one| key(one) == key(finding)).count();
        let gone = same(&after) < same(findings);
        // An object with two unknown fields tells the second when the first is mended.
        let is_next_told = finding.code == codes::UNKNOWN_FIELD;
        let (before, now) = (weight(findings), weight(&after));
        (gone && (now < before || is_next_told && now == before)).then_some(mended)
    })
}

/// What a finding is about, wherever it stands by now.
fn key(finding: &Finding) -> (Code, Option<&ObjectRef>, &str) {
    (finding.code, finding.object.as_ref(), &finding.fault)
}

/// Errors, then warnings.
fn weight(findings: &[Finding]) -> (usize, usize) {
    let count = |severity| {
        findings
            .iter()
            .filter(|one| one.severity == severity)
            .count()
    };
    (
        count(Severity::Error),
        count(Severity::Error) + count(Severity::Warning),
    )
}

/// Why nothing was written.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// The directory is there and not empty.
    Occupied(PathBuf),
    /// The directory lies among the manifests, which would then hold everything twice.
    Inside(PathBuf),
    /// A file cannot be written.
    File(PathBuf, io::Error),
}

impl std::fmt::Display for Unwritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Occupied(path) => write!(
                f,
                "`{}` is there and not empty\nhelp: name a new directory, or `--fix-in-place`",
                path.display()
            ),
            Self::Inside(path) => write!(
                f,
                "`{}` is among the manifests, which would hold everything twice\nhelp: name a directory beside them, or `--fix-in-place`",
                path.display()
            ),
            Self::File(path, error) => write!(
                f,
                "`{}` cannot be written: {error}\nhelp: make it writable, or name another directory",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Unwritten {}

/// Writes a copy of all manifests below `directory`, laid out as they are.
pub(super) fn copy(paths: &[PathBuf], tree: &Tree, directory: &Path) -> Result<(), Unwritten> {
    let occupied = fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(Unwritten::Occupied(directory.to_owned()));
    }
    if is_inside(paths, directory) {
        return Err(Unwritten::Inside(directory.to_owned()));
    }
    let mut targets: BTreeMap<PathBuf, &str> = BTreeMap::new();
    for file in &tree.objects.files {
        let target = directory.join(below(paths, Path::new(&*file.name)));
        if targets.insert(target.clone(), &file.text).is_some() {
            return Err(Unwritten::Occupied(target));
        }
    }
    for (target, text) in targets {
        let parent = target.parent().unwrap_or(directory);
        let written = fs::create_dir_all(parent).and_then(|()| write_new(&target, text));
        written.map_err(|error| Unwritten::File(target, error))?;
    }
    Ok(())
}

/// Whether a directory, which need not be there yet, lies in one of these.
fn is_inside(paths: &[PathBuf], directory: &Path) -> bool {
    let roots: Vec<PathBuf> = paths
        .iter()
        .filter_map(|it| it.canonicalize().ok())
        .collect();
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let there = directory.ancestors().find_map(|it| it.canonicalize().ok());
    there.is_some_and(|there| roots.iter().any(|root| there.starts_with(root)))
}

/// Where a file stands in the copy. Of several trees each has a directory of its own.
fn below(paths: &[PathBuf], file: &Path) -> PathBuf {
    for root in paths {
        let Ok(rest) = file.strip_prefix(root) else {
            continue;
        };
        let name = root.file_name().map(PathBuf::from).unwrap_or_default();
        return match (rest.as_os_str().is_empty(), paths.len()) {
            // The root is the file itself.
            (true, _) => name,
            (false, 1) => rest.to_owned(),
            (false, _) => name.join(rest),
        };
    }
    file.file_name().map(PathBuf::from).unwrap_or_default()
}

/// A manifest may hold a secret, so nobody else may read the copy.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// Writes the files that changed where they are, each in one step.
pub(super) fn in_place(before: &ObjectSet, tree: &Tree) -> Result<(), Unwritten> {
    for (old, new) in before.files.iter().zip(&tree.objects.files) {
        if old.text == new.text {
            continue;
        }
        // A link stays one: what it leads to is replaced.
        let path = Path::new(&*new.name);
        let replaced = fs::canonicalize(path).and_then(|path| replace(&path, &new.text));
        replaced.map_err(|error| Unwritten::File(path.to_owned(), error))?;
    }
    Ok(())
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.doorward"));
    let permissions = fs::metadata(path)?.permissions();
    write_new(&aside, text)?;
    let done = fs::set_permissions(&aside, permissions).and_then(|()| fs::rename(&aside, path));
    if done.is_err() {
        // Nothing half-written stays behind.
        let _ = fs::remove_file(&aside);
    }
    done
}

#[cfg(test)]
mod tests;
