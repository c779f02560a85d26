//! Why a peer or a request was answered as it was: one stable code for each answer.
//!
//! The same code stands in the log, the metric, the access log and the tests. Codes are never renamed or reused; an
//! operator's alert may hang on them. The part before the dot names the stage that answered.

/// The one reason of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No good configuration has been loaded yet.
    ConfigurationNone,
    /// Another thread of the proxy has a newer document, which this worker does not have yet.
    ConfigurationBehind,
    /// Its document was replaced by newer ones, and was given up because they had no room beside it.
    ConfigurationSuperseded,
    /// The peer spoke plain text where TLS was expected.
    ConnectionPlaintext,
    /// The TLS peer presented no certificate.
    ConnectionNoCertificate,
    /// The certificate is not readable, or is larger than the bounds allow.
    ConnectionCertificateUnreadable,
    /// The certificate handed over is not the one that the proxy saw in the handshake.
    ConnectionCertificateMismatch,
    /// The peer finished the handshake and then sent nothing for too long.
    ConnectionSilent,
    /// The upstream spoke before there was an identity to decide on.
    ConnectionUndecidable,
    /// The document is for HTTP, and what stands behind the filter is not: no request would be decided on.
    ConnectionNotHttp,
    /// Its peer has no certificate that ends, and it has been open for as long as the document allows.
    ConnectionTooOld,
    /// The heads of its open streams have more bytes than a connection may make a worker keep.
    ConnectionHoldsTooMuch,
    /// The issuer of its leaf is not at hand, and no request that was allowed has shown the chain in time, or not the
    /// one that asks.
    ConnectionUnproven,
    /// The same, and as many of its source address, or of all, wait for their first request already.
    ConnectionTooManyUnproven,
    /// The leaf has no URI SAN.
    SvidNoUriSan,
    /// The leaf has more than one URI SAN.
    SvidMultipleUriSans,
    /// The URI SAN is not a SPIFFE ID.
    SvidInvalidId,
    /// The SPIFFE ID names a trust domain, not a workload.
    SvidRootPath,
    /// A signing certificate was presented as a leaf.
    SvidIsCa,
    /// Key usage or extended key usage does not allow this use.
    SvidKeyUsage,
    /// The validity period is over.
    SvidExpired,
    /// The validity period has not begun.
    SvidNotYetValid,
    /// No authority of the leaf's own trust domain issued it.
    SvidUnknownAuthority,
    /// An authority has the issuer's name, but its key did not make the signature.
    SvidBadSignature,
    /// A certificate between the leaf and the authority breaks the rules for signing certificates.
    SvidSigningCertificate,
    /// A name constraint of a signing certificate forbids the leaf, or cannot be processed.
    SvidNameConstraint,
    /// A critical extension is not understood.
    SvidCriticalExtension,
    /// The signature algorithm is not on the list.
    SvidUnsupportedAlgorithm,
    /// More certificates, or more signature checks, than the bounds allow.
    SvidChainTooLong,
    /// The validity period is longer than the relationship allows.
    SvidLifetimeTooLong,
    /// It, its key, its id or a signing certificate of its path is on a revocation list.
    SvidRevoked,
    /// There is no federation relationship with the leaf's trust domain.
    FederationUnknownTrustDomain,
    /// The relationship does not cover this SPIFFE ID.
    FederationOutOfScope,
    /// The relationship has ended.
    FederationExpired,
    /// There is no bundle for the leaf's trust domain yet.
    FederationBundleMissing,
    /// The source of the bundle of the leaf's trust domain has been silent for longer than `max_staleness`.
    FederationBundleStale,
    /// The bundle of the leaf's trust domain has no X.509 authority: nothing there is valid.
    FederationBundleEmpty,
    /// The list of revocations that the document names has not been fetched yet.
    RevocationsMissing,
    /// The source of the list of revocations has been silent for longer than its `max_staleness`.
    RevocationsStale,
    /// The peer is a hop, and does not say on whose behalf it asks.
    AssertionMissing,
    /// What a hop says of the caller is not what its format allows.
    AssertionMalformed,
    /// What a hop says of the caller stands there more than once.
    AssertionAmbiguous,
    /// The hop may not bring this caller.
    AssertionNotAllowed,
    /// What a hop says of the caller does not fit together, or was not said by this hop.
    AssertionBrokenChain,
    /// A hop says of more hops before it than it may have.
    AssertionTooManyHops,
    /// A token is not what a JWT-SVID is: three parts, JSON, the members that must be there.
    TokenMalformed,
    /// A token's algorithm is none of the nine, or its key does not sign with it.
    TokenUnsupportedAlgorithm,
    /// A token says that it is something else than a JWT.
    TokenWrongType,
    /// A token's header demands that something be understood which no JWT-SVID needs.
    TokenCriticalHeader,
    /// A token's subject is no SPIFFE ID of a workload.
    TokenInvalidId,
    /// A token is for somebody else.
    TokenWrongAudience,
    /// A token is over.
    TokenExpired,
    /// A token is not good yet.
    TokenNotYetValid,
    /// A token is good for longer than the document allows.
    TokenLifetimeTooLong,
    /// A token is bound to a certificate that is not the one at hand, or in a way that cannot be held to.
    TokenNotBound,
    /// No JWT key of the token's own trust domain has the name that the token gives.
    TokenUnknownKey,
    /// The key that the token names did not make its signature.
    TokenBadSignature,
    /// The path could be read in two ways.
    RequestAmbiguousPath,
    /// A pseudo-header is missing or is not what HTTP allows.
    RequestMalformed,
    /// What must be kept of its head has more bytes than a stream may make a worker keep.
    RequestHeadTooLarge,
    /// A rule allows it.
    RuleAllowed,
    /// A deny rule matches.
    RuleDenied,
    /// No allow rule matches.
    RuleNoneMatched,
    /// The only allow rules that match have expired.
    RuleExpired,
    /// To find out what the rules say about the identity or the request costs more than the bounds allow.
    RuleTooCostly,
    /// Open streams and identities fill what the worker may keep, and nobody holds more of it than this peer.
    WorkerFull,
}

