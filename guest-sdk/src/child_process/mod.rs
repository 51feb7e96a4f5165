//! Other processes (Node: `child_process`): programs of the system, with the grant `run`, and wasm modules, with the grant
//! `child`. A module runs in a process of its own with at most the grants of this one.
//!
//! ```no_run
//! use nodule_sdk::child_process::{self, ForkOptions, SpawnOptions};
//! use nodule_sdk::process;
//!
//! # #[nodule_sdk::main]
//! # async fn main() -> nodule_sdk::Result<()> {
//! let ls = child_process::spawn("ls", &["-l"], SpawnOptions::new())?;
//! if let Some(stdout) = ls.stdout() {
//!     stdout.on_data(|bytes| println!("{}", String::from_utf8_lossy(bytes)));
//! }
//! ls.on_close(|code, signal| println!("ended: {code:?} {signal:?}"));
//!
//! let worker = child_process::fork("./worker.wasm", &[], ForkOptions::new())?;
//! worker.on_message(|answer: String| println!("{answer}"));
//! worker.send("question")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Order
//! `'spawn'`, then data and messages, then `'disconnect'`, `'exit'`, `'close'`. Every message that the child sent comes before
//! `'exit'`. A child that does not start gives `'error'` and `'close'` only.
//!
//! # Output that nobody reads
//! Pipes are finite: a child waits when nobody reads what it writes. After its end, what is left in streams that nobody
//! ever read from is discarded, so that `'close'` can come.

mod child;
mod data;
mod exec;
mod exec_error;
mod options;
mod signal;
mod state;
mod stdio;
mod sync;

pub use crate::ipc::{Channel, SendHandle, SendOptions};
pub use child::ChildProcess;
pub use data::{Data, Encoding};
pub use exec::{Exec, Output, exec, exec_file, exec_file_with, exec_with};
pub use exec_error::{ExecCode, ExecError};
pub use options::{ExecOptions, ForkOptions, Serialization, Shell, SpawnOptions, SpawnSyncOptions};
pub use state::ExitStatus;
pub use stdio::{Stdio, StdioList, StdioStream};
pub use sync::{ExecSyncError, SpawnSyncResult, exec_file_sync, exec_sync, spawn_sync};

use crate::error::Result;
use options::Options;
use state::State;

/// Starts a program or a wasm module (Node: `child_process.spawn`). `command` is looked up in the `PATH` of the child's
/// environment; there is no shell, unless the options ask for one.
///
/// That the program is missing or may not be run (`ENOENT`, `EACCES`, `EAGAIN`, `EMFILE`, `ENFILE`) is told by `'error'`.
///
/// # Errors
/// `ERR_ACCESS_DENIED` (`Run`, `ChildProcess`); `ERR_INVALID_ARG_VALUE`, `ERR_UNKNOWN_SIGNAL`, `ERR_OUT_OF_RANGE`,
/// `ERR_IPC_ONE_PIPE` and others for bad options; what else the system says. Nothing is started then.
pub fn spawn(command: &str, args: &[&str], options: SpawnOptions) -> Result<ChildProcess> {
    start(command, args, options.options, false)
}

/// Starts a wasm module as a process with a channel for messages (Node: `child_process.fork`). It runs in the host that
/// runs this one, unless the options name another `exec_path`; its standard streams are this process's, unless they say
/// otherwise.
///
/// # Errors
/// As [`spawn`]; `ERR_CHILD_PROCESS_IPC_REQUIRED` for a list of `stdio` without [`Stdio::Ipc`].
pub fn fork(module_path: &str, args: &[&str], options: ForkOptions) -> Result<ChildProcess> {
    start(module_path, args, options.options, true)
}

fn start(file: &str, args: &[&str], mut options: Options, is_fork: bool) -> Result<ChildProcess> {
    options.name(file, args);
    if is_fork {
        options.fields.insert("fork", true);
    } else {
        options.warn_of_shell(args);
    }
    State::start(options, is_fork).map(ChildProcess::of)
}
