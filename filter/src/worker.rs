//! What all plugins of one VM share: the clock, the records, the documents, what is under way, and what comes from
//! sources. A VM has one thread and, with the same `vm_id`, all our plugins of that worker.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::{Rc, Weak},
};

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::{Chain, Configuration, Format, Listener, Mode, certificate::sha256};

use crate::{
    authorities::Authorities,
    configuration,
    fetch::{Event, count},
    gate::Gate,
    host::{Host, Level},
    lineage::{Lineages, PluginName},
    live::Live,
    peer::Digest,
    proxy_signature::Call,
    record::{Circumstances, Entry, Records},
    shared::{self, Claim, SourceKey},
    trusted,
    version::Versions,
    watch::Watch,
};

/// Counts the documents that were refused.
const REFUSED: &str = "svidgate.documents_refused_total";

/// What all plugins of a VM share.
#[derive(Debug, Default)]
pub struct Worker {
    now: Cell<Timestamp>,
    gates: RefCell<Vec<(Digest, Weak<Gate>)>>,
    records: RefCell<Records>,
    live: Live,
    /// The clock as it was read, where whole seconds will not do.
    exact: Cell<Timestamp>,
    lineages: Lineages,
    authorities: RefCell<Authorities>,
    /// The documents whose sources were gathered last; one more or less is a change.
    gathered: RefCell<Vec<Digest>>,
    /// The root contexts of our plugins.
    roots: RefCell<BTreeSet<u32>>,
    /// Tells this worker from the others; 0 before it is chosen.
    id: Cell<u64>,
    /// What is leased to this worker: sources that it asks, documents that it speaks for.
    leased: RefCell<BTreeSet<SourceKey>>,
    /// Whether one of our plugins is `svidgate.hold`.
    has_hold: Cell<bool>,
    watch: RefCell<Watch>,
    versions: RefCell<Versions>,
}

impl Worker {
    /// Reads the clock.
    pub fn read_time<H: Host>(&self, host: &H) {
        match host.now() {
            Ok(now) => {
                self.exact.set(now);
                self.now.set(whole_seconds(now));
            }
            Err(error) => host.log(Level::Error, &format!("svidgate: no time: {error}")),
        }
    }

    /// The time of the last tick, in whole seconds as certificates have them.
    pub fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// A plugin that holds connections for another has been configured.
    pub fn add_hold(&self) {
        self.has_hold.set(true);
    }

    /// Whether connections may come with their first bytes at hand, held by another plugin before.
    pub fn has_hold(&self) -> bool {
        self.has_hold.get()
    }

    /// What is under way.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Which document replaces which.
    pub fn lineages(&self) -> &Lineages {
        &self.lineages
    }

    /// A plugin has been configured.
    pub fn enter(&self, root: u32) {
        self.roots.borrow_mut().insert(root);
    }

    /// A plugin goes. What it has asked goes with it; with the last one, this worker no longer fetches.
    pub fn leave<H: Host>(&self, host: &H, root: u32) {
        self.authorities.borrow_mut().context_gone(root, self.now());
        let mut roots = self.roots.borrow_mut();
        roots.remove(&root);
        if roots.is_empty() && !self.leased.take().is_empty() {
            shared::release(host, self.id.get());
        }
    }

    /// Whether some source has not said anything yet.
    pub fn is_waiting(&self) -> bool {
        self.authorities.borrow().is_waiting()
    }

    /// Takes in what the fetching worker has published.
    pub fn look_at_sources<H: Host>(&self, host: &H) {
        let gates = self.gates();
        let mut authorities = self.authorities.borrow_mut();
        let known: Vec<Digest> = gates.iter().map(|(digest, _)| *digest).collect();
        if *self.gathered.borrow() != known {
            let wants = gates.iter().flat_map(|(_, gate)| trusted::wants(&gate.configuration));
            authorities.follow(wants, self.now());
            self.gathered.replace(known);
        }
        authorities.read(host, self.now());
        self.update(host, &gates, &authorities);
    }

    /// The same, and asks the sources that are leased to this worker. `root` is the root context that is called.
    pub fn fetch<H: Host>(&self, host: &H, root: u32) {
        self.look_at_sources(host);
        if self.id.get() == 0 {
            self.id.set(host.random().max(1));
        }
        let mut authorities = self.authorities.borrow_mut();
        let documents = self.gates().into_iter().map(|(digest, _)| Claim {
            key: SourceKey::of_document(&digest),
            content: 0,
            as_of: self.now(),
        });
        let claims: Vec<Claim> = authorities.claims().chain(documents).collect();
        let leased = shared::lease(host, &authorities.index, &claims, self.id.get(), self.now());
        authorities.fetch(host, root, &leased, self.now());
        self.leased.replace(leased);
    }

    /// Before an answer is judged: what another worker has published since it was asked for. An answer to a question of
    /// whose source this worker has lost the lease is let go.
    fn look_again<H: Host>(&self, host: &H) {
        self.read_time(host);
        self.look_at_sources(host);
        let now = self.now();
        self.authorities.borrow_mut().let_go_of_unleased(self.id.get(), now);
    }

    /// An endpoint has answered.
    pub fn on_answer<H: Host>(&self, host: &H, token: u32, headers: usize, bytes: usize) {
        self.read_time(host);
        let now = self.now();
        self.authorities
            .borrow_mut()
            .on_answer(host, token, headers, bytes, now);
        self.update(host, &self.gates(), &self.authorities.borrow());
    }

    /// A stream has brought a message.
    pub fn on_message<H: Host>(&self, host: &H, token: u32, bytes: usize) {
        self.look_again(host);
        let now = self.now();
        self.authorities.borrow_mut().on_message(host, token, bytes, now);
        self.update(host, &self.gates(), &self.authorities.borrow());
    }

