//! Errors as Node has them: a class name, a stable code, a message and the fields of system errors.

use std::borrow::Cow;
use std::fmt;

pub use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::value::{DecodeError, EncodeError, Value};

/// A result whose failure carries Node's fields.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// An error with Node's `name`, `code`, `message` and, for system errors, `errno`, `syscall`, `path`, `dest`.
#[derive(Clone, Debug, PartialEq)]
pub struct Error(Box<ErrorRecord>);

impl Error {
    /// A plain `Error` with a message and no code.
    pub fn new(message: impl Into<String>) -> Self {
        ErrorRecord {
            name: Cow::Borrowed("Error"),
            message: message.into(),
            ..ErrorRecord::default()
        }
        .into()
    }

    /// An error with a code of the table and that code's class name.
    pub fn with_code(code: ErrorCode, message: impl Into<String>) -> Self {
        ErrorRecord::new(code, message).into()
    }

    /// A failure whose reason is not an error, as Node's `reject(5)`. Where an error is wanted it reads as
    /// `ERR_UNHANDLED_REJECTION`, whose message quotes the reason.
    pub fn from_reason(reason: impl Into<Value>) -> Self {
        let reason = reason.into();
        let mut record = ErrorRecord::new(
            ErrorCode::UnhandledRejection,
            format!(
                "A task failed and nobody handled it. It failed with the reason \"{}\".",
                quote(&reason)
            ),
        );
        record.reason = Some(Box::new([reason]));
        record.into()
    }

    /// The error with another class name.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.0.name = name.into();
        self
    }

    /// The error with the code string `code`, one of the guest's own for example.
    #[must_use]
    pub fn coded(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// The error with what caused it (Node: `new Error(message, { cause })`).
    #[must_use]
    pub fn caused_by(mut self, cause: Self) -> Self {
        self.0.cause = Some(cause.0);
        self
    }

    /// The error with the backtrace of this call as its stack (Node: `Error.captureStackTrace`).
    #[must_use]
    pub fn with_stack(mut self) -> Self {
        self.0.stack = crate::sys::process::stack().ok().filter(|stack| !stack.is_empty());
        self
    }

    /// Backtrace lines, innermost first; errors that nobody raised yet have none unless [`Error::with_stack`] was called.
    pub fn stack(&self) -> Option<&str> {
        self.0.stack.as_deref()
    }

    /// Class name: `Error`, `TypeError`, `PanicError`…
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The code string, `"ENOENT"` or `"ERR_INVALID_ARG_TYPE"`; plain errors have none.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the code string is `code`.
    pub fn is_code(&self, code: &str) -> bool {
        self.0.is_code(code)
    }

    /// The value a task failed with when that was no error ([`Error::from_reason`]).
    pub fn reason(&self) -> Option<&Value> {
        self.0.reason.as_deref().map(|[reason]| reason)
    }

    /// What caused it (Node: `error.cause`).
    pub fn cause(&self) -> Option<Self> {
        self.0.cause.clone().map(Self)
    }

    /// All fields.
    pub fn record(&self) -> &ErrorRecord {
        &self.0
    }

    /// All fields, to change.
    pub fn record_mut(&mut self) -> &mut ErrorRecord {
        &mut self.0
    }

    /// The fields alone.
    pub fn into_record(self) -> ErrorRecord {
        *self.0
    }
}

/// The reason as text, as JavaScript's `String(reason)` for the kinds that have a plain text.
fn quote(reason: &Value) -> String {
    match reason {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null => "null".to_owned(),
        Value::Undefined => "undefined".to_owned(),
        other => other.describe(),
    }
}

/// `Name [CODE]: message`, as Node prints an error.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}

impl From<ErrorRecord> for Error {
    fn from(record: ErrorRecord) -> Self {
        Self(Box::new(record))
    }
}

