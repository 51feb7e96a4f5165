//! Child processes: starting them, their pipes, their end.
//!
//! | file | what it does |
//! |---|---|
//! | `options` | what a guest asks for, checked as Node checks it |
//! | `program` | what is run: a program of the system or a module, where, and whether it may be |
//! | `spawn` | from the checked options to a child that the isolate has |
//! | `start_record` | what the host of a module is told by its parent |
//! | `start_failure` | why a process was not started |
//! | `stdio` | descriptors of the child, pipes to it |
//! | `spawner` | the thread that starts processes |
//! | `process` | signals to a process, and waiting for its end |
//! | `tree` | signals to a process and all below it |
//! | `sync` | the synchronous forms |
//! | `urls` | `file:` URLs as paths |
//! | `imports` | `nodule:child_process/1` |

use std::sync::Arc;

use nodule_abi::error::ErrorRecord;

pub mod imports;
mod options;
mod process;
mod program;
mod spawn;
mod spawner;
mod start_failure;
pub mod start_record;
mod stdio;
mod sync;
mod tree;
mod urls;

pub use process::{Process, Processes};
use program::Names;
pub(crate) use start_record::sealed_file;

/// A child as the isolate that started it has it.
#[derive(Debug)]
pub struct ChildProcess {
    /// The process, if it was started.
    pub process: Option<Arc<Process>>,
    /// Why it was not.
    pub failure: Option<Box<ErrorRecord>>,
    /// What was started.
    pub names: Arc<Names>,
}
