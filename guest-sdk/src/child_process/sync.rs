//! Processes that are waited for.

use std::fmt;

use nodule_abi::error::ErrorRecord;
use nodule_abi::value::Bytes;
use serde::Deserialize;

use super::data::{Data, Encoding};
use super::exec_error;
use super::options::{Shell, SpawnSyncOptions};
use super::stdio::Stdio;
use crate::Value;
use crate::error::{Error, Result};
use crate::process;
use crate::sys::{self, child_process as host};

/// What became of a process that was waited for (Node: the result of `spawnSync`).
#[derive(Clone, Debug, PartialEq)]
pub struct SpawnSyncResult {
    /// Its process id; 0 when it did not start.
    pub pid: u32,
    /// What it wrote, by descriptor, `None` for those that were no pipes. `None` when it did not start.
    pub output: Option<Vec<Option<Data>>>,
    /// Its exit code; `None` when a signal ended it, or it did not start.
    pub status: Option<i32>,
    /// The name of the signal that ended it.
    pub signal: Option<String>,
    /// That it did not start, took too long (`ETIMEDOUT`) or wrote too much (`ENOBUFS`).
    pub error: Option<Error>,
}

impl SpawnSyncResult {
    /// What it wrote to its standard output (Node: `result.stdout`).
    pub fn stdout(&self) -> Option<&Data> {
        self.written(1)
    }

    /// What it wrote to its error output (Node: `result.stderr`).
    pub fn stderr(&self) -> Option<&Data> {
        self.written(2)
    }

    fn written(&self, fd: usize) -> Option<&Data> {
        self.output.as_ref()?.get(fd)?.as_ref()
    }
}

/// The result as the host gives it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    pid: u32,
    output: Option<Vec<Option<Bytes>>>,
    status: Option<i32>,
    signal: Option<String>,
    error: Option<ErrorRecord>,
}

impl Raw {
    fn decoded(self, encoding: Encoding) -> SpawnSyncResult {
        let decoded = |bytes: Option<Bytes>| bytes.map(|Bytes(bytes)| Data::new(bytes, encoding));
        SpawnSyncResult {
            pid: self.pid,
            output: self.output.map(|output| output.into_iter().map(decoded).collect()),
            status: self.status,
            signal: self.signal,
            error: self.error.map(Error::from),
        }
    }
}

/// Runs a program or a wasm module to its end and collects what it writes (Node: `child_process.spawnSync`). This isolate
/// does nothing else meanwhile; others go on. What the process does, and that it does not start, is in the result.
///
/// ```no_run
/// use nodule_sdk::child_process::{self, Encoding, SpawnSyncOptions};
///
/// let options = SpawnSyncOptions::new().input("b\na\n").encoding(Encoding::Utf8);
/// let sorted = child_process::spawn_sync("sort", &[], options)?;
/// assert_eq!(sorted.status, Some(0));
/// # Ok::<(), nodule_sdk::Error>(())
/// ```
///
/// # Errors
/// `ERR_ACCESS_DENIED` (`Run`, `ChildProcess`); `ERR_INVALID_ARG_VALUE`, `ERR_UNKNOWN_SIGNAL`, `ERR_OUT_OF_RANGE`,
/// `ERR_IPC_SYNC_FORK` and others for bad options.
pub fn spawn_sync(command: &str, args: &[&str], options: SpawnSyncOptions) -> Result<SpawnSyncResult> {
    let SpawnSyncOptions {
        mut options,
        encoding,
        input,
    } = options;
    options.name(command, args);
    options.warn_of_shell(args);
    let handle = host::spawn_sync(&Value::Object(options.fields), input.as_deref())?;
    options.stdio.iter().for_each(Stdio::hand_over);
    let result = host::sync_result::<Raw>(handle);
    // It is open until here.
    let _ = sys::close(handle);
    Ok(result?.decoded(encoding))
}

