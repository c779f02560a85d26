//! All rules, arranged so that an identity finds its own without looking at the others.
//!
//! Rules with the same `from` and `except` share one *group*: a trie of their paths. An index leads from an id to its
//! groups: a hash table for ids written out, a trie for patterns. Both cost what matches, not what is configured. The
//! obvious way, a list of rules that is walked for each request, costs every caller for everybody else's rules.

use std::{collections::BTreeSet, hash::BuildHasher as _, ops::Add as _, sync::Arc};

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use jiff::Timestamp;

use crate::{
    pattern::{
        id_pattern::IdPattern,
        segments::{SegmentPattern, Segments},
        trie::{NodeId, Tries},
    },
    rules::{
        condition::{Conditions, When},
        effect::Effect,
        header::folded,
        hop::{Hop, Hops, KnownHop, Via},
        reading::Reading,
        rule::{Rule, Target},
        schedule::Schedule,
        until::Until,
    },
};

/// The compiled rules; a handle that is cheap to clone.
#[derive(Clone, Debug)]
pub struct RuleSet(pub(crate) Arc<Rules>);

impl RuleSet {
    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.0.rules.len()
    }

    /// The rules that end, with the moment that they end at.
    pub fn expiries(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        let rules = self.0.rules.iter();
        rules.filter_map(|rule| Some((rule.name.as_ref(), rule.expires?)))
    }

    /// The rules in force that say something of requests.
    pub fn about_requests(&self) -> AboutRequests {
        self.0.about_requests
    }

    /// The names of all headers that any rule in force looks at, as [`folded`] and in order.
    pub fn header_names(&self) -> BTreeSet<Box<[u8]>> {
        let in_force = self.0.rules.iter().filter(|rule| !rule.dry_run);
        let whens = in_force.filter_map(|rule| rule.when.as_deref());
        let conditions = whens.flat_map(|when| when.headers.iter().chain(&when.not_headers));
        conditions
            .map(|condition| folded(condition.name.as_bytes()).collect())
            .collect()
    }

    /// Who may bring the requests of others, in the order of the document.
    pub fn hops(&self) -> impl Iterator<Item = &Hop> {
        self.0.hops.0.iter().map(|known| &known.hop)
    }

    /// Whether there is none, which denies everything.
    pub fn is_empty(&self) -> bool {
        self.0.rules.is_empty()
    }
}

/// How many rules in force need a request, which a connection of a TCP listener is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AboutRequests {
    /// Allow rules all of whose targets do, so that they open no TCP listener.
    pub allows: usize,
    /// Deny rules one of whose targets does, so that they close each TCP listener that its `ports` do not rule out.
    pub denies: usize,
}

impl AboutRequests {
    fn add(&mut self, rule: &Rule) {
        // Of a deny rule about ways through hops alone, no connection is the way.
        if rule.effect == Effect::Deny && rule.via.is_some_and(|via| !via.direct) {
            return;
        }
        let mut needs = rule.to.iter().map(|target| rule.needs_request(target));
        let (count, does) = match rule.effect {
            Effect::Allow => (&mut self.allows, needs.all(|needs| needs)),
            Effect::Deny => (&mut self.denies, needs.any(|needs| needs)),
        };
        if does && !rule.dry_run {
            *count = count.saturating_add(1);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) reading: Reading,
    pub(crate) rules: Vec<RuleHead>,
    pub(crate) hops: Hops,
    pub(crate) groups: Vec<RuleGroup>,
    pub(crate) enforced: Index,
    /// Rules in a dry run have an index and groups of their own, so that nothing else goes through them.
    pub(crate) dry_run: Index,
    pub(crate) paths: Tries<Candidate>,
    pub(crate) conditions: Vec<Conditions>,
    pub(crate) captures: Vec<Captures>,
    /// Of all rules.
    pub(crate) schedule: Schedule,
    pub(crate) about_requests: AboutRequests,
}

/// From an id to the groups that it matches.
#[derive(Debug)]
pub(crate) struct Index {
    /// Ids written out, and the groups that name them.
    pub(crate) exact: HashMap<Box<str>, Vec<u32>>,
    /// Patterns of ids; the first segment is the trust domain.
    pub(crate) patterns: Tries<GroupMatch>,
    pub(crate) root: NodeId,
    /// The groups of patterns.
    pub(crate) by_pattern: Vec<u32>,
    /// For as many patterns of a trust domain, an id that matches. Who matches a pattern matches all that cover it.
    pub(crate) examples: Vec<Box<str>>,
    /// Whether any of its rules opens paths with an encoded slash.
    pub(crate) opens_encoded_slashes: bool,
}

/// Most examples. Our decision: what makes too much of one pattern is seen in few of them.
const MAX_EXAMPLES: usize = 16;

impl Default for Index {
    fn default() -> Self {
        let mut patterns = Tries::default();
        Self {
            exact: HashMap::new(),
            root: patterns.root(),
            patterns,
            by_pattern: Vec::new(),
            examples: Vec::new(),
            opens_encoded_slashes: false,
        }
    }
}

/// What a decision needs to know of a rule beside what it matches.
#[derive(Debug)]
pub(crate) struct RuleHead {
    pub(crate) name: Box<str>,
    pub(crate) effect: Effect,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) dry_run: bool,
    /// `None` demands nothing.
    pub(crate) when: Option<Box<When>>,
}

