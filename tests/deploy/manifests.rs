//! The chart and the kustomize base: rendered, held against the schemas of Kubernetes, and offered to a real API server.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::outside::{content, path, text};
use crate::support::{KubeApiserver, Product, Scratch};

const CHART: &str = "deploy/helm/fleetbeat";
/// Kinds that are no part of Kubernetes itself: neither its schemas nor its API server know them.
const FOREIGN: [&str; 3] = ["Route", "ServiceMonitor", "PrometheusRule"];
/// Versions of Kubernetes whose schemas are asked: the oldest that the chart admits, and later ones.
const VERSIONS: [&str; 3] = ["1.25", "1.29", "1.33"];

/// What the chart is rendered with: a name, and values over its own.
fn cases() -> Vec<(&'static str, Value)> {
    let secret = |name: &str| json!({ "existingSecret": name });
    let everything = json!({
        "image": { "repository": "registry.example.com/fleetbeat", "tag": "1.2.3" },
        "imagePullSecrets": [{ "name": "pull" }],
        "database": secret("urls"), "redis": secret("urls"), "credentialsKey": secret("seal"),
        "config": { "probes": { "allow_private": false } },
        "env": [{ "name": "RUST_BACKTRACE", "value": "1" }],
        "persistence": { "storageClassName": "fast" },
        "rbac": { "secrets": { "enabled": true, "namespace": "aiops-nextgen" }, "tokenReview": true, "watchThisCluster": true },
        "service": { "annotations": { "a": "b" } },
        "ingress": { "enabled": true, "className": "nginx", "host": "fleet.example.com", "tlsSecret": "cert", "annotations": { "a": "b" } },
        "metrics": {
            "serviceMonitor": { "enabled": true, "tokenSecret": "viewer", "labels": { "release": "prometheus" } },
            "prometheusRule": { "enabled": true, "labels": { "release": "prometheus" } },
            "dashboard": { "enabled": true },
        },
        "networkPolicy": { "ingressFrom": [{ "namespaceSelector": { "matchLabels": { "a": "b" } } }] },
        "podAnnotations": { "a": "b" }, "podLabels": { "a": "b" }, "nodeSelector": { "a": "b" },
        "tolerations": [{ "key": "a", "operator": "Exists" }], "priorityClassName": "high",
        "affinity": { "nodeAffinity": {} },
    });
    let openshift = json!({ "openshift": true, "route": { "enabled": true, "host": "fleet.example.com" } });
    let bare = json!({
        "persistence": { "enabled": false }, "networkPolicy": { "enabled": false }, "podDisruptionBudget": { "enabled": false },
        "serviceAccount": { "create": false, "name": "default" }, "fullnameOverride": "fb",
    });
    vec![("default", json!({})), ("everything", everything), ("openshift", openshift), ("bare", bare)]
}

/// Renders charts: Helm where there is one, otherwise the program in `tests/deploy/render`, made with Debian's Go.
struct Renderer {
    program: PathBuf,
    helm: bool,
    scratch: Scratch,
}

impl Renderer {
    fn if_possible() -> Option<Self> {
        let scratch = Scratch::new();
        if Command::new("helm").arg("version").output().is_ok() {
            return Some(Self { program: "helm".into(), helm: true, scratch });
        }
        let program = scratch.path().join("render");
        let mut build = Command::new("go");
        build.args(["build", "-o"]).arg(&program).arg(path("tests/deploy/render/render.go"));
        build.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOFLAGS", "");
        match build.output() {
            Ok(done) if done.status.success() => Some(Self { program, helm: false, scratch }),
            other => {
                eprintln!(
                    "SKIPPED: neither helm nor Debian's golang-go with sprig is here, so no chart is rendered: {other:?}"
                );
                None
            }
        }
    }

