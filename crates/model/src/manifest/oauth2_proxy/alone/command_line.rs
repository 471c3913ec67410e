//! The command line, as Go's `flag` and its kin read one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Origin, Settings};
use crate::finding::codes;
use crate::manifest::oauth2_proxy::options::{Kind, Known};
use crate::manifest::oauth2_proxy::settings::suggestion;
use crate::objects::Object;

/// The words after `doorward oauth2-proxy`, read.
#[derive(Debug, Default)]
pub struct CommandLine {
    /// `--config`.
    pub config: Option<String>,
    /// `--alpha-config`.
    pub alpha_config: Option<String>,
    /// `--config-test`, `--check-config`: says whether the settings are good, and ends.
    pub config_test: bool,
    /// `--convert-config-to-alpha`.
    pub convert: bool,
    /// `--version`.
    pub version: bool,
    /// `--help`.
    pub help: bool,
    given: Vec<Given>,
}

#[derive(Debug)]
enum Given {
    Option(&'static Known, Typed),
    /// Fault and remedy.
    Bad(String, String),
}

/// What was typed, which may be a secret.
struct Typed(String);

impl std::fmt::Debug for Typed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl CommandLine {
    /// Reads the words. What is wrong with them is told by [`Self::stand_in`], with the rest.
    pub fn read(words: &[String]) -> Self {
        let mut read = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
            let Some(flag) = flag.filter(|flag| !flag.is_empty()) else {
                // It may be a secret that lost its flag, so it is not shown.
                read.bad("an argument is no flag", "begin it with `--`");
                continue;
            };
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            if read.own(name, inline.as_deref(), &mut words) {
                continue;
            }
            let Some(known) = Known::of_flag(name) else {
                let remedy = suggestion(&name.replace('-', "_"), Known::names());
                read.bad(&format!("`--{name}` is no flag of OAuth2 Proxy"), &remedy);
                let next = words.as_slice().first();
                if inline.is_none() && next.is_some_and(|next| !next.starts_with('-')) {
                    words.next();
                }
                continue;
            };
            let value = match inline {
                Some(value) => Some(value),
                None if known.kind == Kind::Flag => Some("true".to_owned()),
                None => words.next().cloned(),
            };
            match value {
                Some(value) => read.given.push(Given::Option(known, Typed(value))),
                None => read.bad(
                    &format!("`--{name}` has no value"),
                    &format!("write `--{name}=VALUE`"),
                ),
            }
        }
        read
    }

    /// Flags that are no options.
    fn own(
        &mut self,
        name: &str,
        inline: Option<&str>,
        words: &mut std::slice::Iter<'_, String>,
    ) -> bool {
        let is_on = inline.is_none_or(|value| matches!(value, "true" | "1" | "t"));
        match name {
            "config-test" | "check-config" => self.config_test = is_on,
            "convert-config-to-alpha" => self.convert = is_on,
            "version" => self.version = is_on,
            "help" | "h" => self.help = is_on,
            "config" | "alpha-config" => {
                let value = inline.map(str::to_owned).or_else(|| words.next().cloned());
                match value {
                    None => self.bad(
                        &format!("`--{name}` has no value"),
                        &format!("write `--{name}=FILE`"),
                    ),
                    value if name == "config" => self.config = value,
                    value => self.alpha_config = value,
                }
            }
            _ => return false,
        }
        true
    }

    fn bad(&mut self, fault: &str, remedy: &str) {
        let bad = Given::Bad(fault.to_owned(), remedy.to_owned());
        self.given.push(bad);
    }

    /// Puts them over what file and environment say.
    pub(super) fn apply(&self, settings: &mut Settings<'_>, object: &Arc<Object>) {
        let mut seen = BTreeSet::new();
        for given in &self.given {
            match given {
                Given::Option(known, Typed(value)) => {
                    let at = Origin {
                        object: Arc::clone(object),
                        line: 0,
                        field: format!("--{}", known.flag()),
                    };
                    let again = !seen.insert(known.name);
                    settings.set_flag(known, value, at, again);
                }
                Given::Bad(fault, remedy) => {
                    let at = Origin {
                        object: Arc::clone(object),
                        line: 0,
                        field: String::new(),
                    };
                    let code = codes::LOGIN_OPTION_UNKNOWN;
                    settings.close(&at, code, fault.clone(), remedy.clone());
                }
            }
        }
    }
}
