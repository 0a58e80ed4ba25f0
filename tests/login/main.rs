//! Callers of the real binary who are known elsewhere: at an issuer, at a hub, to a gateway.
#![cfg(test)]

mod gateway;
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};
use support::{Answer, Client, Issuer, KubeApiserver, Product, issuer};

/// A product that believes an issuer, and its own address.
async fn product(issuer: &Issuer) -> Product {
    let mut product = Product::new();
    // Where the product's own files are: it lives as long as those.
    let authority = product.data_dir().with_file_name("issuer.crt");
    std::fs::write(&authority, issuer.ca_pem()).unwrap();
    product = product
        .set("auth.oidc.issuer", issuer.url())
        .set("auth.oidc.audiences", issuer::AUDIENCE)
        .set("auth.oidc.ca_file", authority.display())
        .set("auth.oidc.client_id", issuer::CLIENT)
        .set("auth.oidc.client_secret", issuer::SECRET)
        .set("auth.oidc.grants", r#"[{"group": "admins", "role": "admin"}, {"group": "readers", "role": "viewer"}]"#);
    let url = product.url();
    product.put("auth.oidc.public_url", url);
    product.started().await
}

/// The value of a cookie that an answer sets.
fn cookie(answer: &Answer, name: &str) -> String {
    let set = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let mut values = set.filter_map(|text| text.split(';').next()?.strip_prefix(&format!("{name}=")));
    values.next_back().unwrap_or_default().to_owned()
}

/// Begins to sign in: where to, and the cookie of it.
async fn begin(client: &Client, path: &str) -> (String, String) {
    let begun = client.get(path).await.expect(302);
    let attributes = begun.header("set-cookie").to_owned();
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=600"] {
        assert!(attributes.contains(attribute), "{attributes}");
    }
    assert_eq!(begun.header("cache-control"), "no-store");
    (begun.header("location").to_owned(), cookie(&begun, "fleetbeat-login"))
}

