//! What workers share is bound to a secret, because others may have the same map: the proxy keeps one for each `vm_id`,
//! an empty `vm_id` is the default, and any module with the same one reads and writes what it finds.
//!
//! The secret is 32 random bytes that the first worker makes. Workers come to share it by what no other module can
//! read: the text of their document, which the proxy hands to a plugin that is configured with it and to no other. For
//! each document stands an entry under a name that only its text gives, with the secret masked and vouched for by keys
//! that only its text gives. So whoever has any document of a family has the secret, and whoever adds a document adds
//! an entry: an update never leaves a gap. All else that is shared stands under names that only the secret gives, and
//! is vouched for by it (HMAC-SHA-256). Another module can neither find it nor write what would be believed.
//!
//! Who can read the proxy's configuration can read the document, and so the secret; he could as well read what it
//! guards.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::proxy::{Level, Proxy, ProxyError};

type Bytes = [u8; 32];

/// Bytes of a mark in front of what is shared.
const MARK: usize = 32;
/// Bytes that make the mask of an entry another one each time.
const SALT: usize = 16;
/// The version of the format, in every name: two builds of the module may share a map while one replaces the other.
const FORMAT: &str = "svidgate 2";

fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    // HMAC takes a key of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(FORMAT.as_bytes());
    for part in parts {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        mac.update(part);
    }
    mac
}

fn hash(key: &[u8], parts: &[&[u8]]) -> Bytes {
    keyed(key, parts).finalize().into_bytes().into()
}

fn name(key: &[u8], label: &str) -> String {
    let digits = hash(key, &[b"name", label.as_bytes()]);
    digits.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// What only the text of a document gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DocumentKey(Bytes);

impl DocumentKey {
    /// Of a document, as the proxy handed it over.
    pub fn new(document: &[u8]) -> Self {
        Self(hash(document, &[b"document"]))
    }

    /// Reads the secret that stands under this document.
    pub fn read<P: Proxy>(&self, proxy: &P) -> Option<Secret> {
        let (entry, _) = proxy.shared_data(&name(&self.0, "secret"))?;
        let (salt, rest) = entry.split_at_checked(SALT)?;
        let (masked, mark) = rest.split_at_checked(MARK)?;
        keyed(&self.0, &[b"mark", salt, masked]).verify_slice(mark).ok()?;
        Some(Secret(self.mask(salt, masked.try_into().ok()?)))
    }

    /// Leaves the secret under this document, over whatever stands there.
    pub fn write<P: Proxy>(&self, proxy: &P, secret: &Secret) {
        let salt = [proxy.random().to_le_bytes(), proxy.random().to_le_bytes()].concat();
        let masked = self.mask(&salt, secret.0);
        let mark = hash(&self.0, &[b"mark", &salt, &masked]);
        let entry = [salt.as_slice(), &masked, &mark].concat();
        // Where it cannot be written, this worker has what is shared for itself.
        let _ = proxy.set_shared_data(&name(&self.0, "secret"), &entry, None);
    }

    fn mask(&self, salt: &[u8], mut bytes: Bytes) -> Bytes {
        let mask = hash(&self.0, &[b"mask", salt]);
        bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        bytes
    }
}

impl fmt::Debug for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DocumentKey")
    }
}

/// What the workers of one proxy share and nobody else has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(Bytes);

impl Secret {
    /// A new one.
    pub fn random<P: Proxy>(proxy: &P) -> Self {
        let random = [proxy.random(), proxy.random(), proxy.random(), proxy.random()];
        Self(hash(&random.map(u64::to_le_bytes).concat(), &[b"secret"]))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What workers share, by label.
#[derive(Clone, Copy, Debug)]
pub struct Board<'p, P> {
    /// The proxy.
    pub proxy: &'p P,
    secret: Secret,
}

impl<'p, P: Proxy> Board<'p, P> {
    /// What those share who have this secret.
    pub fn new(proxy: &'p P, secret: Secret) -> Self {
        Self { proxy, secret }
    }

    /// Reads what stands under a label, and the number of its version. What nobody vouches for is no value.
    pub fn read(&self, label: &str) -> (Option<Vec<u8>>, Option<u32>) {
        let Some((sealed, version)) = self.proxy.shared_data(&name(&self.secret.0, label)) else {
            return (None, None);
        };
        let value = sealed.split_at_checked(MARK).and_then(|(mark, value)| {
            let mac = keyed(&self.secret.0, &[b"value", label.as_bytes(), value]);
            mac.verify_slice(mark).ok().map(|()| value.to_vec())
        });
        if value.is_none() {
            let line = "svidgate: what the workers share was written by somebody else, and is not used: each worker \
                        does for itself what one did for all (does another module have this `vm_id`?)";
            self.proxy.log(Level::Error, line);
        }
        (value, Some(version))
    }

    /// Writes a value under a label; with a version, only if nobody has written since.
    ///
    /// # Errors
    /// Somebody has, or the proxy has no room.
    pub fn write(&self, label: &str, value: &[u8], version: Option<u32>) -> Result<(), ProxyError> {
        let mark = hash(&self.secret.0, &[b"value", label.as_bytes(), value]);
        let sealed = [mark.as_slice(), value].concat();
        self.proxy
            .set_shared_data(&name(&self.secret.0, label), &sealed, version)
    }
}
