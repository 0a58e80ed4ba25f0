//! Settings, from the outside: what a user sets and what comes out or is refused.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use super::*;

#[test]
fn the_defaults_load_alone() {
    let settings = Settings::load(&Inputs::default()).unwrap();
    assert_eq!(String::from(settings.server.listen.clone()), "127.0.0.1:8080");
    assert_eq!(settings.health_check.hub().interval, Duration::from_secs(15));
    assert_eq!(settings.health_check.far_edge().deadline, Duration::from_secs(30));
    assert_eq!(settings.data_dir, PathBuf::from("data"));
    assert_eq!(settings.database(), Database::Sqlite("data/fleetbeat.db".into()));
    assert!(settings.redis_url.is_empty());
}

#[test]
fn default_yaml_has_every_field_and_nothing_else() {
    let file: Value = serde_saphyr::from_str(DEFAULTS).unwrap();
    let settings = Settings::load(&Inputs::default()).unwrap();
    let fields = serde_json::to_value(&settings).unwrap();
    assert_eq!(keys(&file, ""), keys(&fields, ""));
}

#[test]
fn the_file_wins_over_defaults_the_environment_over_the_file_and_flags_over_all() {
    let file = file("events:\n  stream: from-file\n  channel_prefix: from-file\nlog:\n  level: debug\n");
    let inputs =
        inputs(&file, &[("FLEETBEAT__EVENTS__CHANNEL_PREFIX", "from-environment"), ("FLEETBEAT__LOG__LEVEL", "warn")])
            .flag("log.level", Some("trace"))
            .flag("server.listen", None::<String>);
    let settings = Settings::load(&inputs).unwrap();
    assert_eq!(settings.events.stream, "from-file");
    assert_eq!(settings.events.channel_prefix, "from-environment");
    assert_eq!(settings.log.level, "trace");
    assert_eq!(settings.events.stream_max_length, 100_000);
}

#[test]
fn every_example_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace("_url_file:", "_url: \"\" #");
        let copy = file(&text);
        if let Err(error) = Settings::load(&inputs(&copy, &[])) {
            panic!("{}: {error}", path.display());
        }
    }
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_the_key_that_was_meant() {
    let file = file("health_check:\n  hub_intervall_seconds: 5\n");
    let problem = only_problem(&inputs(&file, &[]));
    assert_eq!(problem.key, "health_check.hub_intervall_seconds");
    assert_eq!(problem.source, file.path().display().to_string());
    assert_eq!(problem.message, "unknown key; did you mean `health_check.hub_interval_seconds`?");
}

#[test]
fn an_unknown_variable_is_named() {
    let problem = only_problem(&environment(&[("FLEETBEAT__SERVER__PORT", "1")]));
    assert_eq!(problem.source, "environment, FLEETBEAT__SERVER__PORT");
    assert_eq!(problem.message, "unknown key");
}

#[test]
fn all_problems_are_told_at_once() {
    let error = Settings::load(&environment(&[("FLEETBEAT__SERVRE__LISTEN", "x"), ("FLEETBEAT__LOG__LEVLE", "x")]))
        .unwrap_err();
    assert_eq!(error.problems.len(), 2, "{error}");
}

