//! The only file that knows the YAML library: one document's text to a [`Node`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, Tag, options};

use super::node::{Node, Value};

/// Values one document may hold once its aliases are spread out.
const NODES: usize = 200_000;

/// A syntax error: its line in the text, from 1, and its message on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct YamlFault {
    pub(crate) line: u32,
    pub(crate) message: String,
}

/// Reads one YAML or JSON document. Lines count from `first_line`. `None` when the text holds no
/// value.
///
/// # Errors
/// The first fault: syntax, a key given twice, a key that is no scalar, too many values.
pub(crate) fn parse(text: &str, first_line: u32) -> Result<Option<Node>, YamlFault> {
    let lines = Lines {
        before: first_line.saturating_sub(1),
    };
    let options = options! { emit_comments: false };
    let mut build = Build {
        lines,
        open: Vec::new(),
        done: None,
        anchors: HashMap::new(),
        nodes: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| YamlFault {
            line: lines.of(error.marker().line()),
            message: error.info().replace('\n', " "),
        })?;
        build.take(event, &span)?;
    }
    Ok(build.done)
}

#[derive(Clone, Copy)]
struct Lines {
    before: u32,
}

impl Lines {
    fn of(self, line: usize) -> u32 {
        self.before
            .saturating_add(u32::try_from(line).unwrap_or(u32::MAX))
    }
}

enum Open {
    List {
        items: Vec<Node>,
        line: u32,
        anchor: usize,
    },
    Map {
        entries: Vec<(Arc<str>, Node)>,
        keys: Keys,
        key: Option<(Arc<str>, u32)>,
        merged: Vec<Node>,
        line: u32,
        anchor: usize,
    },
}

struct Build {
    lines: Lines,
    open: Vec<Open>,
    done: Option<Node>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl Build {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), YamlFault> {
        let line = self.lines.of(span.start.line());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, line)?;
                let value = scalar(&text, style, tag.as_deref());
                let node = Node { value, line };
                self.keep(anchor, &node)?;
                self.place(node)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.count(1, line)?;
                self.open.push(Open::List {
                    items: Vec::new(),
                    line,
                    anchor,
                });
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.count(1, line)?;
                self.open.push(Open::Map {
                    entries: Vec::new(),
                    keys: Keys::default(),
                    key: None,
                    merged: Vec::new(),
                    line,
                    anchor,
                });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (node, anchor) = match self.open.pop() {
                    Some(Open::List {
                        items,
                        line,
                        anchor,
                    }) => (
                        Node {
                            value: Value::List(items),
                            line,
                        },
                        anchor,
                    ),
                    Some(Open::Map {
                        mut entries,
                        mut keys,
                        merged,
                        line,
                        anchor,
                        ..
                    }) => {
                        merge(&mut entries, &mut keys, merged);
                        (
                            Node {
                                value: Value::Map(entries),
                                line,
                            },
                            anchor,
                        )
                    }
                    None => return Ok(()),
                };
                self.keep(anchor, &node)?;
                self.place(node)
            }
            Event::Alias(anchor) => {
                // An alias to a mapping that is still open would hold itself.
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(self.fault(line, "an alias refers to the value that holds it"));
                };
                let mut node = node.clone();
                node.line = line;
                self.count(size(&node), line)?;
                self.place(node)
            }
            _ => Ok(()),
        }
    }

    fn keep(&mut self, anchor: usize, node: &Node) -> Result<(), YamlFault> {
        if anchor != 0 {
            // Counted as well: anchors in one another would keep what they hold at every level.
            self.count(size(node), node.line)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, line: u32) -> Result<(), YamlFault> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES {
            return Err(self.fault(line, "the document holds too many values"));
        }
        Ok(())
    }

    fn fault(&self, line: u32, message: &str) -> YamlFault {
        YamlFault {
            line,
            message: message.to_owned(),
        }
    }

    fn place(&mut self, mut node: Node) -> Result<(), YamlFault> {
        match self.open.last_mut() {
            None => self.done = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map {
                entries,
                keys,
                key,
                merged,
                ..
            }) => match key.take() {
                None => {
                    let line = node.line;
                    let Some(name) = node.scalar() else {
                        return Err(self.fault(line, "a key has to be text"));
                    };
                    let name: Arc<str> = Arc::from(&*name);
                    if &*name != "<<" && !keys.insert(&name) {
                        let message = format!("the key `{name}` stands here twice");
                        return Err(self.fault(line, &message));
                    }
                    *key = Some((name, line));
                }
                Some((name, _)) if &*name == "<<" => match node.value {
                    Value::List(items) => merged.extend(items),
                    _ => merged.push(node),
                },
                Some((name, line)) => {
                    node.line = line;
                    entries.push((name, node));
                }
            },
        }
        Ok(())
    }
}

