//! What one principal may ever do: the groups that its id leads to, with its captures filled in.

use jiff::Timestamp;

use crate::{
    effort::{DRY_RUN_SPECIALISATION_STEPS, Effort, SPECIALISATION_STEPS},
    name::{id::SpiffeId, path::Segment},
    pattern::id_pattern::IdPattern,
    rules::{
        hop::{Assertion, Evidence, Hop, HopSet},
        rule_set::{Captures, GroupMatch, Index, Needs, RuleSet, Rules, at},
    },
    trust::svid::Svid,
};

/// The grants of one principal: all that decisions on its connections and requests look at.
///
/// Specialised once, when the identity is verified. It costs what the identity matches, not what is configured.
#[derive(Clone, Debug)]
pub struct Grants {
    pub(crate) rules: RuleSet,
    pub(crate) enforced: Found,
    /// What rules in a dry run say.
    pub(crate) dry_run: Found,
    /// Its groups about which time alone can change the answer. `None` where there are more than [`MAX_SCHEDULES`]:
    /// then whatever time changes of any rule may change it.
    timed: Option<Box<[u32]>>,
    needs: Needs,
    /// The hops by which it brings others.
    pub(crate) brings: HopSet,
    /// Those that may bring it.
    pub(crate) brought_by: HopSet,
}

/// The groups that a principal matches.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) groups: Box<[Granted]>,
    /// Whether so many match that not all were looked at.
    pub(crate) is_too_costly: bool,
}

/// A group that the principal matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) group: u32,
    /// Values of the captures, in the order of their names.
    pub(crate) captures: Box<[Box<str>]>,
}

/// Most schedules that are searched for one identity, which is done for all of them at once where a window ends. Our
/// decision: with more, each look at those of all rules costs less, and comes more often.
const MAX_SCHEDULES: usize = 256;

/// What a group costs beside its exceptions: captures are copied, and all groups are sorted.
pub(crate) const GRANT_STEPS: usize = 12;

impl RuleSet {
    /// Finds everything that the rules say about a verified identity.
    pub fn specialise(&self, svid: &Svid) -> Grants {
        self.specialise_id(svid.id())
    }

    pub(crate) fn specialise_id(&self, id: &SpiffeId) -> Grants {
        let rules = &*self.0;
        let enforced = find(rules, &rules.enforced, id, SPECIALISATION_STEPS);
        let dry_run = find(rules, &rules.dry_run, id, DRY_RUN_SPECIALISATION_STEPS);
        let granted = || enforced.groups.iter().chain(&dry_run.groups);
        let groups = || granted().filter_map(|granted| at(&rules.groups, granted.group));
        let needs = groups().map(|group| group.needs).fold(Needs::default(), Needs::union);
        let is_timed = |granted: &&Granted| {
            let group = at(&rules.groups, granted.group);
            group.is_some_and(|group| group.schedule.is_some())
        };
        let mut timed: Vec<u32> = granted().filter(is_timed).map(|granted| granted.group).collect();
        timed.dedup();
        let timed = (timed.len() <= MAX_SCHEDULES).then(|| timed.into());
        Grants {
            rules: self.clone(),
            timed,
            needs,
            brings: rules.hops.of_peer(id),
            brought_by: rules.hops.of_caller(id),
            enforced,
            dry_run,
        }
    }
}

impl RuleSet {
    /// What there is for one who has shown no certificate: no rule is about it, and it may bring others. `None` where
    /// no hop is of that kind.
    pub fn anonymous(&self) -> Option<Grants> {
        let nothing = || Found {
            groups: Box::default(),
            is_too_costly: false,
        };
        let grants = Grants {
            rules: self.clone(),
            timed: Some(Box::default()),
            needs: Needs::default(),
            brings: self.0.hops.of_nobody(),
            brought_by: HopSet::default(),
            enforced: nothing(),
            dry_run: nothing(),
        };
        grants.is_hop().then_some(grants)
    }
}

