//! From a document to what runs: the whole of it, or every mistake with its place.
//!
//! Here stand the checks that need more than one member: names that must be unique or known, captures that must meet,
//! rules that could never match. A rule that can never match is a mistake in a document, not a matter of taste: it is
//! a deny that protects nothing, or an allow whose author believes that something works.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use jiff::SignedDuration;

use crate::{
    document::{
        hops::{Around, ReadHop, check_are_used, check_hops, check_names_whole_ways, spoken_of},
        jwt_svid::{Tokens, check_tokens},
        members::{Document, parse, read_document},
        peer::{PeerOrigin, check_trust_domains as check_peer_trust_domains},
        reader::{CompileError, MAX_MISTAKES, Mistake, Place, Reader},
        rule::read_rule,
        settings::{AccessLog, ChainMode, Format, Listeners, Mode, XfccMode},
        source::{RevocationSource, Source},
        values::COMPARISON_STEPS,
    },
    effort::Effort,
    json::{Part, Parts},
    name::id::TrustDomain,
    pattern::{id_pattern::IdPattern, segments::Segments},
    rules::{
        effect::Effect,
        hop::HopSet,
        rule::Rule,
        rule_set::{RuleSet, RuleSetBuilder},
    },
    trust::{
        bundle_set::BundleSet,
        relationship::{Relationship, Relationships},
        revocation::Revocations,
    },
};

/// A compiled document: everything that the filter runs on.
#[derive(Debug)]
pub struct Configuration {
    /// The document's own name for itself.
    pub version: String,
    /// Our own trust domain.
    pub trust_domain: TrustDomain,
    /// Whether decisions are enforced.
    pub mode: Mode,
    /// Which listeners it is for.
    pub listener: Listeners,
    /// Who verifies chains.
    pub chain: ChainMode,
    /// Who writes `x-forwarded-client-cert`.
    pub xfcc: XfccMode,
    /// Where the peer of a connection without TLS stands.
    pub peer: PeerOrigin,
    /// What is expected of tokens, where a hop brings some.
    pub tokens: Option<Tokens>,
    /// Whether the upstream is told the id of the caller.
    pub forward_id: bool,
    /// Whether it is told the id of the hop that has brought the request.
    pub forward_via: bool,
    /// Whether the upstream gets `x-forwarded-client-cert`, where it is ours.
    pub forward_xfcc: bool,
    /// Whether each request that is let through is marked, for a second lock behind the HTTP filter.
    pub mark_passed: bool,
    /// Which decisions get an access-log field.
    pub access_log: AccessLog,
    /// How long a peer may take from when its connection is accepted to its first bytes, the handshake included.
    pub first_bytes_timeout: SignedDuration,
    /// For how long past its end the SVID of what is under way is good.
    pub expiry_grace: SignedDuration,
    /// How long before an end it is announced, longest first.
    pub warn_before: Vec<SignedDuration>,
    /// The bundles that the document brings: all there is for a trust domain without a source, else the pin to start
    /// from.
    pub bundles: BundleSet,
    /// The bundle endpoints, by trust domain.
    pub endpoints: BTreeMap<TrustDomain, Source>,
    /// The Workload API, which brings the bundles of trust domains without an endpoint.
    pub workload_api: Option<Source>,
    /// The revocations that the document brings.
    pub revoked: Arc<Revocations>,
    /// Where more of them are fetched.
    pub revocations: Option<RevocationSource>,
    /// The relationships, the one with our own trust domain among them.
    pub relationships: Relationships,
    /// The rules.
    pub rules: RuleSet,
}

impl Configuration {
    /// Where the bundle of a trust domain comes from: from its endpoint where the document names one, else from the
    /// Workload API. `None` where what the document brings is all there is.
    pub fn source_of(&self, trust_domain: &TrustDomain) -> Option<&Source> {
        self.endpoints.get(trust_domain).or(self.workload_api.as_ref())
    }

