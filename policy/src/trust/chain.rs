//! From a leaf to an authority of one bundle: the path of RFC 5280, section 6, and the rules of X509-SVID for it.
//!
//! The search goes up from the leaf. What has the issuer's name is a candidate; the one whose key made the signature is
//! the issuer, and whatever is wrong with it is what is wrong with the chain. So a wrong path is left where it goes
//! wrong, a good one costs one signature for each certificate of it, and a refusal tells of the certificate that was
//! meant. A library for paths (webpki) was here before. It looks at all that bear a name from the top down and says
//! which error it likes best, which for trust domains whose authorities all bear one name was the wrong one, after more
//! signatures than a worker can pay for.
//!
//! Key identifiers say whom to try first and prove nothing. What a peer can make us do is bounded in signatures and in
//! comparisons of names. No pair of certificates is looked at twice, and a path goes on only from one that goes
//! together: of 24 such pairs no more than a hundred paths can be made.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use x509_cert::{der::Decode as _, spki::SubjectPublicKeyInfoRef};

pub use crate::{
    certificate::fields::Purpose,
    trust::chain_error::{ChainError, Issuer},
};
use crate::{
    certificate::{
        bounds::{MAX_CERTIFICATE_BYTES, MAX_INTERMEDIATES},
        fields::Fields,
        fingerprint::Fingerprints,
        name_constraints::{MAX_COMPARISONS, NameConstraints, Presented},
        signature::{self, MAX_SIGNATURE_CHECKS, Mismatch},
        signer::{MAX_PATH_LENGTH, SigningError},
    },
    trust::{
        authority::Authority,
        bundle::Bundle,
        candidate::{Candidate, Closeness, Link, closeness, links},
        revocation::{Revocation, Revocations},
    },
};

/// Most certificates of earlier paths that another one is looked for with. Our decision: an issuer that rotates has two
/// or three at a time, and a trust domain may have several issuers.
pub const MAX_HINTS: usize = 16;

/// A path that was found and verified.
#[derive(Clone, Debug)]
pub struct Path {
    /// The last second in which every certificate of it, authority included, is valid.
    pub valid_until: Timestamp,
    /// SHA-256 of the authority's DER. As long as the bundle has this authority, the path holds.
    pub authority: [u8; 32],
    /// What the certificates above the leaf can be revoked by, authority last.
    pub(crate) signers: Vec<Fingerprints>,
    /// SHA-256 of the DER of those at hand that may be part of another path.
    pub(crate) others: Vec<[u8; 32]>,
}

/// A moment, and for how long past its end a certificate is good enough. Certificates know whole seconds, and the last
/// one counts to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    second: Timestamp,
    grace: SignedDuration,
}

impl Moment {
    pub(crate) fn new(now: Timestamp, grace: SignedDuration) -> Self {
        // Downwards, before 1970 too.
        let part = now.duration_since(Timestamp::UNIX_EPOCH).subsec_nanos();
        let part = if part < 0 {
            part.saturating_add(1_000_000_000)
        } else {
            part
        };
        let second = now.checked_sub(SignedDuration::from_nanos(i64::from(part)));
        Self {
            second: second.unwrap_or(now),
            grace,
        }
    }

    pub(crate) fn is_before(self, not_before: Timestamp) -> bool {
        self.second < not_before
    }

    pub(crate) fn is_past(self, not_after: Timestamp) -> bool {
        self.second > self.end(not_after)
    }

    /// The last good second of what ends at `not_after`.
    pub(crate) fn end(self, not_after: Timestamp) -> Timestamp {
        not_after.checked_add(self.grace).unwrap_or(Timestamp::MAX)
    }
}

/// What a path is looked for with.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) algorithms: &'a [&'a dyn SignatureVerificationAlgorithm],
    pub(crate) purpose: Purpose,
    pub(crate) moment: Moment,
    pub(crate) revocations: &'a [&'a Revocations],
    pub(crate) now: Timestamp,
    /// How many of the certificates beside the leaf are hints, which have a bound of their own.
    pub(crate) hints: usize,
    /// Signatures that may still be checked for the leaf.
    pub(crate) checks: u32,
}

