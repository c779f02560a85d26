//! Is what an Envoy is configured with at work?
//!
//! svidgate has a gauge for each version of a document: 1 while a listener of the proxy has it. Envoy counts VMs that died and
//! code that did not come. Where its statistics are filtered nothing can be told, and that is said.

use std::collections::BTreeMap;

use super::{
    remark::{Kind, Remark},
    report::Report,
};

/// The gauge of a version, before its name.
const POLICY: &str = "wasmcustom.svidgate.policy_info.";
/// What the gauge of a document without a version is called.
const NO_VERSION: &str = "none";
/// Versions for which a worker has no more gauges.
const OTHER: &str = "other";

/// Numbers by their names, as `/stats` has them.
#[derive(Debug, Default)]
pub struct Statistics(BTreeMap<String, u64>);

impl Statistics {
    /// Reads what `/stats` answers; what is no number is left out.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
        Self(
            lines
                .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    fn ending<'s>(&'s self, beginning: &'s str, ending: &'s str) -> impl Iterator<Item = (&'s str, u64)> {
        let all = self.0.iter().map(|(name, value)| (name.as_str(), *value));
        all.filter(move |(name, value)| *value > 0 && name.starts_with(beginning) && name.ends_with(ending))
    }
}

/// Adds to a report what statistics and state say. `live` says whether Envoy serves.
pub fn judge(report: &mut Report, live: &str, statistics: &Statistics) {
    report.in_force = true;
    if live != "LIVE" {
        report.remarks.push(Remark::new(
            Kind::NotAtWork,
            format!("Envoy is not serving: its state is {live}"),
        ));
    }
    let overflown = statistics.get(&format!("{POLICY}{OTHER}")).unwrap_or(0) > 0;
    for door in &mut report.doors {
        let mut versions: Vec<String> = door
            .gates()
            .filter_map(|gate| gate.document.as_ref().ok())
            .map(|document| gauge(&document.version))
            .collect();
        versions.sort();
        versions.dedup();
        for version in versions {
            match statistics.get(&format!("{POLICY}{version}")) {
                Some(1..) => {}
                None if overflown => {}
                Some(0) => door.note(Kind::NotAtWork, format!("the document `{version}` is configured, and its gauge is 0: no listener has it at work")),
                None => door.note(Kind::NotAtWork, format!("the document `{version}` is configured, and there is no gauge of it: its VM does not run, or statistics are filtered")),
            }
        }
    }
    of_the_whole(report, statistics);
}

fn of_the_whole(report: &mut Report, statistics: &Statistics) {
    let counters = [
        ("listener_manager.lds.update_rejected", "", "listeners"),
        ("extension_config_discovery.", ".config_fail", "filters"),
        ("http.", ".update_rejected", "routes"),
    ];
    for (beginning, ending, what) in counters {
        for (name, value) in statistics.ending(beginning, ending) {
            report.remarks.push(Remark::new(
                Kind::Refused,
                format!("updates of {what} were refused since the start: {name} is {value}"),
            ));
        }
    }
    if let Some(refused @ 1..) = statistics.get("wasmcustom.svidgate.documents_refused_total") {
        report.remarks.push(Remark::new(
            Kind::Refused,
            format!("svidgate has refused documents {refused} times since the start; its log says why"),
        ));
    }
    for (name, value) in statistics.ending("wasm.remote_load_fetch_failures", "") {
        report.remarks.push(Remark::new(
            Kind::Fetched,
            format!("code was not fetched: {name} is {value}"),
        ));
    }
    for (name, value) in statistics.ending("wasm.", ".vm_reload_failure") {
        report.remarks.push(Remark::new(
            Kind::NotAtWork,
            format!("a VM was not started again: {name} is {value}"),
        ));
    }
}

/// A version as its gauge has it (`docs/operate.md`): what needs escaping is `?`.
fn gauge(version: &str) -> String {
    if version.is_empty() {
        return NO_VERSION.to_owned();
    }
    version
        .bytes()
        .map(|byte| {
            if matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\') {
                char::from(byte)
            } else {
                '?'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{document::Document, door::Door, plugin::Gate, remark::Verdict};

    fn report(version: &str) -> Report {
        let text = format!(
            r#"{{"version":"{version}","trust_domain":"prod.example","bundle":{{"inline":{{"keys":[]}}}},"rules":[]}}"#
        );
        let door = Door {
            connection: Some(Gate::with(Document::read(&text))),
            ..Door::default()
        };
        Report {
            doors: vec![door],
            ..Report::default()
        }
    }

    fn verdict(version: &str, live: &str, statistics: &str) -> Verdict {
        let mut report = report(version);
        judge(&mut report, live, &Statistics::parse(statistics));
        report.verdict()
    }

    #[test]
    fn document_is_at_work_where_its_gauge_says_so() {
        let gauge = "wasmcustom.svidgate.policy_info.2: 1\nserver.live: 1\n";
        assert_eq!(verdict("2", "LIVE", gauge), Verdict::Guarded);
        assert_eq!(
            verdict("", "LIVE", "wasmcustom.svidgate.policy_info.none: 1"),
            Verdict::Guarded
        );
        for (version, live, statistics) in [
            ("1", "LIVE", gauge),
            ("2", "PRE_INITIALIZING", gauge),
            ("2", "LIVE", ""),
            ("2", "LIVE", "wasmcustom.svidgate.policy_info.2: 0"),
            ("2", "LIVE", "wasmcustom.svidgate.policy_info.2: No recorded values"),
            (
                "2",
                "LIVE",
                "wasmcustom.svidgate.policy_info.2: 1\nwasm.web.vm_reload_failure: 1",
            ),
        ] {
            assert_eq!(
                verdict(version, live, statistics),
                Verdict::NotKnown,
                "{version} {live} {statistics}"
            );
        }
    }

    #[test]
    fn version_with_what_needs_escaping_is_looked_up_as_it_is_shown() {
        assert_eq!(gauge("a\"b\\c\u{e9}"), "a?b?c??");
    }

    #[test]
    fn what_was_refused_is_told() {
        let mut report = report("2");
        let counted = "wasmcustom.svidgate.policy_info.2: 1\nlistener_manager.lds.update_rejected: 3\nwasmcustom.svidgate.documents_refused_total: 1\n";
        judge(&mut report, "LIVE", &Statistics::parse(counted));
        let refused = report
            .remarks
            .iter()
            .filter(|remark| remark.kind == Kind::Refused)
            .count();
        assert_eq!((refused, report.verdict()), (2, Verdict::Guarded));
    }
}