    /// Compiles a document.
    ///
    /// ```
    /// use svidgate_policy::{Configuration, Format};
    ///
    /// let mistakes = Configuration::compile(br#"{"trust_domain": "Prod", "rules": []}"#, Format::Json).unwrap_err();
    /// let texts: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    /// assert_eq!(texts[0], "trust_domain: trust domain has `P` (allowed: a-z 0-9 . - _)");
    /// ```
    ///
    /// # Errors
    /// Every mistake in the document (at most 100 of them), none of which leaves anything compiled.
    pub fn compile(text: &[u8], format: Format) -> Result<Self, Vec<CompileError>> {
        Self::compile_showing(text, format, |_| {})
    }

    /// The same, and shows each rule as it was read, in the order of the document, before it is taken apart.
    pub(crate) fn compile_showing(
        text: &[u8],
        format: Format,
        show: impl FnMut(&Rule),
    ) -> Result<Self, Vec<CompileError>> {
        let Parts { tree, rules } = parse(text, format).map_err(|error| vec![error])?;
        let mut reader = Reader::default();
        let Some(document) = read_document(&tree, &mut reader) else {
            return Err(reader.into_mistakes());
        };
        drop(tree);
        check_trust_domains(&document, &mut reader);
        check_the_hops(&document, &mut reader);
        let rules = compile_rules(rules, &document, &mut reader, show);
        match document.trust_domain.clone() {
            Some(trust_domain) if reader.count() == 0 => Ok(Self::build(trust_domain, document, rules)),
            _ => Err(reader.into_mistakes()),
        }
    }

    fn build(trust_domain: TrustDomain, document: Document, rules: RuleSet) -> Self {
        let mut bundles = BundleSet::default();
        let mut relationships = Relationships::default();
        relationships.insert(Relationship {
            svid_max_lifetime: document.svid_max_lifetime,
            max_staleness: document.max_staleness,
            intermediates: document.intermediates,
            ..Relationship::unlimited(trust_domain.clone())
        });
        let mut endpoints = BTreeMap::new();
        if let Some(endpoint) = document.bundle.endpoint {
            endpoints.insert(trust_domain.clone(), endpoint);
        }
        if let Some(bundle) = document.bundle.inline {
            bundles.insert(trust_domain.clone(), bundle);
        }
        for federated in document.federation {
            if let Some(bundle) = federated.bundle.inline {
                bundles.insert(federated.relationship.trust_domain.clone(), bundle);
            }
            if let Some(endpoint) = federated.bundle.endpoint {
                endpoints.insert(federated.relationship.trust_domain.clone(), endpoint);
            }
            relationships.insert(federated.relationship);
        }
        let mut warn_before = document.warn_before;
        warn_before.sort_by(|one, two| two.cmp(one));
        Self {
            version: document.version,
            trust_domain,
            mode: document.mode,
            listener: document.listener,
            chain: document.chain,
            xfcc: document.xfcc,
            peer: document.peer.origin,
            tokens: document.tokens,
            forward_id: document.forward_id,
            forward_via: document.forward_via,
            forward_xfcc: document.forward_xfcc,
            mark_passed: document.mark_passed,
            access_log: document.access_log,
            first_bytes_timeout: document.first_bytes_timeout,
            expiry_grace: document.expiry_grace,
            warn_before,
            bundles,
            endpoints,
            workload_api: document.workload_api,
            revoked: Arc::new(document.revoked),
            revocations: document.revocations,
            relationships,
            rules,
        }
    }
}

