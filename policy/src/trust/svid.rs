//! Whether a peer is who its certificate says: leaf, relationship, chain, time (X509-SVID, section 5).
//!
//! The one thing that everything here serves: the authorities that count are those of the trust domain in the leaf's
//! own id. There is no union of bundles and no second try with another. What comes out, an [`Svid`], can be made in no
//! other way, so whoever holds one need not ask again.

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};

use crate::{
    certificate::{
        bounds::MAX_INTERMEDIATES,
        error::CertificateError,
        fields::Purpose,
        fingerprint::Fingerprints,
        leaf::{Leaf, workload_id},
        signature::MAX_SIGNATURE_CHECKS,
    },
    name::id::{SpiffeId, TrustDomain},
    trust::{
        bundle::Bundle,
        bundle_set::BundleSet,
        chain::{self, ChainError, Means, Moment, Path},
        jwt_key::JwtKeys,
        jwt_svid::{self, Expected, JwtSvid},
        relationship::{Relationship, Relationships, with_slack},
        revocation::{Revocation, Revocations},
        svid_error::SvidError,
        token_error::TokenError,
    },
};

/// An identity that has been verified: an X.509-SVID, or, where a document takes that, an id that the proxy vouches
/// for.
///
/// What was verified holds for that moment. What can change under it, all but the signatures, is looked at again by
/// [`Svid::stands`].
#[derive(Clone, Debug)]
pub struct Svid {
    evidence: Evidence,
    valid_until: Timestamp,
}

/// What stands behind an identity.
#[derive(Clone, Debug)]
enum Evidence {
    Certificate(Box<Certified>),
    /// The proxy's own TLS has verified some certificate with this id, which is not at hand.
    Proxy {
        id: SpiffeId,
    },
    /// Somebody who may do so has shown it.
    Token(Box<JwtSvid>),
}

/// A leaf, and what stands behind it.
#[derive(Clone, Debug)]
struct Certified {
    leaf: Identified,
    /// `None` where the proxy verified it.
    path: Option<Path>,
}

/// What a leaf that keeps to the profile says.
#[derive(Clone, Debug)]
struct Identified {
    id: SpiffeId,
    not_before: Timestamp,
    not_after: Timestamp,
    revocable: Fingerprints,
}

/// What an identity is held against.
#[derive(Clone, Copy)]
pub struct Trust<'a> {
    /// The relationships.
    pub relationships: &'a Relationships,
    /// The bundles, of which one counts; `None` where the proxy vouches for chains. Leaf, relationship, time and
    /// revocations are checked all the same.
    pub bundles: Option<&'a BundleSet>,
    /// Lists of revocations; an entry of any refuses.
    pub revocations: &'a [&'a Revocations],
    /// For how long past their end the certificates, or the token, are good enough.
    pub expiry_grace: SignedDuration,
}

/// What a peer shows, in DER.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// Its leaf.
    pub leaf: &'a [u8],
    /// Certificates that came with it, in any order.
    pub intermediates: &'a [CertificateDer<'a>],
}

/// Verifies what a peer shows as the identity of a TLS client, at one moment. `algorithms` are those that count;
/// [`crate::ALGORITHMS`] or a list with faster ones in front.
///
/// # Errors
/// The first thing that is wrong, in the order of the checks: leaf, relationship, time and lifetime, revocation, chain.
/// They cost nothing before the chain, and "expired" is the answer that an operator needs, whatever else is wrong.
pub fn verify(
    presented: Presented<'_>,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    trust: &Trust<'_>,
    now: Timestamp,
) -> Result<Svid, SvidError> {
    let leaf = Leaf::parse(presented.leaf)?;
    verify_with(leaf, presented.intermediates, |_| Vec::new(), algorithms, trust, now)
}

