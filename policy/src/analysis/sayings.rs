//! Which of many rules may be about the same ids and the same paths?
//!
//! Some documents have very many rules for one id, and some for one path. So there is an index of both, and of the two
//! the one is asked that has fewer answers; what it finds is then looked at by the other.

use crate::{
    analysis::{
        index::{Index, Key},
        manner::{Form, Who},
        terms::Terms,
    },
    pattern::{id_pattern::IdPattern, segments::Segments},
    rules::{effect::Effect, hop::Hop, rule::Rule},
};

/// Ids of those on a way, and paths if it is about some.
#[derive(Clone, Debug)]
pub(crate) struct Scope<'r> {
    callers: Vec<&'r IdPattern>,
    /// Of something that its caller makes itself, none.
    hops: Vec<&'r IdPattern>,
    asked: Asked<'r>,
}

/// What is asked for.
#[derive(Clone, Debug)]
enum Asked<'r> {
    Anything,
    Paths(Vec<&'r Segments>),
    /// Something of which no path is known, so that no rule allows it that looks at paths.
    NoPath,
}

impl<'r> Scope<'r> {
    /// Anything that is asked for where one of those on the way has such an id, and the other what entries of `hops`
    /// say.
    pub(crate) fn of_ids(ids: &'r IdPattern, who: Who, hops: impl Iterator<Item = &'r Hop>) -> Self {
        let (callers, hops) = match who {
            Who::Caller => (vec![ids], hops.flat_map(|hop| hop.peers.ids()).collect()),
            Who::Hop => (hops.flat_map(|hop| &hop.callers).collect(), vec![ids]),
        };
        let asked = Asked::Anything;
        Self { callers, hops, asked }
    }

    /// What of it a rule is about where something is asked for in this form.
    pub(crate) fn of_rule(self, rule: &'r Rule, form: Form) -> Self {
        let asked = match form {
            Form::Request => paths(rule).collect::<Option<_>>().map_or(Asked::Anything, Asked::Paths),
            Form::Tunnel | Form::Connection => Asked::NoPath,
        };
        Self { asked, ..self }
    }

    /// The ids of one of those on the way.
    pub(crate) fn ids(&self, who: Who) -> &[&'r IdPattern] {
        match who {
            Who::Caller => &self.callers,
            Who::Hop => &self.hops,
        }
    }
}

/// The paths of a rule: of a target that is about any, `None`.
fn paths(rule: &Rule) -> impl Iterator<Item = Option<&Segments>> {
    rule.to.iter().flat_map(|target| {
        let written = target.paths.iter().flatten().map(|path| Some(&path.segments));
        written.chain(target.paths.is_none().then_some(None))
    })
}

/// A rule through one of its `from`, by their places.
pub(crate) type Through = (usize, usize);

/// Rules of one effect, by what they are about.
#[derive(Debug)]
pub(crate) struct Sayings {
    by_id: Index<Through>,
    by_path: Index<usize>,
    /// Those that say something of what has no path.
    without_path: Index<Through>,
}

/// How many are looked at in one index before the other is tried. Most rules meet fewer.
const AT_FIRST: usize = 64;
/// By how much more each time.
const MORE: usize = 8;
/// Most pairs of paths that are compared to leave a rule out. Beyond it the rule is kept, and the search looks at it.
const MAX_PAIRS: usize = 4_096;

impl Sayings {
    pub(crate) fn new() -> Self {
        Self {
            by_id: Index::new(),
            by_path: Index::new(),
            without_path: Index::new(),
        }
    }

    pub(crate) fn insert(&mut self, place: usize, rule: &Rule, terms: &mut Terms) {
        // A denial of some path denies where none is known.
        let speaks_without_path = rule.effect == Effect::Deny || rule.to.iter().any(|target| target.paths.is_none());
        for (from, pattern) in rule.from.iter().enumerate() {
            let key = Key::of_id(&mut terms.vocabulary, pattern);
            self.by_id.insert(&key, (place, from));
            if speaks_without_path {
                self.without_path.insert(&key, (place, from));
            }
        }
        for path in paths(rule) {
            let key = path.map_or_else(Key::anything, |path| Key::of_segments(&mut terms.vocabulary, path));
            self.by_path.insert(&key, place);
        }
    }

    /// Those that may be about something in this scope, through `from` that may mean one of these ids. More than are,
    /// never fewer. In their order.
    pub(crate) fn about(
        &self,
        pattern: &IdPattern,
        scope: &Scope<'_>,
        rules: &[Rule],
        terms: &mut Terms,
    ) -> Vec<Through> {
        let ids = Key::of_id(&mut terms.vocabulary, pattern);
        let paths = match &scope.asked {
            Asked::Anything => return self.by_id.overlapping(&ids),
            Asked::NoPath => return self.without_path.overlapping(&ids),
            Asked::Paths(paths) => paths,
        };
        let keys = paths.iter().map(|path| Key::of_segments(&mut terms.vocabulary, path));
        let keys: Vec<Key> = keys.collect();
        let mut most = AT_FIRST;
        loop {
            if let Some(mut found) = self.by_id.overlapping_up_to(&ids, most) {
                found.retain(|(rule, _)| rules.get(*rule).is_some_and(|rule| may_share_path(rule, paths)));
                return found;
            }
            if let Some(found) = self.by_path_up_to(&keys, most) {
                let through = |place: usize| {
                    let from = rules
                        .get(place)
                        .into_iter()
                        .flat_map(|rule| rule.from.iter().enumerate());
                    let from = from.filter(|(_, from)| from.overlaps(pattern));
                    from.map(move |(from, _)| (place, from))
                };
                return found.into_iter().flat_map(through).collect();
            }
            most = most.saturating_mul(MORE);
        }
    }

    fn by_path_up_to(&self, keys: &[Key], most: usize) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        for key in keys {
            let left = most.saturating_sub(found.len());
            found.append(&mut self.by_path.overlapping_up_to(key, left)?);
        }
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}

fn may_share_path(rule: &Rule, with: &[&Segments]) -> bool {
    let mut pairs: usize = 0;
    paths(rule).any(|path| {
        let Some(path) = path else { return true };
        pairs = pairs.saturating_add(with.len());
        pairs > MAX_PAIRS || with.iter().any(|other| path.overlaps(other))
    })
}
