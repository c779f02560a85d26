//! What is a token's signature over, and by which key and algorithm? JWS in compact form, as JWT-SVIDs are (JWT-SVID 2).
//!
//! The algorithm is looked at before anything else, and a header says nothing of where keys are: `jku`, `x5u`, `jwk` and
//! `x5c` are never read.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls_pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm, alg_id};

use crate::{
    certificate::signature,
    json::Json,
    trust::{
        jwt_key::{JwtKey, MAX_KID_BYTES},
        token_error::TokenError,
    },
};

/// Longest token, in bytes. Our decision: those of SPIRE have some 500.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// A token whose signature has not been looked at.
pub(crate) struct Jws<'t> {
    signed: &'t [u8],
    alg: &'static Alg,
    pub(crate) kid: Box<str>,
    pub(crate) payload: Vec<u8>,
    signature: Vec<u8>,
}

/// An algorithm of JOSE, and what our list of signatures has for it.
struct Alg {
    name: &'static str,
    signature: AlgorithmIdentifier,
    /// Of ECDSA, whose signatures are written otherwise in JOSE than in certificates: the kind of key.
    curve: Option<AlgorithmIdentifier>,
}

/// JWT-SVID 2.1.
static ALGS: [Alg; 9] = [
    Alg {
        name: "RS256",
        signature: alg_id::RSA_PKCS1_SHA256,
        curve: None,
    },
    Alg {
        name: "RS384",
        signature: alg_id::RSA_PKCS1_SHA384,
        curve: None,
    },
    Alg {
        name: "RS512",
        signature: alg_id::RSA_PKCS1_SHA512,
        curve: None,
    },
    Alg {
        name: "ES256",
        signature: alg_id::ECDSA_SHA256,
        curve: Some(alg_id::ECDSA_P256),
    },
    Alg {
        name: "ES384",
        signature: alg_id::ECDSA_SHA384,
        curve: Some(alg_id::ECDSA_P384),
    },
    Alg {
        name: "ES512",
        signature: alg_id::ECDSA_SHA512,
        curve: Some(alg_id::ECDSA_P521),
    },
    Alg {
        name: "PS256",
        signature: alg_id::RSA_PSS_SHA256,
        curve: None,
    },
    Alg {
        name: "PS384",
        signature: alg_id::RSA_PSS_SHA384,
        curve: None,
    },
    Alg {
        name: "PS512",
        signature: alg_id::RSA_PSS_SHA512,
        curve: None,
    },
];

impl<'t> Jws<'t> {
    /// Reads the three parts and the header.
    pub(crate) fn read(token: &'t [u8]) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed("it has more than 8,192 bytes"));
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Malformed("it has not three parts with a dot between them"));
        };
        let decoded = |part: &[u8], what| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed(what));
        let header_text = decoded(header, "its header is not base64url without padding")?;
        let (alg, kid) = read_header(&header_text)?;
        let signed = header.len().saturating_add(payload.len()).saturating_add(1);
        Ok(Self {
            signed: token.get(..signed).unwrap_or_default(),
            alg,
            kid,
            payload: decoded(payload, "its payload is not base64url without padding")?,
            signature: decoded(signature, "its signature is not base64url without padding")?,
        })
    }

    /// Whether a key made the signature. The key says which algorithms count, never the token.
    pub(crate) fn verify(
        &self,
        key: &JwtKey,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<(), TokenError> {
        if !key.may_sign(self.alg.name) {
            return Err(TokenError::OtherAlgorithm);
        }
        let goes = |known: &&&dyn SignatureVerificationAlgorithm| {
            known.public_key_alg_id() == key.kind() && known.signature_alg_id() == self.alg.signature
        };
        let algorithm = algorithms.iter().find(goes).ok_or(TokenError::OtherAlgorithm)?;
        let of_curve;
        let signature = match self.alg.curve {
            None => &self.signature,
            Some(curve) => {
                of_curve = signature::ecdsa_der(curve, &self.signature).ok_or(TokenError::BadSignature)?;
                &of_curve
            }
        };
        algorithm
            .verify_signature(key.public_key(), self.signed, signature)
            .map_err(|_| TokenError::BadSignature)
    }
}

fn read_header(text: &[u8]) -> Result<(&'static Alg, Box<str>), TokenError> {
    let header = Json::parse(text).map_err(|_| TokenError::Malformed("its header is no JSON with each member once"))?;
    if !matches!(header, Json::Object(_)) {
        return Err(TokenError::Malformed("its header is no JSON object"));
    }
    let alg = header.member("alg").and_then(Json::as_str);
    let alg = ALGS
        .iter()
        .find(|known| Some(known.name) == alg)
        .ok_or(TokenError::UnsupportedAlgorithm)?;
    // RFC 7515 4.1.11, RFC 7797. What must be understood is refused, known or not: no issuer of JWT-SVIDs needs it.
    for name in ["crit", "b64"] {
        if header.member(name).is_some() {
            return Err(TokenError::CriticalHeader(name));
        }
    }
    match header.member("typ").map(Json::as_str) {
        None | Some(Some("JWT" | "JOSE")) => {}
        Some(_) => return Err(TokenError::WrongType),
    }
    // DEVIATION: JWT-SVID 2.2 leaves it to the issuer. Without it, any key of a trust domain would be tried.
    let kid = header
        .member("kid")
        .and_then(Json::as_str)
        .filter(|kid| (1..=MAX_KID_BYTES).contains(&kid.len()))
        .ok_or(TokenError::Malformed("its header has no `kid` of 1 to 256 bytes"))?;
    Ok((alg, kid.into()))
}
