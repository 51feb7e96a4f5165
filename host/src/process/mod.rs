//! What the `process` module of Node does, without any wasm: plain functions and values that `imports.rs` puts in
//! front of guests.
//!
//! | module | what it holds |
//! |---|---|
//! | [`env`] | `process.env`: one store of variables per isolate |
//! | [`env_file`] | the syntax of `loadEnvFile` and `--env-file` |
//! | [`js_text`] | how Node writes values into messages |
//! | [`title`] | the title `ps` shows |
//! | [`usage`] | clocks, CPU time, memory |

pub mod env;
pub mod env_file;
pub mod js_text;
pub mod title;
pub mod usage;

#[cfg(test)]
mod node_oracle;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod own_process;
