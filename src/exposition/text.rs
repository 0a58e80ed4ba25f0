//! Makes the text, a chunk at a time.

use bytes::Bytes;

use super::families::{FAMILIES, Facts, Row};
use crate::credentials::End;

/// A chunk is sent when it has grown to this size, in bytes.
const CHUNK: usize = 256 * 1024;

/// The per-cluster series of one scrape: an iterator over chunks of text.
#[derive(Default)]
pub struct Exposition {
    rows: Vec<Row>,
    /// The labels of all rows, one behind the other.
    labels: String,
    ends: Vec<End>,
    family: usize,
    row: usize,
}

impl Exposition {
    pub(super) fn add(&mut self, facts: Facts, labels: &str, ends: &[End]) {
        let (labels_from, ends_from) = (self.labels.len(), self.ends.len());
        self.labels.push_str(labels);
        self.ends.extend_from_slice(ends);
        let (labels, ends) = (labels_from..self.labels.len(), ends_from..self.ends.len());
        self.rows.push(Row { facts, labels, ends });
    }
}

impl Iterator for Exposition {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = String::with_capacity(CHUNK + 1_024);
        while out.len() < CHUNK
            && let Some(family) = FAMILIES.get(self.family)
        {
            if self.row == 0 {
                family.head(&mut out);
            }
            match self.rows.get(self.row) {
                Some(row) => {
                    family.write(&mut out, &row.facts, &self.labels[row.labels.clone()], &self.ends[row.ends.clone()]);
                    self.row += 1;
                }
                None => (self.family, self.row) = (self.family + 1, 0),
            }
        }
        (!out.is_empty()).then(|| out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_fleet_has_heads_only() {
        let text: Vec<u8> = Exposition::default().flatten().collect();
        let text = String::from_utf8(text).expect("text");
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), FAMILIES.len());
        assert!(text.lines().all(|line| line.starts_with('#')));
    }
}
