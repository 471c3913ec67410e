//! The design's rules that the compiler does not check: which crate may know which, and who may
//! assert that something was verified.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Says in a table which crate may depend on which. Test dependencies are free.
const PAGE: &str = include_str!("../../../ARCHITECTURE.md");

/// The rows of that table: a crate, and what it may depend on.
fn may_depend_on() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let head = "| crate | what it does | may depend on | must not know |";
    let (_, table) = PAGE.split_once(head).expect("the table of crates");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut found: BTreeMap<_, BTreeSet<_>> = rows
        .map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [name, _, allowed, _] = cells[..] else {
                panic!("{row}");
            };
            let allowed = allowed.split(", ").filter(|name| *name != "–");
            (name.trim_matches('`'), allowed.collect())
        })
        .collect();
    let every: BTreeSet<_> = found.keys().copied().collect();
    for (name, allowed) in &mut found {
        if allowed.remove("all") {
            allowed.extend(every.iter().filter(|other| *other != name));
            // Only for tests; nothing may depend on it outside them.
            allowed.remove("testkit");
        }
        assert!(allowed.is_subset(&every), "`{name}`: {allowed:?}");
    }
    found
}

/// Who may call a constructor that asserts, outside tests: constructor, file, how often. Each call
/// stands right behind the check that it speaks of.
const ASSERTIONS: [(&str, &str, usize); 6] = [
    // Somebody whom flags describe; such a person meets `decide` and nothing else.
    ("assert_signed_in", "doorward/src/explain/session.rs", 1),
    ("assert_verified", "doorward/src/explain/session.rs", 2),
    // Signed by a key of the issuer.
    ("assert_verified", "login/src/keys.rs", 1),
    // In the session store, whose token was checked when the session began.
    ("assert_signed_in", "login/src/sessions/person.rs", 1),
    ("assert_verified", "login/src/sessions/person.rs", 1),
    // Whom the API server (TokenReview) or the issuer (userinfo) names for a token shown to them.
    ("assert_signed_in", "login/src/sessions/vouching.rs", 1),
];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn directories() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(crates())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn ours(name: &str) -> Option<&str> {
    let name = name.strip_prefix("doorward-").unwrap_or(name);
    may_depend_on().contains_key(name).then_some(name)
}

/// Dependencies of a manifest on crates of ours, in every section but the one for tests.
fn edges(manifest: &toml::Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(manifest, &mut found);
    found
}

fn collect(table: &toml::Table, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        let Some(section) = value.as_table() else {
            continue;
        };
        match key.as_str() {
            "dependencies" | "build-dependencies" => {
                found.extend(section.iter().filter_map(|(name, wanted)| {
                    // A dependency may be renamed.
                    let renamed = wanted.get("package").and_then(toml::Value::as_str);
                    ours(renamed.unwrap_or(name)).map(str::to_owned)
                }));
            }
            "dev-dependencies" => {}
            // `[target.'cfg(…)'.dependencies]`
            _ => collect(section, found),
        }
    }
}

#[test]
fn the_table_has_every_crate_and_no_other() {
    let listed: Vec<_> = may_depend_on().into_keys().collect();
    assert_eq!(directories(), listed);
}

#[test]
fn no_crate_knows_what_the_design_does_not_let_it_know() {
    let table = may_depend_on();
    for name in directories() {
        let text = fs::read_to_string(crates().join(&name).join("Cargo.toml")).unwrap();
        for edge in edges(&text.parse().unwrap()) {
            let allowed = table[name.as_str()].contains(edge.as_str());
            assert!(allowed, "`{name}` may not depend on `{edge}`");
        }
    }
}

