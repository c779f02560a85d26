//! How is something asked for, and by which way does it come?

use crate::rules::{effect::Effect, hop::Assertion};

/// In which form something is asked for. What is known of it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// One reading of an HTTP request.
    Request,
    /// A request that opens a tunnel, of whose inside no method, path or header is known.
    Tunnel,
    /// A connection of a TCP listener, of which nothing of HTTP is known.
    Connection,
}

/// By which way something comes. A way through more than one hop is none that a gate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Way {
    /// Its caller makes it itself.
    Direct,
    /// A hop brings it, and says by this who the caller is. Through which entry of a document is a matter of the two
    /// ids, so that two documents are asked about the same thing whatever names they have for it.
    Brought(Assertion),
}

/// One of those who are on a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Who {
    /// On whose behalf it comes.
    Caller,
    /// Who brings it.
    Hop,
}

impl Way {
    /// Of whom rules of an effect say something: rights are the caller's, prohibitions everybody's.
    pub(crate) fn asked_by(self, effect: Effect) -> &'static [Who] {
        match (self, effect) {
            (Self::Direct, _) | (Self::Brought(_), Effect::Allow) => &[Who::Caller],
            (Self::Brought(_), Effect::Deny) => &[Who::Caller, Who::Hop],
        }
    }
}

/// A form and a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Manner {
    pub(crate) way: Way,
    pub(crate) form: Form,
}

impl Manner {
    /// All that there are of some forms and ways. A connection is brought by nobody.
    pub(crate) fn all(forms: &[Form], ways: &[Way]) -> Vec<Self> {
        let pairs = ways
            .iter()
            .flat_map(|way| forms.iter().map(move |form| Self { way: *way, form: *form }));
        pairs
            .filter(|manner| manner.way == Way::Direct || manner.form != Form::Connection)
            .collect()
    }
}
