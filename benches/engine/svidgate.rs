//! Our engine: the one file that uses the `policy` crate.

use std::sync::OnceLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, SanType, date_time_ymd,
};
use rsa::pkcs8::EncodePrivateKey as _;
use serde_json::{Value, json};
use svidgate_policy::{
    ALGORITHMS, BundleSet, Configuration, Format, Grants, HttpRequest, Relationship, Relationships, Request, RuleSet,
    SignedDuration, SpiffeId, Svid, Timestamp,
    certificate::{bounds, leaf::Leaf},
    trust::svid::{Presented, Trust, verify},
};

use crate::{
    Engine,
    workload::{Asked, Rule, TRUST_DOMAIN, Who},
};

/// 2026-11-23T12:00:00Z: the moment of every verification and decision.
pub const NOW: Timestamp = Timestamp::constant(1_795_435_200, 0);

/// What a browser-like client sends beside method and path. No rule looks at it.
const HEADERS: &[(&str, &str)] = &[("user-agent", "bench"), ("accept", "*/*"), ("x-request-id", "4f6c")];

/// Compiled rules.
#[derive(Debug)]
pub struct Svidgate(RuleSet);

/// What is known of a caller once it is connected, and a request of its.
#[derive(Debug)]
pub struct Prepared {
    svid: Svid,
    grants: Grants,
    method: &'static str,
    path: String,
}

impl Engine for Svidgate {
    type Prepared = Prepared;

    const NAME: &'static str = "svidgate";

    fn load(rules: &[Rule]) -> Self {
        Self(compile(&document(rules)).rules)
    }

    fn prepare(&self, asked: &Asked) -> Prepared {
        let svid = svid(&asked.id);
        Prepared {
            grants: self.0.specialise(&svid),
            svid,
            method: asked.method,
            path: asked.path.clone(),
        }
    }

    fn allows(&mut self, prepared: &Prepared) -> bool {
        decide(&prepared.grants, prepared)
    }
}

/// The same rules, where every request comes from an identity that was never seen before.
#[derive(Debug)]
pub struct Unspecialised(Svidgate);

impl Engine for Unspecialised {
    type Prepared = Prepared;

    const NAME: &'static str = "svidgate, specialised anew each time";

    fn load(rules: &[Rule]) -> Self {
        Self(Svidgate::load(rules))
    }

    fn prepare(&self, asked: &Asked) -> Prepared {
        self.0.prepare(asked)
    }

    fn allows(&mut self, prepared: &Prepared) -> bool {
        decide(&self.0.0.specialise(&prepared.svid), prepared)
    }
}

fn decide(grants: &Grants, prepared: &Prepared) -> bool {
    let request = Request {
        http: Some(HttpRequest {
            method: prepared.method.as_bytes(),
            authority: b"api.prod.example",
            path: Some(prepared.path.as_bytes()),
            headers: &HEADERS,
        }),
        ..Request::default()
    };
    grants.decide(&request, NOW).is_allowed()
}

impl Svidgate {
    /// Compiles rules that are written as the document has them.
    pub fn of_rules(rules: Vec<Value>) -> Self {
        Self(compile(&text(rules)).rules)
    }

    /// Finds what an identity may ever do; how many it is, no one outside the crate can see.
    pub fn specialise(&self, svid: &Svid) -> Grants {
        self.0.specialise(svid)
    }
}

impl Prepared {
    /// Whether the connection is worth having.
    pub fn is_admitted(&self) -> bool {
        self.grants.admit(NOW).is_allowed()
    }
}

/// The document that has these rules.
pub fn document(rules: &[Rule]) -> Vec<u8> {
    text(rules.iter().enumerate().map(rule).collect())
}

