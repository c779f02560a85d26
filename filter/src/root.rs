//! One plugin on one worker: configured as a whole or not at all, and called on every tick.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::Listener;

use crate::{
    gate::Gate,
    hold,
    host::{Host, Level},
    lineage::{Lineage, Place, PluginName},
    live::Thing,
    peer::{self, Digest},
    proxy_signature::Call,
    proxy_version,
    record::{Circumstances, Entry, Stage},
    shared,
    worker::Worker,
};

/// How often the root is called, in milliseconds. Time is read then, sources and what is under way are looked at, counters
/// are handed over.
pub const TICK_MILLISECONDS: u32 = 1000;
/// The same while a source has not said anything yet, for the first ten seconds.
pub const STARTING_TICK_MILLISECONDS: u32 = 100;
/// The same while there is more to cut than one call may.
pub const CUTTING_TICK_MILLISECONDS: u32 = 10;
/// How long a start is.
const STARTING: SignedDuration = SignedDuration::from_secs(10);

/// A plugin: the network filter or the HTTP filter, with one document.
#[derive(Debug)]
pub struct Root<H> {
    host: H,
    stage: Stage,
    /// Whether this is `svidgate.hold`.
    holds: bool,
    context: u32,
    proxy: Option<Call>,
    worker: Rc<Worker>,
    gate: RefCell<Option<Rc<Gate>>>,
    lineage: RefCell<Option<Rc<Lineage>>>,
    configured: Cell<Timestamp>,
    period: Cell<u32>,
}

impl<H: Host> Root<H> {
    /// A plugin without a document, which denies everything.
    pub fn new(host: H, stage: Stage, context: u32, proxy: Option<Call>, worker: Rc<Worker>) -> Self {
        Self {
            host,
            stage,
            holds: false,
            context,
            proxy,
            worker,
            gate: RefCell::default(),
            lineage: RefCell::default(),
            configured: Cell::default(),
            period: Cell::default(),
        }
    }

    /// The same plugin as `svidgate.hold`, which decides nothing.
    #[must_use]
    pub fn holding(self) -> Self {
        Self { holds: true, ..self }
    }

    /// Compiles the document that the proxy has for this plugin, and swaps it in if all of it is good.
    ///
    /// Gives whether it was taken. The proxy refuses the update where not, and what ran before goes on.
    pub fn configure(&self) -> bool {
        let is_taken = self.take_document();
        self.worker.count_document(&self.host, is_taken);
        is_taken
    }

    fn take_document(&self) -> bool {
        self.worker.read_time(&self.host);
        let Ok(document) = self.host.configuration().and_then(non_empty) else {
            self.host.log(
                Level::Error,
                "svidgate: no configuration document (set `configuration` of the plugin)",
            );
            return false;
        };
        let Some((digest, gate)) = self.worker.gate(&self.host, &document, self.proxy) else {
            return false;
        };
        let listener = gate.configuration.listener;
        if self.stage == Stage::Request && !listener.has_requests() {
            let line = "svidgate: listener: a TCP listener has no requests (`http` is what the HTTP filter stands in)";
            self.host.log(Level::Error, line);
            return false;
        }
        if let Some(refusal) = self.refusal(listener) {
            self.host.log(Level::Error, &format!("svidgate: {refusal}"));
            return false;
        }
        if self.holds {
            hold::note(&self.host);
            self.worker.add_hold();
        }
        self.take_place(listener, &digest, &gate);
        self.gate.replace(Some(gate));
        self.worker.enter(self.context);
        // What has been fetched for the document before this one is there for this one at once.
        self.worker.look_at_sources(&self.host);
        self.configured.set(self.now());
        self.set_period(false)
    }

    fn refusal(&self, listener: Listener) -> Option<String> {
        if self.holds {
            hold::refusal(listener)
        } else {
            proxy_version::refusal(&self.host, self.stage, listener)
        }
    }

    fn take_place(&self, listener: Listener, digest: &Digest, gate: &Rc<Gate>) {
        let name = PluginName {
            stage: self.stage,
            name: self.host.property(&["plugin_name"]).unwrap_or_default(),
            listener,
            holds: self.holds,
        };
        shared::note_document(&self.host, &name, digest);
        let lineage = match self.worker.lineages().place(name, gate, self.now()) {
            Place::Known(lineage) => lineage,
            Place::Ambiguous(lineage) => {
                self.host.log(Level::Warn, SAME_NAME);
                lineage
            }
        };
        self.lineage.replace(Some(lineage));
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
        let set = self.host.set_tick_period(period);
        if let Err(error) = set {
            let line = format!("svidgate: no tick, so time would stand still: {error}");
            self.host.log(Level::Error, &line);
        }
        set.is_ok()
    }

