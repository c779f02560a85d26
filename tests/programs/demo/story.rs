//! The second part: trust changes while traffic flows. Each step is checked, and told with the seconds since the start.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use support::{
    ca::{Authority, Profile, real_now},
    world::OWN,
};
use tokio::time::sleep;

use crate::{
    people::{API, OPERATOR, OTHER_TENANT, TENANT, api, warehouse},
    setting::{Setting, yaml},
    traffic::{ALLOWED, CLOSED, Live, REFUSED, Traffic, settle},
};

const ORDERS: &str = "/orders/7";
const INVOICES: &str = "/invoices/acme/42";
const DELIVERIES: &str = "/deliveries/3";
const ORDER_FEED: &str = "/orders/feed";
const INVOICE_FEED: &str = "/invoices/acme/feed";
/// Of the tenant that comes by the gateway.
const BROUGHT: &str = "/invoices/globex/42";
const BROUGHT_FEED: &str = "/invoices/globex/feed";

/// How long to show that nothing happens.
const WHILE: Duration = Duration::from_secs(2);
/// `max_staleness` of the partner in policy.yaml.
const MAX_STALENESS: SignedDuration = SignedDuration::from_hours(6);

/// How often a source has not answered.
const FAILED: &str = "wasmcustom.svidgate.source_events_total.failed";

/// What a step found that should not be.
type Step<T = ()> = Result<T, String>;

struct Story<'s> {
    setting: &'s mut Setting,
    start: Instant,
    /// The authority that follows the first one of our trust domain.
    next: Authority,
    /// Requests that were allowed, of peers that have been stopped.
    allowed: usize,
}

/// The authority that our trust domain has in the end.
pub(crate) fn next_authority(setting: &Setting) -> Authority {
    Authority::root(Profile {
        common_name: Some(format!("{OWN} authority 2")),
        ..Profile::authority(OWN, setting.world.now)
    })
}

/// Tells the whole story, or where it went wrong.
pub(crate) async fn tell(setting: &mut Setting, next: Authority) -> Step {
    let mut story = Story {
        setting,
        start: Instant::now(),
        next,
        allowed: 0,
    };
    let [shop, tenant, supplier] = story.begin();
    let feed = story.open_feed(INVOICE_FEED, &story.tenant()).await?;
    // First, as the gateway's SVID is of the authority that the rotation withdraws.
    story.revoke(&tenant).await?;
    let shop = story.rotate(shop).await?;
    story.lose_the_endpoint(&tenant).await?;
    story.empty_the_bundle(tenant, feed).await?;
    story.end([shop, supplier]).await
}

