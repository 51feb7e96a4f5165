//! `nodule run`.

mod child;
pub mod flags;
mod settings;

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nodule_abi::error::ErrorCode;

use super::arguments::COMMANDS;
use super::error::CliError;
use super::progress::Progress;
use super::size;
use crate::exit_code::ExitCode;
use crate::ipc::{ChannelSeed, finish_ports, finish_sends};
use crate::permissions::Permissions;
use crate::process::ProcessOptions;
use crate::runtime::{ExitStatus, Host, IsolateBuilder, IsolateRole, Limits, Module, ModuleError};
use crate::stdio::{Input, Output, finish_writes};
pub use child::{record, run as run_child};
use flags::{EngineFlags, RunFlags};
pub use settings::optimize;

/// How the command was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `nodule run MODULE`.
    Command,
    /// `nodule MODULE`.
    Bare,
}

/// The word that stands for a module on the standard input.
const STANDARD_INPUT: &str = "-";

/// Bytes of a page of wasm memory.
const PAGE_BYTES: u64 = 65536;

/// How long a reader that is slow is waited for when a thread was ended in the middle of a write.
const FINISH_WRITES_LIMIT: Duration = Duration::from_secs(1);

static VERBOSE: AtomicBool = AtomicBool::new(false);

/// Whether `--verbose` was given.
pub fn is_verbose() -> bool {
    VERBOSE.load(Ordering::Relaxed)
}

/// Runs a module to its end. `exec_argv` are the options as typed.
pub fn run(flags: RunFlags, exec_argv: Vec<OsString>, form: Form) -> Result<ExitCode, CliError> {
    start_log(&flags.engine)?;
    if let Some(directory) = &flags.environment.cwd {
        std::env::set_current_dir(directory)
            .map_err(|error| CliError::file("cannot change to the directory", directory, &error))?;
    }
    let mut command = flags.command.iter();
    let module = command.next().map_or(OsStr::new(""), OsString::as_os_str);
    let args = texts(command, "argument")?;
    let exec_argv = texts(exec_argv.iter(), "option")?;
    let variables = settings::variables(&flags.environment)?;
    let file_variables = settings::file_variables(&flags.environment)?;
    let setup = Setup {
        permissions: settings::permissions(&flags.permissions)?,
        limits: settings::limits(&flags.limits),
        kills_orphans: flags.environment.kill_orphans,
        ends_with: None,
        channel: parent_channel(),
    };
    let host = host(&flags)?;
    let module = load(&host, module, &flags.engine, form)?;
    start(&host, &module, flags, setup, |process| {
        process.args = args;
        process.exec_argv = exec_argv;
        process.env = variables;
        process.env_defaults = file_variables;
    })
}

/// What an isolate may do and use.
struct Setup {
    permissions: Permissions,
    limits: Limits,
    /// Whether children end with this process.
    kills_orphans: bool,
    /// The process that this one ends with.
    ends_with: Option<u32>,
    /// The channel to the parent process.
    channel: Option<ChannelSeed>,
}

fn start(
    host: &Host,
    module: &Module,
    flags: RunFlags,
    setup: Setup,
    change: impl FnOnce(&mut ProcessOptions),
) -> Result<ExitCode, CliError> {
    let debug_port = settings::debug_port(&flags.engine)?;
    let report = settings::report(&flags.report)?;
    check_memory(module, setup.limits)?;
    let mut isolate = host
        .isolate(module)
        .role(IsolateRole::Main)
        .permissions(setup.permissions)
        .limits(setup.limits)
        .stdin(Input::inherit())
        .stdout(Output::inherit_stdout())
        .stderr(Output::inherit_stderr())
        .process_options(|process| {
            process.title = flags.environment.title;
            process.warnings = settings::warnings(&flags.warnings);
            process.deprecation = settings::deprecation(&flags.warnings);
            process.unhandled_rejections = settings::unhandled_rejections(&flags.warnings);
            process.report_place_given =
                flags.report.report_directory.is_some() || flags.report.report_filename.is_some();
            process.report = report;
            process.debug_port = debug_port;
            process.source_maps = settings::source_maps(&flags.engine);
            process.kills_orphans = setup.kills_orphans;
            change(process);
            process.channel = setup.channel;
        });
    if let Some(entry) = flags.environment.entry {
        isolate = isolate.entry(entry);
    }
    let threads = settings::threads(&flags.engine, module.makes_workers());
    let status = run_to_end(isolate, threads, setup.ends_with)?;
    exit_code(&status)
}

