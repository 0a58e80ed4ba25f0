//! YAML into a tree of plain values, within budgets of size, depth and aliases. Its texts are wiped when dropped.

use std::fmt;

use secrecy::zeroize::Zeroizing;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use super::Refused;

/// A value of the text.
pub(super) enum Node {
    Map(Vec<(String, Node)>),
    List(Vec<Node>),
    Text(Zeroizing<String>),
    Bool(bool),
    Number,
    Null,
}

impl Node {
    /// Parses a text of at most `max_bytes`. The parser's own error is never shown: it quotes the text.
    pub(super) fn parse(text: &str, max_bytes: usize) -> Result<Self, Refused> {
        if text.len() > max_bytes {
            return Err(Refused::at("", format!("must have at most {max_bytes} bytes, has {}", text.len())));
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: 16,
                flow_nesting_limit: 16,
                max_nodes: 20_000,
                max_events: 50_000,
                max_aliases: 0,
                max_anchors: 64,
                max_documents: 1,
                max_merge_keys: 0,
                max_total_scalar_bytes: 2 * max_bytes,
            },
            duplicate_keys: DuplicateKeyPolicy::Error,
            merge_keys: MergeKeyPolicy::Error,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| match error.location() {
            Some(place) => {
                Refused::at("", format!("cannot be read (line {}, column {})", place.line(), place.column()))
            }
            None => Refused::at("", "cannot be read"),
        })
    }

    /// The JSON word for what it is.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Map(_) => "an object",
            Self::List(_) => "a list",
            Self::Text(_) => "a string",
            Self::Bool(_) => "a boolean",
            Self::Number => "a number",
            Self::Null => "null",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(value.to_owned())))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map: Vec<(String, Node)> = Vec::new();
        while let Some((key, value)) = entries.next_entry::<String, Node>()? {
            if map.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom("a key occurs twice"));
            }
            map.push((key, value));
        }
        Ok(Node::Map(map))
    }
}
