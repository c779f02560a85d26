//! Certificate extensions (RFC 5280, section 4.2.1), each also to be built alone, so that a test can add a second one.

use std::net::IpAddr;

use crate::der;

/// An extension as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Dotted.
    pub oid: String,
    /// Whether a reader that does not know it must refuse the certificate.
    pub critical: bool,
    /// The content of `extnValue`: usually DER.
    pub value: Vec<u8>,
}

/// The bits of a key usage, in the order of RFC 5280, section 4.2.1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum KeyUsage {
    DigitalSignature,
    ContentCommitment,
    KeyEncipherment,
    DataEncipherment,
    KeyAgreement,
    KeyCertSign,
    CrlSign,
    EncipherOnly,
    DecipherOnly,
}

/// The purposes of an extended key usage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ExtendedKeyUsage {
    ServerAuth,
    ClientAuth,
    CodeSigning,
    Any,
    /// Dotted.
    Other(String),
}

/// The content of basicConstraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the key may sign certificates.
    pub ca: bool,
    /// How many intermediates may follow.
    pub path_len: Option<u8>,
}

/// A name, in a SAN or in a name constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralName {
    /// Written as it is, NUL and non-ASCII bytes too.
    Uri(Vec<u8>),
    /// Written as it is.
    Dns(Vec<u8>),
    /// Written as it is.
    Email(Vec<u8>),
    /// 4 or 16 bytes; in a constraint twice as many: address, mask.
    Ip(Vec<u8>),
    /// A name of one common name.
    Directory(String),
    /// The whole element, tag and length included.
    Raw(Vec<u8>),
}

impl GeneralName {
    /// A URI.
    pub fn uri(uri: impl Into<Vec<u8>>) -> Self {
        GeneralName::Uri(uri.into())
    }

    /// An address.
    pub fn ip(address: IpAddr) -> Self {
        GeneralName::Ip(match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        })
    }

    fn der(&self) -> Vec<u8> {
        match self {
            GeneralName::Email(name) => der::context_primitive(1, name),
            GeneralName::Dns(name) => der::context_primitive(2, name),
            GeneralName::Directory(common_name) => der::context(4, &distinguished_name(Some(common_name))),
            GeneralName::Uri(name) => der::context_primitive(6, name),
            GeneralName::Ip(bytes) => der::context_primitive(7, bytes),
            GeneralName::Raw(element) => element.clone(),
        }
    }
}

/// A Name with one common name, or with nothing in it.
pub(super) fn distinguished_name(common_name: Option<&str>) -> Vec<u8> {
    der::sequence(common_name.map(|name| der::set(der::sequence([der::oid("2.5.4.3"), der::utf8_string(name)]))))
}

impl Extension {
    /// Any extension.
    pub fn new(oid: &str, critical: bool, value: Vec<u8>) -> Self {
        Extension {
            oid: oid.to_owned(),
            critical,
            value,
        }
    }

    /// subjectAltName, in the order given.
    pub fn subject_alt_name(names: &[GeneralName], critical: bool) -> Self {
        Extension::new("2.5.29.17", critical, der::sequence(names.iter().map(GeneralName::der)))
    }

    /// keyUsage.
    pub fn key_usage(usages: &[KeyUsage]) -> Self {
        let bits: Vec<u8> = usages.iter().map(|usage| *usage as u8).collect();
        Extension::new("2.5.29.15", true, der::named_bits(&bits))
    }

    /// extKeyUsage.
    pub fn extended_key_usage(purposes: &[ExtendedKeyUsage]) -> Self {
        Extension::new(
            "2.5.29.37",
            false,
            der::sequence(purposes.iter().map(|purpose| der::oid(purpose.oid()))),
        )
    }

    /// basicConstraints. The default, `cA FALSE`, is left out, as DER demands.
    pub fn basic_constraints(constraints: BasicConstraints) -> Self {
        let ca = constraints.ca.then(|| der::boolean(true));
        let path_len = constraints.path_len.map(|length| der::integer(&positive(&[length])));
        Extension::new("2.5.29.19", true, der::sequence(ca.into_iter().chain(path_len)))
    }

    /// nameConstraints.
    pub fn name_constraints(permitted: &[GeneralName], excluded: &[GeneralName]) -> Self {
        let subtrees = |number, names: &[GeneralName]| {
            let subtrees: Vec<u8> = names.iter().flat_map(|name| der::sequence([name.der()])).collect();
            (!names.is_empty()).then(|| der::context(number, &subtrees))
        };
        let value = der::sequence(subtrees(0, permitted).into_iter().chain(subtrees(1, excluded)));
        Extension::new("2.5.29.30", true, value)
    }

    /// subjectKeyIdentifier.
    pub fn subject_key_id(id: &[u8]) -> Self {
        Extension::new("2.5.29.14", false, der::octet_string(id))
    }

    /// authorityKeyIdentifier.
    pub fn authority_key_id(id: &[u8]) -> Self {
        Extension::new("2.5.29.35", false, der::sequence([der::context_primitive(0, id)]))
    }

    pub(super) fn der(&self) -> Vec<u8> {
        let critical = self.critical.then(|| der::boolean(true));
        let oid_and_critical = [der::oid(&self.oid)].into_iter().chain(critical);
        der::sequence(oid_and_critical.chain([der::octet_string(&self.value)]))
    }
}

impl ExtendedKeyUsage {
    fn oid(&self) -> &str {
        match self {
            ExtendedKeyUsage::ServerAuth => "1.3.6.1.5.5.7.3.1",
            ExtendedKeyUsage::ClientAuth => "1.3.6.1.5.5.7.3.2",
            ExtendedKeyUsage::CodeSigning => "1.3.6.1.5.5.7.3.3",
            ExtendedKeyUsage::Any => "2.5.29.37.0",
            ExtendedKeyUsage::Other(dotted) => dotted,
        }
    }
}

/// The content of a positive INTEGER.
pub(super) fn positive(big_endian: &[u8]) -> Vec<u8> {
    match big_endian {
        [first, ..] if *first >= 0x80 => [&[0], big_endian].concat(),
        _ => big_endian.to_vec(),
    }
}
