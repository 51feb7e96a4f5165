//! Why a module cannot be used.

use std::path::PathBuf;

/// Why a module cannot be used. Messages end with a hint where there is one.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The bytes are neither a wasm module nor its text form.
    #[error(
        "{name} is not a wasm module: it starts with {found}, not with \\0asm (hint: compile it for wasm32-wasip1)"
    )]
    NotWasm {
        /// What was loaded.
        name: String,
        /// Its first bytes.
        found: String,
    },
    /// A component, which nodule does not run.
    #[error(
        "{name} is a component, not a core module (hint: build for wasm32-wasip1 instead of wasm32-wasip2, \
         or take the core module out with `wasm-tools component unbundle`)"
    )]
    Component {
        /// What was loaded.
        name: String,
    },
    /// Precompiled code, which is trusted blindly once loaded.
    #[error(
        "{name} is precompiled code, which is not checked when it is loaded (pass --allow-precompiled if you made it yourself)"
    )]
    Precompiled {
        /// What was loaded.
        name: String,
    },
    /// The bytes do not parse or validate.
    #[error("{name} is not a valid wasm module: {reason}")]
    Invalid {
        /// What was loaded.
        name: String,
        /// The first thing wrong with it.
        reason: String,
    },
    /// An import that the host does not have.
    #[error("{name} cannot be linked: {reason}")]
    Link {
        /// What was loaded.
        name: String,
        /// Which import, wanted and present version.
        reason: String,
    },
    /// The module was built for another ABI.
    #[error(
        "{name} was built for ABI {wanted} of nodule; this nodule has ABI {present} (hint: rebuild it with the matching SDK)"
    )]
    AbiMismatch {
        /// What was loaded.
        name: String,
        /// The number in the module.
        wanted: String,
        /// Ours.
        present: u32,
    },
    /// The engine of another host compiles differently, and what the module was compiled from is gone.
    #[error("{name} cannot be compiled for another engine: {reason}")]
    NoSource {
        /// What was loaded.
        name: String,
        /// What became of its bytes.
        reason: String,
    },
}

/// The innermost cause, on one line.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    error
        .root_cause()
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_string()
}
