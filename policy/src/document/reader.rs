//! Reading a document so that every mistake in it is found at once, each with its place and what would be right.
//!
//! A typed `serde` stops at the first mistake. Here the tree is walked by hand: a reader that meets a mistake notes it
//! and goes on with what it can still read. What was read beside mistakes is never used, only checked further.

use std::{borrow::Cow, collections::HashMap, fmt};

use crate::{
    certificate::{error::CertificateError, signer::SigningError},
    json::Json,
    name::{host::HostPatternError, id::SpiffeIdError},
    pattern::segments::PatternError,
    quoted::{Escaped, Quoted},
    rules::header::{Expression, MAX_EXPRESSIONS},
    trust::bundle_error::BundleError,
};

/// Where in the document something stands: `rules[3].from[0]`.
#[derive(Clone, Copy)]
pub(crate) enum Place<'p> {
    Root,
    Member(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
}

impl Place<'_> {
    pub(crate) fn member<'p>(&'p self, name: &'p str) -> Place<'p> {
        Place::Member(self, name)
    }

    pub(crate) fn item(&self, index: usize) -> Place<'_> {
        Place::Item(self, index)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Place::Root, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A mistake in a configuration document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// Where: `rules[3].from[0]`; empty for the document as a whole.
    pub place: String,
    /// What.
    pub mistake: Mistake,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            write!(f, "document: {}", self.mistake)
        } else {
            write!(f, "{}: {}", self.place, self.mistake)
        }
    }
}

impl std::error::Error for CompileError {}

