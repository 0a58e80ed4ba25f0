//! The rules of the house that a compiler does not know: who may import whom, how files begin and how long they are,
//! which words are not used, and that both databases have the same migrations.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Longest source file, in lines.
const MAX_LINES: usize = 500;
/// Words that are no name of a type: they say nothing about what it is.
const BANNED_IN_TYPES: [&str; 5] = ["Service", "Manager", "Helper", "Utils", "Phase"];
const BANNED_FILE_NAMES: [&str; 6] = ["utils", "util", "helpers", "helper", "manager", "service"];

/// `(folder, words that may not occur in its code, why)`
const WALLS: [(&str, &[&str], &str); 9] = [
    (
        "actors/src",
        &[
            "axum",
            "sqlx",
            "fred",
            "kube",
            "hyper",
            "rustls",
            "tokio::net",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "TcpListener",
            "fleetbeat",
            "fleetbeat_loadtest",
        ],
        "the engine opens no socket and knows nothing of ours",
    ),
    (
        "src/store",
        &["crate::probes", "crate::bus", "crate::api", "crate::registration", "crate::app", "crate::cli"],
        "the store knows only the engine's ports",
    ),
    (
        "src/probes",
        &[
            "crate::store",
            "crate::bus",
            "crate::api",
            "crate::registration",
            "crate::app",
            "crate::cli",
            "crate::traces",
        ],
        "the prober knows only the engine's ports, and tells no cluster of a trace",
    ),
    (
        "src/bus",
        &["crate::store", "crate::probes", "crate::api", "crate::registration", "crate::app", "crate::cli"],
        "the bus knows only the engine's ports",
    ),
    (
        "src/hub",
        &[
            "crate::store",
            "crate::probes",
            "crate::bus",
            "crate::api",
            "crate::registration",
            "crate::app",
            "crate::cli",
        ],
        "the hub's client knows only how kubeconfigs and tokens are read",
    ),
    (
        "src/secrets",
        &["crate::probes", "crate::bus", "crate::api", "crate::registration", "crate::app", "crate::cli"],
        "the Secrets know only the hub, the credentials and the store",
    ),
    (
        "src/webhooks",
        &["crate::probes", "crate::bus", "crate::api", "crate::app", "crate::cli"],
        "webhooks open no connection themselves",
    ),
    ("loadtest/src", &["fleetbeat", "fleetbeat_actors", "sqlx", "ractor"], "the load harness speaks only the wire"),
    (
        "src/config",
        &[
            "crate::store",
            "crate::probes",
            "crate::bus",
            "crate::api",
            "crate::registration",
            "crate::app",
            "crate::cli",
        ],
        "settings know nobody",
    ),
];

#[test]
fn imports_run_in_the_direction_of_the_arrows() {
    let mut broken = Vec::new();
    for (folder, words, why) in WALLS {
        for file in sources(&[folder]) {
            broken.extend(mentions(&file, words).map(|found| format!("{found}: {why}")));
        }
    }
    assert_none("imports against the arrows", &broken);
}

#[test]
fn the_engine_and_the_load_harness_depend_on_nothing_behind_the_walls() {
    let mut broken = Vec::new();
    for (manifest, crates) in [
        ("actors/Cargo.toml", &["axum", "sqlx", "fred", "kube", "hyper", "rustls", "fleetbeat-loadtest"][..]),
        ("loadtest/Cargo.toml", &["sqlx", "ractor", "fleetbeat-actors"][..]),
    ] {
        let text = std::fs::read_to_string(root().join(manifest)).unwrap();
        let named = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned();
        let found = text.lines().map(named).filter(|name| crates.contains(&name.as_str()));
        broken.extend(found.map(|name| format!("{manifest} depends on {name}")));
    }
    assert_none("dependencies against the arrows", &broken);
}

#[test]
fn only_the_demo_uses_the_load_harness() {
    let outside = sources(&["src"]).into_iter().filter(|file| !file.name.starts_with("src/cli/demo"));
    let broken: Vec<_> =
        outside.flat_map(|file| mentions(&file, &["fleetbeat_loadtest"]).collect::<Vec<_>>()).collect();
    assert_none("uses of the load harness outside src/cli/demo", &broken);
}