    /// The manifests, or what stands in the way.
    fn try_render(&self, values: &Value) -> Result<String, String> {
        let file = self.scratch.write("values.yaml", &values.to_string(), None);
        let mut command = Command::new(&self.program);
        if self.helm {
            command.args(["template", "fb", CHART, "--namespace", "fleet", "--values"]).arg(&file);
        } else {
            command.args([CHART, "fb", "fleet"]).arg(&file);
        }
        let output = command.current_dir(path("")).output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    fn render(&self, values: &Value) -> Vec<Value> {
        documents(&self.try_render(values).unwrap_or_else(|error| panic!("{values}: {error}")))
    }
}

/// The documents of a stream of YAML.
fn documents(stream: &str) -> Vec<Value> {
    let parts = format!("\n{stream}");
    let parts = parts
        .split("\n---")
        .map(str::trim)
        .filter(|part| part.lines().any(|line| !line.starts_with('#') && !line.is_empty()));
    parts.map(|part| serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{error}\n{part}"))).collect()
}

fn kind(document: &Value) -> &str {
    document["kind"].as_str().unwrap()
}

fn of_kind<'a>(documents: &'a [Value], wanted: &str) -> &'a Value {
    documents.iter().find(|document| kind(document) == wanted).unwrap_or_else(|| panic!("no {wanted}"))
}

fn kustomized(folder: &str) -> Option<Vec<Value>> {
    content("kubectl", &["kustomize", folder]).map(|stream| documents(&stream))
}

/// Everything that is delivered, by where it comes from.
fn everything_rendered() -> Vec<(String, Vec<Value>)> {
    let mut all = Vec::new();
    if let Some(renderer) = Renderer::if_possible() {
        all.extend(cases().iter().map(|(name, values)| (format!("chart, {name}"), renderer.render(values))));
    }
    for folder in ["deploy/kustomize/base", "deploy/kustomize/postgresql"] {
        all.extend(kustomized(folder).map(|documents| (folder.to_owned(), documents)));
    }
    all.push(("deploy/rbac".to_owned(), documents(&text("deploy/rbac/spoke.yaml"))));
    all
}

#[test]
fn every_manifest_keeps_to_the_schemas_of_kubernetes() {
    let Ok(program) = std::env::var("FLEETBEAT_KUBERNETES_VALIDATE") else {
        eprintln!("SKIPPED: FLEETBEAT_KUBERNETES_VALIDATE names no kubernetes-validate, so no schema was asked");
        return;
    };
    let scratch = Scratch::new();
    for (place, documents) in everything_rendered() {
        let known = documents.iter().filter(|document| !FOREIGN.contains(&kind(document)));
        let stream: Vec<String> = known.map(Value::to_string).collect();
        let file = scratch.write("manifests.yaml", &stream.join("\n---\n"), None);
        for version in VERSIONS {
            let output = Command::new(&program).args(["--strict", "-k", version]).arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{place} at {version}: {said}");
            assert_eq!(said.matches(" passed for ").count(), stream.len(), "{place} at {version}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_api_server_would_take_every_manifest() {
    let Some(server) = KubeApiserver::start_if_present().await else { return };
    for namespace in ["fleet", "fleetbeat", "aiops-nextgen"] {
        server.command("POST", "/api/v1/namespaces", &json!({ "metadata": { "name": namespace } })).await;
    }
    let mut taken = 0;
    for (place, documents) in everything_rendered() {
        for document in documents.iter().filter(|document| !FOREIGN.contains(&kind(document))) {
            let version = document["apiVersion"].as_str().unwrap();
            // The server that Debian's sources make is older than policy/v1; the schemas above are not.
            if version == "policy/v1" || kind(document) == "Namespace" {
                continue;
            }
            let group = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
            let namespace = document["metadata"]["namespace"].as_str().unwrap_or("default");
            let within =
                if kind(document).starts_with("Cluster") { String::new() } else { format!("/namespaces/{namespace}") };
            let plural = match kind(document).to_lowercase() {
                word if word.ends_with('s') => format!("{word}es"),
                word if word.ends_with('y') => format!("{}ies", word.trim_end_matches('y')),
                word => format!("{word}s"),
            };
            println!("{place}: {}", kind(document));
            server.command("POST", &format!("{group}{within}/{plural}?dryRun=All"), document).await;
            taken += 1;
        }
    }
    assert!(taken > 4, "{taken}");
}

#[test]
fn the_chart_and_the_base_make_the_same_pod() {
    let (Some(renderer), Some(base)) = (Renderer::if_possible(), kustomized("deploy/kustomize/base")) else { return };
    let pod = |documents: &[Value]| {
        let mut pod = of_kind(documents, "Deployment")["spec"]["template"]["spec"].clone();
        // Kustomize puts a hash behind the name.
        pod["volumes"][1]["configMap"] = Value::Null;
        pod
    };
    let chart = renderer.render(&json!({ "fullnameOverride": "fleetbeat" }));
    assert_eq!(pod(&chart), pod(&base));
    let rules = |documents: &[Value]| of_kind(documents, "NetworkPolicy")["spec"]["egress"].clone();
    assert_eq!(rules(&chart), rules(&base));
    let settings = |documents: &[Value]| -> Value {
        serde_saphyr::from_str(of_kind(documents, "ConfigMap")["data"]["fleetbeat.yaml"].as_str().unwrap()).unwrap()
    };
    assert_eq!(settings(&chart), settings(&base));
}

#[test]
fn the_pod_is_confined_and_holds_no_secret() {
    let Some(renderer) = Renderer::if_possible() else { return };
    for (name, values) in cases() {
        let documents = renderer.render(&values);
        let pod = &of_kind(&documents, "Deployment")["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["runAsUser"].is_null(), name == "openshift");
        assert_eq!(pod["automountServiceAccountToken"], name == "everything");
        let confined = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        });
        assert_eq!(pod["containers"][0]["securityContext"], confined, "{name}");
        assert!(documents.iter().all(|document| kind(document) != "Secret"));
    }
}

#[test]
fn fleetbeat_takes_the_settings_that_the_chart_writes() {
    let Some(renderer) = Renderer::if_possible() else { return };
    let product = Product::new();
    for (name, values) in cases() {
        let documents = renderer.render(&values);
        let settings = of_kind(&documents, "ConfigMap")["data"]["fleetbeat.yaml"].as_str().unwrap().to_owned();
        // The secrets are where only the pod has them.
        let settings: String =
            settings.lines().filter(|line| !line.contains("_url_file")).map(|line| format!("{line}\n")).collect();
        let file = renderer.scratch.write("settings.yaml", &settings, None);
        let said = product.run(&["config", "check", "--config", file.to_str().unwrap()]);
        assert!(said.status.success(), "{name}: {}\n{settings}", String::from_utf8_lossy(&said.stderr));
    }
}

#[test]
fn promtool_takes_the_rules_and_the_dashboard_of_the_chart() {
    let Some(renderer) = Renderer::if_possible() else { return };
    let documents = renderer.render(&cases()[1].1);
    let rules = renderer.scratch.write("rules.yaml", &of_kind(&documents, "PrometheusRule")["spec"].to_string(), None);
    content("promtool", &["check", "rules", rules.to_str().unwrap()]);
    let board = documents.iter().find_map(|document| document["data"]["fleetbeat.json"].as_str()).unwrap();
    let board: Value = serde_json::from_str(board).unwrap();
    assert_eq!(board["uid"], "fleetbeat");
    let monitor = of_kind(&documents, "ServiceMonitor");
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], of_kind(&documents, "Service")["spec"]["selector"]);
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], of_kind(&documents, "Service")["spec"]["ports"][0]["name"]);
}

