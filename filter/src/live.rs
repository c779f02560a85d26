//! Connections and streams that are under way, and the sweep that looks at them again.
//!
//! A permission that ends while something uses it ends that, too. On the tick each live thing is asked whether anything
//! has moved under it (two numbers are compared); only then is it decided on again, and cut where it would not be let in
//! now. The set must be exact: a call for a context that is gone would act on the root instead.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::Reason;

use crate::{gate::Gate, identities::Identity, record::Stage};

/// A connection or a stream.
pub trait Thing {
    /// What it is.
    fn stage(&self) -> Stage;
    /// Whether it must be looked at.
    fn is_due(&self, now: Timestamp) -> bool;
    /// Looks at it, and ends it where it must end.
    fn look_again(&self, now: Timestamp);
}

/// Everything that is under way on one worker, by context.
#[derive(Default)]
pub struct Live {
    things: RefCell<BTreeMap<u32, Rc<dyn Thing>>>,
    due_streams: RefCell<VecDeque<u32>>,
    due_connections: RefCell<VecDeque<u32>>,
    /// When they were found.
    found: Cell<Option<Timestamp>>,
}

/// How often it is found out what is due: once a tick, less what a tick may come early.
const PERIOD: SignedDuration = SignedDuration::from_millis(900);
/// Most things that one call cuts.
pub const MOST_CUT: usize = 32;
/// Most things that one call looks at: where an authority has gone, each may cost a signature.
const MOST_LOOKED_AT: usize = 256;

fn is_over(span: SignedDuration, before: Timestamp, now: Timestamp) -> bool {
    let since = now.duration_since(before);
    // A clock that was set back is no reason to stop looking.
    since.is_negative() || since >= span
}

impl Live {
    /// Something begins.
    pub fn begin(&self, context: u32, thing: Rc<dyn Thing>) {
        self.things.borrow_mut().insert(context, thing);
    }

    /// Something ends, however it ended.
    pub fn end(&self, context: u32) {
        let ended = self.things.borrow_mut().remove(&context);
        // Dropped here, when nothing is borrowed any more.
        drop(ended);
    }

    /// Looks at what is due, and says how much of that is left for the next call.
    ///
    /// What is due is found once a tick. A call looks at streams or at connections, never at both where it has
    /// cut a stream: the proxy carries out what a call asks for when the call has ended, and an answer to a stream may end
    /// its connection; closing that connection next would act on what is gone (Envoy 1.40.0 dies of it). And a call cuts
    /// few: the proxy carries out each from within the one before (a thousand exhaust the VM's stack there).
    pub fn sweep(&self, exact: Timestamp, now: Timestamp) -> usize {
        let found = self.found.get();
        if self.left() == 0 && found.is_none_or(|found| is_over(PERIOD, found, exact)) {
            self.found.set(Some(exact));
            self.find(now);
        }
        let cut = self.look_at(&self.due_streams, now);
        if cut == 0 && self.due_streams.borrow().is_empty() {
            self.look_at(&self.due_connections, now);
        }
        self.left()
    }

    fn left(&self) -> usize {
        let streams = self.due_streams.borrow().len();
        streams.saturating_add(self.due_connections.borrow().len())
    }

    fn find(&self, now: Timestamp) {
        let (mut streams, mut connections) = (self.due_streams.borrow_mut(), self.due_connections.borrow_mut());
        for (context, thing) in self.things.borrow().iter().filter(|(_, thing)| thing.is_due(now)) {
            match thing.stage() {
                Stage::Request => streams.push_back(*context),
                Stage::Connection => connections.push_back(*context),
            }
        }
    }

    /// Looks at some of the things that were found to be due; gives how many it cut.
    fn look_at(&self, due: &RefCell<VecDeque<u32>>, now: Timestamp) -> usize {
        let mut cut = 0usize;
        for _ in 0..MOST_LOOKED_AT {
            if cut >= MOST_CUT {
                break;
            }
            let Some(context) = due.borrow_mut().pop_front() else {
                break;
            };
            // It may have ended, or have been decided on, since it was found.
            let thing = self.things.borrow().get(&context).map(Rc::clone);
            let Some(thing) = thing.filter(|thing| thing.is_due(now)) else {
                continue;
            };
            thing.look_again(now);
            if !self.things.borrow().contains_key(&context) {
                cut = cut.saturating_add(1);
            }
        }
        cut
    }

    /// How much is under way.
    pub fn len(&self) -> usize {
        self.things.borrow().len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.things.borrow().is_empty()
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Live").field(&self.len()).finish()
    }
}

/// On what grounds something was let through.
#[derive(Clone, Debug)]
pub struct Grounds {
    gate: Rc<Gate>,
    generation: u64,
    due: Timestamp,
    /// Who it is; nobody where a dry run let it through.
    pub identity: Option<Rc<Identity>>,
    /// What a dry run would have refused it for.
    pub would_refuse: Option<Reason>,
}

impl Grounds {
    /// Something is let through now.
    pub fn new(gate: &Rc<Gate>, identity: Option<Rc<Identity>>, would_refuse: Option<Reason>, now: Timestamp) -> Self {
        let due = match &identity {
            Some(identity) => {
                let (_, until) = identity.good.get();
                let over = until
                    .checked_add(SignedDuration::from_secs(1))
                    .unwrap_or(Timestamp::MAX);
                over.min(identity.next_change(now))
            }
            None => Timestamp::MAX,
        };
        Self {
            gate: Rc::clone(gate),
            generation: gate.generation(),
            due,
            identity,
            would_refuse,
        }
    }

    /// Whether anything has moved: the document, what identities are held against, or time beyond an end.
    pub fn have_moved(&self, gate: &Rc<Gate>, now: Timestamp) -> bool {
        !Rc::ptr_eq(&self.gate, gate) || self.generation != gate.generation() || now >= self.due
    }
}
