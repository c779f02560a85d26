//! Which document judges on a worker that is behind another. A worker is behind while it is busy: here with a script in
//! front of the module, which holds it for seconds while its neighbour and the main thread take up a new document.
//!
//! Envoy hands a worker the document before anything that comes after it, so of all that waits nothing is judged
//! without it. Only the call that made the worker busy goes on under the old one. That a worker goes on serving for
//! five seconds and more without a document that others have noted cannot be brought about here;
//! `filter/gate/tests/filter/succession.rs` has what it does then.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{
    client::{Answer, Chunk, Http, PATIENCE, Request},
    envoy::{Kind, Listener},
    upstream::Behaviour,
};
use tokio::task::JoinHandle;

use crate::{
    documents::{DENIED, How, SERVED, Setting},
    stage::{Filters, assert_alive, record},
};

/// How long the worker is busy. More than the five seconds that one may be behind, and less than a client waits.
const BUSY: Duration = Duration::from_secs(8);

/// How much sooner than a busy worker the other answers, at least.
const SLACK: Duration = Duration::from_secs(1);

/// Two ticks and more: by then each worker has found its document in what all have noted. One that never has denies as
/// soon as it finds another there, as a VM does that was made anew.
const IN_PACE: Duration = Duration::from_millis(2500);

/// Holds its worker for the seconds that a header says.
const SCRIPT: &str = r#"
function envoy_on_request(handle)
  local seconds = handle:headers():get("x-busy")
  if seconds then
    local stop = os.time() + tonumber(seconds)
    while os.time() < stop do end
  end
end
"#;

fn holding(mut listener: Listener) -> Listener {
    if let Kind::Http(http) = &mut listener.kind {
        http.filters_before = vec![json!({
            "name": "envoy.filters.http.lua",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                "default_source_code": { "inline_string": SCRIPT },
            },
        })];
    }
    listener
}

/// How many of each kind there are: some of them with each worker.
const MANY: usize = 8;

