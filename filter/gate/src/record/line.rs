//! The line that the log has for a refusal: `svidgate: decision ` and one JSON object, for machines as well as for
//! whoever reads it at night. Its members have the names that they have in the access log's record.

use serde::Serialize;

use crate::record::decision::{Circumstances, Record, UNKNOWN, Who};

/// What a decision's line begins with.
const PREFIX: &str = "svidgate: decision ";

/// The members, in the order in which they are written. What is not known is left out.
#[derive(Serialize)]
struct Line<'a> {
    stage: &'a str,
    decision: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'a str>,
    /// Of whose certificate the reason speaks, where it is not that of the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'a str>,
    /// An id that nothing vouches for.
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<String>,
    /// Whether it had been let through before.
    #[serde(skip_serializing_if = "is_false")]
    cut: bool,
    /// Whether it passed all the same.
    #[serde(skip_serializing_if = "is_false")]
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_be: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_be_rule: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// The line of a refusal.
pub(crate) fn of(record: &Record<'_>, circumstances: &Circumstances) -> String {
    let decision = &record.decision;
    let target = |name: &str| {
        let target = circumstances.target.as_ref();
        let named = target.filter(|(known, target)| *known == name && !target.is_empty());
        named.map(|(_, target)| printable(target, MAX_SHOWN_BYTES))
    };
    let detail = circumstances.detail.clone();
    let detail = detail.or_else(|| decision.detail.map(|detail| detail.to_string()));
    let line = Line {
        stage: record.stage.as_str(),
        decision: decision.effect.as_str(),
        reason: decision.reason.code(),
        rule: decision.rule,
        id: record.who.map(|who| who.id.as_str()),
        via: record.via(),
        of: record.of(),
        evidence: record.who.and_then(Who::evidence),
        claimed: match (record.who, &circumstances.claimed) {
            (None, Some(claimed)) => Some(claimed.as_str()),
            (Some(_), _) | (None, None) => None,
        },
        peer: circumstances.peer.as_deref(),
        connection_id: circumstances.connection_id,
        route: target("route"),
        sni: target("sni"),
        cut: record.live,
        dry_run: !record.enforced,
        would_be: match decision.dry_run {
            Some(would) => Some(would.effect.as_str()),
            None => decision.would_be_is_unknown.then_some(UNKNOWN),
        },
        would_be_rule: decision.dry_run.map(|would| would.rule),
        version: record.version,
        detail: detail.map(|detail| printable(detail.as_bytes(), MAX_DETAIL_BYTES)),
    };
    // It has no keys but text, so there is nothing that could not be written.
    let json = serde_json::to_string(&line).unwrap_or_default();
    format!("{PREFIX}{json}")
}

/// At most this many bytes of a name that someone else chose.
const MAX_SHOWN_BYTES: usize = 200;
/// At most this many bytes of what is wrong, in which names that someone else chose have been cut already.
const MAX_DETAIL_BYTES: usize = 400;

/// Text for a log line: printable ASCII without quotes, the rest as `?`.
fn printable(text: &[u8], most: usize) -> String {
    let shown = |byte: &u8| match byte {
        b'"' => '\'',
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    };
    text.iter().take(most).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::{of, printable};
    use crate::{
        record::decision::{Circumstances, Record},
        stage::Stage,
    };
    use svidgate_policy::{Decision, Reason, SpiffeId};

    #[test]
    fn log_lines_have_no_bytes_of_a_peer_that_could_forge_one() {
        assert_eq!(printable(b"a\"b\nsvidgate: allowed\xff", 200), "a'b?svidgate: allowed?");
        assert_eq!(printable(&[b'x'; 1000], 200).len(), 200);
    }

    #[test]
    fn line_is_a_fixed_prefix_and_one_json_object_of_what_is_known() {
        let record = Record {
            stage: Stage::Request,
            who: None,
            brought: None,
            decision: Decision::refused(Reason::SvidExpired),
            enforced: true,
            live: false,
            version: "7",
        };
        let circumstances = Circumstances {
            peer: Some("192.0.2.7:4711".to_owned()),
            connection_id: Some(12),
            claimed: SpiffeId::parse("spiffe://prod.example/api").ok(),
            target: Some(("route", b"app\\\n".to_vec())),
            detail: Some("it has \"ended\"".to_owned()),
        };
        let line = of(&record, &circumstances);
        let expected = r#"svidgate: decision {"stage":"request","decision":"deny","reason":"svid.expired","claimed":"spiffe://prod.example/api","peer":"192.0.2.7:4711","connection_id":12,"route":"app\\?","version":"7","detail":"it has 'ended'"}"#;
        assert_eq!(line, expected);
        let would_cut = Record {
            enforced: false,
            live: true,
            version: "",
            ..record
        };
        let line = of(&would_cut, &Circumstances::default());
        let expected = r#"svidgate: decision {"stage":"request","decision":"deny","reason":"svid.expired","cut":true,"dry_run":true}"#;
        assert_eq!(line, expected);
    }
}
