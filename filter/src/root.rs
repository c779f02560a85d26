//! One plugin on one worker: configured as a whole or not at all, and called on every tick.
//!
//! A VM has one thread and, with the same `vm_id`, all our plugins. What they share (the clock, the records, documents
//! that are the same) is the [`Worker`].

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use jiff::Timestamp;
use svidgate_policy::{Chain, Configuration, Decision, Format, Listener, Mode, Reason, certificate::sha256};

use crate::{
    configuration,
    gate::Gate,
    host::{Host, Level},
    live::Held,
    peer::{self, Digest},
    proxy_signature::Call,
    record::{Circumstances, Entry, Records, Stage},
};

/// How often the root is called, in milliseconds. Time is read then, counters are handed over, holds are looked at.
pub const TICK_MILLISECONDS: u32 = 1000;

/// What all plugins of a VM share.
#[derive(Debug, Default)]
pub struct Worker {
    now: Cell<Timestamp>,
    gates: RefCell<Vec<(Digest, Weak<Gate>)>>,
    records: RefCell<Records>,
}

/// A plugin: the network filter or the HTTP filter, with one document.
#[derive(Debug)]
pub struct Root<H> {
    host: H,
    stage: Stage,
    context: u32,
    proxy: Option<Call>,
    worker: Rc<Worker>,
    gate: RefCell<Option<Rc<Gate>>>,
    held: RefCell<Held>,
}

impl<H: Host> Root<H> {
    /// A plugin without a document, which denies everything.
    pub fn new(host: H, stage: Stage, context: u32, proxy: Option<Call>, worker: Rc<Worker>) -> Self {
        Self {
            host,
            stage,
            context,
            proxy,
            worker,
            gate: RefCell::default(),
            held: RefCell::default(),
        }
    }

    /// Compiles the document that the proxy has for this plugin, and swaps it in if all of it is good.
    ///
    /// Gives whether it was taken. The proxy refuses the update where not, and what ran before goes on.
    pub fn configure(&self) -> bool {
        self.worker.now.set(self.host.now().unwrap_or_default());
        let Ok(document) = self.host.configuration().and_then(non_empty) else {
            self.host.log(
                Level::Error,
                "svidgate: no configuration document (set `configuration` of the plugin)",
            );
            return false;
        };
        let Some(gate) = self.worker.gate(&self.host, &document, self.proxy) else {
            return false;
        };
        if self.stage == Stage::Request && !gate.configuration.listener.has_requests() {
            let line = "svidgate: listener: a TCP listener has no requests (`http` is what the HTTP filter stands in)";
            self.host.log(Level::Error, line);
            return false;
        }
        self.gate.replace(Some(gate));
        if let Err(error) = self.host.set_tick_period(TICK_MILLISECONDS) {
            self.host.log(
                Level::Error,
                &format!("svidgate: no tick, so time would stand still: {error}"),
            );
            return false;
        }
        true
    }

    /// Looks after time, counters and holds.
    pub fn tick(&self) {
        match self.host.now() {
            Ok(now) => self.worker.now.set(now),
            Err(error) => self.host.log(Level::Error, &format!("svidgate: no time: {error}")),
        }
        let overdue = self.held.borrow_mut().take_overdue(self.now());
        for context in overdue {
            self.close_silent(context);
        }
        self.flush();
    }

    /// Hands counters over; also when the plugin goes.
    pub fn flush(&self) {
        self.worker.records.borrow_mut().flush(&self.host, self.now());
    }

    fn close_silent(&self, context: u32) {
        if self.host.set_effective_context(context).is_err() {
            return;
        }
        let detail = "no byte came after the handshake (in front of tcp_proxy this is also what a missing \
                      `upstream_connect_mode: ON_DOWNSTREAM_DATA` looks like)";
        let circumstances = || Circumstances {
            detail: Some(detail.to_owned()),
            ..self.connection_circumstances()
        };
        let entry = Entry {
            stage: Stage::Connection,
            id: None,
            decision: Decision::refused(Reason::ConnectionSilent),
            enforced: true,
        };
        self.record(&entry, true, circumstances);
        let closed = self.host.close_downstream();
        if self.host.set_effective_context(self.context).is_err() || closed.is_err() {
            self.host
                .log(Level::Error, "svidgate: a silent connection could not be closed");
        }
    }

