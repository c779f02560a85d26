//! Reading what a proxy hands over: PEM, plain or %-encoded, leaf first.

use ca::{Authority, Extension, FIXED_NOW, Identity, Profile, pem};
use svidgate_policy::certificate::{
    bounds::{MAX_CERTIFICATE_BYTES, MAX_PEM_BYTES},
    error::CertificateError,
    pem::read_pem,
};

use crate::verifier::{OURS, authority, leaf};

fn chain(certificates: usize) -> Identity {
    let below = |issuer: Authority, number: usize| {
        let common_name = Some(format!("intermediate {number}"));
        issuer.issue_authority(Profile {
            common_name,
            ..Profile::authority(OURS, FIXED_NOW)
        })
    };
    (1..certificates).fold(authority(), below).issue(leaf())
}

/// %-encodes as Envoy does: all but letters, digits and `-_.~`.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn read(text: &str) -> Result<Vec<Vec<u8>>, CertificateError> {
    Ok(read_pem(text.as_bytes())?.iter().map(|der| der.to_vec()).collect())
}

#[test]
fn certificates_are_read_in_their_order_plain_and_escaped() {
    let identity = chain(3);
    assert_eq!(read(&identity.chain_pem()).unwrap(), identity.chain());
    assert_eq!(read(&escaped(&identity.chain_pem())).unwrap(), identity.chain());
}

#[test]
fn other_sections_and_comments_are_passed_over() {
    let identity = chain(1);
    let text = format!(
        "comment\n{}{}{}",
        identity.key_pem(),
        identity.leaf_pem(),
        pem("PUBLIC KEY", &[1, 2, 3])
    );
    assert_eq!(read(&text).unwrap(), [identity.leaf]);
}

#[test]
fn text_without_a_whole_certificate_is_refused() {
    let good = chain(1).leaf_pem();
    let end = good.find("-----END").unwrap();
    for text in [
        "",
        "\n",
        "text",
        "%",
        "%00",
        &good[..end],
        &good[20..],
        &pem("PUBLIC KEY", &[1]),
    ] {
        assert_eq!(read(text), Err(CertificateError::NotPem), "{text}");
    }
    // A bad one behind a good one spoils both: which of them was meant is not ours to guess.
    assert_eq!(read(&format!("{good}{}", &good[..end])), Err(CertificateError::NotPem));
    assert_eq!(
        read(&format!(
            "{good}-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"
        )),
        Err(CertificateError::NotPem)
    );
}

#[test]
fn leaf_and_eight_more_are_read_and_no_ninth() {
    assert_eq!(read(&chain(9).chain_pem()).unwrap().len(), 9);
    assert_eq!(read(&chain(10).chain_pem()), Err(CertificateError::TooMany));
}

#[test]
fn text_or_certificate_beyond_its_bound_is_refused() {
    let padding = Extension::new("1.3.6.1.4.1.55555.1", false, vec![0; MAX_CERTIFICATE_BYTES]);
    let large = authority().issue(Profile {
        extensions: vec![padding],
        ..leaf()
    });
    assert!(matches!(
        read(&large.leaf_pem()),
        Err(CertificateError::TooLarge {
            bound: MAX_CERTIFICATE_BYTES,
            ..
        })
    ));
    let long = "x".repeat(MAX_PEM_BYTES + 1);
    assert!(matches!(
        read(&long),
        Err(CertificateError::TooLarge {
            bound: MAX_PEM_BYTES,
            ..
        })
    ));
    assert_eq!(read(&long[1..]), Err(CertificateError::NotPem));
}