fn check_trust_domains(document: &Document, reader: &mut Reader) {
    let root = Place::Root;
    // A Workload API brings the bundles that the document does not.
    let verifies = document.chain == ChainMode::Verify && document.peer.origin.has_certificate();
    let bundles_are_needed = verifies && document.workload_api.is_none();
    if bundles_are_needed && document.bundle.is_none() {
        reader.note_missing(&root.member("bundle"));
    }
    if document.chain == ChainMode::Proxy {
        check_proxy_needs_no_source(document, reader);
    }
    let federation = root.member("federation");
    let mut seen: BTreeSet<&TrustDomain> = document.trust_domain.iter().collect();
    for federated in &document.federation {
        let place = federation.item(federated.place);
        let name = &federated.relationship.trust_domain;
        if !seen.insert(name) {
            let mistake = Mistake::RepeatedTrustDomain { name: name.to_string() };
            reader.note(&place.member("trust_domain"), mistake);
        }
        if bundles_are_needed && federated.bundle.is_none() {
            reader.note_missing(&place.member("bundle"));
        }
    }
    let federated = document.federation.iter();
    let foreign = federated.map(|federated| (federated.place, &federated.relationship.trust_domain));
    check_peer_trust_domains(reader, &document.peer, document.trust_domain.as_ref(), foreign);
}

fn check_the_hops(document: &Document, reader: &mut Reader) {
    let around = Around {
        trust_domain: document.trust_domain.as_ref(),
        listener: document.listener,
        chain: document.chain,
        xfcc: document.xfcc,
        mark_passed: document.mark_passed,
    };
    check_hops(reader, &document.hops, &around);
    check_tokens(reader, document.tokens.is_some(), &document.hops);
    let relationships = relationships(document);
    let place = Place::Root;
    let place = place.member("hops");
    for ReadHop { place: index, hop, .. } in document.hops.iter().filter(|read| read.whole) {
        let place = place.item(*index);
        for (side, patterns) in [
            ("peers", hop.peers.ids()),
            ("callers", &hop.callers),
            ("except", &hop.except),
        ] {
            check_known(document, &relationships, patterns, reader, &place.member(side));
            for (index, pattern) in patterns.iter().enumerate() {
                let scope = scope(&relationships, pattern);
                if scope.is_some_and(|scope| !scope.iter().any(|covered| covered.overlaps(pattern))) {
                    reader.note(&place.member(side).item(index), Mistake::NeverMatches(OUT_OF_SCOPE));
                }
            }
        }
    }
}

fn relationships(document: &Document) -> HashMap<&TrustDomain, &Relationship> {
    let federated = document.federation.iter();
    federated
        .map(|federated| (&federated.relationship.trust_domain, &federated.relationship))
        .collect()
}

/// Where the proxy verifies chains no bundle is looked at, so whoever names a source believes that something works.
fn check_proxy_needs_no_source(document: &Document, reader: &mut Reader) {
    let root = Place::Root;
    let mistake = || Mistake::Expected("`chain: verify`, or no source (with `chain: proxy` no bundle is looked at)");
    if document.workload_api.is_some() {
        reader.note(&root.member("authorities"), mistake());
    }
    if document.bundle.endpoint.is_some() {
        reader.note(&root.member("bundle").member("endpoint"), mistake());
    }
    let federation = root.member("federation");
    for federated in document
        .federation
        .iter()
        .filter(|federated| federated.bundle.endpoint.is_some())
    {
        let place = federation.item(federated.place);
        reader.note(&place.member("bundle").member("endpoint"), mistake());
    }
}

