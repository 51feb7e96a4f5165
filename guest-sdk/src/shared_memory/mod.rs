//! Memory that isolates share (Node: `SharedArrayBuffer`, `Atomics`), and locks and queues in it.
//!
//! A [`SharedBuffer`] is a range of this program's own memory behind which lie pages that others have too. Sending it in
//! a message shares it. Its cells are atomic integers of the standard library: real atomic instructions.
//!
//! ```no_run
//! # fn main() -> nodule_sdk::Result<()> {
//! use nodule_sdk::shared_memory::{Atomics, SharedBuffer};
//!
//! let buffer = SharedBuffer::new(1024)?;
//! Atomics::add(buffer.as_i32(), 0, 5)?;
//! Atomics::notify(buffer.as_i32(), 0, Atomics::ALL)?;
//! # Ok(())
//! # }
//! ```
//!
//! | type | what it is |
//! |---|---|
//! | [`SharedBuffer`] | the memory |
//! | [`Atomics`] | accesses of its cells, wait and notify, as in JavaScript |
//! | [`Mutex`], [`RobustMutex`], [`Condvar`], [`Semaphore`], [`OnceCell`] | locks between isolates |
//! | [`SpscRing`], [`MpmcRing`] | queues of records of a fixed size between isolates |
//!
//! # Between processes
//! A buffer that cannot grow also goes to another process, over a channel with the serialization `advanced`
//! ([`child_process`](crate::child_process)). [`Atomics`], [`Mutex`], [`Condvar`], [`Semaphore`] and the rings work there as between
//! threads; [`RobustMutex`] and [`OnceCell`], which know threads of this process only, fail with `ENOTSUP` when they have to wait.
//! A notification counts waiters of all processes, in the order of arrival.
//!
//! # When an isolate is terminated
//! Its windows go, what it wrote stays. It runs no code on its way: a [`Mutex`] it held stays locked, a permit it took of a
//! [`Semaphore`] stays taken, a slot of a ring that it was writing stays unfinished. [`RobustMutex`] is made for that.
//! Others that wait are not disturbed, and a waiter that ended is not counted by notifications.

mod atomics;
mod buffer;
mod cell;
mod condvar;
mod lock;
mod once;
mod paged;
mod ring;
mod robust;
mod semaphore;
mod words;

pub use atomics::{Atomics, WaitAsync, WaitResult};
pub use buffer::SharedBuffer;
pub use cell::{Cell, WaitCell};
pub use condvar::Condvar;
pub use lock::{Mutex, MutexGuard};
pub use once::OnceCell;
pub(crate) use paged::Paged;
pub use ring::{MpmcRing, SpscRing};
pub use robust::{Locked, RobustMutex, RobustMutexGuard};
pub use semaphore::Semaphore;
