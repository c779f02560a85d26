//! One plugin on one worker: configured as a whole or not at all, and called on every tick.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::{Listener, Listeners, PeerOrigin, Reason};

use crate::{
    identity::{algorithms::Verify, gate::Gate},
    ledger::Ledger,
    peer::{presented::Digest, surroundings},
    plugin::capability,
    proxy::{Level, Proxy},
    record::decision::{Circumstances, Record},
    stage::Stage,
    worker::{
        grounds::{Grounds, Judges},
        succession::{Newest, PluginName, Succession},
        sweep::UnderWay,
        unproven::UnprovenConnections,
        worker::Worker,
    },
};

/// How often the root is called, in milliseconds. Time is read then, sources and what is under way are looked at,
/// counters are handed over.
pub const TICK_MILLISECONDS: u32 = 1000;
/// The same while a source has not said anything yet, for the first ten seconds.
pub const STARTING_TICK_MILLISECONDS: u32 = 100;
/// The same while there is more to cut than one call may: one stream of a connection, see [`crate::worker::cut`].
pub const CUTTING_TICK_MILLISECONDS: u32 = 1;
/// How long a start is.
const STARTING: SignedDuration = SignedDuration::from_secs(10);

/// A plugin: the network filter or the HTTP filter, with one document.
#[derive(Debug)]
pub struct Plugin<P> {
    proxy: P,
    stage: Stage,
    /// Whether this is `svidgate.hold`.
    holds: bool,
    /// The listener that its `root_id` says it stands in.
    placed: Option<Listener>,
    /// The listener that it stands in, once it is configured.
    listener: Cell<Listener>,
    context: u32,
    verify: Option<Verify>,
    worker: Rc<Worker>,
    succession: RefCell<Option<Rc<Succession>>>,
    /// Whether it was told that something begins here although another document is newer.
    has_warned: Cell<bool>,
    /// Whether the proxy was told how long it keeps since when a connection is known.
    has_declared: Cell<bool>,
    configured: Cell<Timestamp>,
    period: Cell<u32>,
}

impl<P: Proxy> Plugin<P> {
    /// A plugin without a document, which denies everything.
    pub fn new(proxy: P, stage: Stage, context: u32, verify: Option<Verify>, worker: Rc<Worker>) -> Self {
        Self {
            proxy,
            stage,
            holds: false,
            placed: None,
            listener: Cell::default(),
            context,
            verify,
            worker,
            succession: RefCell::default(),
            has_warned: Cell::default(),
            has_declared: Cell::default(),
            configured: Cell::default(),
            period: Cell::default(),
        }
    }

    /// The same plugin as `svidgate.hold`, which decides nothing.
    #[must_use]
    pub fn holding(self) -> Self {
        Self { holds: true, ..self }
    }

    /// The same plugin where its `root_id` says what it stands in.
    #[must_use]
    pub fn placed(self, listener: Option<Listener>) -> Self {
        Self {
            placed: listener,
            ..self
        }
    }

    /// Compiles the document that the proxy has for this plugin, and swaps it in if all of it is good.
    ///
    /// Gives whether it was taken. The proxy refuses the update where not, and what ran before goes on.
    pub fn configure(&self) -> bool {
        let is_taken = self.take_document();
        self.worker.count_document(&self.proxy, is_taken);
        is_taken
    }

    fn take_document(&self) -> bool {
        self.worker.read_time(&self.proxy);
        let Some(document) = self.proxy.configuration().ok().filter(|document| !document.is_empty()) else {
            self.proxy.log(
                Level::Error,
                "svidgate: no configuration document (set `configuration` of the plugin)",
            );
            return false;
        };
        let Some((digest, gate)) = self.worker.gate(&self.proxy, &document, self.verify) else {
            return false;
        };
        let placed = self.listener_it_stands_in(gate.configuration.listener);
        let refusal = |listener| self.refusal(listener, &gate.configuration.peer);
        let borne = placed.and_then(|listener| refusal(listener).map_or(Ok(listener), Err));
        let listener = match borne {
            Ok(listener) => listener,
            Err(refusal) => {
                self.proxy.log(Level::Error, &format!("svidgate: {refusal}"));
                return false;
            }
        };
        if self.holds {
            capability::note_hold(&self.proxy);
            self.worker.add_hold();
        }
        self.take_place(listener, digest, &gate);
        self.worker.enter(self.context);
        self.worker.share(&self.proxy);
        self.worker.settle(&self.proxy);
        // What has been fetched for the document before this one is there for this one at once.
        self.worker.look_at_sources(&self.proxy);
        self.configured.set(self.now());
        self.set_period(false)
    }