/// Reads, checks and takes in rule by rule, so that of each no more than what is compiled stays in memory.
fn compile_rules(
    parts: Vec<Part<'_>>,
    document: &Document,
    reader: &mut Reader,
    mut show: impl FnMut(&Rule),
) -> RuleSet {
    let rules = Place::Root.member("rules");
    let relationships = relationships(document);
    let mut names: HashMap<Box<str>, usize> = HashMap::with_capacity(parts.len());
    let comparisons = Effort::of(COMPARISON_STEPS);
    let hops: Vec<_> = document.hops.iter().map(|read| read.hop.clone()).collect();
    let mut builder = RuleSetBuilder::new(document.reading, hops, parts.len());
    let (before, mut used) = (reader.count(), HopSet::default());
    for (index, part) in parts.into_iter().enumerate() {
        let place = rules.item(index);
        let json = match part.read() {
            Ok(json) => json,
            Err(error) => {
                reader.note(&place, Mistake::Syntax(error.to_string()));
                continue;
            }
        };
        let Some(rule) = read_rule(
            reader,
            &json,
            &place,
            document.reading.paths,
            document.listener,
            &document.hops,
        ) else {
            continue;
        };
        check_name(&rule, index, &mut names, reader, &place);
        if let Some(via) = rule.via.filter(|_| rule.effect == Effect::Allow) {
            used = used.or(via.hops);
        }
        // A rule that was not read whole has lost entries, so places behind them would be wrong.
        if rule.whole {
            let known = [("from", &rule.from), ("except", &rule.except)]
                .map(|(side, patterns)| check_known(document, &relationships, patterns, reader, &place.member(side)));
            let before = reader.count();
            check_captures(&rule, reader, &place);
            // Beside captures that do not meet, and in exceptions with any, what covers what is not the question.
            if known == [true, true] && reader.count() == before {
                check_can_match(&relationships, &rule, &comparisons, reader, &place);
                check_can_come(&document.hops, &rule, &comparisons, reader, &place);
            }
        }
        // Beside a mistake nothing is compiled.
        if reader.count() == 0 {
            show(&rule);
            builder.add(rule);
        }
    }
    // A rule that could not be read may be the one that names it.
    if reader.count() == before {
        check_are_used(reader, &document.hops, used);
    }
    RuleSet(Arc::new(builder.finish()))
}

fn check_name(rule: &Rule, index: usize, names: &mut HashMap<Box<str>, usize>, reader: &mut Reader, place: &Place<'_>) {
    if rule.name.is_empty() {
        return;
    }
    if let Some(first) = names.get(&rule.name) {
        reader.note(&place.member("name"), Mistake::RepeatedName { first: *first });
    } else {
        names.insert(rule.name.clone(), index);
    }
}

/// Every trust domain that patterns name is our own or a foreign one that we have a relationship with.
fn check_known(
    document: &Document,
    relationships: &HashMap<&TrustDomain, &Relationship>,
    patterns: &[IdPattern],
    reader: &mut Reader,
    place: &Place<'_>,
) -> bool {
    // Where our own could not be read, what would be known cannot be said.
    let Some(own) = &document.trust_domain else {
        return false;
    };
    let foreign = || {
        document
            .federation
            .iter()
            .map(|federated| &federated.relationship.trust_domain)
    };
    let mut all_known = true;
    for (index, pattern) in patterns.iter().enumerate() {
        let Some(name) = pattern.trust_domain() else { continue };
        if name == own || relationships.contains_key(name) {
            continue;
        }
        all_known = false;
        let known = std::iter::once(own)
            .chain(foreign())
            .take(10)
            .map(ToString::to_string)
            .collect();
        let mistake = Mistake::UnknownTrustDomain {
            name: name.to_string(),
            known,
        };
        reader.note(&place.item(index), mistake);
    }
    all_known
}

fn captures(segments: &Segments) -> BTreeSet<&str> {
    segments.captures().collect()
}

