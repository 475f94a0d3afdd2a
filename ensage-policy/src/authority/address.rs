//! Which addresses may be dialled: the special-purpose ranges, behind every wrapping of IPv4 in IPv6 (threat A11).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Why an address is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is in a special-purpose range ({range}) that nothing opens")]
pub struct AddressRefused {
    /// The address.
    pub address: IpAddr,
    /// What its range is for.
    pub range: &'static str,
}

struct Range<N> {
    net: N,
    name: &'static str,
    opens: Opens,
}

/// What it takes to open a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opens {
    /// Any configured range that holds the address.
    Covered,
    /// Only a configured range within this one: `0.0.0.0/0` or `10.0.0.0/8` must never mean cloud metadata.
    Named,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8, name: &'static str, opens: Opens) -> Range<Ipv4Net> {
    Range { net: Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix), name, opens }
}

const fn v6(segments: [u16; 8], prefix: u8, name: &'static str, opens: Opens) -> Range<Ipv6Net> {
    let [a, b, c, d, e, f, g, h] = segments;
    Range { net: Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix), name, opens }
}

/// IANA IPv4 Special-Purpose Address Registry, the multicast block (RFC 5771), and the metadata services that live
/// in public space; the narrow ones first.
const V4: &[Range<Ipv4Net>] = &[
    // Azure's host channel hands out certificates and configuration (learn.microsoft.com, "IP address 168.63.129.16").
    v4(168, 63, 129, 16, 32, "cloud metadata", Opens::Named),
    v4(100, 100, 100, 200, 32, "cloud metadata", Opens::Named),
    v4(192, 0, 0, 192, 32, "cloud metadata", Opens::Named),
    v4(169, 254, 0, 0, 16, "link-local", Opens::Named),
    v4(0, 0, 0, 0, 8, "this network", Opens::Covered),
    v4(10, 0, 0, 0, 8, "private", Opens::Covered),
    v4(100, 64, 0, 0, 10, "shared address space", Opens::Covered),
    v4(127, 0, 0, 0, 8, "loopback", Opens::Covered),
    v4(172, 16, 0, 0, 12, "private", Opens::Covered),
    v4(192, 0, 0, 0, 24, "protocol assignments", Opens::Covered),
    v4(192, 0, 2, 0, 24, "documentation", Opens::Covered),
    v4(192, 31, 196, 0, 24, "AS112", Opens::Covered),
    v4(192, 52, 193, 0, 24, "AMT", Opens::Covered),
    v4(192, 88, 99, 0, 24, "6to4 relay", Opens::Covered),
    v4(192, 168, 0, 0, 16, "private", Opens::Covered),
    v4(192, 175, 48, 0, 24, "AS112", Opens::Covered),
    v4(198, 18, 0, 0, 15, "benchmarking", Opens::Covered),
    v4(198, 51, 100, 0, 24, "documentation", Opens::Covered),
    v4(203, 0, 113, 0, 24, "documentation", Opens::Covered),
    v4(224, 0, 0, 0, 4, "multicast", Opens::Covered),
    v4(255, 255, 255, 255, 32, "broadcast", Opens::Covered),
    v4(240, 0, 0, 0, 4, "reserved", Opens::Covered),
];

/// IANA IPv6 Special-Purpose Address Registry; whatever is outside 2000::/3 is caught by [`own_v6`].
const V6: &[Range<Ipv6Net>] = &[
    // Amazon's and Google's metadata services over IPv6.
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32, "cloud metadata", Opens::Named),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0], 32, "cloud metadata", Opens::Named),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local", Opens::Named),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback", Opens::Covered),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified", Opens::Covered),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible", Opens::Covered),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "local-use NAT64", Opens::Covered),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard", Opens::Covered),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo", Opens::Covered),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments", Opens::Covered),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation", Opens::Covered),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4", Opens::Covered),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "AS112", Opens::Covered),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation", Opens::Covered),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing", Opens::Covered),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local", Opens::Covered),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local", Opens::Covered),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast", Opens::Covered),
];

/// The well-known NAT64 prefix (RFC 6052): the address proper is the IPv4 one inside.
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
/// All that is handed out as global unicast (RFC 4291 section 2.4, IANA registry).
const GLOBAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Names the special-purpose range that holds an address, or the IPv4 address wrapped in it.
///
/// Mapped addresses are IPv4 addresses. Compatible, NAT64, 6to4 and Teredo addresses are also what they wrap.
pub fn special_purpose(ip: IpAddr) -> Option<&'static str> {
    layers(ip).find_map(own_range).map(|(name, _)| name)
}

/// Whether an address may be dialled, given all configured ranges that open some.
///
/// Each layer of a wrapped address must be open. Link-local and metadata addresses are opened only by a range that
/// lies within theirs.
///
/// # Errors
/// The first layer that is special-purpose and not opened.
pub fn may_dial(ip: IpAddr, allowed: &[&[IpNet]]) -> Result<(), AddressRefused> {
    for layer in layers(ip) {
        let Some((range, guard)) = own_range(layer) else { continue };
        let opened = allowed
            .iter()
            .copied()
            .flatten()
            .any(|net| net.contains(&layer) && guard.is_none_or(|guard| guard.contains(net)));
        if !opened {
            return Err(AddressRefused { address: ip, range });
        }
    }
    Ok(())
}

/// The range of this very address, and the range that an opening must lie in.
fn own_range(ip: IpAddr) -> Option<(&'static str, Option<IpNet>)> {
    match ip {
        IpAddr::V4(ip) => V4
            .iter()
            .find(|range| range.net.contains(&ip))
            .map(|range| (range.name, (range.opens == Opens::Named).then_some(IpNet::V4(range.net)))),
        IpAddr::V6(ip) => own_v6(ip),
    }
}

fn own_v6(ip: Ipv6Addr) -> Option<(&'static str, Option<IpNet>)> {
    match V6.iter().find(|range| range.net.contains(&ip)) {
        Some(range) => Some((range.name, (range.opens == Opens::Named).then_some(IpNet::V6(range.net)))),
        None if GLOBAL.contains(&ip) || NAT64.contains(&ip) => None,
        None => Some(("not global unicast", None)),
    }
}

/// The address as it is dialled, then the IPv4 addresses that it carries.
fn layers(ip: IpAddr) -> impl Iterator<Item = IpAddr> {
    let outer = ip.to_canonical();
    let inner = match outer {
        IpAddr::V4(_) => [None, None],
        IpAddr::V6(v6) => embedded(v6),
    };
    std::iter::once(outer).chain(inner.into_iter().flatten().map(IpAddr::V4))
}

fn embedded(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let bits = ip.to_bits();
    // Truncation is what is meant: 32 bits from the given position.
    let at = |shift: u32| Ipv4Addr::from_bits(((bits >> shift) & 0xffff_ffff) as u32);
    let low = at(0);
    match ip.segments() {
        // `::` and `::1` are addresses of their own, not IPv4 ones.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        [0, 0, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, _, _, _, _, _, _] => [Some(low), None],
        // RFC 3056 section 2.
        [0x2002, _, _, _, _, _, _, _] => [Some(at(80)), None],
        // RFC 4380 section 4: the server, and the client with its bits inverted.
        [0x2001, 0, _, _, _, _, _, _] => [Some(at(64)), Some(Ipv4Addr::from_bits(!low.to_bits()))],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests;
