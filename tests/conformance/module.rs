//! The module that ships, asked what the library is asked elsewhere: built as it is loaded, in an interpreter, by the
//! ABI that a proxy speaks. Only what comes to a gate can be asked of it: chains, ids in certificates, bundles in a
//! document. Each answer must be the one that the row wants, and have the reason code that the library gives.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use svidgate_policy::certificate::pem::read_pem;
use svidgate_policy::{Reason, SpiffeId, TrustDomain};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::db::{rfc5912, rfc8410};

use ca::{Authority, Profile};

use crate::identity::Question;
use crate::results::{Answer, Results};
use crate::vectors::{Vectors, rows, text};
use crate::vm::{Outcome, Scene, Vm};
use crate::{bundles, chains, ids, leaves};

/// Asks the module in every row that it can be asked in.
pub(crate) fn run(vectors: &Vectors, vm: &Vm, results: &mut Results) {
    let mut ask = |question: &Question| agreed(vm, question);
    chains::run(vectors, results, &mut ask);
    run_leaves(vectors, results, &mut ask);
    run_ids(vectors, results, &mut ask);
    run_bundles(vectors, results, vm);
}

type Ask<'a> = dyn FnMut(&Question) -> Result<Answer, String> + 'a;

/// Certificates of one fault each, that nobody has a bundle for: none may pass, good or bad.
fn run_leaves(vectors: &Vectors, results: &mut Results, ask: &mut Ask<'_>) {
    leaves::each(vectors, results, |results, file, case| {
        let name = text(case, "file");
        results.check((leaves::KIND, file, name), Answer::refuse(), || {
            let text = vectors.bytes(&format!("{}/{name}", leaves::FOLDER))?;
            match read_pem(&text) {
                Ok(chain) => ask(&Question {
                    chain,
                    bundles: BTreeMap::new(),
                    at: Timestamp::now(),
                }),
                Err(error) => Ok(Answer::refuse().because(error)),
            }
        });
    });
}

/// Ids in certificates that are good otherwise: whether each is an identity.
fn run_ids(vectors: &Vectors, results: &mut Results, ask: &mut Ask<'_>) {
    const KIND: &str = "ids in certificates";
    let issuer = Issuer::new();
    for (file, member, leaf_member) in [(ids::UNION, "cases", "leaf_ok"), (ids::GO, "ids", "valid_as_leaf_id")] {
        let document = match vectors.json(file) {
            Some(Ok(document)) => document,
            Some(Err(error)) => {
                results.unreadable(KIND, file, error);
                continue;
            }
            None => continue,
        };
        for case in rows(&document, member) {
            let input = text(case, "input");
            let leaf = case.get(leaf_member).and_then(Value::as_bool).unwrap_or(true);
            let expected = Answer::accept_if(ids::is_valid(case) && leaf);
            results.check((KIND, file, &ids::shown(input)), expected, || {
                ask(&issuer.question(input))
            });
        }
    }
}

/// Bundles in a document: whether it is taken with them.
fn run_bundles(vectors: &Vectors, results: &mut Results, vm: &Vm) {
    let document = match vectors.json(bundles::KIND) {
        Some(Ok(document)) => document,
        Some(Err(error)) => return results.unreadable(bundles::KIND, bundles::KIND, error),
        None => return,
    };
    for case in rows(&document, "cases")
        .iter()
        .filter(|case| text(case, "form") == "bundle")
    {
        let (file, spec) = (text(case, "file"), case.get("spec").unwrap_or(&Value::Null));
        let expected = Answer::accept_if(bundles::is_good(spec));
        results.check((bundles::KIND, bundles::KIND, file), expected, || {
            takes(vm, &vectors.bytes(file)?)
        });
    }
}

/// What the module answers, where the library agrees.
fn agreed(vm: &Vm, question: &Question) -> Result<Answer, String> {
    let (module, library) = (answer(vm, question)?, question.answer());
    if module.detail() == library.detail() {
        Ok(module)
    } else {
        Err(format!(
            "the module says {}, the library {}",
            module.detail(),
            library.detail()
        ))
    }
}