/// What comes of a request, and when.
type Asked = (&'static str, JoinHandle<(Option<u16>, Instant)>);

/// Two workers that had `1` and get `2`, one of them busy all the while.
struct Behind {
    setting: Setting,
    started: Instant,
    /// Answers that are under way, of both workers.
    downloads: Vec<(Answer, Http)>,
    /// What is asked on connections that are old: used, in their handshake, in their first bytes.
    of_old: Vec<Asked>,
    /// What is asked on new ones.
    of_new: Vec<Asked>,
    /// The request that keeps the worker busy.
    holder: JoinHandle<Option<u16>>,
}

impl Behind {
    /// `busy` is the path of the request that keeps the worker busy, `path` what is asked once the other has the
    /// document.
    async fn start(filters: Filters, how: How, paths: &[&str], busy: &'static str, path: &'static str) -> Self {
        let setting = Setting::shaped(filters, 2, holding).await;
        tokio::time::sleep(IN_PACE).await;
        let half = format!("GET {path} HTTP/1.1\r\nhost: loc");
        let (mut old, mut in_handshake, mut in_first_bytes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..MANY {
            let mut http = setting.fresh().await;
            assert_eq!(http.get("/b").await.status(), SERVED);
            old.push(http);
            in_handshake.push(setting.accepted().await);
            let mut connection = setting.connect().await;
            connection.write(half.as_bytes()).await.unwrap();
            in_first_bytes.push(connection);
        }
        setting.upstream.behave(Behaviour::Stream {
            every: Duration::from_millis(100),
            count: 1000,
        });
        let mut downloads = Vec::new();
        for _ in 0..MANY {
            let mut http = setting.fresh().await;
            downloads.push((http.open(Request::get("/b")).await.unwrap(), http));
        }
        setting.upstream.behave(Behaviour::Answer(200, b"ok".to_vec()));
        let mut holder = setting.fresh().await;
        let started = Instant::now();
        let holder = tokio::spawn(async move {
            let request = Request::get(busy).header("x-busy", BUSY.as_secs().to_string());
            holder.send(request).await.status()
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        setting.update(filters, how, "2", paths, 2).await;
        assert!(started.elapsed() + SLACK * 2 < BUSY, "the machine is too slow for this");

        let (mut of_old, mut of_new) = (Vec::new(), Vec::new());
        for mut http in old {
            of_old.push(("used", timed(async move { http.get(path).await.status() })));
        }
        for accepted in in_handshake {
            of_old.push(("in its handshake", timed(setting.goes_through(accepted, path))));
        }
        for connection in in_first_bytes {
            of_old.push((
                "in its first bytes",
                timed(async move { connection.raw_http1(b"alhost\r\n\r\n").await.status() }),
            ));
        }
        for _ in 0..MANY {
            let accepted = setting.accepted().await;
            of_new.push(("new", timed(setting.goes_through(accepted, path))));
        }
        Behind {
            setting,
            started,
            downloads,
            of_old,
            of_new,
            holder,
        }
    }

    /// Asserts what has come of all that was asked, and that both workers were asked.
    async fn assert_answers(&mut self, old: Option<u16>, new: Option<u16>) {
        let mut of = [0, 0];
        let asked = self.of_old.drain(..).map(|asked| (asked, old));
        for ((what, asked), wanted) in asked.chain(self.of_new.drain(..).map(|asked| (asked, new))) {
            let (status, at) = asked.await.unwrap();
            let is_late = at > self.started + BUSY - SLACK;
            assert_eq!(status, wanted, "{what}, late: {is_late}");
            of[usize::from(is_late)] += 1;
        }
        assert!(!of.contains(&0), "both workers were asked: {of:?}");
    }

    /// The record of the request that kept the worker busy.
    async fn record_of(&self, busy: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.setting.envoy.request_log("web");
            if let Some(entry) = log.iter().find(|entry| entry["path"] == busy) {
                return record(entry);
            }
            assert!(Instant::now() < deadline, "no entry for {busy}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// That nobody was denied for want of the document.
    async fn assert_nobody_was_behind(&self) {
        let log = self.setting.envoy.request_log("web");
        let behind = log
            .iter()
            .filter(|entry| record(entry)["reason"] == "configuration.behind");
        assert_eq!(behind.count(), 0);
        assert_alive(&self.setting.envoy).await;
    }
}

fn timed(status: impl Future<Output = Option<u16>> + Send + 'static) -> JoinHandle<(Option<u16>, Instant)> {
    tokio::spawn(async move { (status.await, Instant::now()) })
}

/// Whether more comes for half a second.
async fn flows_on(download: &mut Answer) -> bool {
    let end = Instant::now() + Duration::from_millis(500);
    while Instant::now() < end {
        if !matches!(download.next().await, Chunk::Data(_)) {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn tighter_document_judges_all_that_waited_for_a_busy_worker_and_cuts_what_made_it_busy() {
    for (filters, how) in [(Filters::Both, How::Drained), (Filters::RequestOnly, How::InPlace)] {
        let mut behind = Behind::start(filters, how, &["/a"], "/b?busy", "/b").await;
        behind.assert_answers(DENIED, DENIED).await;
        // It was let through by the old document, 8 s after the new one had come to the others.
        assert_eq!((&mut behind.holder).await.unwrap(), DENIED, "{filters:?} {how:?}");
        let cut = behind.record_of("/b?busy").await;
        assert_eq!(
            [&cut["reason"], &cut["version"], &cut["cut"]],
            [&json!("rule.none_matched"), &json!("2"), &json!(true)]
        );
        tokio::time::sleep(Duration::from_secs(3)).await;
        for (download, _of) in &mut behind.downloads {
            assert!(
                !flows_on(download).await,
                "{filters:?} {how:?}: the downloads of both end"
            );
        }
        behind.assert_nobody_was_behind().await;
    }
}

#[tokio::test]
async fn looser_document_gives_old_connections_of_a_busy_worker_nothing_and_new_ones_what_it_allows() {
    for (filters, how) in [(Filters::Both, How::Drained), (Filters::RequestOnly, How::InPlace)] {
        let mut behind = Behind::start(filters, how, &["/a", "/b", "/c"], "/c?busy", "/c").await;
        behind.assert_answers(DENIED, SERVED).await;
        // What made it busy was judged by the old document.
        assert_eq!((&mut behind.holder).await.unwrap(), DENIED, "{filters:?} {how:?}");
        let refused = behind.record_of("/c?busy").await;
        assert_eq!(
            [&refused["reason"], &refused["version"], &refused["cut"]],
            [&json!("rule.none_matched"), &json!("1"), &Value::Null]
        );
        for (download, _of) in &mut behind.downloads {
            assert!(
                flows_on(download).await,
                "{filters:?} {how:?}: nothing is cut that both allow"
            );
        }
        behind.assert_nobody_was_behind().await;
    }
}