#[test]
fn a_module_written_in_braces_is_seen_as_well() {
    let file = Source {
        name: "src/store/x.rs".to_owned(),
        text: "use crate::{\n    api::Error, // crate::bus\n    store::{self, Row},\n};\nlet crate_bus = \"crate::probes\";".to_owned(),
    };
    let found: Vec<_> = mentions(&file, &["crate::api", "crate::bus", "crate::probes"]).collect();
    assert_eq!(found, ["src/store/x.rs:1 mentions crate::api"]);
}

#[test]
fn every_file_begins_with_what_lives_in_it() {
    let silent = sources(&["src", "actors/src", "loadtest/src", "tests", "actors/tests", "loadtest/tests"])
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.name);
    assert_none("files that do not begin with `//!`", &silent.collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long() {
    let long = all_sources().into_iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > MAX_LINES).then(|| format!("{}: {lines} lines, at most {MAX_LINES}", file.name))
    });
    assert_none("files that are too long", &long.collect::<Vec<_>>());
}

#[test]
fn types_and_files_have_names_that_say_something() {
    let mut broken = Vec::new();
    for file in all_sources() {
        let stem = Path::new(&file.name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if BANNED_FILE_NAMES.contains(&stem.as_str()) {
            broken.push(format!("{}: a file's name says what lives in it", file.name));
        }
        let code = code_of(&file.text);
        for (at, line) in code.lines().enumerate() {
            if let Some(name) =
                declared_type(line).filter(|name| BANNED_IN_TYPES.iter().any(|word| name.contains(word)))
            {
                broken.push(format!("{}:{} declares {name}", file.name, at + 1));
            }
        }
    }
    assert_none("names to avoid", &broken);
}

#[test]
fn both_databases_have_the_same_migrations() {
    let versions = |backend: &str| -> BTreeSet<String> {
        let folder = root().join("migrations").join(backend);
        let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names
            .filter(|name| name.ends_with(".sql"))
            .filter_map(|name| Some(name.split_once('_')?.0.to_owned()))
            .collect()
    };
    assert_eq!(versions("postgres"), versions("sqlite"), "left: postgres, right: sqlite");
}

#[test]
fn the_comment_and_text_remover_keeps_code_only() {
    let code = code_of("a // b\n\"c // d\" e /* f\ng */ h 'i' '\\'' &'static r#\"j\"k\"# l");
    assert_eq!(code.replace(['\n', ' '], ""), "a\"\"eh''''&'static\"\"l");
    assert_eq!(code.lines().count(), 3);
}

struct Source {
    name: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn all_sources() -> Vec<Source> {
    sources(&["src", "actors", "loadtest", "tests"])
}

/// All Rust files below folders that exist, in order of their names.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut files = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut files);
    }
    files.sort();
    let read = |path: PathBuf| Source {
        name: path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(),
        text: std::fs::read_to_string(&path).unwrap(),
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Where a file's code names one of the paths; `use a::{b, c}` counts as naming `a::b` and `a::c`.
fn mentions<'a>(file: &'a Source, words: &'a [&'a str]) -> impl Iterator<Item = String> + 'a {
    let code = code_of(&file.text);
    let uses = imported_paths(&code);
    words.iter().filter_map(move |word| {
        let in_code = code.lines().position(|line| names(line, word));
        let imported = || uses.iter().find(|(_, path)| names(path, word)).map(|(line, _)| *line);
        let line = in_code.or_else(imported)?;
        Some(format!("{}:{} mentions {word}", file.name, line + 1))
    })
}

/// Whether a path occurs as such: not as part of a longer word, and a crate's name only where a path begins.
fn names(line: &str, path: &str) -> bool {
    let word = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(path).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + path.len()..]);
        let begins = !before.ends_with(word) && !before.ends_with("::") && !before.ends_with('.');
        let is_path = path.contains("::")
            || path.starts_with(char::is_uppercase)
            || after.starts_with("::")
            || before.trim_end().ends_with("use");
        begins && is_path && !after.starts_with(word)
    })
}

/// The full paths of all `use` declarations, with the number of the line each begins in.
fn imported_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    let mut at = 0;
    for statement in code.split_inclusive(';') {
        let line = at + statement.len() - statement.trim_start().len();
        let number = code[..line].matches('\n').count();
        if let Some((_, tree)) = statement.trim().split_once("use ") {
            let flat: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
            expand("", flat.trim_end_matches(';'), &mut |path| paths.push((number, path)));
        }
        at += statement.len();
    }
    paths
}

