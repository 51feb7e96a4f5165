//! Waiting on cells that other processes have too: in the kernel's queue of the cell's word, which is one for all processes
//! and in the order of arrival. Each wait has a thread of the pool for blocking work; how many there may be is bounded.
//!
//! A wait can be given up at once, because its thread waits for a word of its own as well.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use nodule_abi::atomic::WaitResult;
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, Wait, WaitFlags, WaitPtr, WaitvFlags};
use rustix::time::ClockId;
use tokio::sync::oneshot;

use super::budget::{self, Permit};
use super::buffer::SharedBuffer;

/// The words of a cell, and what they hold while it is waited on.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Where it lies in the buffer.
    pub offset: u64,
    /// 32 or 64.
    pub bits: u32,
    /// What it holds.
    pub value: u64,
}

impl Expected {
    /// The words: offset and value. The first is the one that is notified.
    fn words(self) -> impl Iterator<Item = (u64, u32)> {
        let word = move |number: u32| {
            let value = (self.value >> (32 * number)) & u64::from(u32::MAX);
            (self.offset + u64::from(4 * number), u32::try_from(value).unwrap_or(0))
        };
        (0..self.bits / 32).map(word)
    }
}

/// How a blocking wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Woken,
    NotEqual,
    GivenUp,
    Failed(Errno),
}

/// Ends a blocking wait when it is dropped.
#[derive(Debug)]
struct GiveUp(Arc<AtomicU32>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(1, Ordering::SeqCst);
        // Fails for addresses that are none.
        let _ = futex::wake(&self.0, Flags::PRIVATE, 1);
    }
}

fn wait_for(word: &AtomicU32, value: u32, flags: WaitFlags) -> Wait {
    let mut wait = Wait::new();
    wait.val = u64::from(value);
    wait.uaddr = WaitPtr::new(word.as_ptr().cast());
    wait.flags = WaitFlags::SIZE_U32 | flags;
    wait
}

/// Blocks this thread until the cell is notified, or `given_up` is not 0.
fn block(buffer: &SharedBuffer, expected: Expected, given_up: &AtomicU32) -> Ended {
    let Ok(view) = buffer.view() else {
        return Ended::Failed(Errno::NOMEM);
    };
    // Of several that were woken at once the kernel names the last.
    let mut waits = vec![wait_for(given_up, 0, WaitFlags::PRIVATE)];
    for (offset, value) in expected.words() {
        let Some(word) = view.word(offset) else {
            return Ended::Failed(Errno::INVAL);
        };
        waits.push(wait_for(word, value, WaitFlags::empty()));
    }
    loop {
        match futex::waitv(&waits, WaitvFlags::empty(), None, ClockId::Monotonic) {
            Ok(1) => return Ended::Woken,
            Ok(0) => return Ended::GivenUp,
            // Somebody notified the upper half of the cell, which is another one.
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if given_up.load(Ordering::SeqCst) != 0 => return Ended::GivenUp,
            Err(Errno::AGAIN) => return Ended::NotEqual,
            Err(error) => return Ended::Failed(error),
        }
    }
}

/// Wakes up to `count` of those that wait on the cell at `offset` in any process, and gives how many.
pub(super) fn wake(buffer: &SharedBuffer, offset: u64, count: u32) -> u32 {
    let count = count.min(i32::MAX.unsigned_abs());
    let word = buffer.view().ok().and_then(|view| view.word(offset));
    let woken = word
        .filter(|_| count > 0)
        .map(|word| futex::wake(word, Flags::empty(), count));
    let woken = woken.and_then(std::result::Result::ok).unwrap_or(0);
    u32::try_from(woken).unwrap_or(u32::MAX)
}

/// A wait on a cell that other processes have too. Dropping it ends it.
#[derive(Debug)]
pub struct KernelWait {
    buffer: Arc<SharedBuffer>,
    offset: u64,
    ended: oneshot::Receiver<Ended>,
    /// The isolate goes on: nothing is left to pass on.
    is_over: bool,
    _give_up: GiveUp,
}

