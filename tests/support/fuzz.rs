//! An API fuzzer (schemathesis) that reads the API's own description and tries what it allows and what it forbids.

use std::path::PathBuf;
use std::process::Command;

use super::process::Scratch;

/// Longest run, in seconds.
const MAX_SECONDS: &str = "300";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Fuzzes the API described at a URL, all of it or what the fuzzer's own flags leave of it, as the bearer of a token where one is
/// given. Panics with the fuzzer's report when it finds a 5xx, an answer that is not described, or something that needs a bearer and does not ask
/// for one; says SKIPPED on a machine without the fuzzer (`tests/run` installs it). Blocks its thread.
pub fn fuzz_api(description: &str, narrowed: &[&str], token: Option<&str>) {
    let Some(program) = std::env::var_os("FLEETBEAT_SCHEMATHESIS").map(PathBuf::from) else {
        eprintln!("SKIPPED: no API fuzzer here; tests/run installs it");
        return;
    };
    let scratch = Scratch::new();
    let checks = if token.is_some() { format!("{CHECKS},ignored_auth") } else { CHECKS.to_owned() };
    let mut command = Command::new("timeout");
    command.arg(MAX_SECONDS).arg(program).args(["run", description, "--checks", &checks, "--seed", "1"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", "30", "--request-timeout", "10"]);
    // With two, the parser of Python 3.11 now and then dies of its own: AST constructor recursion depth mismatch.
    command.args(["--workers", "1"]);
    command.args(["--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off"]);
    if let Some(token) = token {
        command.arg("--header").arg(format!("Authorization: Bearer {token}"));
    }
    let output = command.args(narrowed).current_dir(scratch.path()).env("NO_COLOR", "1").output().unwrap();
    let report = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&report));
}
