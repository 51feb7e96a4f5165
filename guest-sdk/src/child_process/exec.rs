//! Commands whose output is collected.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::value::Object;

use super::child::ChildProcess;
use super::data::{Collector, Data, Overflow};
use super::exec_error::{ExecError, Failure};
use super::options::{ExecOptions, Shell};
use super::signal;
use super::state::{ExitStatus, State};
use super::stdio::StdioStream;
use crate::Value;
use crate::error::{Error, Result};
use crate::promise::{self, Promise};
use crate::stream::Readable;
use crate::sys::IsolateCell;
use crate::timers::{self, Timeout};

/// What a command wrote (Node: the value of a promisified `exec`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its standard output.
    pub stdout: Data,
    /// Its error output.
    pub stderr: Data,
}

/// Gets the outcome of a command, once.
type Callback = Box<dyn FnOnce(Result<Output, ExecError>)>;

/// Runs a command in a shell and collects what it writes (Node: `child_process.exec`, promisified). The command starts with
/// the call, not when the future is awaited; dropping the future leaves it running.
///
/// ```no_run
/// # #[nodule_sdk::main]
/// # async fn main() -> nodule_sdk::Result<()> {
/// use nodule_sdk::child_process::{self, ExecOptions};
///
/// let output = child_process::exec("ls | wc -l", ExecOptions::new()).await?;
/// println!("{} files", output.stdout);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The future gives an [`ExecError`] for every outcome other than exit code 0; also for what [`spawn`](super::spawn) refuses,
/// `ERR_OUT_OF_RANGE` and `ERR_INVALID_ARG_TYPE` of a limit.
pub fn exec(command: &str, options: ExecOptions) -> Exec {
    Exec::start(command, &[], in_shell(options))
}

/// As [`exec`], for a callback: gives the child at once (Node: `child_process.exec` with a callback).
///
/// # Errors
/// What [`spawn`](super::spawn) refuses; the callback is not called then.
pub fn exec_with(
    command: &str,
    options: ExecOptions,
    callback: impl FnOnce(Result<Output, ExecError>) + 'static,
) -> Result<ChildProcess> {
    run(command, &[], in_shell(options), Box::new(callback))
}

/// Runs a program and collects what it writes (Node: `child_process.execFile`, promisified). As [`exec`] without a shell.
///
/// # Errors
/// As [`exec`].
pub fn exec_file(file: &str, args: &[&str], options: ExecOptions) -> Exec {
    Exec::start(file, args, options)
}

/// As [`exec_file`], for a callback: gives the child at once (Node: `child_process.execFile` with a callback).
///
/// # Errors
/// As [`exec_with`].
pub fn exec_file_with(
    file: &str,
    args: &[&str],
    options: ExecOptions,
    callback: impl FnOnce(Result<Output, ExecError>) + 'static,
) -> Result<ChildProcess> {
    run(file, args, options, Box::new(callback))
}

fn in_shell(options: ExecOptions) -> ExecOptions {
    match options.options.fields.get("shell") {
        Some(Value::String(_)) => options,
        _ => options.shell(Shell::Default),
    }
}

/// A command that runs; the future of [`exec`] and [`exec_file`].
#[derive(Debug)]
pub struct Exec {
    child: Option<ChildProcess>,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Pending(Promise<Result<Output, ExecError>>),
    Refused(Option<ExecError>),
}

impl Exec {
    fn start(file: &str, args: &[&str], options: ExecOptions) -> Self {
        let (resolver, promise) = promise::deferred();
        match run(file, args, options, Box::new(move |outcome| resolver.resolve(outcome))) {
            Ok(child) => Self {
                child: Some(child),
                outcome: Outcome::Pending(promise),
            },
            Err(error) => Self {
                child: None,
                outcome: Outcome::Refused(Some(ExecError::refused(error, command_line(file, args)))),
            },
        }
    }

