//! Files of tests: what cannot be read is told with a place in the file, and what can is answered the same each time.

use std::time::{Duration, Instant};

use svidgate_cli::{
    input::typed::typed,
    testing::{
        file::TestFile,
        plan::Plan,
        run::{FailureKind, Outcome},
    },
};
use svidgate_policy::{Format, analysis::Policy};

/// What every file is about: the policy to begin with, and hops.
const POLICY: &str = concat!(
    include_str!("../../cli/src/starting/policy.yaml"),
    r#"
  - name: partners-read-their-invoices
    effect: allow
    from: [ "spiffe://partner.example/tenant/{tenant}" ]
    via: [ edge, inner ]
    to: [ { paths: [ "/invoices/{tenant}/**" ] } ]

federation: [ { trust_domain: partner.example } ]
xfcc: hop
hops:
  - name: edge
    peers: [ "spiffe://prod.example/edge" ]
    callers: [ "spiffe://partner.example/tenant/**" ]
    assertion: xfcc
  - name: inner
    peers: [ "spiffe://prod.example/inner/*" ]
    callers: [ "spiffe://partner.example/**" ]
    assertion: xfcc
"#
);
/// When all is asked that says no time.
const NOW: &str = "2026-11-29T00:00:00Z";
/// Longest that a file of some kilobytes may take, on a machine that has other things to do.
const MAX_TIME: Duration = Duration::from_secs(5);

/// The input is a file of tests.
pub fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let started = Instant::now();
    // A carriage return by itself ends a line of YAML, too.
    let last = u64::try_from(text.matches(['\n', '\r']).count()).expect("it fits") + 1;
    let file: TestFile = match typed(text) {
        Ok(file) => file,
        Err((at, what)) => {
            assert!(!what.is_empty() && !what.contains('\n'), "{what:?}");
            assert!(at.is_none_or(|(line, _)| line <= last), "{at:?}");
            return;
        }
    };
    let policy = Policy::read(POLICY.as_bytes(), Format::Yaml).expect("it compiles");
    // What a file names is another one, of which nothing is known.
    let read = |_: &str| Ok(b"-----BEGIN CERTIFICATE-----".to_vec());
    let plan = match Plan::of(&file, NOW.parse().expect("a time"), &read) {
        Ok(plan) => plan,
        Err(troubles) => {
            assert!(!troubles.is_empty());
            assert!(
                troubles
                    .iter()
                    .all(|trouble| trouble.at.0 <= last && !trouble.what.is_empty())
            );
            return;
        }
    };
    let outcomes = plan.run(&policy, &mut ());
    assert_eq!(outcomes.len(), file.tests.len());
    assert_eq!(outcomes, plan.run(&policy, &mut ()));
    let is_wrong = |outcome: &Outcome| {
        let mut failures = outcome.failures.iter();
        !outcome.todo && failures.any(|failure| failure.kind == FailureKind::Wrong)
    };
    assert_eq!(plan.notices(&policy), outcomes.iter().any(is_wrong));
    for outcome in &outcomes {
        assert!(outcome.failures.len() <= outcome.claims);
        for failure in &outcome.failures {
            assert!(
                failure.at.0 <= last && !failure.found.starts_with("a fault of ours"),
                "{failure:?}"
            );
        }
    }
    assert!(started.elapsed() < MAX_TIME, "{:?}", started.elapsed());
}
