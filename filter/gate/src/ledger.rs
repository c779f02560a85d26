//! What peers make this worker keep, in bytes: the heads of their open streams and what is known of their identities.
//!
//! A stream costs a peer few bytes on the wire and us as many as its head has, and one peer may open any number. So
//! what is kept is counted, and given back when it is dropped. At the bound of a worker whoever holds most is refused:
//! one peer that fills it costs no other a request. Of what a hop brings, that is the caller who holds most of it: one
//! that fills what its hop may hold costs no other caller of the same hop a request.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use svidgate_policy::Reason;

/// Most bytes of the head of one stream. Our decision: more than a proxy takes unless it is told to (Envoy:
/// `max_request_headers_kb`, 60).
pub const MAX_STREAM_BYTES: usize = 64 * 1024;
/// Most bytes of the heads of one connection's streams, where each has [`LARGE_HEAD`] or more. Our decision: a thousand
/// streams of 4 KiB.
pub const MAX_CONNECTION_BYTES: usize = 4 * 1024 * 1024;
/// Of heads from this size on, the connection is looked up, which takes a call of the proxy.
pub const LARGE_HEAD: usize = 1024;
/// Most bytes that a worker keeps for one who holds more than anybody else. Our decision: an eighth of what a VM bears
/// (seen: traps above 1 GiB), beside documents.
pub const MAX_WORKER_BYTES: usize = 128 * 1024 * 1024;
/// Most bytes that a worker keeps for all.
pub const MAX_ALL_BYTES: usize = 2 * MAX_WORKER_BYTES;

/// Who holds something: a number made of an id that was verified; 0 for all that nobody vouched for, in a dry run.
pub type Account = u64;

/// Whose something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Who has connected.
    pub peer: Account,
    /// Whom it brings.
    pub caller: Option<Account>,
}

impl Owner {
    /// Who has connected, and brings nobody.
    pub fn direct(peer: Account) -> Self {
        Self { peer, caller: None }
    }

    /// The caller of this peer.
    fn brought(self) -> Option<(Account, Account)> {
        self.caller.map(|caller| (self.peer, caller))
    }
}

#[derive(Debug, Default)]
struct Accounts {
    total: usize,
    by_peer: BTreeMap<Account, usize>,
    /// Of those whom a peer brings.
    by_caller: BTreeMap<(Account, Account), usize>,
    by_connection: BTreeMap<u64, usize>,
}

/// What peers hold of one worker.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Rc<RefCell<Accounts>>);

/// Something that a peer holds, given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    ledger: Ledger,
    owner: Owner,
    connection: Option<u64>,
    bytes: usize,
}

impl Ledger {
    /// Lets a peer hold so many bytes more. `connection` gives the number of its connection; it is asked for where the
    /// bytes are those of a large head.
    ///
    /// # Errors
    /// The bound that this would break.
    pub fn hold(&self, owner: Owner, bytes: usize, connection: impl FnOnce() -> Option<u64>) -> Result<Held, Reason> {
        let connection = if bytes >= LARGE_HEAD { connection() } else { None };
        let mut accounts = self.0.borrow_mut();
        if let Some(connection) = connection {
            let known = accounts.by_connection.get(&connection).copied().unwrap_or_default();
            if known.saturating_add(bytes) > MAX_CONNECTION_BYTES {
                return Err(Reason::ConnectionHoldsTooMuch);
            }
        }
        let own = with(&accounts.by_peer, &owner.peer, bytes);
        let brought = owner.brought();
        let of_caller = brought.map(|caller| (caller, with(&accounts.by_caller, &caller, bytes)));
        let total = accounts.total.saturating_add(bytes);
        let holds_most = || {
            let mut peers = accounts.by_peer.iter();
            peers.all(|(peer, held)| *peer == owner.peer || *held <= own)
        };
        let caller_holds_most = || {
            let mut callers = accounts
                .by_caller
                .range((owner.peer, Account::MIN)..=(owner.peer, Account::MAX));
            of_caller.is_none_or(|(caller, own)| callers.all(|(other, held)| *other == caller || *held <= own))
        };
        if total > MAX_ALL_BYTES || (total > MAX_WORKER_BYTES && holds_most() && caller_holds_most()) {
            return Err(Reason::WorkerFull);
        }
        accounts.total = total;
        accounts.by_peer.insert(owner.peer, own);
        accounts.by_caller.extend(of_caller);
        if let Some(connection) = connection {
            let held = accounts.by_connection.entry(connection).or_default();
            *held = held.saturating_add(bytes);
        }
        Ok(Held {
            ledger: self.clone(),
            owner,
            connection,
            bytes,
        })
    }

