//! Text patterns of one field, of which those without stars are found by their text.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::text::TextPattern;

/// Below this, looking at each one is as fast.
const WORTH_IT: usize = 16;

/// The text patterns of one field: a list of people may have thousands.
#[derive(Clone, Debug, Default)]
pub struct TextList {
    patterns: Vec<TextPattern>,
    /// Made when it is first asked for.
    index: OnceLock<Option<Arc<Index>>>,
}

/// Numbers of patterns.
#[derive(Debug)]
struct Index {
    exact: HashMap<Arc<str>, usize>,
    /// Those with stars.
    others: Vec<usize>,
}

impl TextList {
    /// The patterns without those that are another text than `text`, letter by letter.
    pub fn near(&self, text: &[u8]) -> impl Iterator<Item = &TextPattern> {
        let index = self.index.get_or_init(|| Index::of(self).map(Arc::new));
        let (all, numbers, exact) = match index.as_deref() {
            None => (&self.patterns[..], &[][..], None),
            Some(Index { exact, others }) => {
                // Text that is none is no text that a manifest can say.
                let text = std::str::from_utf8(text).ok();
                let exact = text.and_then(|text| exact.get(text));
                (&[][..], &others[..], exact)
            }
        };
        let numbers = exact.into_iter().chain(numbers);
        all.iter()
            .chain(numbers.map(|number| &self.patterns[*number]))
    }
}

impl Index {
    fn of(patterns: &[TextPattern]) -> Option<Self> {
        if patterns.len() < WORTH_IT {
            return None;
        }
        let (mut exact, mut others) = (HashMap::new(), Vec::new());
        for (number, pattern) in patterns.iter().enumerate() {
            match pattern {
                TextPattern::Exact(text) => {
                    exact.insert(Arc::clone(text), number);
                }
                _ => others.push(number),
            }
        }
        Some(Self { exact, others })
    }
}

/// What was made of the patterns says nothing of them.
impl PartialEq for TextList {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Deref for TextList {
    type Target = [TextPattern];

    fn deref(&self) -> &[TextPattern] {
        &self.patterns
    }
}

impl From<Vec<TextPattern>> for TextList {
    fn from(patterns: Vec<TextPattern>) -> Self {
        Self {
            patterns,
            index: OnceLock::new(),
        }
    }
}

impl FromIterator<TextPattern> for TextList {
    fn from_iter<T: IntoIterator<Item = TextPattern>>(patterns: T) -> Self {
        Vec::from_iter(patterns).into()
    }
}

impl<'a> IntoIterator for &'a TextList {
    type Item = &'a TextPattern;
    type IntoIter = std::slice::Iter<'a, TextPattern>;

    fn into_iter(self) -> Self::IntoIter {
        self.patterns.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_asked_for_the_text_and_for_stars() {
        let people = (0..WORTH_IT).map(|number| TextPattern::Exact(format!("p{number}").into()));
        let stars = [TextPattern::Prefix("p1".into()), TextPattern::Present];
        let list: TextList = people.chain(stars.clone()).collect();
        let near = |text: &[u8]| list.near(text).cloned().collect::<Vec<_>>();
        let [prefix, present] = stars;
        let exact = TextPattern::Exact("p1".into());
        assert_eq!(near(b"p1"), [exact, prefix.clone(), present.clone()]);
        assert_eq!(near(b"P1"), [prefix.clone(), present.clone()]);
        assert_eq!(near(b"\xff"), [prefix, present]);
    }

    #[test]
    fn a_short_list_is_asked_whole() {
        let list: TextList = [TextPattern::Exact("a".into())].into_iter().collect();
        assert_eq!(list.near(b"b").count(), 1);
    }
}
