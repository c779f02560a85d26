//! Plays a script on an Envoy, with an eye on it all the while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use support::ca::{Identity, Leaf, real_now};
use support::process::resident;
use tokio::time::sleep;

use crate::document::{Document, Who};
use crate::oracle::{Change, PROMISE, Timeline};
use crate::peer::Peer;
use crate::script::{Event, How, Name, Protocol, Script};
use crate::stage::{POLL, Stage};
use crate::stream::Stream;
use crate::watch::{Finding, What, deed};

/// How often it is looked for findings.
const LOOK: Duration = Duration::from_millis(100);
/// How long Envoy may take to accept or refuse an update.
const UPDATE: Duration = Duration::from_secs(4);
/// How long what is held may stay when everything is closed: a peer that has said nothing is held for ten seconds, gone
/// or not (`first_bytes_timeout`).
const CLOSING: Duration = Duration::from_secs(13);
/// So much more memory than at the start is not explained by what is kept for later.
const MEMORY: u64 = 192 * 1024 * 1024;

/// What an episode came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) finding: Option<Finding>,
    pub(crate) events: usize,
    /// Streams that were answered 200, and otherwise.
    pub(crate) passed: usize,
    pub(crate) refused: usize,
    /// What came of each stream, one a line.
    pub(crate) streams: Vec<String>,
    /// What the log said last, where something was found.
    pub(crate) log: String,
}

/// How many lines of the log are kept.
const LINES: usize = 30;

/// An episode under way.
pub(crate) struct Play {
    pub(crate) stage: Stage,
    pub(crate) timeline: Timeline,
    pub(crate) peers: BTreeMap<u64, Peer>,
    identities: BTreeMap<&'static str, Identity>,
    /// What happened last that may change a verdict.
    pub(crate) after: &'static str,
    /// When a VM was made to trap last.
    pub(crate) trapped: Option<Instant>,
    at_start: u64,
    told: Vec<String>,
    passed: usize,
    refused: usize,
}

/// Plays a script to its end, or to the first finding.
///
/// # Errors
/// When Envoy does not start.
pub(crate) async fn play(script: &Script) -> Result<Outcome, String> {
    let stage = Stage::start(script).await?;
    let since = SignedDuration::from_nanos(0).max(real_now().duration_since(stage.world.now));
    let since = since.unsigned_abs();
    let start = Instant::now();
    let change = |listener: &Name| Change {
        listener: *listener,
        document: Some(script.document.clone()),
        written: start,
        settled: Some((start, true)),
    };
    let timeline = Timeline {
        epoch: start.checked_sub(since).unwrap_or(start),
        changes: script.scene.listeners.iter().map(change).collect(),
        messages: Vec::new(),
    };
    let at_start = resident(stage.envoy.pid());
    let mut play = Play {
        stage,
        timeline,
        peers: BTreeMap::new(),
        identities: BTreeMap::new(),
        after: "the start",
        trapped: None,
        at_start,
        told: Vec::new(),
        passed: 0,
        refused: 0,
    };
    let mut outcome = Outcome::default();
    outcome.finding = play.run(script, &mut outcome.events).await.err();
    if outcome.finding.is_some() {
        let log = play.stage.envoy.log();
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains("][main]")).collect();
        outcome.log = lines[lines.len().saturating_sub(LINES)..].join("\n");
    }
    let numbers: Vec<u64> = play.peers.keys().copied().collect();
    numbers.into_iter().for_each(|number| play.close(number));
    outcome.streams = play.told;
    (outcome.passed, outcome.refused) = (play.passed, play.refused);
    Ok(outcome)
}

impl Play {
    async fn run(&mut self, script: &Script, events: &mut usize) -> Result<(), Finding> {
        for event in &script.events {
            self.event(event).await?;
            *events += 1;
            self.look()?;
        }
        self.settle().await?;
        self.close_all().await
    }