fn rule((number, rule): (usize, &Rule)) -> Value {
    let from = match &rule.who {
        Who::Exactly(id) => id.clone(),
        Who::Below(id) => format!("{id}/**"),
    };
    json!({
        "name": format!("rule-{number}"),
        "effect": if rule.allow { "allow" } else { "deny" },
        "from": [from],
        "to": [{ "methods": [rule.method], "paths": [format!("{}/**", rule.below)] }],
    })
}

fn text(rules: Vec<Value>) -> Vec<u8> {
    let document = json!({ "trust_domain": "prod.example", "bundle": { "inline": { "keys": [] } }, "rules": rules });
    document.to_string().into_bytes()
}

/// Compiles a document that is known to be good.
pub fn compile(document: &[u8]) -> Configuration {
    Configuration::compile(document, Format::Json).expect("the document is good")
}

/// An identity with one rule, which looks at nothing, among the usual ones.
pub fn best(rules: &[Rule]) -> Svidgate {
    let mut rules: Vec<Value> = rules.iter().enumerate().map(rule).collect();
    let last = json!({ "name": "best", "effect": "allow", "from": [BEST] });
    rules.pop();
    rules.push(last);
    Svidgate::of_rules(rules)
}

/// The identity of [`best`].
pub const BEST: &str = "spiffe://prod.example/best";

/// Rules that all match one identity, each by a pattern of its own: every segment of the id is written out in half of
/// them and a `*` in the other half. No index helps here, because everything found is true.
pub fn patterns(size: usize) -> Svidgate {
    let pattern = |number: usize| {
        let segment = |place: usize| {
            if number >> place & 1 == 0 {
                format!("/s{place}")
            } else {
                "/*".to_owned()
            }
        };
        (0..PATTERN_SEGMENTS).map(segment).collect::<String>()
    };
    let rules = (0..size).map(|number| {
        json!({
            "name": format!("rule-{number}"),
            "effect": "allow",
            "from": [format!("{TRUST_DOMAIN}{}", pattern(number))],
            "to": [{ "methods": ["GET"], "paths": [format!("/p{number}/**")] }],
        })
    });
    Svidgate::of_rules(rules.collect())
}

/// 2^17 patterns are more than the largest number of rules.
const PATTERN_SEGMENTS: usize = 17;

/// The request of the identity that [`patterns`] are about, for the first of its rules.
pub fn pattern_request() -> Asked {
    let path: String = (0..PATTERN_SEGMENTS).map(|place| format!("/s{place}")).collect();
    Asked {
        id: format!("{TRUST_DOMAIN}{path}"),
        method: "GET",
        path: "/p0/items/42".to_owned(),
        allowed: true,
    }
}

/// An identity whose chain the proxy has verified.
pub fn svid(id: &str) -> Svid {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    let key = KEY.get_or_init(|| KeyPair::generate().expect("a key"));
    let leaf = leaf_of(id, 0).self_signed(key).expect("a leaf");
    let presented = Presented {
        leaf: leaf.der(),
        intermediates: &[],
    };
    verify(presented, &[], &trust(&relationships(), None), NOW).expect("a valid leaf")
}

fn trust<'a>(relationships: &'a Relationships, bundles: Option<&'a BundleSet>) -> Trust<'a> {
    Trust {
        relationships,
        bundles,
        revocations: &[],
        expiry_grace: SignedDuration::ZERO,
    }
}

fn relationships() -> Relationships {
    let id = SpiffeId::parse(TRUST_DOMAIN).expect("an id");
    let mut relationships = Relationships::default();
    relationships.insert(Relationship::unlimited(id.trust_domain().clone()));
    relationships
}

fn leaf_of(id: &str, dns_names: usize) -> CertificateParams {
    let mut leaf = CertificateParams::default();
    let dns = (0..dns_names).map(|number| format!("host-{number}.prod.example"));
    leaf.subject_alt_names = dns
        .map(|name| SanType::DnsName(name.try_into().expect("a name")))
        .collect();
    leaf.subject_alt_names.push(SanType::URI(id.try_into().expect("an id")));
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    dated(leaf)
}

