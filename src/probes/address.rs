//! Which addresses may be probed: judged on the very address that is connected to, never on how the URL spells it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::IpNet;

/// Metadata endpoints of clouds that are not link-local already.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x42)),
];

/// The address policy. Order of judgement: own listeners are refused always; then `deny`; then `allow`; then what is
/// built in (link-local, multicast, unspecified, broadcast, reserved, metadata; loopback and private by option).
#[derive(Clone, Debug)]
pub struct AddressPolicy {
    /// May loopback addresses be probed?
    pub allow_loopback: bool,
    /// May private ranges (RFC 1918, unique local, shared address space) be probed?
    pub allow_private: bool,
    /// Ranges allowed although a built-in rule refuses them.
    pub allow: Vec<IpNet>,
    /// Ranges refused.
    pub deny: Vec<IpNet>,
    /// Where this process itself listens. An unspecified address stands for all of this machine's.
    pub own_listeners: Vec<SocketAddr>,
}

impl Default for AddressPolicy {
    fn default() -> Self {
        Self {
            allow_loopback: false,
            allow_private: true,
            allow: Vec::new(),
            deny: Vec::new(),
            own_listeners: Vec::new(),
        }
    }
}

impl AddressPolicy {
    /// May this address be connected to? An IPv6 address that carries an IPv4 one (mapped, translated, compatible, 6to4, NAT64,
    /// Teredo, ISATAP) must be allowed as both.
    pub fn permits(&self, address: SocketAddr) -> bool {
        let IpAddr::V6(v6) = address.ip() else { return self.permits_one(address) };
        let permits_v4 = |v4: Ipv4Addr| self.permits_one(SocketAddr::new(v4.into(), address.port()));
        match v6.to_ipv4_mapped() {
            Some(same) => permits_v4(same),
            None => carried(v6).into_iter().all(permits_v4) && self.permits_one(address),
        }
    }

    fn permits_one(&self, address: SocketAddr) -> bool {
        let ip = address.ip();
        if self.own_listeners.iter().any(|own| is_own(*own, address)) || contains(&self.deny, ip) {
            return false;
        }
        contains(&self.allow, ip) || self.permits_kind(ip)
    }

    fn permits_kind(&self, ip: IpAddr) -> bool {
        if METADATA.contains(&ip) || is_of_aws(ip) {
            return false;
        }
        match kind(ip) {
            Kind::Public => true,
            Kind::Private => self.allow_private,
            Kind::Loopback => self.allow_loopback,
            Kind::Never => false,
        }
    }
}

enum Kind {
    Public,
    Private,
    Loopback,
    Never,
}

fn kind(ip: IpAddr) -> Kind {
    match ip {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => kind_v6(v6),
    }
}

fn kind_v4(ip: Ipv4Addr) -> Kind {
    let [a, b, ..] = ip.octets();
    match (a, b) {
        (127, _) => Kind::Loopback,
        (0 | 224..=255, _) | (169, 254) => Kind::Never,
        (10, _) | (172, 16..=31) | (192, 168) | (100, 64..=127) => Kind::Private,
        _ => Kind::Public,
    }
}

fn kind_v6(ip: Ipv6Addr) -> Kind {
    match ip.segments()[0] {
        _ if ip.is_loopback() => Kind::Loopback,
        _ if ip.is_unspecified() => Kind::Never,
        0xff00..=0xffff | 0xfe80..=0xfebf => Kind::Never,
        0xfc00..=0xfdff | 0xfec0..=0xfeff => Kind::Private,
        _ => Kind::Public,
    }
}

/// The range in which AWS has what hands out credentials and metadata: `fd00:ec2::254`, for pods `fd00:ec2::23`.
fn is_of_aws(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.segments()[..2] == [0xfd00, 0x0ec2])
}

fn contains(ranges: &[IpNet], ip: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(&ip))
}

/// The IPv4 addresses that an IPv6 one may lead to through a gateway. Where several shapes are possible, every one counts.
fn carried(ip: Ipv6Addr) -> Vec<Ipv4Addr> {
    if ip.is_loopback() || ip.is_unspecified() {
        return Vec::new();
    }
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0 | 0xffff, 0, high, low] => vec![v4(high, low)],
        [0x2002, high, low, ..] => vec![v4(high, low)],
        [0x0064, 0xff9b, 0, .., high, low] => vec![v4(high, low)],
        [0x0064, 0xff9b, 1, ..] => translated(ip),
        [0x2001, 0, .., high, low] => vec![v4(!high, !low)],
        [_, _, _, _, 0 | 0x0200, 0x5efe, high, low] => vec![v4(high, low)],
        _ => Vec::new(),
    }
}

/// What an address of the local NAT64 prefix (RFC 8215) may stand for: RFC 6052 has a shape for each length of the prefix that an
/// operator may choose in it. What is nobody's address is no such shape, unless nothing else is left.
fn translated(ip: Ipv6Addr) -> Vec<Ipv4Addr> {
    let o = ip.octets();
    let shapes = [
        [o[12], o[13], o[14], o[15]],
        [o[6], o[7], o[9], o[10]],
        [o[7], o[9], o[10], o[11]],
        [o[9], o[10], o[11], o[12]],
    ];
    let shapes = shapes.map(Ipv4Addr::from);
    let likely: Vec<_> = shapes.into_iter().filter(|v4| v4.octets()[0] != 0).collect();
    if likely.is_empty() { vec![shapes[0]] } else { likely }
}

