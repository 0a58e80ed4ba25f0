//! Writes `docs/configuration.md` out of the comments of `config/default.yaml`, and fails while the two differ.

use std::fmt::Write;
use std::path::Path;

use super::DEFAULTS;

const HEAD: &str = "\
# Configuration

<!-- Written from config/default.yaml: UPDATE=1 cargo test --workspace configuration_page -->

";

#[test]
fn the_configuration_page_tells_what_default_yaml_tells() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let expected = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == expected,
        "docs/configuration.md is out of date; write it anew with: UPDATE=1 cargo test --workspace configuration_page"
    );
}

#[test]
fn every_key_of_default_yaml_has_a_comment() {
    let bare: Vec<_> = entries().into_iter().filter(|entry| entry.text.is_empty()).collect();
    assert!(bare.is_empty(), "without a comment: {bare:?}");
}

#[derive(Debug)]
struct Entry {
    key: String,
    /// `None` for a section.
    default: Option<String>,
    text: String,
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    let intro = DEFAULTS.split("\n\n").next().unwrap_or_default();
    writeln!(page, "{}\n\n## Top level\n", uncommented(intro)).unwrap();
    let mut in_table = false;
    for entry in entries() {
        match entry.default {
            None if entry.key.contains('.') => {}
            None => {
                write!(page, "\n## `{}`\n\n{}\n\n", entry.key, entry.text).unwrap();
                in_table = false;
            }
            Some(default) => {
                if !std::mem::replace(&mut in_table, true) {
                    page.push_str("| key | default | environment | meaning |\n| --- | --- | --- | --- |\n");
                }
                let variable = entry.key.to_uppercase().replace('.', "__");
                let text = entry.text.replace('|', "\\|");
                writeln!(page, "| `{}` | {default} | `FLEETBEAT__{variable}` | {text} |", entry.key).unwrap();
            }
        }
    }
    page
}

fn entries() -> Vec<Entry> {
    let mut sections: Vec<(usize, String)> = Vec::new();
    let mut comment: Vec<String> = Vec::new();
    let mut entries = Vec::new();
    for line in DEFAULTS.lines() {
        let text = line.trim_start();
        if text.is_empty() {
            comment.clear();
        } else if let Some(rest) = text.strip_prefix('#') {
            comment.push(rest.trim().to_owned());
        } else if let Some((name, value)) = text.split_once(':') {
            let indent = line.len() - text.len();
            sections.retain(|(depth, _)| *depth < indent);
            let path = sections.iter().map(|(_, section)| section.as_str());
            let key = path.chain([name]).collect::<Vec<_>>().join(".");
            let default = display(value.trim());
            if default.is_none() {
                sections.push((indent, name.to_owned()));
            }
            let text = std::mem::take(&mut comment).join(" ");
            entries.push(Entry { key, default, text });
        }
    }
    entries
}

fn display(value: &str) -> Option<String> {
    match value {
        "" => None,
        "null" | "\"\"" | "[]" => Some("empty".to_owned()),
        value => Some(format!("`{}`", value.trim_matches('"'))),
    }
}

fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim_start_matches('#').trim());
    lines.collect::<Vec<_>>().join("\n")
}
