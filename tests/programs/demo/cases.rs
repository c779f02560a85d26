//! Who asks for what, and what should come of it.

/// Somebody with a certificate, or without.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "`label` says who each is")]
pub enum Who {
    ShopApi,
    Tenant,
    PartnerOps,
    /// A partner's id, signed by our own authority.
    ForeignIdOwnAuthority,
    /// Our id, signed by the partner's authority.
    OwnIdForeignAuthority,
    Unfederated,
    OutOfScope,
    Expired,
    TwoUriSans,
    SigningCertificate,
    NoCertificate,
    PlainText,
    /// A service of ours that shows the tenant's certificate in a header, as the gateway does.
    Forger,
    /// The gateway, without anybody whom it brings.
    Gateway,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "`label` says what each is")]
pub enum Asks {
    Http(&'static str, &'static str),
    /// Of the gateway, which brings it by its certificate.
    ByGateway(&'static str),
    /// Of the gateway, which brings it by a token for this audience.
    ByToken(&'static str, Audience),
    Database,
    Greeter,
}

/// For whom a token is.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the document of the demo names ours")]
pub enum Audience {
    Ours,
    Another,
}

/// One attempt, with what should come of it.
#[derive(Debug)]
pub struct Case {
    /// Who asks.
    pub who: Who,
    /// For what.
    pub asks: Asks,
    /// What comes back: a status, or what becomes of the connection.
    pub answer: &'static str,
    /// The reason code in the access log.
    pub reason: &'static str,
}

impl Who {
    /// As the table of the demo writes it.
    pub fn label(self) -> &'static str {
        match self {
            Self::ShopApi => "prod.example/ns/shop/sa/api",
            Self::Tenant => "partner.example/ns/billing/tenant/acme",
            Self::PartnerOps => "partner.example/ns/billing/ops",
            Self::ForeignIdOwnAuthority => "partner.example/... signed by prod's CA",
            Self::OwnIdForeignAuthority => "prod.example/... signed by partner's CA",
            Self::Unfederated => "stranger.example/api",
            Self::OutOfScope => "partner.example/ns/research/sa/x",
            Self::Expired => "prod.example/ns/shop/sa/api, expired",
            Self::TwoUriSans => "two URI SANs, the second an operator's",
            Self::SigningCertificate => "prod.example/..., a signing certificate",
            Self::NoCertificate => "(TLS without a client certificate)",
            Self::PlainText => "(plain text)",
            Self::Forger => "prod.example/... with acme's in a header",
            Self::Gateway => "prod.example/ns/edge/sa/gateway, itself",
        }
    }
}

impl Asks {
    /// As the table of the demo writes it.
    pub fn label(self) -> String {
        match self {
            Self::Http(method, path) => format!("{method} {path}"),
            Self::ByGateway(path) => format!("GET {path}, by gateway"),
            Self::ByToken(path, Audience::Ours) => format!("GET {path}, by token"),
            Self::ByToken(path, Audience::Another) => format!("GET {path}, another's token"),
            Self::Database => "TCP to the database".to_owned(),
            Self::Greeter => "TCP, the server speaks first".to_owned(),
        }
    }
}

const INVOICE: &str = "/invoices/acme/42";

/// Every case, in the order shown.
pub fn all() -> Vec<Case> {
    let http = |who, method, path, answer, reason| Case {
        who,
        asks: Asks::Http(method, path),
        answer,
        reason,
    };
    let other = |who, asks, answer, reason| Case {
        who,
        asks,
        answer,
        reason,
    };
    vec![
        http(Who::ShopApi, "GET", "/orders/7", "200", "rule.allowed"),
        http(Who::ShopApi, "POST", "/orders/7", "403", "rule.none_matched"),
        http(
            Who::ShopApi,
            "GET",
            "/orders/%2e%2e/admin",
            "403",
            "request.ambiguous_path",
        ),
        http(Who::Tenant, "GET", INVOICE, "200", "rule.allowed"),
        http(Who::Tenant, "GET", "/invoices/other/42", "403", "rule.none_matched"),
        http(Who::PartnerOps, "GET", "/orders/7", "200", "rule.allowed"),
        http(Who::PartnerOps, "GET", "/admin/keys", "403", "rule.denied"),
        http(
            Who::ForeignIdOwnAuthority,
            "GET",
            INVOICE,
            "closed",
            "svid.unknown_authority",
        ),
        http(
            Who::OwnIdForeignAuthority,
            "GET",
            "/orders/7",
            "closed",
            "svid.unknown_authority",
        ),
        http(
            Who::Unfederated,
            "GET",
            "/orders/7",
            "closed",
            "federation.unknown_trust_domain",
        ),
        http(Who::OutOfScope, "GET", "/orders/7", "closed", "federation.out_of_scope"),
        http(Who::Expired, "GET", "/orders/7", "closed", "svid.expired"),
        http(Who::TwoUriSans, "GET", "/orders/7", "closed", "svid.multiple_uri_sans"),
        http(Who::SigningCertificate, "GET", "/orders/7", "closed", "svid.is_ca"),
        http(
            Who::NoCertificate,
            "GET",
            "/orders/7",
            "closed",
            "connection.no_certificate",
        ),
        http(Who::PlainText, "GET", "/orders/7", "closed", "connection.plaintext"),
        other(Who::ShopApi, Asks::Database, "echo", "rule.allowed"),
        other(Who::Tenant, Asks::Database, "never dialled", "rule.none_matched"),
        other(Who::ShopApi, Asks::Greeter, "greeting", "rule.allowed"),
        other(Who::Tenant, Asks::Greeter, "no byte", "rule.none_matched"),
        other(Who::Tenant, Asks::ByGateway(INVOICE), "200", "rule.allowed"),
        other(
            Who::PartnerOps,
            Asks::ByGateway("/orders/7"),
            "403",
            "assertion.not_allowed",
        ),
        other(
            Who::Tenant,
            Asks::ByToken(INVOICE, Audience::Ours),
            "200",
            "rule.allowed",
        ),
        other(
            Who::Tenant,
            Asks::ByToken(INVOICE, Audience::Another),
            "403",
            "token.wrong_audience",
        ),
        http(Who::Forger, "GET", INVOICE, "403", "rule.none_matched"),
        http(Who::Gateway, "GET", INVOICE, "403", "assertion.missing"),
    ]
}
