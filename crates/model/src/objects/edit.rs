//! Taking objects out of the text of a file.

use super::documents;
use super::node::Node;
use super::{File, yaml};
use crate::names::ObjectRef;

/// Why an object cannot be taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditFault {
    /// It is not in the file.
    Absent(ObjectRef),
    /// It stands in one document with others.
    Entangled(ObjectRef),
}

/// The text of `file` without these objects, everything else as it stands; `None` when no document
/// is left.
///
/// # Errors
/// When one of them cannot be taken out.
pub fn without(file: &File, unwanted: &[ObjectRef]) -> Result<Option<String>, EditFault> {
    let text = &*file.text;
    let documents = documents::split(text);
    let mut kept = String::with_capacity(text.len());
    let mut end = 0;
    let mut left = documents.len();
    let mut found: Vec<&ObjectRef> = Vec::new();
    for document in documents {
        let Ok(Some(root)) = yaml::parse(document.text, document.line) else {
            continue;
        };
        if let Some(inner) = inner(&root).find_map(|one| named(one, unwanted)) {
            return Err(EditFault::Entangled(inner.clone()));
        }
        let Some(object) = named(&root, unwanted) else {
            continue;
        };
        found.push(object);
        // A document is a part of the text.
        let start = document.text.as_ptr() as usize - text.as_ptr() as usize;
        kept.push_str(&text[end..start]);
        end = start + document.text.len();
        left -= 1;
    }
    if let Some(absent) = unwanted.iter().find(|one| !found.contains(one)) {
        return Err(EditFault::Absent(absent.clone()));
    }
    kept.push_str(&text[end..]);
    Ok((left > 0).then_some(kept))
}

/// The objects in a list.
fn inner(root: &Node) -> impl Iterator<Item = &Node> {
    let kind = root.entry("kind").and_then(Node::text).unwrap_or_default();
    let items = root.entry("items").filter(|_| kind.ends_with("List"));
    items.and_then(Node::items).into_iter().flatten()
}

/// Which of `wanted` an object is.
fn named<'w>(root: &Node, wanted: &'w [ObjectRef]) -> Option<&'w ObjectRef> {
    let own = super::read::reference(root)?;
    wanted.iter().find(|one| **one == own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File {
            name: "a.yaml".into(),
            text: text.to_owned(),
        }
    }

    fn binding(name: &str) -> ObjectRef {
        ObjectRef::new("RoleBinding", "apps", name)
    }

    #[test]
    fn what_is_not_taken_out_stays_as_it_stands() {
        let one = |name: &str| {
            format!(
                "# {name}\nkind: RoleBinding\napiVersion: v1\nmetadata: {{name: {name}, namespace: apps}}\n"
            )
        };
        let all = format!("{}---\n{}--- # two\n{}", one("a"), one("b"), one("c"));
        let left = without(&file(&all), &[binding("b")]);
        assert_eq!(
            left,
            Ok(Some(format!("{}--- # two\n{}", one("a"), one("c"))))
        );
        let left = without(&file(&all), &[binding("a"), binding("c")]);
        assert_eq!(left, Ok(Some(format!("---\n{}", one("b")))));
        let none = ["a", "b", "c"].map(binding);
        assert_eq!(without(&file(&all), &none), Ok(None));
        let fault = EditFault::Absent(binding("d"));
        assert_eq!(without(&file(&all), &[binding("d")]), Err(fault));
    }

    #[test]
    fn a_list_is_not_taken_apart() {
        let list = r#"{"kind": "List", "apiVersion": "v1", "items": [{"kind": "RoleBinding", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "apps"}}]}"#;
        let fault = EditFault::Entangled(binding("a"));
        assert_eq!(without(&file(list), &[binding("a")]), Err(fault));
    }

    #[test]
    fn documents_that_are_no_yaml_stay() {
        let text = "kind: [\n---\nkind: RoleBinding\napiVersion: v1\nmetadata: {name: a, namespace: apps}\n";
        assert_eq!(
            without(&file(text), &[binding("a")]),
            Ok(Some("kind: [\n".to_owned()))
        );
    }
}
