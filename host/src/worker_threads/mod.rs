//! Threads: isolates that an isolate starts, and what they tell each other without a port (Node: `worker_threads`).
//!
//! | file | what it does |
//! |---|---|
//! | `options` | what a creator asks for, checked |
//! | `limits` | `resourceLimits` and the limits they stand for |
//! | `exec_argv` | per-thread options of the host |
//! | `source` | from a path, bytes or a value to a module |
//! | `spawn` | the worker's settings from its creator's state; its task |
//! | `worker` | the creator's side of a worker |
//! | `thread_state` | the worker's side: its port, data, name |
//! | `environment_data` | `setEnvironmentData` |
//! | `thread_messages` | `postMessageToThread` |
//! | `contexts` | `createContext`: further instances in the same task |
//! | `reply` | answers that take a while: snapshots, profiles |
//! | `imports` | `nodule:worker_threads/1` |

mod contexts;
mod environment_data;
mod exec_argv;
pub mod imports;
mod limits;
mod options;
mod reply;
mod source;
mod spawn;
mod thread_messages;
mod thread_state;
mod worker;

pub use reply::Reply;
pub(crate) use source::{file_url, open as open_module};
pub use thread_messages::{ThreadMessageRequest, ThreadMessages};
pub use thread_state::ThreadState;
pub use worker::Worker;