#[test]
fn wrong_values_are_named_with_key_and_source() {
    for (name, value, message) in [
        ("HEALTH_CHECK__FAILURE_THRESHOLD", "many", "must be"),
        ("HEALTH_CHECK__FAILURE_THRESHOLD", "0", "must be from 1 to 100, not 0"),
        ("HEALTH_CHECK__HUB_INTERVAL_SECONDS", "-1", "must be a number from 0 up"),
        ("HEALTH_CHECK__HUB_INTERVAL_SECONDS", "NaN", "must be a number from 0 up"),
        ("HEALTH_CHECK__HUB_TIMEOUT_SECONDS", "16", "must be from 1ms to 15s, not 16s"),
        ("HEALTH_CHECK__ENABLED", "perhaps", "must be a boolean"),
        ("MONITOR__HOLD_RATIO", "1.5", "must be above 0"),
        ("MONITOR__CANARIES", "https://a.example,ftp://b.example", "must be an http or https URL"),
        ("PROBES__ALLOW_LOOPBACK", "sometimes", "must be `auto`, `true` or `false`"),
        ("PROBES__DENY_CIDRS", "10.0.0.0/99", "invalid"),
        ("LOG__FORMAT", "xml", "must be `text`, `json` or `auto`"),
        ("SERVER__LISTEN", "8080", "must be an IP address and a port"),
        ("REDIS_URL", "http://redis:6379", "unknown scheme"),
        ("DATABASE_URL", "postgres:5432", "is not a URL of the form"),
        ("DATABASE_URL", "sqlite://", "names no file"),
    ] {
        let variable = format!("FLEETBEAT__{name}");
        let problem = only_problem(&environment(&[(&variable, value)]));
        let key = name.to_lowercase().replace("__", ".");
        assert!(problem.key.starts_with(&key), "{problem}");
        assert_eq!(problem.source, format!("environment, {variable}"));
        assert!(problem.message.contains(message), "{problem}");
    }
}

#[test]
fn values_of_the_wrong_kind_are_not_bent() {
    for (text, message) in [
        ("store: {max_connections: 2.7}", "must be a whole number"),
        ("store: {max_connections: true}", "must be a number"),
        ("health_check: {enabled: 1}", "must be `true` or `false`"),
        ("health_check: 5", "must be a section of keys"),
        ("redis_url: [a]", "must be a single value"),
        ("monitor: {canaries: 5}", "must be a list"),
    ] {
        assert_eq!(only_problem(&inputs(&file(text), &[])).message, message);
    }
}

#[test]
fn an_address_that_others_can_reach_is_refused_without_authentication() {
    for address in ["0.0.0.0:8080", "[::]:8080", "10.1.2.3:8080"] {
        let problem = only_problem(&environment(&[("FLEETBEAT__SERVER__LISTEN", address)]));
        assert_eq!(problem.key, "server.listen");
        assert!(problem.message.contains("authentication is not configured"), "{problem}");
        assert!(problem.message.contains("auth.tokens.enabled"), "{problem}");
    }
    let with_tokens = [("FLEETBEAT__SERVER__LISTEN", "0.0.0.0:8080"), ("FLEETBEAT__AUTH__TOKENS__ENABLED", "true")];
    Settings::load(&environment(&with_tokens)).unwrap();
    for address in ["127.0.0.1:0", "[::1]:8080", "localhost:9000"] {
        Settings::load(&environment(&[("FLEETBEAT__SERVER__LISTEN", address)])).unwrap();
    }
}

#[test]
fn a_wrapped_file_and_keys_without_value_are_accepted() {
    let file = file("cluster_registry:\n  redis_url:\n  health_check:\n    timeout_seconds: 10\n");
    let settings = Settings::load(&inputs(&file, &[])).unwrap();
    assert!(settings.redis_url.is_empty());
    assert_eq!(settings.health_check.hub().deadline, Duration::from_secs(10));
    assert_eq!(settings.health_check.far_edge().deadline, Duration::from_secs(10));
}

#[test]
fn one_type_can_have_thresholds_of_its_own() {
    let settings = Settings::load(&environment(&[
        ("FLEETBEAT__HEALTH_CHECK__PER_TYPE__EDGE__FAILURE_THRESHOLD", "5"),
        ("FLEETBEAT__HEALTH_CHECK__RECHECK_DELAY_SECONDS", "0.25"),
    ]))
    .unwrap();
    assert_eq!(settings.health_check.edge().failure_threshold, 5);
    assert_eq!(settings.health_check.hub().failure_threshold, 2);
    assert_eq!(settings.health_check.edge().recheck_delay, Duration::from_millis(250));
}

