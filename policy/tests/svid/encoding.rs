//! The leaf as bytes: extensions that are twice there, end early or late, or are not known, and bounds.

use ca::{BasicConstraints, ExtendedKeyUsage, Extension, FIXED_NOW, GeneralName, KeyUsage, Leaf, der};
use svidgate_policy::Reason;

use crate::verifier::{ID, Verifier, authority, leaf, reason, refused, verify};

const SUBJECT_ALT_NAME: &str = "2.5.29.17";
const KEY_USAGE: &str = "2.5.29.15";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
pub(crate) const NOBODY_KNOWS: &str = "1.3.6.1.4.1.55555.1";

/// The good values of the four extensions that a leaf is judged by.
pub(crate) fn good_extensions() -> Vec<Extension> {
    vec![
        Extension::subject_alt_name(&[GeneralName::uri(ID)], true),
        Extension::key_usage(&[KeyUsage::DigitalSignature]),
        Extension::basic_constraints(BasicConstraints {
            ca: false,
            path_len: None,
        }),
        Extension::extended_key_usage(&[ExtendedKeyUsage::ClientAuth]),
    ]
}

/// A leaf with exactly these extensions.
pub(crate) fn with_extensions(extensions: Vec<Extension>) -> Leaf {
    Leaf {
        uri_sans: Vec::new(),
        key_usage: None,
        extended_key_usage: None,
        basic_constraints: None,
        subject_key_id: false,
        authority_key_id: false,
        extensions,
        ..leaf()
    }
}

#[test]
fn key_usage_whose_spare_bits_are_not_zero_is_refused() {
    // digitalSignature, and behind the one bit that counts the one that would be keyCertSign. Found by `make fuzz`.
    let usage = |value: &[u8]| {
        let mut extensions = good_extensions();
        extensions[1] = Extension::new(KEY_USAGE, true, value.to_vec());
        with_extensions(extensions)
    };
    assert_eq!(
        refused(usage(&[3, 2, 7, 0x84])),
        Reason::ConnectionCertificateUnreadable
    );
    // Zeros may follow: an encoder that is not so strict writes all eight bits.
    for good in [[3, 2, 7, 0x80], [3, 2, 0, 0x80]] {
        assert!(verify(usage(&good)).is_ok(), "{good:?}");
    }
}

#[test]
fn duplicate_extension_is_refused() {
    for extension in good_extensions() {
        let oid = extension.oid.clone();
        let twice = [good_extensions(), vec![extension]].concat();
        assert_eq!(
            refused(with_extensions(twice)),
            Reason::ConnectionCertificateUnreadable,
            "{oid}"
        );
    }
    // A second SAN with another ID, and one that only the first or the last reader of two would see.
    let second = Extension::subject_alt_name(&[GeneralName::uri("spiffe://prod.example/other")], true);
    let (first, last) = (
        [vec![second.clone()], good_extensions()].concat(),
        [good_extensions(), vec![second]].concat(),
    );
    assert_eq!(refused(with_extensions(first)), Reason::ConnectionCertificateUnreadable);
    assert_eq!(refused(with_extensions(last)), Reason::ConnectionCertificateUnreadable);
    let unknown = vec![Extension::new(NOBODY_KNOWS, false, der::null()); 2];
    assert_eq!(
        refused(Leaf {
            extensions: unknown,
            ..leaf()
        }),
        Reason::ConnectionCertificateUnreadable
    );
}

#[test]
fn extension_with_trailing_bytes_is_refused() {
    for place in 0..good_extensions().len() {
        for trailing in [&[0u8][..], &[0x05, 0x00], &[0x30, 0x00]] {
            let mut extensions = good_extensions();
            extensions[place].value.extend_from_slice(trailing);
            let oid = extensions[place].oid.clone();
            assert_eq!(
                refused(with_extensions(extensions)),
                Reason::ConnectionCertificateUnreadable,
                "{oid} followed by {trailing:?}"
            );
        }
    }
}

