//! `abort()`: a wasm core dump, then the end by a signal.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use wasmtime::{Store, WasmCoreDump};

use super::signals;
use crate::runtime::{IsolateRole, IsolateState};
use crate::shared_memory;

/// Unwinds the guest; the process then writes a core dump and dies by the signal.
#[derive(Clone, Copy, Debug)]
pub struct AbortRequest {
    /// The signal to die by.
    pub signal: i32,
}

impl std::fmt::Display for AbortRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "abort by signal {}", self.signal)
    }
}

impl std::error::Error for AbortRequest {}

/// Numbers the dumps of this process.
static SEQUENCE: AtomicU32 = AtomicU32::new(1);

/// The name of the next dump: `core.<pid>.<n>.wasm`.
fn next_path(directory: &Path) -> PathBuf {
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    directory.join(format!("core.{}.{sequence}.wasm", std::process::id()))
}

/// Writes the core dump that came with `error` and ends the process by the signal of the request.
pub fn dump_and_abort(store: &mut Store<IsolateState>, error: &wasmtime::Error, request: AbortRequest) -> ! {
    debug_assert_eq!(
        store.data().role,
        IsolateRole::Main,
        "only a main isolate may end the process"
    );
    if let Some(dump) = error.downcast_ref::<WasmCoreDump>() {
        let directory = store.data().process.dump_directory();
        let path = next_path(&directory);
        let name = store.data().module.name().to_string();
        // The dump reads the memory as one slice, which must not change meanwhile.
        shared_memory::make_private(store);
        let bytes = dump.serialize(&mut *store, &name);
        match std::fs::write(&path, bytes) {
            Ok(()) => eprintln!("nodule: wasm core dump written to {}", path.display()),
            Err(error) => eprintln!("nodule: cannot write the wasm core dump {}: {error}", path.display()),
        }
    }
    signals::die_by(request.signal)
}
