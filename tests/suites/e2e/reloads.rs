//! Which document judges after a VM has trapped and was made anew. The new VM gets each plugin when something comes for
//! it, so that an old connection may bring its own document before anybody brings the newest.

use std::time::{Duration, Instant};

use support::{
    client::{Http, Request},
    envoy::{FailurePolicy, Kind, Listener, Wasm},
    trapping_module_path,
};
use tokio::net::TcpStream;

use crate::{
    documents::{DENIED, How, Old, SERVED, Setting},
    stage::{Filters, reason},
};

/// How long a VM may take to come back: Envoy waits a second, and compiles.
const BACK: Duration = Duration::from_secs(30);
const TIGHTER: &[&str] = &["/a"];
const LOOSER: &[&str] = &["/a", "/b", "/c"];

fn trapping(mut listener: Listener) -> Listener {
    let reload = |wasm: &mut Wasm| {
        wasm.module = trapping_module_path();
        wasm.failure_policy = FailurePolicy::Reload;
    };
    listener.wasm.iter_mut().for_each(reload);
    if let Kind::Http(http) = &mut listener.kind {
        http.wasm.iter_mut().for_each(reload);
    }
    listener
}

/// What is there when the one worker, which had `1` and then `2`, has lost its VM.
struct Trapped {
    setting: Setting,
    old: Old,
    in_handshake: Option<TcpStream>,
    /// Three more old connections that have asked nothing.
    spare: [Http; 3],
}

impl Trapped {
    async fn start(filters: Filters, how: How, paths: &[&str]) -> Self {
        let setting = Setting::shaped(filters, 1, trapping).await;
        let spare = [setting.fresh().await, setting.fresh().await, setting.fresh().await];
        let in_handshake = Some(setting.accepted().await);
        let mut old = Old::start(&setting).await;
        setting.update(filters, how, "2", paths, 2).await;
        // A tick, on which it is noted.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let trap = Request::get("/a").header("x-svidgate-trap", "1");
        let outcome = setting.fresh().await.send(trap).await;
        assert_ne!(outcome.status(), SERVED, "what ended the VM did not pass");
        assert!(
            !old.goes_on(Instant::now()).await,
            "the stream under way ends with its VM"
        );
        Trapped {
            setting,
            old,
            in_handshake,
            spare,
        }
    }

    /// Asks on new connections until one is judged.
    async fn wait_judged(&self, path: &'static str) -> Option<u16> {
        let start = Instant::now();
        loop {
            let status = self.setting.fresh_asks(path).await;
            if [SERVED, DENIED].contains(&status) {
                return status;
            }
            assert!(start.elapsed() < BACK, "the VM does not come back: {status:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn logged(&self) -> usize {
        self.setting.envoy.request_log("web").len()
    }

    /// The reasons of the requests since so many were logged, sorted: entries of several connections have no order.
    async fn reasons_since(&self, before: usize, count: usize) -> Vec<String> {
        let log = self.setting.envoy.wait_request_log("web", before + count).await;
        let mut reasons: Vec<String> = log[before..].iter().map(reason).collect();
        reasons.sort();
        reasons
    }
}

/// Something that only the newest decides, and what.
fn of_the_newest(paths: &[&str]) -> (&'static str, Option<u16>) {
    if paths == LOOSER {
        ("/c", SERVED)
    } else {
        ("/b", DENIED)
    }
}

/// With the HTTP filter alone nothing of a connection was in the VM but its streams.
#[tokio::test]
async fn old_connections_get_nothing_until_the_newest_document_is_back_and_then_what_both_allow() {
    for (how, paths) in [(How::Drained, TIGHTER), (How::Drained, LOOSER), (How::InPlace, TIGHTER)] {
        let mut trapped = Trapped::start(Filters::RequestOnly, how, paths).await;
        // It is an old connection that brings the VM back, with the old document. Both allow `/a`.
        let start = Instant::now();
        loop {
            let brought = trapped.spare[0].get("/a").await.status();
            if brought == DENIED {
                break;
            }
            assert_ne!(brought, SERVED, "{how:?} {paths:?}");
            assert!(start.elapsed() < BACK, "the VM does not come back: {brought:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = trapped.logged();
        assert_eq!(trapped.old.answers().await, [DENIED; 3], "{how:?} {paths:?}");
        let in_handshake = trapped.in_handshake.take().expect("asked once");
        let answer = trapped.setting.goes_through(in_handshake, "/a").await;
        assert_eq!(answer, DENIED, "{how:?} {paths:?}");
        assert_eq!(
            trapped.reasons_since(before, 4).await,
            ["configuration.behind"; 4],
            "{how:?} {paths:?}"
        );

        // A new connection brings the newest.
        let (path, status) = of_the_newest(paths);
        assert_eq!(trapped.wait_judged(path).await, status, "{how:?} {paths:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = trapped.logged();
        let [by_both, by_one] = if paths == LOOSER { ["/b", "/c"] } else { ["/a", "/b"] };
        assert_eq!(
            trapped.spare[1].get(by_both).await.status(),
            SERVED,
            "{how:?} {paths:?}"
        );
        assert_eq!(trapped.spare[2].get(by_one).await.status(), DENIED, "{how:?} {paths:?}");
        let reasons = trapped.reasons_since(before, 2).await;
        assert_eq!(reasons, ["rule.allowed", "rule.none_matched"], "{how:?} {paths:?}");
    }
}

/// With the network filter a connection ends with the VM that it is in.
#[tokio::test]
async fn connections_of_the_network_filter_end_with_its_vm_and_new_ones_get_the_newest_document() {
    for paths in [TIGHTER, LOOSER] {
        let mut trapped = Trapped::start(Filters::Both, How::Drained, paths).await;
        let reached = trapped.setting.upstream.requests().len();
        assert_eq!(trapped.old.answers().await, [None; 3], "{paths:?}");
        assert_eq!(trapped.spare[0].get("/a").await.status(), None, "{paths:?}");
        let in_handshake = trapped.in_handshake.take().expect("asked once");
        let answer = trapped.setting.goes_through(in_handshake, "/a").await;
        assert_eq!(answer, None, "{paths:?}");
        assert_eq!(trapped.setting.upstream.requests().len(), reached, "{paths:?}");

        let (path, status) = of_the_newest(paths);
        assert_eq!(trapped.wait_judged(path).await, status, "{paths:?}");
        assert_eq!(trapped.wait_judged("/a").await, SERVED, "{paths:?}");
    }
}