#[test]
fn a_url_file_is_read_and_a_later_source_replaces_it() {
    let secret = file("postgresql://app:s3cret@db/fleet\n");
    let path = secret.path().display().to_string();
    let from_file = file(&format!("database_url_file: {path}\n"));
    let settings = Settings::load(&inputs(&from_file, &[])).unwrap();
    assert_eq!(settings.database_url.expose(), "postgresql://app:s3cret@db/fleet");
    let replaced = inputs(&from_file, &[("FLEETBEAT__DATABASE_URL", "sqlite:///tmp/x.db")]);
    let settings = Settings::load(&replaced).unwrap();
    assert_eq!(settings.database(), Database::Sqlite("/tmp/x.db".into()));

    let both = file("redis_url: redis://a\nredis_url_file: /b\n");
    assert!(only_problem(&inputs(&both, &[])).message.contains("not both"));
    let gone = only_problem(&environment(&[("FLEETBEAT__REDIS_URL_FILE", "/nowhere/at/all")]));
    assert_eq!(gone.key, "redis_url_file");
}

#[test]
fn nobody_can_switch_the_verification_of_certificates_off() {
    for value in ["true", "false"] {
        let problem = only_problem(&environment(&[("FLEETBEAT__PROBES__ALLOW_INSECURE_SKIP_TLS_VERIFY", value)]));
        assert_eq!(problem.key, "probes.allow_insecure_skip_tls_verify");
        assert!(
            problem.message.contains("always verified") && problem.message.contains("ca_bundle"),
            "{}",
            problem.message
        );
    }
}

