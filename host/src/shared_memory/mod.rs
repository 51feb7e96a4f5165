//! Shared memory: buffers behind windows of linear memories, waiting on their cells, ArrayBuffers in pages of their own.
//!
//! | file | what it does |
//! |---|---|
//! | `pages` | sealed memfds, counted against the isolate that made them |
//! | `buffer` | shared buffers and their length |
//! | `window`, `mapping` | ranges of a linear memory that show the pages of a buffer; the system calls |
//! | `waiters` | wait and notify |
//! | `futex` | the same between processes |
//! | `foreign` | pages that came from another process |
//! | `array_buffer` | ArrayBuffers whose pages move to the receiver |
//! | `budget` | what the whole process may use |
//! | `imports` | what guests call |

use std::collections::HashMap;
use std::sync::Arc;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmtime::{AsContextMut, Caller};

use crate::guest_memory;
use crate::handles::Handle;
use crate::host_error::HostError;
use crate::runtime::{IsolateState, Limits};

pub mod array_buffer;
mod budget;
pub mod buffer;
mod foreign;
mod futex;
pub mod imports;
mod mapping;
pub mod pages;
pub mod waiters;
pub mod window;

pub use array_buffer::ArrayPages;
pub(crate) use budget::{Permit as FilePermit, file as file_permit};
pub use buffer::SharedBuffer;
pub use foreign::ForeignPages;

use mapping::Linear;
use pages::{Account, PAGE_BYTES, PagesId};
use window::{Backing, Windows};

/// What the host keeps of shared memory for one isolate.
#[derive(Debug)]
pub struct SharedMemory {
    /// Its windows.
    pub windows: Windows,
    /// Which handles use a window.
    mapped: HashMap<Handle, PagesId>,
    /// What it created.
    account: Arc<Account>,
    /// Tells those that wait for a lock that its thread is gone.
    _gone: DropGuard,
}

impl SharedMemory {
    /// Nothing yet. `gone` is cancelled when the isolate is.
    pub fn new(limits: &Limits, gone: CancellationToken) -> Self {
        Self {
            windows: Windows::default(),
            mapped: HashMap::new(),
            account: Account::new(limits.max_shared_buffers, limits.max_shared_bytes as u64),
            _gone: gone.drop_guard(),
        }
    }

    /// What it created.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Ends the use of a window by `handle`.
    pub fn unmap(&mut self, handle: Handle) -> Result<()> {
        if let Some(id) = self.mapped.get(&handle).copied() {
            self.windows.release(id)?;
            self.mapped.remove(&handle);
        }
        Ok(())
    }

    /// Ends the uses of windows by all of these handles, or none of them. Traps when the system refuses that in the
    /// middle and then the way back too.
    pub fn unmap_all(&mut self, handles: &[Handle]) -> std::result::Result<(), HostError> {
        let mut done = Vec::new();
        for handle in handles {
            let Some(id) = self.mapped.get(handle).copied() else {
                continue;
            };
            match self.windows.release(id) {
                Ok(removed) => done.push((*handle, id, removed)),
                Err(error) => {
                    for (_, id, removed) in done.into_iter().rev() {
                        let restored = self.windows.restore(id, removed);
                        restored.map_err(|_| HostError::trap("a window of an ArrayBuffer is lost"))?;
                    }
                    return Err(error.into());
                }
            }
        }
        for (handle, ..) in done {
            self.mapped.remove(&handle);
        }
        Ok(())
    }
}

/// Makes the window of `handle`, whose pages these are, or gives the one there is. Growing the memory for it never
/// ends the isolate: at the limit of its memory it is `ENOMEM`.
pub(crate) async fn map(
    caller: &mut Caller<'_, IsolateState>,
    handle: Handle,
    backing: Backing,
) -> std::result::Result<u32, HostError> {
    let memory = guest_memory::memory(caller)?;
    let size = u32::try_from(memory.size(&*caller)).unwrap_or(u32::MAX);
    let linear = Linear::of(memory, &*caller);
    let id = backing.pages().id();
    let state = caller.data_mut();
    let shared = &mut state.shared_memory;
    let known = shared.windows.reuse(id);
    if let Some(address) = known {
        if shared.mapped.insert(handle, id).is_some() {
            // This handle is counted already.
            shared.windows.release(id)?;
        }
        return Ok(address);
    }
    let place = shared.windows.place(linear, backing.pages().count(), size)?;
    let growth = u64::from(place.growth);
    let allowed = state.limits.max_memory_bytes.saturating_sub(state.memory_bytes()) as u64;
    if growth * PAGE_BYTES > allowed {
        let message = "no room for the window below the memory limit (raise it with --max-memory)";
        return Err(ErrorRecord::new(ErrorCode::Enomem, message).into());
    }
    if growth > 0 {
        memory
            .grow_async(caller.as_context_mut(), growth)
            .await
            .map_err(|error| {
                let message = format!("the memory of the module cannot grow: {}", error.root_cause());
                ErrorRecord::new(ErrorCode::Enomem, message)
            })?;
    }
    let shared = &mut caller.data_mut().shared_memory;
    let address = shared.windows.map(linear, place, backing)?;
    shared.mapped.insert(handle, id);
    Ok(address)
}

/// Turns every window into memory of the guest's own with the same bytes, for code that reads the memory as a
/// whole before the process ends.
pub fn make_private(store: &mut wasmtime::Store<IsolateState>) {
    let Some(memory) = store.data().exports.memory else {
        return;
    };
    let mut piece = vec![0; 64 * 1024];
    for (address, backing) in store.data_mut().shared_memory.windows.take_all() {
        for page in 0..backing.pages().count() {
            let offset = u64::from(page) * PAGE_BYTES;
            let read = rustix::io::pread(backing.pages().file(), &mut piece[..], offset);
            // What is zero already is not touched.
            if read == Ok(piece.len()) && piece.iter().any(|byte| *byte != 0) {
                let at = address as usize + page as usize * piece.len();
                // Behind the end of the memory there are no windows.
                let _ = guest_memory::copy_in(store, memory, at, &piece);
            }
        }
    }
}

#[cfg(test)]
mod tests;
