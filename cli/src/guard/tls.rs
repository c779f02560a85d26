//! What does Envoy's own TLS demand of a peer, and whom does it trust?

use super::{
    kinds::{DOWNSTREAM_TLS, NATIVE_VALIDATOR, QUIC, RAW_BUFFER, SPIFFE_VALIDATOR},
    message::{Node, Unread},
    snapshot::Snapshot,
};

/// The name of svidgate's native module, which is that of its file.
const NATIVE_MODULE: &str = "svidgate_native";

/// How connections of a chain come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Without TLS.
    Plain,
    /// With TLS.
    Tls(Tls),
    /// Over QUIC.
    Quic,
    /// By something that is not known here.
    Other(String),
}

/// What TLS demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whether a peer without a certificate is refused in the handshake.
    pub client_certificate: bool,
    /// Whom Envoy trusts.
    pub trust: Trust,
    /// Whether a session may be resumed.
    pub resumption: bool,
}

/// Whom Envoy trusts, before svidgate looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nobody is asked for a certificate.
    NotAsked,
    /// Any certificate is taken.
    Anybody,
    /// The same: svidgate's native validator hands certificates on, and verifies none.
    HandedOn,
    /// All authorities in one pool.
    Pool,
    /// The authorities of the trust domain in the certificate's id.
    ByTrustDomain,
    /// What discovery brings, and is not here.
    NotHere,
    /// A validator that is not known here.
    Other,
}

impl Trust {
    /// As reports have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "not asked for",
            Self::Anybody => "any (ACCEPT_UNTRUSTED)",
            Self::HandedOn => "any (svidgate's native validator verifies none)",
            Self::Pool => "one pool of authorities",
            Self::ByTrustDomain => "by trust domain (SPIFFE validator)",
            Self::NotHere => "by discovery, not here",
            Self::Other => "a validator that is not known here",
        }
    }
}

impl Transport {
    /// The transport of a filter chain.
    pub(crate) fn read(chain: Node<'_>, snapshot: &Snapshot<'_>) -> Result<Self, Unread> {
        let socket = chain.member("transport_socket")?;
        let Some(typed) = socket.member("typed_config")?.typed()? else {
            let name = socket.member("name")?.text()?;
            let plain = ["", "envoy.transport_sockets.raw_buffer"];
            return Ok(if plain.contains(&name) {
                Self::Plain
            } else {
                Self::Other(name.to_owned())
            });
        };
        Ok(match typed.kind {
            RAW_BUFFER => Self::Plain,
            QUIC => Self::Quic,
            DOWNSTREAM_TLS => Self::Tls(Tls::read(typed.message, snapshot)?),
            kind => Self::Other(kind.to_owned()),
        })
    }
}

impl Tls {
    fn read(context: Node<'_>, snapshot: &Snapshot<'_>) -> Result<Self, Unread> {
        let common = context.member("common_tls_context")?;
        let off = |name| context.member(name).and_then(Node::is_true);
        Ok(Self {
            client_certificate: context.member("require_client_certificate")?.is_true()?,
            trust: trust(common, snapshot)?,
            resumption: !(off("disable_stateless_session_resumption")? && off("disable_stateful_session_resumption")?),
        })
    }
}

/// Members that say what the validation context does in ways that are not known here.
const PROVIDERS: [&str; 2] = [
    "validation_context_certificate_provider",
    "validation_context_certificate_provider_instance",
];

fn trust(common: Node<'_>, snapshot: &Snapshot<'_>) -> Result<Trust, Unread> {
    let combined = common.member("combined_validation_context")?;
    for provider in PROVIDERS {
        if common.member(provider)?.is_there() || combined.member(provider)?.is_there() {
            return Ok(Trust::Other);
        }
    }
    let mut contexts = vec![
        common.member("validation_context")?,
        combined.member("default_validation_context")?,
    ];
    for source in [common, combined] {
        let secret = source.member("validation_context_sds_secret_config")?;
        if !secret.is_there() {
            continue;
        }
        match snapshot.secret(secret.member("name")?.text()?)? {
            Some(found) => contexts.push(found.member("validation_context")?),
            None => return Ok(Trust::NotHere),
        }
    }
    let contexts: Vec<_> = contexts.into_iter().filter(|context| context.is_there()).collect();
    // They are put together, so each may say part of it.
    let mut found = if contexts.is_empty() {
        Trust::NotAsked
    } else {
        Trust::Anybody
    };
    for context in &contexts {
        if let Some(validator) = context.path(&["custom_validator_config", "typed_config"])?.typed()? {
            let module = validator.message.path(&["dynamic_module_config", "name"]);
            return Ok(match validator.kind {
                SPIFFE_VALIDATOR => Trust::ByTrustDomain,
                NATIVE_VALIDATOR if module?.text()? == NATIVE_MODULE => Trust::HandedOn,
                _ => Trust::Other,
            });
        }
    }
    for context in contexts {
        if context
            .member("trust_chain_verification")?
            .choice(&["VERIFY_TRUST_CHAIN", "ACCEPT_UNTRUSTED"])?
            == "ACCEPT_UNTRUSTED"
        {
            return Ok(Trust::Anybody);
        }
        // Pins: what else is verified then is not known here.
        if context.member("verify_certificate_spki")?.is_there()
            || context.member("verify_certificate_hash")?.is_there()
        {
            return Ok(Trust::Other);
        }
        for member in ["trusted_ca", "ca_certificate_provider_instance", "system_root_certs"] {
            if context.member(member)?.is_there() {
                found = Trust::Pool;
            }
        }
    }
    Ok(found)
}
