//! Whether the settings of who may call make sense.

use std::time::Duration;

use url::{Host, Url};

use super::Checks;
use crate::config::{AuthGateway, AuthGrant, AuthKubernetes, AuthOidc, AuthPart, RightsFrom, Settings};
use crate::selector::Selector;

const ALGORITHMS: [&str; 8] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384"];
const ROLES: [&str; 3] = ["viewer", "operator", "admin"];
/// Most parts of the fleet that the hub is asked about.
const MAX_PARTS: usize = 32;
/// Longest difference of clocks that is forgiven.
const MAX_SKEW: Duration = Duration::from_secs(300);

impl Checks<'_> {
    pub(super) fn auth(&mut self, settings: &Settings) {
        let auth = &settings.auth;
        if auth.oidc.is_on() {
            self.oidc(&auth.oidc);
        }
        if auth.oidc.is_login_on() {
            self.login(&auth.oidc);
        }
        if auth.kubernetes.enabled {
            if auth.kubernetes.audience.trim().is_empty() {
                self.refuse("auth.kubernetes.audience", "must name for whom tokens have to be made");
            }
            match auth.kubernetes.rights {
                RightsFrom::Grants => self.grants("auth.kubernetes.grants", &auth.kubernetes.grants),
                RightsFrom::AccessReview => self.access_review(&auth.kubernetes),
            }
        }
        if auth.gateway.is_on() {
            self.gateway(settings, &auth.gateway);
        }
    }

    fn oidc(&mut self, oidc: &AuthOidc) {
        self.address("auth.oidc.issuer", &oidc.issuer);
        if oidc.audiences.is_empty() || oidc.audiences.iter().any(String::is_empty) {
            self.refuse(
                "auth.oidc.audiences",
                "must name at least one audience: for whom tokens of the issuer have to be",
            );
        }
        let known = |word: &String| ALGORITHMS.contains(&word.as_str());
        if oidc.algorithms.is_empty() || !oidc.algorithms.iter().all(known) {
            let words = ALGORITHMS.join(", ");
            self.refuse("auth.oidc.algorithms", format!("must be one or more of {words}"));
        }
        self.within("auth.oidc.clock_skew_seconds", oidc.clock_skew, Duration::ZERO, MAX_SKEW);
        for (key, claim) in [("auth.oidc.name_claim", &oidc.name_claim), ("auth.oidc.groups_claim", &oidc.groups_claim)]
        {
            if claim.is_empty() {
                self.refuse(key, "must be the name of a claim");
            }
        }
        self.grants("auth.oidc.grants", &oidc.grants);
    }

    fn login(&mut self, oidc: &AuthOidc) {
        self.address("auth.oidc.public_url", &oidc.public_url);
        if Url::parse(&oidc.public_url).is_ok_and(|url| url.path() != "/") {
            self.refuse("auth.oidc.public_url", "must be scheme, host and port only");
        }
        let word = |scope: &String| !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic());
        if !oidc.scopes.iter().any(|scope| scope == "openid") || !oidc.scopes.iter().all(word) {
            self.refuse("auth.oidc.scopes", "must be words, `openid` among them");
        }
        if oidc.client_secret.secret().is_some() && !oidc.client_secret_file.as_os_str().is_empty() {
            self.refuse("auth.oidc.client_secret", "set this or `auth.oidc.client_secret_file`, not both");
        }
        self.within("auth.oidc.session_hours", oidc.session_hours, 1, 24 * 30);
    }

    fn access_review(&mut self, kubernetes: &AuthKubernetes) {
        if !kubernetes.grants.is_empty() {
            self.refuse("auth.kubernetes.grants", "grants nothing while auth.kubernetes.rights is access_review");
        }
        let asked = &kubernetes.access_review;
        let word = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        };
        for (field, value) in [
            ("resource", &asked.resource),
            ("viewer_verb", &asked.viewer_verb),
            ("operator_verb", &asked.operator_verb),
            ("admin_verb", &asked.admin_verb),
        ] {
            if value.is_empty() || value.len() > 253 || !word(value) {
                let key = format!("auth.kubernetes.access_review.{field}");
                self.refuse(&key, "must be one word of lower-case letters, digits, - and .");
            }
        }
        if asked.group.len() > 253 || !word(&asked.group) {
            let message = "must be the name of an API group, such as fleetbeat.io; empty for the core group";
            self.refuse("auth.kubernetes.access_review.group", message);
        }
        self.parts(&asked.parts, word);
    }

    fn parts(&mut self, parts: &[AuthPart], word: impl Fn(&str) -> bool) {
        let key = "auth.kubernetes.access_review.parts";
        if parts.len() > MAX_PARTS {
            self.refuse(key, format!("must be at most {MAX_PARTS}: the hub is asked about each of them"));
        }
        for (at, part) in parts.iter().enumerate() {
            let wrong = if part.name.is_empty() || part.name.len() > 253 || !word(&part.name) {
                Some("name must be one word of lower-case letters, digits, - and .".to_owned())
            } else if parts[..at].iter().any(|other| other.name == part.name) {
                Some(format!("{} is named twice", part.name))
            } else if part.cluster_ids.is_empty() && part.label_selector.is_empty() {
                Some("set cluster_ids or label_selector".to_owned())
            } else {
                narrowed_wrongly(&part.cluster_ids, &part.label_selector)
            };
            if let Some(message) = wrong {
                self.refuse(&format!("{key}[{at}]"), message);
            }
        }
    }

    fn gateway(&mut self, settings: &Settings, gateway: &AuthGateway) {
        if !gateway.client_names.is_empty() && settings.server.tls.client_ca_file.as_os_str().is_empty() {
            let message = "needs server.tls.client_ca_file: without it no client certificate is asked for";
            self.refuse("auth.gateway.client_names", message);
        }
        if gateway.unix_socket && settings.server.listens().all(|listen| listen.address().is_some()) {
            self.refuse("auth.gateway.unix_socket", "needs a unix socket to listen on, as in server.also_listen");
        }
        if gateway.client_names.iter().any(|name| name.trim().is_empty()) {
            self.refuse("auth.gateway.client_names", "must be names in client certificates");
        }
        self.grants("auth.gateway.grants", &gateway.grants);
        let narrowed = |grant: &AuthGrant| !grant.cluster_ids.is_empty() || !grant.label_selector.is_empty();
        if gateway.grants.iter().any(narrowed) {
            let message = "must not narrow which clusters are seen: the gateway's X-Cluster-Access does";
            self.refuse("auth.gateway.grants", message);
        }
    }

    /// https, or http on loopback; no user, query or fragment.
    fn address(&mut self, key: &str, text: &str) {
        let loopback = |url: &Url| match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let fits = Url::parse(text).is_ok_and(|url| {
            let safe = url.scheme() == "https" && url.host().is_some() || url.scheme() == "http" && loopback(&url);
            let bare = url.query().is_none() && url.fragment().is_none();
            safe && bare && url.username().is_empty() && url.password().is_none()
        });
        if !fits {
            self.refuse(key, "must be an https URL (http on loopback only) without user, query and fragment");
        }
    }

    fn grants(&mut self, key: &str, grants: &[AuthGrant]) {
        if grants.is_empty() {
            self.refuse(
                key,
                "is empty, so nobody could do anything; name a group and its role, or group \"*\" for everybody",
            );
        }
        for (at, grant) in grants.iter().enumerate() {
            if let Some(message) = wrong(grant) {
                self.refuse(&format!("{key}[{at}]"), message);
            }
        }
    }
}

fn wrong(grant: &AuthGrant) -> Option<String> {
    if grant.group.is_empty() {
        return Some("names no group".to_owned());
    }
    if !ROLES.contains(&grant.role.as_str()) {
        return Some(format!("role must be one of {}", ROLES.join(", ")));
    }
    narrowed_wrongly(&grant.cluster_ids, &grant.label_selector)
}

/// What is wrong with how clusters are picked.
fn narrowed_wrongly(cluster_ids: &[String], label_selector: &str) -> Option<String> {
    let uuid = |text: &String| text.len() == 36 && uuid::Uuid::try_parse(text).is_ok();
    if !cluster_ids.is_empty() && !label_selector.is_empty() {
        return Some("set cluster_ids or label_selector, not both".to_owned());
    }
    if !cluster_ids.iter().all(uuid) || cluster_ids.len() > 1_000 {
        return Some("cluster_ids must be at most 1000 ids of clusters (UUIDs)".to_owned());
    }
    match label_selector.parse::<Selector>() {
        Err(error) => Some(format!("label_selector {error}")),
        Ok(selector) if !label_selector.is_empty() && selector == Selector::default() => {
            Some("label_selector must require something".to_owned())
        }
        Ok(_) => None,
    }
}
