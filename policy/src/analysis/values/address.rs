//! Addresses: what blocks say stays the same from one of their edges to the next.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::analysis::demand::{Demand, Value, Verdicts};

pub(super) fn addresses(demands: &[(&Demand, Verdicts)]) -> Vec<Value> {
    let whens = demands.iter().filter_map(|(demand, _)| demand.when());
    let nets = whens
        .flat_map(|when| [&when.source_ips, &when.not_source_ips])
        .flatten()
        .flatten();
    let mut edges: Vec<IpAddr> = nets.flat_map(edges).collect();
    edges.sort_unstable();
    edges.dedup();
    // Before and between all blocks; the last behind the IPv4 addresses that are written in IPv6, which are read as such.
    let usual = [
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 1, 0, 0, 0)),
    ];
    let known = edges.into_iter().chain(usual);
    known.map(Some).chain([None]).map(Value::Source).collect()
}

/// The first address of a block, and the first behind it.
fn edges(net: &IpNet) -> impl Iterator<Item = IpAddr> {
    let behind = match net.broadcast() {
        IpAddr::V4(last) => last.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(last) => last.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    };
    // The first of a block of all IPv4 addresses is no address of anybody; the next one shows as much.
    let inside = match net.network() {
        IpAddr::V4(first) if net.prefix_len() < 31 => {
            first.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into()))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    };
    let first = [net.network()];
    inside.into_iter().chain(first).chain(behind)
}