/// Comes back from the issuer with the cookie of the beginning.
async fn come_back(product: &Product, back: &str, login: &str) -> Answer {
    let path = back.strip_prefix(&product.url()).expect("sent back to us");
    product.client().with_header("cookie", &format!("fleetbeat-login={login}")).get(path).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_uses_the_dashboard_and_signs_out() {
    let issuer = Issuer::start().await;
    let mut product = product(&issuer).await;
    let client = product.client();
    client.get("/api/v1/clusters").await.expect(401);
    let methods = client.get("/api/v1/auth/methods").await.expect(200).json();
    assert_eq!((&methods["login_url"], &methods["methods"]), (&json!("/auth/login"), &json!(["oidc", "session"])));

    let (location, login) = begin(&client, "/auth/login?return_to=/table%3Fgroup%3Dregion").await;
    let back = issuer.sign_in(&location).await;
    let come = come_back(&product, &back, &login).await.expect(302);
    assert_eq!(come.header("location"), "/table?group=region");
    let session = cookie(&come, "fleetbeat-session");
    let browser = client.clone().with_header("cookie", &format!("other=1; fleetbeat-session={session}"));
    let who = browser.get("/api/v1/whoami").await.expect(200).json();
    assert_eq!((&who["id"], &who["name"], &who["role"]), (&json!("oidc:ada"), &json!("Ada"), &json!("admin")));

    let body = json!({ "name": "one", "api_server_url": "https://127.0.0.1:9" });
    browser.post("/api/v1/clusters", &body).await.expect(403);
    let dashboard = browser.clone().with_header("x-fleetbeat-request", "1").with_header("origin", &product.url());
    let made = dashboard.post("/api/v1/clusters", &body).await.expect(201).json();
    assert_eq!(made["created_by"], "oidc:ada");

    // The code and the beginning are good for once; the session survives a restart, and its id is nowhere on disk.
    assert_ne!(come_back(&product, &back, &login).await.status, 302);
    product.terminate(std::time::Duration::from_secs(20)).await;
    for file in
        std::fs::read_dir(product.data_dir()).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file())
    {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(session.len()).any(|window| window == session.as_bytes()), "{}", file.display());
    }
    product.start().await;
    assert!(!product.logs().contains(&session) && !product.logs().contains(issuer::SECRET));
    browser.get("/api/v1/whoami").await.expect(200);
    dashboard.post("/auth/logout", &Value::Null).await.expect(204);
    browser.get("/api/v1/whoami").await.expect(401);
    product.terminate(std::time::Duration::from_secs(20)).await;
    product.start().await;
    browser.get("/api/v1/whoami").await.expect(401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_sent_elsewhere() {
    let issuer = Issuer::start().await;
    let product = product(&issuer).await;
    for evil in
        ["//evil.example", "https://evil.example", "/\\evil.example", "/%09/evil.example", "%2F%2Fevil.example", "x"]
    {
        let answer = product.client().get(&format!("/auth/login?return_to={evil}")).await.expect(400);
        assert_eq!(answer.json()["error"]["details"][0]["field"], "return_to");
    }
    // Not by the Host that a request names either.
    let host = product.client().with_header("host", "evil.example");
    let (location, _) = begin(&host, "/auth/login").await;
    assert!(location.starts_with(issuer.url()) && !location.contains("evil"), "{location}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_did_not_begin_here_or_is_not_confirmed_gets_no_session() {
    let issuer = Issuer::start().await;
    let product = product(&issuer).await;
    let client = product.client();
    let (location, login) = begin(&client, "/auth/login").await;
    let (_, other) = begin(&client, "/auth/login").await;
    let back = issuer.sign_in(&location).await;
    for (case, back, login) in [
        ("another browser's beginning", back.clone(), other),
        ("no beginning", back.clone(), String::new()),
        ("a made-up beginning", back.clone(), "AAAA".repeat(40)),
        ("a changed beginning", back.clone(), login.replace(&login[20..22], "__")),
        ("another state", back.replace("state=", "state=x"), login.clone()),
        ("no state", back.split("&state").next().unwrap().to_owned(), login.clone()),
        ("two codes", format!("{back}&code=x"), login.clone()),
        ("an error", format!("{}/auth/callback?error=access_denied&state=x", product.url()), login.clone()),
    ] {
        let answer = come_back(&product, &back, &login).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, ""), "{case}");
    }
    let page = client.clone().with_header("accept", "text/html,*/*").get("/auth/callback?error=access_denied").await;
    assert_eq!(page.expect(302).header("location"), "/?sign_in=refused");
    come_back(&product, &back, &login).await.expect(302);

    for (claim, value) in [
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("aud", json!("another")),
        ("aud", json!([issuer::CLIENT, "another"])),
        ("azp", json!("another")),
        ("iss", json!("https://evil.example")),
        ("exp", json!(1_000_000)),
        ("exp", Value::Null),
        ("sub", Value::Null),
    ] {
        let (location, login) = begin(&client, "/auth/login").await;
        let back = issuer.sign_in(&location).await;
        issuer.bend(claim, value.clone());
        let answer = come_back(&product, &back, &login).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, ""), "{claim} {value}");
        issuer.straighten();
    }
    issuer.set_person(json!({ "sub": "eve", "groups": ["strangers"] }));
    let (location, login) = begin(&client, "/auth/login").await;
    come_back(&product, &issuer.sign_in(&location).await, &login).await.expect(403);
    issuer.set_down(true);
    let (location, login) = begin(&client, "/auth/login").await;
    come_back(&product, &issuer.sign_in(&location).await, &login).await.expect(401);
}

