//! Cases: manifests, sessions, requests, and what is to happen.
//!
//! A case is a directory with `case.yaml`:
//!
//! ```yaml
//! about: what this case proves, one sentence
//! manifests: [../../fixtures/kubeflow-26.03]   # files or directories; this directory unless given
//! sessions:
//!   user: {person: {email: user@example.com, groups: [team]}}
//!   stale: {absent: expired}
//!   robot: {bearer: {claims: {email: robot@example.com}}}
//!   forged: {bearer: {fault: algorithm_refused}}
//!   elsewhere: {bearer: {at: {header: [x-token, '']}}}   # or {query: token}, {cookie: token}
//! requests:
//! - name: the dashboard for somebody who signed in
//!   session: user                  # a person or an absence; anonymous unless given
//!   path: /
//!   expect:
//!     outcome: forward
//!     destination: centraldashboard.kubeflow:80
//!     headers: {kubeflow-userid: user@example.com, kubeflow-groups: team, x-other: null}
//!     reason: AuthorizationPolicy kubeflow/central-dashboard
//!     status: 200
//! connections:                     # where a Gateway passes bytes on
//! - name: bytes reach the database
//!   port: 5432
//!   expect: {outcome: forward, destination: 'db.data:5432', reason: no_allow_policy}
//! ```
//!
//! Claims that a token does not name are filled from the first login proxy: `iss`, `aud`, and `exp`
//! one hour after [`NOW`]. Expected fields that are not given are not compared, but
//! the outcome always is.

mod connect;
mod format;
mod run;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::objects::{File, ObjectSet};

pub use format::{
    Absence, Bearer, ConnectionCase, ConnectionExpectation, ConnectionOutcome, ConnectionRefusal,
    Expectation, ExpectedOutcome, ExpectedRefusal, Fault, LocalService, Person, RedirectTo,
    RequestCase, SessionCase, SignInWay, TokenPlace,
};
pub use run::{Mismatch, run, session, token_claims};

/// The moment at which cases happen, unless a request says another, in Unix seconds.
pub const NOW: i64 = 1_800_000_000;

/// One case directory.
#[derive(Debug)]
pub struct Case {
    /// Name of the directory.
    pub name: String,
    /// Where it is.
    pub directory: PathBuf,
    /// Files and directories with its manifests.
    pub manifests: Vec<PathBuf>,
    /// What `case.yaml` says.
    pub file: format::CaseFile,
}

impl Case {
    /// Reads the manifests.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn objects(&self) -> Result<ObjectSet, CaseFault> {
        let mut files = Vec::new();
        for path in &self.manifests {
            read_manifests(path, &mut files)?;
        }
        Ok(ObjectSet { files })
    }
}

/// Why a case cannot be loaded.
#[derive(Debug)]
pub enum CaseFault {
    /// The operating system refuses.
    Unreadable(PathBuf, io::Error),
    /// `case.yaml` is no case.
    Malformed(PathBuf, String),
    /// There is no case at all.
    NoCases(PathBuf),
}

impl fmt::Display for CaseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Malformed(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NoCases(path) => write!(f, "{}: there are no cases", path.display()),
        }
    }
}

impl std::error::Error for CaseFault {}

/// Loads every case below `directory`, by name.
///
/// # Errors
/// When one cannot be loaded, or there is none.
pub fn load(directory: &Path) -> Result<Vec<Case>, CaseFault> {
    let mut cases = Vec::new();
    for path in entries(directory)? {
        if path.join("case.yaml").is_file() {
            cases.push(load_one(&path)?);
        }
    }
    if cases.is_empty() {
        return Err(CaseFault::NoCases(directory.to_owned()));
    }
    Ok(cases)
}

/// Loads the case in `directory`.
///
/// # Errors
/// When `case.yaml` is not there or is no case.
pub fn load_one(directory: &Path) -> Result<Case, CaseFault> {
    let path = directory.join("case.yaml");
    let text = read(&path)?;
    let file: format::CaseFile = serde_saphyr::from_str(&text)
        .map_err(|error| CaseFault::Malformed(path.clone(), error.to_string()))?;
    let manifests = match &*file.manifests {
        [] => vec![directory.to_owned()],
        given => given.iter().map(|path| directory.join(path)).collect(),
    };
    let name = directory
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(Case {
        name,
        directory: directory.to_owned(),
        manifests,
        file,
    })
}

fn read_manifests(path: &Path, files: &mut Vec<File>) -> Result<(), CaseFault> {
    if path.is_dir() {
        for entry in entries(path)? {
            read_manifests(&entry, files)?;
        }
        return Ok(());
    }
    let is_manifest = path.extension().is_some_and(|extension| {
        ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension == *known)
    });
    if is_manifest && path.file_name().is_some_and(|name| name != "case.yaml") {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files.push(File {
            name: (*name).into(),
            text: read(path)?,
        });
    }
    Ok(())
}

/// Entries in the order of their names.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, CaseFault> {
    let unreadable = |error| CaseFault::Unreadable(directory.to_owned(), error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, CaseFault> {
    fs::read_to_string(path).map_err(|error| CaseFault::Unreadable(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Case, CaseFault> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("case.yaml"), text).unwrap();
        let case = load_one(directory.path())?;
        // The directory is gone when the case runs.
        Ok(Case {
            manifests: Vec::new(),
            ..case
        })
    }

    #[test]
    fn what_happens_otherwise_is_told() {
        let case = loaded(
            "
about: nothing is served without manifests
requests:
- {name: right, path: /, expect: {outcome: {refuse: no_route}, reason: no_route}}
- {name: wrong, path: /, expect: {outcome: forward, destination: 'a.b:80', reason: no_route}}
- {name: nobody, path: /, session: somebody, expect: {outcome: {refuse: no_route}}}
",
        )
        .unwrap();
        let told: Vec<_> = run(&case)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            told,
            [
                "wrong: outcome: expected Forward, got Refuse(NoRoute)",
                "wrong: destination: expected Some(\"a.b:80\"), got None",
                "nobody: session: expected one of the case, got somebody",
            ]
        );
    }

    #[test]
    fn a_misspelt_key_is_no_case() {
        let text = "about: x\nrequests: [{name: x, path: /, expects: {outcome: forward}}]\n";
        assert!(matches!(loaded(text), Err(CaseFault::Malformed(..))));
    }

    #[test]
    fn a_directory_without_cases_is_a_fault() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(load(directory.path()), Err(CaseFault::NoCases(_))));
    }
}