    /// The child; `None` when starting it was refused (Node: `promise.child`).
    pub fn child(&self) -> Option<&ChildProcess> {
        self.child.as_ref()
    }
}

/// # Panics
/// When polled again after it gave the result.
impl Future for Exec {
    type Output = Result<Output, ExecError>;

    #[allow(clippy::panic, reason = "a mistake of the caller, as with async functions")]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.outcome {
            Outcome::Pending(promise) => Pin::new(promise)
                .poll(context)
                // The promise is only ever resolved.
                .map(|outcome| outcome.unwrap_or_else(|error| Err(ExecError::refused(error, String::new())))),
            Outcome::Refused(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => panic!("Exec polled after it completed"),
            },
        }
    }
}

/// The command as its error shows it.
fn command_line(file: &str, args: &[&str]) -> String {
    let words: Vec<&str> = std::iter::once(file).chain(args.iter().copied()).collect();
    words.join(" ")
}

/// Limits that are kept here, not by the host.
struct Limits {
    timeout: Option<Duration>,
    max_buffer: usize,
}

impl Limits {
    /// Takes them out of the options.
    fn take(fields: &mut Object) -> Result<Self> {
        let timeout = match fields.remove("timeout") {
            None | Some(Value::Undefined | Value::Null) => None,
            Some(Value::Number(ms)) if ms >= 0.0 && ms.fract() == 0.0 => {
                Some(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(Duration::MAX))
            }
            Some(Value::Number(ms)) => {
                return Err(ErrorRecord::out_of_range("timeout", "an unsigned integer", &ms.to_string()).into());
            }
            Some(other) => {
                return Err(ErrorRecord::invalid_arg_type("timeout", "of type number", &other.describe()).into());
            }
        };
        let max_buffer = match fields.remove("maxBuffer") {
            None | Some(Value::Undefined | Value::Null) => MAX_BUFFER_DEFAULT,
            Some(Value::Number(bytes)) if bytes >= 0.0 => whole(bytes),
            Some(other) => {
                let received = other
                    .as_f64()
                    .map_or_else(|| other.describe(), |bytes| bytes.to_string());
                return Err(ErrorRecord::out_of_range("options.maxBuffer", "a positive number", &received).into());
            }
        };
        Ok(Self {
            timeout: timeout.filter(|timeout| !timeout.is_zero()),
            max_buffer,
        })
    }
}

/// Node's limit of what is collected of a stream.
const MAX_BUFFER_DEFAULT: usize = 1024 * 1024;

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative; larger ones saturate"
)]
fn whole(number: f64) -> usize {
    number as usize
}

/// A command that runs.
struct Running {
    command: String,
    /// Absent when it is done: the child holds its listeners, which hold this.
    child: IsolateCell<Option<Rc<State>>>,
    stdout: IsolateCell<Collector>,
    stderr: IsolateCell<Collector>,
    failure: IsolateCell<Option<Error>>,
    was_killed: Cell<bool>,
    kill_signal: i32,
    is_tree_killed: bool,
    timer: Cell<Option<Timeout>>,
    callback: Cell<Option<Callback>>,
}

/// One of the two streams.
#[derive(Clone, Copy)]
enum Which {
    Stdout,
    Stderr,
}

fn run(file: &str, args: &[&str], options: ExecOptions, callback: Callback) -> Result<ChildProcess> {
    let ExecOptions { mut options, encoding } = options;
    let limits = Limits::take(&mut options.fields)?;
    let collector = || IsolateCell::new(Collector::new(encoding, limits.max_buffer));
    options.name(file, args);
    options.warn_of_shell(args);
    let kill_signal = signal::of_value(options.fields.get("killSignal"));
    let is_tree_killed = options.fields.get("killTree").and_then(Value::as_bool).unwrap_or(false);
    let child = State::start(options, false)?;
    let running = Rc::new(Running {
        command: command_line(file, args),
        child: IsolateCell::new(Some(Rc::clone(&child))),
        stdout: collector(),
        stderr: collector(),
        failure: IsolateCell::new(None),
        was_killed: Cell::new(false),
        kill_signal,
        is_tree_killed,
        timer: Cell::new(None),
        callback: Cell::new(Some(callback)),
    });
    running.listen(&child);
    if let Some(timeout) = limits.timeout {
        let late = Rc::clone(&running);
        running
            .timer
            .set(Some(timers::set_timeout(move || late.kill(), timeout)));
    }
    Ok(ChildProcess::of(child))
}

