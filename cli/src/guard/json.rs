//! The report for programs: `svidgate/guard/v1`. Members are added, never taken away or given another meaning.

use serde_json::{Value, json};

use super::{door::Door, plugin::Gate, remark::Remark, report::Report, text::summary};
use crate::as_json::as_json;

/// The report as one object.
pub fn render(report: &Report) -> String {
    let whole = json!({
        "schema": "svidgate/guard/v1",
        "verdict": report.verdict().token(),
        "running": report.of_running,
        "in_force": report.in_force,
        "envoy": report.envoy.map(|(major, minor)| format!("{major}.{minor}")),
        "doors": report.doors.iter().map(door).collect::<Vec<_>>(),
        "refused_updates": report.refused.iter().map(|refused| json!({
            "what": refused.what, "version": refused.version, "details": refused.details })).collect::<Vec<_>>(),
        "remarks": report.remarks.iter().map(remark).collect::<Vec<_>>(),
        "outbound": report.outbound,
        "summary": summary(report),
    });
    as_json(&whole)
}

fn door(door: &Door) -> Value {
    json!({
        "listener": door.listener,
        "address": door.address,
        "chain": door.chain,
        "verdict": door.verdict().token(),
        "behind": door.behind.as_str(),
        "connection": door.connection.as_ref().map(gate),
        "requests": door.requests.iter().map(gate).collect::<Vec<_>>(),
        "routes": door.routes,
        "lock": door.lock,
        "tls": door.tls.as_ref().map(|tls| json!({
            "client_certificate": tls.client_certificate, "trust": tls.trust.as_str(), "resumption": tls.resumption })),
        "reading": door.reading.as_ref().map(|reading| json!({
            "forward_client_cert_details": reading.xfcc,
            "normalize_path": reading.normalize_path,
            "merge_slashes": reading.merge_slashes,
            "path_with_escaped_slashes_action": reading.escaped_slashes })),
        "remarks": door.remarks.iter().map(remark).collect::<Vec<_>>(),
    })
}

fn gate(gate: &Gate) -> Value {
    let document = gate.document.as_ref();
    json!({
        "filter": gate.filter,
        "name": gate.plugin,
        "version": document.ok().map(|document| &document.version),
        "sha256": document.ok().map(|document| &document.digest),
        "mistake": document.err(),
        "failure_policy": gate.failure.as_str(),
        "vm_id": gate.vm_id,
        "code": gate.code,
    })
}

fn remark(remark: &Remark) -> Value {
    json!({
        "code": remark.kind.code().number,
        "level": remark.kind.effect().level().as_str(),
        "place": remark.place,
        "message": remark.text,
        "help": remark.kind.right(),
    })
}
