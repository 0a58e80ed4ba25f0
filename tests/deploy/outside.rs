//! Programs of others that judge what is in `deploy/`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A path below the root of the repository.
pub fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// A text file of the repository.
pub fn text(below: &str) -> String {
    std::fs::read_to_string(path(below)).unwrap_or_else(|error| panic!("{below}: {error}"))
}

/// Runs a program in the repository's root and returns what it said; panics unless it is content. `None` with a line that
/// says so where the program is missing.
pub fn content(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let Ok(output) = output else {
        eprintln!("SKIPPED: {program} is not installed, so `{program} {}` was not asked", arguments.join(" "));
        return None;
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    Some(said)
}
