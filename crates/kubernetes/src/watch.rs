//! Changes of a directory.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::objects::ObjectSet;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::directory::{Directory, Listing, Stamp};
use crate::fault::SourceFault;

/// A burst of changes has ended when nothing happened for so long…
const QUIET: Duration = Duration::from_millis(100);
/// …and is cut off after so many quiet times, so that a change is live in under a second.
const BURST: u32 = 4;
/// How often the disk is looked at when nothing is reported: network file systems report nothing.
const POLL: Duration = Duration::from_secs(2);
/// New directories are watched, then listed again, because files may have come in between. A tree
/// that still grows after so many rounds reports itself by an event.
const ROUNDS: usize = 8;

/// A source that tells when its content is another.
pub struct Watch {
    directory: Arc<Directory>,
    eyes: Arc<Mutex<Eyes>>,
    signal: Arc<Notify>,
    hasher: RandomState,
    /// Something was reported that no finished look has covered yet.
    dirty: bool,
    seen: Option<Seen>,
}

/// The last answer, in short.
struct Seen {
    stamps: Vec<(PathBuf, Stamp)>,
    answer: Result<u64, SourceFault>,
}

/// What one look at the disk brought.
struct Look {
    stamps: Vec<(PathBuf, Stamp)>,
    answer: Result<ObjectSet, SourceFault>,
}

impl Watch {
    pub(crate) fn new(directory: Directory) -> Self {
        let signal = Arc::new(Notify::new());
        let eyes = Arc::new(Mutex::new(Eyes::open(signal.clone())));
        Self {
            directory: Arc::new(directory),
            eyes,
            signal,
            hasher: RandomState::new(),
            dirty: true,
            seen: None,
        }
    }

    /// The first call answers at once; later ones wait until the content, or the fault, is another
    /// than in the last answer. A change is told within a second of its last write where the
    /// operating system reports it, within about two elsewhere. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the source cannot be read. Call again: it answers as soon as that changes.
    pub async fn next(&mut self) -> Result<ObjectSet, SourceFault> {
        loop {
            if !self.dirty {
                self.dirty = timeout(POLL, self.signal.notified()).await.is_ok();
                if self.dirty {
                    self.settle().await;
                }
            }
            let Some(look) = self.look().await else {
                continue;
            };
            self.dirty = false;
            if let Some(answer) = self.news(look) {
                return answer;
            }
        }
    }

    /// Waits until a burst of changes is over.
    async fn settle(&self) {
        for _ in 0..BURST {
            if timeout(QUIET, self.signal.notified()).await.is_err() {
                return;
            }
        }
    }

    /// Reads off the caller's thread; `None` when a poll finds everything as it was.
    async fn look(&self) -> Option<Look> {
        let directory = self.directory.clone();
        let eyes = self.eyes.clone();
        // Nothing was reported: the listing alone tells whether reading is worth while.
        let known = self
            .seen
            .as_ref()
            .filter(|_| !self.dirty)
            .map(|seen| (seen.stamps.clone(), seen.answer.is_err()));
        tokio::task::spawn_blocking(move || {
            let mut eyes = eyes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((stamps, was_fault)) = known
                && let Ok(listing) = directory.listing()
                && !was_fault
                && owned_stamps(&listing) == stamps
            {
                return None;
            }
            Some(eyes.look(&directory))
        })
        .await
        .ok()
        .flatten()
    }

    /// Remembers the look; `Some` when it differs from the last answer.
    fn news(&mut self, look: Look) -> Option<Result<ObjectSet, SourceFault>> {
        let Look { stamps, answer } = look;
        let short = match &answer {
            Ok(objects) => Ok(self.digest(objects)),
            Err(fault) => Err(fault.clone()),
        };
        let same = self.seen.as_ref().is_some_and(|seen| seen.answer == short);
        self.seen = Some(Seen {
            stamps,
            answer: short,
        });
        (!same).then_some(answer)
    }

