//! `fleetbeat clusters import`: files, kubeconfigs, standard input; twice, and rehearsed.

use insta::assert_snapshot;

use super::desk::{Desk, spokes};
use super::steady::steady;

const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
users:
- {name: admin, user: {token: a-secret-token}}
clusters:
- {name: prod, cluster: {server: "https://127.0.0.1:1", tls-server-name: kubernetes}}
- {name: by-file, cluster: {server: "https://127.0.0.1:2", certificate-authority: /etc/ca.pem}}
contexts:
- {name: "admin@Prod_1", context: {cluster: prod, user: admin}}
- {name: "viewer@Prod_1", context: {cluster: prod, user: admin}}
- {name: by-file, context: {cluster: by-file, user: admin}}
"#;

fn write(desk: &Desk, name: &str, text: &str) -> String {
    let path = desk.product.data_dir().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_imported_once_however_often_it_is_given() {
    let (desk, fleet) = (Desk::open().await, spokes(250, 22));
    let file = write(&desk, "fleet.yaml", &serde_saphyr::to_string(&fleet.registrations()).unwrap());
    let rehearsed = desk.ask(&["clusters", "import", &file, "--dry-run"]).expect(0);
    assert_eq!(rehearsed.err, "250 would be created\n");
    assert_eq!(desk.ask(&["clusters", "list", "-o", "name"]).expect(0).out, "");
    assert_eq!(desk.ask(&["clusters", "import", &file]).expect(0).err, "250 created\n");
    assert_eq!(desk.ask(&["clusters", "import", &file]).expect(0).err, "250 unchanged\n");
    assert_eq!(desk.ask(&["clusters", "list", "-o", "name"]).expect(0).out.lines().count(), 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_gives_its_contexts_and_keeps_its_secrets() {
    let desk = Desk::open().await;
    let file = write(&desk, "kubeconfig", KUBECONFIG);
    let rehearsed = desk.ask(&["clusters", "import", "--kubeconfig", &file, "--dry-run"]).expect(1);
    assert_snapshot!("kubeconfig_rehearsed", rehearsed.out);
    let done = desk.ask(&["clusters", "import", "--kubeconfig", &file, "--environment", "lab"]).expect(1);
    assert_snapshot!("kubeconfig", format!("{}---\n{}", done.out, done.err));
    let cluster = desk.ask(&["clusters", "get", "admin-prod-1", "-o", "json"]).expect(0).json();
    assert_eq!(cluster["tls_server_name"], "kubernetes");
    assert_eq!(cluster["environment"], "LAB");
    assert!(!cluster.to_string().contains("a-secret-token"));
    let one = desk.ask(&["clusters", "import", &file, "--context", "admin@Prod_1", "-o", "json"]).expect(0).json();
    assert_eq!(one["items"][0]["result"], "unchanged");
    desk.ask(&["clusters", "import", "--kubeconfig", &file, "--context", "nobody"]).expect(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_has_its_own_result_and_nonsense_is_refused_whole() {
    let desk = Desk::open().await;
    let clusters = r#"{"clusters":[{"name":"one","api_server_url":"https://127.0.0.1:1"},{"name":"X"}]}"#;
    let said = desk.shell(&format!("echo '{clusters}' | $fleetbeat clusters import -")).expect(1);
    assert_snapshot!("items", steady(&format!("{}---\n{}", said.out, said.err)));
    for (name, text) in
        [("a.yaml", "clusters: 5"), ("b.json", "{\"clusters\": ["), ("c.yaml", "just words"), ("d.yaml", "[7]")]
    {
        desk.ask(&["clusters", "import", &write(&desk, name, text)]).expect(1);
    }
    desk.ask(&["clusters", "import", "/nowhere/at/all"]).expect(1);
    desk.ask(&["clusters", "import"]).expect(2);
}
