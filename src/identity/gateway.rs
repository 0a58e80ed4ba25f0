//! A gateway in front: it has proved who is calling, and says so in headers. They are believed only from a peer that has
//! itself proved to be that gateway.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderName, header};

use super::{Caller, Grants, Method, Peer, Scope, Unknown, caller::Proved, scope::MAX_CLUSTERS};

const USER: HeaderName = HeaderName::from_static("x-user-id");
const GROUPS: HeaderName = HeaderName::from_static("x-user-groups");
const CLUSTERS: HeaderName = HeaderName::from_static("x-cluster-access");
const EMAIL: HeaderName = HeaderName::from_static("x-user-email");
/// The headers that a gateway speaks in.
const OURS: [HeaderName; 4] = [USER, GROUPS, CLUSTERS, EMAIL];

/// Longest name of a user, and of a group, bytes.
const MAX_NAME: usize = 256;
/// Longest `X-User-Email`, bytes.
const MAX_EMAIL: usize = 320;
/// Longest `X-User-Groups`, bytes, and most groups in it.
const MAX_GROUPS_BYTES: usize = 8 * 1024;
const MAX_GROUPS: usize = 256;
/// Longest `X-Cluster-Access`, bytes: ids with commas and spaces.
const MAX_CLUSTERS_BYTES: usize = MAX_CLUSTERS * 38;
/// What `X-Cluster-Access` says for all clusters.
const ALL_CLUSTERS: &str = "*";

/// The gateways that are believed.
pub struct Gateway {
    names: BTreeSet<String>,
    local_socket: bool,
    grants: Grants,
}

impl Gateway {
    /// Believes those with a client certificate of one of these names and, if told, whoever reaches the unix socket. Scopes
    /// of grants narrow nothing here: the gateway says which clusters.
    pub fn new(names: impl IntoIterator<Item = String>, local_socket: bool, grants: Grants) -> Self {
        Self { names: names.into_iter().collect(), local_socket, grants }
    }

    /// Is this peer one of them?
    pub fn is_proved_by(&self, peer: &Peer) -> bool {
        peer.client_cert_names.iter().any(|name| self.names.contains(name)) || (self.local_socket && peer.unix)
    }

    /// Whom a gateway speaks for.
    ///
    /// # Errors
    /// [`Unknown::Nobody`] without a word, [`Unknown::Refused`] when one is missing or not as it must be, and
    /// [`Unknown::Powerless`].
    pub fn identify(&self, headers: &HeaderMap) -> Result<Caller, Unknown> {
        if OURS.iter().all(|name| !headers.contains_key(name)) {
            return Err(Unknown::Nobody);
        }
        if is_hop_by_hop(headers) {
            return Err(Unknown::Refused);
        }
        let user = one(headers, &USER, MAX_NAME)?.ok_or(Unknown::Refused)?;
        let groups = one(headers, &GROUPS, MAX_GROUPS_BYTES)?.ok_or(Unknown::Refused)?;
        let clusters = one(headers, &CLUSTERS, MAX_CLUSTERS_BYTES)?.ok_or(Unknown::Refused)?;
        let email = one(headers, &EMAIL, MAX_EMAIL)?;
        if !is_plain(user) || email.is_some_and(|email| !is_plain(email) || !email.contains('@')) {
            return Err(Unknown::Refused);
        }
        let groups = list(groups, MAX_GROUPS, MAX_NAME)?;
        let scope = scope(clusters)?;
        let (role, _) = self.grants.of(groups).ok_or(Unknown::Powerless)?;
        Ok(Caller::proved(Proved {
            method: Method::Gateway,
            subject: user,
            name: email.unwrap_or(user),
            role,
            scope,
            expires_at: None,
        }))
    }
}

/// Does `Connection` name one of our headers? Then a proxy on the way was meant to drop it.
fn is_hop_by_hop(headers: &HeaderMap) -> bool {
    let listed = headers.get_all(header::CONNECTION).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    listed
        .map(<[u8]>::trim_ascii)
        .any(|name| OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours.as_str().as_bytes())))
}

/// The value of a header that may stand once: not empty, not too long, in plain characters.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName, max: usize) -> Result<Option<&'a str>, Unknown> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| Unknown::Refused)?.trim();
    let fits = values.next().is_none() && !text.is_empty() && text.len() <= max;
    if fits { Ok(Some(text)) } else { Err(Unknown::Refused) }
}

/// One word: two values that a proxy joined are none.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b';' | b'"'))
}

fn list(text: &str, max: usize, longest: usize) -> Result<Vec<&str>, Unknown> {
    let items: Vec<_> = text.split(',').map(str::trim).collect();
    let fit = items.len() <= max && items.iter().all(|item| (1..=longest).contains(&item.len()));
    if fit { Ok(items) } else { Err(Unknown::Refused) }
}

