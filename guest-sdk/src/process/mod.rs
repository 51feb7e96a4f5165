//! This process (Node: `process`).
//!
//! Names are Node's in snake_case. Attributes are functions, writable ones have a `set_` beside them. Events
//! have `on_*` and `once_*`. Entries that take an argument Rust's types already restrict have no check of their own.
//!
//! | here | Node |
//! |---|---|
//! | [`exit`], [`exit_value`], [`exit_code`], [`set_exit_code`], [`abort`], [`kill`] | ending and signalling |
//! | [`on_exit`], [`on_before_exit`], [`on_uncaught_exception`], [`on_signal`], … | events |
//! | [`mod@env`] | `process.env` |
//! | [`stdin`], [`stdout`], [`stderr`], [`stdio()`] | standard streams, and others that the parent gave |
//! | [`send`], [`on_message`], [`disconnect`], [`channel()`] | the channel to the parent |
//! | [`report`], [`permission`], [`finalization`] | objects of the same names |
//! | [`dlopen`] | `process.dlopen` for wasm side modules |

mod attributes;
mod channel;
pub mod dylib;
pub mod env;
mod exec;
pub mod finalization;
mod identity;
mod kill;
mod listeners;
pub mod permission;
pub mod report;
pub(crate) mod signals;
mod stdin;
mod stdio;
mod stdout;
mod usage;
mod warnings;

use nodule_abi::error::ErrorCode;
use nodule_abi::hooks::Origin;

pub use attributes::*;
pub use channel::*;
pub use dylib::dlopen;
pub use exec::*;
pub use identity::*;
pub use kill::{Signal, kill};
pub(crate) use listeners::events;
pub use listeners::*;
pub use signals::on_signal;
pub use signals::once_signal;
pub use stdin::{Stdin, stdin};
pub use stdio::stdio;
pub use stdout::{Output, stderr, stdout};
pub use usage::*;
pub use warnings::{Warning, WarningOptions, emit_warning};

use crate::child_process::ChildProcess;
use crate::error::{Error, Result};
use crate::stream::{Readable, Writable};
use crate::{Value, event_loop, sys, timers, uncaught};

/// Ends the isolate: runs the `'exit'` listeners, then no code of the guest any more (Node: `process.exit`).
/// `None` is Node's call without an argument: the code is [`exit_code`], else 0. Destructors of live frames do not run.
pub fn exit(code: impl Into<Option<i64>>) -> ! {
    match code.into() {
        Some(code) => {
            set_exit_code(code);
            end(code)
        }
        None => end(exit_code().unwrap_or(0)),
    }
}

/// As [`exit`] with Node's argument of any kind: null and undefined mean 0. Returns only when the value is refused.
///
/// # Errors
/// `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`.
pub fn exit_value(code: impl Into<Value>) -> Result<std::convert::Infallible> {
    set_exit_code_value(code)?;
    end(exit_code().unwrap_or(0))
}

fn end(code: i64) -> ! {
    sys::flush_stdout();
    sys::process::exit(code)
}

/// The code the isolate will end with, when one is set (Node: `process.exitCode`). Where Node gives back the text
/// that was assigned, this is the integer it stands for.
pub fn exit_code() -> Option<i64> {
    match attribute("exitCode") {
        Value::Number(code) => Some(integer(code)),
        Value::String(text) => integer_of_text(&text),
        _ => None,
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the host accepts safe integers only")]
fn integer(number: f64) -> i64 {
    number as i64
}

/// The integer that a text accepted as exit code stands for.
fn integer_of_text(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let radix = |prefix, radix| i64::from_str_radix(text.strip_prefix(prefix)?, radix).ok();
    let digits = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2));
    digits.or_else(|| text.parse().ok().map(integer))
}

/// Sets the code of a natural end; `None` unsets it (Node: `process.exitCode = …`).
pub fn set_exit_code(code: impl Into<Option<i64>>) {
    let code = code.into();
    if let Err(error) = sys::process::set("exitCode", &code) {
        uncaught::raise(&error, Origin::UncaughtException);
    }
}

/// As [`set_exit_code`] with Node's rules for a value of any kind: integers and texts of integers, null and undefined.
///
/// # Errors
/// `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`.
pub fn set_exit_code_value(code: impl Into<Value>) -> Result<()> {
    sys::process::set("exitCode", &code.into())
}

/// Writes a core dump and dies by SIGABRT, without any event (Node: `process.abort`). Returns only when refused.
///
/// # Errors
/// `ERR_WORKER_UNSUPPORTED_OPERATION` in a thread.
pub fn abort() -> Result<std::convert::Infallible> {
    sys::process::abort()?;
    Err(Error::with_code(ErrorCode::Internal, "the host did not abort"))
}

/// Runs `callback` after the current operation, before ready tasks and before the loop goes on
/// (Node: `process.nextTick`). Ticks that set ticks keep the loop waiting.
pub fn next_tick(callback: impl FnOnce() + 'static) {
    event_loop::next_tick(callback);
}

/// Takes every uncaught trap, panic and error instead of `'uncaughtException'` listeners
/// (Node: `process.setUncaughtExceptionCaptureCallback(fn)`).
///
/// # Errors
/// `ERR_UNCAUGHT_EXCEPTION_CAPTURE_ALREADY_SET`.
pub fn set_uncaught_exception_capture_callback(callback: impl FnMut(&Error) + 'static) -> Result<()> {
    uncaught::set_capture(callback)
}

/// Removes that callback (Node: `process.setUncaughtExceptionCaptureCallback(null)`).
pub fn clear_uncaught_exception_capture_callback() {
    uncaught::clear_capture();
}

/// Whether that callback is set; added ones do not count (Node: `process.hasUncaughtExceptionCaptureCallback`).
pub fn has_uncaught_exception_capture_callback() -> bool {
    uncaught::has_capture()
}

/// Adds a callback that sees uncaught errors before the one that is set; newest first, until one says `true`: handled
/// (Node: `process.addUncaughtExceptionCaptureCallback`).
pub fn add_uncaught_exception_capture_callback(callback: impl FnMut(&Error) -> bool + 'static) {
    uncaught::add_capture(callback);
}

/// Type names of everything that keeps the isolate alive (Node: `process.getActiveResourcesInfo`).
pub fn get_active_resources_info() -> Vec<String> {
    let mut names = sys::process::get_active_resources_info().unwrap_or_default();
    let immediates = timers::immediates::ref_count();
    names.extend(std::iter::repeat_n("Immediate".to_owned(), immediates));
    names
}

/// What can keep the isolate alive.
pub trait Refable {
    /// Lets it keep the isolate alive.
    fn ref_(&self);
    /// Lets the isolate end although it is open.
    fn unref(&self);
}

macro_rules! refable {
    ($($type:ty),* $(,)?) => {$(
        impl Refable for $type {
            fn ref_(&self) {
                <$type>::ref_(self);
            }

            fn unref(&self) {
                <$type>::unref(self);
            }
        }
    )*};
}

refable! { timers::Timeout, timers::Immediate, timers::Interval, Stdin, Readable, Writable, Channel, ChildProcess }

/// Lets `resource` keep the isolate alive (Node: `process.ref`).
pub fn ref_(resource: &impl Refable) {
    resource.ref_();
}

/// Lets the isolate end although `resource` is open (Node: `process.unref`).
pub fn unref(resource: &impl Refable) {
    resource.unref();
}