/// No path, and from when on there may be one if nothing but time changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoPath {
    pub(crate) why: ChainError,
    pub(crate) changes: Option<Timestamp>,
    /// Signatures that were left to check.
    pub(crate) checks_left: u32,
}

/// Verifies a path from `leaf` (DER) through any of `intermediates`, in any order, to an authority of `bundle`.
///
/// The leaf's own names are looked at only for constraints: whose bundle this is has been decided by the caller.
///
/// # Errors
/// What stands between the leaf and the nearest it came to an authority.
pub fn verify(
    leaf: &[u8],
    intermediates: &[CertificateDer<'_>],
    bundle: &Bundle,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    purpose: Purpose,
    now: Timestamp,
) -> Result<Path, ChainError> {
    let fields = Fields::read(leaf).map_err(|_| ChainError::Unreadable)?;
    let means = Means {
        bundle,
        algorithms,
        purpose,
        moment: Moment::new(now, SignedDuration::ZERO),
        revocations: &[],
        now,
        hints: 0,
        checks: MAX_SIGNATURE_CHECKS,
    };
    check_leaf(&fields, &means)?;
    find(&fields, intermediates, &means).map_err(|none| none.why)
}

/// What RFC 5280 asks of any leaf; the profile of SVIDs asks for more.
fn check_leaf(leaf: &Fields<'_>, means: &Means<'_>) -> Result<(), ChainError> {
    if let Some(oid) = leaf.unknown_critical {
        return Err(ChainError::LeafExtension { oid });
    }
    // RFC 5280 4.2.1.9 and 4.2.1.10: a certificate that is no CA neither signs nor constrains others, and one that is
    // has no place here.
    let signs = leaf.is_ca || leaf.key_usage.is_some_and(|usage| usage.key_cert_sign());
    if signs || leaf.name_constraints.is_some() {
        return Err(ChainError::LeafSigns);
    }
    if !leaf.is_for(means.purpose) {
        return Err(ChainError::Signer(SigningError::Purpose(means.purpose)));
    }
    check_validity(leaf.not_before, leaf.not_after, means.moment)
}

/// A certificate that ends before it begins is never valid.
fn check_validity(not_before: Timestamp, not_after: Timestamp, moment: Moment) -> Result<(), ChainError> {
    if moment.is_past(not_after) || not_after < not_before {
        return Err(ChainError::Expired { not_after });
    }
    if moment.is_before(not_before) {
        return Err(ChainError::NotYetValid { not_before });
    }
    Ok(())
}

/// The same for a leaf whose profile and validity have been checked.
pub(crate) fn find(leaf: &Fields<'_>, intermediates: &[CertificateDer<'_>], means: &Means<'_>) -> Result<Path, NoPath> {
    check_bounds(intermediates, means.hints).map_err(|why| NoPath {
        why,
        changes: None,
        checks_left: 0,
    })?;
    // RFC 5280 leaves the validity of an anchor open; here an expired authority signs nothing (PV-5).
    let is_valid = |authority: &&Authority| {
        let signer = &authority.signer;
        check_validity(signer.not_before, signer.not_after, means.moment).is_ok()
    };
    let (valid, outside): (Vec<&Authority>, Vec<&Authority>) = means.bundle.authorities.iter().partition(is_valid);
    let links = links(intermediates, means.purpose);
    let authorities = valid.iter().map(|authority| Candidate::Authority(authority));
    let candidates: Vec<Candidate<'_>> = authorities.chain(links.iter().map(Candidate::Link)).collect();
    let mut search = Search {
        leaf,
        candidates: &candidates,
        means,
        known: HashMap::new(),
        names: HashMap::new(),
        checks_left: means.checks,
        comparisons_left: MAX_COMPARISONS,
        is_spent: false,
        fault: None,
        changes: None,
    };
    if let Some(path) = search.extend(&mut Vec::new()) {
        return Ok(path);
    }
    // One of these may be who signed.
    let begins = outside.iter().map(|authority| authority.signer.not_before);
    begins.for_each(|begin| search.change(begin));
    let why = match search.fault {
        // What was found out counts; what more there would be to find out does not.
        Some(fault) if !search.is_spent || fault.rank.kind == FaultKind::Signer => fault.why,
        Some(_) | None if search.is_spent => ChainError::TooMuchWork,
        Some(_) | None => ChainError::Unreadable,
    };
    Err(NoPath {
        why,
        changes: search.changes,
        checks_left: search.checks_left,
    })
}

