//! Compiled modules.

use std::fmt;
use std::rc::Rc;

use nodule_abi::resource::ResourceKind;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Result;
use crate::messaging::side_list;
use crate::sys::{self, worker_threads as host};

/// A compiled module (Node: `WebAssembly.Module`). Messages share it: nothing is compiled again.
#[derive(Clone)]
pub struct Module {
    state: Rc<State>,
}

struct State {
    handle: u32,
}

impl Drop for State {
    fn drop(&mut self) {
        // It is open until here.
        let _ = sys::close(self.handle);
    }
}

impl Module {
    /// Compiles a module, in binary or text form. The isolate does nothing else meanwhile.
    ///
    /// # Errors
    /// `ERR_WORKER_INIT_FAILED` when it is not valid or wants imports that do not exist; `EMFILE`.
    pub fn compile(bytes: &[u8]) -> Result<Self> {
        Ok(Self::of_handle(host::module_compile(bytes)?))
    }

    /// The module that this isolate runs.
    ///
    /// # Errors
    /// `EMFILE` when the isolate has too many handles.
    pub fn current() -> Result<Self> {
        Ok(Self::of_handle(host::module_current()?))
    }

    /// The SHA-256 of its bytes, in hexadecimal.
    ///
    /// # Errors
    /// None that a guest could cause.
    pub fn digest(&self) -> Result<String> {
        host::module_digest(self.state.handle)
    }

    fn of_handle(handle: u32) -> Self {
        let state = Rc::new(State { handle });
        side_list::keep(Rc::clone(&state) as Rc<dyn std::any::Any>);
        Self { state }
    }

    pub(crate) fn raw_handle(&self) -> u32 {
        self.state.handle
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").finish_non_exhaustive()
    }
}

impl Serialize for Module {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        side_list::serialize_handle(self.state.handle, serializer)
    }
}

impl<'de> Deserialize<'de> for Module {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        side_list::deserialize_handle(ResourceKind::Module, deserializer).map(Self::of_handle)
    }
}
