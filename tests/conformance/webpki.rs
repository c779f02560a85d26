//! The test files of rustls/webpki: signatures with every wrong pairing of key and algorithm, critical extensions,
//! purposes, odd certificates. Which file should come out how is what its name or its first lines say, with our list
//! of algorithms; no row is taken for good because webpki takes it.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use svidgate_policy::certificate::signature::ALGORITHMS;
use svidgate_policy::certificate::{error::CertificateError, leaf::Leaf};
use svidgate_policy::trust::bundle::Bundle;
use svidgate_policy::trust::chain::{self, Purpose};
use x509_cert::der::Decode;
use x509_cert::der::asn1::{AnyRef, BitStringRef};

use crate::primitives;
use crate::results::{Answer, Results};
use crate::vectors::Vectors;

/// Runs what there is of `webpki/`.
pub(crate) fn run(vectors: &Vectors, results: &mut Results) {
    signed_data(vectors, results);
    signatures(vectors, results);
    paths(vectors, results);
    certificates(vectors, results);
}

/// Those that are good: key and algorithm on the list, signature right. `ours__pub.pem` is a key alone.
const GOOD_SIGNED_DATA: [&str; 7] = [
    // webpki leaves P-256 with SHA-512 out; our list has it.
    "ecdsa-prime256v1-sha512",
    "ecdsa-secp384r1-sha256",
    "ours__ecdsa-prime256v1-sha256",
    "ours__rsa-pss-sha256-salt32",
    "ours__rsa-pss-sha384-salt48",
    "ours__rsa-pss-sha512-salt64",
    "rsa2048-pkcs1-sha512",
];

fn signed_data(vectors: &Vectors, results: &mut Results) {
    const FOLDER: &str = "webpki/chromium_verify_signed_data";
    for file in vectors.files(FOLDER, "", ".pem") {
        let name = file
            .trim_start_matches(FOLDER)
            .trim_start_matches('/')
            .trim_end_matches(".pem");
        if name.ends_with("__pub") {
            continue;
        }
        let expected = Answer::accept_if(GOOD_SIGNED_DATA.contains(&name));
        results.check(("webpki signed data", &file, name), expected, || {
            let text = vectors.bytes(&file)?;
            let block = |label| block(&text, label).ok_or_else(|| format!("no {label}"));
            let (algorithm, signature) = (block("ALGORITHM")?, block("SIGNATURE")?);
            let algorithm = AnyRef::from_der(&algorithm).map_err(|error| error.to_string())?;
            let Some(signature) = BitStringRef::from_der(&signature).ok().and_then(|bits| bits.as_bytes()) else {
                return Ok(Answer::refuse().because("signature is not whole bytes"));
            };
            Ok(primitives::verify(
                &block("PUBLIC KEY")?,
                algorithm.value(),
                &block("DATA")?,
                signature,
            ))
        });
    }
}

/// The content of a PEM block with a label, between comments of any kind.
fn block(text: &[u8], label: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (inside, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let inside: String = inside.split_whitespace().collect();
    base64::prelude::BASE64_STANDARD.decode(inside).ok()
}

/// `<key>_key_and_<algorithm>_good_signature.sig.bin` and `..._detects_bad_signature.sig.bin`.
fn signatures(vectors: &Vectors, results: &mut Results) {
    use rustls_pki_types::alg_id;
    const FOLDER: &str = "webpki/signatures";
    for file in vectors.files(FOLDER, "", ".sig.bin") {
        let name = file
            .trim_start_matches(FOLDER)
            .trim_start_matches('/')
            .trim_end_matches(".sig.bin");
        let expected = Answer::accept_if(name.ends_with("_good_signature"));
        results.check(("webpki signatures", &file, name), expected, || {
            let (key, algorithm) = name
                .split_once("_key_and_")
                .ok_or("name is not `<key>_key_and_<algorithm>`")?;
            let algorithms = [
                (
                    "sha256",
                    [alg_id::ECDSA_SHA256, alg_id::RSA_PKCS1_SHA256, alg_id::RSA_PSS_SHA256],
                ),
                (
                    "sha384",
                    [alg_id::ECDSA_SHA384, alg_id::RSA_PKCS1_SHA384, alg_id::RSA_PSS_SHA384],
                ),
                (
                    "sha512",
                    [alg_id::ECDSA_SHA512, alg_id::RSA_PKCS1_SHA512, alg_id::RSA_PSS_SHA512],
                ),
            ];
            let named = algorithms.iter().find(|(hash, _)| algorithm.contains(hash));
            let [ecdsa, pkcs1, pss] = named.ok_or("name has no known hash")?.1;
            let algorithm = match algorithm {
                name if name.contains("ecdsa") => ecdsa,
                name if name.contains("pss") => pss,
                _ => pkcs1,
            };
            let message = vectors.bytes(&format!("{FOLDER}/message.bin"))?;
            let key = vectors.bytes(&format!("{FOLDER}/{key}.spki.der"))?;
            Ok(primitives::verify(&key, &algorithm, &message, &vectors.bytes(&file)?))
        });
    }
}

struct Path {
    leaf: &'static str,
    intermediates: &'static [&'static str],
    authority: &'static str,
    at: i64,
    purpose: Purpose,
    good: bool,
}