    /// What a log line can say about the connection being served.
    pub fn connection_circumstances(&self) -> Circumstances {
        Circumstances {
            peer: peer::source_address(&self.host),
            target: peer::sni(&self.host).map(|sni| ("sni", sni)),
            ..Circumstances::default()
        }
    }

    /// Records a decision; `shown` where it is the last word on its connection or stream.
    pub fn record(&self, entry: &Entry<'_>, shown: bool, circumstances: impl FnOnce() -> Circumstances) {
        let may_log = {
            let mut records = self.worker.records.borrow_mut();
            records.count(entry);
            !entry.decision.is_allowed() && records.may_log()
        };
        if shown {
            Records::show(&self.host, entry);
        }
        if may_log {
            Records::log(&self.host, entry, &circumstances());
        }
    }

    /// The time of the last tick.
    pub fn now(&self) -> Timestamp {
        self.worker.now.get()
    }

    /// The proxy.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// The document at work, once there is one.
    pub fn gate(&self) -> Option<Rc<Gate>> {
        self.gate.borrow().clone()
    }

    /// The connections being held.
    pub fn held(&self) -> &RefCell<Held> {
        &self.held
    }
}

fn non_empty(document: Vec<u8>) -> Result<Vec<u8>, crate::host::HostError> {
    if document.is_empty() {
        Err(crate::host::HostError(0))
    } else {
        Ok(document)
    }
}

impl Worker {
    /// The gate for a document: the one that another plugin has for the same bytes, or a new one.
    fn gate<H: Host>(&self, host: &H, document: &[u8], proxy: Option<Call>) -> Option<Rc<Gate>> {
        let digest = sha256(document);
        let mut gates = self.gates.borrow_mut();
        gates.retain(|(_, gate)| gate.strong_count() > 0);
        if let Some(gate) = gates
            .iter()
            .find(|(known, _)| *known == digest)
            .and_then(|(_, gate)| gate.upgrade())
        {
            return Some(gate);
        }
        match Configuration::compile(&configuration::document(document), Format::Json) {
            Ok(compiled) => {
                announce(host, &compiled);
                let gate = Rc::new(Gate::new(compiled, proxy));
                gates.push((digest, Rc::downgrade(&gate)));
                Some(gate)
            }
            Err(mistakes) => {
                let line = format!(
                    "svidgate: configuration refused, {} mistakes; what ran before goes on",
                    mistakes.len()
                );
                host.log(Level::Error, &line);
                for mistake in mistakes {
                    host.log(Level::Error, &format!("svidgate: configuration: {mistake}"));
                }
                None
            }
        }
    }
}

fn announce<H: Host>(host: &H, configuration: &Configuration) {
    let listener = match configuration.listener {
        Listener::Http => "http",
        Listener::Tcp => "tcp",
        Listener::TcpServerFirst => "tcp_server_first",
    };
    let line = format!(
        "svidgate {} configured: version=\"{}\" trust_domain={} listener={listener} relationships={} rules={}{}",
        env!("CARGO_PKG_VERSION"),
        configuration.version,
        configuration.trust_domain,
        configuration.relationships.iter().count().saturating_sub(1),
        configuration.rules.len(),
        if configuration.rules.is_empty() {
            " (no rule: everything is denied)"
        } else {
            ""
        },
    );
    host.log(Level::Info, &line);
    if configuration.mode == Mode::DryRun {
        host.log(
            Level::Warn,
            "svidgate: mode: dry_run: everything passes, refusals are only recorded",
        );
    }
    if configuration.chain == Chain::Proxy {
        let line = "svidgate: chain: proxy: no chain is verified here; a listener that accepts untrusted certificates \
                    lets anyone be anyone";
        host.log(Level::Warn, line);
    }
    for (trust_domain, skipped) in configuration.skipped_keys() {
        host.log(
            Level::Warn,
            &format!("svidgate: bundle of {trust_domain}: {skipped}; the key is not used"),
        );
    }
}
