//! Connections and streams that are under way, and the sweep that looks at them again.
//!
//! A permission that ends while something uses it ends that, too. On the tick each live thing is asked whether anything
//! has moved under it (numbers are compared); only then is it decided on again, and ended where it would not be let in
//! now. The set must be exact: a call for a context that is gone would act on the root instead.
//!
//! What is due waits in a queue of its connection, because a call ends one thing of a connection at most
//! ([`crate::worker::cut`]). The pace: the sweep runs every millisecond while anything waits, so a connection loses
//! some hundred streams in half a second, each with an answer. After [`ANSWERING`] a connection that must go itself is
//! closed with all that is left on it. Connections take turns, and what becomes due in the meantime is found as soon as
//! ever, so that one peer with many streams keeps nobody else's from ending in time.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    rc::Rc,
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    clock::is_over,
    peer::presented::Evidence,
    proxy::Proxy,
    stage::Stage,
    worker::cut::{Arrival, ConnectionId, Cuts, Ending},
};

/// A connection or a stream.
pub trait UnderWay {
    /// What it is.
    fn stage(&self) -> Stage;
    /// Whether it must be looked at.
    fn is_due(&self, now: Timestamp) -> bool;
    /// Whose it is.
    fn peer(&self) -> Option<Evidence>;
    /// Of a connection: whether it is to be closed as soon as nothing is under way on it.
    fn drains(&self, now: Timestamp) -> bool;
    /// Decides on it again, while calls of the proxy are about it. Gives how it ends, where it must.
    fn judge(&self, now: Timestamp) -> Option<Ending>;
}

/// Everything that is under way on one worker, by context.
#[derive(Default)]
pub struct Sweep {
    under_way: RefCell<BTreeMap<u32, Rc<dyn UnderWay>>>,
    due: RefCell<Due>,
    /// When it was last found out what is due.
    found: Cell<Option<Timestamp>>,
}

/// What is due and was not looked at yet.
#[derive(Debug, Default)]
struct Due {
    /// Of connections not known yet: streams first.
    unsorted: VecDeque<u32>,
    by_connection: BTreeMap<ConnectionId, Waiting>,
    /// Whose turn was the last.
    served: ConnectionId,
}

/// What is due of one connection.
#[derive(Debug)]
struct Waiting {
    streams: VecDeque<u32>,
    connections: VecDeque<u32>,
    since: Timestamp,
}

/// How often it is found out what is due: once a tick, less what a tick may come early.
const PERIOD: SignedDuration = SignedDuration::from_millis(900);
/// Most things that one call looks at in the queues, and as many of what was just found: where an authority has gone,
/// each may cost a signature.
const MOST_LOOKED_AT: usize = 128;
/// Most connections that one call finds to be without anything under way, and most streams that it looks through for
/// that.
const MOST_DRAINED: usize = 256;
/// For this long the streams of a connection that must go get answers, one a call; then it is closed. Our decision:
/// with the tick that finds it, within two seconds of the event.
pub const ANSWERING: SignedDuration = SignedDuration::from_millis(500);

/// What came of looking at one thing.
enum Looked {
    /// It goes on, was ended, or is no more.
    Done,
    /// Its connection must wait for the next call.
    Later(ConnectionId),
}

impl Sweep {
    /// Something begins.
    pub fn begin(&self, context: u32, one: Rc<dyn UnderWay>) {
        self.under_way.borrow_mut().insert(context, one);
    }

    /// Something ends, however it ended.
    pub fn end(&self, context: u32) {
        let ended = self.under_way.borrow_mut().remove(&context);
        // Dropped here, when nothing is borrowed any more.
        drop(ended);
    }

    /// Looks at what is due, and says whether there is more of it for the next call. `exact` is the clock, `now` the
    /// second that it is in.
    pub fn sweep<P: Proxy>(&self, proxy: &P, plugin: u32, exact: Timestamp, now: Timestamp) -> bool {
        let is_time = self.found.get().is_none_or(|found| is_over(PERIOD, found, exact));
        if is_time {
            self.found.set(Some(exact));
            self.find_due(now);
        }
        let cuts = &mut Cuts::new(proxy, plugin);
        self.look_at_known(cuts, exact, now);
        self.look_at_unsorted(cuts, exact, now);
        if is_time {
            self.drain(cuts, now);
        }
        self.is_waiting()
    }

    /// Closes connections that are to go and have nothing under way.
    fn drain<P: Proxy>(&self, cuts: &mut Cuts<'_, P>, now: Timestamp) {
        let (mut draining, mut peers) = (Vec::new(), HashSet::new());
        for (context, one) in self.under_way.borrow().iter() {
            if one.stage() == Stage::Connection && draining.len() < MOST_DRAINED && one.drains(now) {
                draining.push(*context);
                peers.extend(one.peer());
            }
        }
        if draining.is_empty() {
            return;
        }
        let is_theirs = |one: &Rc<dyn UnderWay>| {
            let peer = one.peer().filter(|_| one.stage() == Stage::Request);
            peer.is_some_and(|peer| peers.contains(&peer))
        };
        let under_way = self.under_way.borrow();
        let streams: Vec<u32> = under_way
            .iter()
            .filter(|(_, one)| is_theirs(one))
            .map(|(context, _)| *context)
            .collect();
        drop(under_way);
        // So many are not looked through for what would only be a kindness.
        if streams.len() > MOST_DRAINED {
            return;
        }
        let mut busy: BTreeSet<ConnectionId> = BTreeSet::new();
        for context in streams {
            if let Arrival::There(connection) = cuts.go_to(context) {
                busy.insert(connection);
            }
        }
        for context in draining {
            if let Arrival::There(connection) = cuts.go_to(context)
                && !busy.contains(&connection)
                && cuts.end(connection, Ending::Close)
            {
                self.end(context);
            }
        }
    }

