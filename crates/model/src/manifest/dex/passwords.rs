//! `staticPasswords`.

use std::sync::Arc;

use data_encoding::BASE64;

use super::section::Section;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::environment::Environment;
use crate::manifest::published_samples::is_published;
use crate::names::Secret;
use crate::objects::{Fault, Field};
use crate::snapshot::ProviderPassword;

/// Reads the users; one that is wrong is a finding and is left out.
pub(super) fn passwords(
    top: &Section<'_>,
    environment: &Environment,
    findings: &mut Vec<Finding>,
) -> Result<Vec<ProviderPassword>, Fault> {
    let mut passwords: Vec<ProviderPassword> = Vec::new();
    for item in top.items("staticPasswords")? {
        let read = password(item.clone(), environment, findings).and_then(|password| {
            let twin = |other: &ProviderPassword| {
                other.email.to_lowercase() == password.email.to_lowercase()
            };
            if passwords.iter().any(twin) {
                let fault = format!("the user `{}` stands here twice", password.email);
                return Err(item.fault(fault, "remove one of them"));
            }
            Ok(password)
        });
        match read {
            Ok(password) => {
                let twin = passwords
                    .iter()
                    .find(|other| other.user_id == password.user_id);
                if let Some(twin) = twin {
                    findings.push(item.finding(
                        codes::PROVIDER_USER_ID,
                        Severity::Warning,
                        format!(
                            "`{}` and `{}` have the same `userID`",
                            twin.email, password.email
                        ),
                        "applications take them for one person; give each its own",
                    ));
                }
                passwords.push(password);
            }
            Err(mut fault) => {
                if fault.code == codes::FIELD {
                    fault.code = codes::PROVIDER_PASSWORD;
                }
                findings.push(*fault);
            }
        }
    }
    Ok(passwords)
}

fn password(
    item: Field<'_>,
    environment: &Environment,
    findings: &mut Vec<Finding>,
) -> Result<ProviderPassword, Fault> {
    let section = Section::of(item)?;
    let missing = || section.field.fault("a user has no e-mail", "add `email`");
    let email = section.text("email")?.ok_or_else(missing)?;
    let hash = hash(&section, &email, environment)?;
    if is_published(hash.expose()) {
        findings.push(section.field.finding(
            codes::PUBLISHED_SECRET,
            Severity::Warning,
            format!("the password of `{email}` is a published sample"),
            "hash another password with bcrypt",
        ));
    }
    let user_id = section.text("userID")?.unwrap_or_else(|| {
        findings.push(section.field.finding(
            codes::PROVIDER_USER_ID,
            Severity::Warning,
            format!("`{email}` has no `userID`; the e-mail in lower case stands in for it"),
            "add a `userID` that never changes",
        ));
        email.to_lowercase().into()
    });
    let username = section
        .text("username")?
        .unwrap_or_else(|| Arc::clone(&email));
    Ok(ProviderPassword {
        hash,
        name: section
            .text("name")?
            .unwrap_or_else(|| Arc::clone(&username)),
        username,
        preferred_username: section.text("preferredUsername")?.unwrap_or_default(),
        email_verified: section.flag("emailVerified")?.unwrap_or(true),
        user_id,
        groups: section.texts("groups")?,
        email,
    })
}

fn hash(section: &Section<'_>, email: &str, environment: &Environment) -> Result<Secret, Fault> {
    let remedy = "write the output of `htpasswd -bnBC 12 '' PASSWORD` without its colon";
    let (field, text) = match (section.text("hash")?, section.text("hashFromEnv")?) {
        (Some(text), _) => (section.child("hash"), Secret::new(text.as_bytes())),
        (None, Some(name)) => {
            let field = section.child("hashFromEnv");
            let Some(found) = environment
                .variable(&name)
                .filter(|found| !found.value.is_empty())
            else {
                let at = field.as_ref().unwrap_or(&section.field);
                let fault = format!("`hashFromEnv` names the variable `{name}`, which is not set");
                return Err(at.fault(fault, "set it through `env` or `envFrom` of the container"));
            };
            (field, found.value.clone())
        }
        (None, None) => {
            let fault = format!("the user `{email}` has no password hash");
            return Err(section.field.fault(fault, "add `hash` or `hashFromEnv`"));
        }
    };
    let field = field.as_ref().unwrap_or(&section.field);
    let text = text.expose_str().unwrap_or_default().trim();
    if text.starts_with("${") {
        let fault = format!("the placeholder in the hash of `{email}` was never filled in");
        let mut fault = field.fault(fault, remedy);
        fault.code = codes::PLACEHOLDER;
        return Err(fault);
    }
    let decoded = match text.starts_with('$') {
        true => None,
        false => BASE64.decode(text.as_bytes()).ok(),
    };
    let bytes = decoded.as_deref().unwrap_or(text.as_bytes());
    match cost(bytes) {
        None => Err(field.fault(format!("the hash of `{email}` is not bcrypt"), remedy)),
        Some(10..=16) => Ok(Secret::new(bytes)),
        Some(cost) => {
            let fault = format!("the bcrypt cost of `{email}` is {cost}, outside 10 to 16");
            Err(field.fault(fault, remedy))
        }
    }
}

/// The cost of a bcrypt string, `$2y$12$` and 53 characters; `None` when it is none.
fn cost(hash: &[u8]) -> Option<u8> {
    let (head, tail) = hash.split_at_checked(7)?;
    let known = [b"$2a$", b"$2b$", b"$2y$"]
        .iter()
        .any(|prefix| head.starts_with(*prefix));
    let letters = tail
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'));
    let digits = std::str::from_utf8(&head[4..6]).ok()?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    (known && head[6] == b'$' && tail.len() == 53 && letters && plain)
        .then(|| digits.parse().ok())?
}
