//! Which switches has a document?

/// Whether decisions are enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// They are made and recorded; everything passes.
    DryRun,
}

/// What stands behind the network filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listener {
    /// The HTTP connection manager, and in it the HTTP filter, which decides each request.
    #[default]
    Http,
    /// A TCP proxy whose clients speak first; it dials when we let the first bytes through.
    Tcp,
    /// A TCP proxy whose servers speak first; it dials after the handshake.
    TcpServerFirst,
}

impl Listener {
    /// As documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::TcpServerFirst => "tcp_server_first",
        }
    }

    /// Whether there are requests, or connections only.
    pub fn has_requests(self) -> bool {
        match self {
            Self::Http => true,
            Self::Tcp | Self::TcpServerFirst => false,
        }
    }
}

/// Which listeners a document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listeners {
    /// One of this kind.
    Only(Listener),
    /// All of a workload: each plugin says which it stands in.
    Shared,
}

impl Default for Listeners {
    fn default() -> Self {
        Self::Only(Listener::default())
    }
}

impl Listeners {
    /// Whether there are requests at any of them.
    pub fn have_requests(self) -> bool {
        match self {
            Self::Only(listener) => listener.has_requests(),
            Self::Shared => true,
        }
    }
}

/// Who verifies the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChainMode {
    /// We do.
    #[default]
    Verify,
    /// The proxy does, with the bundle of the leaf's trust domain.
    Proxy,
}

/// Who writes `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XfccMode {
    /// Perhaps the client: it is not read.
    #[default]
    Ignore,
    /// This listener (`SANITIZE_SET`): `Cert` and `Chain` of its last element may be read.
    Own,
    /// The peer (`FORWARD_ONLY`): where it is a hop, the header says who the caller is. Of any other peer it is removed.
    Hop,
    /// The peer, and behind it this listener (`APPEND_FORWARD`): the last element is ours, and those before it are the
    /// peer's.
    HopAppended,
}

impl XfccMode {
    /// Whether what the header says is a hop's word.
    pub fn is_of_hops(self) -> bool {
        match self {
            Self::Hop | Self::HopAppended => true,
            Self::Ignore | Self::Own => false,
        }
    }
}

/// Which decisions get an access-log field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// All.
    #[default]
    All,
    /// Those that are refused, or would be under a rule or a document in a dry run. Saves a call into the proxy for
    /// each request that is allowed.
    Refusals,
}

/// Which language a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As Envoy hands it over.
    Json,
    /// As people keep it in files.
    #[cfg(feature = "yaml")]
    Yaml,
}