    /// All that is held.
    pub fn total(&self) -> usize {
        self.0.borrow().total
    }
}

/// What an account has, and so many bytes more.
fn with<K: Ord>(held: &BTreeMap<K, usize>, key: &K, bytes: usize) -> usize {
    held.get(key).copied().unwrap_or_default().saturating_add(bytes)
}

impl Drop for Held {
    fn drop(&mut self) {
        fn give_back<K: Ord>(held: &mut BTreeMap<K, usize>, key: K, bytes: usize) {
            if let Some(known) = held.get_mut(&key) {
                *known = known.saturating_sub(bytes);
                if *known == 0 {
                    held.remove(&key);
                }
            }
        }
        let mut accounts = self.ledger.0.borrow_mut();
        accounts.total = accounts.total.saturating_sub(self.bytes);
        give_back(&mut accounts.by_peer, self.owner.peer, self.bytes);
        if let Some(caller) = self.owner.brought() {
            give_back(&mut accounts.by_caller, caller, self.bytes);
        }
        if let Some(connection) = self.connection {
            give_back(&mut accounts.by_connection, connection, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn hold(ledger: &Ledger, account: Account, bytes: usize) -> Result<Held, Reason> {
        ledger.hold(Owner::direct(account), bytes, || None)
    }

    /// What one peer brings of several callers.
    #[test]
    fn caller_that_fills_what_its_hop_may_hold_costs_no_other_caller_a_request() {
        let ledger = Ledger::default();
        let hold = |caller: Account, bytes: usize| {
            let owner = Owner {
                peer: 1,
                caller: Some(caller),
            };
            ledger.hold(owner, bytes, || None)
        };
        let mut greedy = Vec::new();
        while let Ok(held) = hold(7, MIB) {
            greedy.push(held);
        }
        assert_eq!(greedy.len(), 128);
        let modest: Vec<Held> = (0..100).map(|_| hold(8, MIB).unwrap()).collect();
        assert_eq!(hold(7, 1).err(), Some(Reason::WorkerFull));
        // The hop holds most of all, and as long as it does its own is refused.
        assert_eq!(
            ledger.hold(Owner::direct(1), 1, || None).err(),
            Some(Reason::WorkerFull)
        );
        assert!(ledger.hold(Owner::direct(2), MIB, || None).is_ok());
        drop((greedy, modest));
        assert_eq!(ledger.total(), 0, "all is given back");
        let accounts = ledger.0.borrow();
        assert!(accounts.by_peer.is_empty() && accounts.by_caller.is_empty());
    }

    #[test]
    fn whoever_holds_most_is_refused_and_nobody_else() {
        let ledger = Ledger::default();
        let mut greedy: Vec<Held> = Vec::new();
        let refused = loop {
            match hold(&ledger, 1, MIB) {
                Ok(held) => greedy.push(held),
                Err(reason) => break reason,
            }
        };
        assert_eq!((refused, greedy.len()), (Reason::WorkerFull, 128));
        let modest: Vec<Held> = (0..100).map(|_| hold(&ledger, 2, MIB).unwrap()).collect();
        assert_eq!(hold(&ledger, 1, 1).err(), Some(Reason::WorkerFull));
        drop(greedy);
        assert!(hold(&ledger, 1, MIB).is_ok());
        drop(modest);
        assert_eq!(ledger.total(), 0, "all is given back");
        assert!(ledger.0.borrow().by_peer.is_empty());
    }

    #[test]
    fn all_together_have_a_bound_too() {
        let ledger = Ledger::default();
        let all: Vec<Held> = (0..1000).filter_map(|peer| hold(&ledger, peer, MIB).ok()).collect();
        assert!(ledger.total() <= MAX_ALL_BYTES, "{}", all.len());
    }

    #[test]
    fn connection_has_a_bound_of_its_own_for_large_heads() {
        let ledger = Ledger::default();
        let large = |connection| ledger.hold(Owner::direct(1), MIB, || Some(connection));
        let held: Vec<Held> = (0..4).map(|_| large(7).unwrap()).collect();
        assert_eq!(large(7).err(), Some(Reason::ConnectionHoldsTooMuch));
        assert!(large(8).is_ok());
        drop(held);
        assert!(large(7).is_ok());
        assert!(
            ledger
                .hold(Owner::direct(1), 1, || panic!(
                    "nobody asks for the connection of a small head"
                ))
                .is_ok()
        );
    }
}
