//! The configurations of `envoy/`, as people start from them.

use std::{fs, path::Path};

use serde_json::Value;
use svidgate_cli::guard::remark::{Kind, Verdict};

use crate::shapes::{codes, document, judged, tcp_document};

/// A configuration of `envoy/`, filled in.
fn example(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy").join(name);
    let text = fs::read_to_string(path).unwrap();
    let document = document().to_string();
    let mut server_first = tcp_document();
    server_first["listener"] = "tcp_server_first".into();
    let values = [
        ("DOCUMENT", document.clone()),
        ("HTTP_DOCUMENT", document),
        ("TCP_DOCUMENT", tcp_document().to_string()),
        ("SERVER_FIRST_DOCUMENT", server_first.to_string()),
        ("APP_PORT", "1".into()),
        ("FEED_PORT", "1".into()),
        ("DATABASE_PORT", "1".into()),
        ("GREETER_PORT", "1".into()),
        ("PARTNER_BUNDLE_PORT", "1".into()),
        ("REVOCATIONS_PORT", "1".into()),
        ("CONTROL_PLANE_PORT", "1".into()),
        ("OWN", "prod".into()),
        ("OTHER", "partner".into()),
    ];
    let text = values
        .iter()
        .fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
    serde_saphyr::from_str(&text).unwrap()
}

/// Each door: listener, verdict.
fn verdicts(name: &str) -> Vec<(String, Verdict)> {
    judged(&example(name))
        .doors
        .iter()
        .map(|door| (door.listener.clone(), door.verdict()))
        .collect()
}

fn expected(doors: &[(&str, Verdict)]) -> Vec<(String, Verdict)> {
    doors
        .iter()
        .map(|(name, verdict)| ((*name).to_owned(), *verdict))
        .collect()
}

#[test]
fn listener_with_both_locks_is_guarded() {
    let report = judged(&example("second-lock.yaml"));
    let [door] = &report.doors[..] else { panic!("one door") };
    assert_eq!(door.verdict(), Verdict::Guarded, "{:#?}", door.remarks);
    assert!(door.lock);
    assert_eq!(codes(door), []);
    assert_eq!(report.verdict(), Verdict::Guarded);
    let versions: Vec<_> = door
        .gates()
        .map(|gate| gate.document.as_ref().unwrap().version.as_str())
        .collect();
    assert_eq!(versions, ["1", "1"]);
}

#[test]
fn demo_has_three_guarded_listeners_and_one_that_nobody_gets_through() {
    use Verdict::{Guarded, Shut};
    let expected = expected(&[
        ("web", Guarded),
        ("plain", Shut),
        ("database", Guarded),
        ("greeter", Guarded),
    ]);
    assert_eq!(verdicts("demo/envoy.yaml"), expected);
}

#[test]
fn listener_for_clients_of_the_same_host_has_no_guard() {
    use Verdict::{Guarded, Open};
    assert_eq!(
        verdicts("compose/sidecar.yaml"),
        expected(&[("out", Open), ("in", Guarded)])
    );
}

#[test]
fn listener_within_an_envoy_is_not_known_to_be_guarded_nor_is_what_leads_there() {
    use Verdict::NotKnown;
    assert_eq!(
        verdicts("inner-listener.yaml"),
        expected(&[("outer", NotKnown), ("inner", NotKnown)])
    );
}

#[test]
fn filters_by_discovery_are_not_known_from_a_file() {
    for name in ["ecds-file/bootstrap.yaml", "xds/bootstrap.yaml"] {
        let report = judged(&example(name));
        assert_eq!(report.verdict(), Verdict::NotKnown, "{name}");
        assert!(
            codes(&report.doors[0]).contains(&Kind::FilterNotHere),
            "{name}: {:#?}",
            report.doors[0].remarks
        );
    }
}