/// Those of the peer and those of the relationship, each within its own bound, beside `hints`.
fn check_bounds(intermediates: &[CertificateDer<'_>], hints: usize) -> Result<(), ChainError> {
    if hints > MAX_HINTS || intermediates.len().saturating_sub(hints) > MAX_INTERMEDIATES.saturating_mul(2) {
        return Err(ChainError::TooMany);
    }
    let too_large = intermediates
        .iter()
        .find(|certificate| certificate.len() > MAX_CERTIFICATE_BYTES);
    too_large.map_or(Ok(()), |certificate| {
        Err(ChainError::TooLarge {
            bytes: certificate.len(),
        })
    })
}

/// What stood in the way of a path. Of several, that counts which was met nearest to an authority, and there the one
/// that says most.
struct Fault {
    rank: Rank,
    why: ChainError,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// How many certificates of the path have been signed by the next.
    signed: usize,
    kind: FaultKind,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FaultKind {
    NoIssuer,
    OtherKey,
    Signature,
    NotListed,
    Signer,
}

/// What came of a signature.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
    Unsupported(Mismatch),
}

struct Search<'s> {
    leaf: &'s Fields<'s>,
    candidates: &'s [Candidate<'s>],
    means: &'s Means<'s>,
    /// What came of signatures: of the certificate of a [`Step`], by the candidate of that place.
    known: HashMap<(usize, usize), Verdict>,
    /// The names of the certificate of a [`Step`], which many paths may lead through.
    names: HashMap<usize, Vec<Presented<'s>>>,
    checks_left: u32,
    comparisons_left: usize,
    /// Whether a signature was left unchecked.
    is_spent: bool,
    fault: Option<Fault>,
    /// The first moment to come at which something that was passed over may count.
    changes: Option<Timestamp>,
}

/// A certificate of the path above the leaf.
struct Step<'s> {
    link: &'s Link<'s>,
    /// Its place among the candidates, from 1; 0 is the leaf.
    number: usize,
}