fn is_own(own: SocketAddr, address: SocketAddr) -> bool {
    if own.port() != address.port() {
        return false;
    }
    own.ip() == address.ip() || (own.ip().is_unspecified() && is_local(address.ip()))
}

/// Does this machine hold the address? Only its own can be bound.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn permits(policy: &AddressPolicy, ip: &str) -> bool {
        policy.permits(SocketAddr::new(ip.parse().unwrap(), 6443))
    }

    #[test]
    fn addresses_that_turn_inward_are_refused() {
        let policy = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
        for ip in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "fe80::1",
            "fe80::a9fe:a9fe",
            "ff02::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "::ffff:0:169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00:808:808",
            "64:ff9b:1:a9:fe:a9fe:808:808",
            "64:ff9b:1:0:a9:fea9:fe08:808",
            "::ffff:169.254.169.254",
            "::a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:0:1::5601:5601",
            "2001:db8::5efe:169.254.169.254",
            "::ffff:0.0.0.0",
        ] {
            assert!(!permits(&policy, ip), "{ip}");
        }
    }

    #[test]
    fn ordinary_addresses_are_allowed() {
        let policy = AddressPolicy::default();
        for ip in [
            "10.0.0.1",
            "192.168.7.7",
            "172.20.1.1",
            "100.64.0.9",
            "8.8.8.8",
            "2a00::1",
            "fd12:3456::1",
            "64:ff9b::808:808",
            "64:ff9b:1::808:808",
            "64:ff9b:1:808:8:800::",
            "::ffff:0:8.8.8.8",
            "fd00:ec3::23",
        ] {
            assert!(permits(&policy, ip), "{ip}");
        }
        let public_only = AddressPolicy { allow_private: false, ..AddressPolicy::default() };
        for ip in ["10.0.0.1", "192.168.7.7", "fd12:3456::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"] {
            assert!(!permits(&public_only, ip), "{ip}");
        }
    }

    #[test]
    fn loopback_is_allowed_only_by_option_however_it_is_spelled() {
        let (with, without) =
            (AddressPolicy { allow_loopback: true, ..AddressPolicy::default() }, AddressPolicy::default());
        for ip in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(permits(&with, ip), "{ip}");
            assert!(!permits(&without, ip), "{ip}");
        }
    }

    #[test]
    fn ranges_override_the_built_in_rules_and_deny_beats_allow() {
        let policy = AddressPolicy {
            allow: vec!["169.254.10.0/24".parse().unwrap(), "10.0.0.0/8".parse().unwrap()],
            deny: vec!["10.1.0.0/16".parse().unwrap()],
            ..AddressPolicy::default()
        };
        assert!(permits(&policy, "169.254.10.9"));
        assert!(!permits(&policy, "169.254.11.9"));
        assert!(permits(&policy, "10.2.0.1"));
        assert!(!permits(&policy, "10.1.0.1"));
        assert!(!permits(&policy, "::ffff:10.1.0.1"));
    }

    #[test]
    fn own_listeners_are_refused_even_when_loopback_and_their_range_are_allowed() {
        let policy = AddressPolicy {
            allow_loopback: true,
            allow: vec!["127.0.0.0/8".parse().unwrap()],
            own_listeners: vec!["127.0.0.1:8080".parse().unwrap(), "0.0.0.0:9090".parse().unwrap()],
            ..AddressPolicy::default()
        };
        for own in ["127.0.0.1:8080", "[::ffff:127.0.0.1]:8080", "127.0.0.1:9090", "127.3.2.1:9090", "[::1]:9090"] {
            assert!(!policy.permits(own.parse().unwrap()), "{own}");
        }
        for other in ["127.0.0.2:8080", "127.0.0.1:6443", "10.255.255.1:9090"] {
            assert!(policy.permits(other.parse().unwrap()), "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_mapped_address_is_judged_as_the_address_itself(bits: u32, port: u16, loopback: bool, private: bool) {
            let policy = AddressPolicy { allow_loopback: loopback, allow_private: private, ..AddressPolicy::default() };
            let v4 = Ipv4Addr::from(bits);
            let plain = policy.permits(SocketAddr::new(v4.into(), port));
            prop_assert_eq!(policy.permits(SocketAddr::new(v4.to_ipv6_mapped().into(), port)), plain);
        }

        #[test]
        fn no_wrapping_ever_allows_a_refused_address(bits: u32, low: u64, loopback: bool, private: bool) {
            let policy = AddressPolicy { allow_loopback: loopback, allow_private: private, ..AddressPolicy::default() };
            let v4 = Ipv4Addr::from(bits);
            let plain = policy.permits(SocketAddr::new(v4.into(), 443));
            let bits = u128::from(bits);
            let wrapped = [
                (0x0064_ff9b_u128 << 96) | bits,
                (0x2002_u128 << 112) | (bits << 80) | u128::from(low),
                (0x2001_u128 << 112) | (u128::from(low >> 16) << 32) | (!bits & 0xffff_ffff),
            ];
            for ip in wrapped {
                prop_assert!(plain || !policy.permits(SocketAddr::new(Ipv6Addr::from(ip).into(), 443)));
            }
        }

        #[test]
        fn judging_never_panics(bits: u128, port: u16) {
            AddressPolicy::default().permits(SocketAddr::new(Ipv6Addr::from(bits).into(), port));
        }
    }
}
