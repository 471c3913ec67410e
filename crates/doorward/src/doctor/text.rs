//! Findings for people: place first, the line itself where it can be shown, the remedy.

use std::collections::HashMap;
use std::io::{self, Write};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use model::{Finding, Severity};

use super::{Report, fix};

/// Kinds whose lines hold no secret. The rest is not shown: a line of a Secret, of a ConfigMap with
/// a program's configuration in it, or of a document that cannot be read, may be one.
const SHOWN: [&str; 15] = [
    "AuthorizationPolicy",
    "Certificate",
    "ClusterIssuer",
    "ClusterRbacConfig",
    "DestinationRule",
    "Gateway",
    "Issuer",
    "Namespace",
    "Profile",
    "RequestAuthentication",
    "RoleBinding",
    "Service",
    "ServiceRole",
    "ServiceRoleBinding",
    "VirtualService",
];

/// Words beside which a secret may stand whatever the kind.
const HUSHED: [&str; 5] = ["authorization:", "cookie", "password", "secret:", "token:"];

/// Writes with colours; the stream that the command line hands in leaves them out where nobody
/// sees them.
pub(super) fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let texts = report
        .files
        .iter()
        .map(|file| (&*file.name, file.text.as_str()))
        .collect();
    let renderer = Renderer::styled();
    for fix::Fixed { code, place, fault } in &report.fixed {
        writeln!(out, "{place}: fixed {code}: {fault}")?;
    }
    for finding in &report.findings {
        writeln!(out, "{}\n", rendered(finding, &texts, &renderer))?;
    }
    writeln!(out, "{}", summary(report))
}

pub(super) fn rendered(
    finding: &Finding,
    texts: &HashMap<&str, &str>,
    renderer: &Renderer,
) -> String {
    let level = match finding.severity {
        Severity::Note => Level::NOTE,
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let severity = finding.severity;
    let name = finding.place.as_ref().map_or_else(
        || severity.to_string(),
        |place| format!("{place}: {severity}"),
    );
    let title = level
        .with_name(Some(name))
        .primary_title(finding.fault.as_str())
        .id(finding.code.to_string());
    let line = line_of(finding, texts);
    let group = match line {
        Some((number, line)) => {
            let indent = line.len() - line.trim_start().len();
            let span = indent..line.trim_end().len();
            let label = (!finding.field.is_empty()).then_some(finding.field.as_str());
            let annotation = AnnotationKind::Primary.span(span).label(label);
            title.element(
                Snippet::source(line)
                    .line_start(number)
                    .annotation(annotation),
            )
        }
        None => Group::with_title(title),
    };
    // The field stands at the line where that is shown.
    let field = line.map_or(finding.field.as_str(), |_| "");
    let within = match (&finding.object, field) {
        (Some(object), "") => Some(format!("`{object}`")),
        (Some(object), field) => Some(format!("`{object}` {field}")),
        (None, "") => None,
        (None, field) => Some(field.to_owned()),
    };
    let text = match (line, within) {
        (_, None) => renderer.render(&[group]),
        (Some(_), Some(within)) => {
            let within = Level::NOTE.with_name(Some("in")).message(within);
            renderer.render(&[group.element(within)])
        }
        // Without a line there is no frame that it could hang from.
        (None, Some(within)) => format!("{}\n  in: {within}", renderer.render(&[group])),
    };
    if finding.remedy.is_empty() {
        return text;
    }
    let help = Level::HELP.secondary_title(finding.remedy.as_str());
    format!("{text}\n{}", renderer.render(&[Group::with_title(help)]))
}

/// The line that a finding is about, when it may be shown.
fn line_of<'t>(finding: &Finding, texts: &HashMap<&str, &'t str>) -> Option<(usize, &'t str)> {
    let place = finding.place.as_ref()?;
    let object = finding.object.as_ref()?;
    if !SHOWN.contains(&&*object.kind) {
        return None;
    }
    let number = usize::try_from(place.line).ok()?;
    let line = texts
        .get(&*place.file)?
        .lines()
        .nth(number.checked_sub(1)?)?;
    let lower = line.to_ascii_lowercase();
    let hushed = HUSHED.iter().any(|word| lower.contains(word));
    (!hushed && !line.trim().is_empty()).then_some((number, line))
}

fn summary(report: &Report<'_>) -> String {
    let counted = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{count} {word}s")),
    };
    let severities = [Severity::Error, Severity::Warning, Severity::Note];
    let counts: Vec<_> = severities
        .into_iter()
        .filter_map(|severity| counted(report.count(severity), &severity.to_string()))
        .collect();
    let files = match report.site {
        Some(site) => format!("at {site}"),
        None => format!(
            "in {}",
            counted(report.files.len(), "file").unwrap_or("no file".into())
        ),
    };
    let counts = if counts.is_empty() {
        "nothing wrong".into()
    } else {
        counts.join(", ")
    };
    format!("{counts} {files}")
}
