//! Attributes of `process` by their Node names: reading and writing them as values.

use nodule_abi::ABI_VERSION;
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::value::{Object, Value};

use super::{options, reports};
use crate::ipc;
use crate::runtime::IsolateState;

/// The version of Node's API that is followed.
const NODE_API: &str = "26.0.0";

/// `process.arch`: the CPU in Node's spelling.
pub const fn arch() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "x64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else if cfg!(target_arch = "riscv64") {
        "riscv64"
    } else if cfg!(target_arch = "s390x") {
        "s390x"
    } else {
        std::env::consts::ARCH
    }
}

/// `process.platform`: the operating system in Node's spelling.
pub const fn platform() -> &'static str {
    if cfg!(target_os = "macos") {
        "darwin"
    } else {
        std::env::consts::OS
    }
}

/// `threadId`: 0 for a root isolate.
pub fn thread_id(state: &IsolateState) -> u32 {
    state.shared.thread.number()
}

fn strings<'a>(list: impl IntoIterator<Item = &'a str>) -> Value {
    Value::array(list)
}

/// The attribute `name`; `None` when there is no such attribute. Undefined is a value.
///
/// # Errors
/// `ERR_WORKER_UNSUPPORTED_OPERATION` for those that a worker does not have.
pub fn get(state: &IsolateState, name: &str) -> Result<Option<Value>> {
    let process = &state.process;
    let flag = |flag: Option<bool>| flag.map_or(Value::Undefined, Value::from);
    Ok(Some(match name {
        "arch" => arch().into(),
        "platform" => platform().into(),
        "release" => release(),
        "version" => concat!("v", env!("CARGO_PKG_VERSION")).into(),
        "versions" => versions(),
        "execPath" => process.exec_path.as_str().into(),
        "config" => config(),
        "features" => features(),
        "guestArch" => "wasm32".into(),
        "pid" => std::process::id().into(),
        "ppid" => rustix::process::getppid()
            .map_or(0, |pid| pid.as_raw_nonzero().get())
            .into(),
        "title" => process.title(&state.shared).into(),
        "argv" => strings(process.argv.iter().map(String::as_str)),
        "argv0" => process.argv0.as_str().into(),
        "execArgv" => strings(process.exec_argv.iter().map(String::as_str)),
        "mainModule" => process.main_module.as_deref().map_or(Value::Undefined, Value::from),
        "allowedNodeEnvironmentFlags" => strings(options::allowed_in_environment()),
        "debugPort" => u32::from(process.debug_port).into(),
        "exitCode" => process.exit_code.value().clone(),
        "noDeprecation" => flag(process.deprecation.no_deprecation),
        "throwDeprecation" => flag(process.deprecation.throw_deprecation),
        "traceDeprecation" => flag(process.deprecation.trace_deprecation),
        "traceProcessWarnings" => flag(process.warnings.options().trace_warnings.then_some(true)),
        "sourceMapsEnabled" => process.source_maps.into(),
        "unhandledRejections" => process.unhandled_rejections.name().into(),
        "threadId" => thread_id(state).into(),
        "channel" | "connected" => ipc::parent_channel_attribute(state, name)?,
        _ => return Ok(name.strip_prefix("report.").and_then(|name| process.report.get(name))),
    }))
}

/// Sets a writable attribute.
pub fn set(state: &mut IsolateState, name: &str, value: &Value) -> Result<()> {
    let process = &mut state.process;
    match name {
        "title" => {
            let text = value
                .as_str()
                .ok_or_else(|| ErrorRecord::invalid_arg_type("title", "of type string", &value.describe()))?;
            process.set_title(text);
        }
        "exitCode" => process.exit_code.set(value)?,
        "debugPort" => process.debug_port = debug_port(value)?,
        "noDeprecation" => process.deprecation.no_deprecation = truth(value),
        "throwDeprecation" => process.deprecation.throw_deprecation = truth(value),
        "traceDeprecation" => process.deprecation.trace_deprecation = truth(value),
        "sourceMapsEnabled" => {
            process.source_maps = value
                .as_bool()
                .ok_or_else(|| ErrorRecord::invalid_arg_type("val", "of type boolean", &value.describe()))?;
        }
        _ => {
            if let Some(report_name) = name.strip_prefix("report.") {
                let old_signal = reports::report_signal(state);
                state.process.report.set(report_name, value)?;
                return reports::settings_changed(state, report_name, old_signal);
            }
            let code = if get(state, name)?.is_some() {
                ErrorCode::Eperm
            } else {
                ErrorCode::Enoent
            };
            return Err(ErrorRecord::new(code, format!("process.{name} cannot be set")).into());
        }
    }
    Ok(())
}

