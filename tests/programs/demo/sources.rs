//! Where trust comes from in the demo: a Workload API on a unix socket, the partner's bundle endpoint and our own list
//! of revocations by HTTPS. Each is a real server.

use std::path::PathBuf;

use serde_json::{Value, json};
use support::{
    bundle_endpoint::{BundleEndpoint, Served},
    ca::{Authority, Key, KeyKind, Profile, bundle_json, real_now, token_of},
    workload_api::{Bundles, WorkloadApi},
    world::{OWN, World, with},
};
use tempfile::TempDir;

use crate::people::TENANT;

/// What the partner calls its key for tokens.
const TOKENS: &str = "tokens-1";
const BUNDLE: &str = "/bundle.json";
const REVOKED: &str = "/revoked.json";

/// The servers.
pub(crate) struct Sources {
    agent: WorkloadApi,
    /// What the partner signs tokens with.
    tokens: Key,
    pub(crate) partner: BundleEndpoint,
    pub(crate) revocations: BundleEndpoint,
    /// Whom the two HTTPS servers have their certificates from.
    pub(crate) web: Authority,
    // A unix socket may have a path of about 100 bytes, which the repository's may exceed.
    home: TempDir,
}

impl Sources {
    /// Starts them with the bundles of `world` and nobody revoked.
    pub(crate) fn start(world: &World) -> Self {
        let web = Authority::root(Profile {
            common_name: Some("web authority".to_owned()),
            uri_sans: Vec::new(),
            ..Profile::authority("web", world.now)
        });
        let https = |name: &str| {
            let profile = Profile {
                common_name: Some(name.to_owned()),
                dns_sans: vec![name.to_owned()],
                ..Profile::server(world.now)
            };
            BundleEndpoint::start(Some(&web.issue(profile)))
        };
        let home = tempfile::tempdir().expect("a temporary directory");
        let sources = Self {
            agent: WorkloadApi::start(&home.path().join("agent.sock")),
            tokens: Key::generate(KeyKind::P256),
            partner: https("bundles.partner.example"),
            revocations: https("revocations.prod.example"),
            web,
            home,
        };
        sources.publish_own(&[&world.own]);
        sources.publish_partner(&[&world.partner], 1);
        sources.revoke(&json!([]), 1);
        sources
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("agent.sock")
    }

    /// The Workload API pushes this bundle of our own trust domain.
    pub(crate) fn publish_own(&self, authorities: &[&Authority]) {
        self.agent.set(Bundles::default().with(OWN, authorities));
    }

    /// The partner's endpoint has this bundle from now on.
    pub(crate) fn publish_partner(&self, authorities: &[&Authority], sequence: u64) {
        let mut bundle = with(bundle_json(authorities), json!({ "spiffe_sequence": sequence }));
        if let (Some(keys), false) = (bundle["keys"].as_array_mut(), authorities.is_empty()) {
            keys.push(with(self.tokens.jwk(), json!({ "use": "jwt-svid", "kid": TOKENS })));
        }
        let document = bundle.to_string().into_bytes();
        self.partner.serve(BUNDLE, Served::Document(document));
    }

    /// What a tenant of the partner shows in `authorization`: a token for us, or for somebody else.
    pub(crate) fn token(&self, ours: bool) -> String {
        let audience = if ours { "invoices" } else { "payments" };
        let now = real_now().as_second();
        let header = json!({ "alg": "ES256", "kid": TOKENS, "typ": "JWT" });
        let claims = json!({ "sub": TENANT, "aud": [format!("spiffe://{OWN}/ns/shop/sa/{audience}")],
                             "iat": now, "exp": now + 300 });
        format!(
            "Bearer {}",
            token_of(&self.tokens, "ES256", header.to_string(), claims.to_string())
        )
    }

    /// The list of revocations has these entries from now on.
    pub(crate) fn revoke(&self, entries: &Value, sequence: u64) {
        let list = json!({ "sequence": sequence, "revoked": entries });
        self.revocations
            .serve(REVOKED, Served::Document(list.to_string().into_bytes()));
    }
}
