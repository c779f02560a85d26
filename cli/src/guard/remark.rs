//! What can be said of a door, and what does it make of it?

use std::fmt;

use crate::{
    codes::guard,
    finding::{Code, Level},
};

/// Whether a door has the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// svidgate decides on all that comes in.
    Guarded,
    /// Nobody gets through, whoever it is.
    Shut,
    /// It could not be told. Never rounded to guarded.
    NotKnown,
    /// Something comes in that svidgate does not decide on.
    Open,
}

impl Verdict {
    /// As reports have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Shut => "shut",
            Self::NotKnown => "not known",
            Self::Open => "NOT GUARDED",
        }
    }

    /// As JSON has it.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Shut => "shut",
            Self::NotKnown => "not_known",
            Self::Open => "not_guarded",
        }
    }
}

/// What a remark makes of its door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// To be known; the door stays what it is.
    Note,
    /// To be looked at; the door stays what it is.
    Warning,
    /// Nobody gets through.
    Shuts,
    /// It cannot be told.
    Doubt,
    /// It is open.
    Opens,
}

impl Effect {
    /// How bad that is.
    pub const fn level(self) -> Level {
        match self {
            Self::Note | Self::Shuts => Level::Note,
            Self::Warning | Self::Doubt => Level::Warning,
            Self::Opens => Level::Error,
        }
    }
}

/// One sentence about a door, or about the whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// Which kind.
    pub kind: Kind,
    /// What was found.
    pub text: String,
    /// Where in the door: a route, an upgrade. Empty for the whole of it.
    pub place: String,
}

impl Remark {
    /// About the whole of a door.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            place: String::new(),
        }
    }

    /// About a part of it.
    pub fn at(kind: Kind, text: impl Into<String>, place: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            place: place.into(),
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.text)
        } else {
            write!(f, "{}: {}", self.place, self.text)
        }
    }
}

/// The verdict that remarks come to.
pub fn verdict<'r>(remarks: impl Iterator<Item = &'r Remark>) -> Verdict {
    let of = |remark: &Remark| match remark.kind.effect() {
        Effect::Note | Effect::Warning => Verdict::Guarded,
        // A part that is shut does not shut the door.
        Effect::Shuts if remark.place.is_empty() => Verdict::Shut,
        Effect::Shuts => Verdict::Guarded,
        Effect::Doubt => Verdict::NotKnown,
        Effect::Opens => Verdict::Open,
    };
    remarks.map(of).max().unwrap_or(Verdict::Guarded)
}

macro_rules! kinds {
    ($( $(#[doc = $doc:literal])* $name:ident = $page:ident, $effect:ident, $right:literal; )*) => {
        /// The kinds of remarks. Several may have one page.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $( $(#[doc = $doc])* $name, )* }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Kind] = &[ $( Self::$name, )* ];

            /// Its page.
            pub fn code(self) -> &'static Code {
                match self { $( Self::$name => &guard::$page, )* }
            }

            /// What it makes of a door.
            pub const fn effect(self) -> Effect {
                match self { $( Self::$name => Effect::$effect, )* }
            }

            /// What would be right.
            pub const fn right(self) -> &'static str {
                match self { $( Self::$name => $right, )* }
            }
        }
    };
}

