//! `nodule run` as the child of another nodule: what it runs, and with what, stands in the record of its parent.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags};

use super::flags::RunFlags;
use super::{Setup, parent_channel, settings, start, start_log};
use crate::child_process::start_record::{Code, START_FD_VARIABLE, StartRecord};
use crate::cli::error::CliError;
use crate::exit_code::ExitCode;
use crate::inherited_fd;
use crate::permissions::Permissions;
use crate::process::env::EnvStore;
use crate::readiness::readable;
use crate::runtime::{EngineOptions, ExitStatus, Host, Isolate, Module, ModuleError};

/// How long a child that ends with its parent may go on after it.
const PARENT_GRACE: Duration = Duration::from_secs(5);

fn refused(what: &str, error: &dyn std::fmt::Display) -> CliError {
    CliError::fatal(format!("cannot use {what} of the parent process: {error}"))
}

/// The record of the parent, if this process has one.
pub fn record() -> Result<Option<StartRecord>, CliError> {
    let Some(number) = std::env::var_os(START_FD_VARIABLE) else {
        return Ok(None);
    };
    let number = number.to_str().and_then(|text| text.parse::<RawFd>().ok());
    let number = number.ok_or_else(|| CliError::usage(format!("{START_FD_VARIABLE} is no number")))?;
    let record = inherited_fd::take(number).and_then(StartRecord::read);
    record.map(Some).map_err(|error| refused("the start record", &error))
}

/// Runs the module of a record. `flags` are what became of its options.
pub fn run(flags: RunFlags, record: StartRecord) -> Result<ExitCode, CliError> {
    start_log(&flags.engine)?;
    let permissions = Permissions::from_flags(record.permissions.iter().map(String::as_str))
        .map_err(|error| refused("the grants", &error))?;
    let limits = record.limits.narrow(&settings::limits(&flags.limits));
    let host = host(&flags, &record)?;
    let module = module(&host, &record)?;
    let env = EnvStore::new();
    for (key, value) in &record.env {
        env.set(key, value).map_err(|error| refused("a variable", &error))?;
    }
    let mut streams = BTreeMap::new();
    for number in &record.streams {
        let fd = inherited_fd::take(*number).map_err(|error| refused("a stream", &error))?;
        streams.insert(number.unsigned_abs(), fd);
    }
    let setup = Setup {
        permissions,
        limits,
        kills_orphans: record.kills_orphans || flags.environment.kill_orphans,
        ends_with: record.ends_with,
        channel: parent_channel(),
    };
    start(&host, &module, flags, setup, |process| {
        process.args = record.args;
        process.exec_argv = record.exec_argv;
        process.env_store = Some(env);
        process.streams = Arc::new(streams);
    })
}

/// Options decide how code is compiled only where they say so; else it is done as the parent does it.
fn host(flags: &RunFlags, record: &StartRecord) -> Result<Host, CliError> {
    let own = settings::engine_options(&flags.engine, &flags.limits);
    let options = EngineOptions {
        optimize: flags
            .engine
            .optimize
            .as_ref()
            .map_or(record.engine.optimize, |_| own.optimize),
        max_stack_bytes: max_stack(flags, record),
        fuel: record.engine.fuel || own.fuel,
    };
    let builder = Host::builder().engine_options(options);
    let builder = match &record.cache {
        Some(directory) if !flags.engine.no_cache => builder.cache_directory(directory),
        _ => builder.no_cache(),
    };
    builder.build().map_err(|error| CliError::fatal(format!("{error:#}")))
}

/// As the parent has it, or as an option wants it within the limit of the parent.
fn max_stack(flags: &RunFlags, record: &StartRecord) -> usize {
    let wanted = flags.limits.max_stack.unwrap_or(record.engine.max_stack_bytes);
    record.limits.max_stack_bytes.map_or(wanted, |limit| wanted.min(limit))
}

fn module(host: &Host, record: &StartRecord) -> Result<Module, CliError> {
    let name = record
        .path
        .as_ref()
        .map_or(record.module.clone(), |path| path.display().to_string());
    let path = record.path.clone();
    let code = match &record.code {
        Code::Compiled { fd, .. } | Code::Source { fd } => {
            inherited_fd::take(*fd).map_err(|error| refused("the module", &error))?
        }
        Code::Missing => {
            let message = format!("cannot find the module {}", record.module);
            return Err(CliError::new(ExitCode::Failure, message));
        }
    };
    let loaded: Result<Module, ModuleError> = match &record.code {
        Code::Compiled { digest, .. } => Module::from_parent(host, &name, path, record.is_host_path, code, digest),
        Code::Source { .. } | Code::Missing => {
            Module::from_open_file(host, &name, path, record.is_host_path, File::from(code))
        }
    };
    Ok(loaded?)
}

/// Waits for the end of an isolate, and ends it some time after its parent.
pub async fn join_with_parent(isolate: Isolate, parent: u32) -> ExitStatus {
    let terminate = isolate.terminator();
    let end = async {
        parent_ended(parent).await;
        tokio::time::sleep(PARENT_GRACE).await;
        terminate.cancel();
        // The isolate ends of it.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        status = isolate.join() => status,
        () = end => ExitStatus { code: 1, error: None },
    }
}

/// Ready when the parent has ended, however.
async fn parent_ended(parent: u32) {
    let parent = i32::try_from(parent).ok().and_then(Pid::from_raw);
    // With another parent, the one that is meant is gone already.
    let Some(parent) = parent.filter(|parent| rustix::process::getppid() == Some(*parent)) else {
        return;
    };
    let Ok(pidfd) = rustix::process::pidfd_open(parent, PidfdFlags::empty()) else {
        return;
    };
    // Its number may have gone to somebody else before it was opened.
    if rustix::process::getppid() == Some(parent)
        && let Err(error) = readable(&pidfd).await
    {
        tracing::warn!(%error, "the end of the parent cannot be waited for");
        std::future::pending::<()>().await;
    }
}
