//! Random scripts. What is likely is chosen so that permissions move under things that are under way.

use crate::document::{Document, PATHS, Source, Who};
use crate::random::Random;
use crate::script::{Answers, Event, How, Kind, Name, Protocol, Scene, Script};

/// What the generator knows of the script so far.
struct Growing {
    random: Random,
    scene: Scene,
    events: Vec<Event>,
    /// Connections that are open, whether half of a ClientHello is all they have sent, and what they speak.
    open: Vec<(u64, Protocol)>,
    half: Vec<u64>,
    next: u64,
    documents: Vec<Document>,
    /// Seconds of the episode so far, about.
    seconds: u64,
    /// Whether nothing is asked yet.
    is_quiet: bool,
}

/// The script of an episode.
pub(crate) fn script(seed: u64, episode: u64) -> Script {
    let mut random = Random::of(seed, episode);
    let scene = scene(&mut random);
    let mut document = Document::open();
    if random.percent(30) {
        for who in Who::ALL {
            *document.may_mut(who) = paths(&mut random);
        }
    }
    if random.percent(25) {
        document.partner_from = if random.percent(50) {
            Source::Endpoint
        } else {
            Source::Workload
        };
    }
    let mut growing = Growing {
        random,
        scene,
        events: Vec::new(),
        open: Vec::new(),
        half: Vec::new(),
        next: 1,
        documents: vec![document.clone()],
        seconds: 0,
        is_quiet: false,
    };
    // Sometimes nothing is asked before the first document is replaced.
    growing.is_quiet = growing.random.percent(35);
    for _ in 0..growing.random.between(1, 3) {
        growing.open();
    }
    if growing.is_quiet {
        growing.tighten();
        growing.is_quiet = false;
        growing.ask();
        growing.ask();
    }
    for _ in 0..growing.random.between(8, 24) {
        growing.step();
    }
    Script {
        scene: growing.scene,
        document,
        events: growing.events,
    }
}

fn scene(random: &mut Random) -> Scene {
    let ecds = random.percent(35);
    let mut listeners = vec![Name::Web];
    if random.percent(25) {
        listeners.push(Name::Web2);
    }
    if !ecds && random.percent(40) {
        listeners.push(Name::Db);
    }
    Scene {
        both_filters: random.percent(60),
        ecds,
        workers: if random.percent(75) { 1 } else { 2 },
        drain: if random.percent(70) { 5 } else { 60 },
        can_trap: random.percent(15),
        reloads: random.percent(60),
        inspects: random.percent(30),
        listeners,
    }
}

fn paths(random: &mut Random) -> String {
    PATHS.into_iter().filter(|_| random.percent(50)).collect()
}

impl Growing {
    fn step(&mut self) {
        match self.random.between(0, 99) {
            0..20 => self.open(),
            20..46 => self.ask(),
            46..60 => self.update(60),
            60..76 => {
                let milliseconds = self.random.between(1, 30) * 100;
                self.wait(milliseconds);
            }
            76..88 => self.nudge(),
            88..91 => {
                let connection = self.one();
                self.open.retain(|(open, _)| *open != connection);
                self.events.push(Event::Close(connection));
            }
            91..93 => {
                let listener = self.listener();
                if !self.scene.ecds {
                    self.events.push(Event::Remove(listener));
                }
            }
            93..96 => {
                if self.scene.can_trap {
                    let listener = self.web();
                    self.events.push(Event::Trap(listener));
                }
            }
            _ => {
                let all = [
                    Answers::Good,
                    Answers::Other,
                    Answers::Never,
                    Answers::Fails,
                    Answers::Half,
                ];
                let answers = *self.random.one_of(&all).unwrap_or(&Answers::Good);
                let is_endpoint = self.random.percent(50);
                self.events.push(if is_endpoint {
                    Event::Endpoint(answers)
                } else {
                    Event::Workload(answers)
                });
            }
        }
    }

    fn wait(&mut self, milliseconds: u64) {
        self.seconds += milliseconds / 1000;
        self.events.push(Event::Wait(milliseconds));
    }

    fn listener(&mut self) -> Name {
        *self.random.one_of(&self.scene.listeners).unwrap_or(&Name::Web)
    }

    fn web(&mut self) -> Name {
        let webs = [Name::Web, Name::Web2];
        let there: Vec<Name> = webs
            .into_iter()
            .filter(|name| self.scene.listeners.contains(name))
            .collect();
        *self.random.one_of(&there).unwrap_or(&Name::Web)
    }

    fn who(&mut self) -> Who {
        match self.random.between(0, 9) {
            0..6 => Who::Api,
            6..9 => Who::Other,
            _ => Who::Partner,
        }
    }

