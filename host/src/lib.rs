//! nodule runs compiled WebAssembly modules the way Node runs scripts: as sandboxed processes with Node's
//! `process` API, from the command line (`nodule run app.wasm`) or inside a Rust program.
//!
//! | module | what it holds |
//! |---|---|
//! | [`runtime`] | [`Host`], [`Module`], [`Isolate`], [`Plugin`], [`Limits`]: from bytes to a running guest and its end |
//! | [`permissions`] | [`Permissions`]: what a guest may do |
//! | [`process`], [`os`], [`timers`], [`event_loop`], [`stdio`], [`locks`], [`shared_memory`] | the API areas: behaviour, and `imports.rs` with what guests call |
//! | [`diagnostics`] | snapshots, statistics and profiles of a running isolate, from outside |
//! | [`wasi`] | WASI preview 1 |
//! | [`cli`], [`exit_code`] | the command line, the exit codes of the binary |
//!
//! # Run a module
//! ```
//! use nodule::{Host, Module, stdio::Output};
//!
//! # #[tokio::main] async fn main() -> anyhow::Result<()> {
//! let host = Host::new()?;
//! let module = Module::from_bytes(&host, "hello", br#"(module (func (export "_start")))"#)?;
//! let isolate = host.isolate(&module).args(["one", "two"]).stdout(Output::inherit_stdout()).spawn()?;
//! let status = isolate.join().await;
//! assert!(status.success());
//! # Ok(()) }
//! ```
//!
//! # Give a plugin a host function and call it
//! ```
//! use nodule::{Host, Module};
//! use nodule::wasmtime::Caller;
//!
//! struct Discount(i32);
//!
//! # #[tokio::main] async fn main() -> anyhow::Result<()> {
//! let host = Host::builder()
//!     .linker(|linker| {
//!         linker.func_wrap("shop", "discount", |caller: Caller<'_, nodule::IsolateState>| {
//!             caller.data().extensions.get::<Discount>().map_or(0, |discount| discount.0)
//!         })?;
//!         Ok(())
//!     })
//!     .build()?;
//! let text = br#"(module
//!     (import "shop" "discount" (func $discount (result i32)))
//!     (func (export "price") (param i32) (result i32) (i32.sub (local.get 0) (call $discount))))"#;
//! let module = Module::from_bytes(&host, "plugin", text)?;
//! let mut plugin = host.isolate(&module).extension(Discount(5)).plugin().await.map_err(|status| *status.error.unwrap_or_default())?;
//! assert_eq!(plugin.call::<i32, i32>("price", 100).await.unwrap(), 95);
//! # Ok(()) }
//! ```
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test fails by panicking"
    )
)]

pub(crate) mod child_process;
pub mod cli;
pub mod diagnostics;
mod error_area;
pub mod event_loop;
pub mod exit_code;
mod guest_memory;
mod handles;
mod host_error;
mod inherited_fd;
mod ipc;
pub mod locks;
mod messaging;
pub mod os;
pub mod permissions;
pub mod process;
mod readiness;
pub mod runtime;
pub mod shared_memory;
mod spawn_tied;
pub mod stdio;
pub mod timers;
pub mod wasi;
mod worker_threads;

pub use nodule_abi as abi;
pub use permissions::Permissions;
pub use runtime::{
    Activity, Cache, EngineOptions, ExitStatus, Host, HostBuilder, Isolate, IsolateBuilder, IsolateId, IsolateRole,
    IsolateState, Limits, Module, ModuleError, OnMemoryLimit, Optimize, Plugin,
};
pub use wasmtime;
