//! `doorward.yaml`: the same settings as the flags. Unknown keys are errors with file and line.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Switch;

/// What the file says; everything is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct FileConfig {
    pub(crate) manifests: Vec<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) resolve: Vec<String>,
    pub(crate) https_upgrade: Option<Switch>,
    pub(crate) names: Vec<String>,
    pub(crate) workers: Option<usize>,
}

/// Why the file cannot be used.
#[derive(Debug)]
pub(crate) enum FileFault {
    /// It cannot be read.
    Unreadable(PathBuf, io::Error),
    /// It says something that no setting is.
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1, when known.
        line: Option<u64>,
        /// The parser's words.
        fault: String,
    },
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(
                    f,
                    "{}: settings cannot be read: {error}\nhelp: name another file with `--config FILE`",
                    path.display()
                )
            }
            Self::Wrong { path, line, fault } => {
                write!(f, "{}", path.display())?;
                if let Some(line) = line {
                    write!(f, ":{line}")?;
                }
                write!(
                    f,
                    ": {fault}\nhelp: `doorward up --help` names every setting; keys are its flags in camelCase"
                )
            }
        }
    }
}

impl FileConfig {
    /// Reads `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, FileFault> {
        let text = fs::read_to_string(path)
            .map_err(|error| FileFault::Unreadable(path.to_owned(), error))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, FileFault> {
        if text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
        {
            return Ok(Self::default());
        }
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| FileFault::Wrong {
            path: path.to_owned(),
            line: error.location().map(|location| location.line()),
            fault: error.to_string().replace('\n', " "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FileConfig, FileFault> {
        FileConfig::parse(Path::new("doorward.yaml"), text)
    }

    #[test]
    fn settings_are_read_and_an_empty_file_says_nothing() {
        let config = parse("https: 0.0.0.0:443\nhttpsUpgrade: off\nresolve: ['*=127.0.0.1:1']\n");
        let config = config.unwrap();
        assert_eq!(config.https, Some("0.0.0.0:443".parse().unwrap()));
        assert_eq!(config.https_upgrade, Some(Switch::Off));
        assert_eq!(config.resolve, ["*=127.0.0.1:1"]);
        assert!(parse("# nothing yet\n").unwrap().https.is_none());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let fault = parse("https: 127.0.0.1:1\nhtpps: 127.0.0.1:2\n").unwrap_err();
        let text = fault.to_string();
        assert!(text.starts_with("doorward.yaml:2: "), "{text}");
        assert!(text.contains("htpps"), "{text}");
    }
}