/// Paths whose leaf has no SPIFFE ID: the path function alone looks at them. Times are those of webpki's own tests.
const PATHS: [Path; 7] = [
    Path {
        leaf: "critical_extensions/ee-cert-noncrit-unknown-ext.der",
        intermediates: &["critical_extensions/ca-cert.der"],
        authority: "critical_extensions/root-cert.der",
        at: 1_670_779_098,
        purpose: Purpose::ServerAuth,
        good: true,
    },
    Path {
        leaf: "critical_extensions/ee-cert-crit-unknown-ext.der",
        intermediates: &["critical_extensions/ca-cert.der"],
        authority: "critical_extensions/root-cert.der",
        at: 1_670_779_098,
        purpose: Purpose::ServerAuth,
        good: false,
    },
    Path {
        leaf: "custom_ekus/cert_with_both_ekus_accepted_for_client_auth.ee.der",
        intermediates: &[],
        authority: "custom_ekus/cert_with_both_ekus_accepted_for_client_auth.ca.der",
        at: 535_687_200,
        purpose: Purpose::ClientAuth,
        good: true,
    },
    Path {
        leaf: "custom_ekus/cert_with_no_eku_accepted_for_client_auth.ee.der",
        intermediates: &[],
        authority: "custom_ekus/cert_with_no_eku_accepted_for_client_auth.ca.der",
        at: 535_687_200,
        purpose: Purpose::ClientAuth,
        good: true,
    },
    // Its only purpose is signing mobile documents.
    Path {
        leaf: "misc/mdoc_eku.ee.der",
        intermediates: &[],
        authority: "misc/mdoc_eku.ca.der",
        at: 1_609_459_200,
        purpose: Purpose::ClientAuth,
        good: false,
    },
    Path {
        leaf: "ed25519/ee.der",
        intermediates: &[],
        authority: "ed25519/ca.der",
        at: 1_547_363_522,
        purpose: Purpose::ServerAuth,
        good: true,
    },
    Path {
        leaf: "misc/serial_neg_ee.der",
        intermediates: &[],
        authority: "misc/serial_neg_ca.der",
        at: 1_667_401_500,
        purpose: Purpose::ServerAuth,
        good: true,
    },
];

fn paths(vectors: &Vectors, results: &mut Results) {
    for path in &PATHS {
        let file = format!("webpki/{}", path.leaf);
        let Ok(leaf) = vectors.bytes(&file) else { continue };
        results.check(("webpki paths", &file, "path"), Answer::accept_if(path.good), || {
            let read = |name: &&str| vectors.bytes(&format!("webpki/{name}")).map(CertificateDer::from);
            let intermediates = path.intermediates.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            let bundle = Bundle::from_certificates([read(&path.authority)?]);
            let at = Timestamp::from_second(path.at).map_err(|error| error.to_string())?;
            Ok(Answer::from_result(chain::verify(
                &leaf,
                &intermediates,
                &bundle,
                ALGORITHMS,
                path.purpose,
                at,
            )))
        });
    }
}

/// What reading an odd certificate comes to.
enum Read {
    /// As a leaf: read whole, and found to be no SVID for this reason.
    NoSvid(&'static str),
    /// As an authority of a bundle.
    Authority,
}

const CERTIFICATES: [(&str, Read); 9] = [
    ("no_subject_alternative_name", Read::NoSvid("svid.no_uri_san")),
    // A colon in a DNS name is none of ours: DNS names give no identity.
    ("invalid_subject_alternative_name", Read::NoSvid("svid.no_uri_san")),
    ("dns_names_and_wildcards", Read::NoSvid("svid.no_uri_san")),
    ("empty_sequence_common_name", Read::NoSvid("svid.no_uri_san")),
    ("uri_san_ee", Read::NoSvid("svid.multiple_uri_sans")),
    // RFC 5280 4.1.2.8: readers "SHOULD be capable of parsing" unique identifiers.
    ("issuer_and_subject_unique_id", Read::Authority),
    ("serial_large_positive", Read::Authority),
    ("serial_zero", Read::Authority),
    ("serial_neg", Read::Authority),
];

fn certificates(vectors: &Vectors, results: &mut Results) {
    const KIND: &str = "webpki certificates";
    for (name, read) in &CERTIFICATES {
        let file = format!("webpki/misc/{name}.der");
        let Ok(der) = vectors.bytes(&file) else { continue };
        match read {
            Read::NoSvid(code) => results.check((KIND, &file, "leaf"), Answer::of(*code), || Ok(leaf(&der))),
            Read::Authority => results.check((KIND, &file, "authority"), Answer::accept(), || {
                let bundle = Bundle::from_certificates([der.clone().into()]);
                let why = bundle.skipped().first().map(ToString::to_string).unwrap_or_default();
                Ok(Answer::accept_if(bundle.authority_count() == 1).because(why))
            }),
        }
    }
    // Leaves without any SAN, one for each kind of key: each must be read to its end.
    for file in vectors.files("webpki/signatures", "", ".ee.der") {
        results.check((KIND, &file, "leaf"), Answer::of("svid.no_uri_san"), || {
            Ok(leaf(&vectors.bytes(&file)?))
        });
    }
}

fn leaf(der: &[u8]) -> Answer {
    let read: Result<Leaf<'_>, CertificateError> = Leaf::parse(der);
    match read {
        Ok(_) => Answer::accept(),
        Err(error) => Answer::of(error.reason().code()).because(error),
    }
}