kinds! {
    /// No filter of svidgate stands there.
    NoGate = NO_GATE, Opens, "put `svidgate.connection` first into the filter chain, and in front of HTTP `svidgate.request` before the router";
    /// The network filter alone, in front of HTTP.
    NoRequestFilter = NO_GATE, Opens, "put `svidgate.request` before the router, with the same document";
    /// A route switches the HTTP filter off.
    SwitchedOff = SWITCHED_OFF, Opens, "take the route's `typed_per_filter_config` for this filter away";
    /// The HTTP filter is off unless a route switches it on, and this one does not.
    NotSwitchedOn = SWITCHED_OFF, Opens, "take `disabled: true` off the filter, or switch it on here under the filter's own name";
    /// The filter gives up when its VM dies or its code does not come.
    FailsOpen = FAILS_OPEN, Opens, "`failure_policy: FAIL_RELOAD`";
    /// The document blocks nothing.
    DryRun = DRY_RUN, Opens, "`mode: enforce` in the document, once its records say what you want";
    /// Nobody verifies chains.
    NobodyVerifies = NOBODY_VERIFIES, Opens, "`chain: verify` in the document, or Envoy's SPIFFE validator in the validation context";
    /// An upgrade has HTTP filters of its own, without ours.
    UpgradeWithoutGate = NO_GATE, Opens, "put `svidgate.request` into the upgrade's `filters`, or leave these out: then those of the connection manager count";
    /// Until the discovered filter has come another one is there.
    DefaultIsOpen = DEFAULT_OPEN, Opens, "leave `default_config` out: nobody gets through until the filter has come";
    /// Our module in a place that it is not for.
    Misplaced = MISPLACED, Opens, "`root_id: svidgate.connection` for a network filter, `svidgate.request` for an HTTP filter";
    /// A document for requests in front of what has none.
    NoRequestsBehind = MISPLACED, Opens, "`listener: tcp` or `tcp_server_first` in the document";
    /// The admin interface can be reached from elsewhere.
    AdminReachable = ADMIN, Opens, "give `admin` an address of loopback, or a pipe";
    /// Another document than was expected.
    OtherDocument = NOT_EXPECTED, Opens, "roll out the document that the file of `--expect` names";
    /// A listener that was expected is not there.
    MissingListener = NOT_EXPECTED, Opens, "name the listeners of this proxy in the file of `--expect`";
    /// Filter chains are chosen by a matcher.
    ChainMatcher = MATCHER, Doubt, "`filter_chain_match` in each chain, which is understood";
    /// A filter may be skipped by what a request says.
    FilterMatcher = MATCHER, Doubt, "put the filter there by itself";
    /// A filter that runs others.
    Composite = MATCHER, Doubt, "put `svidgate.request` before it, by itself";
    /// A route changes the filter in a way that cannot be read.
    Override = UNREAD, Doubt, "take the route's `typed_per_filter_config` for this filter away";
    /// A filter comes by discovery and is not there.
    FilterNotHere = NOT_HERE, Doubt, "give the `/config_dump` of the running Envoy, with its section `EcdsConfigDump`";
    /// Routes come by discovery and are not there.
    RoutesNotHere = NOT_HERE, Doubt, "give the `/config_dump` of the running Envoy, with its section `RoutesConfigDump`";
    /// Listeners come by discovery and are not there.
    ListenersNotHere = NOT_HERE, Doubt, "give the `/config_dump` of the running Envoy";
    /// Routes are found while a request is under way.
    RoutesOnDemand = ON_DEMAND, Doubt, "`route_config` or `rds`, which are understood";
    /// The listener is behind another one of this Envoy.
    Internal = INSIDE, Doubt, "see that only a listener that demands a certificate leads there, and who may write its filter state";
    /// What stands before our filter is not known here.
    UnknownBefore = MAY_ANSWER, Doubt, "put svidgate before it";
    /// Datagrams.
    Udp = OTHER_KIND, Doubt, "look at it by hand: a network filter sees nothing of HTTP/3";
    /// A listener without an address of its own.
    Api = OTHER_KIND, Doubt, "look at it by hand";
    /// A member that this version does not know.
    UnknownMember = UNREAD, Doubt, "a newer `svidgate`, or look at it by hand";
    /// The document cannot be read, or Envoy will refuse it.
    BadDocument = BAD_DOCUMENT, Doubt, "`svidgate check` says what is wrong with the document";
    /// A build of Envoy may leave the filter out.
    Optional = OPTIONAL, Doubt, "take `is_optional` off the filter";
    /// All authorities are in one pool.
    PooledAuthorities = POOLED, Doubt, "`chain: verify` in the document, or Envoy's SPIFFE validator in the validation context";
    /// The certificate's authorities come by discovery and are not there.
    TrustNotHere = NOT_HERE, Doubt, "give the `/config_dump` of the running Envoy, with its section `SecretsConfigDump`";
    /// It is configured and was not seen at work.
    NotAtWork = NOT_AT_WORK, Doubt, "look at the log of Envoy for `svidgate`";
    /// Something that cannot be read.
    Unreadable = UNREAD, Doubt, "let Envoy judge it: `envoy --mode validate`";
    /// The native form of svidgate.
    Native = OTHER_KIND, Doubt, "look at it by hand: dynamic modules are not judged";
    /// Something else writes what the lock or a document believes.
    Forged = FORGED, Doubt, "leave keys of filter state that begin with `wasm.` to svidgate";
    /// Where the peer stands, another filter has written it.
    SharedPeer = INSIDE, Doubt, "see who may write that filter state";
    /// A route is chosen by what a filter does.
    FilterAction = MATCHER, Doubt, "look at it by hand";
    /// Only the lock holds it shut.
    ShutByLock = SHUT, Shuts, "put svidgate back: nobody gets through";
    /// Nothing is behind.
    NothingBehind = SHUT, Shuts, "nothing to do";
    /// A deny stands where the filter should.
    DenyInstead = SHUT, Shuts, "see why the module has not come: the log of Envoy or of the mesh's agent";
    /// What stands behind has no requests, and svidgate closes all.
    ClosesAll = SHUT, Shuts, "`listener` in the document must be what stands behind";
    /// There is no TLS.
    Plaintext = SHUT, Shuts, "a `transport_socket` with TLS that demands a client certificate";
    /// Nobody is asked for a certificate.
    NobodyAsked = SHUT, Shuts, "`require_client_certificate: true` and a validation context";
    /// The two filters have two documents.
    TwoDocuments = TWO_DOCUMENTS, Warning, "give both filters one document";
    /// The HTTP filter alone.
    NoConnectionFilter = ONE_FILTER, Warning, "put `svidgate.connection` first into the filter chain: without it a stranger gets to send a request";
    /// Who shows no certificate gets as far as svidgate.
    CertificateNotDemanded = CERTIFICATE, Warning, "`require_client_certificate: true`";
    /// The document reads a header that this listener does not write.
    XfccNotOurs = XFCC, Warning, "`forward_client_cert_details: SANITIZE_SET`, with `cert: true` and `chain: true`; for `xfcc: hop` FORWARD_ONLY, for `hop_appended` APPEND_FORWARD";
    /// The upstream gets what a client says of its certificate.
    XfccForwarded = XFCC, Warning, "`forward_client_cert_details: SANITIZE` or `SANITIZE_SET`";
    /// Nobody looks at a resumed session.
    Resumption = RESUMPTION, Warning, "`disable_stateless_session_resumption` and `disable_stateful_session_resumption`, or `chain: verify`";
    /// An update was refused; what ran before goes on.
    Refused = REFUSED, Warning, "mend what the update brings, or take it back";
    /// It would be open again if the filter were taken back.
    DefaultBehind = DEFAULT_BEHIND, Warning, "leave `default_config` out";
    /// Something is answered before svidgate.
    AnswersBefore = ANSWERS, Warning, "put svidgate before it, unless that may be";
    /// A mark without a lock, or the other way round.
    LockAndMark = LOCK, Warning, "`mark_passed: true` in the document, and the lock behind (docs/listener.md)";
    /// Not there yet, or about to go.
    OtherState = OTHER_STATE, Warning, "look again in a moment";
    /// Wasm filters of this version see no certificate.
    OldEnvoy = OLD_ENVOY, Warning, "put `set_filter_state` before it (docs/listener.md, \"Where the leaf comes from\")";
    /// Two listeners share a plugin's name, and have two documents.
    SharedName = TWO_DOCUMENTS, Warning, "give each listener's plugins a `name` of their own";
    /// The upstream is dialled before svidgate has decided.
    DialsEarly = DIALS_EARLY, Warning, "`upstream_connect_mode: ON_DOWNSTREAM_DATA` (`ON_DOWNSTREAM_TLS_HANDSHAKE` for `tcp_server_first`) and `max_early_data_bytes`";
    /// A failure of the network filter lets pass, and the HTTP filter holds.
    ConnectionFailsOpen = FAILS_OPEN, Warning, "`failure_policy: FAIL_RELOAD`";
    /// The code is fetched.
    Fetched = FETCHED, Note, "`--admin` says whether it has come";
    /// The two filters have two VMs.
    TwoVms = TWO_DOCUMENTS, Note, "give both one `vm_id`";
    /// A route switches on what is not there.
    NoSuchFilter = SWITCHED_OFF, Note, "the route must name a filter as the connection manager does";
    /// It leads to another listener of this Envoy.
    LeadsInside = INSIDE, Doubt, "see that the inner listener is guarded";
    /// Accepted without a guard.
    Accepted = ACCEPTED, Note, "nothing to do";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_part_opens_its_door_and_shut_part_does_not_shut_it() {
        let remarks =
            |of: &[(Kind, &str)]| -> Vec<_> { of.iter().map(|(kind, place)| Remark::at(*kind, "", *place)).collect() };
        for (found, expected) in [
            (remarks(&[]), Verdict::Guarded),
            (remarks(&[(Kind::ShutByLock, "route `a`")]), Verdict::Guarded),
            (remarks(&[(Kind::ShutByLock, "")]), Verdict::Shut),
            (
                remarks(&[(Kind::ShutByLock, ""), (Kind::Override, "")]),
                Verdict::NotKnown,
            ),
            (
                remarks(&[(Kind::Override, ""), (Kind::SwitchedOff, "route `a`")]),
                Verdict::Open,
            ),
        ] {
            assert_eq!(verdict(found.iter()), expected, "{found:?}");
        }
    }
}