/// A flag as JavaScript reads it: undefined stays undefined, anything else is true or false.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Undefined => None,
        Value::Null => Some(false),
        other => Some(
            other
                .as_bool()
                .unwrap_or_else(|| other.as_f64() != Some(0.0) && other.as_str() != Some("")),
        ),
    }
}

/// 0 or 1024–65535, as Node's `validatePort` for the inspector.
fn debug_port(value: &Value) -> Result<u16> {
    let number = value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok())
        .ok_or_else(|| ErrorRecord::invalid_arg_type("debugPort", "of type number", &value.describe()))?;
    let port = [0.0].contains(&number) || (1024.0..=65535.0).contains(&number) && number.fract() == 0.0;
    if !port {
        return Err(ErrorRecord::out_of_range(
            "process.debugPort",
            "0 or in range 1024 to 65535",
            &super::js_text::number(number),
        )
        .into());
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be an integer in range"
    )]
    Ok(number as u16)
}

/// `process.release`.
pub fn release() -> Value {
    let base = concat!(
        env!("CARGO_PKG_REPOSITORY"),
        "/releases/download/v",
        env!("CARGO_PKG_VERSION")
    );
    Value::object([
        ("name", "nodule".to_string()),
        (
            "sourceUrl",
            format!("{base}/nodule-v{}.tar.gz", env!("CARGO_PKG_VERSION")),
        ),
        (
            "headersUrl",
            format!("{base}/nodule-v{}-headers.tar.gz", env!("CARGO_PKG_VERSION")),
        ),
    ])
}

/// The version of a dependency, as the build was locked to it.
fn locked(name: &str) -> &'static str {
    super::locked_versions::LOCKED
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("", |(_, version)| version)
}

/// `process.versions`: names and versions, all strings.
pub fn versions() -> Value {
    Value::object([
        ("node", NODE_API.to_string()),
        ("nodule", env!("CARGO_PKG_VERSION").to_string()),
        ("wasmtime", locked("wasmtime").to_string()),
        ("wasi", "0.1".to_string()),
        ("cranelift", locked("cranelift-codegen").to_string()),
        ("tokio", locked("tokio").to_string()),
        ("modules", ABI_VERSION.to_string()),
    ])
}

fn config() -> Value {
    let variables = Value::object([
        ("host_arch", Value::from(arch())),
        ("target_arch", "wasm32".into()),
        (
            "wasm_features",
            strings([
                "bulk-memory",
                "multi-value",
                "mutable-global",
                "reference-types",
                "sign-ext",
                "simd128",
                "threads",
                "tail-call",
            ]),
        ),
        ("allocator_strategy", "on-demand".into()),
        ("epoch_tick_ms", 1.into()),
        ("abi_version", ABI_VERSION.into()),
    ]);
    Value::object([
        ("target_defaults", Value::object([("default_configuration", "Release")])),
        ("variables", variables),
    ])
}

fn features() -> Value {
    let list = [
        ("inspector", false),
        ("debug", cfg!(debug_assertions)),
        ("uv", true),
        ("ipv6", true),
        ("tls", false),
        ("tls_alpn", false),
        ("tls_sni", false),
        ("tls_ocsp", false),
        ("cached_builtins", true),
        ("require_module", false),
        ("typescript", false),
        ("shared_buffer", true),
        ("handle_passing", true),
        ("threads", true),
    ];
    Value::Object(list.into_iter().collect::<Object>())
}
