//! The world that end-to-end tests and the demo share: our trust domain, a federated one and a stranger.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::ca::{Authority, Identity, Leaf, Profile, bundle_json, real_now};

/// Our own trust domain.
pub const OWN: &str = "prod.example";
/// The federated trust domain; the relationship covers `/ns/billing/**` of it.
pub const PARTNER: &str = "partner.example";
/// A trust domain that we have no relationship with.
pub const STRANGER: &str = "stranger.example";

/// Three authorities and a server certificate, made at one moment.
#[derive(Debug)]
pub struct World {
    /// When all was made; certificates are valid around it.
    pub now: Timestamp,
    /// Of [`OWN`].
    pub own: Authority,
    /// Of [`PARTNER`].
    pub partner: Authority,
    /// Of [`STRANGER`].
    pub stranger: Authority,
    /// What the listeners present.
    pub server: Identity,
}

impl World {
    /// A world around the real time, as a running proxy needs it, in whole seconds.
    pub fn new() -> Self {
        let now = Timestamp::from_second(real_now().as_second()).expect("the present");
        let own = Authority::of(OWN, now);
        let server = own.issue(Profile::server(now));
        Self {
            now,
            partner: Authority::of(PARTNER, now),
            stranger: Authority::of(STRANGER, now),
            own,
            server,
        }
    }

    /// A good identity of our own.
    pub fn own_identity(&self, path: &str) -> Identity {
        self.own.issue(Leaf::svid(&format!("spiffe://{OWN}{path}"), self.now))
    }

    /// A good identity of the federated trust domain.
    pub fn partner_identity(&self, path: &str) -> Identity {
        self.partner
            .issue(Leaf::svid(&format!("spiffe://{PARTNER}{path}"), self.now))
    }

    /// A document with these rules, for an HTTP listener. Change it as a test needs it.
    pub fn document(&self, rules: Value) -> Value {
        json!({
            "version": "test",
            "trust_domain": OWN,
            "bundle": { "inline": bundle_json(&[&self.own]) },
            "federation": [{
                "trust_domain": PARTNER,
                "bundle": { "inline": bundle_json(&[&self.partner]) },
                "scope": ["/ns/billing/**"],
                "owner": "tests",
            }],
            "rules": rules,
        })
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// A document that is `base` with `changes` put over it, member by member.
pub fn with(mut base: Value, changes: Value) -> Value {
    if let (Some(members), Value::Object(changes)) = (base.as_object_mut(), changes) {
        members.extend(changes);
    }
    base
}
