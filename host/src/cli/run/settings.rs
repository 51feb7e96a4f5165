//! What the options of `nodule run` mean: from [`super::flags`] to the values of the library.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::flags::{
    EngineFlags, EnvironmentFlags, GrantList, LimitFlags, PermissionFlags, ReportFlags, WarningFlags,
};
use nodule_abi::value::Value;

use crate::cli::error::CliError;
use crate::exit_code::ExitCode;
use crate::permissions::Permissions;
use crate::process::env_file;
use crate::process::UnhandledRejections;
use crate::process::report::ReportSettings;
use crate::process::warnings::{DeprecationFlags, WarningOptions};
use crate::runtime::{EngineOptions, Limits, Optimize};

/// The meaning of a value of `--optimize`.
pub fn optimize(level: &str) -> Optimize {
    match level {
        "0" => Optimize::None,
        "2" => Optimize::SpeedAndSize,
        _ => Optimize::Speed,
    }
}

/// What the guest may do.
pub fn permissions(flags: &PermissionFlags) -> Result<Permissions, CliError> {
    let mut words = Vec::new();
    // First, because it grants everything anew.
    words.extend(flags.allow_all.then(|| "-A".to_owned()));
    for (name, lists) in
        [("--allow-net", &flags.allow_net), ("--allow-run", &flags.allow_run), ("--allow-env", &flags.allow_env)]
    {
        words.extend(lists.iter().map(|list| match list {
            GrantList::All => name.to_owned(),
            GrantList::Some(list) => format!("{name}={list}"),
        }));
    }
    words.extend(flags.dir.iter().map(|dir| format!("--dir={dir}")));
    for (name, is_given) in [
        ("--allow-child", flags.allow_child),
        ("--allow-sys", flags.allow_sys),
        ("--allow-signal", flags.allow_signal),
        ("--allow-dlopen", flags.allow_dlopen),
        ("--allow-worker", flags.allow_worker),
        ("--deny-worker", flags.deny_worker),
        ("--allow-shared-memory", flags.allow_shared_memory),
    ] {
        words.extend(is_given.then(|| name.to_owned()));
    }
    Ok(Permissions::from_flags(words.iter().map(String::as_str))?)
}

/// What the guest may use.
pub fn limits(flags: &LimitFlags) -> Limits {
    let defaults = Limits::default();
    Limits {
        max_memory_bytes: flags.max_memory.unwrap_or(defaults.max_memory_bytes),
        max_table_elements: flags.max_table_elements.unwrap_or(defaults.max_table_elements),
        max_cpu_time: flags.max_cpu_ms.map(Duration::from_millis),
        timeout: flags.timeout_ms.map(Duration::from_millis),
        fuel: flags.fuel,
        max_handles: flags.max_handles.unwrap_or(defaults.max_handles),
        ..defaults
    }
}

/// How code is compiled and run.
pub fn engine_options(engine: &EngineFlags, limits: &LimitFlags) -> EngineOptions {
    let defaults = EngineOptions::default();
    EngineOptions {
        optimize: engine.optimize.as_deref().map_or(defaults.optimize, optimize),
        max_stack_bytes: limits.max_stack.unwrap_or(defaults.max_stack_bytes),
        fuel: limits.fuel.is_some(),
        ..defaults
    }
}

/// The variables of `--env`. A name without a value is that of a variable to pass on, if it is set.
pub fn variables(flags: &EnvironmentFlags) -> Result<Vec<(String, String)>, CliError> {
    let mut variables = Vec::new();
    for text in &flags.env {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text.as_str(), std::env::var(text).ok()),
        };
        if key.is_empty() {
            let message = format!("--env {text:?} has no name before the =");
            return Err(CliError::usage(message).hint("write it as --env KEY=VALUE, or --env KEY to pass a variable on"));
        }
        variables.extend(value.map(|value| (key.to_owned(), value)));
    }
    Ok(variables)
}

