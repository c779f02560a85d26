//! Wycheproof: the signatures themselves. `valid` is accepted and `invalid` refused. `acceptable` is what a lenient
//! reader may take (a PKCS#1 digest without its NULL, BER where DER belongs, legacy parameters): with X.509 there is
//! one right form, so it is refused.
//!
//! A pair of key and signature algorithm that is not on our list verifies nothing; such rows stand outside.

use rustls_pki_types::{AlgorithmIdentifier, alg_id};
use serde_json::Value;
use svidgate_policy::certificate::signature::{ALGORITHMS, MIN_RSA_BITS};
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::results::{Answer, Results};
use crate::vectors::{Vectors, hex, rows, text};

const KIND: &str = "wycheproof";
const NOT_LISTED: &str = "key, hash, padding or encoding is not on the list of algorithms";

/// The most that the implementation of RSA takes.
const MAX_RSA_BITS: usize = 4096;

/// Runs every `wycheproof/*.json` but those of JOSE, whose signatures are of tokens.
pub(crate) fn run(vectors: &Vectors, results: &mut Results) {
    let files = vectors.files("wycheproof", "", ".json");
    for file in files.into_iter().filter(|file| !file.contains("/json_web_")) {
        match vectors.json(&file) {
            Some(Ok(document)) => run_file(&file, &document, results),
            Some(Err(error)) => results.unreadable(KIND, &file, error),
            None => {}
        }
    }
}

fn run_file(file: &str, document: &Value, results: &mut Results) {
    for group in rows(document, "testGroups") {
        let listed = signature_algorithm(group);
        for test in rows(group, "tests") {
            let name = format!("tcId {}", test.get("tcId").unwrap_or(&Value::Null));
            let row = (KIND, file, name.as_str());
            let expected = match text(test, "result") {
                "valid" => Answer::accept(),
                "invalid" | "acceptable" => Answer::refuse(),
                other => Answer::of(format!("unknown result `{other}`")),
            };
            let outside = listed.is_none().then_some(NOT_LISTED);
            results.check_unless(row, expected, outside, || run_test(group, test, listed));
        }
    }
}

fn run_test(group: &Value, test: &Value, algorithm: Option<AlgorithmIdentifier>) -> Result<Answer, String> {
    let Some(algorithm) = algorithm else {
        return Ok(Answer::refuse().because(NOT_LISTED));
    };
    // The first is the present form of these files, the second the former one.
    let key = ["publicKeyDer", "keyDer"].map(|member| text(group, member)).concat();
    if key.is_empty() {
        return Err("the group has no key".into());
    }
    let answer = verify(
        &hex(&key)?,
        &algorithm,
        &hex(text(test, "msg"))?,
        &hex(text(test, "sig"))?,
    );
    Ok(answer.because(text(test, "comment")))
}

/// What a group says that its signatures are; `None` when that is not on the list.
fn signature_algorithm(group: &Value) -> Option<AlgorithmIdentifier> {
    let sha = text(group, "sha");
    let bits = group
        .get("keySize")
        .or_else(|| group.get("keysize"))
        .and_then(Value::as_u64);
    let bits = bits.map_or(MIN_RSA_BITS, |bits| usize::try_from(bits).unwrap_or(usize::MAX));
    match text(group, "type") {
        "EcdsaVerify" => match sha {
            "SHA-256" => Some(alg_id::ECDSA_SHA256),
            "SHA-384" => Some(alg_id::ECDSA_SHA384),
            "SHA-512" => Some(alg_id::ECDSA_SHA512),
            _ => None,
        },
        "EddsaVerify" => Some(alg_id::ED25519),
        "RsassaPkcs1Verify" if (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) => match sha {
            "SHA-256" => Some(alg_id::RSA_PKCS1_SHA256),
            "SHA-384" => Some(alg_id::RSA_PKCS1_SHA384),
            "SHA-512" => Some(alg_id::RSA_PKCS1_SHA512),
            _ => None,
        },
        "RsassaPssVerify" if (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) => pss_algorithm(group, sha),
        _ => None,
    }
    .filter(|algorithm| key_is_listed(group, algorithm))
}

fn pss_algorithm(group: &Value, sha: &str) -> Option<AlgorithmIdentifier> {
    let (algorithm, length) = match sha {
        "SHA-256" => (alg_id::RSA_PSS_SHA256, 32),
        "SHA-384" => (alg_id::RSA_PSS_SHA384, 48),
        "SHA-512" => (alg_id::RSA_PSS_SHA512, 64),
        _ => return None,
    };
    let same_hash = text(group, "mgf") == "MGF1" && text(group, "mgfSha") == sha;
    let salt = group.get("sLen").and_then(Value::as_u64);
    (same_hash && salt == Some(length)).then_some(algorithm)
}

/// Whether the key of a group goes with the algorithm. A key that cannot be read is the business of the test.
fn key_is_listed(group: &Value, algorithm: &AlgorithmIdentifier) -> bool {
    let key = ["publicKeyDer", "keyDer"].map(|member| text(group, member)).concat();
    let Ok(key) = hex(&key) else { return true };
    key_parts(&key).is_none_or(|(kind, _)| {
        ALGORITHMS
            .iter()
            .any(|known| known.public_key_alg_id().as_ref() == kind && known.signature_alg_id() == *algorithm)
    })
}

/// Whether a key, as SubjectPublicKeyInfo, verifies a signature by the algorithm of the list that says it does both.
pub(crate) fn verify(key: &[u8], signature_algorithm: &[u8], message: &[u8], signature: &[u8]) -> Answer {
    let Some((kind, bits)) = key_parts(key) else {
        return Answer::refuse().because("key is not DER");
    };
    let algorithm = ALGORITHMS.iter().find(|known| {
        known.public_key_alg_id().as_ref() == kind && known.signature_alg_id().as_ref() == signature_algorithm
    });
    let Some(algorithm) = algorithm else {
        return Answer::refuse().because(NOT_LISTED);
    };
    Answer::accept_if(algorithm.verify_signature(&bits, message, signature).is_ok())
}

/// What stands inside the AlgorithmIdentifier of a key, and the key.
fn key_parts(key: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let key = SubjectPublicKeyInfoRef::from_der(key).ok()?;
    let kind = key.algorithm.to_der().ok()?;
    let kind = AnyRef::from_der(&kind).ok()?.value().to_vec();
    Some((kind, key.subject_public_key.as_bytes()?.to_vec()))
}