/// The same for a leaf that has been read, and what came with it. Where the issuer is not at hand, certificates of
/// earlier paths of the trust domain ([`Svid::has_between`]) are asked for, at most [`chain::MAX_HINTS`], and tried
/// with what is left of the signatures that a leaf may cost. They are trusted no more than those that the peer sends.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(
    leaf: Leaf<'_>,
    intermediates: &[CertificateDer<'_>],
    hints: impl FnOnce(&TrustDomain) -> Vec<CertificateDer<'static>>,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    trust: &Trust<'_>,
    now: Timestamp,
) -> Result<Svid, SvidError> {
    let identified = Identified {
        not_before: leaf.fields.not_before,
        not_after: leaf.fields.not_after,
        revocable: leaf.fields.revocable(),
        id: leaf.id,
    };
    let mut path = None;
    let find = |bundle: &Bundle, relationship: &Relationship, moment| {
        if intermediates.len() > MAX_INTERMEDIATES {
            return Err(ChainError::TooMany.into());
        }
        let certificates = intermediates.iter().chain(&relationship.intermediates);
        let mut beside: Vec<CertificateDer<'_>> = certificates
            .map(|certificate| CertificateDer::from(certificate.as_ref()))
            .collect();
        let mut means = Means {
            bundle,
            algorithms,
            purpose: Purpose::ClientAuth,
            moment,
            revocations: trust.revocations,
            now,
            hints: 0,
            checks: MAX_SIGNATURE_CHECKS,
        };
        let found = chain::find(&leaf.fields, &beside, &means).or_else(|none| {
            let more = if none.why.is_for_want_of_issuer() {
                hints(identified.id.trust_domain())
            } else {
                Vec::new()
            };
            if more.is_empty() {
                return Err(none);
            }
            (means.hints, means.checks) = (more.len(), none.checks_left);
            beside.extend(more);
            // What is wrong with what the peer sent is told, not what is wrong with hints.
            chain::find(&leaf.fields, &beside, &means).map_err(|_| none)
        })?;
        let valid_until = found.valid_until;
        path = Some(found);
        Ok(valid_until)
    };
    let valid_until = check(&identified, trust, now, find)?;
    let leaf = identified;
    let evidence = Evidence::Certificate(Box::new(Certified { leaf, path }));
    Ok(Svid { evidence, valid_until })
}

/// Reads the URI SANs of a peer as the proxy writes them: one id and nothing else. It puts a comma between several, and
/// a dash in place of none.
///
/// # Errors
/// None, several, or one that is no id of a workload.
pub fn read_vouched(uri_sans: &[u8]) -> Result<SpiffeId, CertificateError> {
    if uri_sans.is_empty() || uri_sans == b"-" {
        return Err(CertificateError::NoUriSan);
    }
    let uris = uri_sans.split(|byte| *byte == b',').count();
    if uris > 1 {
        return Err(CertificateError::MultipleUriSans { uris });
    }
    workload_id(uri_sans)
}

/// Takes the proxy's word for an id that its own TLS has verified. The relationship and its scope hold, and who is
/// revoked by id is; nothing is known of a certificate.
///
/// # Errors
/// The first thing that is wrong: relationship, then revocation.
pub fn vouched(id: SpiffeId, trust: &Trust<'_>, now: Timestamp) -> Result<Svid, SvidError> {
    let valid_until = check_vouched(&id, trust, now)?;
    let evidence = Evidence::Proxy { id };
    Ok(Svid { evidence, valid_until })
}

/// Verifies a token as the identity of somebody on whose behalf it is shown, at one moment. The relationship, its scope and
/// revocations by id hold as they do for certificates; the keys are the JWT keys of the trust domain's bundle.
///
/// # Errors
/// The first thing that is wrong: the token by itself, then relationship and revocation, then key and signature.
pub fn verify_token(
    token: &[u8],
    expected: &Expected,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    trust: &Trust<'_>,
    now: Timestamp,
) -> Result<Svid, TokenError> {
    let mut valid_until = Timestamp::MAX;
    let keys = |id: &SpiffeId| {
        let (keys, until) = jwt_keys(id, trust, now)?;
        valid_until = until;
        Ok(keys)
    };
    let token = jwt_svid::verify(token, expected, keys, algorithms, now)?;
    let valid_until = valid_until.min(last_second(Some(token.ends())));
    let evidence = Evidence::Token(Box::new(token));
    Ok(Svid { evidence, valid_until })
}

