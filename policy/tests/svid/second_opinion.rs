//! Paths that are drawn at random, judged by a library as well (`rustls-webpki`). Each side has rules that the other
//! has not; where these are left out of the draw, both must say the same.

use std::time::Duration;

use ca::{
    Authority, BasicConstraints, ExtendedKeyUsage, Extension, FIXED_NOW, GeneralName, Key, KeyKind, Profile, der,
};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use svidgate_policy::certificate::signature::ALGORITHMS;
use svidgate_policy::trust::bundle::Bundle;
use svidgate_policy::trust::chain::{self, Purpose};
use webpki::{EndEntityCert, anchor_from_trusted_cert};

use crate::encoding::NOBODY_KNOWS;
use crate::verifier::{OURS, leaf};

/// Enough to meet each pair of faults some times, few enough for a second or two.
const DRAWS: usize = 600;

/// xorshift64: the same draws in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most).unwrap()
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

/// A signing certificate with some of what may be wrong with one, under a name of its own, or one that others may have.
/// Path lengths only in the first case: the library counts those that an authority issued to itself.
fn signing(random: &mut Random, keys: &[Key], own_name: Option<usize>) -> Profile {
    let name = own_name.map_or_else(
        || ["a", "b", "c"][random.below(3)].to_owned(),
        |number| format!("name {number}"),
    );
    let mut profile = Profile {
        common_name: Some(name),
        key: keys[random.below(keys.len() as u64)].clone(),
        uri_sans: Vec::new(),
        ..Profile::authority(OURS, FIXED_NOW)
    };
    profile.subject_key_id = !random.one_in(3);
    profile.authority_key_id = !random.one_in(3);
    match random.below(12) {
        0 => profile.basic_constraints = None,
        1 => profile.not_after = FIXED_NOW - jiff::SignedDuration::from_secs(1),
        2 => profile.not_before = FIXED_NOW + jiff::SignedDuration::from_secs(1),
        3 => profile.extended_key_usage = Some(vec![ExtendedKeyUsage::ServerAuth]),
        4 => profile.extensions = vec![Extension::new(NOBODY_KNOWS, true, der::null())],
        5 => {
            let permitted = [GeneralName::Dns(["a.example", "b.example"][random.below(2)].into())];
            profile.extensions = vec![Extension::name_constraints(&permitted, &[])];
        }
        6 => {
            let excluded = [GeneralName::Dns(["a.example", "b.example"][random.below(2)].into())];
            profile.extensions = vec![Extension::name_constraints(&[], &excluded)];
        }
        7 | 8 if own_name.is_some() => {
            let path_len = Some(u8::try_from(random.below(3)).unwrap());
            profile.basic_constraints = Some(BasicConstraints { ca: true, path_len });
        }
        _ => {}
    }
    profile
}

fn webpki_judges(
    leaf: &[u8],
    beside: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'_>],
) -> Result<(), webpki::Error> {
    let leaf = CertificateDer::from(leaf);
    let end_entity = EndEntityCert::try_from(&leaf)?;
    let anchors: Vec<_> = authorities
        .iter()
        .map(|der| anchor_from_trusted_cert(der).unwrap())
        .collect();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(FIXED_NOW.as_second().unsigned_abs()));
    let algorithms: &[&dyn SignatureVerificationAlgorithm] = ALGORITHMS;
    let usage = webpki::KeyUsage::client_auth();
    end_entity
        .verify_for_usage(algorithms, &anchors, beside, now, usage, None, None)
        .map(|_| ())
}

#[test]
fn library_for_paths_says_the_same_of_paths_that_are_drawn_at_random() {
    let keys: Vec<Key> = (0..4).map(|_| Key::generate(KeyKind::P256)).collect();
    let mut random = Random(0x5eed_5eed_5eed_5eed);
    let (mut accepted, mut refused) = (0, 0);
    for draw in 0..DRAWS {
        // Authorities without faults of their own: the library looks at none of theirs.
        let root = |random: &mut Random| {
            Authority::root(Profile {
                common_name: Some(["a", "b", "root"][random.below(3)].to_owned()),
                key: keys[random.below(keys.len() as u64)].clone(),
                uri_sans: Vec::new(),
                ..Profile::authority(OURS, FIXED_NOW)
            })
        };
        let authorities: Vec<Authority> = (0..=random.below(3)).map(|_| root(&mut random)).collect();
        let mut issuers = authorities.clone();
        let mut beside = Vec::new();
        let own_names = random.one_in(2);
        for number in 0..random.below(6) {
            let issuer = issuers[random.below(issuers.len() as u64)].clone();
            let issued = issuer.issue_authority(signing(&mut random, &keys, own_names.then_some(number)));
            beside.push(issued.certificate.clone());
            issuers.push(issued);
        }
        let issuer = issuers.last().unwrap();
        let mut profile = leaf();
        if random.one_in(2) {
            profile.dns_sans = vec![["x.a.example", "b.example"][random.below(2)].to_owned()];
        }
        let identity = issuer.issue(profile);
        let leaf = if random.one_in(8) {
            identity.forged(1).leaf
        } else {
            identity.leaf
        };
        if random.one_in(4) && !beside.is_empty() {
            beside.remove(random.below(beside.len() as u64));
        }
        let beside: Vec<CertificateDer<'_>> = beside.iter().map(|der| der.as_slice().into()).collect();
        let roots: Vec<CertificateDer<'_>> = authorities
            .iter()
            .map(|one| one.certificate.as_slice().into())
            .collect();
        let bundle = Bundle::from_certificates(authorities.iter().map(|one| one.certificate.clone().into()));
        let ours = chain::verify(&leaf, &beside, &bundle, ALGORITHMS, Purpose::ClientAuth, FIXED_NOW);
        let theirs = webpki_judges(&leaf, &beside, &roots);
        match (ours, theirs) {
            (Ok(_), Ok(())) => accepted += 1,
            (Err(_), Err(_)) => refused += 1,
            (Ok(_), Err(error)) => panic!("draw {draw}: accepted, and the library refuses: {error:?}"),
            (Err(error), Ok(())) => panic!("draw {draw}: refused, and the library accepts: {error}"),
        }
    }
    assert!(
        accepted > DRAWS / 10 && refused > DRAWS / 10,
        "{accepted} accepted, {refused} refused"
    );
}