#[test]
fn the_reader_of_manifests_sees_every_form_of_a_dependency() {
    let manifest = "
        [dependencies]
        model.workspace = true
        other = { path = '../x', package = 'doorward-policy' }
        serde = '1'
        [build-dependencies]
        oidc = { workspace = true }
        [target.'cfg(unix)'.dependencies]
        login = { workspace = true }
        [dev-dependencies]
        testkit.workspace = true
    ";
    let found: Vec<_> = edges(&manifest.parse().unwrap()).into_iter().collect();
    assert_eq!(found, ["login", "model", "oidc", "policy"]);
}

/// What a file says about assertions.
#[derive(Debug, Default, PartialEq)]
struct Spoken {
    /// `assert_…` names that are used, one for each use. Macros and definitions are none.
    assertions: Vec<String>,
    /// Modules in files of their own that only tests have.
    test_modules: Vec<String>,
}

fn spoken(text: &str) -> Spoken {
    let mut spoken = Spoken::default();
    let mut lines = text.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            let next = lines.peek().copied().unwrap_or_default();
            let module = next
                .strip_prefix("pub(crate) ")
                .unwrap_or(next)
                .strip_prefix("mod ");
            match module.and_then(|module| module.strip_suffix(';')) {
                Some(module) => spoken.test_modules.push(module.to_owned()),
                // Tests in the file itself stand at its foot.
                None if module.is_some() => break,
                None => {}
            }
        }
        let code = line.split("//").next().unwrap_or_default();
        for (at, _) in code.match_indices("assert_") {
            let before = &code[..at];
            let name: String = code[at..]
                .chars()
                .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
                .collect();
            let is_part =
                before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
            let is_macro = code[at + name.len()..].starts_with('!');
            let is_definition = before.ends_with("fn ");
            if !is_part && !is_macro && !is_definition {
                spoken.assertions.push(name);
            }
        }
    }
    spoken
}

/// Counts the assertions below `directory`, by name and file.
fn count(directory: &Path, counts: &mut BTreeMap<(String, String), usize>) {
    let mut files = Vec::new();
    sources(directory, &mut files);
    let mut for_tests = Vec::new();
    let mut found = Vec::new();
    for file in files {
        let Spoken {
            assertions,
            test_modules,
        } = spoken(&fs::read_to_string(&file).unwrap());
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let parent = file.parent().unwrap_or(directory);
        let home = match &*stem {
            "mod" | "lib" | "main" => parent.to_owned(),
            stem => parent.join(stem),
        };
        for module in test_modules {
            for_tests.push(home.join(format!("{module}.rs")));
            for_tests.push(home.join(module));
        }
        found.push((file, assertions));
    }
    for (file, assertions) in found {
        if for_tests.iter().any(|path| file.starts_with(path)) {
            continue;
        }
        let name = file.strip_prefix(crates()).unwrap().display().to_string();
        for assertion in assertions {
            *counts.entry((assertion, name.clone())).or_default() += 1;
        }
    }
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn only_code_that_checked_asserts() {
    let mut counts = BTreeMap::new();
    for name in directories() {
        // The test kit is for tests only: the table above keeps it out of everything else.
        if name != "testkit" {
            count(&crates().join(name).join("src"), &mut counts);
        }
    }
    let listed: BTreeMap<_, _> = ASSERTIONS
        .into_iter()
        .map(|(name, file, count)| ((name.to_owned(), file.to_owned()), count))
        .collect();
    assert_eq!(counts, listed, "found, and the list in this file");
}

#[test]
fn the_reader_of_sources_sees_calls_and_not_tests_or_macros() {
    let text = "
        use crate::x; // Token::assert_commented
        #[cfg(test)]
        mod fixture;
        fn assert_defined() {}
        let token = Token::assert_verified(text);
        let tokens = texts.map(Token::assert_verified);
        assert_eq!(1, 1);
        debug_assert_ne!(1, 2);
        #[cfg(test)]
        mod tests {
            fn x() { Token::assert_verified(text); }
        }
    ";
    let expected = Spoken {
        assertions: vec!["assert_verified".to_owned(); 2],
        test_modules: vec!["fixture".to_owned()],
    };
    assert_eq!(spoken(text), expected);
}
