//! Where does the gate stand in an Envoy, and where does it not?

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::Value;

use super::{
    door::Door,
    listener::{doors, is_outbound, written},
    message::Unread,
    remark::{Kind, Remark, Verdict, verdict},
    snapshot::{NEITHER, Refused, Snapshot},
};

/// All that is to be said of one Envoy.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Each way in.
    pub doors: Vec<Door>,
    /// Updates that Envoy did not take.
    pub refused: Vec<Refused>,
    /// What is to be said of the whole.
    pub remarks: Vec<Remark>,
    /// Listeners for what goes out, which were not judged.
    pub outbound: Vec<String>,
    /// Whether it is of a running Envoy.
    pub of_running: bool,
    /// Whether that was asked what is at work.
    pub in_force: bool,
    /// The version of Envoy, where it is known.
    pub envoy: Option<(u64, u64)>,
}

/// What is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// Listeners for what goes out, too.
    pub outbound: bool,
}

impl Report {
    /// Judges a `/config_dump`, or the configuration that an Envoy starts with.
    ///
    /// # Errors
    /// With what it should be, where it is neither.
    pub fn of(configuration: &Value, scope: Scope) -> Result<Self, String> {
        let unreadable = |error: Unread| format!("the configuration cannot be read: {error}");
        let snapshot = Snapshot::read(configuration).map_err(unreadable)?.ok_or(NEITHER)?;
        let mut report = Self {
            of_running: snapshot.of_running,
            envoy: snapshot.envoy,
            ..Self::default()
        };
        for listening in &snapshot.listeners {
            if !scope.outbound && is_outbound(listening.listener).unwrap_or(false) {
                report.outbound.push(listening.name.to_owned());
                continue;
            }
            report.doors.extend(doors(*listening, &snapshot));
        }
        report.of_the_whole(&snapshot);
        report.refused = snapshot.refused;
        Ok(report)
    }

    fn of_the_whole(&mut self, snapshot: &Snapshot<'_>) {
        for text in &snapshot.without_listeners {
            self.remarks.push(Remark::new(Kind::ListenersNotHere, text.clone()));
        }
        for refused in &snapshot.refused {
            let text = format!(
                "an update of {} was refused, and what ran before goes on: {}",
                refused.what, refused.details
            );
            self.remarks.push(Remark::new(Kind::Refused, text));
        }
        if let Some(admin) = snapshot.admin {
            match admin.member("address").and_then(written) {
                Ok(address) if is_reachable(&address) => {
                    let text = format!("the admin interface answers everybody at {address}");
                    self.remarks.push(Remark::new(Kind::AdminReachable, text));
                }
                Ok(_) => {}
                Err(error) => self.remarks.push(Remark::new(
                    Kind::Unreadable,
                    format!("the admin interface cannot be read: {error}"),
                )),
            }
        }
        self.shared_names();
    }

    /// Two listeners whose plugins have one name, and two documents.
    fn shared_names(&mut self) {
        let mut documents: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for door in &self.doors {
            for gate in door.gates() {
                if let Ok(document) = &gate.document {
                    documents
                        .entry(&gate.plugin)
                        .or_default()
                        .insert(&document.digest, &door.listener);
                }
            }
        }
        let shared: Vec<_> = documents
            .iter()
            .filter(|(_, documents)| documents.len() > 1)
            .map(|(name, documents)| {
                let listeners = documents
                    .values()
                    .map(|listener| format!("`{listener}`"))
                    .collect::<Vec<_>>()
                    .join(", ");
                let text = format!(
                    "plugins named `{name}` have several documents ({listeners}): each judges all under that name"
                );
                Remark::new(Kind::SharedName, text)
            })
            .collect();
        self.remarks.extend(shared);
    }

    /// What it comes to: the worst of its doors, and of the whole.
    pub fn verdict(&self) -> Verdict {
        let doors = self.doors.iter().map(Door::verdict);
        doors
            .chain([verdict(self.remarks.iter())])
            .max()
            .unwrap_or(Verdict::Guarded)
    }

    /// How many doors have a verdict.
    pub fn count(&self, wanted: Verdict) -> usize {
        self.doors.iter().filter(|door| door.verdict() == wanted).count()
    }
}

/// Whether others than this host can reach an address.
fn is_reachable(address: &str) -> bool {
    let Some((host, _)) = address.rsplit_once(':') else {
        // A pipe, or nothing.
        return false;
    };
    if host.starts_with('/') {
        return false;
    }
    let ip: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    !ip.is_ok_and(|ip| ip.is_loopback())
}