impl Svid {
    /// Who it is.
    pub fn id(&self) -> &SpiffeId {
        match &self.evidence {
            Evidence::Certificate(certified) => &certified.leaf.id,
            Evidence::Proxy { id } => id,
            Evidence::Token(token) => token.id(),
        }
    }

    /// Whether the proxy's word for the id is all there is.
    pub fn is_vouched(&self) -> bool {
        match self.evidence {
            Evidence::Certificate(_) | Evidence::Token(_) => false,
            Evidence::Proxy { .. } => true,
        }
    }

    /// The token that stands for it, where one does.
    pub fn token(&self) -> Option<&JwtSvid> {
        match &self.evidence {
            Evidence::Token(token) => Some(token),
            Evidence::Certificate(_) | Evidence::Proxy { .. } => None,
        }
    }

    /// SHA-256 of the leaf's DER, where there is one.
    pub fn sha256(&self) -> Option<&[u8; 32]> {
        self.leaf().map(|leaf| &leaf.revocable.sha256)
    }

    fn leaf(&self) -> Option<&Identified> {
        match &self.evidence {
            Evidence::Certificate(certified) => Some(&certified.leaf),
            Evidence::Proxy { .. } | Evidence::Token(_) => None,
        }
    }

    fn path(&self) -> Option<&Path> {
        match &self.evidence {
            Evidence::Certificate(certified) => certified.path.as_ref(),
            Evidence::Proxy { .. } | Evidence::Token(_) => None,
        }
    }

    /// The last second in which the leaf, its chain, the bundle and the relationship all hold, as far as was known when
    /// it was verified.
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }

    /// Whether a certificate is in the path that was verified.
    pub fn has_in_path(&self, sha256: &[u8; 32]) -> bool {
        self.sha256() == Some(sha256) || self.signers().iter().any(|signer| signer.sha256 == *sha256)
    }

    /// Whether a certificate that came with the leaf is in the path that was verified, or may be in another one, should
    /// that end.
    pub fn may_need(&self, sha256: &[u8; 32]) -> bool {
        self.has_in_path(sha256) || self.path().is_some_and(|path| path.others.contains(sha256))
    }

    /// Whether a certificate stands between the leaf and the authority in the path that was verified.
    pub fn has_between(&self, sha256: &[u8; 32]) -> bool {
        let below = self.signers().split_last().map_or(&[][..], |(_, below)| below);
        below.iter().any(|signer| signer.sha256 == *sha256)
    }

    fn signers(&self) -> &[Fingerprints] {
        self.path().map_or(&[], |path| &path.signers)
    }

    /// The first second of the leaf; without one, the first of all.
    pub fn not_before(&self) -> Timestamp {
        self.leaf().map_or(Timestamp::MIN, |leaf| leaf.not_before)
    }

    /// The last second of the leaf, its signing certificates and the authority; without them, the last of all.
    pub fn path_until(&self) -> Timestamp {
        let of_leaf = self.leaf().map_or(Timestamp::MAX, |leaf| leaf.not_after);
        self.path().map_or(of_leaf, |path| path.valid_until)
    }

    /// Whether it would be verified again by the path that it has, without looking at a signature. Gives until when, if
    /// nothing but time changes.
    ///
    /// # Errors
    /// What does not hold. Of what is wrong with the path, another may be free, which [`verify`] finds out.
    pub fn stands(&self, trust: &Trust<'_>, now: Timestamp) -> Result<Timestamp, SvidError> {
        match &self.evidence {
            Evidence::Certificate(certified) => check(&certified.leaf, trust, now, |bundle, _, moment| {
                self.check_path(bundle, trust, moment, now)
            }),
            Evidence::Proxy { id } => check_vouched(id, trust, now),
            Evidence::Token(token) => check_token(token, trust, now),
        }
    }

    fn check_path(
        &self,
        bundle: &Bundle,
        trust: &Trust<'_>,
        moment: Moment,
        now: Timestamp,
    ) -> Result<Timestamp, SvidError> {
        // One that the proxy vouched for has no path, and never had a signature looked at here.
        let path = self.path().ok_or(ChainError::AuthorityGone)?;
        if moment.is_past(path.valid_until) {
            let not_after = path.valid_until;
            return Err(ChainError::Expired { not_after }.into());
        }
        let mut authorities = bundle.authorities.iter();
        if !authorities.any(|authority| authority.revocable.sha256 == path.authority) {
            return Err(ChainError::AuthorityGone.into());
        }
        let revocation = |signer| chain::find_revocation(trust.revocations, signer, now);
        match path.signers.iter().find_map(revocation) {
            Some(revocation) => Err(revoked(revocation)),
            None => Ok(path.valid_until),
        }
    }
}

