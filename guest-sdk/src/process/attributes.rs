//! Attributes: what `process.get` of the host gives.

use std::collections::BTreeMap;

use nodule_abi::error::ErrorCode;
use nodule_abi::hooks::Origin;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::{Value, sys, uncaught};

/// The attribute `name` in Node's spelling, also one without a function here; `None` for a name that is no attribute.
///
/// # Errors
/// When it cannot be read here, such as `connected` in a worker.
pub fn get_attribute(name: &str) -> Result<Option<Value>> {
    sys::process::get(name)
}

/// Sets the attribute `name` in Node's spelling.
///
/// # Errors
/// Node's for a value that does not suit it, `EPERM` for a read-only one.
pub fn set_attribute(name: &str, value: impl Into<Value>) -> Result<()> {
    sys::process::set(name, &value.into())
}

/// An attribute that every host has.
pub(super) fn attribute<T: DeserializeOwned>(name: &str) -> T {
    let missing = || Error::with_code(ErrorCode::Internal, format!("the host has no process.{name}"));
    match sys::process::get(name).and_then(|value| value.ok_or_else(missing)) {
        Ok(value) => value,
        Err(error) => uncaught::raise(&error, Origin::UncaughtException),
    }
}

macro_rules! attributes {
    ($($(#[$docs:meta])* $function:ident: $type:ty = $name:literal;)*) => {$(
        $(#[$docs])*
        #[doc = concat!("\n\n(Node: `process.", $name, "`)")]
        pub fn $function() -> $type {
            attribute($name)
        }
    )*};
}

attributes! {
    /// The CPU the host runs on, in Node's spelling: `x64`, `arm64`…
    arch: String = "arch";
    /// The operating system the host runs on: `linux`, `darwin`…; never `wasi`.
    platform: String = "platform";
    /// The guest's own width: `wasm32` or `wasm64`.
    guest_arch: String = "guestArch";
    /// Name and sources of the runtime.
    release: Release = "release";
    /// Version of the runtime with a leading `v`.
    version: String = "version";
    /// Versions of the runtime's parts by name.
    versions: BTreeMap<String, String> = "versions";
    /// Absolute path of the host's executable.
    exec_path: String = "execPath";
    /// How the host was built: `target_defaults` and `variables`.
    config: Value = "config";
    /// The process id, the same in all threads.
    pid: u32 = "pid";
    /// Id of the parent process as it is now.
    ppid: u32 = "ppid";
    /// What `ps` shows for the process, or the name of the thread.
    title: String = "title";
    /// Executable, absolute path of the module, arguments.
    argv: Vec<String> = "argv";
    /// The host's `argv[0]` as the system passed it.
    argv0: String = "argv0";
    /// Options for the host, those before the module.
    exec_argv: Vec<String> = "execArgv";
    /// Port of the debug server.
    debug_port: u16 = "debugPort";
    /// Whether deprecation warnings are silenced; `None` when nobody said.
    no_deprecation: Option<bool> = "noDeprecation";
    /// Whether deprecation warnings are raised as errors; `None` when nobody said.
    throw_deprecation: Option<bool> = "throwDeprecation";
    /// Whether deprecation warnings show where they come from; `None` when nobody said.
    trace_deprecation: Option<bool> = "traceDeprecation";
    /// Whether all warnings show where they come from; `None` when nobody said.
    trace_process_warnings: Option<bool> = "traceProcessWarnings";
    /// Whether backtraces name lines of the source.
    source_maps_enabled: bool = "sourceMapsEnabled";
    /// Path of the entry module (deprecated in Node).
    main_module: Option<String> = "mainModule";
    /// What the runtime was built with.
    features: Features = "features";
}

macro_rules! setters {
    ($($(#[$docs:meta])* $function:ident($type:ty) = $name:literal;)*) => {$(
        $(#[$docs])*
        #[doc = concat!("\n\n(Node: `process.", $name, " = …`)\n\n# Errors\nNode's for a value that does not suit it.")]
        pub fn $function(value: $type) -> Result<()> {
            sys::process::set($name, &value)
        }
    )*};
}

setters! {
    /// Sets what `ps` shows, as far as the original arguments were long, or the name of the thread.
    set_title(&str) = "title";
    /// Sets the port of the debug server: 0 or 1024 to 65535.
    set_debug_port(u32) = "debugPort";
    /// Silences deprecation warnings.
    set_no_deprecation(bool) = "noDeprecation";
    /// Raises deprecation warnings as uncaught errors.
    set_throw_deprecation(bool) = "throwDeprecation";
    /// Shows where deprecation warnings come from.
    set_trace_deprecation(bool) = "traceDeprecation";
    /// Shows where all warnings come from.
    set_trace_process_warnings(bool) = "traceProcessWarnings";
    /// Turns the look-up of source lines in backtraces on or off.
    set_source_maps_enabled(bool) = "sourceMapsEnabled";
}

/// Where the runtime comes from (Node: `process.release`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// `nodule`.
    pub name: String,
    /// Address of the sources.
    #[serde(default)]
    pub source_url: Option<String>,
    /// Address of the SDK and interface package.
    #[serde(default)]
    pub headers_url: Option<String>,
    /// Name of the long-term release line.
    #[serde(default)]
    pub lts: Option<String>,
}

/// What the runtime was built with (Node: `process.features`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "a list of features")]
pub struct Features {
    /// The debug server.
    pub inspector: bool,
    /// A debug build.
    pub debug: bool,
    /// Always true, for compatibility.
    pub uv: bool,
    /// IPv6.
    pub ipv6: bool,
    /// TLS.
    pub tls: bool,
    /// TLS with ALPN.
    pub tls_alpn: bool,
    /// TLS with SNI.
    pub tls_sni: bool,
    /// TLS with OCSP.
    pub tls_ocsp: bool,
    /// The runtime's own code is compiled ahead of time.
    pub cached_builtins: bool,
    /// `require` of ES modules; never.
    pub require_module: bool,
    /// TypeScript; never.
    pub typescript: bool,
    /// Shared buffers.
    pub shared_buffer: bool,
    /// Handles can be sent to other processes.
    pub handle_passing: bool,
    /// Worker threads.
    pub threads: bool,
}

/// The options of the host that `NODULE_OPTIONS` may hold (Node: `process.allowedNodeEnvironmentFlags`).
pub fn allowed_node_environment_flags() -> EnvironmentFlags {
    EnvironmentFlags {
        flags: attribute("allowedNodeEnvironmentFlags"),
    }
}

/// A read-only set of options with a tolerant look-up.
#[derive(Clone, Debug)]
pub struct EnvironmentFlags {
    flags: Vec<String>,
}

impl EnvironmentFlags {
    /// Whether `flag` is in the set. Leading dashes may be missing, `_` stands for `-`, and a value after `=` is
    /// ignored.
    pub fn has(&self, flag: &str) -> bool {
        let wanted = plain_flag(flag);
        self.flags.iter().any(|known| plain_flag(known) == wanted)
    }

    /// The options as the host spells them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.flags.iter().map(String::as_str)
    }
}

fn plain_flag(flag: &str) -> String {
    let name = flag.split_once('=').map_or(flag, |(name, _)| name);
    name.trim_start_matches('-').replace('_', "-")
}

/// An import namespace of the host (Node: what `process.getBuiltinModule` gives).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BuiltinModule {
    /// Name of the area.
    pub name: String,
    /// Version of its interface.
    pub version: u32,
    /// Names of its functions.
    pub imports: Vec<String>,
}

/// The import namespace `id` (`process`, `node:process`), to find out what a host offers
/// (Node: `process.getBuiltinModule`).
pub fn get_builtin_module(id: &str) -> Option<BuiltinModule> {
    sys::process::get_builtin_module(id).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_look_up_of_flags_is_tolerant() {
        let flags = EnvironmentFlags {
            flags: vec!["--no-warnings".into(), "--title".into()],
        };
        for flag in ["--no-warnings", "no_warnings", "-no-warnings", "--title=x", "title"] {
            assert!(flags.has(flag), "{flag}");
        }
        assert!(!flags.has("--warnings"));
    }
}
