//! What the options of `nodule run` mean: from [`super::flags`] to the values of the library.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::flags::{EngineFlags, EnvironmentFlags, GrantList, LimitFlags, PermissionFlags, ReportFlags, WarningFlags};
use nodule_abi::value::Value;

use crate::cli::error::CliError;
use crate::exit_code::ExitCode;
use crate::ipc::is_channel_variable;
use crate::permissions::Permissions;
use crate::process::UnhandledRejections;
use crate::process::env_file;
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
    for (name, lists) in [
        ("--allow-net", &flags.allow_net),
        ("--allow-run", &flags.allow_run),
        ("--allow-env", &flags.allow_env),
    ] {
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
        ("--deny-shared-memory", flags.deny_shared_memory),
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
        max_workers: flags.max_workers.unwrap_or(defaults.max_workers),
        max_children: flags.max_children.unwrap_or(defaults.max_children),
        max_ports: flags.max_ports.unwrap_or(defaults.max_ports),
        max_queue_bytes: flags.max_queue,
        max_code_bytes: flags.max_code,
        max_shared_buffers: flags.max_shared_buffers.unwrap_or(defaults.max_shared_buffers),
        max_shared_bytes: flags.max_shared_memory.unwrap_or(defaults.max_shared_bytes),
        max_stack_bytes: flags.max_stack,
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
    }
}

/// How many OS threads run isolates.
pub fn threads(engine: &EngineFlags, makes_workers: bool) -> usize {
    let given = engine.threads.and_then(|threads| usize::try_from(threads).ok());
    let own = || match makes_workers {
        true => std::thread::available_parallelism().map_or(1, usize::from),
        false => 1,
    };
    given.unwrap_or_else(own)
}

