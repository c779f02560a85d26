//! What there is to say about bundles that were taken: entries that are not used, and names that too many authorities
//! bear. Whoever publishes them has to mend that, and the log is where it is seen.

use std::fmt;

use svidgate_policy::Bundle;

use crate::proxy::{Level, Proxy};

/// Most lines about one answer, or one document. Our decision: a publisher's mistake is in all of its keys or in a few.
const MOST_TOLD: usize = 16;
/// Most lines that are made and compared; a hostile answer of 4 MiB has a million bad entries.
const MOST_MADE: usize = 256;

/// One line for each of the first, with whose bundle it is.
pub(crate) fn lines<'a, N: fmt::Display + 'a>(bundles: impl Iterator<Item = (&'a N, &'a Bundle)>) -> Vec<String> {
    bundles
        .flat_map(|(whose, bundle)| {
            let remarks = bundle.remarks();
            remarks.map(move |remark| format!("svidgate: bundle of {whose}: {remark}"))
        })
        .take(MOST_MADE)
        .collect()
}

/// Logs the lines that were not said before.
pub(crate) fn tell<P: Proxy>(proxy: &P, lines: &[String], before: &[String]) {
    let new: Vec<&String> = lines.iter().filter(|line| !before.contains(line)).collect();
    for line in new.iter().take(MOST_TOLD) {
        proxy.log(Level::Warn, line);
    }
    let more = new.len().saturating_sub(MOST_TOLD);
    if more > 0 {
        proxy.log(Level::Warn, &format!("svidgate: and {more} or more lines like these"));
    }
}
