//! Tokens: what is taken is a JWT-SVID for us as another reader of JSON reads it, and what is one is taken.

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use regex::bytes::Regex;
use rustls_pki_types::SignatureVerificationAlgorithm;
use serde_json::{Value, json};
use svidgate_policy::{
    ALGORITHMS, Bundle, SignedDuration, Timestamp,
    trust::{
        jwt_svid::{Expected, MAX_TOKEN_BYTES, verify},
        token_error::TokenError,
    },
};

use crate::certificates::AnySignature;

/// 2026-06-15T12:00:00Z.
const NOW: i64 = 1_781_524_800;
const LEEWAY: i64 = 30;
const MAX_LIFETIME: i64 = 600;
const AUDIENCE: &str = "orders";
/// No ES512: its signatures have another length.
const ALGS: [&str; 8] = ["ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/// Base points of the curves, and an odd number of 2,048 bits: keys that nobody has signed with.
static KEYS: LazyLock<Bundle> = LazyLock::new(|| {
    let ec = |kid: &str, curve: &str, x: &str, y: &str| {
        let [x, y] = [x, y].map(|number| BASE64URL.encode(from_hex(number)));
        json!({ "use": "jwt-svid", "kid": kid, "kty": "EC", "crv": curve, "x": x, "y": y })
    };
    let keys = json!({ "keys": [
        ec("ES256", "P-256", "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
           "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
        ec("ES384", "P-384",
           "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
           "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"),
        { "use": "jwt-svid", "kid": "RSA", "kty": "RSA", "e": "AQAB",
          "n": BASE64URL.encode([&[0x80][..], &[0; 254], &[1]].concat()) },
    ] });
    let bundle = Bundle::parse(keys.to_string().as_bytes()).expect("it is one");
    assert_eq!(bundle.jwt_keys().len(), 3, "{:?}", bundle.skipped());
    bundle
});

/// The input is a token; or a header and claims, with a line between them, which become one whose signature is good. A fuzzer
/// cannot sign, and what stands beside the signature must hold as well.
pub fn holds(data: &[u8]) {
    let written;
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let token = match (lines.next(), lines.next()) {
        (Some(header), Some(claims)) => {
            let parts = [header, claims, &[1; 64]].map(|part| BASE64URL.encode(part));
            written = parts.join(".").into_bytes();
            &written
        }
        _ => data,
    };
    let algorithms: Vec<AnySignature> = ALGORITHMS.iter().map(|algorithm| AnySignature(*algorithm)).collect();
    let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = algorithms.iter().map(|any| any as _).collect();
    let expected = Expected {
        audiences: vec![AUDIENCE.into()],
        max_lifetime: SignedDuration::from_secs(MAX_LIFETIME),
        leeway: SignedDuration::from_secs(LEEWAY),
    };
    let now = Timestamp::constant(NOW, 0);
    let keys = || Ok(KEYS.jwt_keys());
    let read = verify(token, &expected, |_| keys(), &algorithms, now);
    match (&read, naive(token)) {
        (Ok(read), Some(naive)) => {
            assert_eq!(read.id().as_str(), naive.id);
            assert_eq!(read.bound_to().map(|digest| digest.to_vec()), naive.bound_to);
            assert!(read.ends() > now);
        }
        (Err(_), None) => {}
        // A value keeps one of two members of a name, and what is written otherwise than it writes it may have had two.
        (Err(TokenError::Malformed(_)), Some(naive)) => assert!(!naive.is_plain, "{read:?}"),
        (read, naive) => panic!("{read:?}, and naively {}", naive.is_some()),
    }
    // With signatures that are looked at, nobody has signed it.
    assert!(verify(token, &expected, |_| keys(), ALGORITHMS, now).is_err());
}

struct Naive {
    id: String,
    bound_to: Option<Vec<u8>>,
    /// Written as it would be written from its values: no member stands twice.
    is_plain: bool,
}

fn naive(token: &[u8]) -> Option<Naive> {
    static ID: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?-u)\Aspiffe://[a-z0-9._-]{1,255}(?:/[a-zA-Z0-9._-]+)+\z").expect("it is one")
    });
    let text = std::str::from_utf8(token).ok().filter(|text| text.len() <= MAX_TOKEN_BYTES)?;
    let parts: Vec<Vec<u8>> = text.split('.').map(decoded).collect::<Option<_>>()?;
    let [header_text, claims_text, signature] = parts.as_slice() else {
        return None;
    };
    let read = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
    let (header, claims) = (read(header_text)?, read(claims_text)?);
    let (header_members, claim) = (header.as_object()?, claims.as_object()?);
    let alg = header["alg"].as_str().filter(|alg| ALGS.contains(alg))?;
    let key = if alg.starts_with("ES") { alg } else { "RSA" };
    let is_key = header["kid"] == key;
    let is_understood = !header_members.contains_key("crit") && !header_members.contains_key("b64");
    let is_typed = header_members
        .get("typ")
        .is_none_or(|typ| typ == "JWT" || typ == "JOSE");
    let field = match alg {
        "ES256" => 64,
        "ES384" => 96,
        _ => signature.len(),
    };
    let id = claims["sub"].as_str()?;
    let dots = |segment: &str| segment == "." || segment == "..";
    let is_id = ID.is_match(id.as_bytes()) && id.len() <= 2048 && !id.split('/').any(dots);
    let is_for_us = match &claims["aud"] {
        Value::String(one) => one == AUDIENCE,
        Value::Array(all) => {
            all.len() <= 16 && all.iter().all(Value::is_string) && all.iter().any(|one| one == AUDIENCE)
        }
        _ => false,
    };
    let bound_to = match claim.get("cnf") {
        None => None,
        Some(cnf) if cnf.as_object()?.len() == 1 => {
            Some(decoded(cnf["x5t#S256"].as_str()?).filter(|digest| digest.len() == 32)?)
        }
        Some(_) => return None,
    };
    let is_good = is_key && is_understood && is_typed && signature.len() == field && is_id && is_for_us;
    (is_good && is_in_time(&claims)?).then(|| Naive {
        id: id.to_owned(),
        bound_to,
        is_plain: [(&header, header_text), (&claims, claims_text)]
            .iter()
            .all(|(value, text)| value.to_string().as_bytes() == text.as_slice()),
    })
}

/// `None` where a time is none.
fn is_in_time(claims: &Value) -> Option<bool> {
    let time = |name: &str| match claims.get(name) {
        None => Some(None),
        Some(value) => {
            let seconds = value.as_f64()?;
            // From the year -9999 to 9999.
            let range = -377_705_023_201.0..253_402_207_201.0;
            range.contains(&seconds).then_some(Some(seconds))
        }
    };
    let [now, leeway, longest] = [NOW, LEEWAY, MAX_LIFETIME].map(|number| number as f64);
    let ends = time("exp")??;
    let (begins, issued) = (time("nbf")?, time("iat")?);
    let lifetime = ends - issued.map_or(now, |issued| issued.min(now));
    Some(now < ends + leeway && begins.is_none_or(|begins| begins <= now + leeway) && lifetime <= longest)
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    let bytes = BASE64URL.decode(part).ok()?;
    // One way to write it.
    (BASE64URL.encode(&bytes) == part).then_some(bytes)
}

fn from_hex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(byte).collect()
}
