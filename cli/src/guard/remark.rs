//! What can be said of a door, and what does it make of it?

use std::fmt;

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

/// One sentence about a door, or about the whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// Which kind.
    pub code: Code,
    /// What was found.
    pub text: String,
    /// Where in the door: a route, an upgrade. Empty for the whole of it.
    pub place: String,
}

impl Remark {
    /// About the whole of a door.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            place: String::new(),
        }
    }

    /// About a part of it.
    pub fn at(code: Code, text: impl Into<String>, place: impl Into<String>) -> Self {
        Self {
            code,
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
    let of = |remark: &Remark| match remark.code.effect() {
        Effect::Note | Effect::Warning => Verdict::Guarded,
        // A part that is shut does not shut the door.
        Effect::Shuts if remark.place.is_empty() => Verdict::Shut,
        Effect::Shuts => Verdict::Guarded,
        Effect::Doubt => Verdict::NotKnown,
        Effect::Opens => Verdict::Open,
    };
    remarks.map(of).max().unwrap_or(Verdict::Guarded)
}

macro_rules! codes {
    ($( $(#[doc = $doc:literal])* $name:ident = $number:literal, $effect:ident, $advice:literal; )*) => {
        /// The kinds of remarks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $( $(#[doc = $doc])* $name, )* }

        impl Code {
            /// All of them, by number.
            pub const ALL: &'static [Code] = &[ $( Self::$name, )* ];

            /// As it is looked up: `SG0601`.
            pub const fn number(self) -> &'static str {
                match self { $( Self::$name => $number, )* }
            }

            /// What it makes of a door.
            pub const fn effect(self) -> Effect {
                match self { $( Self::$name => Effect::$effect, )* }
            }

            /// What would be right.
            pub const fn advice(self) -> &'static str {
                match self { $( Self::$name => $advice, )* }
            }
        }
    };
}

codes! {
    /// No filter of svidgate stands there.
    NoGate = "SG0601", Opens, "put `svidgate.connection` first into the filter chain, and in front of HTTP `svidgate.request` before the router";
    /// The network filter alone, in front of HTTP.
    NoRequestFilter = "SG0602", Opens, "put `svidgate.request` before the router, with the same document";
    /// Something that answers stands before the network filter.
    NotFirst = "SG0603", Opens, "put `svidgate.connection` first into the filter chain";
    /// A route switches the HTTP filter off.
    SwitchedOff = "SG0604", Opens, "take the route's `typed_per_filter_config` for this filter away";
    /// The HTTP filter is off unless a route switches it on, and this one does not.
    NotSwitchedOn = "SG0605", Opens, "take `disabled: true` off the filter, or switch it on here under the filter's own name";
    /// The filter gives up when its VM dies or its code does not come.
    FailsOpen = "SG0606", Opens, "`failure_policy: FAIL_RELOAD`";
    /// The document blocks nothing.
    DryRun = "SG0607", Opens, "`mode: enforce` in the document, once its records say what you want";
    /// Nobody verifies chains.
    NobodyVerifies = "SG0608", Opens, "`chain: verify` in the document, or Envoy's SPIFFE validator in the validation context";
    /// An upgrade has HTTP filters of its own, without ours.
    UpgradeWithoutGate = "SG0609", Opens, "put `svidgate.request` into the upgrade's `filters`, or leave these out: then those of the connection manager count";
    /// Until the discovered filter has come another one is there.
    DefaultIsOpen = "SG0610", Opens, "leave `default_config` out: nobody gets through until the filter has come";
    /// Our module in a place that it is not for.
    Misplaced = "SG0611", Opens, "`root_id: svidgate.connection` for a network filter, `svidgate.request` for an HTTP filter";
    /// A document for requests in front of what has none.
    NoRequestsBehind = "SG0612", Opens, "`listener: tcp` or `tcp_server_first` in the document";
    /// The admin interface can be reached from elsewhere.
    AdminReachable = "SG0613", Opens, "give `admin` an address of loopback, or a pipe";
    /// Another document than was expected.
    OtherDocument = "SG0614", Opens, "roll out the document that the file of `--expect` names";
    /// A listener that was expected is not there.
    MissingListener = "SG0615", Opens, "name the listeners of this proxy in the file of `--expect`";

    /// Filter chains are chosen by a matcher.
    ChainMatcher = "SG0631", Doubt, "`filter_chain_match` in each chain, which is understood";
    /// A filter may be skipped by what a request says.
    FilterMatcher = "SG0632", Doubt, "put the filter there by itself";
    /// A filter that runs others.
    Composite = "SG0633", Doubt, "put `svidgate.request` before it, by itself";
    /// A route changes the filter in a way that cannot be read.
    Override = "SG0634", Doubt, "take the route's `typed_per_filter_config` for this filter away";
    /// A filter comes by discovery and is not there.
    FilterNotHere = "SG0635", Doubt, "give the `/config_dump` of the running Envoy, with its section `EcdsConfigDump`";
    /// Routes come by discovery and are not there.
    RoutesNotHere = "SG0636", Doubt, "give the `/config_dump` of the running Envoy, with its section `RoutesConfigDump`";
    /// Listeners come by discovery and are not there.
    ListenersNotHere = "SG0637", Doubt, "give the `/config_dump` of the running Envoy";
    /// Routes are found while a request is under way.
    RoutesOnDemand = "SG0638", Doubt, "`route_config` or `rds`, which are understood";
    /// The listener is behind another one of this Envoy.
    Internal = "SG0639", Doubt, "see that only a listener that demands a certificate leads there, and who may write its filter state";
    /// What stands before our filter is not known here.
    UnknownBefore = "SG0640", Doubt, "put svidgate before it";
    /// Datagrams.
    Udp = "SG0641", Doubt, "look at it by hand: a network filter sees nothing of HTTP/3";
    /// A listener without an address of its own.
    Api = "SG0642", Doubt, "look at it by hand";
    /// A member that this version does not know.
    UnknownMember = "SG0643", Doubt, "a newer `svidgate`, or look at it by hand";
    /// The document cannot be read, or Envoy will refuse it.
    BadDocument = "SG0644", Doubt, "`svidgate check` says what is wrong with the document";
    /// A build of Envoy may leave the filter out.
    Optional = "SG0645", Doubt, "take `is_optional` off the filter";
    /// All authorities are in one pool.
    PooledAuthorities = "SG0646", Doubt, "`chain: verify` in the document, or Envoy's SPIFFE validator in the validation context";
    /// The certificate's authorities come by discovery and are not there.
    TrustNotHere = "SG0647", Doubt, "give the `/config_dump` of the running Envoy, with its section `SecretsConfigDump`";
    /// It is configured and was not seen at work.
    NotAtWork = "SG0648", Doubt, "look at the log of Envoy for `svidgate`";
    /// Something that cannot be read.
    Unreadable = "SG0649", Doubt, "let Envoy judge it: `envoy --mode validate`";
    /// The native form of svidgate.
    Native = "SG0650", Doubt, "look at it by hand: dynamic modules are not judged";
    /// Something else writes what the lock or a document believes.
    Forged = "SG0651", Doubt, "leave keys of filter state that begin with `wasm.` to svidgate";
    /// Where the peer stands, another filter has written it.
    SharedPeer = "SG0652", Doubt, "see who may write that filter state";
    /// A route is chosen by what a filter does.
    FilterAction = "SG0653", Doubt, "look at it by hand";

    /// Only the lock holds it shut.
    ShutByLock = "SG0660", Shuts, "put svidgate back: nobody gets through";
    /// Nothing is behind.
    NothingBehind = "SG0661", Shuts, "nothing to do";
    /// A deny stands where the filter should.
    DenyInstead = "SG0662", Shuts, "see why the module has not come: the log of Envoy or of the mesh's agent";
    /// What stands behind has no requests, and svidgate closes all.
    ClosesAll = "SG0663", Shuts, "`listener` in the document must be what stands behind";
    /// There is no TLS.
    Plaintext = "SG0664", Shuts, "a `transport_socket` with TLS that demands a client certificate";
    /// Nobody is asked for a certificate.
    NobodyAsked = "SG0665", Shuts, "`require_client_certificate: true` and a validation context";

    /// The two filters have two documents.
    TwoDocuments = "SG0670", Warning, "give both filters one document";
    /// The HTTP filter alone.
    NoConnectionFilter = "SG0671", Warning, "put `svidgate.connection` first into the filter chain: without it a stranger gets to send a request";
    /// Who shows no certificate gets as far as svidgate.
    CertificateNotDemanded = "SG0672", Warning, "`require_client_certificate: true`";
    /// The document reads a header that this listener does not write.
    XfccNotOurs = "SG0673", Warning, "`forward_client_cert_details: SANITIZE_SET`, with `cert: true` and `chain: true`";
    /// The upstream gets what a client says of its certificate.
    XfccForwarded = "SG0674", Warning, "`forward_client_cert_details: SANITIZE` or `SANITIZE_SET`";
    /// Nobody looks at a resumed session.
    Resumption = "SG0675", Warning, "`disable_stateless_session_resumption` and `disable_stateful_session_resumption`, or `chain: verify`";
    /// An update was refused; what ran before goes on.
    Refused = "SG0676", Warning, "mend what the update brings, or take it back";
    /// It would be open again if the filter were taken back.
    DefaultBehind = "SG0677", Warning, "leave `default_config` out";
    /// Something is answered before svidgate.
    AnswersBefore = "SG0678", Warning, "put svidgate before it, unless that may be";
    /// A mark without a lock, or the other way round.
    LockAndMark = "SG0679", Warning, "`mark_passed: true` in the document, and the lock behind (docs/listener.md)";
    /// Not there yet, or about to go.
    OtherState = "SG0680", Warning, "look again in a moment";
    /// Wasm filters of this version see no certificate.
    OldEnvoy = "SG0681", Warning, "put `set_filter_state` before it (docs/listener.md, \"Where the leaf comes from\")";
    /// Two listeners share a plugin's name, and have two documents.
    SharedName = "SG0682", Warning, "give each listener's plugins a `name` of their own";
    /// The upstream is dialled before svidgate has decided.
    DialsEarly = "SG0683", Warning, "`upstream_connect_mode: ON_DOWNSTREAM_DATA` (`ON_DOWNSTREAM_TLS_HANDSHAKE` for `tcp_server_first`) and `max_early_data_bytes`";
    /// A failure of the network filter lets pass, and the HTTP filter holds.
    ConnectionFailsOpen = "SG0684", Warning, "`failure_policy: FAIL_RELOAD`";

    /// The code is fetched.
    Fetched = "SG0690", Note, "`--admin` says whether it has come";
    /// The two filters have two VMs.
    TwoVms = "SG0691", Note, "give both one `vm_id`";
    /// A route switches on what is not there.
    NoSuchFilter = "SG0692", Note, "the route must name a filter as the connection manager does";
    /// It leads to another listener of this Envoy.
    LeadsInside = "SG0693", Doubt, "see that the inner listener is guarded";
    /// Accepted without a guard.
    Accepted = "SG0694", Note, "nothing to do";
    /// For what goes out.
    Outbound = "SG0695", Note, "nothing to do; `--outbound` judges it, too";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_in_order() {
        let numbers: Vec<_> = Code::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.is_sorted_by(|one, two| one < two), "{numbers:?}");
    }

    #[test]
    fn open_part_opens_its_door_and_shut_part_does_not_shut_it() {
        let remarks =
            |of: &[(Code, &str)]| -> Vec<_> { of.iter().map(|(code, place)| Remark::at(*code, "", *place)).collect() };
        for (found, expected) in [
            (remarks(&[]), Verdict::Guarded),
            (remarks(&[(Code::ShutByLock, "route `a`")]), Verdict::Guarded),
            (remarks(&[(Code::ShutByLock, "")]), Verdict::Shut),
            (
                remarks(&[(Code::ShutByLock, ""), (Code::Override, "")]),
                Verdict::NotKnown,
            ),
            (
                remarks(&[(Code::Override, ""), (Code::SwitchedOff, "route `a`")]),
                Verdict::Open,
            ),
        ] {
            assert_eq!(verdict(found.iter()), expected, "{found:?}");
        }
    }
}
