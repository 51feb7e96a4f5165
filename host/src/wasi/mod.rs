//! stub
use wasmtime::Linker; use wasmtime_wasi::p1::{self, WasiP1Ctx}; use crate::{runtime::IsolateState, process::ProcessState, permissions::Permissions};
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> { p1::add_to_linker_async(linker, |s| &mut s.wasi)?; linker.allow_shadowing(true);
 linker.func_wrap("wasi_snapshot_preview1","proc_exit",|code: u32| -> wasmtime::Result<()> { Err(crate::process::end::ExitRequest(i64::from(code)).into()) })?; linker.allow_shadowing(false); Ok(()) }
pub fn context(process: &ProcessState, _p: &Permissions) -> WasiP1Ctx { let mut b = wasmtime_wasi::WasiCtxBuilder::new(); b.inherit_stdio().args(&process.wasi_args()); b.build_p1() }