    async fn event(&mut self, event: &Event) -> Result<(), Finding> {
        match event {
            Event::Open {
                connection,
                listener,
                protocol,
                who,
                lives,
                is_half,
            } => {
                self.open(*connection, (*listener, *protocol), (*who, *lives), *is_half)
                    .await;
            }
            Event::Ask {
                connection,
                path,
                kind,
                count,
            } => {
                if let Some(peer) = self.peers.get(connection) {
                    (0..*count).for_each(|_| peer.ask(*path, *kind));
                }
                self.pause(Duration::from_millis(20)).await?;
            }
            Event::Rest(connection) => self.on(*connection, |peer| peer.rest()),
            Event::Data(connection) => self.each(*connection, Stream::data),
            Event::Trailers(connection) => self.each(*connection, |stream| stream.finish(true)),
            Event::Finish(connection) => self.each(*connection, |stream| stream.finish(false)),
            Event::Reset(connection) => self.each(*connection, Stream::reset),
            Event::Deaf(connection) => self.on(*connection, |peer| peer.set_deaf(true)),
            Event::Hear(connection) => self.on(*connection, |peer| peer.set_deaf(false)),
            Event::Close(connection) => self.close(*connection),
            Event::Update {
                listener,
                how,
                document,
            } => self.update(*listener, *how, document).await?,
            Event::Remove(listener) => self.remove(*listener).await?,
            Event::Wait(milliseconds) => self.pause(Duration::from_millis(*milliseconds)).await?,
            Event::Trap(listener) => self.trap(*listener).await?,
            Event::Endpoint(answers) => self.stage.endpoint(*answers),
            Event::Workload(answers) => {
                let is_withdrawn = self.stage.workload(*answers);
                self.timeline.messages.push((Instant::now(), is_withdrawn));
            }
        }
        Ok(())
    }

    async fn open(&mut self, number: u64, what: (Name, Protocol), (who, lives): (Who, Option<u64>), is_half: bool) {
        let Some(addr) = self.stage.addr(what.0).await else {
            return;
        };
        let (identity, until) = self.identity(who, lives);
        self.close(number);
        self.peers
            .insert(number, Peer::open(addr, what, (who, &identity, until), is_half));
    }

    /// A short-lived one is new each time.
    fn identity(&mut self, who: Who, lives: Option<u64>) -> (Identity, Option<Instant>) {
        let world = &self.stage.world;
        let authority = match who {
            Who::Api | Who::Other => &world.own,
            Who::Partner => &world.partner,
        };
        match lives {
            None => {
                let issue = || authority.issue(Leaf::svid(&who.id(), world.now));
                (self.identities.entry(who.name()).or_insert_with(issue).clone(), None)
            }
            Some(seconds) => {
                let leaf = Leaf {
                    not_after: real_now() + SignedDuration::from_secs(seconds as i64),
                    ..Leaf::svid(&who.id(), world.now)
                };
                // Its last second counts to its end.
                let until = Instant::now() + Duration::from_secs(seconds + 1);
                (authority.issue(leaf), Some(until))
            }
        }
    }

    fn on(&mut self, number: u64, act: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.peers.get_mut(&number) {
            act(peer);
        }
    }

    fn each(&self, number: u64, act: impl Fn(&Stream)) {
        if let Some(peer) = self.peers.get(&number) {
            peer.each(|stream| act(stream));
        }
    }

    fn close(&mut self, number: u64) {
        if let Some(peer) = self.peers.remove(&number) {
            self.tell(number, &peer);
        }
    }

    async fn update(&mut self, listener: Name, how: How, document: &Document) -> Result<(), Finding> {
        let Some(before) = self.stage.before().await else {
            return self.pause(LOOK).await;
        };
        let written = Instant::now();
        if !self.stage.update(listener, how, document) {
            return Ok(());
        }
        self.after = match how {
            How::Refused if !self.stage.scene.ecds => "a refused update",
            How::InPlace | How::Drained | How::Refused => "an update",
        };
        let changes = self.stage.changed_by(listener).into_iter().map(|listener| Change {
            listener,
            document: Some(document.clone()),
            written,
            settled: None,
        });
        let first = self.timeline.changes.len();
        self.timeline.changes.extend(changes);
        self.wait_settled(&before, first).await
    }

    async fn remove(&mut self, listener: Name) -> Result<(), Finding> {
        let Some(before) = self.stage.before().await else {
            return self.pause(LOOK).await;
        };
        if !self.stage.remove(listener) {
            return Ok(());
        }
        self.after = "a removal";
        let first = self.timeline.changes.len();
        self.timeline.changes.push(Change {
            listener,
            document: None,
            written: Instant::now(),
            settled: None,
        });
        self.wait_settled(&before, first).await
    }