/// Runs a command in a shell to its end and gives what it wrote to its standard output (Node: `child_process.execSync`).
/// Its error output also goes to this isolate's, unless the options say what `stdio` is. This isolate does nothing else
/// meanwhile.
///
/// # Errors
/// An [`ExecSyncError`] for every outcome other than exit code 0, and for what [`spawn_sync`] refuses.
pub fn exec_sync(command: &str, options: SpawnSyncOptions) -> Result<Data, ExecSyncError> {
    let options = match options.options.fields.get("shell") {
        Some(Value::String(_)) => options,
        _ => options.shell(Shell::Default),
    };
    checked(command, &[], options, command)
}

/// As [`exec_sync`] without a shell (Node: `child_process.execFileSync`).
///
/// # Errors
/// As [`exec_sync`].
pub fn exec_file_sync(file: &str, args: &[&str], options: SpawnSyncOptions) -> Result<Data, ExecSyncError> {
    let argv0 = options.options.fields.get("argv0").and_then(Value::as_str);
    let words: Vec<&str> = std::iter::once(argv0.unwrap_or(file))
        .chain(args.iter().copied())
        .collect();
    let command_line = words.join(" ");
    checked(file, args, options, &command_line)
}

fn checked(file: &str, args: &[&str], options: SpawnSyncOptions, command_line: &str) -> Result<Data, ExecSyncError> {
    let encoding = options.encoding;
    let is_forwarded = options.options.fields.get("stdio").is_none_or(Value::is_nullish);
    let mut result = spawn_sync(file, args, options).map_err(|error| ExecSyncError::new(error, None))?;
    if let Some(stderr) = result.stderr().filter(|_| is_forwarded) {
        // Nobody reads it: as in Node, that is no failure of the command.
        let _ = process::stderr().write_all(stderr.as_bytes());
    }
    let nothing = || Data::new(Vec::new(), encoding);
    let error = match &result.error {
        Some(error) => error.clone(),
        None if result.status == Some(0) => {
            let stdout = result.output.as_mut().and_then(|output| output.get_mut(1));
            return Ok(stdout.and_then(Option::take).unwrap_or_else(nothing));
        }
        None => {
            let stderr = result.stderr().cloned().unwrap_or_else(nothing);
            Error::new(exec_error::message(command_line, &stderr))
        }
    };
    Err(ExecSyncError::new(error, Some(result)))
}

/// The failure of [`exec_sync`] and [`exec_file_sync`]: the error, and the whole result of the process.
#[derive(Clone, PartialEq)]
pub struct ExecSyncError(Box<(Error, Option<SpawnSyncResult>)>);

impl ExecSyncError {
    fn new(error: Error, result: Option<SpawnSyncResult>) -> Self {
        Self(Box::new((error, result)))
    }

    /// The error: `Command failed: <command>` with the error output, or why the command did not run to its end.
    pub fn error(&self) -> &Error {
        &self.0.0
    }

    /// What became of the process; `None` when the call was refused.
    pub fn result(&self) -> Option<&SpawnSyncResult> {
        self.0.1.as_ref()
    }

    /// The exit code (Node: `error.status`).
    pub fn status(&self) -> Option<i32> {
        self.result().and_then(|result| result.status)
    }

    /// The name of the signal that ended the command (Node: `error.signal`).
    pub fn signal(&self) -> Option<&str> {
        self.result().and_then(|result| result.signal.as_deref())
    }

    /// What the command wrote to its standard output (Node: `error.stdout`).
    pub fn stdout(&self) -> Option<&Data> {
        self.result().and_then(SpawnSyncResult::stdout)
    }

    /// What the command wrote to its error output (Node: `error.stderr`).
    pub fn stderr(&self) -> Option<&Data> {
        self.result().and_then(SpawnSyncResult::stderr)
    }
}

impl fmt::Display for ExecSyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

impl fmt::Debug for ExecSyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSyncError")
            .field("error", self.error())
            .field("status", &self.status())
            .field("signal", &self.signal())
            .finish_non_exhaustive()
    }
}

impl std::error::Error for ExecSyncError {}

/// The error alone.
impl From<ExecSyncError> for Error {
    fn from(error: ExecSyncError) -> Self {
        error.0.0
    }
}