/// The variables of all env files; of equal names the last counts.
pub fn file_variables(flags: &EnvironmentFlags) -> Result<Vec<(String, String)>, CliError> {
    let mut variables = BTreeMap::new();
    for path in &flags.env_file {
        variables.extend(read_env_file(path)?);
    }
    for path in flags.env_file_if_exists.iter().filter(|path| path.exists()) {
        variables.extend(read_env_file(path)?);
    }
    Ok(variables.into_iter().collect())
}

fn read_env_file(path: &Path) -> Result<Vec<(String, String)>, CliError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(env_file::parse(&text)),
        Err(error) => {
            let mut failure = CliError::file("cannot read the env file", path, &error);
            // As in Node, where this is a mistake of the command line.
            failure.code = ExitCode::Usage;
            Err(match error.kind() {
                std::io::ErrorKind::NotFound => failure.hint("--env-file-if-exists allows it to be missing"),
                _ => failure,
            })
        }
    }
}

/// How warnings are printed.
pub fn warnings(flags: &WarningFlags) -> WarningOptions {
    let from_environment = || std::env::var_os("NODE_REDIRECT_WARNINGS").filter(|file| !file.is_empty());
    WarningOptions {
        no_warnings: flags.no_warnings,
        trace_warnings: flags.trace_warnings,
        disabled: flags.disable_warning.clone(),
        redirect: flags.redirect_warnings.clone().or_else(|| from_environment().map(PathBuf::from)),
    }
}

/// What deprecation warnings do; undefined unless the flag is there.
pub fn deprecation(flags: &WarningFlags) -> DeprecationFlags {
    DeprecationFlags {
        no_deprecation: flags.no_deprecation.then_some(true),
        throw_deprecation: flags.throw_deprecation.then_some(true),
        trace_deprecation: flags.trace_deprecation.then_some(true),
    }
}

/// The mode of `--unhandled-rejections`.
pub fn unhandled_rejections(flags: &WarningFlags) -> UnhandledRejections {
    use UnhandledRejections as Mode;
    let modes = [Mode::Throw, Mode::Strict, Mode::Warn, Mode::None, Mode::WarnWithErrorCode];
    let given = flags.unhandled_rejections.as_deref();
    modes.into_iter().find(|mode| Some(mode.name()) == given).unwrap_or_default()
}

/// When, where and how reports are written.
pub fn report(flags: &ReportFlags) -> Result<ReportSettings, CliError> {
    let mut report = ReportSettings::default();
    let switches = [
        ("reportOnFatalError", flags.report_on_fatalerror),
        ("reportOnSignal", flags.report_on_signal),
        ("reportOnUncaughtException", flags.report_uncaught_exception),
        ("compact", flags.report_compact),
        ("excludeEnv", flags.report_exclude_env),
        ("excludeNetwork", flags.report_exclude_network),
    ];
    let texts = [
        ("signal", &flags.report_signal),
        ("directory", &flags.report_directory),
        ("filename", &flags.report_filename),
    ];
    let switches = switches.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| (name, Value::from(true)));
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, Value::from(text.as_deref()?))));
    for (name, value) in switches.chain(texts) {
        report.set(name, &value).map_err(|error| CliError::usage(error.message.clone()))?;
    }
    Ok(report)
}

/// `--debug-port`: 0 or 1024 to 65535. Node has an exit code of its own for a bad one.
pub fn debug_port(flags: &EngineFlags) -> Result<Option<u16>, CliError> {
    let Some(text) = &flags.debug_port else { return Ok(None) };
    let port = text.parse().ok().filter(|port| *port == 0 || *port >= 1024);
    match port {
        Some(port) => Ok(Some(port)),
        None => {
            let message = format!("--debug-port {text:?} is no port for a debugger");
            Err(CliError::new(ExitCode::DebugPort, message).hint("it must be 0 or in range 1024 to 65535"))
        }
    }
}

/// Whether backtraces name source lines; the library decides when no flag does.
pub fn source_maps(flags: &EngineFlags) -> Option<bool> {
    match (flags.enable_source_maps, flags.no_source_maps) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}