/// The rules of one `from`, `except` and `via`, all in force or all in a dry run.
#[derive(Debug)]
pub(crate) struct RuleGroup {
    pub(crate) except: Box<[IdPattern]>,
    /// The ways that they speak of.
    pub(crate) via: Option<Via>,
    /// Rules that look at the path.
    pub(crate) paths: NodeId,
    /// Rules that do not.
    pub(crate) anywhere: Vec<Candidate>,
    /// Deny rules that look at the path, each target once. Of what is inside a tunnel, and of a connection of a TCP
    /// listener, no path is known, so all of them apply.
    pub(crate) denied_somewhere: Vec<Candidate>,
    /// Until when an allow rule of it holds; `None` where there is none.
    pub(crate) allows: Option<Until>,
    pub(crate) needs: Needs,
    /// When time alone can change the answer; `None` where it never does.
    pub(crate) schedule: Option<Box<Schedule>>,
}

/// A pattern of ids leads to a group, and says which segments of the id are captured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupMatch {
    pub(crate) group: u32,
    pub(crate) captures: u32,
}

/// One target of a rule, at the place in the trie that its path leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) rule: u32,
    pub(crate) conditions: u32,
    pub(crate) captures: u32,
}

/// Which segment must be, or gives, the value of which capture. Captures are numbered by name within their rule.
pub(crate) type Captures = Box<[(usize, usize)]>;

/// What must be read from the connection before rules can be decided on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The route's name.
    pub route: bool,
    /// The local port.
    pub port: bool,
    /// The server name of the TLS handshake.
    pub sni: bool,
    /// The peer's address.
    pub source_ip: bool,
}

impl Needs {
    pub(crate) fn union(self, other: Self) -> Self {
        Self {
            route: self.route || other.route,
            port: self.port || other.port,
            sni: self.sni || other.sni,
            source_ip: self.source_ip || other.source_ip,
        }
    }

    fn of(conditions: &Conditions, when: &When) -> Self {
        Self {
            route: conditions.routes.is_some(),
            port: conditions.ports.is_some(),
            sni: conditions.sni.is_some(),
            source_ip: when.looks_at_source(),
        }
    }
}

/// Places in the tables of a rule set fit 32 bits, because a document does.
pub(crate) fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Looks up a place in a table. A place that is not there answers nothing, which matches nothing.
pub(crate) fn at<T>(table: &[T], place: u32) -> Option<&T> {
    table.get(usize::try_from(place).ok()?)
}

/// Takes in rules one by one.
pub(crate) struct RuleSetBuilder {
    rules: Rules,
    /// By their patterns as text, which takes a fraction of their memory.
    groups: HashMap<Box<str>, u32>,
    /// Places of conditions that are known, found by what stands there.
    conditions: HashTable<u32>,
    hasher: DefaultHashBuilder,
    captures: HashMap<Captures, u32>,
}

impl RuleSetBuilder {
    /// `rules` is how many will come.
    pub(crate) fn new(reading: Reading, hops: Vec<Hop>, rules: usize) -> Self {
        let mut schedule = Schedule::default();
        hops.iter().for_each(|hop| schedule.add_end(hop.expires));
        Self {
            rules: Rules {
                reading,
                rules: Vec::with_capacity(rules),
                hops: Hops(hops.into_iter().map(KnownHop::new).collect()),
                // Most have a `from` of their own, and a table that grows is there twice for a while.
                groups: Vec::with_capacity(rules),
                enforced: Index::default(),
                dry_run: Index::default(),
                paths: Tries::default(),
                conditions: Vec::new(),
                captures: Vec::new(),
                schedule,
                about_requests: AboutRequests::default(),
            },
            groups: HashMap::new(),
            conditions: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            captures: HashMap::new(),
        }
    }