fn answer(vm: &Vm, question: &Question) -> Result<Answer, String> {
    let Some(leaf) = question.chain.first() else {
        return Ok(Answer::refuse().because("no certificate"));
    };
    let digest = Sha256::digest(leaf);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let pem = |certificates: &[_]| -> String {
        let texts = certificates
            .iter()
            .map(|der: &rustls_pki_types::CertificateDer<'_>| ca::pem("CERTIFICATE", der));
        texts.collect()
    };
    let scene = Scene {
        document: document(question)?.to_string().into_bytes(),
        now: u64::try_from(question.at.as_nanosecond()).map_err(|error| error.to_string())?,
        properties: vec![
            ("plugin_root_id", b"svidgate.request".to_vec()),
            ("connection\0tls_version", b"TLSv1.3".to_vec()),
            ("connection\0sha256_peer_certificate_digest", hex.into_bytes()),
            (
                "connection\0peer_certificate",
                pem(std::slice::from_ref(leaf)).into_bytes(),
            ),
        ],
        headers: vec![
            (":method", b"GET".to_vec()),
            (":authority", b"service".to_vec()),
            (":path", b"/".to_vec()),
            ("x-forwarded-client-cert", chain_element(&pem(&question.chain))),
        ],
    };
    let allowed = Reason::RuleAllowed.code();
    match vm.ask(scene).map_err(|error| format!("the module failed: {error}"))? {
        Outcome::Passed => Ok(Answer::accept().because(allowed)),
        Outcome::Answered(details) => match details.strip_prefix("svidgate_") {
            Some(code) => Ok(Answer::refuse().because(code)),
            None => Err(format!("details `{details}`")),
        },
        Outcome::NoConfiguration(log) => Err(format!("the document was not taken: {log}")),
    }
}

/// The chain as a proxy forwards it, with all but letters and digits escaped.
fn chain_element(pem: &str) -> Vec<u8> {
    let escaped: String = pem
        .chars()
        .map(|char| match char {
            char if char.is_ascii_alphanumeric() => char.to_string(),
            char => format!("%{:02X}", u32::from(char)),
        })
        .collect();
    format!("Chain=\"{escaped}\"").into_bytes()
}

/// A document in which every identity of a trust domain may do everything.
fn document(question: &Question) -> Result<Value, String> {
    let mut relationships = Vec::new();
    for (trust_domain, authorities) in &question.bundles {
        let keys: Vec<Value> = authorities.iter().map(|der| jwk(der)).collect::<Result<_, _>>()?;
        let bundle = json!({ "inline": { "keys": keys } });
        relationships.push(json!({ "trust_domain": trust_domain.to_string(), "bundle": bundle }));
    }
    Ok(json!({
        "trust_domain": OWN,
        "bundle": { "inline": { "keys": [] } },
        "federation": relationships,
        "xfcc": "own",
        "rules": [{ "name": "all", "effect": "allow", "from": ["spiffe://*/**"] }],
    }))
}

/// Whom the gate works for. No row is about it.
const OWN: &str = "gate.conformance.test";

/// An authority as a member of a bundle. The certificate says what kind of key it has.
fn jwk(der: &[u8]) -> Result<Value, String> {
    use base64::Engine;
    let certificate = Certificate::from_der(der).map_err(|error| error.to_string());
    let algorithm =
        certificate.map(|certificate| certificate.tbs_certificate().subject_public_key_info().algorithm.oid);
    let kty = match algorithm {
        Ok(rfc5912::ID_EC_PUBLIC_KEY) => "EC",
        Ok(rfc8410::ID_ED_25519) => "OKP",
        // What cannot be read is no authority under any name.
        Ok(_) | Err(_) => "RSA",
    };
    let x5c = base64::prelude::BASE64_STANDARD.encode(der);
    Ok(json!({ "use": "x509-svid", "kty": kty, "x5c": [x5c] }))
}

/// Whether the module takes a document that has this as its own bundle.
fn takes(vm: &Vm, bundle: &[u8]) -> Result<Answer, String> {
    let mut document = format!("{{\"trust_domain\":\"{OWN}\",\"rules\":[],\"bundle\":{{\"inline\":").into_bytes();
    document.extend_from_slice(bundle);
    document.extend_from_slice(b"}}");
    let scene = Scene {
        document,
        now: u64::try_from(Timestamp::now().as_nanosecond()).map_err(|error| error.to_string())?,
        properties: vec![("plugin_root_id", b"svidgate.request".to_vec())],
        headers: Vec::new(),
    };
    match vm.ask(scene).map_err(|error| format!("the module failed: {error}"))? {
        Outcome::NoConfiguration(log) => Ok(Answer::refuse().because(log)),
        Outcome::Passed | Outcome::Answered(_) => Ok(Answer::accept()),
    }
}

/// Writes any text as the id of a certificate that is good otherwise.
struct Issuer {
    authority: Authority,
    now: Timestamp,
}

impl Issuer {
    fn new() -> Self {
        let now = ca::real_now();
        Self {
            authority: Authority::of(OWN, now),
            now,
        }
    }

    fn question(&self, id: &str) -> Question {
        let leaf = self.authority.issue(Profile::svid(id, self.now));
        // Where the id has none, its trust domain is taken for what a careless reader would see there.
        let claimed = id.split('/').nth(2).unwrap_or_default().to_ascii_lowercase();
        let trust_domain = match SpiffeId::parse(id) {
            Ok(id) => Ok(id.trust_domain().clone()),
            Err(_) => TrustDomain::parse(&claimed),
        };
        let authorities = vec![self.authority.certificate.clone().into()];
        Question {
            chain: leaf.chain().into_iter().map(Into::into).collect(),
            bundles: trust_domain.map_or_else(|_| BTreeMap::new(), |name| BTreeMap::from([(name, authorities)])),
            at: self.now,
        }
    }
}