fn expand(prefix: &str, tree: &str, found: &mut dyn FnMut(String)) {
    let Some((head, rest)) = tree.split_once('{') else {
        return found(format!("{prefix}{}", tree.trim()));
    };
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut from) = (0, 0);
    for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&format!("{prefix}{}", head.trim()), inner[from..at].trim(), found);
                from = (at + 1).min(inner.len());
            }
            _ => {}
        }
    }
}

fn declared_type(line: &str) -> Option<&str> {
    let mut words =
        line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty());
    let keyword = |word: &&str| matches!(*word, "struct" | "enum" | "trait" | "type" | "union");
    words
        .by_ref()
        .take_while(|word| matches!(*word, "pub" | "crate" | "super" | "in" | "unsafe") || keyword(word))
        .find(keyword)?;
    words.next()
}

/// The code without comments and without the content of texts; lines stay where they were.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let length = skipped_length(rest);
        if length == 0 {
            code.push(letter);
            rest = &rest[letter.len_utf8()..];
            continue;
        }
        let skipped = &rest[..length];
        match skipped.chars().last() {
            _ if skipped.starts_with('/') => {}
            Some('\'') => code.push_str("''"),
            _ => code.push_str("\"\""),
        }
        code.extend(skipped.chars().filter(|letter| *letter == '\n'));
        rest = &rest[length..];
    }
    code
}

/// Length of the comment or text at the beginning, 0 where code stands.
fn skipped_length(rest: &str) -> usize {
    let until = |start: usize, end: &str| rest[start..].find(end).map_or(rest.len(), |at| start + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until(2, "*/");
    }
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return until(hashes + 2, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    match rest.as_bytes()[0] {
        b'"' => closed_by(rest, '"').unwrap_or(rest.len()),
        b'\'' => closed_by(rest, '\'')
            .filter(|end| rest[1..end - 1].chars().count() == 1 || rest[1..].starts_with('\\'))
            .unwrap_or(0),
        _ => 0,
    }
}

fn closed_by(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    rest.char_indices().skip(1).find_map(|(at, letter)| {
        let ends = letter == quote && !escaped;
        escaped = letter == '\\' && !escaped;
        ends.then_some(at + 1)
    })
}

fn assert_none(what: &str, broken: &[String]) {
    let mut list = String::new();
    for each in broken {
        write!(list, "\n  {each}").unwrap();
    }
    assert!(broken.is_empty(), "{what}:{list}");
}

/// Two packages of the workspace have programs: without a word about it `cargo run` would not know which is meant.
#[test]
fn the_first_command_of_the_readme_finds_its_program() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    assert!(readme.contains("\ncargo run --release -- demo\n"));
    let mut cargo = std::process::Command::new(env!("CARGO"));
    let told = cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let packages = told["packages"].as_array().unwrap();
    let chosen: Vec<_> = packages.iter().filter_map(|package| package["default_run"].as_str()).collect();
    assert_eq!(chosen, ["fleetbeat"]);
}

#[test]
fn what_it_is_made_of_is_allowed_and_what_is_not_is_named() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no python3 here, so licences are not compared");
        return;
    }
    let rules = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let (succeeds, _) = allowed_by("deny-as-it-is.toml", &rules);
    assert!(succeeds, "tests/sbom --allowed names what is not");
    let stricter = rules.replace("    \"ISC\",\n", "").replace("{ crate = \"ring\" }", "{ crate = \"rustls\" }");
    let (succeeds, said) = allowed_by("deny-more.toml", &stricter);
    let names = |name: &str, why: &str| said.lines().any(|line| line.starts_with(name) && line.contains(why));
    assert!(!succeeds && names("rustls ", "is banned"), "{said}");
    assert!(names("untrusted ", "licensed under ISC,") && names("aws-lc-sys ", "licensed under"), "{said}");
    assert!(!names("rustls ", "licensed"), "it may be had under MIT instead: {said}");
}

/// What `tests/sbom --allowed` says by these rules.
fn allowed_by(file: &str, rules: &str) -> (bool, String) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    std::fs::write(&file, rules).unwrap();
    let said = std::process::Command::new(root().join("tests/sbom")).arg("--allowed").arg(&file).output().unwrap();
    (said.status.success(), String::from_utf8_lossy(&said.stderr).into_owned())
}
