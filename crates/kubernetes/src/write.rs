//! Objects into the directory that manifests come from.

mod stage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::names::ObjectRef;
use model::objects::{self, EditFault};
use model::seams::{Change, NewObject, ObjectWriter, WriteFault};
use model::snapshot::Stands;

use stage::{Stage, Step};

/// Folder of the objects that are written here, below the first directory of manifests.
const FOLDER: &str = "kfam";

/// Writes each new object into a file of its own, and takes others out of where they stand.
///
/// A change is staged beside its targets first, so that a full disk or a missing right shows before
/// anything is touched; then its steps are made, and undone again if one fails. Writers of this and
/// other processes take turns by a lock on the directory. A name that is taken is never written
/// over, and a file that somebody else changed meanwhile is left alone.
pub struct DirectoryWriter {
    root: Option<PathBuf>,
    turn: Mutex<()>,
}

impl DirectoryWriter {
    /// Writes below the first directory among `paths`.
    pub fn new(paths: &[PathBuf]) -> Self {
        let root = paths.iter().find(|path| path.is_dir());
        Self {
            root: root.cloned(),
            turn: Mutex::new(()),
        }
    }
}

impl ObjectWriter for DirectoryWriter {
    fn write(&self, change: &Change) -> Result<(), WriteFault> {
        let root = self.root.as_deref().ok_or(WriteFault::Nowhere)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Released when it is closed, at the end.
        let lock = File::open(root).map_err(not_writable)?;
        take(&lock)?;
        let Change { create, remove } = change;
        let mut steps = Vec::new();
        for object in create {
            steps.push(creation(root, object)?);
        }
        steps.extend(removals(remove)?);
        Stage::prepare(steps)
            .map_err(not_writable)?
            .perform()
            .map_err(|(fault, object)| match fault.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound => {
                    WriteFault::Conflict(object)
                }
                _ => not_writable(fault),
            })
    }
}

/// Takes the lock of the directory, which another process holds for one change at a time.
fn take(lock: &File) -> Result<(), WriteFault> {
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(error)) => return Err(not_writable(error)),
        }
    }
    Err(WriteFault::NotWritable(io::ErrorKind::ResourceBusy))
}

fn not_writable(error: io::Error) -> WriteFault {
    WriteFault::NotWritable(error.kind())
}

/// `kfam/NAMESPACE/kind-name.json`. Names of Kubernetes hold nothing that a path would take for
/// something else; one that does is nobody's.
fn creation(root: &Path, object: &NewObject) -> Result<Step, WriteFault> {
    let NewObject { reference, content } = object;
    let ObjectRef {
        kind,
        namespace,
        name,
    } = reference;
    let is_plain = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !text.is_empty() && text.bytes().all(plain)
    };
    let folder = if namespace.is_empty() {
        name
    } else {
        namespace
    };
    let file = format!("{}-{name}.json", kind.to_ascii_lowercase());
    if ![kind, name, folder].iter().all(|text| is_plain(text)) || file.len() > 255 {
        return Err(WriteFault::NotWritable(io::ErrorKind::InvalidFilename));
    }
    Ok(Step {
        object: reference.clone(),
        path: root.join(FOLDER).join(&**folder).join(file),
        before: None,
        after: Some(format!("{content:#}\n")),
    })
}

/// One step for each file that objects are taken out of.
fn removals(remove: &[Stands]) -> Result<Vec<Step>, WriteFault> {
    let mut files: BTreeMap<&str, Vec<&Stands>> = BTreeMap::new();
    let mut order = Vec::new();
    for one in remove {
        let file = &*one.place.file;
        let unwanted = files.entry(file).or_default();
        if unwanted.is_empty() {
            order.push(file);
        }
        unwanted.push(one);
    }
    let steps = order.into_iter().map(|name| removal(name, &files[name]));
    steps.collect()
}

fn removal(name: &str, unwanted: &[&Stands]) -> Result<Step, WriteFault> {
    let first = &unwanted[0].object;
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => WriteFault::Conflict(first.clone()),
        kind => WriteFault::NotWritable(kind),
    };
    // A link stays one: what it leads to is written.
    let path = fs::canonicalize(name).map_err(gone)?;
    let text = fs::read_to_string(&path).map_err(gone)?;
    let file = objects::File {
        name: name.into(),
        text,
    };
    let objects: Vec<ObjectRef> = unwanted.iter().map(|one| one.object.clone()).collect();
    let after = objects::without(&file, &objects).map_err(|fault| match fault {
        EditFault::Absent(object) => WriteFault::Conflict(object),
        EditFault::Entangled(object) => {
            let mut unwanted = unwanted.iter();
            let stands = unwanted.find(|one| one.object == object);
            stands.map_or(WriteFault::Conflict(object), |one| {
                WriteFault::Entangled((*one).clone())
            })
        }
    })?;
    Ok(Step {
        object: first.clone(),
        path,
        before: Some(file.text),
        after,
    })
}
