//! The steps of the verifier, and how far somebody got.

use std::fmt;

use svidgate_policy::Reason;

/// What the verifier looks at, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The leaf can be read, has one URI SAN with the id of a workload, and is no signing certificate.
    Leaf,
    /// There is a relationship with its trust domain, which covers it and has not ended.
    Relationship,
    /// It has begun and not ended.
    Time,
    /// It does not live longer than the relationship allows.
    Lifetime,
    /// Neither it nor its key, its id or what it was issued by is revoked.
    Revocation,
    /// The bundle of its trust domain is at hand, fresh, and has authorities.
    Bundle,
    /// A path leads to one of them, and all in it keep to the profile.
    Path,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Leaf,
        Self::Relationship,
        Self::Time,
        Self::Lifetime,
        Self::Revocation,
        Self::Bundle,
        Self::Path,
    ];

    /// Where a refusal for a reason is made.
    pub fn of(reason: Reason) -> Self {
        match reason {
            Reason::FederationUnknownTrustDomain | Reason::FederationOutOfScope | Reason::FederationExpired => {
                Self::Relationship
            }
            Reason::SvidExpired | Reason::SvidNotYetValid => Self::Time,
            Reason::SvidLifetimeTooLong => Self::Lifetime,
            Reason::SvidRevoked => Self::Revocation,
            Reason::FederationBundleMissing | Reason::FederationBundleStale | Reason::FederationBundleEmpty => {
                Self::Bundle
            }
            Reason::SvidUnknownAuthority
            | Reason::SvidBadSignature
            | Reason::SvidSigningCertificate
            | Reason::SvidNameConstraint
            | Reason::SvidUnsupportedAlgorithm
            | Reason::SvidChainTooLong => Self::Path,
            Reason::ConfigurationNone
            | Reason::ConfigurationBehind
            | Reason::ConfigurationSuperseded
            | Reason::ConnectionPlaintext
            | Reason::ConnectionNoCertificate
            | Reason::ConnectionCertificateUnreadable
            | Reason::ConnectionCertificateMismatch
            | Reason::ConnectionSilent
            | Reason::ConnectionUndecidable
            | Reason::ConnectionNotHttp
            | Reason::ConnectionTooOld
            | Reason::ConnectionHoldsTooMuch
            | Reason::ConnectionUnproven
            | Reason::ConnectionTooManyUnproven
            | Reason::SvidNoUriSan
            | Reason::SvidMultipleUriSans
            | Reason::SvidInvalidId
            | Reason::SvidRootPath
            | Reason::SvidIsCa
            | Reason::SvidKeyUsage
            | Reason::SvidCriticalExtension
            | Reason::RevocationsMissing
            | Reason::RevocationsStale
            | Reason::AssertionMissing
            | Reason::AssertionMalformed
            | Reason::AssertionAmbiguous
            | Reason::AssertionNotAllowed
            | Reason::AssertionBrokenChain
            | Reason::AssertionTooManyHops
            | Reason::TokenMalformed
            | Reason::TokenUnsupportedAlgorithm
            | Reason::TokenWrongType
            | Reason::TokenCriticalHeader
            | Reason::TokenInvalidId
            | Reason::TokenWrongAudience
            | Reason::TokenExpired
            | Reason::TokenNotYetValid
            | Reason::TokenLifetimeTooLong
            | Reason::TokenNotBound
            | Reason::TokenUnknownKey
            | Reason::TokenBadSignature
            | Reason::RequestAmbiguousPath
            | Reason::RequestMalformed
            | Reason::RequestHeadTooLarge
            | Reason::RuleAllowed
            | Reason::RuleDenied
            | Reason::RuleNoneMatched
            | Reason::RuleExpired
            | Reason::RuleTooCostly
            | Reason::WorkerFull => Self::Leaf,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leaf => "the leaf: readable, one URI SAN with the id of a workload, its usage",
            Self::Relationship => "a relationship with its trust domain that covers the id",
            Self::Time => "between notBefore and notAfter",
            Self::Lifetime => "no longer life than the relationship allows",
            Self::Revocation => "not revoked",
            Self::Bundle => "the bundle of its trust domain",
            Self::Path => "a path to one of its authorities",
        })
    }
}

/// Each step, and whether it held: all of them, or those before a refusal. A revocation of what stands in the path, and an
/// extension there that is not understood, are found last and told as of their kind.
pub fn steps(refused: Option<Reason>) -> String {
    let refused = refused.map(Step::of);
    let line = |step: Step| {
        let state = match refused {
            Some(refused) if step == refused => "fails",
            Some(refused) if step > refused => "not looked at",
            Some(_) | None => "holds",
        };
        format!("  {state:<14} {step}\n")
    };
    Step::ALL.into_iter().map(line).collect()
}
