//! The SDK for Rust guests of nodule: Node's process API for compiled modules.
//!
//! A program is an ordinary Rust program for `wasm32-wasip1` with [`main`] on its `main` function. The macro runs
//! the function on the event loop and goes on until nothing is left that could happen, as Node does with a script.
//!
//! ```no_run
//! use std::time::Duration;
//! use nodule_sdk::{process, timers};
//!
//! #[nodule_sdk::main]
//! async fn main() -> nodule_sdk::Result<()> {
//!     process::on_exit(|code| println!("bye, code {code}"));
//!     process::on_signal("SIGTERM", |name, _| process::emit_warning(name, "Stopping").unwrap_or_default())?;
//!     timers::sleep(Duration::from_millis(10)).await;
//!     println!("{} on {}", process::version(), process::platform());
//!     Ok(())
//! }
//! ```
//!
//! | module | what it holds | Node |
//! |---|---|---|
//! | [`process`] | attributes, environment, streams, signals, ending, uncaught errors, reports | `process` |
//! | [`timers`] | timeouts, intervals, immediates, [`timers::sleep`] | `timers`, `timers/promises` |
//! | [`task`] | futures beside each other: [`spawn`], join handles | promises |
//! | [`promise`] | promises that are settled from outside | `Promise.withResolvers` |
//! | [`stream`] | streams of bytes | `stream` |
//! | [`child_process`] | other processes, messages to and from them | `child_process` |
//! | [`worker_threads`] | threads, message channels, broadcast channels, structured clones | `worker_threads` |
//! | [`locks`] | locks of the process's threads | `worker_threads.locks` |
//! | [`abort`] | giving operations up | `AbortController` |
//! | [`shared_memory`] | memory that isolates share, locks and queues in it | `SharedArrayBuffer`, `Atomics` |
//! | [`events`] | emitters with listeners in order | `events` |
//! | [`os`] | the machine | `os` |
//! | [`error`] | errors with Node's names and codes | `Error` |
//! | [`value`] | structured values | structured clone |
//!
//! # Order
//! One event is one turn: its listeners, then [`process::next_tick`] callbacks, then ready tasks, until both are
//! empty; then the next event.
//!
//! # After a trap
//! A trap or panic takes the frames of the turn along: their destructors do not run, and guards they held stay
//! held. With a capture callback or an `uncaughtException` listener the loop goes on with the next event; the task
//! that trapped has failed, everything else is as it was.

pub mod abort;
pub mod child_process;
pub mod error;
pub mod event_loop;
pub mod events;
mod ipc;
pub mod locks;
mod messaging;
pub mod os;
pub mod process;
pub mod promise;
mod rejections;
pub mod shared_memory;
pub mod stream;
mod sys;
pub mod task;
pub mod timers;
mod uncaught;
pub mod worker_threads;

pub use nodule_abi::hooks::Origin;
pub use nodule_abi::value::{self, Value};
pub use nodule_macros::main;

pub use error::{Error, Result};
pub use event_loop::run;
#[cfg(all(feature = "counting-allocator", target_family = "wasm"))]
pub use sys::CountingAllocator;
pub use task::spawn;