#[test]
fn extension_that_does_not_parse_never_reads_as_absent() {
    for oid in [SUBJECT_ALT_NAME, KEY_USAGE, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE] {
        for value in [
            Vec::new(),
            b"text".to_vec(),
            der::null(),
            der::octet_string(&[1]),
            vec![0x30, 0x80, 0, 0],
        ] {
            let mut extensions = good_extensions();
            let extension = extensions.iter_mut().find(|extension| extension.oid == oid).unwrap();
            extension.value = value.clone();
            let refused = refused(with_extensions(extensions));
            assert_eq!(refused, Reason::ConnectionCertificateUnreadable, "{oid} as {value:?}");
        }
    }
}

#[test]
fn bytes_after_the_certificate_or_missing_from_it_are_refused() {
    let authority = authority();
    let verifier = Verifier::trusting(&authority);
    let der = authority.issue(leaf()).leaf;
    let refused = |der: &[u8]| reason(verifier.verify_sent(der, &[], FIXED_NOW));
    assert_eq!(
        refused(&[&der[..], &[0]].concat()),
        Reason::ConnectionCertificateUnreadable
    );
    assert_eq!(
        refused(&[&der[..], &der[..]].concat()),
        Reason::ConnectionCertificateUnreadable
    );
    for length in 0..der.len() {
        assert_eq!(
            refused(&der[..length]),
            Reason::ConnectionCertificateUnreadable,
            "{length} bytes"
        );
    }
}

#[test]
fn no_changed_byte_is_accepted() {
    let authority = authority();
    let verifier = Verifier::trusting(&authority);
    let der = authority.issue(leaf()).leaf;
    for place in 0..der.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = der.clone();
            changed[place] ^= flip;
            assert!(
                verifier.verify_sent(&changed, &[], FIXED_NOW).is_err(),
                "byte {place} ^ {flip:#x}"
            );
        }
    }
}

#[test]
fn unknown_critical_extension_is_refused_and_an_unknown_other_one_is_not() {
    let with = |critical| Leaf {
        extensions: vec![Extension::new(NOBODY_KNOWS, critical, der::null())],
        ..leaf()
    };
    assert_eq!(refused(with(true)), Reason::SvidCriticalExtension);
    assert!(verify(with(false)).is_ok());
}

#[test]
fn leaf_may_have_128_names_and_no_more() {
    let with = |names: usize| Leaf {
        dns_sans: (1..names).map(|number| format!("{number}.prod.example")).collect(),
        ..leaf()
    };
    assert!(verify(with(128)).is_ok());
    assert_eq!(refused(with(129)), Reason::ConnectionCertificateUnreadable);
}

#[test]
fn leaf_may_have_32_extensions_and_no_more() {
    let with = |count: usize| {
        let more = (good_extensions().len()..count)
            .map(|number| Extension::new(&format!("{NOBODY_KNOWS}.{number}"), false, der::null()));
        with_extensions(good_extensions().into_iter().chain(more).collect())
    };
    assert!(verify(with(32)).is_ok());
    assert_eq!(refused(with(33)), Reason::ConnectionCertificateUnreadable);
}

#[test]
fn leaf_of_more_than_16_kib_is_refused() {
    let with = |bytes| Leaf {
        extensions: vec![Extension::new(NOBODY_KNOWS, false, vec![0; bytes])],
        ..leaf()
    };
    assert!(verify(with(15 * 1024)).is_ok());
    assert_eq!(refused(with(16 * 1024)), Reason::ConnectionCertificateUnreadable);
}

/// RFC 5280 4.1.2.1: what has extensions and calls itself of another version is read in two ways.
#[test]
fn certificate_of_another_version_is_none() {
    let authority = authority();
    let version_3 = der::context(0, &der::integer(&[2]));
    for version in [0, 1, 3] {
        let mut identity = authority.issue(leaf());
        let place = identity
            .leaf
            .windows(version_3.len())
            .position(|window| window == version_3);
        let place = place.unwrap() + version_3.len() - 1;
        identity.leaf[place] = version;
        assert_eq!(
            Verifier::trusting(&authority).refuses(&identity),
            Reason::ConnectionCertificateUnreadable,
            "{version}"
        );
    }
}