    /// Whether the proxy keeps for each connection since when it is known.
    fn can_tell_age(&self) -> bool {
        let has_declared = self.has_declared.get() || self.proxy.keep_for_connection(surroundings::SINCE_STATE).is_ok();
        self.has_declared.set(has_declared);
        has_declared
    }

    /// The listener that this plugin stands in: what the document says, and where it leaves that to the plugins, what
    /// the plugin's `root_id` says. It is never guessed.
    fn listener_it_stands_in(&self, listeners: Listeners) -> Result<Listener, String> {
        match (self.stage, listeners, self.placed) {
            (Stage::Request, Listeners::Only(Listener::Http) | Listeners::Shared, _) => Ok(Listener::Http),
            (Stage::Request, Listeners::Only(Listener::Tcp | Listener::TcpServerFirst), _) => {
                Err("listener: a TCP listener has no requests (`http` is what the HTTP filter stands in)".to_owned())
            }
            // `svidgate.hold` is for nothing else.
            (Stage::Connection, Listeners::Shared, None) if self.holds => Ok(Listener::Http),
            (Stage::Connection, Listeners::Shared, Some(placed)) => Ok(placed),
            (Stage::Connection, Listeners::Shared, None) => Err(NOT_PLACED.to_owned()),
            (Stage::Connection, Listeners::Only(said), None) => Ok(said),
            (Stage::Connection, Listeners::Only(said), Some(placed)) if said == placed => Ok(said),
            (Stage::Connection, Listeners::Only(said), Some(placed)) => Err(format!(
                "listener: the document is for `{}`, and the `root_id` of the plugin says `{}` (a document \
                 for both is `shared`)",
                said.as_str(),
                placed.as_str()
            )),
        }
    }

    fn refusal(&self, listener: Listener, origin: &PeerOrigin) -> Option<String> {
        let of_listener = if self.holds {
            capability::refusal_of_hold(listener)
        } else {
            capability::refusal(&self.proxy, self.stage, listener)
        };
        let refusal = of_listener.or_else(|| capability::refusal_of_origin(&self.proxy, origin));
        refusal.or_else(|| (!origin.has_certificate() && !self.can_tell_age()).then(|| NO_AGE.to_owned()))
    }

    fn take_place(&self, listener: Listener, digest: Digest, gate: &Rc<Gate>) {
        let name = PluginName {
            stage: self.stage,
            name: self.proxy.plugin_name(),
            listener,
            holds: self.holds,
        };
        let successions = self.worker.successions();
        let succession = successions.configure(name, self.context, digest, gate);
        self.succession.replace(Some(succession));
        self.listener.set(listener);
    }

    fn set_period(&self, is_cutting: bool) -> bool {
        let is_starting = self.now().duration_since(self.configured.get()) < STARTING;
        let period = if is_cutting {
            CUTTING_TICK_MILLISECONDS
        } else if is_starting && self.worker.is_waiting() {
            STARTING_TICK_MILLISECONDS
        } else {
            TICK_MILLISECONDS
        };
        if self.period.replace(period) == period {
            return true;
        }
        let set = self.proxy.set_tick_period(period);
        if let Err(error) = set {
            let line = format!("svidgate: no tick, so time would stand still: {error}");
            self.proxy.log(Level::Error, &line);
        }
        set.is_ok()
    }

    /// Looks after time, sources, what is under way, and counters: once a worker, however many plugins tick.
    ///
    /// | step | why there |
    /// |---|---|
    /// | 1. the clock is read | all that follows happens at one moment |
    /// | 2. the workers' secret is found, or left for others | without it nothing that is shared can be read |
    /// | 3. what others have published is read, and what is due is asked | documents see new bundles before anything is judged |
    /// | 4. the newest document of each name is settled | what is under way is judged by it |
    /// | 5. what is under way is swept | after all is known that could end it |
    /// | 6. ages, ends and counters are handed over | they tell of what was just done |
    ///
    /// Plugins beside the one that takes the tick do the first step and the fifth alone: each may cut what others left
    /// waiting.
    pub fn tick(&self) {
        self.worker.read_time(&self.proxy);
        let takes_it = self.worker.takes_tick();
        if takes_it {
            self.worker.share(&self.proxy);
            self.worker.fetch(&self.proxy, self.context);
            self.worker.settle(&self.proxy);
        }
        let is_cutting = self.worker.sweep(&self.proxy, self.context);
        if takes_it {
            self.worker.watch(&self.proxy);
            self.flush();
        }
        self.set_period(is_cutting);
    }

    /// Hands counters over; also when the plugin goes.
    pub fn flush(&self) {
        self.worker.flush(&self.proxy);
    }

