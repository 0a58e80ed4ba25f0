//! Why a probe got no answer, and the one place where errors of sockets, TLS and HTTP become causes.

use std::{error::Error, io};

use fleetbeat_actors::health::{Cause, NotRun};
use rustls::CertificateError;

/// What went wrong before there was an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The endpoint's fault, as far as can be told.
    Failed(Cause),
    /// The monitor's own.
    NotRun(NotRun),
}

/// More bytes arrived than any answer may have.
#[derive(Debug, thiserror::Error)]
#[error("the answer is larger than the cap")]
pub(super) struct OverBudget;

impl Trouble {
    /// A TCP connection was not made.
    pub(super) fn of_connect(error: &io::Error) -> Self {
        if out_of_descriptors(error) {
            return Self::NotRun(NotRun::NoDescriptor);
        }
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Failed(Cause::ConnectTimeout),
            _ => Self::Failed(Cause::Refused),
        }
    }

    /// A TLS handshake failed.
    pub(super) fn of_handshake(error: &io::Error) -> Self {
        Self::Failed(tls_cause(error).unwrap_or(Cause::Tls))
    }

    /// An established connection failed.
    pub(super) fn of_exchange(error: &hyper::Error) -> Self {
        if error.is_parse_too_large() {
            return Self::Failed(Cause::TooLarge);
        }
        let mut source = error.source();
        while let Some(inner) = source {
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                if io.get_ref().is_some_and(|e| e.is::<OverBudget>()) {
                    return Self::Failed(Cause::TooLarge);
                }
                if let Some(cause) = tls_cause(io) {
                    return Self::Failed(cause);
                }
            }
            source = inner.source();
        }
        Self::Failed(Cause::Protocol)
    }
}

/// Does the error tell of this process having no descriptor, port or buffer left?
pub(super) fn out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let Some(code) = error.raw_os_error() else { return false };
    [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM]
        .iter()
        .any(|errno| errno.raw_os_error() == code)
}

fn tls_cause(error: &io::Error) -> Option<Cause> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match tls {
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            Cause::CertificateExpired
        }
        _ => Cause::Tls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_descriptors_is_not_the_clusters_fault() {
        for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::ADDRNOTAVAIL] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(Trouble::of_connect(&error), Trouble::NotRun(NotRun::NoDescriptor));
        }
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
        assert_eq!(Trouble::of_connect(&refused), Trouble::Failed(Cause::Refused));
    }

    #[test]
    fn an_expired_certificate_is_told_apart_from_a_bad_one() {
        let tls = |error| io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(error));
        assert_eq!(Trouble::of_handshake(&tls(CertificateError::Expired)), Trouble::Failed(Cause::CertificateExpired));
        assert_eq!(Trouble::of_handshake(&tls(CertificateError::UnknownIssuer)), Trouble::Failed(Cause::Tls));
        assert_eq!(Trouble::of_handshake(&io::ErrorKind::UnexpectedEof.into()), Trouble::Failed(Cause::Tls));
    }
}