impl<'s> Search<'s> {
    /// Goes on from the highest certificate that was reached.
    fn extend(&mut self, below: &mut Vec<Step<'s>>) -> Option<Path> {
        let (child, number) = below
            .last()
            .map_or((self.leaf, 0), |step| (&step.link.fields, step.number));
        let candidates = self.candidates.iter().copied().zip(1usize..);
        let of_issuers_name = candidates.filter(|(candidate, _)| candidate.subject() == child.issuer);
        let mut candidates: Vec<(Candidate<'s>, usize)> = of_issuers_name.collect();
        candidates.sort_by_key(|(candidate, _)| closeness(child.issuer_key_id.as_deref(), candidate.key_id()));
        let signed = below.len();
        let namesakes = candidates.len();
        // RFC 4158 5.2: the same name and key again leads nowhere.
        candidates.retain(|(candidate, _)| !below.iter().any(|step| is_same_signer(step, *candidate)));
        if candidates.is_empty() {
            let why = self.no_issuer(child, signed);
            self.note(signed, FaultKind::NoIssuer, why);
        }
        for (candidate, place) in candidates {
            match self.verdict(child, (number, place), candidate)? {
                Verdict::Good => {}
                Verdict::Bad => {
                    let why = bad_signature(child, candidate, namesakes);
                    self.note(signed, FaultKind::Signature, why);
                    continue;
                }
                Verdict::Unsupported(Mismatch::OtherKey) => {
                    self.note(signed, FaultKind::OtherKey, ChainError::UnsupportedAlgorithm);
                    continue;
                }
                Verdict::Unsupported(Mismatch::NotListed) => {
                    self.note(signed, FaultKind::NotListed, ChainError::UnsupportedAlgorithm);
                    continue;
                }
            }
            let signed = signed.saturating_add(1);
            if let Err(why) = self.check_signer(candidate, below) {
                self.note(signed, FaultKind::Signer, why);
                continue;
            }
            let link = match candidate {
                Candidate::Authority(authority) => return Some(self.path(below, authority)),
                Candidate::Link(link) => link,
            };
            if below.len() >= MAX_PATH_LENGTH {
                self.note(signed, FaultKind::Signer, ChainError::TooDeep);
                continue;
            }
            below.push(Step { link, number: place });
            let found = self.extend(below);
            below.pop();
            if found.is_some() || self.is_spent {
                return found;
            }
        }
        None
    }

    /// Whether a candidate's key made the signature of a certificate. `None`: that would cost more than is left.
    fn verdict(&mut self, child: &Fields<'_>, pair: (usize, usize), candidate: Candidate<'_>) -> Option<Verdict> {
        if let Some(known) = self.known.get(&pair) {
            return Some(*known);
        }
        let verdict = self.check_signature(child, candidate.public_key())?;
        self.known.insert(pair, verdict);
        Some(verdict)
    }

    fn check_signature(&mut self, child: &Fields<'_>, public_key: &[u8]) -> Option<Verdict> {
        let (Some(signed), Ok(key)) = (child.signed(), SubjectPublicKeyInfoRef::from_der(public_key)) else {
            return Some(Verdict::Bad);
        };
        // A key or signature is a whole number of bytes.
        let Some(key_bytes) = key.subject_public_key.as_bytes() else {
            return Some(Verdict::Bad);
        };
        let algorithm = match signature::algorithm(self.means.algorithms, &signed, &key) {
            Ok(algorithm) => algorithm,
            Err(mismatch) => return Some(Verdict::Unsupported(mismatch)),
        };
        let Some(left) = self.checks_left.checked_sub(signature::cost(algorithm)) else {
            self.is_spent = true;
            return None;
        };
        self.checks_left = left;
        let made = algorithm.verify_signature(key_bytes, signed.message, signed.signature);
        Some(if made.is_ok() { Verdict::Good } else { Verdict::Bad })
    }

    /// Whether whoever signed may stand above what was reached so far.
    fn check_signer(&mut self, candidate: Candidate<'_>, below: &[Step<'s>]) -> Result<(), ChainError> {
        let signer = match candidate {
            Candidate::Authority(authority) => &authority.signer,
            Candidate::Link(link) => link.signer.as_ref().map_err(|error| ChainError::Signer(*error))?,
        };
        let validity = check_validity(signer.not_before, signer.not_after, self.means.moment);
        if let Err(ChainError::NotYetValid { not_before }) = validity {
            self.change(not_before);
        }
        validity?;
        // LF-17, CA-7: whoever signs others is no workload.
        if signer.public_key == self.leaf.public_key {
            return Err(ChainError::LeafKey);
        }
        // CA-3. RFC 5280 leaves the path length of an anchor open, as it does its constraints (NC-9); here both count.
        if signer.path_len.is_some_and(|most| counted(below) > most) {
            return Err(ChainError::PathLength);
        }
        self.check_names(&signer.constraints, below)?;
        self.check_not_revoked(candidate)
    }

