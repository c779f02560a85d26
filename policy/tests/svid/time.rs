//! When an identity holds, and how long.

use ca::{Authority, FIXED_NOW, Leaf, Profile};
use jiff::{SignedDuration, Timestamp};
use svidgate_policy::Reason;
use svidgate_policy::trust::relationship::Relationship;

use crate::verifier::{OURS, Verifier, authority, leaf, reason, relationship};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn intermediate(not_before: Timestamp, not_after: Timestamp) -> Profile {
    Profile {
        common_name: Some("intermediate".into()),
        not_before,
        not_after,
        ..Profile::authority(OURS, FIXED_NOW)
    }
}

#[test]
fn validity_of_a_leaf_holds_on_both_its_ends() {
    let authority = authority();
    let verifier = Verifier::trusting(&authority);
    let leaf = leaf();
    let (first, last) = (leaf.not_before, leaf.not_after);
    let identity = authority.issue(leaf);
    assert_eq!(
        reason(verifier.verify_at(&identity, first - SECOND)),
        Reason::SvidNotYetValid
    );
    assert!(verifier.verify_at(&identity, first).is_ok());
    assert!(verifier.verify_at(&identity, last).is_ok());
    assert_eq!(
        reason(verifier.verify_at(&identity, last + SECOND)),
        Reason::SvidExpired
    );
}

#[test]
fn leaf_that_ends_before_it_begins_is_refused_at_any_time() {
    let authority = authority();
    let verifier = Verifier::trusting(&authority);
    let (begins, ends) = (FIXED_NOW + hours(1), FIXED_NOW - hours(1));
    let identity = authority.issue(Leaf {
        not_before: begins,
        not_after: ends,
        ..leaf()
    });
    for now in [ends - SECOND, ends, FIXED_NOW, begins, begins + SECOND] {
        assert!(verifier.verify_at(&identity, now).is_err(), "{now}");
    }
}

#[test]
fn validity_of_an_authority_holds_on_both_its_ends() {
    let (first, last) = (FIXED_NOW - hours(1), FIXED_NOW + hours(1));
    let authority = Authority::root(Profile {
        not_before: first,
        not_after: last,
        ..Profile::authority(OURS, FIXED_NOW)
    });
    let verifier = Verifier::trusting(&authority);
    let long = Leaf {
        not_before: first - hours(1),
        not_after: last + hours(1),
        ..leaf()
    };
    let identity = authority.issue(long);
    assert!(verifier.verify_at(&identity, first).is_ok());
    assert!(verifier.verify_at(&identity, last).is_ok());
    assert_eq!(
        reason(verifier.verify_at(&identity, first - SECOND)),
        Reason::SvidUnknownAuthority
    );
    assert_eq!(
        reason(verifier.verify_at(&identity, last + SECOND)),
        Reason::SvidUnknownAuthority
    );
}

#[test]
fn expired_authority_does_not_stand_in_the_way_of_a_good_one_of_the_same_name() {
    let expired = Authority::root(Profile {
        not_after: FIXED_NOW - hours(1),
        ..Profile::authority(OURS, FIXED_NOW)
    });
    let good = authority();
    let verifier = Verifier::trusting(&good).bundle(OURS, &[&expired, &good]);
    assert!(verifier.verify(&good.issue(leaf())).is_ok());
    assert_eq!(verifier.refuses(&expired.issue(leaf())), Reason::SvidBadSignature);
}

#[test]
fn validity_of_an_intermediate_holds_on_both_its_ends() {
    let root = authority();
    let verifier = Verifier::trusting(&root);
    let (first, last) = (FIXED_NOW - hours(1), FIXED_NOW + hours(1));
    let long = Leaf {
        not_before: first - hours(1),
        not_after: last + hours(1),
        ..leaf()
    };
    let identity = root.issue_authority(intermediate(first, last)).issue(long);
    assert!(verifier.verify_at(&identity, first).is_ok());
    assert!(verifier.verify_at(&identity, last).is_ok());
    assert_eq!(
        reason(verifier.verify_at(&identity, first - SECOND)),
        Reason::SvidNotYetValid
    );
    assert_eq!(
        reason(verifier.verify_at(&identity, last + SECOND)),
        Reason::SvidExpired
    );
}

#[test]
fn svid_holds_until_the_first_of_its_chain_or_its_relationship_ends() {
    let valid_until = |leaf_hours, intermediate_hours, root_hours, relationship_hours: Option<i64>| {
        let at = |number| FIXED_NOW + hours(number);
        let root = Authority::root(Profile {
            not_after: at(root_hours),
            ..Profile::authority(OURS, FIXED_NOW)
        });
        let issuer = root.issue_authority(intermediate(FIXED_NOW - hours(1), at(intermediate_hours)));
        let expires = relationship_hours.map(at);
        let verifier = Verifier::trusting(&root).relationship(Relationship {
            expires,
            ..relationship(OURS)
        });
        let identity = issuer.issue(Leaf {
            not_after: at(leaf_hours),
            ..leaf()
        });
        verifier.verify(&identity).unwrap().valid_until()
    };
    let at = |number| FIXED_NOW + hours(number);
    assert_eq!(valid_until(1, 2, 3, None), at(1));
    assert_eq!(valid_until(2, 1, 3, None), at(1));
    assert_eq!(valid_until(3, 2, 1, None), at(1));
    assert_eq!(valid_until(2, 2, 2, Some(3)), at(2));
    // The end of a relationship is the first second that it does not cover.
    assert_eq!(valid_until(2, 2, 2, Some(1)), at(1) - SECOND);
}

