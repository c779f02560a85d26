//! A socket whose owner can stop reading, and stop writing after so many bytes: how a peer is slow on purpose.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What lets bytes through.
#[derive(Clone, Debug)]
pub(crate) struct Valve(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    is_deaf: bool,
    /// How many bytes may still be written.
    left: usize,
    waiting: Vec<Waker>,
}

impl Valve {
    /// Open for reading, and for so many bytes of writing.
    pub(crate) fn new(left: usize) -> Self {
        Valve(Arc::new(Mutex::new(State {
            is_deaf: false,
            left,
            waiting: Vec::new(),
        })))
    }

    /// Whether nothing is read from now on.
    pub(crate) fn set_deaf(&self, is_deaf: bool) {
        self.change(|state| state.is_deaf = is_deaf);
    }

    /// Everything may be written from now on.
    pub(crate) fn open(&self) {
        self.change(|state| state.left = usize::MAX);
    }

    /// A socket behind this valve.
    pub(crate) fn on(&self, socket: TcpStream) -> Behind {
        Behind {
            valve: self.clone(),
            socket,
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }

    /// How many bytes may be written now; with 0, `context` is woken when that changes.
    fn may_write(&self, context: &Context<'_>) -> usize {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.left == 0 {
            state.waiting.push(context.waker().clone());
        }
        state.left
    }

    fn wrote(&self, count: usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.left != usize::MAX {
            state.left = state.left.saturating_sub(count);
        }
    }

    fn may_read(&self, context: &Context<'_>) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_deaf {
            state.waiting.push(context.waker().clone());
        }
        !state.is_deaf
    }
}

/// A socket behind a valve.
#[derive(Debug)]
pub(crate) struct Behind {
    valve: Valve,
    socket: TcpStream,
}

impl AsyncRead for Behind {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.valve.may_read(context) {
            return Poll::Pending;
        }
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Behind {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let may = self.valve.may_write(context).min(bytes.len());
        if may == 0 {
            return if bytes.is_empty() {
                Poll::Ready(Ok(0))
            } else {
                Poll::Pending
            };
        }
        let written = Pin::new(&mut self.socket).poll_write(context, &bytes[..may]);
        if let Poll::Ready(Ok(count)) = written {
            self.valve.wrote(count);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