/// The channel to the parent process, if that opened one. A guest can do without, so what is none is told and left.
fn parent_channel() -> Option<ChannelSeed> {
    ChannelSeed::from_environment().unwrap_or_else(|reason| {
        eprintln!("nodule: there is no channel to the parent process: {reason}");
        None
    })
}

fn texts<'a>(words: impl Iterator<Item = &'a OsString>, what: &str) -> Result<Vec<String>, CliError> {
    words
        .map(|word| match word.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(CliError::usage(format!("the {what} {word:?} is not UTF-8"))),
        })
        .collect()
}

/// Logging costs start-up time, so it starts only when somebody asked for it.
fn start_log(flags: &EngineFlags) -> Result<(), CliError> {
    let directives = std::env::var("NODULE_LOG").ok().filter(|text| !text.is_empty());
    if directives.is_none() && !flags.verbose {
        return Ok(());
    }
    VERBOSE.store(flags.verbose, Ordering::Relaxed);
    let directives = directives.unwrap_or_else(|| "nodule=debug".to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(&directives).map_err(|error| {
        CliError::usage(format!("NODULE_LOG={directives}: {error}"))
            .hint("write it as NODULE_LOG=debug or nodule=trace")
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Fails only where a log was started before, which then serves.
    let _ = log.with_ansi(std::io::stderr().is_terminal()).try_init();
    Ok(())
}

fn host(flags: &RunFlags) -> Result<Host, CliError> {
    let options = settings::engine_options(&flags.engine, &flags.limits);
    let builder = Host::builder().engine_options(options);
    let builder = match &flags.engine.cache_dir {
        Some(directory) => builder.cache_directory(directory),
        None if flags.engine.no_cache => builder.no_cache(),
        None => builder,
    };
    builder
        .build()
        .map_err(|error| match (&flags.engine.cache_dir, error.downcast_ref()) {
            (Some(directory), Some(error)) => CliError::file("cannot keep compiled modules in", directory, error)
                .hint("name another with --cache-dir, or pass --no-cache"),
            _ => CliError::fatal(format!("{error:#}")),
        })
}

fn load(host: &Host, word: &OsStr, flags: &EngineFlags, form: Form) -> Result<Module, CliError> {
    if word == STANDARD_INPUT {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|error| CliError::file("cannot read", Path::new("the standard input"), &error))?;
        return Ok(Module::from_bytes(host, "[stdin]", &bytes)?);
    }
    let path = Path::new(word);
    let name = path.display().to_string();
    let file = path.to_path_buf();
    let progress = Progress::start(move || {
        let bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
        compile_message(&name, usize::try_from(bytes).unwrap_or(usize::MAX))
    });
    let loaded = match Module::from_file(host, path) {
        Err(ModuleError::Precompiled { .. }) if flags.allow_precompiled => {
            Module::from_trusted_precompiled(host, path).map_err(precompiled_failure)
        }
        Err(ModuleError::Unreadable { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(not_found(word, form))
        }
        loaded => loaded.map_err(CliError::from),
    };
    drop(progress);
    loaded
}

fn precompiled_failure(error: ModuleError) -> CliError {
    match error {
        ModuleError::Invalid { name, reason } => {
            let message = format!("{name} does not fit: {reason}");
            CliError::new(ExitCode::Parse, message)
                .hint("compile it again with this nodule; --fuel runs what --count-fuel compiled, and only that")
        }
        error => error.into(),
    }
}

/// What the spinner says.
pub fn compile_message(name: &str, bytes: usize) -> String {
    let name = Path::new(name).file_name().map_or(name.into(), OsStr::to_string_lossy);
    format!("compiling {name} ({})…", size::show(bytes))
}

/// No file has this name. Without the word `run` it may have been meant as a command.
fn not_found(word: &OsStr, form: Form) -> CliError {
    let text = word.to_string_lossy();
    let looks_like_command = form == Form::Bare && !text.contains(['.', '/']);
    if looks_like_command {
        let message = format!("`{text}` is neither a command nor a file");
        return CliError::usage(message).hint(format!(
            "commands are {}; modules are named like app.wasm",
            COMMANDS.join(", ")
        ));
    }
    let directory = std::env::current_dir().unwrap_or_default();
    let message = format!("cannot find the module {text}");
    let error = CliError::new(ExitCode::Failure, message);
    match Path::new(word).is_relative() {
        true => error.hint(format!("it was looked for in {}", directory.display())),
        false => error,
    }
}

/// A module that can never start is refused before it is instantiated, with the flag that helps.
fn check_memory(module: &Module, limits: Limits) -> Result<(), CliError> {
    let pages = module.wasm().resources_required().max_initial_memory_size.unwrap_or(0);
    let needed = pages.saturating_mul(PAGE_BYTES);
    let allowed = u64::try_from(limits.max_memory_bytes).unwrap_or(u64::MAX);
    if needed <= allowed {
        return Ok(());
    }
    let message = format!(
        "{} starts with {needed} bytes of memory ({pages} pages), but only {allowed} are allowed",
        module.name()
    );
    Err(CliError::new(ExitCode::Link, message).hint(format!("allow them with --max-memory {needed}")))
}

fn run_to_end(isolate: IsolateBuilder, threads: usize, ends_with: Option<u32>) -> Result<ExitStatus, CliError> {
    // One isolate needs one thread: it gives way at every tick. More threads cost start-up time.
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder
        .worker_threads(threads)
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| CliError::fatal(format!("the threads of nodule cannot be started: {error}")))?;
    let status = runtime.block_on(async {
        let isolate = isolate
            .spawn()
            .map_err(|error| CliError::usage(error.message.clone()))?;
        let status = match ends_with {
            Some(parent) => child::join_with_parent(isolate, parent).await,
            None => isolate.join().await,
        };
        let finish_messages = async {
            finish_ports().await;
            finish_sends().await;
        };
        tokio::join!(finish_writes(FINISH_WRITES_LIMIT), finish_messages);
        Ok(status)
    });
    // A thread may wait in a read of stdin that never returns.
    runtime.shutdown_background();
    status
}

/// The runtime printed what ended the guest, except for a failure of the host.
fn exit_code(status: &ExitStatus) -> Result<ExitCode, CliError> {
    match &status.error {
        Some(error)
            if error.error_code() == Some(ErrorCode::Internal)
                && status.code == i64::from(ExitCode::Fatal.number()) =>
        {
            Err(CliError::fatal(&error.message).hint("NODULE_LOG=debug shows more"))
        }
        _ => Ok(ExitCode::Guest(status.os_code())),
    }
}

#[cfg(test)]
mod tests {
    use nodule_abi::error::ErrorRecord;

    use super::*;

    #[test]
    fn a_missing_file_may_have_been_meant_as_a_command() {
        for (word, form, code) in [
            ("inspct", Form::Bare, ExitCode::Usage),
            ("inspct", Form::Command, ExitCode::Failure),
            ("app.wasm", Form::Bare, ExitCode::Failure),
            ("./app", Form::Bare, ExitCode::Failure),
        ] {
            let error = not_found(OsStr::new(word), form);
            assert_eq!(error.code, code, "{word}: {error}");
            assert!(error.to_string().contains(word));
        }
    }

    #[test]
    fn guests_end_with_the_low_8_bits_and_the_host_with_5() {
        let ended = |code| exit_code(&ExitStatus { code, error: None }).unwrap().number();
        assert_eq!([0, 42, 255, 256, 300, -1].map(ended), [0, 42, 255, 0, 44, 255]);
        assert_eq!(ended(5), 5, "a guest may choose it");
        let internal = ErrorRecord::new(ErrorCode::Internal, "broken");
        let failure = ExitStatus {
            code: 5,
            error: Some(internal.into()),
        };
        assert_eq!(exit_code(&failure).unwrap_err().code, ExitCode::Fatal);
    }
}
