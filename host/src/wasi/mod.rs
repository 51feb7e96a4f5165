//! WASI preview 1: `wasmtime_wasi`, and the calls that differ here, each with its reason.
//!
//! | file | calls | why |
//! |---|---|---|
//! | `stdio_calls` | `fd_fdstat_get`, `fd_filestat_get`, … on the standard streams | they are those of [`crate::stdio`] |
//! | `transfer` | `fd_read`, `fd_write`, `fd_pread`, `fd_pwrite` | all buffers of a call at once, in large pieces |
//! | `files` | `fd_close`, `fd_renumber`, `fd_readdir`, … | open files are counted and bounded, grants can be dropped |
//! | `paths` | `path_*` | the same; paths follow the working directory |
//! | `poll` | `poll_oneoff`, `clock_*` | waits for standard input; clocks are those of `process.hrtime()` |
//! | `environ` | `environ_*`, `args_*` | `process.env` is live |
//! | `process_calls` | `proc_exit`, `proc_raise`, `sched_yield`, `random_get` | every exit code, signals, fairness |
//!
//! Where a call goes on to `wasmtime_wasi`, it gets memory of the host (`scratch`) and results are copied, so that
//! no reference to guest memory lives while anything waits.

use std::path::PathBuf;

use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::permissions::Permissions;
use crate::process::ProcessState;
use crate::runtime::IsolateState;

mod environ;
mod errno;
mod fd_table;
mod files;
mod paths;
mod poll;
mod process_calls;
mod scratch;
mod stdio_calls;
mod transfer;

pub(crate) use fd_table::normalize;
use fd_table::{FdTable, Preopen};

/// The import namespace.
const NAMESPACE: &str = "wasi_snapshot_preview1";

/// What the host keeps for the WASI calls of one isolate.
pub struct WasiState {
    /// What `wasmtime_wasi` keeps. Its own standard streams lead nowhere and are never used.
    context: WasiP1Ctx,
    fds: FdTable,
}

/// Registers all of `wasi_snapshot_preview1`.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p1::add_to_linker_async(linker, |state: &mut IsolateState| &mut state.wasi.context)?;
    linker.allow_shadowing(true);
    environ::register(linker)?;
    poll::register(linker)?;
    stdio_calls::register(linker)?;
    transfer::register(linker)?;
    files::register(linker)?;
    paths::register(linker)?;
    process_calls::register(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The state of a new isolate: the granted directories are opened, nothing else.
pub fn context(permissions: &Permissions, process: &ProcessState) -> WasiState {
    let cwd = guest_cwd(permissions, process);
    let mut builder = WasiCtxBuilder::new();
    let mut preopens = Vec::new();
    for preopen in permissions.preopens(&cwd) {
        let perms = if preopen.access.writes() {
            FsPerms::ReadWrite
        } else {
            FsPerms::ReadOnly
        };
        // Opened again through its descriptor: the same directory, whatever happened to its path.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&*preopen.dir));
        match builder.preopened_dir(path, &preopen.name, perms) {
            Ok(_) => preopens.push(Preopen::new(preopen.name, &cwd, permissions)),
            Err(error) => tracing::warn!(name = preopen.name, %error, "a granted directory could not be opened"),
        }
    }
    WasiState {
        context: builder.build_p1(),
        fds: FdTable::new(cwd, preopens),
    }
}

/// The working directory as the guest names it.
fn guest_cwd(permissions: &Permissions, process: &ProcessState) -> PathBuf {
    // A directory that is gone leads nowhere under any name.
    process.cwd(permissions).unwrap_or_else(|_| PathBuf::from("/"))
}

/// The tables of the calling isolate.
fn fds<'a>(caller: &'a mut Caller<'_, IsolateState>) -> &'a mut FdTable {
    &mut caller.data_mut().wasi.fds
}
