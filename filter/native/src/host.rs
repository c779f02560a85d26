//! Which Envoy has loaded this?
//!
//! Nothing tells a module. A host is recognised by what it offers: the names of all functions that it exports for modules. What
//! they take and give is promised for one minor version further, and not by us: an Envoy that is not known here is refused, unless
//! the configuration says that this very one is meant.

use std::{collections::BTreeSet, ffi::CStr, fmt, fmt::Write as _, fs::File, sync::OnceLock};

use object::{
    Object as _, ObjectSymbol as _,
    read::{File as Executable, ReadCache},
};
use sha2::{Digest as _, Sha256};

/// What the names of functions for modules begin with.
const PREFIX: &str = "envoy_dynamic_module_callback_";
/// What stands before the fingerprint of a host that a configuration accepts.
const ACCEPT_HOST: &str = "accept_host=";

/// An Envoy whose behaviour was seen.
struct Known {
    /// SHA-256 of the names, sorted, each with a line feed behind it.
    fingerprint: &'static str,
    /// What it calls its ABI.
    abi_version: &'static CStr,
}

/// All of them.
///
/// ENVOY: not 1.38, which has the hook of validators, too. There, one of two workers whose peers shake hands at the same time may write
/// its filter state into the other's connection.
const KNOWN: [Known; 2] = [
    // 1.39
    Known {
        fingerprint: "039fb2fe8b743b949d1286abec7fa3726c5570faafa7a0de3faae20169597647",
        abi_version: c"v0.1.0",
    },
    // 1.40
    Known {
        fingerprint: "45522a9a8914fa17b3753193c505aa8f28f0fc1553a9bfe23d16d2d8dc17180e",
        abi_version: c"v0.2.0",
    },
];

/// The host of this process.
pub(crate) struct Host(Result<String, String>);

impl Host {
    /// Read once.
    pub(crate) fn present() -> &'static Self {
        static PRESENT: OnceLock<Host> = OnceLock::new();
        PRESENT.get_or_init(|| Self(exported().map(|names| fingerprint(&names))))
    }

    /// What it calls its ABI, so that it does not warn of another; of one that is not known, the latest that is.
    pub(crate) fn abi_version(&self) -> &'static CStr {
        let [.., latest] = &KNOWN;
        self.known().unwrap_or(latest).abi_version
    }

    fn known(&self) -> Option<&'static Known> {
        KNOWN.iter().find(|known| self.0.as_deref() == Ok(known.fingerprint))
    }
}

/// Why a configuration is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// It is none.
    NotUnderstood,
    /// What the host exports cannot be read.
    Unreadable(String),
    /// The host is not known, and not named. Its fingerprint.
    UnknownHost(String),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUnderstood => write!(
                f,
                "its configuration is neither empty nor `{ACCEPT_HOST}` and a fingerprint"
            ),
            Self::Unreadable(why) => write!(f, "which Envoy this is cannot be told: /proc/self/exe: {why}"),
            Self::UnknownHost(found) => write!(
                f,
                "this Envoy is none of those that this module is for (1.39 and 1.40). To take it all the same, at your own risk, \
                 write `{ACCEPT_HOST}{found}` as its configuration"
            ),
        }
    }
}

/// Whether this host may be served, as a configuration has it.
///
/// # Errors
/// Why not.
pub(crate) fn check(host: &Host, configuration: &[u8]) -> Result<(), Mistake> {
    let accepted = accepted(configuration)?;
    match (&host.0, accepted) {
        (Err(why), _) => Err(Mistake::Unreadable(why.clone())),
        (Ok(_), _) if host.known().is_some() => Ok(()),
        (Ok(found), Some(accepted)) if *found == accepted => Ok(()),
        (Ok(found), _) => Err(Mistake::UnknownHost(found.clone())),
    }
}

/// The host that a configuration names.
fn accepted(configuration: &[u8]) -> Result<Option<&str>, Mistake> {
    if configuration.is_empty() {
        return Ok(None);
    }
    let text = str::from_utf8(configuration).ok();
    let host = text.and_then(|text| text.strip_prefix(ACCEPT_HOST));
    host.map(Some).ok_or(Mistake::NotUnderstood)
}

/// The names that this process exports for modules.
fn exported() -> Result<BTreeSet<String>, String> {
    let file = File::open("/proc/self/exe").map_err(|error| error.to_string())?;
    // Reads what it is asked for, and not the whole of a hundred megabytes.
    let cache = ReadCache::new(file);
    let executable = Executable::parse(&cache).map_err(|error| error.to_string())?;
    let defined = executable.dynamic_symbols().filter(|symbol| symbol.is_definition());
    let names = defined.filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    Ok(names.filter(|name| name.starts_with(PREFIX)).collect())
}

fn fingerprint(names: &BTreeSet<String>) -> String {
    let mut hash = Sha256::new();
    for name in names {
        hash.update(name.as_bytes());
        hash.update(b"\n");
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(fingerprint: &str) -> Host {
        Host(Ok(fingerprint.to_owned()))
    }

    #[test]
    fn known_host_is_served_and_another_where_it_is_named() {
        for known in &KNOWN {
            assert_eq!(check(&host(known.fingerprint), b""), Ok(()));
            assert_eq!(host(known.fingerprint).abi_version(), known.abi_version);
        }
        let unknown = || Err(Mistake::UnknownHost("abc".to_owned()));
        assert_eq!(check(&host("abc"), b""), unknown());
        assert_eq!(check(&host("abc"), b"accept_host="), unknown());
        assert_eq!(check(&host("abc"), b"accept_host=abd"), unknown());
        assert_eq!(check(&host("abc"), b"accept_host=abc"), Ok(()));
        let unread = Host(Err("no".to_owned()));
        assert_eq!(
            check(&unread, b"accept_host="),
            Err(Mistake::Unreadable("no".to_owned()))
        );
    }

    #[test]
    fn configuration_that_is_not_understood_is_a_mistake_on_every_host() {
        for wrong in [&b"x"[..], b"accept_host", b" accept_host=a", b"accept_host=\xff", b"{}"] {
            assert_eq!(check(&host(KNOWN[0].fingerprint), wrong), Err(Mistake::NotUnderstood));
        }
    }

    /// This executable exports nothing for modules.
    #[test]
    fn names_are_read_from_the_executable_of_the_process() {
        assert_eq!(exported(), Ok(BTreeSet::new()));
        let two = BTreeSet::from(["b".to_owned(), "a".to_owned()]);
        assert_eq!(
            fingerprint(&two),
            "911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2"
        );
    }
}