#[test]
fn lifetime_of_an_svid_is_capped_by_the_relationship() {
    let authority = authority();
    let cap = Relationship {
        svid_max_lifetime: Some(hours(1)),
        ..relationship(OURS)
    };
    let verifier = Verifier::trusting(&authority).relationship(cap);
    let lives = |lifetime: SignedDuration| {
        let not_before = FIXED_NOW - SignedDuration::from_mins(1);
        authority.issue(Leaf {
            not_before,
            not_after: not_before + lifetime,
            ..leaf()
        })
    };
    assert!(verifier.verify(&lives(hours(1))).is_ok());
    // And a quarter more, for issuers that write an earlier notBefore.
    let most = hours(1) + SignedDuration::from_mins(15);
    assert!(verifier.verify(&lives(most)).is_ok());
    assert_eq!(verifier.refuses(&lives(most + SECOND)), Reason::SvidLifetimeTooLong);
    // The whole lifetime counts, not what is left of it.
    let late = FIXED_NOW + SignedDuration::from_mins(50);
    assert_eq!(
        reason(verifier.verify_at(&lives(hours(2)), late)),
        Reason::SvidLifetimeTooLong
    );
}

/// An issuer that means 24 hours writes a notBefore in the past, for clocks that are slow.
#[test]
fn cap_on_lifetimes_has_room_for_issuers_that_backdate_and_is_a_cap_all_the_same() {
    let authority = authority();
    let second = SignedDuration::from_secs;
    let accepted = |cap: SignedDuration, backdated: SignedDuration| {
        let verifier = Verifier::trusting(&authority).relationship(Relationship {
            svid_max_lifetime: Some(cap),
            ..relationship(OURS)
        });
        let identity = authority.issue(Leaf {
            not_before: FIXED_NOW - backdated,
            not_after: FIXED_NOW + cap,
            ..leaf()
        });
        let far = FIXED_NOW + cap + SECOND;
        assert!(
            verifier.verify_at(&identity, far).is_err(),
            "valid no longer than it says"
        );
        match verifier.verify(&identity) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.reason(), Reason::SvidLifetimeTooLong);
                false
            }
        }
    };
    // Istio: 2 minutes. SPIRE: 10 seconds. AWS Private CA: an hour.
    assert!(accepted(hours(24), second(120)));
    assert!(accepted(second(60), second(10)));
    assert!(accepted(hours(24), hours(1)));
    // A share of the cap, and never more than an hour.
    assert!(accepted(second(60), second(15)));
    assert!(!accepted(second(60), second(16)));
    assert!(!accepted(second(60), second(120)));
    assert!(!accepted(hours(24), hours(1) + SECOND));
    assert!(!accepted(hours(24 * 365), hours(1) + SECOND));
    assert!(!accepted(SECOND, SECOND));
}

#[test]
fn last_second_counts_to_its_end_for_leaf_and_authority_alike() {
    let last = FIXED_NOW + hours(1);
    let within = last + SignedDuration::from_millis(999);
    let root = |not_after| {
        Authority::root(Profile {
            not_after,
            ..Profile::authority(OURS, FIXED_NOW)
        })
    };
    for (leaf_ends, root_ends) in [(last, last + hours(1)), (last + hours(1), last), (last, last)] {
        let root = root(root_ends);
        let verifier = Verifier::trusting(&root);
        let identity = root.issue(Leaf {
            not_after: leaf_ends,
            ..leaf()
        });
        let svid = verifier.verify_at(&identity, within).unwrap();
        assert_eq!(svid.valid_until(), last);
        assert!(verifier.verify_at(&identity, last + SECOND).is_err());
    }
    // It has not begun within the second before.
    let root = root(last + hours(1));
    let identity = root.issue(leaf());
    let before = leaf().not_before - SignedDuration::from_millis(1);
    assert_eq!(
        reason(Verifier::trusting(&root).verify_at(&identity, before)),
        Reason::SvidNotYetValid
    );
}

#[test]
fn authority_that_ends_in_the_year_9999_is_accepted() {
    let end = "9999-12-30T00:00:00Z".parse().unwrap();
    let root = Authority::root(Profile {
        not_after: end,
        ..Profile::authority(OURS, FIXED_NOW)
    });
    assert!(Verifier::trusting(&root).verify(&root.issue(leaf())).is_ok());
}