impl Story<'_> {
    fn say(&self, text: &str) {
        println!("{:5.1} s  {text}", self.start.elapsed().as_secs_f64());
    }

    fn begin(&self) -> [Traffic; 3] {
        let (web, setting) = (self.setting.web(), &self.setting);
        let peers = [
            Traffic::start(web, &api(&setting.world.own, &setting.world), ORDERS),
            Traffic::start(web, &self.tenant(), INVOICES),
            Traffic::start(web, &warehouse(&setting.supplier, &setting.world), DELIVERIES),
        ];
        self.say("one peer of each trust domain sends requests, without a pause until this ends:");
        self.say("  prod.example (bundle from the Workload API), partner.example (from its bundle endpoint),");
        self.say("  supplier.example (from the document)");
        peers
    }

    /// Two ids of the partner are revoked, and no other: one of a peer, and one of a caller that our gateway brings.
    async fn revoke(&mut self, tenant: &Traffic) -> Step {
        let operator = self.setting.world.partner_identity("/ns/billing/ops");
        let brought = self.setting.world.partner_identity("/ns/billing/tenant/globex");
        let gateway = self.setting.gateway.listener_addr("certificates");
        let download = Live::download(gateway, &brought, BROUGHT_FEED).await?;
        let database = self.setting.envoy.listener_addr("database");
        let live = Live::database(database, &operator).await?;
        self.say("partner.example/ns/billing/ops has a connection to the database, and");
        self.say("  partner.example/ns/billing/tenant/globex a download, brought by our gateway");
        sleep(WHILE / 2).await;
        let entries = json!([
            { "id": OPERATOR, "reason": "laptop stolen" },
            { "id": OTHER_TENANT, "reason": "contract ended" },
        ]);
        self.setting.sources.revoke(&entries, 2);
        let published = Instant::now();
        self.say("both ids are written into the list of revocations");
        let reason = self.cut(live, published, OPERATOR).await?;
        self.say(&format!("the connection is cut, {reason}"));
        let reason = self.cut(download, published, OTHER_TENANT).await?;
        self.say(&format!("the download is cut behind the gateway, {reason}"));
        settle(self.setting.web(), &operator, ORDERS, CLOSED).await?;
        settle(gateway, &brought, BROUGHT, REFUSED).await?;
        settle(gateway, &self.tenant(), INVOICES, ALLOWED).await?;
        let before = tenant.allowed();
        sleep(WHILE / 2).await;
        self.goes_on(tenant, before)?;
        self.say("both are refused from now on; the other ids of partner.example go on, by the gateway, too");
        Ok(())
    }

    /// A second authority is published, SVIDs of both are in use, the first is withdrawn. Gives the peer with a new
    /// SVID.
    async fn rotate(&mut self, old_peer: Traffic) -> Step<Traffic> {
        let (web, world) = (self.setting.web(), &self.setting.world);
        let (old, new) = (api(&world.own, world), api(&self.next, world));
        let old_feed = self.open_feed(ORDER_FEED, &old).await?;
        sleep(WHILE).await;
        self.say("prod.example rotates its CA: the Workload API brings a second authority beside the first");
        self.setting.sources.publish_own(&[&self.setting.world.own, &self.next]);
        let settled = settle(web, &new, ORDERS, ALLOWED).await?;
        let new_peer = Traffic::start(web, &new, ORDERS);
        let new_feed = self.open_feed(ORDER_FEED, &new).await?;
        self.say(&format!(
            "an SVID of the second authority was accepted {} later, and ever since; a peer with one sends requests too",
            seconds(settled.after)
        ));
        let before = (old_peer.allowed(), new_peer.allowed());
        sleep(WHILE).await;
        self.say(&format!(
            "both are in use: {} requests with an old SVID and {} with a new one allowed meanwhile",
            old_peer.allowed() - before.0,
            new_peer.allowed() - before.1
        ));
        self.allowed += old_peer.stop().await?;
        self.say("the first authority is withdrawn");
        self.setting.sources.publish_own(&[&self.next]);
        let reason = self.cut(old_feed, Instant::now(), API).await?;
        self.say(&format!("the download with the old SVID is cut, {reason}"));
        settle(web, &old, ORDERS, CLOSED).await?;
        if !new_feed.is_open() {
            return Err("the download with the new SVID was cut".to_owned());
        }
        self.say("the download with the new SVID goes on; the old SVID is refused");
        Ok(new_peer)
    }

    /// The partner's endpoint goes away, and its last bundle stays.
    async fn lose_the_endpoint(&mut self, tenant: &Traffic) -> Step {
        if yaml("policy.yaml")["federation"][0]["max_staleness"] != "6h" {
            return Err("policy.yaml has another `max_staleness` of the partner than is told here".to_owned());
        }
        let failed = self.setting.envoy.stat(FAILED).await;
        self.setting.sources.partner.stop();
        let until = real_now() + MAX_STALENESS;
        self.say("the bundle endpoint of partner.example goes down");
        let before = tenant.allowed();
        self.setting.envoy.wait_stat(FAILED, failed + 2).await;
        sleep(WHILE / 2).await;
        let allowed = self.goes_on(tenant, before)?;
        self.say(&format!(
            "asked twice in vain, svidgate goes on with its last good bundle, until {} at the latest (max_staleness: 6h);",
            clock(until)
        ));
        self.say(&format!("  {allowed} requests of partner.example allowed meanwhile"));
        Ok(())
    }

    /// The endpoint comes back and says that nothing of the partner is valid.
    async fn empty_the_bundle(&mut self, tenant: Traffic, feed: Live) -> Step {
        let web = self.setting.web();
        self.allowed += tenant.stop().await?;
        self.setting.sources.publish_partner(&[], 2);
        self.setting.sources.partner.start_again();
        let published = Instant::now();
        self.say("it comes back with an empty list of keys: nothing of partner.example is valid any more");
        let reason = self.cut(feed, published, TENANT).await?;
        self.say(&format!("the download of its tenant is cut, {reason}"));
        let settled = settle(web, &self.tenant(), INVOICES, CLOSED).await?;
        self.say(&format!(
            "everything of partner.example is refused from then on: {} more attempts, all in vain",
            settled.asked - settled.answered
        ));
        Ok(())
    }

    async fn end(mut self, peers: [Traffic; 2]) -> Step {
        for peer in peers {
            self.allowed += peer.stop().await?;
        }
        self.say(&format!(
            "prod.example and supplier.example go on; of {} good requests in all not one was refused",
            self.allowed
        ));
        Ok(())
    }

    fn tenant(&self) -> support::ca::Identity {
        self.setting.world.partner_identity("/ns/billing/tenant/acme")
    }

    async fn open_feed(&self, path: &str, identity: &support::ca::Identity) -> Step<Live> {
        Live::download(self.setting.web(), identity, path).await
    }

    /// How many requests were allowed since there were `before`.
    fn goes_on(&self, peer: &Traffic, before: usize) -> Step<usize> {
        match peer.allowed() - before {
            0 => Err("requests of partner.example do not go on".to_owned()),
            allowed => Ok(allowed),
        }
    }

    /// Waits until a connection of this id is cut; gives how long that took, and the reason in the access log.
    async fn cut(&self, live: Live, since: Instant, id: &str) -> Step<String> {
        let after = live.cut(since).await?;
        // An entry of the access log is there within 20 ms.
        for _ in 0..100 {
            let envoy = &self.setting.envoy;
            let entries = [envoy.request_log("web"), envoy.connection_log("database")].concat();
            if let Some(reason) = entries.iter().find_map(|entry| cut_reason(entry, id)) {
                return Ok(format!("{} later: {reason}", seconds(after)));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Err(format!("the access log does not say that a connection of {id} was cut"))
    }
}

/// The reason in the entry of a connection or stream of this id that was cut.
fn cut_reason(entry: &Value, id: &str) -> Option<String> {
    let record: Value = serde_json::from_str(entry["svidgate"].as_str()?).ok()?;
    let is_it = record["cut"] == true && record["id"] == id;
    is_it.then(|| record["reason"].as_str().map(str::to_owned))?
}

fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

fn clock(time: Timestamp) -> String {
    time.strftime("%H:%M UTC").to_string()
}