/// What can be wrong in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Not JSON or YAML at all, with line and column.
    Syntax(String),
    /// Too many bytes.
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bound: usize,
    },
    /// A list of revocations has more patterns than it may have.
    TooManyPatterns {
        /// How many.
        patterns: usize,
        /// The bound.
        bound: usize,
    },
    /// More entries than a bound allows.
    TooMany {
        /// How many.
        entries: usize,
        /// The bound.
        bound: usize,
    },
    /// A member that does not exist.
    UnknownField {
        /// Those that do.
        known: &'static [&'static str],
    },
    /// A member that must be there.
    Missing,
    /// Another type of value.
    WrongType {
        /// What would be right.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// Not one of a few words.
    NotOneOf {
        /// What is there.
        found: String,
        /// What would be right.
        choices: &'static [&'static str],
    },
    /// An empty list.
    Empty,
    /// An object without any of the members that demand something.
    NoDemand {
        /// Those.
        demands: &'static [&'static str],
        /// What to write where nothing is to be demanded.
        otherwise: &'static str,
    },
    /// Not what the words say.
    Expected(&'static str),
    /// A trust domain or an id.
    Id(SpiffeIdError),
    /// An id or path pattern.
    Pattern(PatternError),
    /// A host pattern.
    HostName(HostPatternError),
    /// A bundle.
    Bundle(BundleError),
    /// A certificate.
    Certificate(CertificateError),
    /// A certificate that may not sign others.
    Signer(SigningError),
    /// A regular expression, with the library's own words.
    Expression(String),
    /// One regular expression too many.
    TooManyExpressions {
        /// The bound.
        bound: usize,
    },
    /// A pattern names a trust domain that there is no relationship with.
    UnknownTrustDomain {
        /// Which.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The same trust domain twice, or our own among the foreign ones.
    RepeatedTrustDomain {
        /// Which.
        name: String,
    },
    /// Two rules of one name.
    RepeatedName {
        /// The place in `rules` of the first.
        first: usize,
    },
    /// Two hops of one name.
    RepeatedHop {
        /// The place in `hops` of the first.
        first: usize,
    },
    /// A rule names a hop that is none.
    UnknownHop {
        /// Which.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A hop through which no rule lets anybody.
    UnusedHop,
    /// A hop may bring an id that brings others itself.
    BringsHop {
        /// The pattern of the other.
        peer: String,
        /// Its place in `hops`.
        hop: usize,
    },
    /// A peer may bring one id by two entries.
    AmbiguousHop {
        /// The pattern of the other.
        callers: String,
        /// Its place in `hops`.
        hop: usize,
    },
    /// A capture that only one side of a rule has.
    OneSidedCapture {
        /// Its name.
        name: String,
        /// The side that lacks it.
        missing_from: &'static str,
    },
    /// A rule that no request can ever match.
    NeverMatches(&'static str),
    /// Whether it can match would take too long to find out.
    TooManyComparisons {
        /// The bound.
        bound: u32,
    },
}

/// At most this many mistakes are reported; a document with more is another kind of document.
pub(crate) const MAX_MISTAKES: usize = 100;

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => f.write_str(error),
            Self::TooLarge { bytes, bound } => write!(f, "{bytes} bytes (at most {bound})"),
            Self::TooManyPatterns { patterns, bound } => {
                write!(
                    f,
                    "{patterns} ids with `*` or `**` (at most {bound}: each is compared with every id)"
                )
            }
            Self::TooMany { entries, bound } => write!(f, "{entries} entries (at most {bound})"),
            Self::UnknownField { known } => write!(f, "unknown field (known: {})", Quoted(known)),
            Self::Missing => f.write_str("is missing"),
            Self::WrongType { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::NotOneOf { found, choices } => write!(f, "`{}` is not one of {}", Escaped(found), Quoted(choices)),
            Self::Empty => f.write_str("is an empty list (leave it out where nothing is demanded)"),
            Self::NoDemand { demands, otherwise } => {
                write!(f, "demands nothing: expected one of {} ({otherwise})", Quoted(demands))
            }
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::Id(error) => write!(f, "{error}"),
            Self::Pattern(error) => write!(f, "{error}"),
            Self::HostName(error) => write!(f, "{error}"),
            Self::Bundle(error) => write!(f, "{error}"),
            Self::Certificate(error) => write!(f, "{error}"),
            Self::Signer(error) => write!(f, "{error}"),
            Self::Expression(error) => write!(f, "regular expression: {error}"),
            Self::TooManyExpressions { bound } => {
                write!(
                    f,
                    "regular expression: the document has more than {bound} different ones"
                )
            }
            Self::UnknownTrustDomain { name, known } => {
                write!(f, "unknown trust domain `{name}` (known: {})", Quoted(known))
            }
            Self::RepeatedTrustDomain { name } => write!(f, "trust domain `{name}` is configured already"),
            Self::RepeatedName { first } => write!(f, "rules[{first}] has this name already"),
            Self::RepeatedHop { first } => write!(f, "hops[{first}] has this name already"),
            Self::UnknownHop { name, known } if known.is_empty() => {
                write!(
                    f,
                    "unknown hop `{}` (the document has no `hops`; known: `direct`)",
                    Escaped(name)
                )
            }
            Self::UnknownHop { name, known } => {
                write!(
                    f,
                    "unknown hop `{}` (known: `direct`, {})",
                    Escaped(name),
                    Quoted(known)
                )
            }
            Self::UnusedHop => f.write_str("no allow rule names it in `via`, so it brings nobody"),
            Self::BringsHop { peer, hop } => write!(
                f,
                "brings who brings others itself: `{peer}` of hops[{hop}].peers is among them (add it to `except`)"
            ),
            Self::AmbiguousHop { callers, hop } => write!(
                f,
                "overlaps with `{callers}` of hops[{hop}], which has the same peer: which entry it is would be the \
                 peer's to choose (add `except` to one of them)"
            ),
            Self::OneSidedCapture { name, missing_from } => {
                write!(
                    f,
                    "capture `{{{}}}` is missing from {missing_from} (it must appear on both sides to compare)",
                    Escaped(name)
                )
            }
            Self::NeverMatches(because) => write!(f, "can never match: {because}"),
            Self::TooManyComparisons { bound } => write!(
                f,
                "takes too long to compare with `except` and the relationship's scope: up to here the document has \
                 more than {bound} segments to compare (write fewer exceptions, or patterns in place of many ids)"
            ),
        }
    }
}

/// Collects mistakes while a document is read.
#[derive(Default)]
pub(crate) struct Reader {
    mistakes: Vec<CompileError>,
    /// Those beyond the bound, too.
    noted: usize,
    /// By their source, so that each is compiled once.
    expressions: HashMap<Box<str>, Result<Expression, String>>,
}

impl Reader {
    pub(crate) fn note(&mut self, place: &Place<'_>, mistake: Mistake) {
        self.noted = self.noted.saturating_add(1);
        if self.mistakes.len() < MAX_MISTAKES {
            self.mistakes.push(CompileError {
                place: place.to_string(),
                mistake,
            });
        }
    }

    /// Notes that something is not there, unless it is there and was noted as wrong.
    pub(crate) fn note_missing(&mut self, place: &Place<'_>) {
        let shown = place.to_string();
        if !self.mistakes.iter().any(|noted| noted.place.starts_with(&shown)) {
            self.note(place, Mistake::Missing);
        }
    }

    /// Notes a list that has more entries than it may have.
    pub(crate) fn check_length(&mut self, place: &Place<'_>, entries: usize, bound: usize) {
        if entries > bound {
            self.note(place, Mistake::TooMany { entries, bound });
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.noted
    }

    pub(crate) fn into_mistakes(self) -> Vec<CompileError> {
        self.mistakes
    }

    /// An object whose members are all among `known`.
    pub(crate) fn object<'j>(
        &mut self,
        json: &'j Json<'j>,
        place: &Place<'_>,
        known: &'static [&'static str],
    ) -> Option<Object<'j>> {
        let Json::Object(members) = json else {
            self.note(
                place,
                Mistake::WrongType {
                    expected: "an object",
                    found: json.kind(),
                },
            );
            return None;
        };
        for (name, _) in members {
            if !known.contains(&name.as_ref()) {
                // A place without a name would read as the whole document.
                let shown = if name.is_empty() {
                    r#""""#.to_owned()
                } else {
                    Escaped(name).to_string()
                };
                self.note(&place.member(&shown), Mistake::UnknownField { known });
            }
        }
        Some(Object { members })
    }

    pub(crate) fn string<'j>(&mut self, json: &'j Json<'j>, place: &Place<'_>) -> Option<&'j str> {
        let text = json.as_str();
        if text.is_none() {
            self.note(
                place,
                Mistake::WrongType {
                    expected: "a string",
                    found: json.kind(),
                },
            );
        }
        text
    }

    pub(crate) fn flag(&mut self, json: &Json, place: &Place<'_>) -> Option<bool> {
        if let Json::Bool(value) = json {
            return Some(*value);
        }
        self.note(
            place,
            Mistake::WrongType {
                expected: "true or false",
                found: json.kind(),
            },
        );
        None
    }

    /// A list with at least one entry, each read by `entry`; entries with mistakes are left out.
    pub(crate) fn list<'j, T>(
        &mut self,
        json: &'j Json<'j>,
        place: &Place<'_>,
        entry: impl FnMut(&mut Self, &'j Json<'j>, &Place<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        if json.as_array().is_some_and(<[_]>::is_empty) {
            self.note(place, Mistake::Empty);
            return None;
        }
        self.list_or_none(json, place, entry)
    }

    /// A list that may be empty, because none is what it then says: no rules, no relationships.
    pub(crate) fn list_or_none<'j, T>(
        &mut self,
        json: &'j Json<'j>,
        place: &Place<'_>,
        mut entry: impl FnMut(&mut Self, &'j Json<'j>, &Place<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(items) = json.as_array() else {
            self.note(
                place,
                Mistake::WrongType {
                    expected: "a list",
                    found: json.kind(),
                },
            );
            return None;
        };
        // Room for just what there is: of a hundred thousand lists most have one entry.
        let mut read = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            read.extend(entry(self, item, &place.item(index)));
        }
        Some(read)
    }

    /// A string, turned into something by a function that may fail.
    pub(crate) fn parsed<T>(
        &mut self,
        json: &Json,
        place: &Place<'_>,
        parse: impl FnOnce(&str) -> Result<T, Mistake>,
    ) -> Option<T> {
        let text = self.string(json, place)?;
        parse(text).map_err(|mistake| self.note(place, mistake)).ok()
    }

    /// A regular expression.
    pub(crate) fn expression(&mut self, json: &Json, place: &Place<'_>) -> Option<Expression> {
        let source = self.string(json, place)?;
        if !self.expressions.contains_key(source) {
            if self.expressions.len() >= MAX_EXPRESSIONS {
                self.note(place, Mistake::TooManyExpressions { bound: MAX_EXPRESSIONS });
                return None;
            }
            let parsed = Expression::parse(source).map_err(|error| {
                // The library draws the source with a mark below; what is wrong stands in the last line.
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.strip_prefix("error: ").unwrap_or(last).to_owned()
            });
            self.expressions.insert(source.into(), parsed);
        }
        match self.expressions.get(source)?.clone() {
            Ok(expression) => Some(expression),
            Err(what) => {
                self.note(place, Mistake::Expression(what));
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        json: &Json,
        place: &Place<'_>,
        words: &'static [&'static str],
        values: &[T],
    ) -> Option<T> {
        self.parsed(json, place, |text| {
            let known = words
                .iter()
                .position(|word| *word == text)
                .and_then(|index| values.get(index));
            known.copied().ok_or_else(|| Mistake::NotOneOf {
                found: text.to_owned(),
                choices: words,
            })
        })
    }
}

/// The members of an object.
#[derive(Clone, Copy)]
pub(crate) struct Object<'j> {
    members: &'j [(Cow<'j, str>, Json<'j>)],
}

impl<'j> Object<'j> {
    /// What was read as an object already, with whatever was wrong noted.
    pub(crate) fn of(json: &'j Json<'j>) -> Option<Self> {
        let Json::Object(members) = json else { return None };
        Some(Self { members })
    }

    /// The names of all that there are.
    pub(crate) fn names(self) -> impl Iterator<Item = &'j str> {
        self.members.iter().map(|(name, _)| name.as_ref())
    }

    pub(crate) fn optional(self, name: &str) -> Option<&'j Json<'j>> {
        self.members
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn required(self, name: &str, reader: &mut Reader, place: &Place<'_>) -> Option<&'j Json<'j>> {
        let value = self.optional(name);
        if value.is_none() {
            reader.note(&place.member(name), Mistake::Missing);
        }
        value
    }
}