    /// Keyed with a secret of this watch, so that nobody can write two contents that look alike.
    fn digest(&self, objects: &ObjectSet) -> u64 {
        let parts: Vec<(&str, &str)> = objects
            .files
            .iter()
            .map(|file| (&*file.name, file.text.as_str()))
            .collect();
        self.hasher.hash_one(parts)
    }
}

fn owned_stamps(listing: &Listing) -> Vec<(PathBuf, Stamp)> {
    listing
        .stamps()
        .map(|(path, stamp)| (path.to_path_buf(), stamp))
        .collect()
}

/// Which directory really stands at a path: device and inode.
type Identity = (u64, u64);

/// The operating system's reports, for exactly the directories that matter.
struct Eyes {
    watcher: Option<RecommendedWatcher>,
    /// Watched directories by what they really are: one that was replaced by another of the same
    /// name has to be watched anew.
    watched: HashMap<Identity, PathBuf>,
    /// A watch may have gone with its directory, whose number the next directory may have got.
    stale: Arc<AtomicBool>,
}

impl Eyes {
    fn open(signal: Arc<Notify>) -> Self {
        let stale = Arc::new(AtomicBool::new(false));
        let lost = stale.clone();
        let report = move |event: notify::Result<notify::Event>| {
            // A report that is itself a fault, an overflow say, is a reason to look at everything.
            let kind = event.map_or(EventKind::Any, |event| event.kind);
            if matches!(kind, EventKind::Remove(_) | EventKind::Any) {
                lost.store(true, Ordering::Release);
            }
            if is_change(kind) {
                signal.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(report)
            .inspect_err(|error| tracing::warn!(%error, "changes are polled, not reported"))
            .ok();
        Self {
            watcher,
            watched: HashMap::new(),
            stale,
        }
    }

    /// Watches first and reads afterwards, so that no change falls between the two.
    fn look(&mut self, directory: &Directory) -> Look {
        if self.stale.swap(false, Ordering::AcqRel) {
            self.watch_exactly(HashMap::new());
        }
        for _ in 0..ROUNDS {
            if !self.watch_exactly(wanted(directory)) {
                break;
            }
        }
        match directory.reading() {
            Ok(reading) => {
                let stamps = owned_stamps(&reading.listing);
                Look {
                    stamps,
                    answer: Ok(reading.objects),
                }
            }
            Err(fault) => Look {
                stamps: Vec::new(),
                answer: Err(fault),
            },
        }
    }

    /// Brings the watches in line; `true` when one was added.
    fn watch_exactly(&mut self, wanted: HashMap<Identity, PathBuf>) -> bool {
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        self.watched.retain(|identity, path| {
            let keep = wanted.get(identity) == Some(path);
            if !keep {
                // It fails when the directory is gone, and its watch with it.
                let _ = watcher.unwatch(path);
            }
            keep
        });
        let mut added = false;
        for (identity, path) in wanted {
            if self.watched.contains_key(&identity) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(identity, path);
                    added = true;
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "changes are polled here");
                }
            }
        }
        added
    }
}

/// Every directory that was walked, and the parents of the paths that were given: they know when a
/// given name comes to mean another file or directory.
fn wanted(directory: &Directory) -> HashMap<Identity, PathBuf> {
    let listing = directory.listing().unwrap_or_default();
    let parents = directory.paths().iter().filter_map(|root| {
        let parent = parent_of(root)?;
        let metadata = std::fs::metadata(&parent).ok()?;
        Some(((metadata.dev(), metadata.ino()), parent))
    });
    let folders = listing.folders.into_iter();
    // The later entry wins: a directory is known by the name under which it was walked.
    parents
        .chain(folders.map(|folder| (folder.identity, folder.path)))
        .collect()
}

/// Reading is no change, or every look would call for the next.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

fn parent_of(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    let here = parent.as_os_str().is_empty();
    Some(if here {
        PathBuf::from(".")
    } else {
        parent.into()
    })
}
