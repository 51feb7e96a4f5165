//! What the `process` module of Node does, without any wasm: plain functions and values that `imports.rs` puts in
//! front of guests.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@env`] | `process.env`: one store of variables per isolate |
//! | [`env_file`] | the syntax of `loadEnvFile` and `--env-file` |
//! | [`exit_code`] | `process.exitCode` |
//! | [`identity`] | user and group ids |
//! | [`js_text`] | how Node writes values into messages |
//! | [`options`] | the options of the host as a table |
//! | [`report`] | diagnostic reports |
//! | [`title`] | the title `ps` shows |
//! | [`usage`] | clocks, CPU time, memory |
//! | [`warnings`] | printing of `'warning'` |
//! | [`wasm_file`] | whether a file is a module |

pub mod abort;
pub mod attributes;
pub mod directory;
pub mod dlopen;
pub mod end;
pub mod env;
pub mod env_file;
pub mod execve;
pub mod exit_code;
pub mod identity;
pub mod imports;
pub mod js_text;
pub mod kill;
mod locked_versions;
pub mod options;
pub mod report;
pub mod reports;
pub mod signals;
mod state;
pub mod title;
pub mod usage;
pub mod warnings;
pub mod wasm_file;

pub use state::{ProcessOptions, ProcessState, UnhandledRejections};

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod node_oracle;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod own_process;
