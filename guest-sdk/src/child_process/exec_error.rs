//! Why a command failed.

use std::fmt;

use super::data::{Data, Encoding};
use super::exec::Output;
use super::state::ExitStatus;
use crate::error::Error;

/// The `code` of an [`ExecError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecCode {
    /// The exit code of the command.
    Exit(i32),
    /// The code of an error: `ENOENT`, `ABORT_ERR`, `ERR_CHILD_PROCESS_STDIO_MAXBUFFER`.
    Error(String),
}

impl fmt::Display for ExecCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => code.fmt(f),
            Self::Error(code) => code.fmt(f),
        }
    }
}

/// How a command failed.
pub(super) enum Failure {
    /// It was not started, was aborted, or wrote too much.
    Error(Error),
    /// It ended with a code other than 0, or by a signal.
    Ended { status: Option<ExitStatus>, killed: bool },
}

/// The failure of [`exec`](super::exec) and [`exec_file`](super::exec_file).
///
/// | case | code | signal | killed |
/// |---|---|---|---|
/// | exit code other than 0 | that code | – | `false` |
/// | ended by a signal | – | its name | whether this process sent it |
/// | not started | `ENOENT` and others | – | `false` |
/// | timeout | – | the kill signal | `true` |
/// | aborted | `ABORT_ERR` | – | `false` |
/// | too much output | `ERR_CHILD_PROCESS_STDIO_MAXBUFFER` | – | `false` |
#[derive(Clone, PartialEq)]
pub struct ExecError(Box<Fields>);

#[derive(Clone, PartialEq)]
struct Fields {
    error: Error,
    status: Option<ExitStatus>,
    killed: bool,
    cmd: String,
    output: Output,
}

impl ExecError {
    pub(super) fn new(failure: Failure, cmd: String, output: Output) -> Self {
        let (error, status, killed) = match failure {
            Failure::Error(error) => (error, None, false),
            // With the end of a line also where nothing follows, other than the synchronous forms: as in Node.
            Failure::Ended { status, killed } => {
                let message = format!("Command failed: {cmd}\n{}", output.stderr);
                (Error::new(message), status, killed)
            }
        };
        Self(Box::new(Fields {
            error,
            status,
            killed,
            cmd,
            output,
        }))
    }

    /// Nothing was started.
    pub(super) fn refused(error: Error, cmd: String) -> Self {
        let nothing = || Data::new(Vec::new(), Encoding::Utf8);
        let output = Output {
            stdout: nothing(),
            stderr: nothing(),
        };
        Self::new(Failure::Error(error), cmd, output)
    }

    /// Exit code of the command or code of the error; `None` when a signal ended it.
    pub fn code(&self) -> Option<ExecCode> {
        let exit = self.0.status.and_then(|status| status.code).map(ExecCode::Exit);
        exit.or_else(|| self.0.error.code().map(|code| ExecCode::Error(code.to_owned())))
    }

    /// Whether this process sent the signal that ended the command.
    pub fn killed(&self) -> bool {
        self.0.killed
    }

    /// The name of the signal that ended the command.
    pub fn signal(&self) -> Option<&'static str> {
        self.0.status.and_then(|status| status.signal)
    }

    /// The command line.
    pub fn cmd(&self) -> &str {
        &self.0.cmd
    }

    /// What the command wrote until then.
    pub fn stdout(&self) -> &Data {
        &self.0.output.stdout
    }

    /// What the command wrote to its error output.
    pub fn stderr(&self) -> &Data {
        &self.0.output.stderr
    }

    /// `Command failed: <cmd>` and what the command wrote to its error output, or the message of the error.
    pub fn message(&self) -> &str {
        self.0.error.message()
    }

    /// The error with its other fields: `errno`, `syscall`, `path`, `spawnargs`, `cause`.
    pub fn error(&self) -> &Error {
        &self.0.error
    }
}

/// The message of the error of a command that was waited for.
pub(super) fn message(cmd: &str, stderr: &Data) -> String {
    if stderr.is_empty() {
        format!("Command failed: {cmd}")
    } else {
        format!("Command failed: {cmd}\n{stderr}")
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl fmt::Debug for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecError")
            .field("error", &self.0.error)
            .field("code", &self.code())
            .field("killed", &self.killed())
            .field("signal", &self.signal())
            .field("cmd", &self.cmd())
            .finish_non_exhaustive()
    }
}

impl std::error::Error for ExecError {}

/// The error without what is special about commands.
impl From<ExecError> for Error {
    fn from(error: ExecError) -> Self {
        error.0.error
    }
}