impl Reason {
    /// Every reason, in the order of the stages.
    pub const ALL: [Self; 66] = [
        Self::ConfigurationNone,
        Self::ConfigurationBehind,
        Self::ConfigurationSuperseded,
        Self::ConnectionPlaintext,
        Self::ConnectionNoCertificate,
        Self::ConnectionCertificateUnreadable,
        Self::ConnectionCertificateMismatch,
        Self::ConnectionSilent,
        Self::ConnectionUndecidable,
        Self::ConnectionNotHttp,
        Self::ConnectionTooOld,
        Self::ConnectionHoldsTooMuch,
        Self::ConnectionUnproven,
        Self::ConnectionTooManyUnproven,
        Self::SvidNoUriSan,
        Self::SvidMultipleUriSans,
        Self::SvidInvalidId,
        Self::SvidRootPath,
        Self::SvidIsCa,
        Self::SvidKeyUsage,
        Self::SvidExpired,
        Self::SvidNotYetValid,
        Self::SvidUnknownAuthority,
        Self::SvidBadSignature,
        Self::SvidSigningCertificate,
        Self::SvidNameConstraint,
        Self::SvidCriticalExtension,
        Self::SvidUnsupportedAlgorithm,
        Self::SvidChainTooLong,
        Self::SvidLifetimeTooLong,
        Self::SvidRevoked,
        Self::FederationUnknownTrustDomain,
        Self::FederationOutOfScope,
        Self::FederationExpired,
        Self::FederationBundleMissing,
        Self::FederationBundleStale,
        Self::FederationBundleEmpty,
        Self::RevocationsMissing,
        Self::RevocationsStale,
        Self::AssertionMissing,
        Self::AssertionMalformed,
        Self::AssertionAmbiguous,
        Self::AssertionNotAllowed,
        Self::AssertionBrokenChain,
        Self::AssertionTooManyHops,
        Self::TokenMalformed,
        Self::TokenUnsupportedAlgorithm,
        Self::TokenWrongType,
        Self::TokenCriticalHeader,
        Self::TokenInvalidId,
        Self::TokenWrongAudience,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenLifetimeTooLong,
        Self::TokenNotBound,
        Self::TokenUnknownKey,
        Self::TokenBadSignature,
        Self::RequestAmbiguousPath,
        Self::RequestMalformed,
        Self::RequestHeadTooLarge,
        Self::RuleAllowed,
        Self::RuleDenied,
        Self::RuleNoneMatched,
        Self::RuleExpired,
        Self::RuleTooCostly,
        Self::WorkerFull,
    ];

