//! The key file beside the database: what private the database holds is sealed under it, so that a
//! copy of the database alone signs nothing.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use model::seams::Randomness;
use zeroize::Zeroizing;

const KEY_LENGTH: usize = 32;

/// How a sealed text begins; plain ones of earlier versions are JSON.
const SEALED: &str = "sealed1.";

/// Seals and opens what the database must not show.
pub(crate) struct Vault(LessSafeKey);

/// Why there is no vault. The operator's fault.
#[derive(Debug)]
pub enum KeyFileFault {
    /// The file cannot be read or made.
    File(PathBuf, io::Error),
    /// The file is not a key.
    Unreadable(PathBuf),
    /// The database holds what an absent file sealed.
    Missing(PathBuf),
    /// The file did not seal what the database holds.
    Another,
}

impl fmt::Display for KeyFileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => {
                write!(
                    f,
                    "the key file `{}` cannot be used: {error}",
                    path.display()
                )
            }
            Self::Unreadable(path) => {
                write!(f, "the key file `{}` is not 32 bytes long", path.display())
            }
            Self::Missing(path) => write!(
                f,
                "the key file `{}` is missing, and the database is sealed under it\nhelp: bring it \
                 back from the backup that has the database",
                path.display()
            ),
            Self::Another => f.write_str(
                "the database is sealed under another key file\nhelp: bring back the file that \
                 belongs to the database",
            ),
        }
    }
}

impl std::error::Error for KeyFileFault {}

impl Vault {
    /// Reads the file at `path`; nothing when there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, KeyFileFault> {
        let bytes = match fs::read(path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(KeyFileFault::File(path.to_owned(), error)),
        };
        let unreadable = || KeyFileFault::Unreadable(path.to_owned());
        if bytes.len() != KEY_LENGTH {
            return Err(unreadable());
        }
        let fault = |error| KeyFileFault::File(path.to_owned(), error);
        // Copied about, files lose their mode.
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(fault)?;
        let key = UnboundKey::new(&AES_256_GCM_SIV, &bytes).map_err(|_| unreadable())?;
        Ok(Some(Self(LessSafeKey::new(key))))
    }

    /// Reads the file at `path`, made if there is none. Of several processes one makes it. A crash
    /// leaves a whole file or none.
    pub(crate) fn read_or_create(
        path: &Path,
        randomness: &dyn Randomness,
    ) -> Result<Self, KeyFileFault> {
        if let Some(vault) = Self::read(path)? {
            return Ok(vault);
        }
        create(path, randomness).map_err(|error| KeyFileFault::File(path.to_owned(), error))?;
        Self::read(path)?.ok_or_else(|| KeyFileFault::Missing(path.to_owned()))
    }

    /// Whether `text` was made by [`Self::seal`].
    pub(crate) fn is_sealed(text: &str) -> bool {
        text.starts_with(SEALED)
    }

    /// Seals `plain`; it opens with the same `purpose` only.
    pub(crate) fn seal(
        &self,
        purpose: &str,
        plain: &[u8],
        randomness: &dyn Randomness,
    ) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        randomness.fill(&mut nonce);
        let mut text = Zeroizing::new(plain.to_vec());
        let unique = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(unique, Aad::from(purpose.as_bytes()), &mut text)
            .ok()?;
        let whole = [&nonce[..], &text, tag.as_ref()].concat();
        Some(format!("{SEALED}{}", BASE64URL_NOPAD.encode(&whole)))
    }

    /// Opens what [`Self::seal`] made.
    pub(crate) fn open(&self, purpose: &str, sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
        let text = sealed.strip_prefix(SEALED)?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let aad = Aad::from(purpose.as_bytes());
        let length = self.0.open_in_place(nonce, aad, &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

fn create(path: &Path, randomness: &dyn Randomness) -> io::Result<()> {
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    randomness.fill(&mut *key);
    let mut suffix = [0; 8];
    randomness.fill(&mut suffix);
    let beside = path.with_extension(format!("new-{}", HEXLOWER.encode(&suffix)));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    let written = file
        .write_all(&*key)
        .and_then(|()| file.sync_all())
        // Not over another process' file.
        .and_then(|()| fs::hard_link(&beside, path));
    fs::remove_file(&beside)?;
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::fixture::SeededRandomness;

    #[test]
    fn the_file_is_made_once_and_for_its_owner() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("provider.key");
        let randomness = SeededRandomness::default();
        let first = Vault::read_or_create(&path, &randomness).unwrap();
        let sealed = first.seal("p", b"plain", &randomness).unwrap();
        assert!(Vault::is_sealed(&sealed) && !sealed.contains("plain"));
        let again = Vault::read_or_create(&path, &randomness).unwrap();
        assert_eq!(&*again.open("p", &sealed).unwrap(), b"plain");
        assert!(again.open("q", &sealed).is_none());
        assert!(again.open("p", &sealed[..sealed.len() - 1]).is_none());
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_key_is_told() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("provider.key");
        fs::write(&path, "short").unwrap();
        let fault = Vault::read(&path).err().unwrap();
        assert!(matches!(fault, KeyFileFault::Unreadable(_)));
        let nowhere = dir.path().join("missing/provider.key");
        let made = Vault::read_or_create(&nowhere, &SeededRandomness::default());
        assert!(matches!(made.err().unwrap(), KeyFileFault::File(..)));
    }
}