/// All that an identity is held against, when it is met and whenever it is looked at again. `path` says until when its
/// path is valid.
fn check(
    leaf: &Identified,
    trust: &Trust<'_>,
    now: Timestamp,
    path: impl FnOnce(&Bundle, &Relationship, Moment) -> Result<Timestamp, SvidError>,
) -> Result<Timestamp, SvidError> {
    let moment = Moment::new(now, trust.expiry_grace);
    let relationship = in_force(&leaf.id, trust.relationships, now)?;
    check_time(leaf, moment, now)?;
    check_lifetime(leaf, relationship)?;
    check_not_revoked(leaf, trust.revocations, now)?;
    let until = moment.end(leaf.not_after).min(last_second(relationship.expires));
    let Some(bundles) = trust.bundles else {
        return Ok(until);
    };
    let (bundle, stale_from) = usable(bundles, &leaf.id, now)?;
    check_is_no_authority(leaf, bundle)?;
    let path_until = path(bundle, relationship, moment)?;
    Ok(until.min(moment.end(path_until)).min(last_second(stale_from)))
}

/// What a token is held against when it is looked at again: as when it was met, but for its signature.
fn check_token(token: &JwtSvid, trust: &Trust<'_>, now: Timestamp) -> Result<Timestamp, SvidError> {
    let (keys, until) = jwt_keys(token.id(), trust, now)?;
    let ends = token.ends().checked_add(trust.expiry_grace).unwrap_or(Timestamp::MAX);
    if now >= ends {
        return Err(SvidError::TokenExpired { now, ends });
    }
    if !token.is_signed_by_one_of(keys) {
        return Err(SvidError::TokenKeyGone(token.id().trust_domain().clone()));
    }
    Ok(until.min(last_second(Some(ends))))
}

/// The keys that may have signed a token of somebody, where relationship and revocations let anything of theirs count, and
/// the last second in which that holds, if nothing but time changes.
fn jwt_keys<'t>(id: &SpiffeId, trust: &Trust<'t>, now: Timestamp) -> Result<(&'t JwtKeys, Timestamp), SvidError> {
    let until = check_vouched(id, trust, now)?;
    let trust_domain = id.trust_domain();
    let known = trust.bundles.and_then(|bundles| bundles.jwt_keys(trust_domain));
    let (keys, stale_from) = known.ok_or_else(|| SvidError::BundleMissing(trust_domain.clone()))?;
    check_is_fresh(trust_domain, stale_from, now)?;
    Ok((keys, until.min(last_second(stale_from))))
}

/// What an id without a certificate is held against.
pub(crate) fn check_vouched(id: &SpiffeId, trust: &Trust<'_>, now: Timestamp) -> Result<Timestamp, SvidError> {
    let relationship = in_force(id, trust.relationships, now)?;
    check_id_is_not_revoked(id, trust.revocations, now)?;
    Ok(last_second(relationship.expires))
}

/// The last second before an end that is exclusive, as those of relationships and sources are; ends of certificates are
/// inclusive.
fn last_second(end: Option<Timestamp>) -> Timestamp {
    end.map_or(Timestamp::MAX, |end| {
        end.checked_sub(SignedDuration::from_secs(1)).unwrap_or(end)
    })
}