/// `<<`: entries of other mappings where this one has none of that name; earlier ones win.
fn merge(entries: &mut Vec<(Arc<str>, Node)>, keys: &mut Keys, merged: Vec<Node>) {
    for node in merged {
        if let Value::Map(others) = node.value {
            for (name, node) in others {
                if keys.insert(&name) {
                    entries.push((name, node));
                }
            }
        }
    }
}

/// Names that stand in a mapping. A few are looked through; many are found by their hash.
#[derive(Default)]
struct Keys {
    few: Vec<Arc<str>>,
    many: HashSet<Arc<str>>,
}

impl Keys {
    const FEW: usize = 16;

    /// Whether it is a new one.
    fn insert(&mut self, name: &Arc<str>) -> bool {
        if self.many.is_empty() {
            if self.few.contains(name) {
                return false;
            }
            if self.few.len() < Self::FEW {
                self.few.push(Arc::clone(name));
                return true;
            }
            self.many.extend(self.few.drain(..));
        }
        self.many.insert(Arc::clone(name))
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| size(node)).sum(),
        _ => 0,
    }
}

/// YAML 1.2 core schema (YAML 1.2.2 §10.3.2), numbers as spelled.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let quoted = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix() == "str");
    if quoted {
        return Value::Text(text.into());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.into()),
        _ => Value::Text(text.into()),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return matches!(digits, ".inf" | ".Inf" | ".INF");
    }
    if let Some(hex) = digits.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let plain = digits
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    plain && digits.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Node {
        parse(text, 1).unwrap().unwrap()
    }

    #[test]
    fn values_carry_the_line_of_their_key() {
        let node = parse("a: 1\nb:\n  c:\n  - d\n  - e: f\n", 11)
            .unwrap()
            .unwrap();
        assert_eq!(node.field("b").unwrap().line, 12);
        let list = node.path(&["b", "c"]).unwrap();
        assert_eq!(list.line, 13);
        assert_eq!(list.items().unwrap()[1].line, 15);
    }

    #[test]
    fn scalars_have_the_type_that_their_spelling_gives_them() {
        let node = read("[80, '80', true, 'true', ~, on, 1.5, 1e3, 0x1F, 1.2.3, v1, 10.0.0.1]");
        let types: Vec<_> = node.items().unwrap().iter().map(Node::type_name).collect();
        let wanted = [
            "a number",
            "text",
            "true or false",
            "text",
            "nothing",
            "text",
            "a number",
            "a number",
            "a number",
            "text",
            "text",
            "text",
        ];
        assert_eq!(types, wanted);
    }

    #[test]
    fn among_many_keys_too_one_given_twice_is_a_fault() {
        let many: String = (0..40).map(|number| format!("k{number}: x\n")).collect();
        assert!(parse(&many, 1).is_ok());
        for again in [0, 15, 16, 39] {
            let fault = parse(&format!("{many}k{again}: y\n"), 1).unwrap_err();
            assert_eq!(fault.line, 41, "{again}");
        }
    }

    #[test]
    fn a_key_given_twice_is_a_fault_on_its_line() {
        let fault = parse("a: 1\nb: 2\na: 3\n", 5).unwrap_err();
        assert_eq!(
            fault,
            YamlFault {
                line: 7,
                message: "the key `a` stands here twice".into()
            }
        );
    }

    #[test]
    fn aliases_and_merges_are_spread_out() {
        let node = read("base: &base {x: 1, y: 2}\nmore:\n  <<: *base\n  y: 3\n");
        assert_eq!(node.path(&["more", "x"]).unwrap().scalar().unwrap(), "1");
        assert_eq!(node.path(&["more", "y"]).unwrap().scalar().unwrap(), "3");
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let before = format!("*a{}", level - 1);
            let list = vec![before; 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        let fault = parse(&text, 1).unwrap_err();
        assert_eq!(fault.message, "the document holds too many values");
    }

    #[test]
    fn a_bomb_of_anchors_is_refused() {
        let open: String = (0..200).map(|level| format!("&a{level} [")).collect();
        let text = format!("{open}{}{}", "x, ".repeat(2_000), "]".repeat(200));
        let fault = parse(&text, 1).unwrap_err();
        assert_eq!(fault.message, "the document holds too many values");
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(parse(&"[".repeat(100_000), 1).is_err());
        assert!(parse(&"- ".repeat(100_000), 1).is_err());
    }

    #[test]
    fn json_is_yaml() {
        let node = read("{\n\t\"kind\": \"List\",\n\t\"items\": [{\"a\": \"b\\u0041\"}]\n}");
        assert_eq!(node.field("items").unwrap().line, 3);
        let item = &node.field("items").unwrap().items().unwrap()[0];
        assert_eq!(item.field("a").unwrap().text(), Some("bA"));
    }
}