/// A capture compares an id with a path, so it must be on both sides: in every `from`, and in some path of `to`.
pub(crate) fn check_captures(rule: &Rule, reader: &mut Reader, place: &Place<'_>) {
    let from = place.member("from");
    let in_from: BTreeSet<&str> = rule
        .from
        .iter()
        .flat_map(|pattern| pattern.segments.captures())
        .collect();
    let paths = || rule.to.iter().flat_map(|target| target.paths.iter().flatten());
    let in_paths: BTreeSet<&str> = paths().flat_map(|path| path.segments.captures()).collect();
    let all: BTreeSet<&str> = in_from.union(&in_paths).copied().collect();
    for (index, pattern) in rule.from.iter().enumerate() {
        // A pattern has few captures, so of many names it soon lacks more than are reported.
        for name in all.difference(&captures(&pattern.segments)).take(MAX_MISTAKES) {
            let mistake = Mistake::OneSidedCapture {
                name: (*name).to_owned(),
                missing_from: "this pattern",
            };
            reader.note(&from.item(index), mistake);
        }
    }
    for name in in_from.difference(&in_paths) {
        let mistake = Mistake::OneSidedCapture {
            name: (*name).to_owned(),
            missing_from: "the paths of `to`",
        };
        reader.note(&from, mistake);
    }
    for (index, pattern) in rule.except.iter().enumerate() {
        if let Some(name) = pattern.segments.captures().next() {
            let mistake = Mistake::OneSidedCapture {
                name: name.to_owned(),
                missing_from: "`to`, where an exception does not reach; use `*`",
            };
            reader.note(&place.member("except").item(index), mistake);
        }
    }
}

/// What is said of ids that no leaf can have which is let in.
const OUT_OF_SCOPE: &str = "the relationship's scope covers none of it";

fn check_can_match(
    relationships: &HashMap<&TrustDomain, &Relationship>,
    rule: &Rule,
    comparisons: &Effort,
    reader: &mut Reader,
    place: &Place<'_>,
) {
    let from = place.member("from");
    for (index, pattern) in rule.from.iter().enumerate() {
        // It has been said, and nothing is compiled.
        if comparisons.is_exhausted() {
            return;
        }
        // A segment of it is compared at most once with each pattern, which has a trust domain, too.
        let steps = pattern.segments.list.len().saturating_add(1);
        let scope = scope(relationships, pattern);
        let patterns = rule.except.len().saturating_add(scope.map_or(0, <[_]>::len));
        if !comparisons.spend(steps.saturating_mul(patterns)) {
            let bound = COMPARISON_STEPS;
            return reader.note(&from.item(index), Mistake::TooManyComparisons { bound });
        }
        if rule.except.iter().any(|except| except.covers(pattern)) {
            reader.note(&from.item(index), Mistake::NeverMatches("`except` takes out all of it"));
        } else if scope.is_some_and(|scope| !scope.iter().any(|covered| covered.overlaps(pattern))) {
            reader.note(&from.item(index), Mistake::NeverMatches(OUT_OF_SCOPE));
        }
    }
}

/// A rule about ways through hops alone says something of those whom they bring, and a deny rule of those who do.
fn check_can_come(hops: &[ReadHop], rule: &Rule, comparisons: &Effort, reader: &mut Reader, place: &Place<'_>) {
    // Of those that were not read whole, some are not known.
    let Some(via) = rule.via.filter(|_| hops.iter().all(|read| read.whole)) else {
        return;
    };
    if rule.effect == Effect::Allow {
        check_names_whole_ways(reader, hops, via, &place.member("via"));
    }
    if via.direct {
        return;
    }
    let spoken_of = || spoken_of(hops, via, rule.effect == Effect::Deny);
    let from = place.member("from");
    for (index, pattern) in rule.from.iter().enumerate() {
        let steps = pattern.segments.list.len().saturating_add(1);
        if !comparisons.spend(steps.saturating_mul(spoken_of().count())) {
            let bound = COMPARISON_STEPS;
            return reader.note(&from.item(index), Mistake::TooManyComparisons { bound });
        }
        if !spoken_of().any(|known| known.overlaps(pattern)) {
            reader.note(
                &from.item(index),
                Mistake::NeverMatches("none of it comes through the hops of `via`"),
            );
        }
    }
}

/// What the relationship that a pattern is about is limited to.
fn scope<'r>(relationships: &HashMap<&TrustDomain, &'r Relationship>, pattern: &IdPattern) -> Option<&'r [IdPattern]> {
    let relationship = relationships.get(pattern.trust_domain()?)?;
    relationship.scope.as_deref()
}