    pub(crate) fn add(&mut self, mut rule: Rule) {
        let number = index(self.rules.rules.len());
        // The order of patterns means nothing, so it tells no two groups apart.
        rule.from.sort();
        rule.from.dedup();
        rule.except.sort();
        rule.except.dedup();
        self.rules.about_requests.add(&rule);
        let names = capture_names(&rule.from);
        let group = self.group(rule.from, rule.except, rule.via, &names, rule.dry_run);
        for target in rule.to {
            self.index_mut(rule.dry_run).opens_encoded_slashes |= target.conditions.encoded_slashes;
            self.add_needs(group, Needs::of(&target.conditions, &rule.when));
            self.add_target(group, number, rule.effect, target, &names);
        }
        self.rules.schedule.add(rule.expires, &rule.when);
        if let Some(group) = self.group_mut(group) {
            let mut schedule = group.schedule.take().unwrap_or_default();
            schedule.add(rule.expires, &rule.when);
            group.schedule = (!schedule.is_empty()).then_some(schedule);
        }
        let head = RuleHead {
            name: rule.name,
            effect: rule.effect,
            expires: rule.expires,
            dry_run: rule.dry_run,
            when: (!rule.when.is_empty()).then(|| Box::new(rule.when)),
        };
        if head.effect == Effect::Allow {
            let until = Until::of(head.expires);
            self.add_brought(rule.via, until, head.dry_run);
            if let Some(group) = self.group_mut(group) {
                group.allows = group.allows.max(Some(until));
            }
        }
        self.rules.rules.push(head);
    }

    pub(crate) fn finish(mut self) -> Rules {
        self.rules.rules.shrink_to_fit();
        self.rules.groups.shrink_to_fit();
        self.rules.schedule.sort();
        let groups = self.rules.groups.iter_mut();
        groups
            .filter_map(|group| group.schedule.as_mut())
            .for_each(|schedule| schedule.sort());
        self.rules
    }

    fn index_mut(&mut self, dry_run: bool) -> &mut Index {
        if dry_run {
            &mut self.rules.dry_run
        } else {
            &mut self.rules.enforced
        }
    }

    fn group_mut(&mut self, group: u32) -> Option<&mut RuleGroup> {
        self.rules.groups.get_mut(usize::try_from(group).ok()?)
    }

    /// An allow rule lets those through whom these hops bring.
    fn add_brought(&mut self, via: Option<Via>, until: Until, dry_run: bool) {
        let Some(Via { hops, .. }) = via else { return };
        let known = self.rules.hops.0.iter_mut().enumerate();
        for (_, known) in known.filter(|(place, _)| hops.has(*place)) {
            let slot = if dry_run {
                &mut known.would_allow
            } else {
                &mut known.allows
            };
            *slot = (*slot).max(Some(until));
        }
    }

    /// The group of a `from`, `except` and `via`, made and indexed where it is new.
    fn group(
        &mut self,
        from: Vec<IdPattern>,
        except: Vec<IdPattern>,
        via: Option<Via>,
        names: &[Box<str>],
        dry_run: bool,
    ) -> u32 {
        let key = spelled(&from, &except, via, dry_run);
        if let Some(group) = self.groups.get(&key) {
            return *group;
        }
        let group = index(self.rules.groups.len());
        for pattern in &from {
            self.index_pattern(group, pattern, names, dry_run);
        }
        self.rules.groups.push(RuleGroup {
            except: except.into(),
            via,
            paths: self.rules.paths.root(),
            anywhere: Vec::new(),
            denied_somewhere: Vec::new(),
            allows: None,
            needs: Needs::default(),
            schedule: None,
        });
        self.groups.insert(key, group);
        group
    }

