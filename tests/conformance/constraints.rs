//! URI name constraints, as the tests of Go's crypto/x509 have them. Each row is run with the certificates that it
//! describes, made here: an authority with the constraints, and below it a leaf with the URI. The path function sees
//! every row as it is. Where the URI is a SPIFFE ID, or becomes one with another scheme, as the file says it should,
//! the whole verifier of SVIDs sees that too.

use ca::{Authority, Extension, FIXED_NOW, GeneralName, Leaf, Profile};
use jiff::SignedDuration;
use serde_json::Value;
use svidgate_policy::certificate::signature::ALGORITHMS;
use svidgate_policy::trust::chain::{self, Purpose};
use svidgate_policy::trust::relationship::{Relationship, Relationships};
use svidgate_policy::trust::svid;
use svidgate_policy::trust::{bundle::Bundle, bundle_set::BundleSet};
use svidgate_policy::{Presented, SpiffeId, Trust};

use crate::results::{Answer, Results};
use crate::vectors::{Vectors, is_true, rows, strings, text};

const KIND: &str = "golang-x509 constraints";
const FILE: &str = "golang-x509/uri_name_constraints.json";

/// Runs `golang-x509/uri_name_constraints.json`.
pub(crate) fn run(vectors: &Vectors, results: &mut Results) {
    let document = match vectors.json(FILE) {
        Some(Ok(document)) => document,
        Some(Err(error)) => return results.unreadable(KIND, FILE, error),
        None => return,
    };
    for case in rows(&document, "cases")
        .iter()
        .chain(rows(&document, "derived_for_spiffe"))
    {
        let uri = text(case, "uri_san");
        let (permitted, excluded) = (strings(case, "permitted_uri"), strings(case, "excluded_uri"));
        let name = format!("permitted {permitted:?} excluded {excluded:?} uri {uri}");
        let expected = Answer::accept_if(is_true(case, "ok"));
        results.check((KIND, FILE, &name), expected.clone(), || {
            if case.get("uri_san").is_none() {
                return Err("no URI".into());
            }
            Ok(path(case, uri))
        });
        let Some(id) = as_spiffe_id(uri) else { continue };
        results.check((KIND, FILE, &format!("{name} as {id}")), expected, || {
            Ok(whole(case, &id))
        });
    }
}

/// The URI with `spiffe` for its scheme, where that is an ID that a leaf may have.
fn as_spiffe_id(uri: &str) -> Option<SpiffeId> {
    let (_scheme, rest) = uri.split_once("://")?;
    SpiffeId::parse(format!("spiffe://{rest}"))
        .ok()
        .filter(|id| !id.path().is_empty())
}

/// An authority with the constraints of the row, and a leaf below it.
fn issue(case: &Value, uri: &str) -> (Authority, Vec<u8>) {
    let names = |member| {
        strings(case, member)
            .into_iter()
            .map(GeneralName::uri)
            .collect::<Vec<_>>()
    };
    let constraints = Extension::name_constraints(&names("permitted_uri"), &names("excluded_uri"));
    let authority = Authority::root(Profile {
        // Its own URI would stand under the constraints of no one, but let it not distract.
        uri_sans: Vec::new(),
        extensions: vec![constraints],
        ..Profile::authority("constrained", FIXED_NOW)
    });
    let leaf = authority
        .issue(Leaf {
            common_name: Some("leaf".into()),
            ..Leaf::svid(uri, FIXED_NOW)
        })
        .leaf;
    (authority, leaf)
}

fn path(case: &Value, uri: &str) -> Answer {
    let (authority, leaf) = issue(case, uri);
    let bundle = Bundle::from_certificates([authority.certificate.into()]);
    Answer::from_result(chain::verify(
        &leaf,
        &[],
        &bundle,
        ALGORITHMS,
        Purpose::ClientAuth,
        FIXED_NOW,
    ))
}

fn whole(case: &Value, id: &SpiffeId) -> Answer {
    let (authority, leaf) = issue(case, id.as_str());
    let trust_domain = id.trust_domain().clone();
    let mut bundles = BundleSet::default();
    bundles.insert(
        trust_domain.clone(),
        Bundle::from_certificates([authority.certificate.into()]),
    );
    let mut relationships = Relationships::default();
    relationships.insert(Relationship::unlimited(trust_domain));
    let presented = Presented {
        leaf: &leaf,
        intermediates: &[],
    };
    let trust = Trust {
        relationships: &relationships,
        bundles: Some(&bundles),
        revocations: &[],
        expiry_grace: SignedDuration::ZERO,
    };
    match svid::verify(presented, ALGORITHMS, &trust, FIXED_NOW) {
        Ok(_) => Answer::accept(),
        Err(error) => Answer::refuse().because(error.reason()),
    }
}
