//! What makes a token an identity, one sentence a test: the checklist of JWT-SVID, and our decisions.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ca::{FIXED_NOW, Key, KeyKind, SignatureAlgorithm, token_of};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use svidgate_policy::{
    ALGORITHMS, IdPattern, Reason, Svid,
    trust::{bundle::Bundle, jwt_svid::Expected, svid, token_error::TokenError},
};

use crate::verifier::{ID, OURS, THEIR_ID, THEIRS, Verifier, relationship};

const AUDIENCE: &str = "spiffe://prod.example/ns/shop/sa/orders";

fn expected() -> Expected {
    Expected {
        audiences: vec![AUDIENCE.into(), "orders".into()],
        max_lifetime: SignedDuration::from_mins(10),
        leeway: SignedDuration::from_secs(30),
    }
}

/// A bundle with JWT keys alone, by their names.
fn jwt_bundle(keys: &[(&str, &Key)]) -> Bundle {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(kid, key)| {
            let mut jwk = key.jwk();
            jwk["kid"] = json!(kid);
            jwk["use"] = json!("jwt-svid");
            jwk
        })
        .collect();
    Bundle::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn trusting(keys: &[(&str, &Key)]) -> Verifier {
    Verifier::default()
        .exact_bundle(OURS, jwt_bundle(keys))
        .relationship(relationship(OURS))
}

fn now() -> i64 {
    FIXED_NOW.as_second()
}

/// A token as SPIRE issues them.
fn header() -> Value {
    json!({ "alg": "ES256", "kid": "k", "typ": "JWT" })
}

pub(crate) fn claims() -> Value {
    json!({ "aud": [AUDIENCE], "exp": now() + 300, "iat": now(), "sub": ID })
}

