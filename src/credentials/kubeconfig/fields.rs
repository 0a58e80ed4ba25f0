//! Takes the keys of one object of the text; what nobody takes is refused.

use secrecy::zeroize::Zeroizing;

use super::{Refused, node::Node};

/// Longest list of clusters, contexts or users.
const MAX_ENTRIES: usize = 256;

/// One object of the text, with its path.
pub(super) struct Fields {
    path: String,
    map: Vec<(String, Node)>,
}

impl Fields {
    /// An object at `path`.
    pub(super) fn of(path: &str, node: Node) -> Result<Self, Refused> {
        match node {
            Node::Map(map) => Ok(Self { path: path.to_owned(), map }),
            other => Err(Refused::at(path, format!("must be an object, is {}", other.kind()))),
        }
    }

    /// Its own path.
    pub(super) fn place(&self) -> String {
        self.path.clone()
    }

    /// The path of a key.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &str) -> Option<Node> {
        let index = self.map.iter().position(|(known, _)| known == key)?;
        Some(self.map.swap_remove(index).1).filter(|node| !matches!(node, Node::Null))
    }

    /// A text.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<Zeroizing<String>>, Refused> {
        match self.take(key) {
            None => Ok(None),
            Some(Node::Text(text)) if text.is_empty() => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(other) => Err(Refused::at(self.path(key), format!("must be a string, is {}", other.kind()))),
        }
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, key: &str) -> Result<Zeroizing<String>, Refused> {
        self.text(key)?.ok_or_else(|| Refused::at(self.path(key), "is required"))
    }

    /// A boolean, false when left out.
    pub(super) fn flag(&mut self, key: &str) -> Result<bool, Refused> {
        match self.take(key) {
            None => Ok(false),
            Some(Node::Bool(flag)) => Ok(flag),
            Some(other) => Err(Refused::at(self.path(key), format!("must be a boolean, is {}", other.kind()))),
        }
    }

    /// An object inside that must be there.
    pub(super) fn object(&mut self, key: &str) -> Result<Self, Refused> {
        let path = self.path(key);
        let node = self.take(key).ok_or_else(|| Refused::at(&path, "is required"))?;
        Self::of(&path, node)
    }

    /// A list of objects, empty when left out.
    pub(super) fn list(&mut self, key: &str) -> Result<Vec<Self>, Refused> {
        let path = self.path(key);
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Node::List(items)) if items.len() <= MAX_ENTRIES => {
                let entry = |(index, node)| Self::of(&format!("{path}[{index}]"), node);
                items.into_iter().enumerate().map(entry).collect()
            }
            Some(Node::List(items)) => {
                Err(Refused::at(path, format!("must have at most {MAX_ENTRIES} entries, has {}", items.len())))
            }
            Some(other) => Err(Refused::at(path, format!("must be a list, is {}", other.kind()))),
        }
    }

    /// Takes keys that mean nothing here.
    pub(super) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.take(key);
        }
    }

    /// Refuses keys that are known and dangerous, even when they are empty.
    pub(super) fn forbid(&self, keys: &[(&str, &str)]) -> Result<(), Refused> {
        let present = |(key, _): &&(&str, &str)| self.map.iter().any(|(known, _)| known == key);
        match keys.iter().find(present) {
            Some((key, reason)) => Err(Refused::at(self.path(key), *reason)),
            None => Ok(()),
        }
    }

    /// Everything taken: is nothing left?
    pub(super) fn finish(self) -> Result<(), Refused> {
        match self.map.first() {
            None => Ok(()),
            Some((key, _)) => Err(Refused::at(self.path(shown(key)), "unknown key")),
        }
    }
}

/// A key as an error may show it: what looks like a word. Anything else could be a value in the wrong place.
fn shown(key: &str) -> &str {
    let is_word = !key.is_empty() && key.len() <= 40 && key.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
    if is_word { key } else { "…" }
}