    /// The stable code: `stage.what`, lower case.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ConfigurationNone => "configuration.none",
            Self::ConfigurationBehind => "configuration.behind",
            Self::ConfigurationSuperseded => "configuration.superseded",
            Self::ConnectionPlaintext => "connection.plaintext",
            Self::ConnectionNoCertificate => "connection.no_certificate",
            Self::ConnectionCertificateUnreadable => "connection.certificate_unreadable",
            Self::ConnectionCertificateMismatch => "connection.certificate_mismatch",
            Self::ConnectionSilent => "connection.silent",
            Self::ConnectionUndecidable => "connection.undecidable",
            Self::ConnectionNotHttp => "connection.not_http",
            Self::ConnectionTooOld => "connection.too_old",
            Self::ConnectionHoldsTooMuch => "connection.holds_too_much",
            Self::ConnectionUnproven => "connection.unproven",
            Self::ConnectionTooManyUnproven => "connection.too_many_unproven",
            Self::SvidNoUriSan => "svid.no_uri_san",
            Self::SvidMultipleUriSans => "svid.multiple_uri_sans",
            Self::SvidInvalidId => "svid.invalid_id",
            Self::SvidRootPath => "svid.root_path",
            Self::SvidIsCa => "svid.is_ca",
            Self::SvidKeyUsage => "svid.key_usage",
            Self::SvidExpired => "svid.expired",
            Self::SvidNotYetValid => "svid.not_yet_valid",
            Self::SvidUnknownAuthority => "svid.unknown_authority",
            Self::SvidBadSignature => "svid.bad_signature",
            Self::SvidSigningCertificate => "svid.signing_certificate",
            Self::SvidNameConstraint => "svid.name_constraint",
            Self::SvidCriticalExtension => "svid.critical_extension",
            Self::SvidUnsupportedAlgorithm => "svid.unsupported_algorithm",
            Self::SvidChainTooLong => "svid.chain_too_long",
            Self::SvidLifetimeTooLong => "svid.lifetime_too_long",
            Self::SvidRevoked => "svid.revoked",
            Self::FederationUnknownTrustDomain => "federation.unknown_trust_domain",
            Self::FederationOutOfScope => "federation.out_of_scope",
            Self::FederationExpired => "federation.expired",
            Self::FederationBundleMissing => "federation.bundle_missing",
            Self::FederationBundleStale => "federation.bundle_stale",
            Self::FederationBundleEmpty => "federation.bundle_empty",
            Self::RevocationsMissing => "revocations.missing",
            Self::RevocationsStale => "revocations.stale",
            Self::AssertionMissing => "assertion.missing",
            Self::AssertionMalformed => "assertion.malformed",
            Self::AssertionAmbiguous => "assertion.ambiguous",
            Self::AssertionNotAllowed => "assertion.not_allowed",
            Self::AssertionBrokenChain => "assertion.broken_chain",
            Self::AssertionTooManyHops => "assertion.too_many_hops",
            Self::TokenMalformed => "token.malformed",
            Self::TokenUnsupportedAlgorithm => "token.unsupported_algorithm",
            Self::TokenWrongType => "token.wrong_type",
            Self::TokenCriticalHeader => "token.critical_header",
            Self::TokenInvalidId => "token.invalid_id",
            Self::TokenWrongAudience => "token.wrong_audience",
            Self::TokenExpired => "token.expired",
            Self::TokenNotYetValid => "token.not_yet_valid",
            Self::TokenLifetimeTooLong => "token.lifetime_too_long",
            Self::TokenNotBound => "token.not_bound",
            Self::TokenUnknownKey => "token.unknown_key",
            Self::TokenBadSignature => "token.bad_signature",
            Self::RequestAmbiguousPath => "request.ambiguous_path",
            Self::RequestMalformed => "request.malformed",
            Self::RequestHeadTooLarge => "request.head_too_large",
            Self::RuleAllowed => "rule.allowed",
            Self::RuleDenied => "rule.denied",
            Self::RuleNoneMatched => "rule.none_matched",
            Self::RuleExpired => "rule.expired",
            Self::RuleTooCostly => "rule.too_costly",
            Self::WorkerFull => "worker.full",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Reason;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_reason_has_its_own_code() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(
            codes
                .iter()
                .all(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'.' || b == b'_'))
        );
    }
}
