//! What is there to be met in a rule, whatever is asked?

use crate::{
    analysis::{explain::Demand, policy::Policy},
    document::hops::DIRECT,
    rules::{
        condition::{Conditions, When},
        rule::{Rule, Target},
    },
};

/// What a rule has that a request can meet or fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its place in `rules`.
    pub place: usize,
    /// How many patterns `from` has.
    pub from: usize,
    /// How many patterns `except` has.
    pub except: usize,
    /// What stands in `via`, by name.
    pub via: Vec<String>,
    /// What it demands whatever the entry of `to`.
    pub demands: Vec<Demand>,
    /// What each entry of `to` demands, and how many patterns its `paths` have.
    pub entries: Vec<(Vec<Demand>, usize)>,
}

impl Shape {
    /// Of every rule, in the order of the document.
    pub fn all(policy: &Policy) -> impl Iterator<Item = Self> + '_ {
        let rules = policy.rules.iter().enumerate();
        rules.map(|(place, rule)| Self {
            place,
            from: rule.from.len(),
            except: rule.except.len(),
            via: named(policy, rule),
            demands: demands(rule),
            entries: rule.to.iter().map(of_entry).collect(),
        })
    }
}

fn named(policy: &Policy, rule: &Rule) -> Vec<String> {
    let Some(via) = rule.via else { return Vec::new() };
    let hops = policy.configuration().rules.hops().enumerate();
    let hops = hops.filter(|(place, _)| via.hops.has(*place));
    let hops = hops.map(|(_, hop)| hop.name.to_string());
    via.direct.then(|| DIRECT.to_owned()).into_iter().chain(hops).collect()
}

fn demands(rule: &Rule) -> Vec<Demand> {
    let When {
        headers,
        not_headers,
        source_ips,
        not_source_ips,
        time,
        not_time,
    } = &rule.when;
    let lists = [
        (Demand::Via, rule.via.is_some()),
        (Demand::Expires, rule.expires.is_some()),
        (Demand::SourceIps, source_ips.is_some()),
        (Demand::NotSourceIps, not_source_ips.is_some()),
        (Demand::Time, time.is_some()),
        (Demand::NotTime, not_time.is_some()),
    ];
    let lists = lists
        .into_iter()
        .filter(|(_, is_there)| *is_there)
        .map(|(demand, _)| demand);
    let headers = (0..headers.len()).map(Demand::Header);
    let not_headers = (0..not_headers.len()).map(Demand::NotHeader);
    lists.chain(headers).chain(not_headers).collect()
}

fn of_entry(target: &Target) -> (Vec<Demand>, usize) {
    let Conditions {
        methods,
        hosts,
        routes,
        ports,
        sni,
        encoded_slashes: _,
    } = &target.conditions;
    let lists = [
        (Demand::Methods, methods.is_some()),
        (Demand::Hosts, hosts.is_some()),
        (Demand::Routes, routes.is_some()),
        (Demand::Ports, ports.is_some()),
        (Demand::Sni, sni.is_some()),
        (Demand::Paths, target.paths.is_some()),
    ];
    let lists = lists
        .into_iter()
        .filter(|(_, is_there)| *is_there)
        .map(|(demand, _)| demand);
    (lists.collect(), target.paths.as_ref().map_or(0, Vec::len))
}
