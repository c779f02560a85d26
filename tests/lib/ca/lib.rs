//! A certificate authority for tests: certificates of every shape, right and wrong.
//!
//! Nothing here reads a clock: every certificate is valid around the `now` that the test gives, so a test of a pure
//! function uses [`FIXED_NOW`] and a test against a running proxy uses [`real_now`].
//!
//! ```
//! use ca::{Authority, FIXED_NOW, Leaf};
//!
//! let authority = Authority::of("prod.example", FIXED_NOW);
//! let identity = authority.issue(Leaf::svid("spiffe://prod.example/ns/shop/sa/api", FIXED_NOW));
//! let two_ids = authority.issue(Leaf {
//!     uri_sans: vec!["spiffe://prod.example/a".into(), "spiffe://prod.example/b".into()],
//!     ..Leaf::svid("spiffe://prod.example/a", FIXED_NOW)
//! });
//! ```

pub mod der;
mod extension;
mod key;
mod token;

use std::net::IpAddr;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub use extension::{BasicConstraints, ExtendedKeyUsage, Extension, GeneralName, KeyUsage};
pub use key::{Key, KeyKind, SignatureAlgorithm};
pub use token::{thumbprint, token_of};

/// 2026-06-15T12:00:00Z: the one moment of tests that need no running proxy.
pub const FIXED_NOW: Timestamp = Timestamp::constant(1_781_524_800, 0);

/// The machine's time, for tests against a running proxy.
pub fn real_now() -> Timestamp {
    Timestamp::now()
}

/// What a certificate is to say. Start from [`Profile::svid`], [`Profile::server`] or [`Profile::authority`] and change
/// what the test is about.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The common name of the subject. `None`: an empty subject, which an authority should not have.
    pub common_name: Option<String>,
    /// The whole subject in DER, in place of one with the common name.
    pub subject: Option<Vec<u8>>,
    /// Subject alternative names are written in this order: URIs, DNS names, addresses, e-mail addresses. When there
    /// are none the extension is left out.
    pub uri_sans: Vec<String>,
    /// See `uri_sans`.
    pub dns_sans: Vec<String>,
    /// See `uri_sans`.
    pub ip_sans: Vec<IpAddr>,
    /// See `uri_sans`.
    pub email_sans: Vec<String>,
    /// `None`: no such extension.
    pub key_usage: Option<Vec<KeyUsage>>,
    /// `None`: no such extension.
    pub extended_key_usage: Option<Vec<ExtendedKeyUsage>>,
    /// `None`: no such extension.
    pub basic_constraints: Option<BasicConstraints>,
    /// The first second in which it is valid.
    pub not_before: Timestamp,
    /// The last second in which it is valid.
    pub not_after: Timestamp,
    /// Its key.
    pub key: Key,
    /// How the issuer signs it. `None`: in the usual way of the issuer's key.
    pub signature_algorithm: Option<SignatureAlgorithm>,
    /// Replaces the AlgorithmIdentifier of the signature, in both places. The signature is made as it would be without.
    pub signature_identifier: Option<Vec<u8>>,
    /// Big-endian content of the serial number, written as it is. `None`: 16 random bytes.
    pub serial: Option<Vec<u8>>,
    /// Whether it carries the identifier of its own key.
    pub subject_key_id: bool,
    /// Whether it carries the identifier of the issuer's key.
    pub authority_key_id: bool,
    /// Further extensions, written last.
    pub extensions: Vec<Extension>,
}

/// A leaf is a profile like any other; the name tells the reader what is meant.
pub type Leaf = Profile;

impl Profile {
    /// A good X.509-SVID with a P-256 key, valid from one minute before `now` to one hour after.
    pub fn svid(id: &str, now: Timestamp) -> Self {
        Profile {
            common_name: None,
            subject: None,
            uri_sans: vec![id.to_owned()],
            dns_sans: Vec::new(),
            ip_sans: Vec::new(),
            email_sans: Vec::new(),
            key_usage: Some(vec![KeyUsage::DigitalSignature]),
            extended_key_usage: Some(vec![ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth]),
            basic_constraints: Some(BasicConstraints {
                ca: false,
                path_len: None,
            }),
            not_before: now - SignedDuration::from_mins(1),
            not_after: now + SignedDuration::from_hours(1),
            key: Key::generate(KeyKind::P256),
            signature_algorithm: None,
            signature_identifier: None,
            serial: None,
            subject_key_id: true,
            authority_key_id: true,
            extensions: Vec::new(),
        }
    }

    /// A server's certificate for `localhost` and 127.0.0.1, with no URI.
    pub fn server(now: Timestamp) -> Self {
        Profile {
            common_name: Some("localhost".to_owned()),
            uri_sans: Vec::new(),
            dns_sans: vec!["localhost".to_owned()],
            ip_sans: vec![IpAddr::from([127, 0, 0, 1])],
            ..Profile::svid("", now)
        }
    }

