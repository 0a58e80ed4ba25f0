//! Secrets of credentials as people use them: read back with kubectl what fleetbeat wrote, and the other way round.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

use super::secrets::House;
use crate::support::{Scratch, eventually};

/// kubectl with one kubeconfig, and nothing of the user's own.
struct Kubectl<'a> {
    scratch: &'a Scratch,
    kubeconfig: String,
}

impl<'a> Kubectl<'a> {
    fn new(scratch: &'a Scratch, name: &str, kubeconfig: &str) -> Self {
        Self { scratch, kubeconfig: scratch.write(name, kubeconfig, None).display().to_string() }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "60", "kubectl", "--kubeconfig", &self.kubeconfig, "--request-timeout=20s"]);
        command.args(arguments).current_dir(self.scratch.path()).env_clear().env("HOME", self.scratch.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null()).output().unwrap()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_reads_what_fleetbeat_wrote_and_fleetbeat_uses_what_kubectl_wrote() {
    if !Command::new("kubectl").args(["version", "--client"]).output().is_ok_and(|done| done.status.success()) {
        eprintln!("SKIPPED: no kubectl here");
        return;
    }
    let Some(house) = House::open().await else { return };
    let (server, client, scratch) = (&house.server, &house.client, Scratch::new());
    let kubectl = Kubectl::new(&scratch, "admin", &server.kubeconfig(server.token()));
    client.put(&format!("/api/v1/clusters/{}", house.id), &json!({ "endpoints": {} })).await.expect(200);
    let upload = json!({ "auth_type": "TOKEN", "token": server.token() });
    client.post(&house.path(), &upload).await.expect(200);

    // Found by its labels; the kubeconfig in it is one that kubectl works with.
    let selector = format!("app.kubernetes.io/component=cluster-registry,aiops.io/cluster-id={}", house.id);
    let name = format!("cluster-creds-{}", house.id);
    let get = ["-n", "aiops-nextgen", "get", "secret"];
    let listed = kubectl.says(&[&get[..], &["-l", &selector, "-o", "name"]].concat());
    assert_eq!(listed.trim(), format!("secret/{name}"));
    let data = kubectl.says(&[&get[..], &[&name, "-o", "jsonpath={.data.kubeconfig}"]].concat());
    let kubeconfig = String::from_utf8(BASE64_STANDARD.decode(data.trim()).unwrap()).unwrap();
    let as_spoke = Kubectl::new(&scratch, "of-the-secret", &kubeconfig);
    assert_eq!(as_spoke.says(&["get", "namespace", "aiops-nextgen", "-o", "name"]).trim(), "namespace/aiops-nextgen");
    house.until("ONLINE", "healthy").await;

    // Deleted and made anew by kubectl: used as it is, good or not.
    kubectl.says(&["-n", "aiops-nextgen", "delete", "secret", &name]);
    let make = |token: &str| {
        let file = scratch.write("kubeconfig", &server.kubeconfig(token), None);
        let from = format!("--from-file=kubeconfig={}", file.display());
        kubectl.says(&["-n", "aiops-nextgen", "create", "secret", "generic", &name, &from]);
        let pairs = selector.split(',').collect::<Vec<_>>();
        kubectl.says(&[&["-n", "aiops-nextgen", "label", "secret", &name][..], &pairs].concat());
    };
    make("wrong");
    house.until("DEGRADED", "unauthorized").await;
    kubectl.says(&["-n", "aiops-nextgen", "delete", "secret", &name]);
    make(server.token());
    eventually(Duration::from_secs(30), async || {
        let told = client.get(&house.path()).await;
        if told.status == 200 { Ok(()) } else { Err(told.text()) }
    })
    .await;
    house.until("ONLINE", "healthy").await;
}