    fn index_pattern(&mut self, group: u32, pattern: &IdPattern, names: &[Box<str>], dry_run: bool) {
        let captures = self.captures(&pattern.segments, names);
        let index = self.index_mut(dry_run);
        if let Some(id) = pattern.exact() {
            // Most ids are in one rule's `from`.
            let alone = || Vec::with_capacity(1);
            index.exact.entry(id.into()).or_insert_with(alone).push(group);
            return;
        }
        index.by_pattern.push(group);
        if index.examples.len() < MAX_EXAMPLES {
            index.examples.extend(pattern.example().map(Into::into));
        }
        let below = match pattern.trust_domain() {
            Some(name) => index.patterns.literal_child(index.root, name.as_str()),
            None => index.patterns.any_child(index.root),
        };
        index
            .patterns
            .insert(below, &pattern.segments, GroupMatch { group, captures });
    }

    fn add_needs(&mut self, group: u32, needs: Needs) {
        if let Some(group) = self.group_mut(group) {
            group.needs = group.needs.union(needs);
        }
    }

    fn add_target(&mut self, group: u32, rule: u32, effect: Effect, target: Target, names: &[Box<str>]) {
        let conditions = self.condition(target.conditions);
        let paths = self.group_mut(group).map(|group| group.paths);
        match (target.paths, paths) {
            (Some(patterns), Some(root)) => {
                if effect == Effect::Deny {
                    let captures = self.no_captures();
                    let somewhere = Candidate {
                        rule,
                        conditions,
                        captures,
                    };
                    self.group_mut(group)
                        .into_iter()
                        .for_each(|group| group.denied_somewhere.push(somewhere));
                }
                for pattern in patterns {
                    let captures = self.captures(&pattern.segments, names);
                    self.rules.paths.insert(
                        root,
                        &pattern.segments,
                        Candidate {
                            rule,
                            conditions,
                            captures,
                        },
                    );
                }
            }
            (None, _) => {
                let captures = self.no_captures();
                if let Some(group) = self.group_mut(group) {
                    group.anywhere.push(Candidate {
                        rule,
                        conditions,
                        captures,
                    });
                }
            }
            (Some(_), None) => {}
        }
    }

    fn condition(&mut self, conditions: Conditions) -> u32 {
        let (known, hasher) = (&mut self.rules.conditions, &self.hasher);
        let hash = |place: &u32| hasher.hash_one(at(known, *place));
        let wanted = hasher.hash_one(Some(&conditions));
        let is_same = |place: &u32| at(known, *place) == Some(&conditions);
        if let Some(place) = self.conditions.find(wanted, is_same) {
            return *place;
        }
        let place = index(known.len());
        self.conditions.insert_unique(wanted, place, hash);
        known.push(conditions);
        place
    }

    fn captures(&mut self, segments: &Segments, names: &[Box<str>]) -> u32 {
        let captured = segments
            .list
            .iter()
            .enumerate()
            .filter_map(|(place, segment)| match segment {
                SegmentPattern::Capture(name) => {
                    // Every capture is in every `from`, or the document was refused. If one were not, no id would have
                    // a value for it, and nothing would match.
                    let slot = names.iter().position(|known| known == name);
                    Some((place, slot.unwrap_or(names.len())))
                }
                SegmentPattern::Literal(_) | SegmentPattern::Any => None,
            });
        let captured: Captures = captured.collect();
        if let Some(known) = self.captures.get(&captured) {
            return *known;
        }
        let place = index(self.rules.captures.len());
        self.rules.captures.push(captured.clone());
        self.captures.insert(captured, place);
        place
    }

    fn no_captures(&mut self) -> u32 {
        self.captures(
            &Segments {
                list: Vec::new(),
                rest: true,
            },
            &[],
        )
    }
}

/// Patterns as text, so that two texts are the same only where the patterns are: what separates them is in no pattern.
fn spelled(from: &[IdPattern], except: &[IdPattern], via: Option<Via>, dry_run: bool) -> Box<str> {
    let spelled = |patterns: &[IdPattern]| {
        let texts: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        // All of them begin with it.
        texts.join(" ").replace("spiffe://", "")
    };
    let how = if dry_run { "dry_run" } else { "" };
    let via = via.map(|via| format!("\n{via:?}")).unwrap_or_default();
    [&spelled(from), &spelled(except), how]
        .map(String::from)
        .join("\n")
        .add(&via)
        .into()
}

/// The captures of a rule, which all of its `from` patterns have.
fn capture_names(from: &[IdPattern]) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = from
        .iter()
        .flat_map(|pattern| pattern.segments.captures())
        .map(Into::into)
        .collect();
    names.sort();
    names.dedup();
    names
}