    /// The plugin goes.
    pub fn leave(&self) {
        self.flush();
        let succession = self.succession();
        self.worker.leave(&self.proxy, self.context, succession.as_deref());
    }

    /// An endpoint has answered the worker; `headers` is 0 where it has not.
    pub fn on_answer(&self, token: u32, headers: usize, bytes: usize) {
        self.worker.on_answer(&self.proxy, token, headers, bytes);
    }

    /// A stream that the worker opened has brought a message.
    pub fn on_message(&self, token: u32, bytes: usize) {
        self.worker.on_message(&self.proxy, token, bytes);
    }

    /// A stream that the worker opened has ended.
    pub fn on_stream_close(&self, token: u32, status: u32) {
        self.worker.on_stream_close(&self.proxy, token, status);
    }

    /// Something begins under this plugin's document. Until it ends, it is looked at on the tick.
    pub fn begin(&self, context: u32, one: Rc<dyn UnderWay>) {
        let is_old = self
            .succession()
            .is_some_and(|succession| succession.serve(self.context));
        if is_old && one.stage() == Stage::Connection && !self.holds && !self.has_warned.replace(true) {
            self.proxy.log(Level::Warn, OLD_DOCUMENT);
        }
        self.worker.under_way().begin(context, one);
    }

    /// It has ended.
    pub fn end(&self, context: u32) {
        self.worker.under_way().end(context);
    }

    /// Whether connections may have been held before they come to this plugin.
    pub fn is_behind_hold(&self) -> bool {
        !self.holds && self.worker.has_hold()
    }

    /// Records a decision; `shown` where it is the last word on its connection or stream.
    pub fn record(&self, record: &Record<'_>, shown: bool, circumstances: impl FnOnce() -> Circumstances) {
        self.worker.record(&self.proxy, record, shown, circumstances);
    }

    /// The time of the last tick.
    pub fn now(&self) -> Timestamp {
        self.worker.now()
    }

    /// What peers hold of the worker.
    pub fn ledger(&self) -> &Ledger {
        self.worker.ledger()
    }

    /// Connections whose first request is to prove who the peer is.
    pub fn unproven(&self) -> &UnprovenConnections {
        self.worker.unproven()
    }

    /// Whether the HTTP filter is configured on this worker with this document.
    pub fn decides_on_requests(&self, gate: &Rc<Gate>) -> bool {
        self.worker.successions().decide_on_requests(gate)
    }

    /// The proxy.
    pub fn proxy(&self) -> &P {
        &self.proxy
    }

    /// The listener that it stands in.
    pub fn listener(&self) -> Listener {
        self.listener.get()
    }

    /// The document at work, once there is one.
    pub fn gate(&self) -> Option<Rc<Gate>> {
        self.succession()?.gate(self.context)
    }

    /// The documents that judge what begins now. None where there is none, or where another thread has a newer one.
    pub fn judges(&self) -> Option<Judges> {
        self.succession()?.judges(&self.gate()?)
    }

    /// The documents that judge what has begun on these grounds.
    pub fn judges_again(&self, grounds: &Grounds) -> Option<Judges> {
        self.gate()?;
        self.succession()?.judges_again(grounds)
    }

    /// Whether anything has moved under what has begun on these grounds.
    pub fn have_moved(&self, grounds: &Grounds, now: Timestamp) -> bool {
        if self.gate().is_none() {
            return true;
        }
        match self.succession().map(|succession| succession.newest()) {
            Some(Newest::Here(newest)) => grounds.have_moved(&newest, now),
            Some(Newest::Elsewhere) => true,
            None => false,
        }
    }

    /// Why there are no judges.
    pub fn no_judges(&self) -> Reason {
        match (self.succession(), self.gate()) {
            (None, _) => Reason::ConfigurationNone,
            (Some(_), None) => Reason::ConfigurationSuperseded,
            (Some(_), Some(_)) => Reason::ConfigurationBehind,
        }
    }

    fn succession(&self) -> Option<Rc<Succession>> {
        self.succession.borrow().clone()
    }
}

const NOT_PLACED: &str = "listener: `shared` leaves it to the plugin: its `root_id` must be \
                          `svidgate.connection.http`, `svidgate.connection.tcp` or \
                          `svidgate.connection.tcp_server_first`";

const NO_AGE: &str = "peer.filter_state.id: this proxy has no `declare_property`, so it cannot keep how long a \
                      connection has been open, which bounds an id without a certificate";

const OLD_DOCUMENT: &str = "svidgate: a connection begins under a document although a newer one is configured under \
                            the same plugin `name`: it must please both. A listener that drains does that; where two \
                            listeners have plugins of one `name`, give each its own; where an old text came back, \
                            change its `version`";