/// The relationship that an id stands under.
fn in_force<'r>(
    id: &SpiffeId,
    relationships: &'r Relationships,
    now: Timestamp,
) -> Result<&'r Relationship, SvidError> {
    let trust_domain = id.trust_domain();
    let relationship = relationships
        .with(trust_domain)
        .ok_or_else(|| SvidError::UnknownTrustDomain(trust_domain.clone()))?;
    if !relationship.covers(id) {
        return Err(SvidError::OutOfScope(id.clone()));
    }
    if relationship.has_expired(now) {
        return Err(SvidError::RelationshipExpired(trust_domain.clone()));
    }
    Ok(relationship)
}

/// The bundle of an id's trust domain, where it has authorities, and from when on it is stale.
fn usable<'b>(
    bundles: &'b BundleSet,
    id: &SpiffeId,
    now: Timestamp,
) -> Result<(&'b Bundle, Option<Timestamp>), SvidError> {
    let trust_domain = id.trust_domain();
    let held = bundles
        .held(trust_domain)
        .ok_or_else(|| SvidError::BundleMissing(trust_domain.clone()))?;
    check_is_fresh(trust_domain, held.stale_from, now)?;
    if held.bundle.authority_count() == 0 {
        return Err(SvidError::BundleEmpty(trust_domain.clone()));
    }
    Ok((&held.bundle, held.stale_from))
}

fn check_is_fresh(trust_domain: &TrustDomain, stale_from: Option<Timestamp>, now: Timestamp) -> Result<(), SvidError> {
    match stale_from.filter(|stale_from| now >= *stale_from) {
        Some(since) => Err(SvidError::BundleStale {
            trust_domain: trust_domain.clone(),
            since,
        }),
        None => Ok(()),
    }
}

fn check_time(leaf: &Identified, moment: Moment, now: Timestamp) -> Result<(), SvidError> {
    if moment.is_before(leaf.not_before) {
        let not_before = leaf.not_before;
        return Err(SvidError::NotYetValid { now, not_before });
    }
    // One that ends before it begins is past its end at any time.
    if moment.is_past(leaf.not_after) {
        let not_after = leaf.not_after;
        return Err(SvidError::Expired { now, not_after });
    }
    Ok(())
}

fn check_lifetime(leaf: &Identified, relationship: &Relationship) -> Result<(), SvidError> {
    let lifetime = leaf.not_after.duration_since(leaf.not_before);
    match relationship.svid_max_lifetime {
        Some(allowed) if lifetime > with_slack(allowed) => Err(SvidError::LifetimeTooLong { lifetime, allowed }),
        Some(_) | None => Ok(()),
    }
}

fn check_not_revoked(leaf: &Identified, revocations: &[&Revocations], now: Timestamp) -> Result<(), SvidError> {
    check_id_is_not_revoked(&leaf.id, revocations, now)?;
    match chain::find_revocation(revocations, &leaf.revocable, now) {
        Some(revocation) => Err(revoked(revocation)),
        None => Ok(()),
    }
}

fn check_id_is_not_revoked(id: &SpiffeId, revocations: &[&Revocations], now: Timestamp) -> Result<(), SvidError> {
    match revocations.iter().find_map(|list| list.find_id(id, now)) {
        Some(revocation) => Err(revoked(revocation)),
        None => Ok(()),
    }
}

fn revoked(revocation: &Revocation) -> SvidError {
    SvidError::Revoked {
        reason: revocation.reason.clone(),
        until: revocation.until,
    }
}

/// LF-17, CA-7: whoever shows an authority's key, in its own certificate or in a leaf signed by itself, is no workload.
fn check_is_no_authority(leaf: &Identified, bundle: &Bundle) -> Result<(), SvidError> {
    let mut authorities = bundle.authorities.iter().map(|authority| &authority.revocable);
    if authorities.any(|authority| authority.public_key == leaf.revocable.public_key) {
        return Err(CertificateError::IsCa {
            because: "it has the key of an authority of the bundle",
        }
        .into());
    }
    Ok(())
}