#[test]
fn values_are_held_against_the_schema_of_the_chart() {
    let Ok(program) = std::env::var("FLEETBEAT_KUBERNETES_VALIDATE") else {
        eprintln!("SKIPPED: no Python with jsonschema here");
        return;
    };
    let python = Path::new(&program).with_file_name("python");
    let script = "import json, sys, yaml, jsonschema\n\
        jsonschema.validate(yaml.safe_load(open(sys.argv[2])), json.load(open(sys.argv[1])))";
    let scratch = Scratch::new();
    let judged = |file: &Path| {
        let schema = path(CHART).join("values.schema.json");
        Command::new(&python).args(["-c", script]).arg(schema).arg(file).output().unwrap()
    };
    let own = judged(&path(CHART).join("values.yaml"));
    assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));
    for wrong in [
        json!({ "replicas": 3 }),
        json!({ "persistence": { "enable": true } }),
        json!({ "config": { "server": { "listen": "127.0.0.1:8080" } } }),
        json!({ "securityContext": { "runAsUser": 0 } }),
    ] {
        let file = scratch.write("wrong.yaml", &wrong.to_string(), None);
        assert!(!judged(&file).status.success(), "{wrong} was taken");
    }
}

#[test]
fn an_account_that_is_not_made_must_be_named() {
    let Some(renderer) = Renderer::if_possible() else { return };
    let refused = renderer.try_render(&json!({ "serviceAccount": { "create": false } })).unwrap_err();
    assert!(refused.contains("serviceAccount.name is needed"), "{refused}");
}
