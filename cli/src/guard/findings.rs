//! The report as findings, for the formats that all commands have.

use super::{door::Door, remark::Remark, report::Report};
use crate::finding::Finding;

/// A finding for each remark, with its door.
pub fn findings(report: &Report) -> Vec<Finding> {
    let of_doors = report
        .doors
        .iter()
        .flat_map(|door| door.remarks.iter().map(move |remark| finding(remark, &place(door))));
    let of_whole = report.remarks.iter().map(|remark| finding(remark, ""));
    of_doors.chain(of_whole).collect()
}

fn place(door: &Door) -> String {
    format!("listener `{}`, {}: ", door.listener, door.chain)
}

fn finding(remark: &Remark, place: &str) -> Finding {
    let mut finding = Finding::new(remark.kind.code(), None, format!("{place}{remark}")).right(remark.kind.right());
    finding.level = remark.kind.effect().level();
    finding
}
