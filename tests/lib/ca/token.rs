//! Tokens, signed.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{Key, SignatureAlgorithm, sha256};

/// What `alg` stands for, and of how many bytes each number of its signatures is where they are of ECDSA.
fn algorithm(alg: &str) -> (SignatureAlgorithm, Option<usize>) {
    match alg {
        "ES256" => (SignatureAlgorithm::EcdsaSha256, Some(32)),
        "ES384" => (SignatureAlgorithm::EcdsaSha384, Some(48)),
        "ES512" => (SignatureAlgorithm::EcdsaSha512, Some(66)),
        "RS256" => (SignatureAlgorithm::RsaPkcs1Sha256, None),
        "RS384" => (SignatureAlgorithm::RsaPkcs1Sha384, None),
        "RS512" => (SignatureAlgorithm::RsaPkcs1Sha512, None),
        "PS256" => (SignatureAlgorithm::RsaPssSha256, None),
        "PS384" => (SignatureAlgorithm::RsaPssSha384, None),
        "PS512" => (SignatureAlgorithm::RsaPssSha512, None),
        other => panic!("{other}"),
    }
}

/// Both numbers of a signature in DER, each with all bytes of the field.
fn both_numbers(der: &[u8], bytes: usize) -> Vec<u8> {
    let mut rest = match der {
        [0x30, 0x81, _, rest @ ..] | [0x30, _, rest @ ..] => rest,
        _ => panic!("no sequence"),
    };
    let mut numbers = Vec::new();
    while let [2, length, more @ ..] = rest {
        let (number, after) = more.split_at(usize::from(*length));
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        numbers.extend(std::iter::repeat_n(0, bytes - number.len()));
        numbers.extend(number);
        rest = after;
    }
    assert_eq!(numbers.len(), 2 * bytes);
    numbers
}

/// The signature of JOSE for what stands before it.
fn signature(key: &Key, alg: &str, signed: &str) -> Vec<u8> {
    let (algorithm, field_bytes) = algorithm(alg);
    let signature = key.sign(algorithm, signed.as_bytes());
    match field_bytes {
        Some(bytes) => both_numbers(&signature, bytes),
        None => signature,
    }
}

/// A token of texts that need not be JSON, signed by what `alg` stands for.
pub fn token_of(key: &Key, alg: &str, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    let signed = format!(
        "{}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(header),
        BASE64_URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = signature(key, alg, &signed);
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// `x5t#S256` of a certificate in DER (RFC 8705 3.1), for `cnf`.
pub fn thumbprint(der: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(sha256(der))
}