    async fn wait_settled(&mut self, before: &crate::stage::Before, first: usize) -> Result<(), Finding> {
        let end = Instant::now() + UPDATE;
        while Instant::now() < end {
            if let Some(is_accepted) = self.stage.is_settled(before).await {
                let settled = Some((Instant::now(), is_accepted));
                for change in self.timeline.changes.iter_mut().skip(first) {
                    change.settled = settled;
                }
                return Ok(());
            }
            self.pause(POLL).await?;
        }
        Ok(())
    }

    /// A connection of its own that ends the VM which serves it.
    async fn trap(&mut self, listener: Name) -> Result<(), Finding> {
        let (identity, _) = self.identity(Who::Api, None);
        self.after = "a trap";
        self.trapped = Some(Instant::now());
        if let Some(addr) = self.stage.addr(listener).await
            && let Ok(connection) = support::client::Client::new(Some(&identity)).connect(addr).await
        {
            let request = b"GET /a/answer HTTP/1.1\r\nhost: localhost\r\nx-svidgate-trap: 1\r\n\r\n";
            // How it is refused is of no account.
            let _ = tokio::time::timeout(Duration::from_secs(2), connection.raw_http1(request)).await;
        }
        self.pause(LOOK).await
    }

    /// Lets time pass, with open eyes.
    async fn pause(&mut self, span: Duration) -> Result<(), Finding> {
        let end = Instant::now() + span;
        loop {
            self.look()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(LOOK)).await;
        }
    }

    /// Waits as long as something has not ended that must.
    async fn settle(&mut self) -> Result<(), Finding> {
        let end = Instant::now() + PROMISE + Duration::from_secs(1);
        while Instant::now() < end {
            self.pause(LOOK).await?;
            let now = Instant::now();
            let is_ending = self.peers.values().any(|peer| {
                let mut is_open = false;
                peer.each(|stream| {
                    let seen = stream.seen();
                    let deed = deed(peer, stream);
                    is_open |= !seen.has_ended
                        && !seen.is_given_up
                        && self.timeline.forbidden_since(deed, now - LOOK, now).is_some();
                });
                is_open && !peer.was_deaf
            });
            if !is_ending {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Closes everything; nothing of it may stay.
    async fn close_all(&mut self) -> Result<(), Finding> {
        let numbers: Vec<u64> = self.peers.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.close(number));
        let end = Instant::now() + CLOSING;
        loop {
            self.pause(LOOK).await?;
            match self.stage.held().await {
                Some(0) => break,
                held if Instant::now() > end => {
                    let (what, detail) = match held {
                        Some(held) => (What::Stays, format!("{held} connections and requests")),
                        None => (What::Hangs, "no answer of the admin interface".to_owned()),
                    };
                    return Err(self.finding(what, detail));
                }
                _ => {}
            }
        }
        let more = resident(self.stage.envoy.pid()).saturating_sub(self.at_start);
        if more > MEMORY {
            return Err(self.finding(What::Memory, format!("{} MiB more", more / 1024 / 1024)));
        }
        Ok(())
    }

    /// Tells what came of the streams of a connection, and counts them.
    fn tell(&mut self, number: u64, peer: &Peer) {
        let time = |moment: Instant| moment.saturating_duration_since(self.timeline.epoch).as_secs_f32();
        let (mut passed, mut refused) = (0, 0);
        peer.each(|stream| {
            let seen = stream.seen();
            match seen.status {
                Some(200) => passed += 1,
                Some(_) => refused += 1,
                None => {}
            }
            let path = stream.path.map_or("bytes".to_owned(), |path| format!("/{path}"));
            let status = seen.status.map_or("no answer".to_owned(), |status| status.to_string());
            let last = seen
                .last
                .map_or(String::new(), |last| format!(", last heard at {:.1} s", time(last)));
            let end = match (seen.is_given_up, seen.has_ended) {
                (true, _) => "given up",
                (false, true) => "ended",
                (false, false) => "open",
            };
            let asked = time(seen.asked);
            let who = peer.who.name();
            self.told.push(format!(
                "connection {number}, {who} {path}, asked at {asked:.1} s: {status}{last}, {end}"
            ));
        });
        self.passed += passed;
        self.refused += refused;
    }
}