    /// Whether anything that is due was not looked at yet.
    pub fn is_waiting(&self) -> bool {
        let due = self.due.borrow();
        !due.unsorted.is_empty() || !due.by_connection.is_empty()
    }

    /// What is due is found at the next sweep, however soon that is.
    pub fn look_soon(&self) {
        self.found.set(None);
    }

    /// Puts what is due, and waits in no queue, behind what does.
    fn find_due(&self, now: Timestamp) {
        let waiting = self.due.borrow().contexts();
        let is_new = |context: &u32, one: &Rc<dyn UnderWay>| !waiting.contains(context) && one.is_due(now);
        let (mut streams, mut connections) = (VecDeque::new(), VecDeque::new());
        for (context, one) in self
            .under_way
            .borrow()
            .iter()
            .filter(|(context, one)| is_new(context, one))
        {
            match one.stage() {
                Stage::Request => streams.push_back(*context),
                Stage::Connection => connections.push_back(*context),
            }
        }
        let mut due = self.due.borrow_mut();
        due.unsorted.append(&mut streams);
        due.unsorted.append(&mut connections);
    }

    /// One ending of each connection whose number is known, from the one whose turn it is.
    fn look_at_known<P: Proxy>(&self, cuts: &mut Cuts<'_, P>, exact: Timestamp, now: Timestamp) {
        let mut left = MOST_LOOKED_AT;
        let (mut known, served) = {
            let mut due = self.due.borrow_mut();
            (std::mem::take(&mut due.by_connection), due.served)
        };
        let mut turns: Vec<ConnectionId> = known.keys().copied().collect();
        let first = turns.partition_point(|connection| *connection <= served);
        turns.rotate_left(first);
        for connection in turns {
            if cuts.is_full() || left == 0 {
                break;
            }
            self.due.borrow_mut().served = connection;
            let Some(mut waiting) = known.remove(&connection) else {
                continue;
            };
            let is_late = is_over(ANSWERING, waiting.since, exact);
            while left > 0 && !cuts.has_touched(connection) {
                let Some(context) = waiting.next(is_late) else { break };
                left = left.saturating_sub(1);
                if let Looked::Later(_) = self.look_at(cuts, context, now) {
                    waiting.streams.push_back(context);
                    break;
                }
            }
            if !waiting.is_empty() {
                known.insert(connection, waiting);
            }
        }
        // What was ended may have ended others, but nothing has come to wait.
        self.due.borrow_mut().by_connection = known;
    }

    /// Looks at what was found, or puts it into the queue of its connection.
    fn look_at_unsorted<P: Proxy>(&self, cuts: &mut Cuts<'_, P>, exact: Timestamp, now: Timestamp) {
        for _ in 0..MOST_LOOKED_AT {
            let Some(context) = self.due.borrow_mut().unsorted.pop_front() else {
                break;
            };
            let stage = self.under_way.borrow().get(&context).map(|one| one.stage());
            if let Looked::Later(connection) = self.look_at(cuts, context, now) {
                let mut due = self.due.borrow_mut();
                let waiting = due
                    .by_connection
                    .entry(connection)
                    .or_insert_with(|| Waiting::since(exact));
                match stage {
                    Some(Stage::Connection) => waiting.connections.push_back(context),
                    Some(Stage::Request) | None => waiting.streams.push_back(context),
                }
            }
        }
    }

    fn look_at<P: Proxy>(&self, cuts: &mut Cuts<'_, P>, context: u32, now: Timestamp) -> Looked {
        // It may have ended, or have been decided on, since it was found.
        let one = self.under_way.borrow().get(&context).map(Rc::clone);
        let Some(one) = one.filter(|one| one.is_due(now)) else {
            return Looked::Done;
        };
        let connection = match cuts.go_to(context) {
            Arrival::There(connection) => connection,
            Arrival::NotInThisCall(connection) => return Looked::Later(connection),
            Arrival::Gone => {
                self.end(context);
                return Looked::Done;
            }
        };
        // Whatever comes to a connection that has a queue stands behind it: a connection goes after its streams.
        if cuts.is_full() || self.due.borrow().by_connection.contains_key(&connection) {
            return Looked::Later(connection);
        }
        if let Some(ending) = one.judge(now) {
            self.end(context);
            cuts.end(connection, ending);
        }
        Looked::Done
    }

    /// How much is under way.
    pub fn len(&self) -> usize {
        self.under_way.borrow().len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.under_way.borrow().is_empty()
    }
}

impl Due {
    /// Everything that waits.
    fn contexts(&self) -> BTreeSet<u32> {
        let known = self.by_connection.values();
        let known = known.flat_map(|waiting| waiting.streams.iter().chain(&waiting.connections));
        self.unsorted.iter().chain(known).copied().collect()
    }
}

impl Waiting {
    fn since(since: Timestamp) -> Self {
        Self {
            streams: VecDeque::new(),
            connections: VecDeque::new(),
            since,
        }
    }

    /// Streams first; where it is late, the connection.
    fn next(&mut self, is_late: bool) -> Option<u32> {
        let connection = |waiting: &mut Self| waiting.connections.pop_front();
        if is_late && let Some(context) = connection(self) {
            return Some(context);
        }
        self.streams.pop_front().or_else(|| connection(self))
    }

    fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.connections.is_empty()
    }
}

impl std::fmt::Debug for Sweep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sweep").field(&self.len()).finish()
    }
}
