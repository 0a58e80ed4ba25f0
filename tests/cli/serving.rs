//! `fleetbeat serve`, `config`, `completion`, `version`, and the help.

use std::time::Duration;

use super::desk::{Desk, Said};
use super::support::Product;

#[tokio::test(flavor = "multi_thread")]
async fn flags_win_over_the_environment_which_wins_over_the_file() {
    let product = Product::new();
    let file = product.data_dir().with_extension("yaml");
    std::fs::write(&file, "server: {max_connections: 7, listen: '127.0.0.1:1'}\nlog: {level: debug}\n").unwrap();
    let product = product.set("server.max_body_bytes", 5000).set("log.level", "warn");
    let file = file.to_str().unwrap();
    let said: Said = product.run(&["config", "show", "--config", file, "--log-level", "error"]).into();
    let shown = said.expect(0).out;
    let has = |line: &str| assert!(shown.contains(line), "{line} is not in\n{shown}");
    has("max_connections: 7");
    has("max_body_bytes: 5000");
    has("level: error");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_named_and_passwords_are_not_told() {
    let product = Product::new();
    let ask = |arguments: &[&str]| Said::from(product.run(arguments));
    assert_eq!(ask(&["config", "check"]).expect(0).out, "the settings are good\n");
    let file = product.data_dir().with_extension("yaml");
    std::fs::write(&file, "server: {max_conections: 7}\nprobes: {max_in_flight: none}\n").unwrap();
    let wrong = ask(&["config", "check", "--config", file.to_str().unwrap()]).expect(1).err;
    assert!(wrong.contains("server.max_conections") && wrong.contains("max_connections"), "{wrong}");
    ask(&["serve", "--config", "/nowhere/at/all.yaml"]).expect(1);
    let everywhere = ask(&["serve", "--listen", "0.0.0.0:0"]).expect(1).err;
    assert!(everywhere.contains("refuses to listen on 0.0.0.0:0"), "{everywhere}");
    let url = "postgresql://me:h1dden-secret@127.0.0.1:1/x";
    let shown = ask(&["config", "show", "--database-url", url]).expect(0).out;
    assert!(shown.contains("postgresql://me:") && !shown.contains("h1dden-secret"), "{shown}");
    assert!(ask(&["config", "defaults"]).expect(0).out.contains("hub_interval_seconds: 15"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_in_order_and_a_second_one_cannot_take_its_place() {
    let mut desk = Desk::open().await;
    let address = desk.product.url().replace("http://", "");
    let second = Product::new();
    let data = second.data_dir();
    let arguments = ["serve", "--listen", &address, "--data-dir", data.to_str().unwrap()];
    let said = Said::from(second.run(&arguments)).expect(1);
    assert!(said.err.contains("cannot bind"), "{}", said.err);
    assert!(desk.product.terminate(Duration::from_secs(40)).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_waits_for_its_database_ends_when_told_to() {
    let mut product = Product::new().set("database_url", "postgresql://nobody@127.0.0.1:1/nowhere");
    product.launch();
    while !product.logs().contains("the database cannot be used yet") {
        assert!(product.exited().is_none(), "{}", product.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(product.terminate(Duration::from_secs(40)).await.success(), "{}", product.logs());
    assert!(product.logs().contains("told to end before the start was over"), "{}", product.logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_json_when_asked_for() {
    let mut product = Product::new().set("log.format", "json").started().await;
    assert!(product.terminate(Duration::from_secs(40)).await.success());
    let logs = product.logs();
    let lines: Vec<serde_json::Value> = logs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        let texts = ["timestamp", "level", "message", "target"].map(|key| line[key].as_str().unwrap_or_default());
        assert!(texts.iter().all(|text| !text.is_empty()), "{line}");
        assert!(texts[0].parse::<chrono::DateTime<chrono::Utc>>().is_ok(), "{line}");
    }
    // The credentials are read beside the start, and a busy machine may be warned of.
    let beside =
        |line: &&serde_json::Value| line["level"] == "INFO" && line["message"] != "the stored credentials were read";
    let told: Vec<_> = lines.iter().filter(beside).map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(told, ["fleetbeat is ready", "stopping", "stopped; nothing was left behind"], "{logs}");
}

/// What the script for bash offers after `fleetbeat cl` and after `--state`.
const OFFERED: &str = "\
source \"$1\" || exit 1
offer() {
    COMP_WORDS=(\"$@\")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    _fleetbeat fleetbeat \"${!#}\" \"${@: -2:1}\"
    echo \"${COMPREPLY[@]}\"
}
offer fleetbeat cl
offer fleetbeat clusters list --state O
";

#[tokio::test(flavor = "multi_thread")]
async fn every_shell_gets_a_completion_script() {
    let product = Product::new();
    let ask = |arguments: &[&str]| Said::from(product.run(arguments));
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef fleetbeat"), ("fish", "complete -c fleetbeat")] {
        let script = ask(&["completion", shell]).expect(0).out;
        assert!(script.contains(word) && script.contains("refresh"), "{shell}");
    }
    let file = product.data_dir().with_extension("bash");
    std::fs::write(&file, ask(&["completion", "bash"]).out).unwrap();
    let offered = std::process::Command::new("bash").arg("-c").arg(OFFERED).arg("bash").arg(&file).output().unwrap();
    let offered = String::from_utf8_lossy(&offered.stdout).into_owned();
    assert!(offered.contains("clusters") && offered.contains("OFFLINE"), "{offered}");
    for shell in ["bash", "zsh", "fish"] {
        let file = file.with_extension(shell);
        std::fs::write(&file, ask(&["completion", shell]).out).unwrap();
        match std::process::Command::new(shell).arg("-n").arg(&file).output() {
            Ok(read) => assert!(read.status.success(), "{shell}: {read:?}"),
            Err(_) => eprintln!("SKIPPED: no {shell} here, so it does not read its script"),
        }
    }
    ask(&["completion", "csh"]).expect(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn help_has_examples_for_every_command_and_exit_codes() {
    let product = Product::new();
    let ask = |arguments: &[&str]| Said::from(product.run(arguments)).expect(0).out;
    let top = ask(&["--help"]);
    assert!(top.contains("Exit codes:") && top.contains("fleetbeat demo"), "{top}");
    for command in ["serve", "demo", "watch", "config", "completion"] {
        assert!(ask(&[command, "--help"]).contains("Example"), "{command}");
    }
    for command in ["list", "get", "status", "refresh", "add", "import", "rm"] {
        assert!(ask(&["clusters", command, "--help"]).contains("Example"), "{command}");
    }
    for command in [["events", "list"], ["fleet", "summary"], ["fleet", "health"]] {
        assert!(ask(&[command[0], command[1], "--help"]).contains("Example"), "{command:?}");
    }
    let version = format!("fleetbeat {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((ask(&["version"]), ask(&["--version"])), (version.clone(), version));
}