impl KernelWait {
    /// Starts to wait; that the cell does not hold the value is found later. `ENOMEM` when too many wait.
    pub fn start(buffer: &Arc<SharedBuffer>, expected: Expected) -> Result<Self> {
        let permit = budget::wait()?;
        buffer.view()?;
        let given_up = Arc::new(AtomicU32::new(0));
        let (sender, ended) = oneshot::channel();
        let thread = Thread {
            buffer: Arc::clone(buffer),
            expected,
            given_up: Arc::clone(&given_up),
            _permit: permit,
        };
        // Not awaited: it ends when it is given up.
        drop(tokio::task::spawn_blocking(move || thread.run(sender)));
        Ok(Self {
            buffer: Arc::clone(buffer),
            offset: expected.offset,
            ended,
            is_over: false,
            _give_up: GiveUp(given_up),
        })
    }

    /// Ends the wait for another reason: what it gives then.
    pub fn give_up(&mut self, reason: WaitResult) -> WaitResult {
        self.is_over = true;
        self.ended.close();
        match self.ended.try_recv() {
            Ok(Ended::Woken) => WaitResult::Woken,
            // A notification that comes from now on is passed on by the thread.
            _ => reason,
        }
    }
}

impl Future for KernelWait {
    type Output = Result<WaitResult>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = std::task::ready!(Pin::new(&mut self.ended).poll(context));
        self.is_over = true;
        Poll::Ready(match ended {
            Ok(Ended::Woken) => Ok(WaitResult::Woken),
            Ok(Ended::NotEqual) => Ok(WaitResult::NotEqual),
            Ok(Ended::Failed(Errno::NOSYS | Errno::PERM)) => {
                let text = "waiting on a cell that another process has too needs Linux 5.16 (futex_waitv)";
                Err(ErrorRecord::new(ErrorCode::Enosys, text).into())
            }
            Ok(Ended::Failed(error)) => {
                let code = ErrorCode::from_errno(error.raw_os_error());
                Err(ErrorRecord::system(code, "futex_waitv").into())
            }
            // The runtime ends.
            Ok(Ended::GivenUp) | Err(_) => {
                Err(ErrorRecord::new(ErrorCode::Ecanceled, ErrorCode::Ecanceled.text()).into())
            }
        })
    }
}

impl Drop for KernelWait {
    fn drop(&mut self) {
        self.ended.close();
        if !self.is_over && self.ended.try_recv() == Ok(Ended::Woken) {
            // Its isolate was ended between the notification and the next instruction: the next waiter takes its place.
            wake(&self.buffer, self.offset, 1);
        }
    }
}

/// What a blocked thread has.
struct Thread {
    buffer: Arc<SharedBuffer>,
    expected: Expected,
    given_up: Arc<AtomicU32>,
    _permit: Permit,
}

impl Thread {
    fn run(self, sender: oneshot::Sender<Ended>) {
        let ended = block(&self.buffer, self.expected, &self.given_up);
        if sender.send(ended).is_err() && ended == Ended::Woken {
            wake(&self.buffer, self.expected.offset, 1);
        }
    }

    /// For one that waited before another process had the buffer. That the cell changed before this thread was in the
    /// kernel's queue counts as a notification, which may have followed and may have been missed.
    fn run_relay(self, notified: impl FnOnce() -> bool) {
        let ended = block(&self.buffer, self.expected, &self.given_up);
        let counts = matches!(ended, Ended::Woken | Ended::NotEqual);
        if counts && !notified() && ended == Ended::Woken {
            wake(&self.buffer, self.expected.offset, 1);
        }
    }
}

/// Lets other processes wake one that waits in the table of its buffer. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Relay {
    _give_up: GiveUp,
}

impl Relay {
    /// Calls `notified` when the cell at `offset` is; it gives `false` when nobody waits any more. `ENOMEM` when too many wait.
    pub fn start(
        buffer: &Arc<SharedBuffer>,
        offset: u64,
        notified: impl FnOnce() -> bool + Send + 'static,
    ) -> Result<Self> {
        let permit = budget::wait()?;
        let word = buffer.view()?.word(offset);
        let value = word.map_or(0, |word| word.load(Ordering::SeqCst));
        let given_up = Arc::new(AtomicU32::new(0));
        let thread = Thread {
            buffer: Arc::clone(buffer),
            expected: Expected {
                offset,
                bits: 32,
                value: u64::from(value),
            },
            given_up: Arc::clone(&given_up),
            _permit: permit,
        };
        drop(tokio::task::spawn_blocking(move || thread.run_relay(notified)));
        Ok(Self {
            _give_up: GiveUp(given_up),
        })
    }
}
