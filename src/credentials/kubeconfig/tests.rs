//! A corpus of hostile kubeconfigs, the ordinary ones, and a property: reading never panics and never tells a value.

use base64::{Engine, prelude::BASE64_STANDARD};
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use secrecy::ExposeSecret;

use super::*;

/// Stands wherever a value could be; must never be seen in an error.
const CANARY: &str = "canary4d1f";

fn ordinary() -> String {
    document("server: https://api.example.com:6443", "token: canary4d1f")
}

/// A kubeconfig of one context with these lines in its cluster and user.
fn document(cluster: &str, user: &str) -> String {
    let lines = |text: &str| text.lines().map(|line| format!("      {line}\n")).collect::<String>();
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: one\nclusters:\n  - name: c\n    cluster:\n{}users:\n  - name: u\n    user:\n{}contexts:\n  - name: one\n    context: {{cluster: c, user: u}}\n",
        lines(cluster),
        lines(user)
    )
}

fn cluster(lines: &str) -> String {
    document(&format!("server: https://api.example.com:6443\n{lines}"), "token: canary4d1f")
}

fn user(lines: &str) -> String {
    document("server: https://api.example.com:6443", lines)
}

struct Identity {
    chain: String,
    key: String,
}

fn identity() -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["fleetbeat".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Identity { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn base64(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// `(what, text, path of the error)`
fn corpus() -> Vec<(&'static str, String, &'static str)> {
    let (one, other) = (identity(), identity());
    let (chain, key, strange_key) = (base64(&one.chain), base64(&one.key), base64(&other.key));
    let nested = |open: &str, depth: usize| format!("{}: {}", "extensions", open.repeat(depth));
    let server = |url: &str| document(&format!("server: {url}"), "token: canary4d1f");
    let two_contexts =
        ordinary().replace("current-context: one\n", "") + "  - name: two\n    context: {cluster: c, user: u}\n";
    let unused = ordinary().replace("contexts:", "  - name: evil\n    user: {exec: {command: canary4d1f}}\ncontexts:");
    vec![
        (
            "a program",
            user("exec:\n  command: /bin/canary4d1f\n  apiVersion: client.authentication.k8s.io/v1"),
            "users[0].user.exec",
        ),
        ("an empty program", user("token: canary4d1f\nexec:"), "users[0].user.exec"),
        ("a program as text", user("exec: canary4d1f"), "users[0].user.exec"),
        ("a program of a user that is not used", unused, "users[1].user.exec"),
        (
            "an auth provider",
            user("auth-provider: {name: gcp, config: {cmd-path: canary4d1f}}"),
            "users[0].user.auth-provider",
        ),
        ("a token file", user("tokenFile: /etc/canary4d1f"), "users[0].user.tokenFile"),
        ("a token and a token file", user("token: canary4d1f\ntokenFile: /canary4d1f"), "users[0].user.tokenFile"),
        ("a certificate file", user("client-certificate: /canary4d1f"), "users[0].user.client-certificate"),
        ("a key file", user("token: a\nclient-key: ../canary4d1f"), "users[0].user.client-key"),
        (
            "an authority file",
            cluster("certificate-authority: /etc/canary4d1f"),
            "clusters[0].cluster.certificate-authority",
        ),
        ("a proxy", cluster("proxy-url: http://canary4d1f:3128"), "clusters[0].cluster.proxy-url"),
        ("an empty proxy", cluster("proxy-url: ''"), "clusters[0].cluster.proxy-url"),
        ("verification off", cluster("insecure-skip-tls-verify: true"), "clusters[0].cluster.insecure-skip-tls-verify"),
        (
            "verification off in words",
            cluster("insecure-skip-tls-verify: 'true'"),
            "clusters[0].cluster.insecure-skip-tls-verify",
        ),
        ("impersonation", user("token: a\nas: canary4d1f"), "users[0].user.as"),
        ("impersonation by id", user("token: a\nas-uid: canary4d1f"), "users[0].user.as-uid"),
        ("impersonation of groups", user("token: a\nas-groups: [system:masters]"), "users[0].user.as-groups"),
        ("impersonation with more", user("token: a\nas-user-extra: {a: [canary4d1f]}"), "users[0].user.as-user-extra"),
        ("a user name", user("username: canary4d1f"), "users[0].user.username"),
        ("a password", user("token: a\npassword: canary4d1f"), "users[0].user.password"),
        ("an unknown key of a user", user("token: a\ntokens: canary4d1f"), "users[0].user.tokens"),
        ("an unknown key of a cluster", cluster("cacert: canary4d1f"), "clusters[0].cluster.cacert"),
        ("an unknown key at the top", format!("{}hooks: canary4d1f\n", ordinary()), "hooks"),
        ("an unknown key that could be a value", format!("{}canary4d1f: 1\n", ordinary()), "…"),
        ("another case of a key", user("Token: canary4d1f"), "users[0].user.token"),
        ("no TLS", server("http://canary4d1f.example.com"), "clusters[0].cluster.server"),
        ("another scheme", server("file:///etc/canary4d1f"), "clusters[0].cluster.server"),
        ("a password in the URL", server("https://canary4d1f:x@example.com"), "clusters[0].cluster.server"),
        ("a query in the URL", server("https://example.com?canary4d1f"), "clusters[0].cluster.server"),
        ("a server that is no text", server("[https://canary4d1f]"), "clusters[0].cluster.server"),
        ("no server", document("tls-server-name: a.example", "token: canary4d1f"), "clusters[0].cluster.server"),
        (
            "a server name that is none",
            cluster("tls-server-name: 'canary4d1f /'"),
            "clusters[0].cluster.tls-server-name",
        ),
        (
            "an authority that is not base64",
            cluster("certificate-authority-data: '%%canary4d1f'"),
            "clusters[0].cluster.certificate-authority-data",
        ),
        (
            "an authority that is no certificate",
            cluster(&format!("certificate-authority-data: {}", base64(CANARY))),
            "clusters[0].cluster.certificate-authority-data",
        ),
        (
            "a key among the authorities",
            cluster(&format!("certificate-authority-data: {}", base64(&(one.chain.clone() + &one.key)))),
            "clusters[0].cluster.certificate-authority-data",
        ),
        ("no identity", user("{}"), "users[0].user.token"),
        ("an empty token", user("token: ''"), "users[0].user.token"),
        ("a token of two lines", user("token: \"canary4d1f\\r\\nHost: evil\""), "users[0].user.token"),
        ("a token that is a number", user("token: 12345"), "users[0].user.token"),
        ("a token of strange letters", user("token: canary4d1fé"), "users[0].user.token"),
        ("a token that no header holds", user(&format!("token: {}", "a".repeat(13_000))), "users[0].user.token"),
        (
            "a certificate without a key",
            user(&format!("client-certificate-data: {chain}")),
            "users[0].user.client-key-data",
        ),
        (
            "a key without a certificate",
            user(&format!("client-key-data: {key}")),
            "users[0].user.client-certificate-data",
        ),
        (
            "a key of another certificate",
            user(&format!("client-certificate-data: {chain}\nclient-key-data: {strange_key}")),
            "users[0].user.client-key-data",
        ),
        (
            "a certificate where the key should be",
            user(&format!("client-certificate-data: {chain}\nclient-key-data: {chain}")),
            "users[0].user.client-key-data",
        ),
        (
            "a context of no cluster",
            ordinary().replace("cluster: c,", "cluster: canary4d1f,"),
            "contexts[0].context.cluster",
        ),
        ("a context of no user", ordinary().replace("user: u}", "user: canary4d1f}"), "contexts[0].context.user"),
        ("a current context that is none", ordinary().replace(": one\nc", ": canary4d1f\nc"), "current-context"),
        ("several contexts and no choice", two_contexts, "current-context"),
        ("no contexts", "apiVersion: v1\nkind: Config\n".to_owned(), "contexts"),
        ("another kind", ordinary().replace("kind: Config", "kind: canary4d1f"), "kind"),
        ("another version", ordinary().replace("apiVersion: v1", "apiVersion: v2"), "apiVersion"),
        (
            "two entries of a name",
            ordinary().replace("users:", "  - {name: c, cluster: {}}\nusers:"),
            "clusters[1].name",
        ),
        ("a name with a line end", ordinary().replace("name: c\n", "name: \"canary4d1f\\n\"\n"), "clusters[0].name"),
        ("entries that are no list", ordinary().replace("users:\n", "users: 5\nx:\n"), "users"),
        ("an entry that is no object", ordinary().replace("users:\n", "users:\n  - canary4d1f\n"), "users[0]"),
        ("a list", "- canary4d1f\n".to_owned(), ""),
        ("nothing", String::new(), ""),
        ("a word", CANARY.to_owned(), ""),
        ("broken YAML", "clusters: [canary4d1f".to_owned(), ""),
        ("a key twice", ordinary() + "kind: Config\n", ""),
        ("a key twice in a user", user("token: canary4d1f\ntoken: b"), ""),
        ("two documents", format!("{0}---\n{0}", ordinary()), ""),
        ("an alias", cluster("extensions: [&a canary4d1f, *a]"), ""),
        ("a merge key", user("<<: {exec: {command: canary4d1f}}"), ""),
        ("laughter", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n".to_owned(), ""),
        ("deep lists", cluster(&nested("[", 200)), ""),
        ("deep objects", cluster(&nested("{a: ", 200)), ""),
        ("a binary tag", user("token: !!binary canary4d1f"), ""),
        ("a tag of some language", user("token: !!python/object/apply:os.system [canary4d1f]"), ""),
        ("a token with a null byte", user("token: \"canary4d1f\\0\""), "users[0].user.token"),
        ("a key twice by an escape", user("token: canary4d1f\n\"tok\\u0065n\": b"), ""),
        ("a key that is a number", user("token: a\n1: canary4d1f"), ""),
        ("a key that is nothing", user("token: a\n~: canary4d1f"), ""),
        ("a key that is a list", user("token: a\n? [canary4d1f]\n: b"), ""),
        (
            "verification off by an old word",
            cluster("insecure-skip-tls-verify: yes"),
            "clusters[0].cluster.insecure-skip-tls-verify",
        ),
        ("a user in the URL", server("https://canary4d1f@example.com"), "clusters[0].cluster.server"),
        ("a fragment in the URL", server("https://example.com#canary4d1f"), "clusters[0].cluster.server"),
        ("a socket", server("unix:///run/canary4d1f"), "clusters[0].cluster.server"),
        ("too large", cluster(&format!("extensions: {}", "a".repeat(MAX_KUBECONFIG))), ""),
        ("many nodes", cluster(&format!("extensions: [{}]", "1,".repeat(25_000))), ""),
    ]
}

#[test]
fn hostile_kubeconfigs_are_refused_by_the_path_of_the_key_and_nothing_else() {
    let corpus = corpus();
    assert!(corpus.len() >= 40);
    let mut wrong = Vec::new();
    for (what, text, path) in &corpus {
        match read(text, Rules::default()) {
            Ok(_) => wrong.push(format!("{what}: was accepted")),
            Err(refused) if refused.path != *path && !path.is_empty() => wrong.push(format!("{what}: {refused}")),
            Err(refused) if refused.to_string().contains(CANARY) || format!("{refused:?}").contains(CANARY) => {
                wrong.push(format!("{what}: tells a value: {refused}"));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// YAML leaves to its readers what a tag of somebody's own means: here it means nothing, and what it stands before is the text.
#[test]
fn an_include_includes_nothing() {
    for tag in ["!include", "!file", "!env", "!canary4d1f"] {
        let config = read(&user(&format!("token: {tag} /etc/hostname")), Rules::default());
        let token = config.ok().and_then(|config| config.token);
        assert!(token.is_none_or(|token| token.expose_secret() == "/etc/hostname"), "{tag}");
    }
}

/// The corpus without what is large or made anew each time, as files: where the fuzzer begins. `UPDATE=1` writes them.
#[test]
fn the_seeds_of_the_fuzzer_are_this_corpus() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/kubeconfig");
    let update = std::env::var_os("UPDATE").is_some();
    let mut names = Vec::new();
    for ((what, text, _), (_, again, _)) in corpus().into_iter().zip(corpus()) {
        if text != again || text.len() > 4_096 {
            continue;
        }
        let path = folder.join(format!("{}.yaml", what.replace(' ', "-").to_lowercase()));
        if update {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).ok().as_ref(), Some(&text), "{}: UPDATE=1 writes it", path.display());
        names.push(path);
    }
    let strange: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(strange.iter().find(|path| !names.contains(path)), None);
    assert!(names.len() >= 50, "{}", names.len());
}

#[test]
fn one_context_is_read_whatever_the_others_are() {
    let text = ordinary().replace(
        "contexts:\n",
        "  - name: evil\n    user: {exec: {command: x}}\ncontexts:\n  - name: two\n    context: {cluster: c, user: evil}\n",
    );
    assert!(read(&text, Rules::default()).is_err());
    assert_eq!(context(&text, Rules::default(), None).unwrap().context, "one");
    assert_eq!(context(&text, Rules::default(), Some("one")).unwrap().context, "one");
    assert_eq!(context(&text, Rules::default(), Some("two")).unwrap_err().path, "users[1].user.exec");
    assert_eq!(context(&text, Rules::default(), Some("three")).unwrap_err().path, "contexts");
}

#[test]
fn an_ordinary_kubeconfig_is_read() {
    let one = identity();
    let text = document(
        &format!(
            "server: https://10.0.0.1:6443\ncertificate-authority-data: {}\ntls-server-name: api.example.com\nextensions: [{{name: x, extension: {{a: 1}}}}]",
            base64(&one.chain)
        ),
        &format!("client-certificate-data: {}\nclient-key-data: {}", base64(&one.chain), base64(&one.key)),
    );
    let config = read(&text, Rules::default()).unwrap();
    assert_eq!((config.context.as_str(), config.server.as_str()), ("one", "https://10.0.0.1:6443"));
    assert_eq!(config.ca_pem.as_deref(), Some(one.chain.as_str()));
    assert_eq!(config.tls_server_name.as_deref(), Some("api.example.com"));
    assert_eq!(config.certificate.unwrap().key_pem.expose_secret(), one.key);
    assert!(config.token.is_none() && !config.insecure);
    let config = read(&ordinary(), Rules::default()).unwrap();
    assert_eq!(config.token.as_ref().unwrap().expose_secret(), CANARY);
    assert!(!format!("{config:?}").contains(CANARY));
}

#[test]
fn json_is_yaml_too() {
    let text = r#"{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":"https://a:6443"}}],
        "users":[{"name":"u","user":{"token":"t"}}],"contexts":[{"name":"x","context":{"cluster":"c","user":"u"}}]}"#;
    assert_eq!(read(text, Rules::default()).unwrap().context, "x");
}

#[test]
fn verification_may_be_switched_off_where_the_operator_allows_it() {
    let rules = Rules { allow_insecure: true, ..Rules::default() };
    assert!(read(&cluster("insecure-skip-tls-verify: true"), rules).unwrap().insecure);
    assert!(!read(&cluster("insecure-skip-tls-verify: false"), Rules::default()).unwrap().insecure);
}

#[test]
fn contexts_are_judged_one_by_one() {
    let text = ordinary()
        .replace("contexts:\n", "  - name: evil\n    user: {exec: {command: x}}\ncontexts:\n  - name: two\n    context: {cluster: c, user: evil, namespace: n}\n");
    let found = contexts(&text, Rules::default()).unwrap();
    let names: Vec<_> = found.iter().map(|(name, config)| (name.as_str(), config.is_ok())).collect();
    assert_eq!(names, [("two", false), ("one", true)]);
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "\\PC*") {
        let _ = read(&text, Rules::default());
        let _ = contexts(&text, Rules::default());
    }

    #[test]
    fn no_piece_of_a_kubeconfig_makes_reading_panic_or_tell_the_token(
        cut in 0_usize..300, gone in 0_usize..80, put in "[\\PC\n\t:{}\\[\\]&*!|>-]{0,40}"
    ) {
        let text = ordinary();
        let (start, end) = (cut.min(text.len()), (cut + gone).min(text.len()));
        let mangled = format!("{}{put}{}", &text[..start], &text[end..]);
        if let Err(refused) = read(&mangled, Rules::default()) {
            prop_assert!(!refused.to_string().contains(CANARY), "{refused}");
        }
    }
}