    fn open(&mut self) {
        let connection = self.next;
        self.next += 1;
        let listener = self.listener();
        let protocol = match listener {
            Name::Db => Protocol::Tcp,
            Name::Web | Name::Web2 if self.random.percent(75) => Protocol::Http2,
            Name::Web | Name::Web2 if self.random.percent(30) => Protocol::Pipelined,
            Name::Web | Name::Web2 => Protocol::Http1,
        };
        let lives = self.random.percent(25).then(|| self.random.between(2, 5));
        let is_half = self.random.percent(12);
        let who = self.who();
        self.events.push(Event::Open {
            connection,
            listener,
            protocol,
            who,
            lives,
            is_half,
        });
        self.open.push((connection, protocol));
        if is_half {
            self.half.push(connection);
        }
        // Some connections are there for a while before they are used.
        if !is_half && !self.is_quiet && self.random.percent(50) {
            self.ask_on(connection, protocol);
        }
    }

    fn one(&mut self) -> u64 {
        self.random.one_of(&self.open).map_or(1, |(connection, _)| *connection)
    }

    fn ask(&mut self) {
        if let Some((connection, protocol)) = self.random.one_of(&self.open).copied() {
            self.ask_on(connection, protocol);
        }
    }

    fn ask_on(&mut self, connection: u64, protocol: Protocol) {
        let all = [
            Kind::Answer,
            Kind::Late,
            Kind::Late,
            Kind::Stream,
            Kind::Upload,
            Kind::Grpc,
        ];
        let kind = *self.random.one_of(&all).unwrap_or(&Kind::Answer);
        let path = *self.random.one_of(&PATHS).unwrap_or(&'a');
        let most = if self.random.percent(15) { 50 } else { 8 };
        let count = match protocol {
            Protocol::Http2 | Protocol::Pipelined => self.random.between(1, most),
            Protocol::Http1 | Protocol::Tcp => 1,
        };
        self.events.push(Event::Ask {
            connection,
            path,
            kind,
            count,
        });
    }

    /// Something small on one connection.
    fn nudge(&mut self) {
        if self.random.percent(40)
            && let Some(half) = self.half.pop()
        {
            self.events.push(Event::Rest(half));
            return;
        }
        let connection = self.one();
        self.events.push(match self.random.between(0, 5) {
            0 => Event::Data(connection),
            1 => Event::Trailers(connection),
            2 => Event::Finish(connection),
            3 => Event::Reset(connection),
            4 => Event::Deaf(connection),
            _ => Event::Hear(connection),
        });
    }

    /// The first new document of a quiet script, which allows about half, and time for it to come into force.
    fn tighten(&mut self) {
        let mut document = self.documents.last().cloned().unwrap_or_else(Document::open);
        for who in Who::ALL {
            *document.may_mut(who) = paths(&mut self.random);
        }
        self.documents.push(document.clone());
        let how = if self.random.percent(50) {
            How::InPlace
        } else {
            How::Drained
        };
        let opened = self.events.iter().find_map(|event| match event {
            Event::Open { listener, .. } => Some(*listener),
            _ => None,
        });
        self.events.push(Event::Update {
            listener: opened.unwrap_or(Name::Web),
            how,
            document,
        });
        let milliseconds = self.random.between(30, 45) * 100;
        self.wait(milliseconds);
    }

    /// A new document; `patience` is how likely its coming into force is waited for.
    fn update(&mut self, patience: u64) {
        let document = if self.random.percent(20) {
            self.random
                .one_of(&self.documents)
                .cloned()
                .unwrap_or_else(Document::open)
        } else {
            self.document()
        };
        self.documents.push(document.clone());
        let how = match self.random.between(0, 9) {
            0..5 => How::InPlace,
            5..8 => How::Drained,
            _ => How::Refused,
        };
        let listener = self.listener();
        self.events.push(Event::Update {
            listener,
            how,
            document,
        });
        if self.random.percent(patience) {
            let milliseconds = self.random.between(26, 45) * 100;
            self.wait(milliseconds);
        }
        // What a new document forbids is best asked for at once.
        if self.random.percent(patience) {
            self.ask();
        }
    }

    fn document(&mut self) -> Document {
        let mut document = self.documents.last().cloned().unwrap_or_else(Document::open);
        let end = self.seconds + self.random.between(3, 6);
        document.rules_end = None;
        document.relation_ends = None;
        document.revoked = None;
        document.is_withdrawn = false;
        match self.random.between(0, 19) {
            0..2 => document.revoked = Some(self.who()),
            2..4 => document.is_withdrawn = true,
            4..6 => document.rules_end = Some(end),
            6 => document.relation_ends = Some(end),
            7..10 => {
                document = Document {
                    partner_from: document.partner_from,
                    ..Document::open()
                }
            }
            _ => {
                for who in Who::ALL {
                    if self.random.percent(60) {
                        *document.may_mut(who) = paths(&mut self.random);
                    }
                }
            }
        }
        document
    }
}
