//! Every signature algorithm on the list, verified inside a real Envoy: those that the proxy verifies for the module,
//! and those that the module verifies itself.

use support::{
    ca::{Authority, Identity, Key, KeyKind, Leaf, Profile, SignatureAlgorithm, bundle_json},
    upstream::HttpUpstream,
    world::{OWN, World, with},
};

use serde_json::json;

use crate::stage::{API, Filters, allow_api, http_listener, http1, reason, serve};

const LIST: [(KeyKind, SignatureAlgorithm); 12] = [
    (KeyKind::P256, SignatureAlgorithm::EcdsaSha256),
    (KeyKind::P256, SignatureAlgorithm::EcdsaSha512),
    (KeyKind::P384, SignatureAlgorithm::EcdsaSha384),
    (KeyKind::P384, SignatureAlgorithm::EcdsaSha256),
    (KeyKind::P521, SignatureAlgorithm::EcdsaSha512),
    (KeyKind::P521, SignatureAlgorithm::EcdsaSha256),
    (KeyKind::Rsa2048, SignatureAlgorithm::RsaPkcs1Sha256),
    (KeyKind::Rsa3072, SignatureAlgorithm::RsaPkcs1Sha384),
    (KeyKind::Rsa4096, SignatureAlgorithm::RsaPkcs1Sha512),
    (KeyKind::Rsa2048, SignatureAlgorithm::RsaPssSha256),
    (KeyKind::Rsa2048, SignatureAlgorithm::RsaPssSha512),
    (KeyKind::Ed25519, SignatureAlgorithm::Ed25519),
];

/// An authority of its own name for each, and a leaf that it signed so.
fn signed(world: &World, place: usize, kind: KeyKind, algorithm: SignatureAlgorithm) -> (Authority, Identity) {
    let profile = Profile::authority(OWN, world.now);
    let authority = Authority::root(Profile {
        common_name: Some(format!("authority {place}")),
        key: Key::generate(kind),
        signature_algorithm: Some(algorithm),
        ..profile
    });
    let leaf = Leaf {
        signature_algorithm: Some(algorithm),
        ..Leaf::svid(API, world.now)
    };
    let identity = authority.issue(leaf);
    (authority, identity)
}

#[tokio::test]
async fn every_algorithm_on_the_list_is_verified_and_a_broken_signature_of_any_is_refused() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let all: Vec<(Authority, Identity)> = LIST
        .iter()
        .enumerate()
        .map(|(place, (kind, algorithm))| signed(&world, place, *kind, *algorithm))
        .collect();
    let authorities: Vec<&Authority> = all.iter().map(|(authority, _)| authority).collect();
    let changes = json!({ "bundle": { "inline": bundle_json(&authorities) } });
    let document = with(world.document(allow_api()), changes);
    let envoy = serve(
        [http_listener(&world, "web", Filters::RequestOnly, &document)],
        &upstream,
    )
    .await;
    for (place, (listed, (_, identity))) in LIST.iter().zip(&all).enumerate() {
        let good = http1(&envoy, "web", Some(identity)).await.get("/").await;
        let broken = http1(&envoy, "web", Some(&with_broken_signature(identity)))
            .await
            .get("/")
            .await;
        let log = envoy.wait_request_log("web", 2 * (place + 1)).await;
        assert_eq!(
            (good.status(), broken.status()),
            (Some(200), Some(403)),
            "{listed:?}: {}",
            reason(&log[2 * place])
        );
        assert_eq!(reason(&log[2 * place + 1]), "svid.bad_signature", "{listed:?}");
    }
    assert_eq!(upstream.requests().len(), LIST.len());
}

/// The signature ends the certificate. Its last byte is of no structure in any of the algorithms.
fn with_broken_signature(identity: &Identity) -> Identity {
    let mut broken = identity.clone();
    if let Some(last) = broken.leaf.last_mut() {
        *last ^= 1;
    }
    broken
}
