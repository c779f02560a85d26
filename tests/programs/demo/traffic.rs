//! Peers that ask all the while, and connections that stay open.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use support::{
    ca::Identity,
    client::{Chunk, Client, Http, Outcome, Request},
};
use tokio::{task::JoinHandle, time::sleep};

/// The answer to a request that is allowed.
pub(crate) const ALLOWED: Option<u16> = Some(200);
/// The answer to one that is not, where the connection is somebody else's.
pub(crate) const REFUSED: Option<u16> = Some(403);
/// No answer: the connection is closed.
pub(crate) const CLOSED: Option<u16> = None;

/// The pause between two requests of one peer.
const PAUSE: Duration = Duration::from_millis(20);
/// Every so many requests a peer connects anew.
const FRESH: usize = 10;
/// An answer that stays the same for so long is the answer of every worker: they follow within a tick of each other.
const STEADY: Duration = Duration::from_millis(1500);
/// Nothing in the demo may take longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A peer that asks again and again until it is stopped, on kept connections and fresh ones.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    allowed: Arc<AtomicUsize>,
    task: JoinHandle<Result<(), String>>,
}

impl Traffic {
    pub(crate) fn start(address: SocketAddr, identity: &Identity, path: &'static str) -> Self {
        let (stop, allowed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = Client::new(Some(identity));
        let (stopped, counted) = (stop.clone(), allowed.clone());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::SeqCst) {
                let mut http = connect(&client, address).await?;
                for _ in 0..FRESH {
                    let outcome = http.get(path).await;
                    if outcome.status() != ALLOWED {
                        return Err(format!("GET {path}: {outcome:?}"));
                    }
                    counted.fetch_add(1, Ordering::SeqCst);
                    sleep(PAUSE).await;
                    if stopped.load(Ordering::SeqCst) {
                        break;
                    }
                }
            }
            Ok(())
        });
        Self { stop, allowed, task }
    }

    /// How many requests have been allowed so far.
    pub(crate) fn allowed(&self) -> usize {
        self.allowed.load(Ordering::SeqCst)
    }

    /// Lets the last request end. Gives how many were allowed, or the first that was not.
    pub(crate) async fn stop(self) -> Result<usize, String> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.map_err(|error| error.to_string())??;
        Ok(self.allowed.load(Ordering::SeqCst))
    }
}

/// A connection that is used all the while, until it is cut.
pub(crate) struct Live(JoinHandle<Instant>);

impl Live {
    /// A download without end.
    pub(crate) async fn download(address: SocketAddr, identity: &Identity, path: &str) -> Result<Self, String> {
        let mut http = connect(&Client::new(Some(identity)), address).await?;
        let opened = http.open(Request::get(path)).await;
        let mut answer = opened.map_err(|refusal| format!("GET {path}: {refusal}"))?;
        if answer.status != 200 || !matches!(answer.next().await, Chunk::Data(_)) {
            return Err(format!("GET {path}: no download"));
        }
        Ok(Self(tokio::spawn(async move {
            while let Chunk::Data(_) = answer.next().await {}
            drop(http);
            Instant::now()
        })))
    }

    /// A TCP connection whose server sends back what it gets.
    pub(crate) async fn database(address: SocketAddr, identity: &Identity) -> Result<Self, String> {
        let connected = Client::new(Some(identity)).connect(address).await;
        let mut connection = connected.map_err(|refusal| refusal.to_string())?;
        let mut echoes = async move || connection.write(b"ping").await.is_ok() && connection.read(4).await.is_ok();
        if !echoes().await {
            return Err("the database cannot be reached".to_owned());
        }
        Ok(Self(tokio::spawn(async move {
            while echoes().await {
                sleep(PAUSE).await;
            }
            Instant::now()
        })))
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.0.is_finished()
    }

    /// How long after `since` it was cut.
    pub(crate) async fn cut(self, since: Instant) -> Result<Duration, String> {
        match tokio::time::timeout(PATIENCE, self.0).await {
            Ok(Ok(end)) if end >= since => Ok(end - since),
            Ok(Ok(_)) => Err("a connection was cut too early".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("a connection was not cut".to_owned()),
        }
    }
}

/// When an answer became what it was to become.
pub(crate) struct Settled {
    /// How long it took to the first such answer of those that stayed.
    pub(crate) after: Duration,
    /// How many requests, each on a connection of its own.
    pub(crate) asked: usize,
    /// How many of them were answered.
    pub(crate) answered: usize,
}

/// Asks on fresh connections until the status is this one and stays so.
pub(crate) async fn settle(
    address: SocketAddr,
    identity: &Identity,
    path: &str,
    wanted: Option<u16>,
) -> Result<Settled, String> {
    let (start, client) = (Instant::now(), Client::new(Some(identity)));
    let mut since: Option<Instant> = None;
    let (mut asked, mut answered) = (0, 0);
    loop {
        let before = Instant::now();
        let outcome = connect(&client, address).await?.get(path).await;
        asked += 1;
        answered += usize::from(matches!(outcome, Outcome::Response(_)));
        if outcome.status() == wanted {
            let first = *since.get_or_insert_with(Instant::now);
            if before.duration_since(first) >= STEADY {
                let after = first - start;
                return Ok(Settled { after, asked, answered });
            }
        } else {
            since = None;
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("GET {path}: still {outcome:?}"));
        }
        sleep(PAUSE).await;
    }
}

async fn connect(client: &Client, address: SocketAddr) -> Result<Http, String> {
    let connection = client.connect(address).await.map_err(|refusal| refusal.to_string())?;
    connection.http1().await.map_err(|refusal| refusal.to_string())
}