/// A file that lives as long as its test.
fn file(text: &str) -> tempfile::TempPath {
    use std::os::unix::fs::PermissionsExt;
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_known_to_a_real_hub_comes_in_with_a_token_made_for_us() {
    let Some(mut server) = KubeApiserver::start_if_present().await else { return };
    let kubeconfig = file(&server.kubeconfig(server.token()));
    let product = Product::new()
        .set("hub.kubeconfig", kubeconfig.display())
        .set("hub.timeout_seconds", 8)
        .set("auth.kubernetes.enabled", true)
        .set("auth.kubernetes.grants", r#"[{"group": "system:serviceaccounts:default", "role": "operator"}]"#)
        .started()
        .await;
    let plain = server.service_account("caller").await;
    let ours = server.token_for("default", "caller", "fleetbeat").await;
    let who = product.bearing(&ours).get("/api/v1/whoami").await.expect(200).json();
    assert_eq!(
        (&who["id"], &who["role"]),
        (&json!("kubernetes:system:serviceaccount:default:caller"), &json!("operator"))
    );
    let theirs = server.token_for("default", "caller", "somebody-else").await;
    let cut = &ours[..ours.len() - 4];
    for (case, token) in [("of the API server", plain.as_str()), ("for others", &theirs), ("cut", cut), ("none", "x")] {
        assert_eq!(product.bearing(token).get("/api/v1/whoami").await.status, 401, "a token {case}");
    }
    let unheard = server.token_for("default", "caller", "fleetbeat").await;
    server.pause();
    product.bearing(&unheard).get("/api/v1/whoami").await.expect(503);
    server.resume();
}

/// A browser that signed in as the issuer's next person: its client, with what changes something allowed.
async fn signed_in(product: &Product, issuer: &Issuer) -> Client {
    let (location, login) = begin(&product.client(), "/auth/login").await;
    let come = come_back(product, &issuer.sign_in(&location).await, &login).await.expect(302);
    let session = format!("fleetbeat-session={}", cookie(&come, "fleetbeat-session"));
    product.client().with_header("cookie", &session).with_header("x-fleetbeat-request", "1")
}

async fn names(client: &Client, path: &str) -> Vec<(String, String, bool)> {
    let items = client.get(path).await.expect(200).json()["items"].as_array().unwrap().clone();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    items.iter().map(|item| (text(item, "id"), text(item, "caller"), item["current"] == true)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_listed_and_ended_by_their_person_and_by_administrators() {
    const ALL: &str = "/api/v1/sessions";
    const OWN: &str = "/api/v1/whoami/sessions";
    let issuer = Issuer::start().await;
    let product = product(&issuer).await;
    let (ada, ada_elsewhere) = (signed_in(&product, &issuer).await, signed_in(&product, &issuer).await);
    issuer.set_person(json!({ "sub": "bob", "groups": ["readers"] }));
    let bob = signed_in(&product, &issuer).await;
    let own = names(&bob, OWN).await;
    assert!(own.len() == 1 && own[0].1 == "oidc:bob" && own[0].2, "{own:?}");
    bob.get(ALL).await.expect(403);
    let all = names(&ada, ALL).await;
    let callers: Vec<_> = all.iter().map(|(_, caller, current)| (caller.as_str(), *current)).collect();
    assert_eq!(callers, [("oidc:ada", true), ("oidc:ada", false), ("oidc:bob", false)]);

    // One's own, and nobody else's.
    bob.delete(&format!("{OWN}/{}", all[0].0)).await.expect(404);
    bob.delete(&format!("{ALL}/{}", all[0].0)).await.expect(403);
    bob.delete(&format!("{OWN}/no-uuid")).await.expect(400);
    ada.delete(&format!("{OWN}/{}", all[1].0)).await.expect(204);
    ada_elsewhere.get("/api/v1/whoami").await.expect(401);
    ada.delete(&format!("{OWN}/{}", all[1].0)).await.expect(404);
    // Another site's page ends nothing, and what a session is called opens nothing.
    let id = &all[2].0;
    let foreign = ada.clone().with_header("origin", "https://evil.example");
    foreign.delete(&format!("{ALL}/{id}")).await.expect(403);
    let named = product.client().with_header("cookie", &format!("fleetbeat-session={id}"));
    named.get("/api/v1/whoami").await.expect(401);

    // The same person with a token of the issuer sees the same; the command line is an administrator's.
    let seconds = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let bearer = issuer.token(seconds, "ada", &["admins"]);
    let client = product.bearing(&bearer);
    assert_eq!(names(&client, OWN).await.len(), 1);
    let product = product.with_variable("FLEETBEAT_TOKEN", &bearer);
    let url = product.url();
    let run = |words: &[&str]| product.run(&[words, &["--server", &url]].concat());
    let listed = String::from_utf8_lossy(&run(&["sessions", "list"]).stdout).into_owned();
    assert!(listed.contains(id.as_str()) && listed.contains("oidc:bob"), "{listed}");
    let own = String::from_utf8_lossy(&run(&["sessions", "list", "--own"]).stdout).into_owned();
    assert!(!own.contains(id.as_str()) && own.contains("oidc:ada"), "{own}");
    let ended = run(&["sessions", "end", id]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    bob.get("/api/v1/whoami").await.expect(401);
    assert!(!run(&["sessions", "end", id]).status.success(), "it is over already");

    // Beginning and end are told: by whom, and whose.
    let rows = ada.get("/api/v1/audit?action=session.end&limit=100").await.expect(200).json()["items"].clone();
    let ends: Vec<_> = rows.as_array().unwrap().iter().filter(|row| row["outcome"] == "succeeded").cloned().collect();
    let told: Vec<_> = ends.iter().map(|row| (&row["actor"], &row["method"], &row["details"]["subject"])).collect();
    assert_eq!(
        told,
        [(&json!("oidc:ada"), &json!("oidc"), &json!("bob")), (&json!("oidc:ada"), &json!("session"), &json!("ada"))]
    );
    let begun = ada.get("/api/v1/audit?action=session.begin&limit=100").await.expect(200).json()["items"].clone();
    let actors: Vec<_> = begun.as_array().unwrap().iter().map(|row| row["actor"].clone()).collect();
    assert_eq!(actors, ["oidc:bob", "oidc:ada", "oidc:ada"]);
    let secret = ["fleetbeat-session", "cookie"];
    assert!(secret.iter().all(|word| !begun.to_string().contains(word)), "{begun}");
}