    /// NC-1: those of the leaf and of signing certificates alike.
    fn check_names(&mut self, constraints: &NameConstraints, below: &[Step<'s>]) -> Result<(), ChainError> {
        if constraints.is_empty() {
            return Ok(());
        }
        let below = below.iter().map(|step| (step.number, &step.link.fields));
        for (number, fields) in below.chain([(0, self.leaf)]) {
            let names = self.names.entry(number).or_insert_with(|| fields.names().read());
            let checked = constraints.check(names, &mut self.comparisons_left);
            checked.map_err(ChainError::NameConstraint)?;
        }
        Ok(())
    }

    fn check_not_revoked(&mut self, candidate: Candidate<'_>) -> Result<(), ChainError> {
        // Digests are not taken for nothing.
        if self.means.revocations.is_empty() {
            return Ok(());
        }
        match find_revocation(self.means.revocations, &candidate.revocable(), self.means.now) {
            None => Ok(()),
            Some(revocation) => {
                revocation.until.iter().for_each(|until| self.change(*until));
                Err(ChainError::Revoked {
                    reason: revocation.reason.clone(),
                })
            }
        }
    }

    fn path(&self, below: &[Step<'_>], authority: &Authority) -> Path {
        let ends = below.iter().map(|step| step.link.fields.not_after);
        let valid_until = ends
            .chain([authority.signer.not_after])
            .min()
            .unwrap_or(self.leaf.not_after);
        let links = below.iter().map(|step| step.link.fields.revocable());
        Path {
            valid_until: valid_until.min(self.leaf.not_after),
            authority: authority.revocable.sha256,
            signers: links.chain([authority.revocable.clone()]).collect(),
            others: self.others(below, authority),
        }
    }

    /// Those beside the path that bear the name of an issuer on the way up from the leaf.
    fn others(&self, below: &[Step<'_>], authority: &Authority) -> Vec<[u8; 32]> {
        let links = self.candidates.iter().filter_map(|candidate| match candidate {
            Candidate::Link(link) => Some(*link),
            Candidate::Authority(_) => None,
        });
        let mut left: Vec<&Link<'_>> = links.collect();
        let mut wanted = vec![&self.leaf.issuer];
        let mut others = Vec::new();
        while let Some(name) = wanted.pop() {
            let (named, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|link| link.fields.subject == *name);
            wanted.extend(named.iter().map(|link| &link.fields.issuer));
            others.extend(named);
            left = rest;
        }
        let is_beside = |link: &&Link<'_>| !below.iter().any(|step| std::ptr::eq(step.link, *link));
        let digests = others.into_iter().filter(is_beside).map(|link| link.fields.sha256());
        digests.filter(|digest| *digest != authority.revocable.sha256).collect()
    }

    fn no_issuer(&self, child: &Fields<'_>, signed: usize) -> ChainError {
        let moment = self.means.moment;
        let authorities = &self.means.bundle.authorities;
        let outside = authorities.iter().filter(|authority| {
            let signer = &authority.signer;
            check_validity(signer.not_before, signer.not_after, moment).is_err()
        });
        ChainError::UnknownAuthority {
            authorities: authorities.len(),
            outside_validity: outside.count(),
            issuer: Issuer::of(child, signed),
        }
    }

    fn note(&mut self, signed: usize, kind: FaultKind, why: ChainError) {
        let rank = Rank { signed, kind };
        // The first of its kind is the one that was meant most.
        if self.fault.as_ref().is_none_or(|known| known.rank < rank) {
            self.fault = Some(Fault { rank, why });
        }
    }

    fn change(&mut self, at: Timestamp) {
        if at > self.means.now {
            self.changes = Some(self.changes.map_or(at, |known| known.min(at)));
        }
    }
}

fn is_same_signer(step: &Step<'_>, candidate: Candidate<'_>) -> bool {
    let fields = &step.link.fields;
    fields.subject == candidate.subject() && fields.public_key == candidate.public_key()
}

/// The entry of any list that holds now for a certificate.
pub(crate) fn find_revocation<'l>(
    lists: &[&'l Revocations],
    certificate: &Fingerprints,
    now: Timestamp,
) -> Option<&'l Revocation> {
    lists.iter().find_map(|list| list.find_certificate(certificate, now))
}

/// How many signing certificates count for the path length of what stands above them. RFC 5280 6.1.4 (l) leaves out
/// those that an authority issued to itself for its next key. DEVIATION: of several in a row only the uppermost is left
/// out. Where all authorities bear one name (SPIRE before 1.8.4) each of them looks so, and a path length would mean
/// nothing.
fn counted(below: &[Step<'_>]) -> usize {
    let mut count = 0usize;
    let mut is_row = false;
    for fields in below.iter().rev().map(|step| &step.link.fields) {
        let is_self_issued = fields.subject == fields.issuer;
        if is_row || !is_self_issued {
            count = count.saturating_add(1);
        }
        is_row = is_self_issued;
    }
    count
}

fn bad_signature(child: &Fields<'_>, candidate: Candidate<'_>, namesakes: usize) -> ChainError {
    ChainError::BadSignature {
        namesakes,
        is_meant: closeness(child.issuer_key_id.as_deref(), candidate.key_id()) == Closeness::Meant,
    }
}