fn encoded(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

fn token(key: &Key, header: &Value, claims: &Value) -> String {
    token_of(key, "ES256", header.to_string(), claims.to_string())
}

fn verify_at(verifier: &Verifier, token: impl AsRef<[u8]>, now: Timestamp) -> Result<Svid, TokenError> {
    let revocations = verifier.lists();
    svid::verify_token(
        token.as_ref(),
        &expected(),
        ALGORITHMS,
        &verifier.trust(&revocations),
        now,
    )
}

fn verify(verifier: &Verifier, token: impl AsRef<[u8]>) -> Result<Svid, TokenError> {
    verify_at(verifier, token, FIXED_NOW)
}

#[track_caller]
fn refused(found: Result<Svid, TokenError>) -> Reason {
    found.expect_err("it was taken").reason()
}

/// With one key that is trusted: what comes of a token that differs in a member of its header or of its claims.
#[track_caller]
fn comes_of(header_with: &Value, claims_with: &Value) -> Result<Svid, TokenError> {
    let key = Key::generate(KeyKind::P256);
    let with = |mut base: Value, more: &Value| {
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => base.as_object_mut().unwrap().remove(name),
                value => base.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        base
    };
    let token = token(&key, &with(header(), header_with), &with(claims(), claims_with));
    verify(&trusting(&[("k", &key)]), token)
}

#[test]
fn token_of_each_algorithm_is_taken() {
    let rsa = Key::generate(KeyKind::Rsa2048);
    for (alg, key) in [
        ("ES256", Key::generate(KeyKind::P256)),
        ("ES384", Key::generate(KeyKind::P384)),
        ("ES512", Key::generate(KeyKind::P521)),
        ("RS256", rsa.clone()),
        ("RS384", rsa.clone()),
        ("RS512", rsa.clone()),
        ("PS256", rsa.clone()),
        ("PS384", rsa.clone()),
        ("PS512", rsa),
    ] {
        let header = json!({ "alg": alg, "kid": "k" });
        let token = token_of(&key, alg, header.to_string(), claims().to_string());
        let svid = verify(&trusting(&[("k", &key)]), token).unwrap_or_else(|error| panic!("{alg}: {error}"));
        assert_eq!(svid.id().as_str(), ID);
        assert_eq!(svid.valid_until().as_second(), now() + 300 + 30 - 1);
        assert!(!svid.is_vouched());
        assert_eq!(svid.sha256(), None);
    }
}

#[test]
fn signature_of_another_algorithm_than_the_header_names_is_refused() {
    let rsa = Key::generate(KeyKind::Rsa2048);
    for (named, made) in [
        ("RS256", "PS256"),
        ("PS256", "RS256"),
        ("RS256", "RS512"),
        ("PS512", "PS256"),
    ] {
        let header = json!({ "alg": named, "kid": "k" });
        let token = token_of(&rsa, made, header.to_string(), claims().to_string());
        let found = verify(&trusting(&[("k", &rsa)]), token);
        assert_eq!(refused(found), Reason::TokenBadSignature, "{named} {made}");
    }
}

#[test]
fn algorithm_outside_of_the_nine_is_refused_before_anything_else() {
    for alg in [
        json!("none"),
        json!("None"),
        json!("HS256"),
        json!("EdDSA"),
        json!("ES256K"),
        json!("es256"),
        json!(""),
        json!(["ES256"]),
        json!(null),
    ] {
        // All else is wrong, too.
        let wrong = json!({ "alg": alg, "crit": ["x"], "typ": "x", "kid": 7 });
        let found = comes_of(&wrong, &json!({ "exp": 1, "sub": "x" }));
        assert_eq!(refused(found), Reason::TokenUnsupportedAlgorithm, "{alg}");
    }
}

#[test]
fn key_decides_which_algorithm_counts() {
    let [p256, p384] = [KeyKind::P256, KeyKind::P384].map(Key::generate);
    let header = json!({ "alg": "ES256", "kid": "of-384" });
    let token = token(&p256, &header, &claims());
    let found = verify(&trusting(&[("k", &p256), ("of-384", &p384)]), token);
    assert_eq!(refused(found), Reason::TokenUnsupportedAlgorithm);
}

#[test]
fn header_that_demands_to_be_understood_is_refused() {
    for more in [
        json!({ "crit": ["exp"], "exp": 1 }),
        json!({ "crit": [] }),
        json!({ "b64": true }),
        json!({ "b64": false, "crit": ["b64"] }),
    ] {
        assert_eq!(
            refused(comes_of(&more, &json!({}))),
            Reason::TokenCriticalHeader,
            "{more}"
        );
    }
}

#[test]
fn type_is_jwt_or_jose_or_not_there() {
    for typ in [json!("JWT"), json!("JOSE"), Value::Null] {
        comes_of(&json!({ "typ": typ }), &json!({})).unwrap();
    }
    for typ in [
        json!("jwt"),
        json!(""),
        json!("wit+jwt"),
        json!("at+jwt"),
        json!(1),
        json!(["JWT"]),
    ] {
        assert_eq!(
            refused(comes_of(&json!({ "typ": typ }), &json!({}))),
            Reason::TokenWrongType,
            "{typ}"
        );
    }
}

#[test]
fn name_of_the_key_must_be_there() {
    for kid in [Value::Null, json!(""), json!(1), json!("k".repeat(257))] {
        assert_eq!(
            refused(comes_of(&json!({ "kid": kid }), &json!({}))),
            Reason::TokenMalformed,
            "{kid}"
        );
    }
    assert_eq!(
        refused(comes_of(&json!({ "kid": "K" }), &json!({}))),
        Reason::TokenUnknownKey
    );
}

/// Whatever a header says of where its key is, the bundle has it.
#[test]
fn key_that_a_token_brings_is_not_looked_at() {
    let [known, other] = [(); 2].map(|()| Key::generate(KeyKind::P256));
    let mut header = header();
    header["jwk"] = other.jwk();
    header["jku"] = json!("https://evil.example/keys");
    header["x5u"] = json!("https://evil.example/chain");
    let by_other = token(&other, &header, &claims());
    assert_eq!(
        refused(verify(&trusting(&[("k", &known)]), by_other)),
        Reason::TokenBadSignature
    );
    verify(&trusting(&[("k", &known)]), token(&known, &header, &claims())).unwrap();
}

#[test]
fn form_of_a_token_is_three_parts_of_base64url_without_padding() {
    let key = Key::generate(KeyKind::P256);
    let verifier = trusting(&[("k", &key)]);
    let good = token(&key, &header(), &claims());
    verify(&verifier, &good).unwrap();
    let [head, payload, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let json_form = json!({ "protected": head, "payload": payload, "signature": signature }).to_string();
    for wrong in [
        String::new(),
        ".".into(),
        "..".into(),
        format!("{head}.{payload}"),
        format!("{good}.{signature}"),
        format!("{good}="),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{head}=.{payload}.{signature}"),
        format!("{head}.{payload}.{signature}.."),
        json_form,
        // A letter whose spare bits are not zero stands for the same bytes.
        format!("{head}.{payload}.{}", spare_bits(signature)),
        format!("{head}.{}.{signature}", "A".repeat(8192)),
    ] {
        assert_eq!(refused(verify(&verifier, &wrong)), Reason::TokenMalformed, "{wrong}");
    }
    for empty in [format!("{head}.{payload}."), format!("{head}..{signature}")] {
        verify(&verifier, &empty).expect_err("it was taken");
    }
}

/// The same bytes, with a last letter that another decoder would read as the same.
fn spare_bits(text: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = text.chars().last().and_then(|last| LETTERS.find(last)).unwrap();
    format!("{}{}", &text[..text.len() - 1], LETTERS.chars().nth(last + 1).unwrap())
}

#[test]
fn member_that_stands_twice_is_refused() {
    let key = Key::generate(KeyKind::P256);
    let verifier = trusting(&[("k", &key)]);
    let twice = r#"{"alg":"ES256","kid":"k","alg":"ES256"}"#;
    assert_eq!(
        refused(verify(&verifier, token_of(&key, "ES256", twice, claims().to_string()))),
        Reason::TokenMalformed
    );
    let twice = claims()
        .to_string()
        .replacen('{', &format!(r#"{{"sub":"{THEIR_ID}","#), 1);
    assert_eq!(
        refused(verify(&verifier, token_of(&key, "ES256", header().to_string(), twice))),
        Reason::TokenMalformed
    );
    for no_object in ["[]", "1", "null", "", "{", "\u{feff}{}", "\"x\""] {
        let token = token_of(&key, "ES256", header().to_string(), no_object);
        assert_eq!(refused(verify(&verifier, token)), Reason::TokenMalformed, "{no_object}");
    }
}

#[test]
fn subject_is_the_id_of_a_workload() {
    for sub in [Value::Null, json!(7), json!([ID])] {
        assert_eq!(
            refused(comes_of(&json!({}), &json!({ "sub": sub }))),
            Reason::TokenMalformed,
            "{sub}"
        );
    }
    for sub in [
        "",
        "spiffe://prod.example",
        "https://prod.example/x",
        "spiffe://Prod.example/x",
        "spiffe://prod.example/../x",
        "spiffe://prod.example/x/",
    ] {
        assert_eq!(
            refused(comes_of(&json!({}), &json!({ "sub": sub }))),
            Reason::TokenInvalidId,
            "{sub}"
        );
    }
}

#[test]
fn audience_must_have_one_of_ours() {
    for good in [
        json!(AUDIENCE),
        json!([AUDIENCE]),
        json!(["x", "orders"]),
        json!("orders"),
    ] {
        comes_of(&json!({}), &json!({ "aud": good })).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    for other in [
        json!("x"),
        json!([]),
        json!(["x", "y"]),
        json!("Orders"),
        json!(""),
        json!("orders "),
        json!("spiffe://prod.example"),
    ] {
        assert_eq!(
            refused(comes_of(&json!({}), &json!({ "aud": other }))),
            Reason::TokenWrongAudience,
            "{other}"
        );
    }
    let many: Vec<&str> = std::iter::repeat_n("orders", 17).collect();
    for wrong in [
        Value::Null,
        json!(1),
        json!({}),
        json!([["orders"]]),
        json!(["orders", 1]),
        json!(many),
    ] {
        assert_eq!(
            refused(comes_of(&json!({}), &json!({ "aud": wrong }))),
            Reason::TokenMalformed,
            "{wrong}"
        );
    }
}

#[test]
fn without_an_audience_of_ours_no_token_is_for_us() {
    let key = Key::generate(KeyKind::P256);
    let verifier = trusting(&[("k", &key)]);
    let nobody = Expected {
        audiences: Vec::new(),
        ..expected()
    };
    let token = token(&key, &header(), &claims());
    let found = svid::verify_token(token.as_bytes(), &nobody, ALGORITHMS, &verifier.trust(&[]), FIXED_NOW);
    assert_eq!(refused(found), Reason::TokenWrongAudience);
}

#[test]
fn times_are_numbers_and_hold_with_the_leeway() {
    let with = |claims: Value| comes_of(&json!({}), &claims);
    for wrong in [
        Value::Null,
        json!("1893456000"),
        json!([]),
        json!(1e300),
        json!(u64::MAX),
    ] {
        assert_eq!(
            refused(with(json!({ "exp": wrong }))),
            Reason::TokenMalformed,
            "{wrong}"
        );
    }
    for wrong in [json!("0"), json!(true), json!(1e300)] {
        assert_eq!(
            refused(with(json!({ "nbf": wrong }))),
            Reason::TokenMalformed,
            "{wrong}"
        );
        assert_eq!(
            refused(with(json!({ "iat": wrong }))),
            Reason::TokenMalformed,
            "{wrong}"
        );
    }
    // 30 seconds of leeway: the last good second is the 29th after `exp`.
    with(json!({ "exp": now() - 29, "iat": now() - 60 })).unwrap();
    with(json!({ "exp": f64::from(i32::try_from(now() - 30).unwrap()) + 0.5, "iat": now() - 60 })).unwrap();
    assert_eq!(
        refused(with(json!({ "exp": now() - 30, "iat": now() - 60 }))),
        Reason::TokenExpired
    );
    assert_eq!(refused(with(json!({ "exp": -1 }))), Reason::TokenExpired);
    with(json!({ "nbf": now() + 30 })).unwrap();
    assert_eq!(refused(with(json!({ "nbf": now() + 31 }))), Reason::TokenNotYetValid);
}

#[test]
fn lifetime_is_bounded_whatever_a_token_says_of_its_beginning() {
    let with = |claims: Value| comes_of(&json!({}), &claims);
    with(json!({ "exp": now() + 600 })).unwrap();
    with(json!({ "exp": now() + 600, "iat": null })).unwrap();
    for long in [
        json!({ "exp": now() + 601 }),
        json!({ "exp": now() + 601, "iat": null }),
        json!({ "exp": now() + 100, "iat": now() - 501 }),
        // As if it were of tomorrow.
        json!({ "exp": now() + 90_000, "iat": now() + 89_900 }),
        json!({ "exp": 253_000_000_000_u64 }),
    ] {
        assert_eq!(refused(with(long.clone())), Reason::TokenLifetimeTooLong, "{long}");
    }
}

#[test]
fn binding_is_the_thumbprint_of_a_certificate_or_refused() {
    let with = |cnf: Value| comes_of(&json!({}), &json!({ "cnf": cnf }));
    let thumbprint = encoded([7; 32]);
    let svid = with(json!({ "x5t#S256": thumbprint })).unwrap();
    assert_eq!(svid.token().unwrap().bound_to(), Some(&[7; 32]));
    assert_eq!(
        comes_of(&json!({}), &json!({})).unwrap().token().unwrap().bound_to(),
        None
    );
    for wrong in [
        json!({}),
        json!("x"),
        json!({ "x5t#S256": encoded([7; 31]) }),
        json!({ "x5t#S256": format!("{thumbprint}=") }),
        json!({ "x5t#S256": 7 }),
        json!({ "x5t": thumbprint }),
        json!({ "x5t#S256": thumbprint, "jwk": {} }),
        json!({ "jwk": { "kty": "EC" } }),
        // In hexadecimal digits, as some write it.
        json!({ "x5t#S256": "07".repeat(32) }),
    ] {
        assert_eq!(refused(with(wrong.clone())), Reason::TokenNotBound, "{wrong}");
    }
}

#[test]
fn numbers_of_a_signature_that_are_zero_or_too_large_are_refused() {
    let key = Key::generate(KeyKind::P256);
    let verifier = trusting(&[("k", &key)]);
    let good = token(&key, &header(), &claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51_u8,
    ];
    let (r, s) = signature.split_at(32);
    for wrong in [
        vec![0; 64],
        [r, &[0; 32]].concat(),
        [&[0; 32], s].concat(),
        [r, &order[..]].concat(),
        [&order[..], s].concat(),
        [r, &[0xff; 32]].concat(),
        signature[..63].to_vec(),
        [&signature[..], &[0]].concat(),
        [&[0], r, &[0], s].concat(),
        Vec::new(),
        // As certificates have it.
        key.sign(SignatureAlgorithm::EcdsaSha256, signed.as_bytes()),
    ] {
        let token = format!("{signed}.{}", encoded(&wrong));
        assert_eq!(
            refused(verify(&verifier, token)),
            Reason::TokenBadSignature,
            "{wrong:?}"
        );
    }
}

#[test]
fn one_changed_letter_anywhere_is_refused() {
    let key = Key::generate(KeyKind::P256);
    let verifier = trusting(&[("k", &key)]);
    let good = token(&key, &header(), &claims()).into_bytes();
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(verify(&verifier, &changed).is_err(), "{at}");
    }
}

/// Keys of one trust domain say nothing of another.
#[test]
fn key_of_another_trust_domain_is_not_tried() {
    let [ours, theirs] = [(); 2].map(|()| Key::generate(KeyKind::P256));
    let verifier = trusting(&[("k", &ours), ("ours-alone", &ours)])
        .exact_bundle(THEIRS, jwt_bundle(&[("k", &theirs)]))
        .relationship(relationship(THEIRS));
    let of = |sub: &str, kid: &str, key: &Key| {
        let (mut head, mut body) = (header(), claims());
        (head["kid"], body["sub"]) = (json!(kid), json!(sub));
        verify(&verifier, token(key, &head, &body))
    };
    of(ID, "k", &ours).unwrap();
    of(THEIR_ID, "k", &theirs).unwrap();
    assert_eq!(refused(of(ID, "k", &theirs)), Reason::TokenBadSignature);
    assert_eq!(refused(of(THEIR_ID, "k", &ours)), Reason::TokenBadSignature);
    assert_eq!(refused(of(THEIR_ID, "ours-alone", &ours)), Reason::TokenUnknownKey);
    assert_eq!(
        refused(of("spiffe://stranger.example/x", "k", &ours)),
        Reason::FederationUnknownTrustDomain
    );
}

#[test]
fn relationship_and_revocations_hold_for_tokens() {
    let key = Key::generate(KeyKind::P256);
    let token = token(&key, &header(), &claims());
    let without_bundle = Verifier::default().relationship(relationship(OURS));
    assert_eq!(
        refused(verify(&without_bundle, &token)),
        Reason::FederationBundleMissing
    );
    let mut narrow = relationship(OURS);
    narrow.scope = Some(vec![IdPattern::parse("spiffe://prod.example/ns/other/**").unwrap()]);
    let out_of_scope = Verifier::default()
        .exact_bundle(OURS, jwt_bundle(&[("k", &key)]))
        .relationship(narrow);
    assert_eq!(refused(verify(&out_of_scope, &token)), Reason::FederationOutOfScope);
    let mut ended = relationship(OURS);
    ended.expires = Some(FIXED_NOW);
    let ended = Verifier::default()
        .exact_bundle(OURS, jwt_bundle(&[("k", &key)]))
        .relationship(ended);
    assert_eq!(refused(verify(&ended, &token)), Reason::FederationExpired);
    let revoked = trusting(&[("k", &key)]).revoking(&json!([{ "id": ID }]));
    assert_eq!(refused(verify(&revoked, &token)), Reason::SvidRevoked);
}

#[test]
fn identity_stands_no_longer_than_its_token_and_the_key_that_signed_it() {
    let [key, other] = [(); 2].map(|()| Key::generate(KeyKind::P256));
    let verifier = trusting(&[("k", &key)]);
    let svid = verify(&verifier, token(&key, &header(), &claims())).unwrap();
    let stands = |verifier: &Verifier, seconds: i64| {
        let now = FIXED_NOW + SignedDuration::from_secs(seconds);
        let lists = verifier.lists();
        svid.stands(&verifier.trust(&lists), now)
            .map_err(|error| error.reason())
    };
    let until = stands(&verifier, 0).unwrap();
    assert_eq!(until, svid.valid_until());
    assert_eq!(until.as_second(), now() + 329);
    assert_eq!(stands(&verifier, 329), Ok(until));
    assert_eq!(stands(&verifier, 330), Err(Reason::TokenExpired));
    assert_eq!(stands(&trusting(&[("k", &key), ("l", &other)]), 0), Ok(until));
    assert_eq!(stands(&trusting(&[("l", &key)]), 0), Err(Reason::TokenUnknownKey));
    // The name has another key now.
    assert_eq!(stands(&trusting(&[("k", &other)]), 0), Err(Reason::TokenUnknownKey));
    let revoked = trusting(&[("k", &key)]).revoking(&json!([{ "id": ID }]));
    assert_eq!(stands(&revoked, 0), Err(Reason::SvidRevoked));
}

#[test]
fn key_that_signs_certificates_signs_no_token() {
    let key = Key::generate(KeyKind::P256);
    let mut jwk = key.jwk();
    (jwk["kid"], jwk["use"]) = (json!("k"), json!("x509-svid"));
    let bundle = Bundle::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
    let verifier = Verifier::default()
        .exact_bundle(OURS, bundle)
        .relationship(relationship(OURS));
    assert_eq!(
        refused(verify(&verifier, token(&key, &header(), &claims()))),
        Reason::TokenUnknownKey
    );
}