    /// A good signing certificate of a trust domain with a P-256 key, valid from one day before `now` to ten years
    /// after.
    pub fn authority(trust_domain: &str, now: Timestamp) -> Self {
        Profile {
            common_name: Some(format!("{trust_domain} authority")),
            key_usage: Some(vec![KeyUsage::KeyCertSign, KeyUsage::CrlSign]),
            extended_key_usage: None,
            basic_constraints: Some(BasicConstraints {
                ca: true,
                path_len: None,
            }),
            not_before: now - SignedDuration::from_hours(24),
            not_after: now + SignedDuration::from_hours(24 * 3650),
            ..Profile::svid(&format!("spiffe://{trust_domain}"), now)
        }
    }

    /// The extensions in the order in which they are written.
    fn all_extensions(&self, issuer_key: &Key) -> Vec<Extension> {
        let constraints = self.basic_constraints.map(Extension::basic_constraints);
        let usage = self.key_usage.as_deref().map(Extension::key_usage);
        let extended = self.extended_key_usage.as_deref().map(Extension::extended_key_usage);
        let subject_key = self.subject_key_id.then(|| Extension::subject_key_id(&self.key.id()));
        let authority_key = self
            .authority_key_id
            .then(|| Extension::authority_key_id(&issuer_key.id()));
        let names = self.subject_alt_names();
        // Critical when the subject is empty (RFC 5280, section 4.2.1.6).
        let names = (!names.is_empty()).then(|| Extension::subject_alt_name(&names, self.common_name.is_none()));
        [constraints, usage, extended, subject_key, authority_key, names]
            .into_iter()
            .flatten()
            .chain(self.extensions.iter().cloned())
            .collect()
    }

    fn subject_alt_names(&self) -> Vec<GeneralName> {
        let uris = self.uri_sans.iter().map(|uri| GeneralName::uri(uri.as_bytes()));
        let dns = self
            .dns_sans
            .iter()
            .map(|name| GeneralName::Dns(name.clone().into_bytes()));
        let addresses = self.ip_sans.iter().map(|address| GeneralName::ip(*address));
        let mail = self
            .email_sans
            .iter()
            .map(|address| GeneralName::Email(address.clone().into_bytes()));
        uris.chain(dns).chain(addresses).chain(mail).collect()
    }

    /// The certificate as `issuer` signs it, DER (RFC 5280, section 4.1).
    fn sign(&self, issuer_name: Option<&str>, issuer_key: &Key) -> Vec<u8> {
        let algorithm = self.signature_algorithm.unwrap_or_else(|| issuer_key.usual_algorithm());
        let identifier = self
            .signature_identifier
            .clone()
            .unwrap_or_else(|| algorithm.identifier());
        let serial = self.serial.clone().unwrap_or_else(random_serial);
        let extensions = self.all_extensions(issuer_key);
        let extensions =
            (!extensions.is_empty()).then(|| der::context(3, &der::sequence(extensions.iter().map(Extension::der))));
        let to_be_signed = der::sequence(
            [
                der::context(0, &der::integer(&[2])),
                der::integer(&serial),
                identifier.clone(),
                extension::distinguished_name(issuer_name),
                der::sequence([der::time(self.not_before), der::time(self.not_after)]),
                self.subject
                    .clone()
                    .unwrap_or_else(|| extension::distinguished_name(self.common_name.as_deref())),
                self.key.public_key_info(),
            ]
            .into_iter()
            .chain(extensions),
        );
        let signature = issuer_key.sign(algorithm, &to_be_signed);
        der::sequence([to_be_signed, identifier, der::bit_string(&signature)])
    }
}

/// A key and the certificate that lets it sign others.
#[derive(Clone, Debug)]
pub struct Authority {
    /// The signing certificate, DER.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Key,
    common_name: Option<String>,
    /// From this one up to the last below the root; empty for a root.
    intermediates: Vec<Vec<u8>>,
}

impl Authority {
    /// The root of a trust domain, all usual.
    pub fn of(trust_domain: &str, now: Timestamp) -> Self {
        Authority::root(Profile::authority(trust_domain, now))
    }

    /// A self-signed authority.
    pub fn root(profile: Profile) -> Self {
        Authority {
            certificate: profile.sign(profile.common_name.as_deref(), &profile.key),
            key: profile.key,
            common_name: profile.common_name,
            intermediates: Vec::new(),
        }
    }

    /// An authority below this one. What it issues carries its certificate in the chain.
    pub fn issue_authority(&self, profile: Profile) -> Self {
        let identity = self.issue(profile.clone());
        Authority {
            intermediates: identity.chain(),
            certificate: identity.leaf,
            key: profile.key,
            common_name: profile.common_name,
        }
    }

    /// A certificate signed by this authority, right or wrong: nothing is checked.
    pub fn issue(&self, profile: Profile) -> Identity {
        Identity {
            leaf: profile.sign(self.common_name.as_deref(), &self.key),
            intermediates: self.intermediates.clone(),
            key: profile.key,
        }
    }

