//! What peers make this worker keep, in bytes: the heads of their open streams and what is known of their identities.
//!
//! A stream costs a peer few bytes on the wire and us as many as its head has, and one peer may open any number. So
//! what is kept is counted, and given back when it is dropped. At the bound of a worker whoever holds most is refused:
//! one peer that fills it costs no other a request.

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

#[derive(Debug, Default)]
struct Accounts {
    total: usize,
    by_peer: BTreeMap<Account, usize>,
    by_connection: BTreeMap<u64, usize>,
}

/// What peers hold of one worker.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Rc<RefCell<Accounts>>);

/// Something that a peer holds, given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    ledger: Ledger,
    account: Account,
    connection: Option<u64>,
    bytes: usize,
}

impl Ledger {
    /// Lets a peer hold so many bytes more. `connection` gives the number of its connection; it is asked for where the
    /// bytes are those of a large head.
    ///
    /// # Errors
    /// The bound that this would break.
    pub fn hold(
        &self,
        account: Account,
        bytes: usize,
        connection: impl FnOnce() -> Option<u64>,
    ) -> Result<Held, Reason> {
        let connection = if bytes >= LARGE_HEAD { connection() } else { None };
        let mut accounts = self.0.borrow_mut();
        if let Some(connection) = connection {
            let known = accounts.by_connection.get(&connection).copied().unwrap_or_default();
            if known.saturating_add(bytes) > MAX_CONNECTION_BYTES {
                return Err(Reason::ConnectionHoldsTooMuch);
            }
        }
        let own = accounts
            .by_peer
            .get(&account)
            .copied()
            .unwrap_or_default()
            .saturating_add(bytes);
        let total = accounts.total.saturating_add(bytes);
        let holds_most = || {
            accounts
                .by_peer
                .iter()
                .all(|(peer, held)| *peer == account || *held <= own)
        };
        if total > MAX_ALL_BYTES || (total > MAX_WORKER_BYTES && holds_most()) {
            return Err(Reason::WorkerFull);
        }
        accounts.total = total;
        accounts.by_peer.insert(account, own);
        if let Some(connection) = connection {
            let held = accounts.by_connection.entry(connection).or_default();
            *held = held.saturating_add(bytes);
        }
        Ok(Held {
            ledger: self.clone(),
            account,
            connection,
            bytes,
        })
    }

    /// All that is held.
    pub fn total(&self) -> usize {
        self.0.borrow().total
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        fn give_back(held: &mut BTreeMap<u64, usize>, key: u64, bytes: usize) {
            if let Some(known) = held.get_mut(&key) {
                *known = known.saturating_sub(bytes);
                if *known == 0 {
                    held.remove(&key);
                }
            }
        }
        let mut accounts = self.ledger.0.borrow_mut();
        accounts.total = accounts.total.saturating_sub(self.bytes);
        give_back(&mut accounts.by_peer, self.account, self.bytes);
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
        ledger.hold(account, bytes, || None)
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
        let large = |connection| ledger.hold(1, MIB, || Some(connection));
        let held: Vec<Held> = (0..4).map(|_| large(7).unwrap()).collect();
        assert_eq!(large(7).err(), Some(Reason::ConnectionHoldsTooMuch));
        assert!(large(8).is_ok());
        drop(held);
        assert!(large(7).is_ok());
        assert!(
            ledger
                .hold(1, 1, || panic!("nobody asks for the connection of a small head"))
                .is_ok()
        );
    }
}