fn scope(clusters: &str) -> Result<Scope, Unknown> {
    if clusters == ALL_CLUSTERS {
        return Ok(Scope::Everything);
    }
    let ids = list(clusters, MAX_CLUSTERS, 36)?;
    Scope::clusters(&ids).map_err(|_| Unknown::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Grant, Role};

    const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

    fn gateway() -> Gateway {
        let grant = |group: &str, role| Grant { group: group.to_owned(), role, scope: Scope::Everything };
        let grants = Grants::new(vec![grant("developers", Role::Viewer), grant("platform-admins", Role::Admin)]);
        Gateway::new(["gateway.example".to_owned()], true, grants)
    }

    const GOOD: [(&str, &str); 4] = [
        ("X-User-ID", "ada@example.com"),
        ("X-User-Groups", "others, developers"),
        ("X-Cluster-Access", ID),
        ("X-User-Email", "ada@example.com"),
    ];

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value.parse().expect("a value"));
        }
        headers
    }

    fn with(name: &str, value: &str) -> HeaderMap {
        let mut headers = headers(&GOOD);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value.parse().expect("a value"));
        headers
    }

    #[test]
    fn whom_the_gateway_names_is_the_caller() {
        let caller = gateway().identify(&headers(&GOOD)).expect("known");
        assert_eq!((&*caller.id, caller.role), ("gateway:ada@example.com", Role::Viewer));
        assert_eq!(*caller.scope, Scope::clusters(&[ID]).expect("one"));
        let caller = gateway().identify(&with("x-cluster-access", "*")).expect("known");
        assert!(caller.scope.is_everything());
        assert_eq!(gateway().identify(&with("x-user-groups", "strangers")).unwrap_err(), Unknown::Powerless);
    }

    #[test]
    fn only_a_proved_peer_is_a_gateway() {
        let peer = |names: &[&str], unix| Peer {
            client_cert_names: names.iter().map(|name| (*name).to_owned()).collect(),
            unix,
            ..Peer::default()
        };
        assert!(gateway().is_proved_by(&peer(&["other", "gateway.example"], false)));
        assert!(gateway().is_proved_by(&peer(&[], true)));
        for wrong in [&["gateway.example.evil"][..], &["Gateway.example"], &["*"], &[]] {
            assert!(!gateway().is_proved_by(&peer(wrong, false)), "{wrong:?}");
        }
        assert!(!Gateway::new([], false, Grants::default()).is_proved_by(&peer(&[], true)));
    }

    #[test]
    fn a_header_that_is_absent_twice_there_empty_or_oversize_is_nobody() {
        assert_eq!(gateway().identify(&HeaderMap::new()).unwrap_err(), Unknown::Nobody);
        for name in ["x-user-id", "x-user-groups", "x-cluster-access"] {
            let mut absent = headers(&GOOD);
            absent.remove(name);
            assert_eq!(gateway().identify(&absent).unwrap_err(), Unknown::Refused, "{name}");
        }
        for name in OURS {
            let mut twice = headers(&GOOD);
            let same = twice.get(&name).expect("there").clone();
            twice.append(&name, same);
            let long = "a".repeat(48 * 1024);
            for wrong in [twice, with(name.as_str(), ""), with(name.as_str(), " "), with(name.as_str(), &long)] {
                assert_eq!(gateway().identify(&wrong).unwrap_err(), Unknown::Refused, "{name}");
            }
        }
    }

    #[test]
    fn what_is_not_quite_right_is_nobody() {
        let many = vec!["g"; MAX_GROUPS + 1].join(",");
        for (name, value) in [
            ("x-user-id", "ada,eve"),
            ("x-user-id", "ada eve"),
            ("x-user-email", "nobody"),
            ("x-user-groups", "developers,,"),
            ("x-user-groups", &many),
            ("x-cluster-access", "*,*"),
            ("x-cluster-access", "550e8400"),
            ("x-cluster-access", "00000000-0000-0000-0000-000000000000"),
            ("connection", "close, X-User-ID"),
            ("connection", "x-cluster-access"),
        ] {
            assert_eq!(gateway().identify(&with(name, value)).unwrap_err(), Unknown::Refused, "{name}: {value}");
        }
    }

    #[test]
    fn headers_that_look_alike_are_not_ours() {
        for name in ["x_user_id", "x-user_id", "x-user-id-", "x--user-id", "xuser-id"] {
            let mut alike = headers(&GOOD);
            alike.remove("x-user-id");
            alike.insert(HeaderName::from_bytes(name.as_bytes()).expect("a name"), "ada".parse().expect("a value"));
            assert_eq!(gateway().identify(&alike).unwrap_err(), Unknown::Refused, "{name}");
        }
    }
}