    /// A stream has ended.
    pub fn on_stream_close<H: Host>(&self, host: &H, token: u32, status: u32) {
        self.read_time(host);
        let now = self.now();
        self.authorities.borrow_mut().on_close(host, token, status, now);
    }

    fn update<H: Host>(&self, host: &H, gates: &[(Digest, Rc<Gate>)], authorities: &Authorities) {
        for (digest, gate) in gates {
            let before = gate.trusted().unused();
            gate.update(authorities);
            let unused = gate.trusted().unused();
            if unused > before && self.speaks_for(digest) {
                count(host, Event::UnusedBundle, unused.saturating_sub(before));
                let line = format!(
                    "svidgate: the Workload API brings {unused} bundles of trust domains without a relationship; they are \
                     not used"
                );
                host.log(Level::Info, &line);
            }
        }
    }

    /// Looks at what is under way; says whether there is more to look at than one call may.
    pub fn sweep(&self) -> bool {
        self.live.sweep(self.exact.get(), self.now()) > 0
    }

    /// Finds documents that have come back without a word to this worker.
    pub fn follow_documents<H: Host>(&self, host: &H) {
        let gate = |digest: &Digest| {
            let gates = self.gates();
            gates
                .into_iter()
                .find(|(known, _)| known == digest)
                .map(|(_, gate)| gate)
        };
        let noted = |plugin: &PluginName| shared::noted_document(host, plugin);
        self.lineages.follow(noted, gate, self.now());
    }

    /// Whether this worker tells what there is to tell of a document, and no other does.
    fn speaks_for(&self, document: &Digest) -> bool {
        self.leased.borrow().contains(&SourceKey::of_document(document))
    }

    /// Shows which versions of documents are at work.
    fn show_versions<H: Host>(&self, host: &H) {
        let at_work = self.lineages.at_work();
        let versions = at_work.iter().map(|gate| gate.version());
        self.versions.borrow_mut().look(host, versions);
    }

    /// Shows what is at work, and what is about to end.
    pub fn watch<H: Host>(&self, host: &H) {
        self.show_versions(host);
        let mut gates = self.gates();
        gates.retain(|(document, _)| self.speaks_for(document));
        if !gates.is_empty() {
            let gates = gates.iter().map(|(_, gate)| gate);
            self.watch
                .borrow_mut()
                .look(host, gates, &self.authorities.borrow(), self.now());
        }
    }

    /// Hands counters over.
    pub fn flush<H: Host>(&self, host: &H) {
        self.records.borrow_mut().flush(host, self.now());
    }

    /// Records a decision; `shown` where it is the last word on its connection or stream.
    pub fn record<H: Host>(
        &self,
        host: &H,
        entry: &Entry<'_>,
        shown: bool,
        circumstances: impl FnOnce() -> Circumstances,
    ) {
        let may_log = {
            let mut records = self.records.borrow_mut();
            records.count(entry);
            !entry.decision.is_allowed() && records.may_log()
        };
        if shown {
            Records::show(host, entry);
        }
        if may_log {
            Records::log(host, entry, &circumstances());
        }
    }

    /// Counts a document where it was refused. The counter is there, at 0, before the first is.
    pub fn count_document<H: Host>(&self, host: &H, is_taken: bool) {
        let counter = host.define_counter(REFUSED);
        // A proxy that cannot count has the log.
        let _ = counter.and_then(|counter| host.add_to_counter(counter, u64::from(!is_taken)));
    }

    /// Every document that is in use.
    fn gates(&self) -> Vec<(Digest, Rc<Gate>)> {
        let mut gates = self.gates.borrow_mut();
        gates.retain(|(_, gate)| gate.strong_count() > 0);
        gates
            .iter()
            .filter_map(|(digest, gate)| Some((*digest, gate.upgrade()?)))
            .collect()
    }

    /// The gate for a document: the one that another plugin has for the same bytes, or a new one.
    pub fn gate<H: Host>(&self, host: &H, document: &[u8], proxy: Option<Call>) -> Option<(Digest, Rc<Gate>)> {
        let digest = sha256(document);
        let mut gates = self.gates.borrow_mut();
        gates.retain(|(_, gate)| gate.strong_count() > 0);
        if let Some(gate) = gates
            .iter()
            .find(|(known, _)| *known == digest)
            .and_then(|(_, gate)| gate.upgrade())
        {
            return Some((digest, gate));
        }
        let began = host.now();
        match Configuration::compile(&configuration::document(document), Format::Json) {
            Ok(compiled) => {
                let took = began.and_then(|began| Ok(host.now()?.duration_since(began)));
                announce(host, &compiled, took.ok());
                let gate = Rc::new(Gate::new(compiled, proxy));
                gates.push((digest, Rc::downgrade(&gate)));
                Some((digest, gate))
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

/// The second that a moment is in: the last second of a certificate counts to its end.
pub(crate) fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// `took` is what a worker could do nothing else for.
fn announce<H: Host>(host: &H, configuration: &Configuration, took: Option<SignedDuration>) {
    let listener = match configuration.listener {
        Listener::Http => "http",
        Listener::Tcp => "tcp",
        Listener::TcpServerFirst => "tcp_server_first",
    };
    let line = format!(
        "svidgate {} configured: version=\"{}\" trust_domain={} listener={listener} relationships={} rules={}{}{}",
        env!("CARGO_PKG_VERSION"),
        configuration.version,
        configuration.trust_domain,
        configuration.relationships.iter().count().saturating_sub(1),
        configuration.rules.len(),
        took.map_or_else(String::new, |took| format!(" compiled_ms={}", took.as_millis())),
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
