//! The built-in demo: manifests that are compiled in, secrets that are made at first start.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use model::names::Secret;
use model::objects::{File, ObjectSet};
use model::seams::Randomness;
use serde::{Deserialize, Serialize};

const MANIFESTS: &str = include_str!("manifests.yaml");
const FILE: &str = "demo.json";
/// The demo's one user.
pub(crate) const USER: &str = "demo@example.com";
/// As Dex recommends; low enough that the first sign-in feels instant.
const COST: u32 = 10;

/// What the demo remembers between starts; never the password itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    client_secret: String,
    cookie_secret: String,
    password_hash: String,
    user_id: String,
}

/// A demo that is ready to be compiled.
pub(crate) struct Demo {
    /// The manifests, secrets filled in.
    pub(crate) objects: ObjectSet,
    /// The user's password: known at first start only.
    pub(crate) password: Option<Secret>,
    /// Where the secrets are remembered.
    pub(crate) file: PathBuf,
}

/// Why there is no demo.
#[derive(Debug)]
pub(crate) enum DemoFault {
    /// The file cannot be read or written.
    File(PathBuf, io::Error),
    /// The file is not what an earlier start wrote.
    Damaged(PathBuf),
    /// The password could not be hashed.
    Hash,
}

impl fmt::Display for DemoFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "`{}`: {error}", path.display()),
            Self::Damaged(path) => write!(
                f,
                "`{0}` is not what an earlier start wrote\nhelp: remove it; the demo then gets a new user and password",
                path.display()
            ),
            Self::Hash => f.write_str("the demo's password could not be hashed"),
        }
    }
}

impl Demo {
    /// Loads the demo's secrets from the state directory, making them at first start.
    pub(crate) fn load_or_create(
        state: &Path,
        randomness: &dyn Randomness,
    ) -> Result<Self, DemoFault> {
        let file = state.join(FILE);
        let fault = |error| DemoFault::File(file.clone(), error);
        let (remembered, password) = match fs::read(&file) {
            Ok(bytes) => {
                let remembered = serde_json::from_slice(&bytes);
                (
                    remembered.map_err(|_| DemoFault::Damaged(file.clone()))?,
                    None,
                )
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (remembered, password) = create(randomness)?;
                write(&file, &remembered).map_err(fault)?;
                (remembered, Some(password))
            }
            Err(error) => return Err(fault(error)),
        };
        Ok(Self {
            objects: fill_in(&remembered),
            password,
            file,
        })
    }
}

fn create(randomness: &dyn Randomness) -> Result<(Remembered, Secret), DemoFault> {
    let random = |length: usize| {
        let mut bytes = vec![0; length];
        randomness.fill(&mut bytes);
        bytes
    };
    // 80 bits in groups of four, easy to read aloud and to type on a phone.
    let letters = BASE32_NOPAD.encode(&random(10)).to_ascii_lowercase();
    let groups: Vec<&str> = (0..letters.len())
        .step_by(4)
        .map(|at| &letters[at..at + 4])
        .collect();
    let password = groups.join("-");
    let mut salt = [0; 16];
    randomness.fill(&mut salt);
    let hash = bcrypt::hash_with_salt(&password, COST, salt).map_err(|_| DemoFault::Hash)?;
    let remembered = Remembered {
        client_secret: HEXLOWER.encode(&random(32)),
        cookie_secret: HEXLOWER.encode(&random(16)),
        password_hash: hash.format_for_version(bcrypt::Version::TwoB),
        user_id: HEXLOWER.encode(&random(8)),
    };
    Ok((remembered, Secret::new(password)))
}

/// Written whole or not at all: a start that is killed here leaves no half file behind.
fn write(file: &Path, remembered: &Remembered) -> io::Result<()> {
    let draft = file.with_extension("json.new");
    let mut out = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&draft)?;
    out.write_all(&serde_json::to_vec_pretty(remembered)?)?;
    out.sync_all()?;
    fs::rename(&draft, file)
}

fn fill_in(remembered: &Remembered) -> ObjectSet {
    let Remembered {
        client_secret,
        cookie_secret,
        password_hash,
        user_id,
    } = remembered;
    let text = MANIFESTS
        .replace("${CLIENT_SECRET}", client_secret)
        .replace("${COOKIE_SECRET}", cookie_secret)
        .replace("${PASSWORD_HASH}", password_hash)
        .replace("${USER_ID}", user_id);
    ObjectSet {
        files: vec![File {
            name: "demo.yaml".into(),
            text,
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::seams::SystemRandomness;

    #[test]
    fn the_password_is_shown_once_and_its_hash_stays() {
        let state = tempfile::tempdir().unwrap();
        let first = Demo::load_or_create(state.path(), &SystemRandomness).unwrap();
        let password = first.password.unwrap();
        let second = Demo::load_or_create(state.path(), &SystemRandomness).unwrap();
        assert!(second.password.is_none());
        assert_eq!(first.objects, second.objects);
        let text = &second.objects.files[0].text;
        assert!(
            !text.contains(password.expose_str().unwrap()),
            "the password is in no manifest"
        );
        assert!(!text.contains("${"), "everything is filled in");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join(FILE), "{").unwrap();
        let fault = Demo::load_or_create(state.path(), &SystemRandomness);
        assert!(matches!(fault, Err(DemoFault::Damaged(_))));
    }

    #[test]
    fn the_manifests_have_no_error() {
        let state = tempfile::tempdir().unwrap();
        let demo = Demo::load_or_create(state.path(), &SystemRandomness).unwrap();
        let compiled = model::compile(&demo.objects);
        let errors: Vec<_> = compiled
            .findings
            .iter()
            .filter(|finding| finding.severity == model::Severity::Error)
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}
