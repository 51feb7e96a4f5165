//! Threads and their messages (Node: `worker_threads`).
//!
//! ```no_run
//! use nodule_sdk::worker_threads::{self, Source, Worker, WorkerOptions};
//!
//! # #[nodule_sdk::main]
//! # async fn main() -> nodule_sdk::Result<()> {
//! match worker_threads::parent_port() {
//!     None => {
//!         let worker = Worker::new(Source::Current, WorkerOptions::new().name("adder").worker_data(&[1, 2, 3]))?;
//!         worker.on_message(|sum: i32| println!("sum: {sum}"));
//!         worker.on_exit(|code| println!("ended with {code}"));
//!     }
//!     Some(parent) => {
//!         let numbers: Vec<i32> = worker_threads::worker_data()?;
//!         parent.post_message(&numbers.iter().sum::<i32>())?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod context;
mod diagnostics;
mod environment_data;
mod module;
mod options;
mod this_thread;
pub(crate) mod thread_messages;
mod worker;

pub use context::{Context, ContextPort, create_context, move_message_port_to_context, on_context_port};
pub use diagnostics::{
    CpuProfileHandle, CpuProfileOptions, EventLoopUtilization, HeapProfileHandle, HeapProfileOptions, HeapSnapshot,
    HeapSnapshotOptions, HeapStatistics, Performance, event_loop_utilization,
};
pub use environment_data::{get_environment_data, set_environment_data};
pub use module::Module;
pub use options::{Env, ResourceLimits, Source, WorkerOptions};
pub use this_thread::{
    is_internal_thread, is_main_thread, parent_port, resource_limits, thread_id, thread_name, worker_data,
};
pub use thread_messages::{on_thread_message, post_message_to_thread};
pub use worker::Worker;

pub use crate::locks;
pub use crate::messaging::{
    ArrayBuffer, BroadcastChannel, Markable, MessageChannel, MessageEvent, MessagePort, MessageSource, TransferList,
    Transferable, Uncloneable, clone_error, is_marked_as_untransferable, mark_as_uncloneable, mark_as_untransferable,
    receive_message_on_port, receive_message_on_port_timeout, structured_clone, structured_clone_with,
};
