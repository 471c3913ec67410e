//! What a remedy says to type, typed: texts that may be the mended file. Whether one is, only
//! reading it again can tell.

use std::ops::Range;

use model::Finding;
use model::finding::{Code, codes};

/// Findings whose remedy can be typed without knowing more than the manifests say.
const MECHANICAL: [Code; 14] = [
    codes::UNKNOWN_FIELD,
    codes::AUTHORIZER_SETTING,
    codes::UNKNOWN_GATEWAY,
    codes::PORT_ABSENT,
    codes::UNKNOWN_SERVICE,
    codes::LASTING_SIGN_OUT,
    codes::AUTHORIZER_UNKNOWN,
    codes::PRINCIPAL_UNKNOWN,
    codes::POLICY_PORT,
    codes::METHOD_CASE,
    codes::SIGN_IN_BEHIND_ITSELF,
    codes::EXEMPTION_SHORT,
    codes::LOGIN_OPTION_UNKNOWN,
    codes::CERTIFICATE_UNUSUAL,
];

/// Texts that may be `text` mended, the likeliest first.
pub(super) fn candidates(finding: &Finding, text: &str) -> Vec<String> {
    let line = finding.place.as_ref().map_or(0, |place| place.line);
    let Some(at) = usize::try_from(line)
        .ok()
        .and_then(|line| line.checked_sub(1))
    else {
        return Vec::new();
    };
    if !MECHANICAL.contains(&finding.code) {
        return Vec::new();
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let document = document(&lines, at);
    let file = File {
        lines: &lines,
        document,
        at,
    };
    match finding.code {
        codes::LASTING_SIGN_OUT => file.redirect_code().into_iter().collect(),
        codes::SIGN_IN_BEHIND_ITSELF | codes::EXEMPTION_SHORT => {
            let paths = quoted(&finding.remedy).filter(|word| word.starts_with('/'));
            file.exempt(&paths.collect::<Vec<_>>())
                .into_iter()
                .collect()
        }
        _ => match (typed(&finding.remedy), removed(&finding.remedy)) {
            (Some(right), _) => {
                // The version of an object stands at its top, whatever line is spoken of.
                let anywhere = finding.code == codes::CERTIFICATE_UNUSUAL;
                file.replaced(&wrong(finding), right, anywhere)
            }
            (None, Some(name)) => file.without(name).into_iter().collect(),
            (None, None) => Vec::new(),
        },
    }
}

/// What stands between back-ticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What the remedy says to write: all of it, and nothing else.
fn typed(remedy: &str) -> Option<&str> {
    let rest = remedy
        .strip_prefix("did you mean ")
        .map(|rest| rest.trim_end_matches('?'))
        .or_else(|| remedy.strip_prefix("write "))
        .or_else(|| remedy.strip_prefix("rename it to "))
        .or_else(|| remedy.strip_prefix("this gateway is "))?;
    let rest = rest.strip_suffix(", its only port").unwrap_or(rest);
    let bare = rest.trim_matches('`');
    let is_one = !bare.is_empty() && !bare.contains(['`', ' ']);
    let is_said = bare.len() < rest.len() || bare.bytes().all(|byte| byte.is_ascii_digit());
    (is_one && is_said).then(|| bare.trim_matches('"'))
}

/// What the remedy says to remove.
fn removed(remedy: &str) -> Option<&str> {
    let rest = remedy.strip_prefix("remove `")?.strip_suffix('`')?;
    (!rest.contains(['`', ' '])).then_some(rest)
}

/// What may stand there wrongly: whatever the fault quotes or counts, and the field itself.
fn wrong(finding: &Finding) -> Vec<&str> {
    let numbers = finding
        .fault
        .split(|letter: char| !letter.is_ascii_digit())
        .filter(|number| !number.is_empty());
    let last = |text| str::rsplit(text, '.').next().unwrap_or_default();
    let mut all: Vec<&str> = quoted(&finding.fault)
        .flat_map(|text| [text, last(text)])
        .chain(numbers)
        .collect();
    // The name of a field is wrong itself, or only says where.
    if matches!(
        finding.code,
        codes::UNKNOWN_FIELD | codes::AUTHORIZER_SETTING
    ) {
        all.push(last(&finding.field));
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|text| !text.is_empty() && seen.insert(*text));
    all
}

/// The lines of the document around one.
fn document(lines: &[&str], at: usize) -> Range<usize> {
    let is_end = |line: &&str| line.trim_end() == "---";
    let before = lines.get(..at).unwrap_or_default();
    let start = before.iter().rposition(is_end).map_or(0, |end| end + 1);
    let after = lines.get(at..).unwrap_or_default();
    let end = after.iter().skip(1).position(is_end);
    start..end.map_or(lines.len(), |end| at + 1 + end)
}

struct File<'t> {
    lines: &'t [&'t str],
    document: Range<usize>,
    at: usize,
}

