//! Which document judges, on a real proxy: what began under an old one, in whatever state it is, when a tighter or a
//! looser one comes, in place or with a listener that drains, is refused by the proxy, or goes with its listener.
//! `reloads` and `late_worker` ask the same of a VM that was made anew and of a worker that is behind.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use support::{
    ca::Identity,
    client::{Answer, Chunk, Client, Connection, Http, Request},
    envoy::{Cluster, Envoy, Kind, Listener, Scenario},
    upstream::{Behaviour, HttpUpstream},
    world::{World, with},
};
use tokio::net::TcpStream;

use crate::stage::{API, API_PATH, Filters, assert_alive, http_listener};

/// How an update reaches the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Only its filter chain is another: the old chain drains.
    InPlace,
    /// A new listener; the old one drains.
    Drained,
    /// A new listener with a filter behind ours that Envoy refuses.
    Refused,
}

pub(crate) struct Setting {
    world: World,
    pub(crate) upstream: HttpUpstream,
    pub(crate) envoy: Envoy,
    api: Identity,
    shape: fn(Listener) -> Listener,
}

fn document(world: &World, version: &str, paths: &[&str]) -> Value {
    let rules = json!([{ "name": "api", "effect": "allow", "from": [API], "to": [{ "paths": paths }] }]);
    // Longer than any test leaves a connection silent.
    with(
        world.document(rules),
        json!({ "version": version, "first_bytes_timeout": "1m" }),
    )
}

fn listener(world: &World, filters: Filters, document: &Value, edition: u64) -> Listener {
    let mut listener = http_listener(world, "web", filters, document);
    let limit = json!(1_048_576 + edition);
    listener.also = Map::from_iter([("per_connection_buffer_limit_bytes".to_owned(), limit)]);
    listener
}

impl Setting {
    async fn start(filters: Filters) -> Self {
        Self::shaped(filters, 1, |listener| listener).await
    }

    /// With as many workers, and every listener in this shape.
    pub(crate) async fn shaped(filters: Filters, workers: u32, shape: fn(Listener) -> Listener) -> Self {
        let (world, upstream) = (World::new(), HttpUpstream::start());
        let first = shape(listener(&world, filters, &document(&world, "1", &["/a", "/b"]), 1));
        let envoy = Envoy::start(Scenario {
            lds: true,
            concurrency: workers,
            drain_time: Some(Duration::from_secs(600)),
            ..Scenario::of(first, [Cluster::new("app", upstream.addr())])
        })
        .await;
        let api = world.own_identity(API_PATH);
        Setting {
            world,
            upstream,
            envoy,
            api,
            shape,
        }
    }

    /// Puts another document in place, and waits until Envoy has taken or refused it.
    pub(crate) async fn update(
        &self,
        filters: Filters,
        how: How,
        version: &str,
        paths: &[&str],
        edition: u64,
    ) -> Instant {
        let edition = if how == How::InPlace { 1 } else { edition };
        let mut next = listener(&self.world, filters, &document(&self.world, version, paths), edition);
        if let (How::Refused, Kind::Http(http)) = (how, &mut next.kind) {
            http.filters_after = vec![json!({
                "name": "envoy.filters.http.lua",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                    "default_source_code": { "inline_string": "this is no script" },
                },
            })];
        }
        let stat = match how {
            How::Refused => "listener_manager.lds.update_rejected",
            How::InPlace | How::Drained => "listener_manager.lds.update_success",
        };
        let before = self.envoy.stat(stat).await;
        self.envoy.replace_listeners(&[(self.shape)(next)]);
        self.envoy.wait_stat(stat, before + 1).await;
        if how != How::Refused {
            self.envoy.wait_log(&format!("version=\"{version}\"")).await;
        }
        // Every worker has it when what it was told has come to it.
        tokio::time::sleep(Duration::from_millis(300)).await;
        Instant::now()
    }

    /// A connection that is accepted, and has not begun its handshake.
    pub(crate) async fn accepted(&self) -> TcpStream {
        let addr = self.envoy.listeners_now().await.unwrap()["web"];
        TcpStream::connect(addr).await.unwrap()
    }

    /// What it is answered once it goes on. Waits for nothing of this setting, so that many can go on side by side.
    pub(crate) fn goes_through(
        &self,
        accepted: TcpStream,
        path: &'static str,
    ) -> impl Future<Output = Option<u16>> + Send + use<> {
        let client = Client::new(Some(&self.api));
        async move {
            let connection = client.handshake(accepted).await.ok()?;
            connection.http1().await.ok()?.get(path).await.status()
        }
    }

    pub(crate) async fn connect(&self) -> Connection {
        let accepted = self.accepted().await;
        Client::new(Some(&self.api)).handshake(accepted).await.unwrap()
    }

    pub(crate) async fn fresh(&self) -> Http {
        self.connect().await.http1().await.unwrap()
    }

    /// The same, where there may be nobody to answer.
    pub(crate) async fn fresh_asks(&self, path: &'static str) -> Option<u16> {
        let accepted = self.accepted().await;
        self.goes_through(accepted, path).await
    }

    /// What a new connection is answered.
    async fn asks(&self, path: &str) -> Option<u16> {
        self.fresh().await.get(path).await.status()
    }
}

/// What is there when the update comes.
pub(crate) struct Old {
    used: Http,
    unused: Http,
    /// Asked nothing before a test asks it itself.
    pub(crate) silent: Http,
    half: Option<Connection>,
    download: Answer,
    _of_download: Http,
}