fn authority(common_name: &str) -> CertificateParams {
    let mut authority = CertificateParams::default();
    authority
        .distinguished_name
        .push(rcgen::DnType::CommonName, common_name);
    authority.subject_alt_names = vec![SanType::URI(TRUST_DOMAIN.try_into().expect("an id"))];
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    dated(authority)
}

fn dated(mut certificate: CertificateParams) -> CertificateParams {
    certificate.not_before = date_time_ymd(2026, 1, 1);
    certificate.not_after = date_time_ymd(2027, 1, 1);
    certificate
}

/// Which keys a chain has.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    /// ECDSA on P-256.
    P256,
    /// RSA of 2,048 bits.
    Rsa2048,
}

impl Keys {
    /// What a JWK calls them.
    fn kty(self) -> &'static str {
        match self {
            Self::P256 => "EC",
            Self::Rsa2048 => "RSA",
        }
    }
}

fn key(keys: Keys) -> KeyPair {
    match keys {
        Keys::P256 => KeyPair::generate().expect("a key"),
        Keys::Rsa2048 => {
            let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).expect("a key");
            let der = key.to_pkcs8_der().expect("a key in DER");
            KeyPair::from_pkcs8_der_and_sign_algo(&der.as_bytes().into(), &PKCS_RSA_SHA256).expect("the same key")
        }
    }
}

/// A leaf, what comes with it, and the configuration whose bundle has its authority.
#[derive(Debug)]
pub struct Chain {
    leaf: Vec<u8>,
    intermediates: Vec<rcgen::Certificate>,
    configuration: Configuration,
}

impl Chain {
    /// Makes keys and certificates.
    pub fn new(keys: Keys, with_intermediate: bool) -> Self {
        let root = CertifiedIssuer::self_signed(authority("root"), key(keys)).expect("an authority");
        let x5c = BASE64_STANDARD.encode(root.der());
        let (leaf, leaf_key) = (leaf_of(&crate::workload::service(0), 0), key(keys));
        let (leaf, intermediates) = if with_intermediate {
            let issuer = CertifiedIssuer::signed_by(authority("intermediate"), key(keys), &root).expect("an issuer");
            let leaf = leaf.signed_by(&leaf_key, &issuer).expect("a leaf");
            (leaf, vec![issuer.as_ref().clone()])
        } else {
            (leaf.signed_by(&leaf_key, &root).expect("a leaf"), Vec::new())
        };
        let document = json!({
            "trust_domain": "prod.example",
            "bundle": { "inline": { "keys": [{ "use": "x509-svid", "kty": keys.kty(), "x5c": [x5c] }] } },
            "rules": [],
        });
        Self {
            leaf: leaf.der().to_vec(),
            intermediates,
            configuration: compile(document.to_string().as_bytes()),
        }
    }

    /// Verifies it.
    pub fn verify(&self) -> Svid {
        let intermediates: Vec<_> = self.intermediates.iter().map(|issuer| issuer.der().clone()).collect();
        let presented = Presented {
            leaf: &self.leaf,
            intermediates: &intermediates,
        };
        let trust = trust(&self.configuration.relationships, Some(&self.configuration.bundles));
        verify(presented, ALGORITHMS, &trust, NOW).expect("a valid chain")
    }
}

/// A leaf to read, with so many DNS names beside the id.
pub fn leaf(dns_names: usize) -> Vec<u8> {
    let leaf = leaf_of(&crate::workload::service(0), dns_names).self_signed(&key(Keys::P256));
    leaf.expect("a leaf").der().to_vec()
}

/// Most names that a leaf may have.
pub const MAX_SANS: usize = bounds::MAX_SANS;

/// Reads a leaf and checks the profile.
pub fn read_leaf(der: &[u8]) -> Leaf<'_> {
    Leaf::parse(der).expect("a leaf that keeps to the profile")
}

/// Reads an id.
pub fn parse_id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).expect("an id")
}
