//! Which identities and request are an example of a branch?

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    analysis::{
        branch::Branch,
        demand::Value,
        literal::{Place, Space},
        manner::{Form, Manner, Way, Who},
        terms::Terms,
        values::Found,
        vocabulary::Symbol,
        witness::{Brought, Witness},
    },
    name::id::SpiffeId,
};

/// An example of a branch.
#[derive(Debug)]
pub(crate) enum Example {
    Is(Box<Witness>),
    /// There is none: all trust domains that are left are unknown.
    None,
    /// There may be one, which was not found.
    Unknown,
}

/// What is written as it is in a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Makes up texts that nothing has yet.
struct Names<'b> {
    branch: &'b Branch,
    terms: &'b Terms,
    /// By the number of the class.
    given: Vec<(usize, String)>,
    count: usize,
}

impl Names<'_> {
    fn text(&mut self, place: Place) -> String {
        if let Some(text) = self.branch.text(place) {
            return self.terms.vocabulary.text(text).to_owned();
        }
        let group = self.branch.group(place);
        let given = self.given.iter().find(|(known, _)| Some(*known) == group);
        if let Some((_, text)) = given {
            return text.clone();
        }
        let not: Vec<&str> = self
            .branch
            .not(place)
            .iter()
            .map(|symbol| self.terms.vocabulary.text(*symbol))
            .collect();
        let text = loop {
            let text = name(self.count);
            self.count = self.count.saturating_add(1);
            if !not.contains(&text.as_str()) {
                break text;
            }
        };
        self.given.extend(group.map(|group| (group, text.clone())));
        text
    }

    fn texts(&mut self, space: Space) -> Vec<String> {
        let (count, _) = self.branch.length(space);
        (1..=count).map(|number| self.text(Place { space, number })).collect()
    }
}

/// `a`, `b`, and so on.
fn name(number: usize) -> String {
    let mut letters = ('a'..='z').cycle();
    let letter = letters.nth(number.checked_rem(26).unwrap_or_default()).unwrap_or('a');
    match number / 26 {
        0 => letter.to_string(),
        round => format!("{letter}{round}"),
    }
}

/// Finds one. `domains` are those that there is a relationship with where it is allowed.
pub(crate) fn realise(branch: &Branch, manner: Manner, domains: &[Symbol], terms: &mut Terms) -> Example {
    let hop = match manner.way {
        Way::Direct => None,
        Way::Brought(assertion) => Some((Who::Hop, assertion)),
    };
    let is_known = |who| domain(branch, who, domains).is_some();
    if !is_known(Who::Caller) || hop.is_some_and(|(who, _)| !is_known(who)) {
        return Example::None;
    }
    let mut values = Vec::new();
    for (aspect, wanted) in &branch.wanted {
        match terms.find(*aspect, wanted, branch.span) {
            Found::Value(value) => values.push(value),
            Found::None => return Example::None,
            Found::Unknown => return Example::Unknown,
        }
    }
    let mut names = Names {
        branch,
        terms,
        given: Vec::new(),
        count: 0,
    };
    // It may be too long.
    let Some(id) = id(&mut names, Who::Caller, domains) else {
        return Example::Unknown;
    };
    let path = match manner.form {
        Form::Request => Some(path(&names.texts(Space::Path))),
        Form::Tunnel | Form::Connection => None,
    };
    let mut witness = blank(id, manner.form, path, branch.span.from);
    if let Some((who, assertion)) = hop {
        let Some(id) = self::id(&mut names, who, domains) else {
            return Example::Unknown;
        };
        witness.via = Some(Brought { id, assertion });
    }
    Example::Is(Box::new(values.into_iter().fold(witness, with)))
}

/// A trust domain that one of them may be of; `None` where all that are left are unknown.
fn domain(branch: &Branch, who: Who, domains: &[Symbol]) -> Option<Symbol> {
    let place = Place::trust_domain(who);
    match branch.text(place) {
        Some(domain) => Some(domain).filter(|domain| domains.contains(domain)),
        None => {
            let not = branch.not(place);
            domains.iter().copied().find(|domain| !not.contains(domain))
        }
    }
}

fn id(names: &mut Names<'_>, who: Who, domains: &[Symbol]) -> Option<SpiffeId> {
    let domain = domain(names.branch, who, domains)?;
    let path = names.texts(Space::Id(who)).join("/");
    let id = format!("spiffe://{}/{path}", names.terms.vocabulary.text(domain));
    SpiffeId::parse(id).ok()
}

fn blank(id: SpiffeId, form: Form, path: Option<String>, now: Timestamp) -> Witness {
    let method = match form {
        Form::Request => "GET",
        Form::Tunnel => "CONNECT",
        Form::Connection => "",
    };
    Witness {
        id,
        via: None,
        form,
        method: method.to_owned(),
        host: None,
        path,
        headers: Vec::new(),
        unread: Vec::new(),
        route: None,
        port: None,
        sni: None,
        source_ip: None,
        now,
    }
}

fn with(mut witness: Witness, value: Value) -> Witness {
    match value {
        Value::Method(method) => {
            if method == "CONNECT" && witness.form == Form::Request {
                // Anything else would open a tunnel.
                witness.headers.push((":protocol".to_owned(), "websocket".to_owned()));
            }
            witness.method = method;
        }
        Value::Route(route) => witness.route = route,
        Value::Port(port) => witness.port = port,
        Value::Host(host) => witness.host = host,
        Value::Sni(name) => witness.sni = name,
        Value::Source(address) => witness.source_ip = address,
        Value::Time(now) => witness.now = now,
        Value::Lines(lines) => witness.headers.extend(lines),
        Value::Unread(name) => witness.unread.push(name),
    }
    witness
}

fn path(segments: &[String]) -> String {
    let escaped: Vec<String> = segments
        .iter()
        .map(|segment| utf8_percent_encode(segment, ESCAPED).to_string())
        .collect();
    // A trailing slash names the same path, so one that ends in an empty segment has one more.
    let tail = if segments.last().is_some_and(String::is_empty) {
        "/"
    } else {
        ""
    };
    format!("/{}{tail}", escaped.join("/"))
}