#[test]
fn no_secret_is_ever_displayed() {
    for url in [
        "postgresql://app:hunter2@db:5432/fleet?sslmode=require&password=hunter2",
        "postgresql://app:hun#hunter2@db/fleet",
        "postgresql://app:12/hunter2@db/fleet",
        "postgresql://app:12?hunter2@db/fleet",
        "postgresql://app:hunter2 with spaces@db:x/fleet",
        "hunter2",
    ] {
        let inputs = environment(&[("FLEETBEAT__DATABASE_URL", url)]);
        let shown = match Settings::load(&inputs) {
            Ok(settings) => format!("{settings:?} {} {}", settings.describe(), settings.database_url),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn the_description_is_itself_a_settings_file() {
    let settings = Settings::load(&environment(&[
        ("FLEETBEAT__HEALTH_CHECK__RECHECK_DELAY_SECONDS", "0.25"),
        ("FLEETBEAT__MONITOR__CANARIES", "https://a.example/x, https://b.example"),
        ("FLEETBEAT__PROBES__DENY_CIDRS", "10.0.0.0/8"),
    ]))
    .unwrap();
    let described = file(&settings.describe());
    assert_eq!(Settings::load(&inputs(&described, &[])).unwrap(), settings);
}

#[test]
fn the_data_directory_follows_the_home_of_the_user() {
    let directory = |pairs: &[(&str, &str)]| Settings::load(&environment(pairs)).unwrap().data_dir;
    assert_eq!(directory(&[("HOME", "/h")]), PathBuf::from("/h/.local/share/fleetbeat"));
    assert_eq!(directory(&[("HOME", "/h"), ("XDG_DATA_HOME", "/x")]), PathBuf::from("/x/fleetbeat"));
    assert_eq!(directory(&[("HOME", "/h"), ("FLEETBEAT__DATA_DIR", "/d")]), PathBuf::from("/d"));
}

#[test]
fn an_unreadable_or_broken_file_is_named() {
    let absent = Inputs { file: Some("/nowhere/fleetbeat.yaml".into()), ..Inputs::default() };
    assert_eq!(only_problem(&absent).source, "/nowhere/fleetbeat.yaml");
    let broken = only_problem(&inputs(&file("a: [1\nb: }"), &[]));
    assert!(broken.message.contains("is not valid YAML"), "{broken}");
}

fn environment(pairs: &[(&str, &str)]) -> Inputs {
    Inputs {
        environment: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Inputs::default()
    }
}

fn inputs(file: &tempfile::NamedTempFile, pairs: &[(&str, &str)]) -> Inputs {
    Inputs { file: Some(file.path().to_owned()), ..environment(pairs) }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn only_problem(inputs: &Inputs) -> Problem {
    let mut problems = Settings::load(inputs).unwrap_err().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

fn keys(value: &Value, prefix: &str) -> BTreeSet<String> {
    match value.as_object() {
        None => BTreeSet::from([prefix.to_owned()]),
        Some(inner) => inner.iter().flat_map(|(key, value)| keys(value, &format!("{prefix}.{key}"))).collect(),
    }
}

#[test]
fn a_list_may_stand_in_brackets_in_the_environment() {
    let inputs = environment(&[
        ("FLEETBEAT__AUTH__GATEWAY__CLIENT_NAMES", r#"["a, b", c]"#),
        ("FLEETBEAT__AUTH__GATEWAY__GRANTS", r#"[{"group": "admins", "role": "admin"}]"#),
        ("FLEETBEAT__SERVER__LISTEN", "10.0.0.1:8080"),
        ("FLEETBEAT__SERVER__TLS__CERT_FILE", "/c"),
        ("FLEETBEAT__SERVER__TLS__KEY_FILE", "/k"),
        ("FLEETBEAT__SERVER__TLS__CLIENT_CA_FILE", "/a"),
    ]);
    let gateway = Settings::load(&inputs).unwrap().auth.gateway;
    assert_eq!(gateway.client_names, ["a, b", "c"]);
    assert_eq!((gateway.grants[0].group.as_str(), gateway.grants[0].role.as_str()), ("admins", "admin"));
}

#[test]
fn every_method_of_auth_opens_other_addresses_and_none_of_them_says_what_to_set() {
    let load = |pairs: &[(&str, &str)]| {
        let outside = [("FLEETBEAT__SERVER__LISTEN", "0.0.0.0:8080")];
        Settings::load(&environment(&[&outside, pairs].concat()))
    };
    let told = load(&[]).unwrap_err().to_string();
    for key in ["tokens.enabled", "oidc.issuer", "kubernetes.enabled", "gateway.client_names", "gateway.unix_socket"] {
        assert!(told.contains(&format!("auth.{key}")), "{told}");
    }
    let grants = r#"[{group: "*", role: viewer}]"#;
    load(&[("FLEETBEAT__AUTH__TOKENS__ENABLED", "true")]).unwrap();
    let socket = [("FLEETBEAT__AUTH__GATEWAY__UNIX_SOCKET", "true"), ("FLEETBEAT__AUTH__GATEWAY__GRANTS", grants)];
    assert!(load(&socket).unwrap_err().to_string().contains("server.also_listen"));
    load(&[&socket[..], &[("FLEETBEAT__SERVER__ALSO_LISTEN", "unix:/run/fleetbeat.sock")]].concat()).unwrap();
    load(&[("FLEETBEAT__AUTH__KUBERNETES__ENABLED", "true"), ("FLEETBEAT__AUTH__KUBERNETES__GRANTS", grants)]).unwrap();
    load(&[
        ("FLEETBEAT__AUTH__OIDC__ISSUER", "https://issuer.example"),
        ("FLEETBEAT__AUTH__OIDC__AUDIENCES", "fleetbeat"),
        ("FLEETBEAT__AUTH__OIDC__GRANTS", grants),
    ])
    .unwrap();
}

#[test]
fn an_issuer_that_nobody_should_believe_is_refused_by_key() {
    let grants = r#"[{group: a, role: root}, {group: b, role: viewer, cluster_ids: [x]}, {group: c, role: viewer}]"#;
    let error = Settings::load(&environment(&[
        ("FLEETBEAT__AUTH__OIDC__ISSUER", "http://issuer.example"),
        ("FLEETBEAT__AUTH__OIDC__ALGORITHMS", "RS256,HS256"),
        ("FLEETBEAT__AUTH__OIDC__GRANTS", grants),
        ("FLEETBEAT__AUTH__OIDC__CLOCK_SKEW_SECONDS", "3600"),
    ]))
    .unwrap_err();
    let keys: Vec<_> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
    let expected = ["issuer", "audiences", "algorithms", "clock_skew_seconds", "grants[0]", "grants[1]"];
    assert_eq!(keys, expected.map(|key| format!("auth.oidc.{key}")));
}