impl Old {
    pub(crate) async fn start(setting: &Setting) -> Self {
        let mut used = setting.fresh().await;
        assert_eq!(used.get("/b").await.status(), Some(200));
        let (unused, silent) = (setting.fresh().await, setting.fresh().await);
        let mut half = setting.connect().await;
        half.write(b"GET /b HTTP/1.1\r\nhost: loc").await.unwrap();
        setting.upstream.behave(Behaviour::Stream {
            every: Duration::from_millis(100),
            count: 1000,
        });
        let mut of_download = setting.fresh().await;
        let download = of_download.open(Request::get("/b")).await.unwrap();
        setting.upstream.behave(Behaviour::Answer(200, b"ok".to_vec()));
        // The bytes of the half request have come.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Old {
            used,
            unused,
            silent,
            half: Some(half),
            download,
            _of_download: of_download,
        }
    }

    /// What `/b` is answered on each connection, once: used, unused, in its first bytes. Envoy may close a connection
    /// of a chain that drains with its answer.
    pub(crate) async fn answers(&mut self) -> [Option<u16>; 3] {
        let half = self.half.take().expect("asked once");
        [
            self.used.get("/b").await.status(),
            self.unused.get("/b").await.status(),
            half.raw_http1(b"alhost\r\n\r\n").await.status(),
        ]
    }

    /// Whether the download goes on beyond the promised time.
    pub(crate) async fn goes_on(&mut self, event: Instant) -> bool {
        while event.elapsed() < Duration::from_millis(3500) {
            if !matches!(self.download.next().await, Chunk::Data(_)) {
                return false;
            }
        }
        true
    }
}

pub(crate) const DENIED: Option<u16> = Some(403);
pub(crate) const SERVED: Option<u16> = Some(200);

/// In front of HTTP the network filter admits whoever has any grant, so it is the HTTP filter that is told apart here.
#[tokio::test]
async fn tighter_document_judges_all_that_is_old_and_every_later_one_too() {
    for (filters, how) in [
        (Filters::Both, How::Drained),
        (Filters::RequestOnly, How::Drained),
        (Filters::Both, How::InPlace),
    ] {
        let setting = Setting::start(filters).await;
        let mut old = Old::start(&setting).await;
        let event = setting.update(filters, how, "2", &["/a"], 2).await;
        assert_eq!(old.answers().await, [DENIED; 3], "{filters:?} {how:?}");
        assert_eq!(setting.asks("/b").await, DENIED);
        assert_eq!(setting.asks("/a").await, SERVED);
        assert!(!old.goes_on(event).await, "{filters:?} {how:?}: the download ends");
        let mut second = setting.fresh().await;
        assert_eq!(second.get("/a").await.status(), SERVED);
        setting.update(filters, how, "3", &["/b"], 3).await;
        assert_eq!(
            second.get("/a").await.status(),
            DENIED,
            "{filters:?} {how:?}: 3 judges what began under 2"
        );
        assert_eq!(setting.asks("/b").await, SERVED);
        assert_alive(&setting.envoy).await;
    }
}

#[tokio::test]
async fn looser_document_gives_old_connections_nothing_that_their_own_refuses() {
    for how in [How::Drained, How::InPlace] {
        let setting = Setting::start(Filters::Both).await;
        let mut old = Old::start(&setting).await;
        let event = setting.update(Filters::Both, how, "2", &["/a", "/b", "/c"], 2).await;
        assert_eq!(old.answers().await, [SERVED; 3], "{how:?}");
        assert!(old.goes_on(event).await, "{how:?}: nothing is cut that both allow");
        let mut kept = setting.fresh().await;
        assert_eq!(kept.get("/c").await.status(), SERVED);
        assert_eq!(old.silent.get("/c").await.status(), DENIED, "{how:?}");
        assert_alive(&setting.envoy).await;
    }
}

#[tokio::test]
async fn update_that_envoy_refuses_for_another_filters_mistake_changes_nothing() {
    for paths in [&["/a"][..], &["/a", "/b", "/c"]] {
        let setting = Setting::start(Filters::Both).await;
        let mut old = Old::start(&setting).await;
        let event = setting.update(Filters::Both, How::Refused, "2", paths, 2).await;
        assert_eq!(old.answers().await, [SERVED; 3]);
        assert_eq!(setting.asks("/b").await, SERVED);
        assert_eq!(setting.asks("/c").await, DENIED, "only the refused one allows it");
        assert!(old.goes_on(event).await);
        // The next good one counts.
        setting.update(Filters::Both, How::Drained, "3", &["/a"], 3).await;
        assert_eq!(old.used.get("/b").await.status(), DENIED);
        assert_alive(&setting.envoy).await;
    }
}

#[tokio::test]
async fn listener_that_is_removed_leaves_old_connections_no_older_document() {
    let setting = Setting::start(Filters::Both).await;
    let mut old = Old::start(&setting).await;
    let event = setting.update(Filters::Both, How::Drained, "2", &["/a"], 2).await;
    let mut second = setting.fresh().await;
    assert_eq!(second.get("/a").await.status(), SERVED);
    let before = setting.envoy.stat("listener_manager.lds.update_success").await;
    setting.envoy.replace_listeners(&[]);
    setting
        .envoy
        .wait_stat("listener_manager.lds.update_success", before + 1)
        .await;
    assert_eq!(old.answers().await, [DENIED; 3]);
    assert!(!old.goes_on(event).await);
    assert_eq!(second.get("/b").await.status(), DENIED);
    assert_alive(&setting.envoy).await;
}