    /// Looks after time, sources, what is under way, and counters.
    pub fn tick(&self) {
        self.worker.read_time(&self.host);
        self.worker.fetch(&self.host, self.context);
        self.worker.follow_documents(&self.host);
        let is_cutting = self.worker.sweep();
        // What was looked at may belong to another root, and went back to that.
        self.come_back();
        self.worker.watch(&self.host);
        self.flush();
        self.set_period(is_cutting);
    }

    /// Hands counters over; also when the plugin goes.
    pub fn flush(&self) {
        self.worker.flush(&self.host);
    }

    /// The plugin goes.
    pub fn leave(&self) {
        self.flush();
        self.worker.leave(&self.host, self.context);
    }

    /// An endpoint has answered the worker; `headers` is 0 where it has not.
    pub fn on_answer(&self, token: u32, headers: usize, bytes: usize) {
        self.worker.on_answer(&self.host, token, headers, bytes);
    }

    /// A stream that the worker opened has brought a message.
    pub fn on_message(&self, token: u32, bytes: usize) {
        self.worker.on_message(&self.host, token, bytes);
    }

    /// A stream that the worker opened has ended.
    pub fn on_stream_close(&self, token: u32, status: u32) {
        self.worker.on_stream_close(&self.host, token, status);
    }

    /// Something begins under this plugin's document. Until it ends, it is looked at on the tick.
    pub fn begin(&self, context: u32, thing: Rc<dyn Thing>) {
        if let (Some(gate), Some(lineage)) = (self.gate(), self.lineage()) {
            if !Rc::ptr_eq(&gate, &lineage.current()) {
                self.worker.follow_documents(&self.host);
            }
            let parted = lineage.serve(&gate, thing.stage(), self.now());
            if let Some(own) = parted {
                self.host.log(Level::Warn, SAME_NAME);
                self.worker.lineages().add(&own);
                self.lineage.replace(Some(own));
            }
        }
        self.worker.live().begin(context, thing);
    }

    /// It has ended.
    pub fn end(&self, context: u32) {
        self.worker.live().end(context);
    }

    /// Does something about a connection or stream that is not being served. Gives nothing where it is gone.
    pub fn within<T>(&self, context: u32, act: impl FnOnce() -> T) -> Option<T> {
        if self.host.set_effective_context(context).is_err() {
            return None;
        }
        let done = act();
        self.come_back();
        Some(done)
    }

    fn come_back(&self) {
        if self.host.set_effective_context(self.context).is_err() {
            self.host.log(
                Level::Error,
                "svidgate: the proxy does not let a tick go back to its root",
            );
        }
    }

    /// Whether connections may have been held before they come to this plugin.
    pub fn is_behind_hold(&self) -> bool {
        !self.holds && self.worker.has_hold()
    }

    /// What a log line can say about the connection being served.
    pub fn connection_circumstances(&self) -> Circumstances {
        Circumstances {
            peer: peer::source_address(&self.host),
            connection_id: peer::connection_id(&self.host),
            target: peer::sni(&self.host).map(|sni| ("sni", sni)),
            ..Circumstances::default()
        }
    }

    /// Records a decision; `shown` where it is the last word on its connection or stream.
    pub fn record(&self, entry: &Entry<'_>, shown: bool, circumstances: impl FnOnce() -> Circumstances) {
        self.worker.record(&self.host, entry, shown, circumstances);
    }

    /// The time of the last tick.
    pub fn now(&self) -> Timestamp {
        self.worker.now()
    }

    /// The proxy.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// The document at work, once there is one.
    pub fn gate(&self) -> Option<Rc<Gate>> {
        self.gate.borrow().clone()
    }

    /// The document that judges what is under way: this plugin's, or the one that has replaced it.
    pub fn newest_gate(&self) -> Option<Rc<Gate>> {
        let newest = self.lineage().map(|lineage| lineage.current());
        newest.or_else(|| self.gate())
    }

    /// The document that has replaced this plugin's, where one has. Something that begins here all the same, on a listener
    /// that drains or while the proxy changes over, must please both.
    pub fn successor(&self) -> Option<Rc<Gate>> {
        let gate = self.gate()?;
        self.newest_gate().filter(|newest| !Rc::ptr_eq(newest, &gate))
    }

    fn lineage(&self) -> Option<Rc<Lineage>> {
        self.lineage.borrow().clone()
    }
}

const SAME_NAME: &str = "svidgate: several plugins have one `name` and different documents, so a new document cannot be \
                         told whose it replaces: what is under way stays under the document that it began with (give the \
                         plugins of each listener a `name` of their own)";

fn non_empty(document: Vec<u8>) -> Result<Vec<u8>, crate::host::HostError> {
    if document.is_empty() {
        Err(crate::host::HostError(0))
    } else {
        Ok(document)
    }
}
