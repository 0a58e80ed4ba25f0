//! Knocks: what a request shows of its caller, taken apart the same way for every method.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, header};

use super::{Peer, Unknown};

/// Longest `Authorization` that is looked at, bytes.
const MAX_AUTHORIZATION: usize = 16 * 1024;

/// What a request shows of its caller.
#[derive(Clone, Copy, Debug)]
pub struct Knock<'a> {
    /// What it wants to do.
    pub method: &'a Method,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Where it came from.
    pub peer: &'a Peer,
}

impl<'a> Knock<'a> {
    /// The address it came from; none from a Unix socket.
    pub fn address(&self) -> Option<IpAddr> {
        self.peer.address.map(|address| address.ip())
    }

    /// Its bearer token: exactly one `Authorization`, or none.
    ///
    /// # Errors
    /// [`Unknown::Refused`] when there is one that is no bearer token, or several.
    pub fn bearer(&self) -> Result<Option<&'a str>, Unknown> {
        let mut values = self.headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() || value.len() > MAX_AUTHORIZATION {
            return Err(Unknown::Refused);
        }
        let text = value.to_str().map_err(|_| Unknown::Refused)?;
        let (scheme, rest) = text.split_once(' ').ok_or(Unknown::Refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unknown::Refused);
        }
        Ok(Some(rest.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(values: &[&'static str]) -> Result<Option<String>, Unknown> {
        let headers = values.iter().map(|value| (header::AUTHORIZATION, value.parse().expect("a header"))).collect();
        let knock = Knock { method: &Method::GET, headers: &headers, peer: &Peer::default() };
        knock.bearer().map(|found| found.map(str::to_owned))
    }

    #[test]
    fn only_one_bearer_is_a_bearer() {
        assert_eq!(bearer(&["Bearer abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(bearer(&["bearer abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(bearer(&[]), Ok(None));
        for bad in [&["Basic abc"][..], &["abc"], &["Bearer a", "Bearer a"]] {
            assert_eq!(bearer(bad), Err(Unknown::Refused), "{bad:?}");
        }
    }
}
