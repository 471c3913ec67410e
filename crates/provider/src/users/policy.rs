//! Which passwords people may choose: long enough, hard enough to guess, in no list of stolen ones
//! (NIST SP 800-63B §5.1.1.2). Nothing is asked of the kinds of characters.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest;
use data_encoding::HEXUPPER;

/// Which passwords people may choose.
#[derive(Clone)]
pub struct PasswordPolicy {
    /// Characters at least.
    pub least: usize,
    /// What zxcvbn says of it at least: 0 to 4.
    pub strength: u8,
    /// Stolen passwords.
    pub breached: Option<Arc<dyn BreachedPasswords>>,
}

/// Bytes at most: more is no better, and takes long to hash.
pub(crate) const LONGEST: usize = 256;

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            least: 8,
            strength: 3,
            breached: None,
        }
    }
}

impl fmt::Debug for PasswordPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordPolicy")
            .field("least", &self.least)
            .field("strength", &self.strength)
            .finish_non_exhaustive()
    }
}

/// Why a password may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// Fewer characters than this.
    Short(usize),
    /// Longer than anybody needs.
    Long,
    /// A program would guess it soon.
    Guessable,
    /// It is in a list of stolen ones.
    Breached,
    /// The list cannot be read; the log says why.
    Unchecked,
    /// It is the one that has to be changed.
    Same,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(least) => write!(f, "the password has fewer than {least} characters"),
            Self::Long => write!(f, "the password is longer than {LONGEST} bytes"),
            Self::Guessable => f.write_str("the password is easy to guess"),
            Self::Breached => f.write_str("the password is in a list of stolen ones"),
            Self::Unchecked => {
                f.write_str("the list of stolen passwords cannot be read at this moment")
            }
            Self::Same => f.write_str("the password is the old one"),
        }
    }
}

impl std::error::Error for Weakness {}

/// Where stolen passwords are looked up: by the first five digits of a SHA-1 digest, so that whoever
/// is asked does not learn which one was meant. The seam for a service on the network.
pub trait BreachedPasswords: Send + Sync {
    /// The digests that begin with `prefix`: a line each, the other 35 digits and, after a colon, how
    /// often it was seen.
    ///
    /// # Errors
    /// Why nothing is known.
    fn range(&self, prefix: &str) -> io::Result<String>;
}

/// A folder with a file for each prefix, named after it, as downloaders of the public list write it.
#[derive(Clone, Debug)]
pub struct BreachedFolder(PathBuf);

impl BreachedFolder {
    /// The folder at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl BreachedPasswords for BreachedFolder {
    fn range(&self, prefix: &str) -> io::Result<String> {
        for name in [prefix.to_owned(), format!("{prefix}.txt")] {
            match fs::read_to_string(self.0.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                read => return read,
            }
        }
        // A list need not be whole, but it has to be there.
        fs::read_dir(&self.0).map(|_| String::new())
    }
}

impl PasswordPolicy {
    /// Whether `password` may be chosen by somebody of whom `known` is known. Takes a while: to be
    /// called in the pool.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, password: &str, known: &[&str]) -> Result<(), Weakness> {
        if password.chars().count() < self.least {
            return Err(Weakness::Short(self.least));
        }
        if password.len() > LONGEST {
            return Err(Weakness::Long);
        }
        let mut words: Vec<&str> = known.to_vec();
        words.extend(known.iter().flat_map(|text| text.split(['@', '.', ' '])));
        if u8::from(zxcvbn::zxcvbn(password, &words).score()) < self.strength {
            return Err(Weakness::Guessable);
        }
        match &self.breached {
            None => Ok(()),
            Some(list) => match is_listed(&**list, password) {
                Ok(false) => Ok(()),
                Ok(true) => Err(Weakness::Breached),
                Err(error) => {
                    tracing::error!(%error, "the list of stolen passwords cannot be read");
                    Err(Weakness::Unchecked)
                }
            },
        }
    }
}

fn is_listed(list: &dyn BreachedPasswords, password: &str) -> io::Result<bool> {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let digest = HEXUPPER.encode(digest.as_ref());
    let (prefix, rest) = digest.split_at(5);
    let range = list.range(prefix)?;
    Ok(range.lines().any(|line| {
        let (suffix, seen) = line.trim().split_once(':').unwrap_or((line.trim(), ""));
        // Lists are padded with digests that nobody ever saw.
        suffix.eq_ignore_ascii_case(rest) && seen != "0"
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_strength_count() {
        let policy = PasswordPolicy::default();
        let check = |password: &str| policy.check(password, &["anna@example.com", "Anna Berg"]);
        assert_eq!(check("kürzer"), Err(Weakness::Short(8)));
        assert_eq!(check(&"ab1 ".repeat(65)), Err(Weakness::Long));
        for weak in [
            "password",
            "12345678",
            "qwertyuiop",
            "anna@example.com",
            "annaberg1",
            "aaaaaaaaaaaa",
        ] {
            assert_eq!(check(weak), Err(Weakness::Guessable), "{weak}");
        }
        assert_eq!(check("correct horse battery"), Ok(()));
        assert_eq!(check("v8Q!xk2#L"), Ok(()));
    }

    #[test]
    fn stolen_passwords_are_found_by_the_first_digits_of_their_digest() {
        let dir = tempfile::tempdir().unwrap();
        let policy = PasswordPolicy {
            strength: 0,
            breached: Some(Arc::new(BreachedFolder::new(dir.path().to_owned()))),
            ..PasswordPolicy::default()
        };
        // SHA-1 of `password`: 5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8.
        let range = "003D68EB55068C33ACE09247EE4C639306B:3\r\n1E4C9B93F3F0682250B6CF8331B7EE68FD8:52256179\r\n";
        for (name, text, answer) in [
            ("other", range, Ok(())),
            ("5BAA6", range, Err(Weakness::Breached)),
            ("5BAA6", "1E4C9B93F3F0682250B6CF8331B7EE68FD8:0\n", Ok(())),
            ("5BAA6", "003D68EB55068C33ACE09247EE4C639306B:3\n", Ok(())),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
            assert_eq!(policy.check("password", &[]), answer);
        }
        fs::remove_file(dir.path().join("5BAA6")).unwrap();
        fs::write(dir.path().join("5BAA6.txt"), range).unwrap();
        assert_eq!(policy.check("password", &[]), Err(Weakness::Breached));
        drop(dir);
        assert_eq!(policy.check("password", &[]), Err(Weakness::Unchecked));
    }
}
