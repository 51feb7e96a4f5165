//! stub
use wasmtime::Linker; use crate::runtime::IsolateState; pub(super) fn register(_: &mut Linker<IsolateState>) -> wasmtime::Result<()> { Ok(()) }
