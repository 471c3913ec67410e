//! Many documents in one text, taken apart so that a broken one does not lose the others.

/// The text of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Document<'a> {
    /// The text, marker line included.
    pub(crate) text: &'a str,
    /// Line of its first line in the file, from 1.
    pub(crate) line: u32,
}

/// Splits at `---` and `...`. In YAML a line that begins so ends a document wherever it stands:
/// inside a block scalar it would be indented, and quoted text must not hold it
/// (YAML 1.2.2 §9.1.2).
pub(crate) fn split(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let (mut start, mut start_line) = (0, 1);
    let (mut offset, mut line) = (0, 1);
    for row in text.split_inclusive('\n') {
        if is_marker(row, "---") {
            // Directives stand before the marker that they belong to.
            if text[start..offset].lines().any(is_content) {
                documents.push(Document {
                    text: &text[start..offset],
                    line: start_line,
                });
            }
            (start, start_line) = (offset, line);
        } else if is_marker(row, "...") {
            documents.push(Document {
                text: &text[start..offset],
                line: start_line,
            });
            (start, start_line) = (offset + row.len(), line + 1);
        }
        offset += row.len();
        line += 1;
    }
    documents.push(Document {
        text: &text[start..],
        line: start_line,
    });
    documents.retain(|document| document.text.lines().any(is_content));
    documents
}

fn is_marker(row: &str, marker: &str) -> bool {
    row.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn is_content(row: &str) -> bool {
    let row = row.strip_prefix("---").unwrap_or(row).trim();
    !(row.is_empty() || row.starts_with('#') || row.starts_with('%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_line() {
        let text = "# head\n---\na: 1\n---  # two\n\n--- {b: 2}\n...\nc: |\n  x\n  ---\n  y\n";
        let lines: Vec<_> = split(text).iter().map(|document| document.line).collect();
        assert_eq!(lines, [2, 6, 8]);
        assert!(split(text)[2].text.contains("---"));
    }

    #[test]
    fn directives_and_comments_are_no_document() {
        assert_eq!(split("%YAML 1.2\n---\n# nothing\n").len(), 0);
        assert_eq!(split("---\n---\n").len(), 0);
        assert_eq!(split("\u{feff}a: 1").len(), 1);
    }
}
