//! Web Locks: names that one thread of the process holds, or several share (Node: `worker_threads.locks`).
//!
//! ```no_run
//! # #[nodule_sdk::main]
//! # async fn main() -> nodule_sdk::Result<()> {
//! use nodule_sdk::locks;
//!
//! let answer = locks::request("answer", async |lock| {
//!     println!("{} is held {}", lock.name(), lock.mode());
//!     Ok::<_, nodule_sdk::Error>(42)
//! });
//! assert_eq!(answer.await?, 42);
//! # Ok(())
//! # }
//! ```

use std::cell::Cell;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use nodule_abi::error::ErrorCode;
use nodule_abi::event::{EventKind, EventRecord};
use nodule_abi::imports::locks::{FLAG_IF_AVAILABLE, FLAG_STEAL, MODE_EXCLUSIVE, MODE_SHARED, check_request};
use serde::Deserialize;

use crate::abort::{AbortSignal, abort_error};
use crate::error::{Error, Result};
use crate::event_loop::{self, Sink};
use crate::sys;
use crate::task::{Outcome, OwnedHandle};

/// How a lock is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Alone. The default.
    #[default]
    Exclusive,
    /// Beside others that share it.
    Shared,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        })
    }
}

/// How a lock is requested.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How it is held. Default: exclusive.
    pub mode: Mode,
    /// The callback gets `None` when the lock is not free. Default: it waits.
    pub if_available: bool,
    /// Takes the lock from those that hold it; their requests fail with an `AbortError`. Exclusive locks only.
    pub steal: bool,
    /// Gives the request up while it waits; without effect on a lock that is held.
    pub signal: Option<AbortSignal>,
}

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    name: String,
    mode: Mode,
}

impl Lock {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is held.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// Holds the lock `name` exclusively while `callback` runs (Node: `locks.request`). Requests for a name are granted in
/// order, in all threads of the process. The lock is released when the callback's future ends in any way: with a value or
/// an error, by a trap, or dropped together with this future.
///
/// # Errors
/// That of the callback; `AbortError` when another request stole the lock, which drops the callback's future;
/// `NotSupportedError` (code `9`) for a name that starts with `-`.
pub async fn request<R: Outcome>(name: &str, callback: impl AsyncFnOnce(Lock) -> R) -> Result<R::Value> {
    let with_lock = async |lock: Option<Lock>| match lock {
        Some(lock) => callback(lock).await.into_result(),
        // Only requests that do not wait get none.
        None => Err(Error::with_code(
            ErrorCode::Internal,
            "a request that waits was refused",
        )),
    };
    request_with_result(name, Options::default(), with_lock).await
}

/// As [`request`], with options. The callback gets no lock when [`Options::if_available`] is set and it is not free.
///
/// # Errors
/// As [`request`]; the reason of the signal when the request is given up; `NotSupportedError` for options that exclude
/// each other.
pub async fn request_with<R: Outcome>(
    name: &str,
    options: Options,
    callback: impl AsyncFnOnce(Option<Lock>) -> R,
) -> Result<R::Value> {
    let with_lock = async |lock: Option<Lock>| callback(lock).await.into_result();
    request_with_result(name, options, with_lock).await
}

async fn request_with_result<T>(
    name: &str,
    options: Options,
    callback: impl AsyncFnOnce(Option<Lock>) -> Result<T>,
) -> Result<T> {
    let (mode, flags) = options.check(name)?;
    let Some(claim) = Claim::new(name, mode, flags)? else {
        return callback(None).await;
    };
    claim.granted(options.signal.as_ref()).await?;
    let lock = Lock {
        name: name.to_owned(),
        mode: options.mode,
    };
    // The block drops the callback's future before the lock is released.
    let result = {
        let mut running = pin!(callback(Some(lock)));
        poll_fn(|context| {
            if claim.poll_stolen(context).is_ready() {
                return Poll::Ready(Err(abort_error()));
            }
            running.as_mut().poll(context)
        })
        .await
    };
    drop(claim);
    result
}

impl Options {
    /// Mode and flags of the interface, in Node's order of checks.
    fn check(&self, name: &str) -> Result<(u32, u32)> {
        if let Some(signal) = &self.signal {
            signal.throw_if_aborted()?;
        }
        let mode = match self.mode {
            Mode::Exclusive => MODE_EXCLUSIVE,
            Mode::Shared => MODE_SHARED,
        };
        let if_available = if self.if_available { FLAG_IF_AVAILABLE } else { 0 };
        let flags = if_available | if self.steal { FLAG_STEAL } else { 0 };
        check_request(name, mode, flags)?;
        if self.signal.is_some() && flags != 0 {
            return Err(Error::with_code(
                ErrorCode::NotSupported,
                "signal cannot be used with steal or ifAvailable",
            ));
        }
        Ok((mode, flags))
    }
}

/// What the host said about a request.
#[derive(Default)]
struct Progress {
    is_granted: Cell<bool>,
    is_stolen: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Sink for Progress {
    fn dispatch(self: Rc<Self>, record: EventRecord) {
        match EventKind::from_number(record.kind) {
            Some(EventKind::LockGranted) => self.is_granted.set(true),
            Some(EventKind::LockStolen) => self.is_stolen.set(true),
            _ => {}
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A request, granted or not. Dropping it releases the lock or gives the request up.
struct Claim {
    handle: OwnedHandle,
    progress: Rc<Progress>,
}

impl Claim {
    /// `None` when the lock is not available and the request does not wait.
    fn new(name: &str, mode: u32, flags: u32) -> Result<Option<Self>> {
        let [handle, granted] = sys::lock_request(name, mode, flags)?;
        if handle == 0 {
            return Ok(None);
        }
        let progress = Rc::<Progress>::default();
        progress.is_granted.set(granted != 0);
        event_loop::register(handle, Rc::clone(&progress) as Rc<dyn Sink>);
        let handle = OwnedHandle::new(handle);
        Ok(Some(Self { handle, progress }))
    }

    /// Waits until it is granted, or given up by the signal.
    async fn granted(&self, signal: Option<&AbortSignal>) -> Result<()> {
        poll_fn(|context| {
            self.watch(context);
            if self.progress.is_granted.get() {
                return Poll::Ready(Ok(()));
            }
            match signal.map(|signal| signal.poll_aborted(context)) {
                Some(Poll::Ready(reason)) => Poll::Ready(Err(reason)),
                Some(Poll::Pending) | None => Poll::Pending,
            }
        })
        .await
    }

    fn poll_stolen(&self, context: &Context<'_>) -> Poll<()> {
        self.watch(context);
        if self.progress.is_stolen.get() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn watch(&self, context: &Context<'_>) {
        self.handle.use_in_current_task();
        self.progress.waker.set(Some(context.waker().clone()));
    }
}

/// One request of [`query`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LockInfo {
    /// Name of the lock.
    pub name: String,
    /// How it is held or will be.
    pub mode: Mode,
    /// Whose it is; differs from thread to thread.
    pub client_id: String,
}

/// What [`query`] gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Locks that are held.
    pub held: Vec<LockInfo>,
    /// Requests that wait.
    pub pending: Vec<LockInfo>,
}

/// The locks of all threads of the process (Node: `locks.query`), in the order of their requests.
///
/// # Errors
/// When the host's answer cannot be decoded.
#[allow(
    clippy::unused_async,
    reason = "a promise in Node; the locks of a cluster are with its primary"
)]
pub async fn query() -> Result<Snapshot> {
    sys::lock_query()
}
