//! How every server here runs: it accepts in a thread of its own and ends, with all its connections, when it is
//! dropped.

use std::fs;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use hyper::body::{Frame, Incoming};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::oneshot;

/// A server on a loopback port.
#[derive(Debug)]
pub struct TcpServer {
    addr: SocketAddr,
    running: Running,
}

impl TcpServer {
    /// On a port that the system chooses.
    pub fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        TcpServer::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), serve)
    }

    pub(crate) fn start_at<F>(addr: SocketAddr, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind(addr).expect("a loopback port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let addr = listener.local_addr().expect("the port that was bound");
        let running = Running::start(async move |accepted| {
            let listener = TcpListener::from_std(listener).expect("a listener");
            accept(
                async || listener.accept().await.map(|(stream, _)| stream),
                &accepted,
                serve,
            )
            .await;
        });
        TcpServer { addr, running }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.running.connections.load(Ordering::SeqCst)
    }
}

/// A server on a unix socket. What lies at the path is replaced.
#[derive(Debug)]
pub(crate) struct UnixServer {
    path: PathBuf,
    _running: Running,
}

impl UnixServer {
    pub(crate) fn start<F>(path: &Path, serve: impl Fn(UnixStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Usually there is none.
        let _ = fs::remove_file(path);
        let listener = std::os::unix::net::UnixListener::bind(path).expect("a unix socket");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let _running = Running::start(async move |accepted| {
            let listener = UnixListener::from_std(listener).expect("a listener");
            accept(
                async || listener.accept().await.map(|(stream, _)| stream),
                &accepted,
                serve,
            )
            .await;
        });
        UnixServer {
            path: path.to_owned(),
            _running,
        }
    }
}

impl Drop for UnixServer {
    fn drop(&mut self) {
        // Perhaps the test has removed it.
        let _ = fs::remove_file(&self.path);
    }
}

/// A thread with a runtime of its own. The runtime takes every task with it when it ends.
#[derive(Debug)]
struct Running {
    connections: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start<F>(serve: impl FnOnce(Arc<AtomicUsize>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()>,
    {
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = connections.clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(accepted) => {}
                    _ = stopped => {}
                }
            });
        });
        Running {
            connections,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed where it happened.
            let _ = thread.join();
        }
    }
}

async fn accept<S, F>(mut next: impl AsyncFnMut() -> io::Result<S>, accepted: &AtomicUsize, serve: impl Fn(S) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Ok(stream) = next().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(stream));
    }
}

/// Serves HTTP/1.1 or HTTP/2, whichever the client speaks.
pub async fn serve_http<S, B>(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: S)
where
    S: Service<hyper::Request<Incoming>, Response = hyper::Response<B>> + Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // How a connection ends is seen by its client.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// How long bytes may take to leave. An error that follows at once overtakes them: HTTP/2 drops what it has not sent.
const ON_THEIR_WAY: Duration = Duration::from_millis(100);

/// The frames of a body that breaks off after `bytes`: HTTP/1.1 closes the connection, HTTP/2 resets the stream.
pub(crate) fn cut(bytes: Bytes) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send {
    let error = async {
        tokio::time::sleep(ON_THEIR_WAY).await;
        Err(io::Error::other("broken off on purpose"))
    };
    stream::iter([Ok(Frame::data(bytes))]).chain(stream::once(error))
}

/// A panic while it was held has been told where it happened.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
