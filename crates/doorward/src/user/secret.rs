//! Passwords from a terminal, the standard input or a file.

use std::fmt;
use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use model::names::Secret;
use provider::{GivenPassword, one_time_password};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::PasswordArgs;
use crate::up::SystemRandomness;

/// So much of a file is read: a password is one line.
const LONGEST: u64 = 4096;

/// Where a password comes from.
pub(super) enum Source {
    Made { lasting: bool },
    Terminal { lasting: bool },
    File { path: PathBuf, lasting: bool },
    Hash(PathBuf),
    None,
}

/// Why there is no password.
#[derive(Debug)]
pub(super) enum SecretFault {
    Unreadable(PathBuf, io::Error),
    /// Nobody to ask.
    NoTerminal,
    Terminal(io::Error),
    /// What was typed twice was not the same.
    Differ,
    Empty,
}

impl fmt::Display for SecretFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(
                f,
                "`{}` cannot be read: {error}\nhelp: name another file, or let this user read it",
                path.display()
            ),
            Self::NoTerminal => f.write_str(
                "there is no terminal to ask for a password\nhelp: `--generate`, `--password-file FILE`, or `--password-file -` for the standard input",
            ),
            Self::Terminal(error) => write!(f, "the terminal cannot be asked: {error}"),
            Self::Differ => f.write_str("the two passwords are not the same\nhelp: try again"),
            Self::Empty => f.write_str("the password is empty\nhelp: `--generate` makes one"),
        }
    }
}

impl Source {
    pub(super) fn of(args: PasswordArgs) -> Result<Self, SecretFault> {
        let PasswordArgs {
            generate,
            password_file,
            hash_file,
            no_password,
            lasting,
        } = args;
        Ok(match (generate, password_file, hash_file, no_password) {
            (true, ..) => Self::Made { lasting },
            (_, Some(path), ..) => Self::File { path, lasting },
            (_, _, Some(path), _) => Self::Hash(path),
            (.., true) => Self::None,
            _ if io::stdin().is_terminal() => Self::Terminal { lasting },
            _ => return Err(SecretFault::NoTerminal),
        })
    }

    /// The password, and the same to be shown if it was made here.
    pub(super) fn password(self) -> Result<(GivenPassword, Option<Secret>), SecretFault> {
        let given = |secret: Secret, lasting| match lasting {
            true => GivenPassword::Lasting(secret),
            false => GivenPassword::OneTime(secret),
        };
        Ok(match self {
            Self::Made { lasting } => {
                let made = one_time_password(&SystemRandomness);
                (given(made.clone(), lasting), Some(made))
            }
            Self::Terminal { lasting } => (given(ask_twice()?, lasting), None),
            Self::File { path, lasting } => (given(first_line(&path)?, lasting), None),
            Self::Hash(path) => (GivenPassword::Hash(first_line(&path)?), None),
            Self::None => (GivenPassword::None, None),
        })
    }
}

fn first_line(path: &Path) -> Result<Secret, SecretFault> {
    let unreadable = |error| SecretFault::Unreadable(path.to_owned(), error);
    let mut line = String::new();
    let read = match path == Path::new("-") {
        true => io::stdin().lock().take(LONGEST).read_line(&mut line),
        false => {
            let file = fs::File::open(path).map_err(unreadable)?;
            io::BufReader::new(file.take(LONGEST)).read_line(&mut line)
        }
    };
    read.map_err(unreadable)?;
    let secret = Secret::new(line.trim_end_matches(['\r', '\n']));
    match secret.expose().is_empty() {
        true => Err(SecretFault::Empty),
        false => Ok(secret),
    }
}

fn ask_twice() -> Result<Secret, SecretFault> {
    let quiet = Quiet::begin().map_err(SecretFault::Terminal)?;
    let first = ask("password: ").map_err(SecretFault::Terminal)?;
    let second = ask("password again: ").map_err(SecretFault::Terminal)?;
    drop(quiet);
    if first != second {
        return Err(SecretFault::Differ);
    }
    match first.expose().is_empty() {
        true => Err(SecretFault::Empty),
        false => Ok(first),
    }
}

fn ask(prompt: &str) -> io::Result<Secret> {
    anstream::eprint!("{prompt}");
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    anstream::eprintln!();
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
