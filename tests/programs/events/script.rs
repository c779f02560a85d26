//! A script: the setting of one Envoy and the events that follow, one a line, so that a finding can be written down,
//! shortened and played again.

use std::fmt;
use std::str::FromStr;

use crate::document::{Document, Who};
use crate::words::Words;

/// One episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) scene: Scene,
    /// What every listener begins with.
    pub(crate) document: Document,
    pub(crate) events: Vec<Event>,
}

/// How Envoy is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scene {
    /// Whether the network filter stands before the HTTP filter.
    pub(crate) both_filters: bool,
    /// Whether documents come by discovery of extensions; otherwise with their listeners.
    pub(crate) ecds: bool,
    pub(crate) workers: u32,
    /// Drain time in seconds.
    pub(crate) drain: u64,
    /// Whether the module is the one that can be made to trap.
    pub(crate) can_trap: bool,
    /// Whether the failure policy is `FAIL_RELOAD`.
    pub(crate) reloads: bool,
    /// Whether listeners look for a ClientHello first.
    pub(crate) inspects: bool,
    pub(crate) listeners: Vec<Name>,
}

/// A listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// HTTP.
    Web,
    /// HTTP, with plugins of the same names.
    Web2,
    /// TCP.
    Db,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// HTTP/1.1, where requests do not wait for answers.
    Pipelined,
    Http2,
    Tcp,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What is answered at once.
    Answer,
    /// What is not answered.
    Late,
    /// A download that goes on.
    Stream,
    /// An upload of which half is sent.
    Upload,
    /// The same as a gRPC call.
    Grpc,
}

/// How a listener's update comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// In the scene's own way: by discovery of extensions, or as an update of filter chains alone.
    InPlace,
    /// As an update of the whole listener, which drains the old one.
    Drained,
    /// As an update that Envoy refuses for another filter's mistake.
    Refused,
}

/// How a source of bundles behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    Good,
    /// With another authority.
    Other,
    Never,
    Fails,
    /// Breaks off in the middle.
    Half,
}

/// One event. Connections have numbers; an event of one that is not there does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A connection is opened. `lives` is how many seconds its SVID lives; `is_half` sends half of the ClientHello.
    Open {
        connection: u64,
        listener: Name,
        protocol: Protocol,
        who: Who,
        lives: Option<u64>,
        is_half: bool,
    },
    /// The rest of the ClientHello.
    Rest(u64),
    /// So many requests.
    Ask {
        connection: u64,
        path: char,
        kind: Kind,
        count: u64,
    },
    /// More data on all uploads.
    Data(u64),
    /// Trailers, which end all uploads.
    Trailers(u64),
    /// The end of all uploads.
    Finish(u64),
    /// All streams are reset.
    Reset(u64),
    /// Nothing is read any more.
    Deaf(u64),
    /// It is again.
    Hear(u64),
    /// The connection is closed.
    Close(u64),
    /// A new document.
    Update {
        listener: Name,
        how: How,
        document: Document,
    },
    /// The listener goes.
    Remove(Name),
    /// Milliseconds pass.
    Wait(u64),
    /// A request that ends its VM.
    Trap(Name),
    /// What the bundle endpoint answers from now on.
    Endpoint(Answers),
    /// What the Workload API says from now on.
    Workload(Answers),
}

