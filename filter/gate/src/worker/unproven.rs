//! Connections that were let through unproven: all that can be said of the leaf without its issuer holds, and its first
//! request is to bring the chain. How many there may be, and how one learns that it is proven.
//!
//! Only the HTTP filter sees chains. So the network filter leaves such a leaf to it, where it is certain that it stands
//! behind ([`crate::plugin::connection`] says when). Until a request has been allowed, the connection counts here: of
//! each source address there may be few, and what nobody proves in time is closed. The HTTP filter behind need not be
//! the one that was meant: it may have another document, which enforces nothing or trusts others. So it lets no request
//! of such a connection through that is no proof to the network filter.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::IpAddr,
    rc::{Rc, Weak},
};

use crate::peer::presented::Digest;

/// Most unproven connections of one worker. Our decision: 10 seconds of a hundred new peers a second.
pub const MAX_UNPROVEN: usize = 1024;
/// Most of one source address; of IPv6, of one network of 64 bits. Our decision: a proxy or a node with many workloads
/// opens some at once, and each is proven by its first request.
pub const MAX_UNPROVEN_OF_ADDRESS: usize = 64;

/// Something that waits for a proof.
pub trait Unproven {
    /// A request of it was allowed. Gives whether that was proof enough.
    fn prove(&self) -> bool;
}

/// Where connections come from, as far as they are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Address(IpAddr),
    /// The proxy shows no IP address.
    Unknown,
}

impl Origin {
    fn of(address: Option<IpAddr>) -> Self {
        match address {
            None => Self::Unknown,
            Some(IpAddr::V6(address)) if address.to_ipv4_mapped().is_none() => {
                let network = address.to_bits() & (u128::MAX << 64);
                Self::Address(IpAddr::V6(network.into()))
            }
            Some(address) => Self::Address(address.to_canonical()),
        }
    }
}

/// All of one worker. Clones are the same.
#[derive(Clone, Default)]
pub struct UnprovenConnections(Rc<RefCell<Waiting>>);

/// By the proxy's number of the connection and the context of the filter: a chain may have several.
type Filters = BTreeMap<(u64, u32), Weak<dyn Unproven>>;

#[derive(Default)]
struct Waiting {
    by_leaf: BTreeMap<Digest, Filters>,
    by_origin: BTreeMap<Origin, usize>,
    all: usize,
}

/// The place of one connection, given back when it is dropped.
pub struct Slot {
    connections: UnprovenConnections,
    leaf: Digest,
    filter: (u64, u32),
    origin: Origin,
}

impl UnprovenConnections {
    /// A place for a connection, as the filter of a context has it; none where all are taken, or all of its source
    /// address.
    pub fn take(
        &self,
        leaf: Digest,
        filter: (u64, u32),
        address: Option<IpAddr>,
        unproven: Weak<dyn Unproven>,
    ) -> Option<Slot> {
        let waiting = &mut *self.0.borrow_mut();
        let origin = Origin::of(address);
        let of_origin = waiting.by_origin.get(&origin).copied().unwrap_or_default();
        if waiting.all >= MAX_UNPROVEN || of_origin >= MAX_UNPROVEN_OF_ADDRESS {
            return None;
        }
        waiting.all = waiting.all.saturating_add(1);
        waiting.by_origin.insert(origin, of_origin.saturating_add(1));
        let of_leaf = waiting.by_leaf.entry(leaf).or_default();
        of_leaf.insert(filter, unproven);
        Some(Slot {
            connections: self.clone(),
            leaf,
            filter,
            origin,
        })
    }

    /// Whether a request with this leaf may go further: its connection waits for no proof, or this is one, which only a
    /// request that is allowed can be. The proxy is asked for the connection only where one with the leaf waits; one
    /// without a number may be that.
    pub fn let_pass(&self, leaf: &Digest, is_allowed: bool, connection: impl FnOnce() -> Option<u64>) -> bool {
        if !self.0.borrow().by_leaf.contains_key(leaf) {
            return true;
        }
        let Some(connection) = connection() else { return false };
        let unproven: Vec<Rc<dyn Unproven>> = {
            let waiting = self.0.borrow();
            let of_leaf = waiting.by_leaf.get(leaf).into_iter();
            let of_connection = of_leaf.flat_map(|of_leaf| of_leaf.range((connection, 0)..=(connection, u32::MAX)));
            of_connection.filter_map(|(_, unproven)| unproven.upgrade()).collect()
        };
        unproven.iter().all(|unproven| is_allowed && unproven.prove())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.borrow().all
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let waiting = &mut *self.connections.0.borrow_mut();
        waiting.all = waiting.all.saturating_sub(1);
        if let Some(of_origin) = waiting.by_origin.get_mut(&self.origin) {
            *of_origin = of_origin.saturating_sub(1);
            if *of_origin == 0 {
                waiting.by_origin.remove(&self.origin);
            }
        }
        if let Some(of_leaf) = waiting.by_leaf.get_mut(&self.leaf) {
            of_leaf.remove(&self.filter);
            if of_leaf.is_empty() {
                waiting.by_leaf.remove(&self.leaf);
            }
        }
    }
}

impl std::fmt::Debug for UnprovenConnections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("UnprovenConnections").field(&self.len()).finish()
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slot").field(&self.filter).finish()
    }
}
