//! Several files as one change: staged, performed, undone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::names::ObjectRef;

/// What becomes of one file. `None` is no file.
#[derive(Debug)]
pub(super) struct Step {
    /// For messages.
    pub(super) object: ObjectRef,
    pub(super) path: PathBuf,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// Steps whose new texts lie on the disk already, under names that no reader looks at.
pub(super) struct Stage {
    steps: Vec<(Step, Option<PathBuf>)>,
    /// Folders that were made for them, the outer ones first.
    folders: Vec<PathBuf>,
}

impl Stage {
    /// Writes the new texts. What it leaves behind when that fails is nothing.
    pub(super) fn prepare(steps: Vec<Step>) -> io::Result<Self> {
        let mut stage = Self {
            steps: Vec::with_capacity(steps.len()),
            folders: Vec::new(),
        };
        for (at, step) in steps.into_iter().enumerate() {
            stage.make_folders(&step.path)?;
            let staged = match &step.after {
                Some(text) => Some(staged(at, &step.path, text)?),
                // Whether a file may be taken away is seen by writing beside it.
                None => {
                    let probe = staged(at, &step.path, "")?;
                    fs::remove_file(probe)?;
                    None
                }
            };
            stage.steps.push((step, staged));
        }
        Ok(stage)
    }

    fn make_folders(&mut self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut folder = path.parent();
        while let Some(one) = folder.filter(|one| !one.as_os_str().is_empty() && !one.exists()) {
            missing.push(one.to_owned());
            folder = one.parent();
        }
        for folder in missing.into_iter().rev() {
            fs::create_dir(&folder)?;
            sync_folder(&folder)?;
            self.folders.push(folder);
        }
        Ok(())
    }

    /// Makes every step, or none: the object of the step that failed tells where.
    pub(super) fn perform(mut self) -> Result<(), (io::Error, ObjectRef)> {
        for at in 0..self.steps.len() {
            let (step, staged) = &self.steps[at];
            let made = perform(step, staged.as_deref());
            let is_made = made.is_ok();
            let lasts = made.and_then(|()| sync_folder(folder_of(&step.path)));
            if let Err(error) = lasts {
                let object = step.object.clone();
                self.undo(at + usize::from(is_made));
                return Err((error, object));
            }
        }
        // Nothing is to be cleaned away any more.
        self.folders.clear();
        Ok(())
    }
}

impl Stage {
    /// Takes the first steps back, the last one first.
    fn undo(&self, made: usize) {
        for (at, (step, _)) in self.steps[..made].iter().enumerate().rev() {
            if let Err(error) = undo(at, step) {
                let path = step.path.display();
                tracing::error!(%path, %error, "a half-made change cannot be undone");
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for staged in self.steps.iter().filter_map(|(_, staged)| staged.as_ref()) {
            // Gone already where the step was made.
            let _ = fs::remove_file(staged);
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn perform(step: &Step, staged: Option<&Path>) -> io::Result<()> {
    let path = &step.path;
    match (&step.before, staged) {
        // A link is made only where nothing stands.
        (None, Some(staged)) => fs::hard_link(staged, path)?,
        (Some(before), staged) => {
            if fs::read_to_string(path)? != *before {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            match staged {
                Some(staged) => fs::rename(staged, path)?,
                None => fs::remove_file(path)?,
            }
        }
        (None, None) => {}
    }
    Ok(())
}

fn undo(at: usize, step: &Step) -> io::Result<()> {
    match &step.before {
        None => fs::remove_file(&step.path)?,
        Some(before) => fs::rename(staged(at, &step.path, before)?, &step.path)?,
    }
    sync_folder(folder_of(&step.path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// A file beside `path` whose text is on the disk, with the rights of the one that it replaces. The
/// dot before its name hides it from whoever reads manifests.
fn staged(at: usize, path: &Path, text: &str) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Writers take turns, so the number of the step is enough; what an ended process left there is
    // nobody's.
    let short: String = name.chars().take(50).collect();
    let staged = path.with_file_name(format!(".{at}-{short}.doorward"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&staged)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| {
        if let Ok(replaced) = fs::metadata(path) {
            file.set_permissions(replaced.permissions())?;
        }
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(staged),
        Err(error) => {
            let _ = fs::remove_file(&staged);
            Err(error)
        }
    }
}

/// A name lasts when its folder does.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