impl Event {
    /// The connection that it is about.
    pub(crate) fn connection(&self) -> Option<u64> {
        match self {
            Event::Open { connection, .. } | Event::Ask { connection, .. } => Some(*connection),
            Event::Rest(connection)
            | Event::Data(connection)
            | Event::Trailers(connection)
            | Event::Finish(connection)
            | Event::Reset(connection)
            | Event::Deaf(connection)
            | Event::Hear(connection)
            | Event::Close(connection) => Some(*connection),
            Event::Update { .. }
            | Event::Remove(_)
            | Event::Wait(_)
            | Event::Trap(_)
            | Event::Endpoint(_)
            | Event::Workload(_) => None,
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\ndocument {}", self.scene, self.document)?;
        self.events.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}

impl FromStr for Script {
    type Err = String;

    /// Lines that are empty or begin with `#` are passed over.
    fn from_str(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim);
        let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let scene = lines.next().unwrap_or_default().parse()?;
        let document = lines.next().unwrap_or_default();
        let document = document.strip_prefix("document ").ok_or("no document")?.parse()?;
        let events = lines
            .map(|line| line.parse().map_err(|error| format!("`{line}`: {error}")))
            .collect::<Result<_, String>>()?;
        Ok(Script {
            scene,
            document,
            events,
        })
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pick = |is: bool, yes, no| if is { yes } else { no };
        let listeners: Vec<&str> = self.listeners.iter().map(|name| name.word()).collect();
        write!(
            f,
            "scene filters={} delivery={} workers={} drain={} module={} failure={} inspector={} listeners={}",
            pick(self.both_filters, "both", "request"),
            pick(self.ecds, "ecds", "lds"),
            self.workers,
            self.drain,
            pick(self.can_trap, "trapping", "shipped"),
            pick(self.reloads, "reload", "closed"),
            pick(self.inspects, "yes", "no"),
            listeners.join(","),
        )
    }
}

impl FromStr for Scene {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix("scene ").ok_or("a script begins with its scene")?;
        let value = |name: &str| {
            let mut words = text.split_whitespace().filter_map(|word| word.split_once('='));
            let found = words.find(|(known, _)| *known == name);
            found
                .map(|(_, value)| value)
                .ok_or(format!("the scene has no `{name}`"))
        };
        let number = |name: &str| {
            value(name)?
                .parse::<u32>()
                .map_err(|_| format!("`{name}` is no number"))
        };
        Ok(Scene {
            both_filters: value("filters")? == "both",
            ecds: value("delivery")? == "ecds",
            workers: number("workers")?,
            drain: number("drain")?.into(),
            can_trap: value("module")? == "trapping",
            reloads: value("failure")? == "reload",
            inspects: value("inspector")? == "yes",
            listeners: value("listeners")?.split(',').map(Name::of).collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Open {
                connection,
                listener,
                protocol,
                who,
                lives,
                is_half,
            } => {
                let (listener, protocol) = (listener.word(), protocol.word());
                write!(f, "open {connection} {listener} {protocol} {}", who.name())?;
                if let Some(seconds) = lives {
                    write!(f, " lives={seconds}")?;
                }
                write!(f, "{}", if *is_half { " half" } else { "" })
            }
            Event::Ask {
                connection,
                path,
                kind,
                count,
            } => write!(f, "ask {connection} {path} {} {count}", kind.word()),
            Event::Update {
                listener,
                how,
                document,
            } => write!(f, "update {} {} {document}", listener.word(), how.word()),
            Event::Rest(connection) => write!(f, "rest {connection}"),
            Event::Data(connection) => write!(f, "data {connection}"),
            Event::Trailers(connection) => write!(f, "trailers {connection}"),
            Event::Finish(connection) => write!(f, "finish {connection}"),
            Event::Reset(connection) => write!(f, "reset {connection}"),
            Event::Deaf(connection) => write!(f, "deaf {connection}"),
            Event::Hear(connection) => write!(f, "hear {connection}"),
            Event::Close(connection) => write!(f, "close {connection}"),
            Event::Remove(listener) => write!(f, "remove {}", listener.word()),
            Event::Wait(milliseconds) => write!(f, "wait {milliseconds}"),
            Event::Trap(listener) => write!(f, "trap {}", listener.word()),
            Event::Endpoint(answers) => write!(f, "endpoint {}", answers.word()),
            Event::Workload(answers) => write!(f, "workload {}", answers.word()),
        }
    }
}

impl FromStr for Event {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once(' ').ok_or("an event has more than one word")?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let word = |place: usize| words.get(place).copied().unwrap_or_default();
        let number = |place: usize| {
            word(place)
                .parse::<u64>()
                .map_err(|_| format!("`{}` is no number", word(place)))
        };
        Ok(match name {
            "open" => Event::Open {
                connection: number(0)?,
                listener: Name::of(word(1))?,
                protocol: Protocol::of(word(2))?,
                who: word(3).parse()?,
                lives: words
                    .iter()
                    .find_map(|word| word.strip_prefix("lives="))
                    .and_then(|seconds| seconds.parse().ok()),
                is_half: words.contains(&"half"),
            },
            "ask" => Event::Ask {
                connection: number(0)?,
                path: word(1).chars().next().ok_or("no path")?,
                kind: Kind::of(word(2))?,
                count: number(3)?,
            },
            "update" => Event::Update {
                listener: Name::of(word(0))?,
                how: How::of(word(1))?,
                document: words.get(2..).unwrap_or_default().join(" ").parse()?,
            },
            "rest" => Event::Rest(number(0)?),
            "data" => Event::Data(number(0)?),
            "trailers" => Event::Trailers(number(0)?),
            "finish" => Event::Finish(number(0)?),
            "reset" => Event::Reset(number(0)?),
            "deaf" => Event::Deaf(number(0)?),
            "hear" => Event::Hear(number(0)?),
            "close" => Event::Close(number(0)?),
            "wait" => Event::Wait(number(0)?),
            "remove" => Event::Remove(Name::of(word(0))?),
            "trap" => Event::Trap(Name::of(word(0))?),
            "endpoint" => Event::Endpoint(Answers::of(word(0))?),
            "workload" => Event::Workload(Answers::of(word(0))?),
            _ => return Err(format!("no event is called `{name}`")),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::generate::script;
    use crate::script::Script;
    use crate::seeds::SEEDS;

    #[test]
    fn script_that_is_written_down_is_read_as_it_was() {
        for episode in 0..500 {
            let script = script(7, episode);
            assert_eq!(script.to_string().parse(), Ok(script));
        }
    }

    #[test]
    fn every_seed_is_a_script() {
        for (name, text) in SEEDS {
            let script = text.parse::<Script>();
            assert!(script.is_ok_and(|script| script.events.len() > 1), "{name}");
        }
    }
}
