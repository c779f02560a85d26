//! Configurations of an Envoy: the verdict is that of the worst door, a door that is guarded has a gate, and the same
//! configuration in other words is judged the same.

use std::time::{Duration, Instant};

use serde_json::Value;
use svidgate_cli::guard::{
    json, markdown,
    read::read,
    remark::Verdict,
    report::{Report, Scope},
    text,
};

/// Longest that a configuration of some kilobytes may take, on a machine that has other things to do.
const MAX_TIME: Duration = Duration::from_secs(5);

/// The input is a configuration.
pub fn holds(data: &[u8]) {
    let Ok(said) = std::str::from_utf8(data) else { return };
    let started = Instant::now();
    let value = match read(said) {
        Ok(value) => value,
        Err(why) => return assert!(!why.is_empty()),
    };
    for outbound in [false, true] {
        judged(&value, Scope { outbound });
    }
    assert!(started.elapsed() < MAX_TIME, "{:?}", started.elapsed());
}

fn judged(value: &Value, scope: Scope) {
    let report = match Report::of(value, scope) {
        Ok(report) => report,
        Err(why) => return assert!(!why.is_empty()),
    };
    let verdict = report.verdict();
    for door in &report.doors {
        let of_door = door.verdict();
        assert!(
            of_door != Verdict::Guarded || door.gates().next().is_some(),
            "{door:#?}"
        );
        assert!(of_door != Verdict::Open || verdict == Verdict::Open);
        assert!(of_door != Verdict::NotKnown || matches!(verdict, Verdict::Open | Verdict::NotKnown));
    }
    let printed = json::render(&report);
    for told in [text::render(&report), markdown::render(&report), printed.clone()] {
        let hidden =
            |letter: char| (letter.is_control() && letter != '\n') || matches!(letter, '\u{202a}'..='\u{202e}');
        // The escape of a style is ours: what is foreign has none.
        let plain = told.replace("\u{1b}[", "");
        assert!(!plain.contains(hidden), "{told:?}");
    }
    assert!(serde_json::from_str::<Value>(&printed).is_ok(), "{printed}");
    let again = read(&value.to_string()).expect("it was read before");
    let again = Report::of(&again, scope).expect("it was judged before");
    assert_eq!(json::render(&again), printed);
}
