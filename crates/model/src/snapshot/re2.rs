//! RE2's syntax in the spelling of the engine here.
//!
//! Both are close, but not the same: to RE2 `\w`, `\d`, `\s` and `\b` know ASCII only, `\Q…\E` is
//! literal text, a `{` that begins no repetition stands for itself, and a class holds characters
//! only: no class within a class, no `&&`, no `--`. A route that was written for Istio has to take
//! the same paths here.

use std::iter::Peekable;
use std::str::Chars;

/// `source` in the engine's spelling.
///
/// # Errors
/// When a group is closed that was never opened: with an anchor around it, it would be one.
pub(super) fn translate(source: &str) -> Result<String, String> {
    let mut translation = Translation {
        rest: source.chars().peekable(),
        written: String::with_capacity(source.len() + 8),
    };
    let mut groups = 0_usize;
    while let Some(letter) = translation.rest.next() {
        match letter {
            '\\' => translation.escape(),
            '[' => translation.class(),
            '{' if !is_repetition(translation.rest.clone()) => translation.literal('{'),
            '(' => {
                groups += 1;
                translation.written.push('(');
            }
            ')' => {
                groups = groups
                    .checked_sub(1)
                    .ok_or("a group is closed that is not open")?;
                translation.written.push(')');
            }
            other => translation.written.push(other),
        }
    }
    Ok(translation.written)
}

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    written: String,
}

impl Translation<'_> {
    fn literal(&mut self, letter: char) {
        if letter.is_ascii_punctuation() {
            self.written.push('\\');
        }
        self.written.push(letter);
    }

    /// What follows a backslash outside a class.
    fn escape(&mut self) {
        match self.rest.peek() {
            Some('Q') => {
                self.rest.next();
                while let Some(letter) = self.rest.next() {
                    if letter == '\\' && self.rest.peek() == Some(&'E') {
                        self.rest.next();
                        break;
                    }
                    self.literal(letter);
                }
            }
            Some(&edge @ ('b' | 'B')) => {
                self.rest.next();
                self.written.push_str(r"(?-u:\");
                self.written.push(edge);
                self.written.push(')');
            }
            _ => self.escaped_character(),
        }
    }

    /// An escape that stands for a character, or for some.
    fn escaped_character(&mut self) {
        let Some(letter) = self.rest.next() else {
            self.written.push('\\');
            return;
        };
        if let Some(class) = ascii_class(letter) {
            self.written.push_str(class);
            return;
        }
        self.written.push('\\');
        self.written.push(letter);
        // `\x{…}` and `\p{…}`: their braces are no repetition.
        if matches!(letter, 'x' | 'p' | 'P') && self.rest.peek() == Some(&'{') {
            for inner in self.rest.by_ref() {
                self.written.push(inner);
                if inner == '}' {
                    break;
                }
            }
        }
    }

    /// A class, its `[` already read.
    fn class(&mut self) {
        self.written.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.written.push('^');
        }
        let mut first = true;
        while let Some(letter) = self.rest.next() {
            if letter == ']' && !first {
                self.written.push(']');
                return;
            }
            first = false;
            if letter == '[' && self.rest.peek() == Some(&':') {
                self.named_class();
                continue;
            }
            self.member(letter);
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-') && !matches!(ahead.next(), None | Some(']')) {
                self.rest.next();
                self.written.push('-');
                if let Some(end) = self.rest.next() {
                    self.member(end);
                }
            }
        }
    }

    /// `[:alpha:]`, its `[` already read.
    fn named_class(&mut self) {
        self.written.push('[');
        let mut last = '[';
        for letter in self.rest.by_ref() {
            self.written.push(letter);
            if last == ':' && letter == ']' {
                return;
            }
            last = letter;
        }
    }

    fn member(&mut self, letter: char) {
        match letter {
            '\\' => self.escaped_character(),
            '[' | ']' | '-' | '&' | '~' | '^' => self.literal(letter),
            other => self.written.push(other),
        }
    }
}

fn ascii_class(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\f\r ]",
        'S' => r"[^\t\n\f\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

/// Whether what follows a `{` makes it a repetition: `3}`, `3,}`, `3,5}`.
fn is_repetition(mut rest: Peekable<Chars<'_>>) -> bool {
    let digits = |rest: &mut Peekable<Chars<'_>>| {
        let mut some = false;
        while rest.next_if(char::is_ascii_digit).is_some() {
            some = true;
        }
        some
    };
    if !digits(&mut rest) {
        return false;
    }
    if rest.next_if_eq(&',').is_some() {
        digits(&mut rest);
    }
    rest.next() == Some('}')
}

#[cfg(test)]
mod tests {
    use super::super::Regex;
    use super::*;

    #[test]
    fn what_both_write_alike_stays() {
        for same in [
            "/a.*",
            r"^/v[12]/(foo|bar)/[^/]+\.x$",
            "a{2}b{2,}c{2,3}",
            r"\x{41}\pL\p{Greek}",
            "[[:alpha:]_]+",
            "(?i)abc",
            "(?P<name>a)",
        ] {
            assert_eq!(translate(same).as_deref(), Ok(same));
        }
    }

    #[test]
    fn the_engine_takes_what_re2_takes() {
        for (pattern, taken, not_taken) in [
            (r"\w+", "aZ_9", "é"),
            (r"[\w-]+", "a-b", "é"),
            (r"\d", "1", "١"),
            (r"\D", "x", "1"),
            (r"\S+", "ab", "a b"),
            (r"a\b.*", "aé", "ab"),
            (r"\Qa.b\E", "a.b", "axb"),
            (r"\Qa(", "a(", "a"),
            ("[a[]x", "[x", "bx"),
            ("[]a]x", "]x", "bx"),
            ("[^]]x", "ax", "]x"),
            ("[a&&b]+", "a&b", "c"),
            ("[--/]", ".", "a"),
            ("[+--]", ",", "a"),
            ("[a~~b]+", "a~b", "c"),
            ("a{,2}", "a{,2}", "aa"),
            ("a{", "a{", "a"),
            ("{x}", "{x}", "x"),
            ("a.b", "aéb", "ab"),
        ] {
            let regex = Regex::whole(pattern).unwrap();
            assert!(regex.is_match(taken), "{pattern} {taken}");
            assert!(!regex.is_match(not_taken), "{pattern} {not_taken}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_none_with_anchors_around_it_either() {
        for bad in [
            "a)|(b", ")(", "(a", "[a", r"a\", "a**b)", r"\Q)\E)", "[z-a]",
        ] {
            assert!(Regex::whole(bad).is_err(), "{bad}");
        }
    }
}
