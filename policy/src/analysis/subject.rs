//! Which identities and requests is a question about?

use std::borrow::Cow;

use crate::{
    analysis::policy::Policy,
    document::{
        configuration::check_captures,
        hops::ReadHop,
        reader::{CompileError, Mistake, Place, Reader},
        rule::read_rule,
        settings::Listeners,
    },
    json::Json,
    pattern::{
        id_pattern::IdPattern,
        segments::{SegmentPattern, Segments},
    },
    rules::{effect::Effect, rule::Rule},
};

const FIELDS: &[&str] = &["from", "except", "via", "to", "when"];

/// Identities and what they ask for, as a rule says it: `from`, `except`, `via`, `to` and `when`. The ids are those of
/// callers: whoever brings them is meant by the hops in `via`.
#[derive(Clone, Debug)]
pub struct Subject(Rule);

impl Subject {
    /// Reads it from JSON, as a rule of this policy would be read.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn read(text: &[u8], policy: &Policy) -> Result<Self, Vec<CompileError>> {
        let whole = |mistake| CompileError {
            place: String::new(),
            mistake,
        };
        let json = Json::parse(text).map_err(|error| vec![whole(Mistake::Syntax(error.to_string()))])?;
        let mut reader = Reader::default();
        let place = Place::Root;
        if reader.object(&json, &place, FIELDS).is_none() || reader.count() > 0 {
            return Err(reader.into_mistakes());
        }
        let configuration = policy.configuration();
        // What is asked about opens nothing, so what a document for all listeners demands of an allow is not asked.
        let listener = match configuration.listener {
            only @ Listeners::Only(_) => only,
            Listeners::Shared => Listeners::default(),
        };
        let rule = read_rule(
            &mut reader,
            &as_rule(json),
            &place,
            policy.reading().paths,
            listener,
            &known_hops(policy),
        );
        let Some(rule) = rule.filter(|rule| rule.whole) else {
            return Err(reader.into_mistakes());
        };
        check_known(policy, &rule, &mut reader);
        check_captures(&rule, &mut reader, &place);
        if reader.count() > 0 {
            return Err(reader.into_mistakes());
        }
        Ok(Self(rule))
    }

    /// What a rule of this effect would say. In doubt, an allow rule says nothing of a request and a deny rule does.
    pub(crate) fn rule(&self, effect: Effect) -> Rule {
        Rule {
            effect,
            ..self.0.clone()
        }
    }

    /// The same of anybody.
    pub(crate) fn of_anybody(&self, effect: Effect) -> Rule {
        let mut rule = self.rule(effect);
        rule.from = vec![anybody()];
        rule.except = Vec::new();
        rule.via = None;
        let paths = rule.to.iter_mut().filter_map(|target| target.paths.as_mut()).flatten();
        for segment in paths.flat_map(|path| &mut path.segments.list) {
            if matches!(segment, SegmentPattern::Capture(_)) {
                *segment = SegmentPattern::Any;
            }
        }
        rule
    }
}

/// Every id of every trust domain.
pub(crate) fn anybody() -> IdPattern {
    IdPattern {
        trust_domain: None,
        segments: Segments {
            list: Vec::new(),
            rest: true,
        },
    }
}

/// The hops that `via` may name.
fn known_hops(policy: &Policy) -> Vec<ReadHop> {
    let hops = policy.configuration().rules.hops().enumerate();
    let read = hops.map(|(place, hop)| ReadHop {
        place,
        hop: hop.clone(),
        whole: true,
    });
    read.collect()
}

/// With what a rule has beside. The effect is set where it is asked about.
fn as_rule(json: Json<'_>) -> Json<'_> {
    match json {
        Json::Object(mut members) => {
            for (name, value) in [("name", "subject"), ("effect", "deny")] {
                members.push((Cow::Borrowed(name), Json::String(Cow::Borrowed(value))));
            }
            Json::Object(members)
        }
        other @ (Json::Null
        | Json::Bool(_)
        | Json::Unsigned(_)
        | Json::OtherNumber(_)
        | Json::String(_)
        | Json::Array(_)) => other,
    }
}

/// A trust domain that there is no relationship with is a slip: nothing of it is ever allowed.
fn check_known(policy: &Policy, rule: &Rule, reader: &mut Reader) {
    let place = Place::Root;
    let relationships = &policy.configuration().relationships;
    for (side, patterns) in [("from", &rule.from), ("except", &rule.except)] {
        for (index, pattern) in patterns.iter().enumerate() {
            let Some(name) = pattern.trust_domain().filter(|name| relationships.with(name).is_none()) else {
                continue;
            };
            let known = relationships
                .iter()
                .take(10)
                .map(|known| known.trust_domain.to_string())
                .collect();
            let mistake = Mistake::UnknownTrustDomain {
                name: name.to_string(),
                known,
            };
            reader.note(&place.member(side).item(index), mistake);
        }
    }
}
