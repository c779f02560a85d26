//! The demo's people: each with an SVID that is right or wrong in one way.

use demo::cases::Who;
use support::{
    ca::{Authority, BasicConstraints, Identity, KeyUsage, Leaf},
    world::World,
};

/// The trust domain whose bundle stands in the document.
pub(crate) const SUPPLIER: &str = "supplier.example";
/// Our own service.
pub(crate) const API: &str = "spiffe://prod.example/ns/shop/sa/api";
/// A tenant of the partner.
pub(crate) const TENANT: &str = "spiffe://partner.example/ns/billing/tenant/acme";
/// Another tenant, who comes by the gateway.
pub(crate) const OTHER_TENANT: &str = "spiffe://partner.example/ns/billing/tenant/globex";
/// Our gateway, which brings tenants.
const GATEWAY: &str = "spiffe://prod.example/ns/edge/sa/gateway";
/// An operator of the partner, who may reach the database too.
pub(crate) const OPERATOR: &str = "spiffe://partner.example/ns/billing/ops";
const WAREHOUSE: &str = "spiffe://supplier.example/warehouse/oslo";

/// The SVID of our own service, from either authority of our trust domain.
pub(crate) fn api(authority: &Authority, world: &World) -> Identity {
    authority.issue(Leaf::svid(API, world.now))
}

/// A warehouse of the supplier.
pub(crate) fn warehouse(authority: &Authority, world: &World) -> Identity {
    authority.issue(Leaf::svid(WAREHOUSE, world.now))
}

/// Our gateway.
pub(crate) fn gateway(world: &World) -> Identity {
    world.own.issue(Leaf::svid(GATEWAY, world.now))
}

/// What the person presents.
pub(crate) fn person(world: &World, who: Who) -> Option<Identity> {
    let (own, now) = (&world.own, world.now);
    let issued = match who {
        Who::ShopApi | Who::Forger => world.own_identity("/ns/shop/sa/api"),
        Who::Gateway => gateway(world),
        Who::Tenant => world.partner_identity("/ns/billing/tenant/acme"),
        Who::PartnerOps => world.partner_identity("/ns/billing/ops"),
        Who::ForeignIdOwnAuthority => own.issue(Leaf::svid(TENANT, now)),
        Who::OwnIdForeignAuthority => world.partner.issue(Leaf::svid(API, now)),
        Who::Unfederated => world.stranger.issue(Leaf::svid("spiffe://stranger.example/api", now)),
        Who::OutOfScope => world.partner_identity("/ns/research/sa/x"),
        Who::Expired => own.issue(Leaf {
            not_after: now - jiff::SignedDuration::from_secs(1),
            ..Leaf::svid(API, now)
        }),
        Who::TwoUriSans => {
            let uris = [
                "spiffe://prod.example/ns/shop/sa/web",
                "spiffe://prod.example/ns/ops/admin",
            ];
            own.issue(Leaf {
                uri_sans: uris.map(str::to_owned).to_vec(),
                ..Leaf::svid(API, now)
            })
        }
        Who::SigningCertificate => own.issue(Leaf {
            basic_constraints: Some(BasicConstraints {
                ca: true,
                path_len: None,
            }),
            key_usage: Some(vec![KeyUsage::DigitalSignature, KeyUsage::KeyCertSign]),
            ..Leaf::svid(API, now)
        }),
        Who::NoCertificate | Who::PlainText => return None,
    };
    Some(issued)
}
