//! `fleetbeat context`: several servers by name.

use std::os::unix::fs::PermissionsExt;

use super::support::Product;

#[tokio::test(flavor = "multi_thread")]
async fn the_chosen_server_is_asked_with_its_own_token() {
    let guarded = Product::new().set("auth.tokens.enabled", true).started().await;
    let open = Product::new().started().await;
    let (url, token) = (guarded.url(), guarded.data_dir().join("admin-token"));
    // The first of them has a home in which nothing else is set.
    let ask = |arguments: &[&str]| {
        let said = guarded.run(arguments);
        (said.status.code().unwrap(), String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
    };
    assert_eq!(ask(&["context", "list"]).0, 0);
    assert_eq!(ask(&["context", "use", "prod"]).0, 2);
    assert_eq!(ask(&["context", "add", "prod", "--server", &url, "--token-file", token.to_str().unwrap()]).0, 0);
    assert_eq!(ask(&["context", "add", "open", "--server", &open.url()]).0, 0);
    let file = guarded.data_dir().parent().unwrap().join(".config/fleetbeat/contexts.yaml");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = std::fs::read_to_string(&token).unwrap();
    assert!(!std::fs::read_to_string(&file).unwrap().contains(secret.trim()), "a token was written down");

    let (code, listed) = ask(&["context", "list"]);
    assert_eq!(code, 0);
    assert!(listed.contains("*  prod  http"), "{listed}");
    assert_eq!(ask(&["clusters", "list"]).1, "no clusters\n");
    assert_eq!(ask(&["clusters", "add", "abc", "--api-server", "https://127.0.0.1:1", "--at", "open"]).0, 0);
    assert_eq!(ask(&["clusters", "list"]).1, "no clusters\n");
    assert_eq!(ask(&["context", "use", "open"]).0, 0);
    assert_eq!(ask(&["clusters", "list", "-o", "name"]).1, "abc\n");

    // A server named by hand gets no token of a context.
    assert_eq!(ask(&["context", "use", "prod"]).0, 0);
    assert_eq!(ask(&["clusters", "list", "--server", &url]).0, 1);
    assert_eq!(ask(&["clusters", "list", "--server", &url, "--at", "open"]).0, 2);
    assert_eq!(ask(&["context", "rm", "prod"]).0, 0);
    assert_eq!(ask(&["clusters", "list", "--at", "prod"]).0, 2);
}