/// The streams of a child that are collected.
fn outputs(child: &State) -> impl Iterator<Item = (&Readable, Which)> {
    let streams = child.stdio.iter().skip(1).zip([Which::Stdout, Which::Stderr]);
    streams.filter_map(|(stream, which)| Some((stream.as_ref().and_then(StdioStream::readable)?, which)))
}

impl Running {
    fn listen(self: &Rc<Self>, child: &State) {
        for (stream, which) in outputs(child) {
            let running = Rc::clone(self);
            stream.on_data(move |chunk| running.collect(which, |collector| collector.push(chunk)));
            let running = Rc::clone(self);
            stream.on_end(move || running.collect(which, Collector::end));
            let running = Rc::clone(self);
            stream.on_error(move |error| running.failed(error));
        }
        let running = Rc::clone(self);
        child.error.on(move |error| running.failed(error));
        let running = Rc::clone(self);
        child.close.on(move |status| running.finish(Some(*status)));
    }

    fn collect(&self, which: Which, use_collector: impl FnOnce(&mut Collector) -> Result<(), Overflow>) {
        let (collector, name) = match which {
            Which::Stdout => (&self.stdout, "stdout"),
            Which::Stderr => (&self.stderr, "stderr"),
        };
        if collector.with(use_collector).is_err() {
            let error = Error::with_code(ErrorCode::StdioMaxBuffer, format!("{name} maxBuffer length exceeded"));
            self.failure.with(|failure| *failure = Some(error));
            self.kill();
        }
    }

    fn child(&self) -> Option<Rc<State>> {
        self.child.with(|child| child.clone())
    }

    fn close_streams(&self) {
        if let Some(child) = self.child() {
            outputs(&child).for_each(|(stream, _)| stream.destroy());
        }
    }

    /// It took too long or wrote too much.
    fn kill(&self) {
        self.close_streams();
        self.was_killed.set(true);
        let Some(child) = self.child() else { return };
        let killed = if self.is_tree_killed {
            child.kill_tree(self.kill_signal, -1.0).map(drop)
        } else {
            child.kill(self.kill_signal).map(drop)
        };
        if let Err(error) = killed {
            self.failure.with(|failure| failure.get_or_insert(error).clone());
            self.finish(None);
        }
    }

    /// It did not start, or was aborted.
    fn failed(&self, error: &Error) {
        self.failure.with(|failure| *failure = Some(error.clone()));
        self.close_streams();
        self.finish(None);
    }

    fn finish(&self, status: Option<ExitStatus>) {
        let Some(callback) = self.callback.take() else { return };
        if let Some(timer) = self.timer.take() {
            timer.clear();
        }
        let child = self.child.with(Option::take);
        let output = Output {
            stdout: self.stdout.with(Collector::take),
            stderr: self.stderr.with(Collector::take),
        };
        let failure = self.failure.with(Option::take);
        let is_success = status.is_some_and(|status| status.code == Some(0));
        if failure.is_none() && is_success {
            callback(Ok(output));
            return;
        }
        let failure = match (failure, status) {
            (Some(error), _) => Failure::Error(error),
            (None, status) => Failure::Ended {
                status,
                killed: self.was_killed.get() || child.is_some_and(|child| child.killed.get()),
            },
        };
        callback(Err(ExecError::new(failure, self.command.clone(), output)));
    }
}