impl File<'_> {
    fn with(&self, number: usize, line: &str) -> String {
        let mut text: String = self.lines[..number].concat();
        text.push_str(line);
        text.extend(self.lines[number + 1..].iter().copied());
        text
    }

    /// `right` in place of something wrong of its kind: on the line itself, else further down in
    /// the document, and above only where `anywhere` says so. A number takes the place of a number.
    fn replaced(&self, wrong: &[&str], right: &str, anywhere: bool) -> Vec<String> {
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let below = self.at + 1..self.document.end;
        let above = self.document.start..self.at;
        let above = above.filter(|_| anywhere);
        let numbers = std::iter::once(self.at).chain(below).chain(above);
        let fits = |wrong: &&&str| **wrong != right && is_number(wrong) == is_number(right);
        let mut texts = Vec::new();
        for number in numbers {
            let Some(line) = self.lines.get(number) else {
                continue;
            };
            for wrong in wrong.iter().filter(fits) {
                for start in whole(line, wrong) {
                    let (before, after) = (&line[..start], &line[start + wrong.len()..]);
                    texts.push(self.with(number, &format!("{before}{right}{after}")));
                }
            }
        }
        texts
    }

    /// Without the line of a field that stands on it alone.
    fn without(&self, name: &str) -> Option<String> {
        let line = self.lines.get(self.at)?;
        let is_alone = line
            .trim_start()
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(':') && !rest.trim_end().ends_with(':'));
        is_alone.then(|| self.with(self.at, ""))
    }

    /// A redirect that browsers do not keep.
    fn redirect_code(&self) -> Option<String> {
        let numbers = self.at..self.document.end;
        let mut redirects = numbers.filter(|number| self.lines[*number].contains("redirect:"));
        let number = redirects.next()?;
        let line = self.lines[number];
        if line.contains("redirectCode") {
            return None;
        }
        let (_, rest) = line.split_once("redirect:")?;
        if let Some(end) = rest
            .find('}')
            .filter(|_| rest.trim_start().starts_with('{'))
        {
            let end = line.len() - rest.len() + end;
            let (before, after) = line.split_at(end);
            return Some(self.with(
                number,
                &format!("{}, redirectCode: 302{after}", before.trim_end()),
            ));
        }
        let next = self.lines.get(number + 1)?;
        let indent = &next[..next.len() - next.trim_start().len()];
        let deeper = indent.len() > line.len() - line.trim_start().len();
        let says_code = self.lines[number + 1..self.document.end]
            .iter()
            .take_while(|line| line.starts_with(indent))
            .any(|line| line.contains("redirectCode"));
        (deeper && !says_code && rest.trim().is_empty())
            .then(|| self.with(number, &format!("{line}{indent}redirectCode: 302\n")))
    }

    /// More paths that are exempt.
    fn exempt(&self, paths: &[&str]) -> Option<String> {
        let mut numbers = self.at..self.document.end;
        let number = numbers.find(|number| self.lines[*number].contains("notPaths:"))?;
        let line = self.lines[number];
        let (before, rest) = line.split_once("notPaths:")?;
        if let Some(end) = rest
            .find(']')
            .filter(|_| rest.trim_start().starts_with('['))
        {
            let (list, after) = rest.split_at(end);
            let more: String = paths.iter().map(|path| format!(", \"{path}\"")).collect();
            return Some(self.with(number, &format!("{before}notPaths:{list}{more}{after}")));
        }
        let next = self.lines.get(number + 1)?;
        let indent = &next[..next.len() - next.trim_start().len()];
        let more: String = paths
            .iter()
            .map(|path| format!("{indent}- \"{path}\"\n"))
            .collect();
        (rest.trim().is_empty() && next.trim_start().starts_with("- "))
            .then(|| self.with(number, &format!("{line}{more}")))
    }
}

/// Where `word` stands in `line` as a whole.
fn whole(line: &str, word: &str) -> Vec<usize> {
    let is_part = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(byte))
    };
    let bytes = line.as_bytes();
    line.match_indices(word)
        .map(|(start, _)| start)
        .filter(|start| {
            let before = start.checked_sub(1).and_then(|at| bytes.get(at));
            !is_part(before) && !is_part(bytes.get(start + word.len()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_remedy_that_is_all_to_be_typed_is_typed() {
        for (remedy, right) in [
            ("did you mean `kubeflow/door`?", Some("kubeflow/door")),
            ("write 80", Some("80")),
            ("write 80, its only port", Some("80")),
            ("this gateway is `a/ns/b/sa/c`", Some("a/ns/b/sa/c")),
            ("write `\"8080\"`", Some("8080")),
            ("rename it to `x`", Some("x")),
            ("write `a` or `b`", None),
            ("write a domain such as `models.example.com`", None),
            ("write one", None),
        ] {
            assert_eq!(typed(remedy), right, "{remedy}");
        }
        assert_eq!(removed("remove `isCA`"), Some("isCA"));
        assert_eq!(removed("remove `a` or `b`"), None);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(whole("ports: [\"80\", 8080]", "80"), [9]);
        assert_eq!(whole("host: a/b", "a"), Vec::<usize>::new());
    }

    #[test]
    fn a_document_ends_where_the_next_begins() {
        let lines = ["a\n", "---\n", "b\n", "c\n", "---\n", "d\n"];
        assert_eq!(document(&lines, 2), 2..4);
        assert_eq!(document(&lines, 0), 0..1);
        assert_eq!(document(&lines, 5), 5..6);
    }
}