    /// A revocation list, DER (RFC 5280, section 5.1): the certificates with these serial numbers, as
    /// [`Identity::serial`] gives them, from one minute before `now` until one hour after.
    pub fn crl(&self, revoked: &[&[u8]], now: Timestamp) -> Vec<u8> {
        let this_update = now - SignedDuration::from_mins(1);
        let next_update = now + SignedDuration::from_hours(1);
        let revoked = revoked
            .iter()
            .map(|serial| der::sequence([der::integer(serial), der::time(this_update)]));
        // "MUST be absent" when there are none.
        let revoked = (revoked.len() > 0).then(|| der::sequence(revoked));
        // Grows with time, as a number of lists has to.
        let number = extension::positive(&now.as_second().to_be_bytes()[4..]);
        let extensions = [
            Extension::authority_key_id(&self.key.id()),
            Extension::new("2.5.29.20", false, der::integer(&number)),
        ];
        let algorithm = self.key.usual_algorithm();
        let to_be_signed = der::sequence(
            [
                der::integer(&[1]),
                algorithm.identifier(),
                extension::distinguished_name(self.common_name.as_deref()),
                der::time(this_update),
                der::time(next_update),
            ]
            .into_iter()
            .chain(revoked)
            .chain([der::context(0, &der::sequence(extensions.iter().map(Extension::der)))]),
        );
        let signature = self.key.sign(algorithm, &to_be_signed);
        der::sequence([to_be_signed, algorithm.identifier(), der::bit_string(&signature)])
    }

    /// The signing certificate, PEM.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }
}

/// A leaf, the intermediates that lead from it to the root, and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// DER.
    pub leaf: Vec<u8>,
    /// DER, each signed by the next; without the root.
    pub intermediates: Vec<Vec<u8>>,
    /// The key of the leaf.
    pub key: Key,
}

impl Identity {
    /// A certificate signed with its own key.
    pub fn self_signed(profile: Profile) -> Self {
        let leaf = profile.sign(profile.common_name.as_deref(), &profile.key);
        Identity {
            leaf,
            intermediates: Vec::new(),
            key: profile.key,
        }
    }

    /// The same with another end of the leaf's signature, which is wrong then. Each number but 0 makes another leaf.
    ///
    /// # Panics
    /// When the leaf is not even two bytes.
    pub fn forged(&self, number: u16) -> Self {
        let mut forged = self.clone();
        // The signature ends the certificate.
        let end = forged.leaf.last_chunk_mut::<2>().expect("a certificate");
        *end = (u16::from_be_bytes(*end) ^ number).to_be_bytes();
        forged
    }

    /// What a client sends: the leaf, then the intermediates. DER.
    pub fn chain(&self) -> Vec<Vec<u8>> {
        [std::slice::from_ref(&self.leaf), &self.intermediates].concat()
    }

    /// The leaf, PEM.
    pub fn leaf_pem(&self) -> String {
        pem("CERTIFICATE", &self.leaf)
    }

    /// The leaf in PEM, escaped as Envoy writes it into a header: all but letters and digits as `%XX`.
    pub fn leaf_pem_escaped(&self) -> String {
        let escape = |byte: u8| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        };
        self.leaf_pem().bytes().map(escape).collect()
    }

    /// The leaf, then the intermediates. PEM.
    pub fn chain_pem(&self) -> String {
        self.chain()
            .iter()
            .map(|certificate| pem("CERTIFICATE", certificate))
            .collect()
    }

    /// The private key, PEM.
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key.pkcs8())
    }

    /// The content of the leaf's serial number, as it is written there.
    pub fn serial(&self) -> Vec<u8> {
        der::content(self.to_be_signed()[1]).to_vec()
    }

    /// The name of the leaf's issuer (RFC 4514).
    ///
    /// # Panics
    /// When it is not a name.
    #[cfg(feature = "full")]
    pub fn issuer(&self) -> String {
        use x509_cert::{der::Decode, name::Name};
        let name = Name::from_der(self.to_be_signed()[3]).expect("the issuer is a name");
        name.to_string()
    }

    /// Version, serial number, algorithm, issuer and so on.
    fn to_be_signed(&self) -> Vec<&[u8]> {
        der::elements(der::content(der::elements(der::content(&self.leaf))[0]))
    }

    /// SHA-256 of the leaf as lower-case hex: how Envoy and a revocation list name it.
    pub fn leaf_sha256(&self) -> String {
        sha256(&self.leaf).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(feature = "full")]
fn sha256(bytes: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).to_vec()
}

#[cfg(all(feature = "ring", not(feature = "full")))]
fn sha256(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}

/// The SPIFFE bundle of a trust domain with these X.509 authorities (SPIFFE Trust Domain and Bundle, section 4).
pub fn bundle_json(authorities: &[&Authority]) -> Value {
    let keys: Vec<Value> = authorities
        .iter()
        .map(|authority| {
            let mut key = authority.key.jwk();
            key["use"] = json!("x509-svid");
            key["x5c"] = json!([BASE64_STANDARD.encode(&authority.certificate)]);
            key
        })
        .collect();
    json!({ "keys": keys })
}

/// DER in PEM armour (RFC 7468).
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: String = text
        .as_bytes()
        .chunks(64)
        .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
        .collect();
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

fn random_serial() -> Vec<u8> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).expect("the system has randomness");
    // Positive, and no zero in front.
    serial[0] = serial[0] & 0x7f | 0x40;
    serial.to_vec()
}
