//! Which members of two documents differ that a comparison of rules does not look at?
//!
//! The table names every member, so that a new one does not build until someone has decided.

use std::fmt::Debug;

use crate::{
    analysis::{brought::is_looked_at, policy::Policy},
    document::configuration::Configuration,
    rules::{effect::Effect, hop::Hop, rule::Rule},
    trust::relationship::Relationship,
};

/// A member that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The member.
    pub member: String,
    /// Whether it has a say in who may pass. Where not, it is about what is told, and when.
    pub decides: bool,
}

/// What differs and has not been compared.
pub(crate) fn differences(old: &Policy, new: &Policy) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut note = |member: &str, decides: bool, differs: bool| {
        if differs {
            differences.push(Difference {
                member: member.to_owned(),
                decides,
            });
        }
    };
    let Configuration {
        // A name.
        version: _,
        trust_domain,
        // Compared.
        mode: _,
        listener,
        chain,
        xfcc,
        peer,
        tokens,
        forward_id,
        forward_via,
        forward_xfcc,
        mark_passed,
        access_log,
        first_bytes_timeout,
        expiry_grace,
        warn_before,
        bundles,
        endpoints,
        workload_api,
        // Its ids are compared.
        revoked,
        revocations,
        // Their scopes and ends are compared.
        relationships,
        // Compared, but for how requests are read.
        rules,
    } = old.configuration();
    let other = new.configuration();
    note("trust_domain", true, *trust_domain != other.trust_domain);
    note("listener", true, *listener != other.listener);
    note("chain", true, *chain != other.chain);
    note("xfcc", true, *xfcc != other.xfcc);
    note("peer", true, *peer != other.peer);
    let is_compared = [old, new]
        .iter()
        .all(|policy| is_looked_at(&policy.configuration().rules.0.hops));
    note("hops", true, !is_compared && brought(old) != brought(new));
    // Where one has none, it has no hop that brings tokens, which is compared.
    let has_both = tokens.is_some() && other.tokens.is_some();
    note("jwt_svid", true, has_both && *tokens != other.tokens);
    note(
        "hops.name",
        false,
        same_hops(old, new).any(|(one, two)| one.name != two.name),
    );
    note(
        "hops.owner",
        false,
        same_hops(old, new).any(|(one, two)| one.owner != two.owner),
    );
    note("forward_id", false, *forward_id != other.forward_id);
    note("forward_via", false, *forward_via != other.forward_via);
    note("forward_xfcc", false, *forward_xfcc != other.forward_xfcc);
    // A second lock behind the filter looks at the mark.
    note("mark_passed", true, *mark_passed != other.mark_passed);
    note("access_log", false, *access_log != other.access_log);
    note(
        "first_bytes_timeout",
        true,
        *first_bytes_timeout != other.first_bytes_timeout,
    );
    note("expiry_grace", true, *expiry_grace != other.expiry_grace);
    note("warn_before", false, *warn_before != other.warn_before);
    note("bundle", true, spelled(bundles) != spelled(&other.bundles));
    note("bundle.endpoint", true, *endpoints != other.endpoints);
    note("authorities", true, *workload_api != other.workload_api);
    note("revoked", true, !revoked.has_same_certificates(&other.revoked));
    note("revocations", true, *revocations != other.revocations);
    note("paths", true, rules.0.reading.paths != other.rules.0.reading.paths);
    note(
        "overrides",
        true,
        rules.0.reading.overrides != other.rules.0.reading.overrides,
    );
    for relationship in relationships.iter() {
        let Some(with) = other.relationships.with(&relationship.trust_domain) else {
            continue;
        };
        let Relationship {
            trust_domain,
            // Compared.
            scope: _,
            expires: _,
            svid_max_lifetime,
            max_staleness,
            owner,
            intermediates,
        } = relationship;
        let mut note = |member: &str, decides: bool, differs: bool| {
            note(&format!("federation[{trust_domain}].{member}"), decides, differs);
        };
        note("svid_max_lifetime", true, *svid_max_lifetime != with.svid_max_lifetime);
        note("max_staleness", true, *max_staleness != with.max_staleness);
        note("owner", false, *owner != with.owner);
        note("intermediates", true, *intermediates != with.intermediates);
    }
    differences
}

/// All that has a say in what comes through hops, which is not compared where any of it differs and there is too much of
/// it: the hops, the rules that speak of such ways, and which callers are known. `None` where nothing comes through any.
fn brought(policy: &Policy) -> Option<String> {
    let configuration = policy.configuration();
    let without_owner = |hop: &Hop| Hop {
        owner: None,
        ..hop.clone()
    };
    let hops: Vec<Hop> = configuration.rules.hops().map(without_owner).collect();
    if hops.is_empty() {
        return None;
    }
    let speaks = |rule: &&Rule| match rule.via {
        None => rule.effect == Effect::Deny,
        Some(via) => !via.hops.is_empty(),
    };
    let rules = policy.rules.iter().filter(speaks);
    let rules: Vec<&Rule> = rules.collect();
    let mut revoked: Vec<_> = configuration.revoked.ids().collect();
    revoked.sort_unstable();
    let known = configuration.relationships.iter();
    let known: Vec<_> = known
        .map(|known| (&known.trust_domain, &known.scope, known.expires))
        .collect();
    Some(spelled(&(hops, rules, known, revoked)))
}

/// The hops that are in both, whatever they are called and whoever answers for them.
fn same_hops<'p>(old: &'p Policy, new: &'p Policy) -> impl Iterator<Item = (&'p Hop, &'p Hop)> {
    let untold = |hop: &Hop| Hop {
        name: Box::default(),
        owner: None,
        ..hop.clone()
    };
    let pairs = old.configuration().rules.hops();
    let pairs = pairs.flat_map(|one| new.configuration().rules.hops().map(move |two| (one, two)));
    pairs.filter(move |(one, two)| untold(one) == untold(two))
}

/// All that is said of something that cannot be compared.
fn spelled(thing: &impl Debug) -> String {
    format!("{thing:?}")
}