impl From<Box<ErrorRecord>> for Error {
    fn from(record: Box<ErrorRecord>) -> Self {
        Self(record)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        if let Some(own) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return own.clone();
        }
        let message = error.to_string();
        match error
            .raw_os_error()
            .and_then(code_of_os_error)
            .or_else(|| code_of_kind(error.kind()))
        {
            Some(code) => Self::with_code(code, message),
            None => Self::new(message),
        }
    }
}

macro_rules! from_errors {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::new(error.to_string())
            }
        }
    )*};
}

from_errors! {
    fmt::Error, std::num::ParseIntError, std::num::ParseFloatError, std::num::TryFromIntError,
    std::str::Utf8Error, std::string::FromUtf8Error, std::env::VarError,
    Box<dyn std::error::Error>, Box<dyn std::error::Error + Send + Sync>,
    EncodeError, DecodeError,
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

/// The code of WASI's error number; std reports these on wasm.
#[cfg(target_os = "wasi")]
fn code_of_os_error(number: i32) -> Option<ErrorCode> {
    use ErrorCode as C;
    Some(match number {
        1 => C::E2big,
        2 => C::Eacces,
        3 => C::Eaddrinuse,
        4 => C::Eaddrnotavail,
        6 => C::Eagain,
        8 => C::Ebadf,
        10 => C::Ebusy,
        11 => C::Ecanceled,
        12 => C::Echild,
        14 => C::Econnrefused,
        15 => C::Econnreset,
        20 => C::Eexist,
        21 => C::Efault,
        22 => C::Efbig,
        25 => C::Eilseq,
        27 => C::Eintr,
        28 => C::Einval,
        29 => C::Eio,
        31 => C::Eisdir,
        32 => C::Eloop,
        33 => C::Emfile,
        34 => C::Emlink,
        37 => C::Enametoolong,
        41 => C::Enfile,
        42 => C::Enobufs,
        43 => C::Enodev,
        44 => C::Enoent,
        45 => C::Enoexec,
        48 => C::Enomem,
        51 => C::Enospc,
        52 => C::Enosys,
        54 => C::Enotdir,
        55 => C::Enotempty,
        58 => C::Enotsup,
        59 => C::Enotty,
        60 => C::Enxio,
        61 => C::Eoverflow,
        62 => C::Eownerdead,
        63 => C::Eperm,
        64 => C::Epipe,
        65 => C::Eproto,
        68 => C::Erange,
        69 => C::Erofs,
        70 => C::Espipe,
        71 => C::Esrch,
        73 => C::Etimedout,
        74 => C::Etxtbsy,
        75 => C::Exdev,
        // Access beyond what was granted: to a guest, a permission problem.
        76 => C::Eperm,
        _ => return None,
    })
}

#[cfg(not(target_os = "wasi"))]
fn code_of_os_error(number: i32) -> Option<ErrorCode> {
    Some(ErrorCode::from_errno(number))
}

/// The code of an error that std made up itself.
fn code_of_kind(kind: std::io::ErrorKind) -> Option<ErrorCode> {
    use std::io::ErrorKind as K;
    Some(match kind {
        K::NotFound => ErrorCode::Enoent,
        K::PermissionDenied => ErrorCode::Eacces,
        K::AlreadyExists => ErrorCode::Eexist,
        K::WouldBlock => ErrorCode::Eagain,
        K::InvalidInput => ErrorCode::Einval,
        K::TimedOut => ErrorCode::Etimedout,
        K::Interrupted => ErrorCode::Eintr,
        K::Unsupported => ErrorCode::Enotsup,
        K::BrokenPipe => ErrorCode::Epipe,
        K::OutOfMemory => ErrorCode::Enomem,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_io() {
        let error = Error::with_code(ErrorCode::Esrch, "kill ESRCH");
        assert_eq!(Error::from(std::io::Error::from(error.clone())), error);
    }

    #[test]
    fn a_reason_is_quoted() {
        let error = Error::from_reason("no luck");
        assert_eq!(error.code(), Some("ERR_UNHANDLED_REJECTION"));
        assert!(error.message().contains("\"no luck\""), "{error}");
        assert_eq!(error.reason(), Some(&Value::from("no luck")));
    }
}