fn find(rules: &Rules, index: &Index, id: &SpiffeId, steps: u32) -> Found {
    let effort = Effort::of(steps);
    let mut granted: Vec<Granted> = Vec::new();
    let mut grant = |group: u32, captures: Box<[Box<str>]>| {
        let exceptions = at(&rules.groups, group).map_or(0, |group| group.except.len());
        if !effort.spend(GRANT_STEPS.saturating_add(exceptions)) {
            return;
        }
        let is_excepted = |except: &[IdPattern]| except.iter().any(|pattern| pattern.matches(id));
        if at(&rules.groups, group).is_some_and(|found| !is_excepted(&found.except)) {
            granted.push(Granted { group, captures });
        }
    };
    for group in index.exact.get(id.as_str()).into_iter().flatten() {
        grant(*group, Box::default());
    }
    let trust_domain = std::iter::once(id.trust_domain().as_str());
    let segments = trust_domain.chain(id.segments()).map(Segment::literal);
    index
        .patterns
        .search(segments)
        .visit(index.root, &effort, &mut |principal: &GroupMatch| {
            let places = at(&rules.captures, principal.captures).map_or(0, |places: &Captures| places.len());
            if effort.spend(places)
                && let Some(captures) = captured(rules, principal, id)
            {
                grant(principal.group, captures);
            }
        });
    // Two patterns of one `from` may match; what they lead to is decided on once.
    granted.sort_by(|one, two| one.group.cmp(&two.group).then_with(|| one.captures.cmp(&two.captures)));
    granted.dedup();
    Found {
        groups: granted.into(),
        is_too_costly: effort.is_exhausted(),
    }
}

/// The values that a pattern captures from an id, or none where one name would have two values.
fn captured(rules: &Rules, principal: &GroupMatch, id: &SpiffeId) -> Option<Box<[Box<str>]>> {
    let places: &Captures = at(&rules.captures, principal.captures)?;
    let slots = places
        .iter()
        .map(|(_, slot)| slot.saturating_add(1))
        .max()
        .unwrap_or_default();
    let mut values: Vec<Option<&str>> = vec![None; slots];
    for (place, slot) in places {
        let segment = id.segments().nth(*place)?;
        let value = values.get_mut(*slot)?;
        if value.is_some_and(|known| known != segment) {
            return None;
        }
        *value = Some(segment);
    }
    values.into_iter().map(|value| value.map(Box::from)).collect()
}

impl Grants {
    /// The first moment after `now` at which time alone may change what they say; `None` where it never does.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let rules = &*self.rules.0;
        // What a hop may bring changes with any rule that names it, and with its own end.
        let Some(timed) = self.timed.as_ref().filter(|_| self.brings.is_empty()) else {
            return rules.schedule.next_change(now);
        };
        let groups = timed.iter().filter_map(|group| at(&rules.groups, *group));
        let schedules = groups.filter_map(|group| group.schedule.as_ref());
        schedules.filter_map(|schedule| schedule.next_change(now)).min()
    }

    /// About how many bytes they take.
    pub fn bytes(&self) -> usize {
        let granted = || self.enforced.groups.iter().chain(&self.dry_run.groups);
        let captured = granted().flat_map(|granted| &granted.captures);
        let texts = captured.fold(0_usize, |sum, text| {
            sum.saturating_add(text.len()).saturating_add(size_of::<Box<str>>())
        });
        let granted = granted().count().saturating_mul(size_of::<Granted>());
        let timed = self.timed.as_ref().map_or(0, |timed| timed.len());
        let timed = timed.saturating_mul(size_of::<u32>());
        texts.saturating_add(granted).saturating_add(timed)
    }

    /// The first of the hops by which it brings others.
    pub fn first_hop(&self) -> Option<&Hop> {
        self.rules.0.hops.first(self.brings).map(|known| &known.hop)
    }

    /// Whether it says by this whom it brings.
    pub fn asserts_by(&self, assertion: Assertion) -> bool {
        !self.brings.and(self.rules.0.hops.by(assertion)).is_empty()
    }

    /// Through how many hops whom it brings by this may have come, of each of its entries.
    pub fn depths(&self, assertion: Assertion) -> impl Iterator<Item = usize> {
        let hops = &self.rules.0.hops;
        hops.among(self.brings.and(hops.by(assertion)))
            .map(|known| known.hop.depth)
    }

    /// Whether its word is enough for some whom it brings.
    pub fn gives_its_word(&self) -> bool {
        let mut hops = self.rules.0.hops.among(self.brings);
        hops.any(|known| known.hop.evidence == Evidence::Name)
    }

    /// Whether it brings the requests of others, and so makes none of its own.
    pub fn is_hop(&self) -> bool {
        !self.brings.is_empty()
    }

    /// What must be read from the connection or the stream before [`Grants::decide`] can answer.
    pub fn needs(&self) -> Needs {
        self.needs
    }
}