/// The variables of `--env`. A name without a value is that of a variable to pass on, if it is set.
pub fn variables(flags: &EnvironmentFlags) -> Result<Vec<(String, String)>, CliError> {
    let mut variables = Vec::new();
    for text in &flags.env {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            // What tells of the channel to the parent is for the host.
            None if is_channel_variable(text) => continue,
            None => (text.as_str(), std::env::var(text).ok()),
        };
        if key.is_empty() {
            let message = format!("--env {text:?} has no name before the =");
            return Err(
                CliError::usage(message).hint("write it as --env KEY=VALUE, or --env KEY to pass a variable on")
            );
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
        redirect: flags
            .redirect_warnings
            .clone()
            .or_else(|| from_environment().map(PathBuf::from)),
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
    let modes = [
        Mode::Throw,
        Mode::Strict,
        Mode::Warn,
        Mode::None,
        Mode::WarnWithErrorCode,
    ];
    let given = flags.unhandled_rejections.as_deref();
    modes
        .into_iter()
        .find(|mode| Some(mode.name()) == given)
        .unwrap_or_default()
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
    let switches = switches
        .into_iter()
        .filter(|(_, is_given)| *is_given)
        .map(|(name, _)| (name, Value::from(true)));
    let texts = texts
        .into_iter()
        .filter_map(|(name, text)| Some((name, Value::from(text.as_deref()?))));
    for (name, value) in switches.chain(texts) {
        report
            .set(name, &value)
            .map_err(|error| CliError::usage(error.message.clone()))?;
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::run::flags::RunFlags;
    use crate::permissions::Capability;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunFlags,
    }

    fn flags(line: &str) -> RunFlags {
        let words = ["nodule"].into_iter().chain(line.split_whitespace()).chain(["--", "m"]);
        Line::try_parse_from(words).unwrap().run
    }

    fn grants(line: &str) -> Permissions {
        permissions(&flags(line).permissions).unwrap()
    }

    #[test]
    fn nothing_is_granted_by_default() {
        assert_eq!(grants(""), Permissions::none());
    }

    #[test]
    fn every_permission_flag_grants_its_own() {
        for (flag, capability) in [
            ("--allow-child", Capability::Child),
            ("--allow-sys", Capability::Sys),
            ("--allow-signal", Capability::Signal),
            ("--allow-dlopen", Capability::Addon),
        ] {
            assert_eq!(grants(flag), Permissions::none().allow(capability), "{flag}");
        }
        assert!(grants("--allow-worker").allows(Capability::Worker));
        assert!(!grants("--deny-worker").allows(Capability::Worker));
        assert!(grants("--allow-shared-memory").allows(Capability::SharedMemory));
        assert!(!grants("--deny-shared-memory").allows(Capability::SharedMemory));
        for (flag, scope, inside, outside) in [
            ("--allow-net=127.0.0.1:80", "net", "127.0.0.1:80", "127.0.0.1:81"),
            ("--allow-run=/bin/sh", "run", "/bin/sh", "/bin/other"),
            ("--allow-env=A --allow-env=B*", "env", "B1", "C"),
            ("--dir=/proc", "fs", "/proc/self", "/dev"),
        ] {
            let granted = grants(flag);
            assert!(
                granted.has(scope, Some(inside)) && !granted.has(scope, Some(outside)),
                "{flag}"
            );
        }
    }

    #[test]
    fn bare_and_starred_lists_grant_all_of_a_scope() {
        for flag in ["--allow-net", "--allow-net=*", "--allow-net=h:1 --allow-net"] {
            assert!(grants(flag).has("net", None), "{flag}");
        }
    }

    #[test]
    fn all_grants_everything_but_what_is_denied() {
        let all = grants("--deny-worker -A");
        assert!(all.has("fs", None) && all.has("run", None) && all.allows(Capability::Signal));
        assert!(!all.allows(Capability::Worker));
    }

    #[test]
    fn variables_are_given_or_passed_on() {
        let path = std::env::var("PATH").unwrap();
        let given = flags("--env A=1=2 --env B= --env PATH --env NODULE_TEST_UNSET");
        let expected = [("A", "1=2"), ("B", ""), ("PATH", path.as_str())];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(variables(&given.environment).unwrap(), expected);
        assert!(variables(&flags("--env =x").environment).is_err());
    }

    #[test]
    fn later_env_files_win_and_missing_ones_are_errors() {
        let directory = std::env::temp_dir().join(format!("nodule-settings-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("a"), "X=1\nY=1").unwrap();
        std::fs::write(directory.join("b"), "Y=2").unwrap();
        let at = directory.display();
        let both = flags(&format!(
            "--env-file {at}/a --env-file {at}/b --env-file-if-exists {at}/c"
        ));
        let read = file_variables(&both.environment).unwrap();
        let missing = file_variables(&flags(&format!("--env-file {at}/c")).environment).unwrap_err();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(
            read,
            [("X", "1"), ("Y", "2")].map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert_eq!(missing.code, ExitCode::Usage);
    }

    #[test]
    fn limits_come_from_flags() {
        let given = flags(
            "--max-memory 1M --max-table-elements 5 --max-cpu-ms 7 --timeout-ms 8 --fuel 9 --max-handles 3 \
             --max-workers 4 --max-children 11 --max-ports 6 --max-queue 1k --max-code 2k --max-shared-buffers 10 --max-shared-memory 3k",
        );
        let defaults = Limits::default();
        let expected = Limits {
            max_memory_bytes: 1 << 20,
            max_table_elements: 5,
            max_cpu_time: Some(Duration::from_millis(7)),
            timeout: Some(Duration::from_millis(8)),
            fuel: Some(9),
            max_handles: 3,
            max_workers: 4,
            max_children: 11,
            max_ports: 6,
            max_queue_bytes: Some(1 << 10),
            max_code_bytes: Some(2 << 10),
            max_shared_buffers: 10,
            max_shared_bytes: 3 << 10,
            ..defaults
        };
        assert_eq!(limits(&given.limits), expected);
        assert_eq!(limits(&flags("").limits), defaults);
        let engine = engine_options(&given.engine, &given.limits);
        assert!(engine.fuel && !engine_options(&flags("").engine, &flags("").limits).fuel);
        let small = flags("--max-stack 128k --optimize 0");
        let engine = engine_options(&small.engine, &small.limits);
        assert_eq!((engine.max_stack_bytes, engine.optimize), (128 << 10, Optimize::None));
    }

    #[test]
    fn a_guest_that_makes_workers_gets_a_thread_a_cpu() {
        let cpus = std::thread::available_parallelism().unwrap().get();
        let of = |line: &str, makes_workers| threads(&flags(line).engine, makes_workers);
        assert_eq!((of("", false), of("", true)), (1, cpus));
        assert_eq!((of("--threads 3", false), of("--threads 3", true)), (3, 3));
    }

    #[test]
    fn warnings_and_deprecations_come_from_flags() {
        let given =
            flags("--no-warnings --trace-warnings --disable-warning X --redirect-warnings f --throw-deprecation");
        let expected = WarningOptions {
            no_warnings: true,
            trace_warnings: true,
            disabled: vec!["X".into()],
            redirect: Some("f".into()),
        };
        assert_eq!(warnings(&given.warnings), expected);
        let deprecation = deprecation(&given.warnings);
        assert_eq!(
            (deprecation.throw_deprecation, deprecation.no_deprecation),
            (Some(true), None)
        );
    }

    #[test]
    fn every_mode_of_unhandled_rejections_is_known() {
        for name in crate::process::options::UNHANDLED_REJECTIONS {
            let given = flags(&format!("--unhandled-rejections {name}"));
            assert_eq!(unhandled_rejections(&given.warnings).name(), *name);
        }
        assert_eq!(unhandled_rejections(&flags("").warnings), UnhandledRejections::Throw);
    }

    #[test]
    fn reports_come_from_flags() {
        let given = flags(
            "--report-on-signal --report-signal SIGHUP --report-directory d --report-compact --report-exclude-env",
        );
        let report = report(&given.report).unwrap();
        assert!(report.on_signal() && report.compact() && report.exclude_env());
        assert!(!report.on_fatal_error() && !report.on_uncaught_exception() && !report.exclude_network());
        assert_eq!(
            (report.signal(), report.directory(), report.filename()),
            ("SIGHUP", "d", "")
        );
    }

    #[test]
    fn a_debug_port_is_0_or_unprivileged() {
        let port = |text: &str| debug_port(&flags(&format!("--debug-port {text}")).engine);
        assert_eq!(port("0").unwrap(), Some(0));
        assert_eq!(port("1024").unwrap(), Some(1024));
        assert_eq!(debug_port(&flags("").engine).unwrap(), None);
        for bad in ["80", "65536", "x", "1.5"] {
            assert_eq!(port(bad).unwrap_err().code.number(), 12, "{bad}");
        }
    }
}
