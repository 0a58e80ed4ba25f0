//! Whether the settings of the internal endpoint make sense.

use super::Checks;
use crate::config::Settings;

impl Checks<'_> {
    pub(super) fn internal(&mut self, settings: &Settings) {
        let internal = &settings.internal;
        let Some(listen) = &internal.listen.0 else { return };
        if !listen.is_local() && !settings.server.tls.is_on() {
            self.refuse(
                "internal.listen",
                "hands out credentials, so an address that is not loopback needs TLS: set server.tls.cert_file and \
                 server.tls.key_file",
            );
        }
        if settings.server.listens().any(|other| other == listen && other.address().is_none_or(|at| at.port() != 0)) {
            self.refuse("internal.listen", "must be a listener of its own: server listens there already");
        }
        if internal.audience.trim().is_empty() || internal.audience.len() > 253 {
            self.refuse("internal.audience", "must name for whom tokens have to be made, in at most 253 bytes");
        } else if settings.auth.kubernetes.enabled && settings.auth.kubernetes.audience == internal.audience {
            self.refuse("internal.audience", "must differ from auth.kubernetes.audience");
        }
        if internal.allowed_service_accounts.is_empty() {
            self.refuse(
                "internal.allowed_service_accounts",
                "is empty, so nobody could ask; name one as namespace/name",
            );
        }
        for (at, account) in internal.allowed_service_accounts.iter().enumerate() {
            if !is_account(account) {
                let key = format!("internal.allowed_service_accounts[{at}]");
                self.refuse(&key, "must be namespace/name of a service account");
            }
        }
    }
}

fn is_account(text: &str) -> bool {
    let named = |name: &str, longest, dots| {
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || (dots && byte == b'.');
        (1..=longest).contains(&name.len()) && name.bytes().all(fits)
    };
    text.split_once('/').is_some_and(|(namespace, name)| named(namespace, 63, false) && named(name, 253, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_a_namespace_and_a_name() {
        for good in ["aiops/collector", "a/b.c-1", "kube-system/x"] {
            assert!(is_account(good), "{good}");
        }
        for bad in ["", "collector", "/x", "x/", "a/b/c", "a.b/c", "A/b", "*/x", "a/*", "system:serviceaccount:a:b"] {
            assert!(!is_account(bad), "{bad}");
        }
    }
}
