//! `doorward dex`: flags, environment and file of Dex.

mod cors;
mod metrics;
mod serve;
mod tls;

use std::fmt;
use std::fs;
use std::io::Write;
use std::process::ExitCode;

use model::dex::{Flags, Standing, Start, stand_in};
use model::names::Secret;
use model::{Finding, Severity};

use super::{environment, variable};
use crate::up::{fail, start_log_as};

/// The version that is stood in for.
const VERSION: &str = "v2.45.1";

/// Any fault: as the original, which has one code only.
const FAILED: u8 = 2;

const USAGE: &str = "usage: doorward dex serve [FLAG…] FILE\n       doorward dex version\n\n\
    FILE is the configuration of Dex, `-` for standard input.\n\n  \
    --web-http-addr ADDR   in place of `web.http`\n  \
    --web-https-addr ADDR  in place of `web.https`\n  \
    --telemetry-addr ADDR  in place of `telemetry.http`\n  \
    --grpc-addr ADDR       taken, without effect\n";

/// What the words after `doorward dex` ask for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Serve { file: String, flags: Flags },
    Version,
    Help,
}

/// Why the words ask for nothing.
#[derive(Debug, PartialEq, Eq)]
enum WordsFault {
    UnknownCommand(String),
    UnknownFlag(String),
    NoValue(String),
    NoFile,
    Surplus(String),
}

impl fmt::Display for WordsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand(word) => write!(f, "`{word}` is no command of Dex here")?,
            Self::UnknownFlag(word) => write!(f, "`{word}` is no flag of `dex serve`")?,
            Self::NoValue(word) => write!(f, "`{word}` needs a value")?,
            Self::NoFile => f.write_str("no configuration file is named")?,
            Self::Surplus(word) => write!(f, "`{word}` is one file too many")?,
        }
        f.write_str("\nhelp: doorward dex serve FILE")
    }
}

/// Runs `doorward dex` with the words after it.
pub(crate) fn run(words: &[String], out: &mut dyn Write) -> ExitCode {
    let (file, flags) = match asked(words) {
        Ok(Asked::Serve { file, flags }) => (file, flags),
        Ok(Asked::Version) => {
            let ours = env!("CARGO_PKG_VERSION");
            return say(out, &format!("Dex Version: {VERSION} (doorward {ours})\n"));
        }
        Ok(Asked::Help) => return say(out, USAGE),
        Err(fault) => return fail(FAILED, &fault.to_string()),
    };
    let standing = match read(&file, flags) {
        Ok(standing) => standing,
        Err(words) => return fail(FAILED, &words),
    };
    let filter = variable("DOORWARD_LOG").unwrap_or_else(|| standing.log_level.to_owned());
    if let Err(words) = start_log_as(&filter, Some(standing.log_json)) {
        return fail(FAILED, &words);
    }
    for finding in &standing.findings {
        let place = finding.place.as_ref().map_or(0, |place| place.line);
        let (code, help, fault) = (&finding.code, &finding.remedy, &finding.fault);
        match finding.severity {
            Severity::Error => tracing::error!(%code, line = place, help, "{fault}"),
            Severity::Warning => tracing::warn!(%code, line = place, help, "{fault}"),
            Severity::Note => tracing::info!(%code, line = place, help, "{fault}"),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let served = match runtime {
        Ok(runtime) => runtime.block_on(serve::serve(standing)),
        Err(error) => return fail(FAILED, &format!("no runtime: {error}")),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => fail(FAILED, &fault.to_string()),
    }
}

fn say(out: &mut dyn Write, words: &str) -> ExitCode {
    match out.write_all(words.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader went away, as `head` does.
        Err(_) => ExitCode::FAILURE,
    }
}

fn asked(words: &[String]) -> Result<Asked, WordsFault> {
    let is_help = |word: &String| matches!(&**word, "-h" | "--help" | "help");
    let Some((command, rest)) = words.split_first() else {
        return Ok(Asked::Help);
    };
    match &**command {
        "version" => return Ok(Asked::Version),
        "serve" => {}
        _ if is_help(command) => return Ok(Asked::Help),
        other => return Err(WordsFault::UnknownCommand(other.to_owned())),
    }
    if rest.iter().any(is_help) {
        return Ok(Asked::Help);
    }
    let mut flags = Flags::default();
    let mut file = None;
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        let Some(flag) = word.strip_prefix("--") else {
            if file.replace(word.clone()).is_some() {
                return Err(WordsFault::Surplus(word.clone()));
            }
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let target = match name {
            "web-http-addr" => &mut flags.http,
            "web-https-addr" => &mut flags.https,
            "telemetry-addr" => &mut flags.telemetry,
            "grpc-addr" => &mut flags.grpc,
            _ => return Err(WordsFault::UnknownFlag(word.clone())),
        };
        let value = value.or_else(|| rest.next().cloned());
        *target = Some(value.ok_or_else(|| WordsFault::NoValue(word.clone()))?);
    }
    let file = file.ok_or(WordsFault::NoFile)?;
    Ok(Asked::Serve { file, flags })
}

/// Reads everything; the error is everything that is wrong.
fn read(file: &str, flags: Flags) -> Result<Standing, String> {
    let text = match file {
        "-" => std::io::read_to_string(std::io::stdin()),
        path => fs::read_to_string(path),
    };
    let text = text.map_err(|error| {
        format!("`{file}` cannot be read: {error}\nhelp: name the configuration of Dex")
    })?;
    let start = Start {
        name: file,
        text: &text,
        environment: &environment(),
        flags,
        read: &|path| fs::read(path).ok().map(Secret::new),
    };
    stand_in(&start).map_err(|findings| invalid(&findings))
}

/// Everything that is wrong.
fn invalid(findings: &[Finding]) -> String {
    let mut words = "invalid configuration:".to_owned();
    for finding in findings {
        if finding.severity != Severity::Error {
            continue;
        }
        words.push_str("\n  ");
        if let Some(place) = finding.place.as_ref().filter(|place| place.line > 0) {
            words.push_str(&format!("{}:{}: ", place.file, place.line));
        }
        words.push_str(&format!("{}\n  help: {}", finding.fault, finding.remedy));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Asked, WordsFault> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        asked(&words)
    }

    #[test]
    fn words_are_read_as_dex_reads_them() {
        let file = |name: &str, flags| {
            let file = name.to_owned();
            Ok(Asked::Serve { file, flags })
        };
        assert_eq!(of("serve /a.yaml"), file("/a.yaml", Flags::default()));
        let flags = Flags {
            http: Some(":1".to_owned()),
            telemetry: Some(":2".to_owned()),
            ..Flags::default()
        };
        let line = "serve --web-http-addr :1 /a.yaml --telemetry-addr=:2";
        assert_eq!(of(line), file("/a.yaml", flags));
        assert_eq!(of("version"), Ok(Asked::Version));
        assert_eq!(of(""), Ok(Asked::Help));
        assert_eq!(of("serve -h"), Ok(Asked::Help));
        assert_eq!(of("serve"), Err(WordsFault::NoFile));
        assert_eq!(of("serve a b"), Err(WordsFault::Surplus("b".into())));
        assert_eq!(
            of("server"),
            Err(WordsFault::UnknownCommand("server".into()))
        );
        assert_eq!(
            of("serve --x a"),
            Err(WordsFault::UnknownFlag("--x".into()))
        );
        let fault = WordsFault::NoValue("--grpc-addr".into());
        assert_eq!(of("serve a --grpc-addr"), Err(fault));
    }
}
