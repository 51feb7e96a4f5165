//! Error numbers, Node's error codes, and the record every failure is described by.
//!
//! A failing import returns a number; `nodule:error/1` `last` gives the whole [`ErrorRecord`].
//! Numbers below 1000 are Linux `errno` values (`errno(3)`), 1000 and up are Node's `ERR_` codes,
//! 2000 and up are nodule's own.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::value::Value;

/// A result whose failure a guest sees. Boxed: records are large and failures rare.
pub type Result<T> = core::result::Result<T, Box<ErrorRecord>>;

macro_rules! codes {
    ($($variant:ident = $number:literal, $code:literal, $name:literal, $text:literal;)*) => {
        /// The code of a failure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "every variant is documented by its code string")]
        pub enum ErrorCode { $(#[doc = concat!("`", $code, "`: ", $text)] $variant = $number),* }

        impl ErrorCode {
            /// Every code, in numeric order.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The code string, stable API: `"ENOENT"`, `"ERR_INVALID_ARG_TYPE"`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// Node's class name of errors with this code.
            pub const fn error_name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// A short text: what the code means.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The code with this number.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    Eperm = 1, "EPERM", "Error", "operation not permitted";
    Enoent = 2, "ENOENT", "Error", "no such file or directory";
    Esrch = 3, "ESRCH", "Error", "no such process";
    Eintr = 4, "EINTR", "Error", "interrupted system call";
    Eio = 5, "EIO", "Error", "i/o error";
    Enxio = 6, "ENXIO", "Error", "no such device or address";
    E2big = 7, "E2BIG", "Error", "argument list too long";
    Enoexec = 8, "ENOEXEC", "Error", "exec format error";
    Ebadf = 9, "EBADF", "Error", "bad file descriptor";
    Echild = 10, "ECHILD", "Error", "no child processes";
    Eagain = 11, "EAGAIN", "Error", "resource temporarily unavailable";
    Enomem = 12, "ENOMEM", "Error", "not enough memory";
    Eacces = 13, "EACCES", "Error", "permission denied";
    Efault = 14, "EFAULT", "Error", "bad address in system call argument";
    Ebusy = 16, "EBUSY", "Error", "resource busy or locked";
    Eexist = 17, "EEXIST", "Error", "file already exists";
    Exdev = 18, "EXDEV", "Error", "cross-device link not permitted";
    Enodev = 19, "ENODEV", "Error", "no such device";
    Enotdir = 20, "ENOTDIR", "Error", "not a directory";
    Eisdir = 21, "EISDIR", "Error", "illegal operation on a directory";
    Einval = 22, "EINVAL", "Error", "invalid argument";
    Enfile = 23, "ENFILE", "Error", "file table overflow";
    Emfile = 24, "EMFILE", "Error", "too many open files";
    Enotty = 25, "ENOTTY", "Error", "inappropriate ioctl for device";
    Etxtbsy = 26, "ETXTBSY", "Error", "text file is busy";
    Efbig = 27, "EFBIG", "Error", "file too large";
    Enospc = 28, "ENOSPC", "Error", "no space left on device";
    Espipe = 29, "ESPIPE", "Error", "invalid seek";
    Erofs = 30, "EROFS", "Error", "read-only file system";
    Emlink = 31, "EMLINK", "Error", "too many links";
    Epipe = 32, "EPIPE", "Error", "broken pipe";
    Erange = 34, "ERANGE", "Error", "result too large";
    Enametoolong = 36, "ENAMETOOLONG", "Error", "name too long";
    Enosys = 38, "ENOSYS", "Error", "function not implemented";
    Enotempty = 39, "ENOTEMPTY", "Error", "directory not empty";
    Eloop = 40, "ELOOP", "Error", "too many symbolic links encountered";
    Eproto = 71, "EPROTO", "Error", "protocol error";
    Eoverflow = 75, "EOVERFLOW", "Error", "value too large for defined data type";
    Eilseq = 84, "EILSEQ", "Error", "illegal byte sequence";
    Enotsup = 95, "ENOTSUP", "Error", "operation not supported on socket";
    Eaddrinuse = 98, "EADDRINUSE", "Error", "address already in use";
    Eaddrnotavail = 99, "EADDRNOTAVAIL", "Error", "address not available";
    Econnreset = 104, "ECONNRESET", "Error", "connection reset by peer";
    Enobufs = 105, "ENOBUFS", "Error", "no buffer space available";
    Etimedout = 110, "ETIMEDOUT", "Error", "connection timed out";
    Econnrefused = 111, "ECONNREFUSED", "Error", "connection refused";
    Ecanceled = 125, "ECANCELED", "Error", "operation canceled";
    Eownerdead = 130, "EOWNERDEAD", "Error", "owner died";

    InvalidArgType = 1000, "ERR_INVALID_ARG_TYPE", "TypeError", "an argument has the wrong type";
    InvalidArgValue = 1001, "ERR_INVALID_ARG_VALUE", "TypeError", "an argument has an unusable value";
    OutOfRange = 1002, "ERR_OUT_OF_RANGE", "RangeError", "a number is out of range";
    MissingArgs = 1003, "ERR_MISSING_ARGS", "TypeError", "a required argument is missing";
    AccessDenied = 1004, "ERR_ACCESS_DENIED", "Error", "the permission is not granted";
    FeatureUnavailable = 1005, "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM", "TypeError", "not available on this platform";
    OperationFailed = 1006, "ERR_OPERATION_FAILED", "Error", "the operation failed";
    UnknownSignal = 1010, "ERR_UNKNOWN_SIGNAL", "TypeError", "unknown signal";
    UnknownCredential = 1011, "ERR_UNKNOWN_CREDENTIAL", "Error", "unknown user or group";
    DlopenFailed = 1012, "ERR_DLOPEN_FAILED", "Error", "the side module could not be loaded";
    DlopenDisabled = 1013, "ERR_DLOPEN_DISABLED", "Error", "loading side modules is not granted";
    CaptureAlreadySet = 1014, "ERR_UNCAUGHT_EXCEPTION_CAPTURE_ALREADY_SET", "Error", "an uncaught exception capture callback is set already";
    UnhandledRejection = 1015, "ERR_UNHANDLED_REJECTION", "Error", "a task failed and nobody awaits it";
    WorkerUnsupportedOperation = 1016, "ERR_WORKER_UNSUPPORTED_OPERATION", "TypeError", "not supported in workers";
    IpcChannelClosed = 1020, "ERR_IPC_CHANNEL_CLOSED", "Error", "Channel closed";
    IpcDisconnected = 1021, "ERR_IPC_DISCONNECTED", "Error", "IPC channel is already disconnected";
    InvalidUrlScheme = 1022, "ERR_INVALID_URL_SCHEME", "TypeError", "The URL must be of scheme file";
    ConstructCallRequired = 1023, "ERR_CONSTRUCT_CALL_REQUIRED", "TypeError", "cannot be called without new";
    ConstructCallInvalid = 1024, "ERR_CONSTRUCT_CALL_INVALID", "TypeError", "Constructor cannot be called";
    DataClone = 1025, "25", "DataCloneError", "the value could not be cloned";
    InvalidState = 1026, "11", "InvalidStateError", "the object is in an invalid state";
    NotSupported = 1027, "9", "NotSupportedError", "the operation is not supported";
    Abort = 1028, "ABORT_ERR", "AbortError", "The operation was aborted";
    WorkerOutOfMemory = 1030, "ERR_WORKER_OUT_OF_MEMORY", "Error", "the memory limit is reached";
    WorkerInitFailed = 1031, "ERR_WORKER_INIT_FAILED", "Error", "the isolate could not be created";
    MissingTransferable = 1032, "ERR_MISSING_TRANSFERABLE_IN_TRANSFER_LIST", "TypeError", "Object that needs transfer was found in message but not listed in transferList";
    InvalidTransferObject = 1033, "ERR_INVALID_TRANSFER_OBJECT", "TypeError", "Found invalid object in transferList";
    WorkerHandleNotTransferable = 1034, "ERR_WORKER_HANDLE_NOT_TRANSFERABLE", "Error", "the handle is not in a transferable state";
    ClosedMessagePort = 1035, "ERR_CLOSED_MESSAGE_PORT", "Error", "Cannot send data on closed MessagePort";
    WorkerPath = 1036, "ERR_WORKER_PATH", "TypeError", "The worker script or module filename must be an absolute path or a relative path starting with './' or '../'";
    WorkerInvalidExecArgv = 1037, "ERR_WORKER_INVALID_EXEC_ARGV", "Error", "Initiated Worker with invalid execArgv flags";
    ModuleNotFound = 1038, "ERR_MODULE_NOT_FOUND", "Error", "Cannot find module";
    WorkerNotRunning = 1039, "ERR_WORKER_NOT_RUNNING", "Error", "Worker instance not running";
    WorkerUnserializableError = 1040, "ERR_WORKER_UNSERIALIZABLE_ERROR", "Error", "Serializing an uncaught exception failed";
    WorkerMessagingFailed = 1041, "ERR_WORKER_MESSAGING_FAILED", "Error", "Cannot find the destination thread or listener";
    WorkerMessagingErrored = 1042, "ERR_WORKER_MESSAGING_ERRORED", "Error", "The destination thread threw an error while processing the message";
    WorkerMessagingSameThread = 1043, "ERR_WORKER_MESSAGING_SAME_THREAD", "Error", "Cannot sent a message to the same thread";
    WorkerMessagingTimeout = 1044, "ERR_WORKER_MESSAGING_TIMEOUT", "Error", "Sending a message to another thread timed out";
    HeapProfileStarted = 1045, "ERR_HEAP_PROFILE_HAVE_BEEN_STARTED", "Error", "heap profiling has already been started";

    IpcRequired = 1050, "ERR_CHILD_PROCESS_IPC_REQUIRED", "Error", "Forked processes must have an IPC channel, missing value 'ipc' in options.stdio";
    StdioMaxBuffer = 1051, "ERR_CHILD_PROCESS_STDIO_MAXBUFFER", "RangeError", "maxBuffer length exceeded";
    ChildClosedBeforeReply = 1052, "ERR_CHILD_CLOSED_BEFORE_REPLY", "Error", "Child closed before reply received";
    IpcOnePipe = 1053, "ERR_IPC_ONE_PIPE", "Error", "Child process can have only one IPC pipe";
    IpcSyncFork = 1054, "ERR_IPC_SYNC_FORK", "Error", "IPC cannot be used with synchronous forks";
    InvalidSyncForkInput = 1055, "ERR_INVALID_SYNC_FORK_INPUT", "TypeError", "Asynchronous forks do not support Buffer, TypedArray, DataView or string input";
    InvalidHandleType = 1056, "ERR_INVALID_HANDLE_TYPE", "TypeError", "This handle type cannot be sent";

    AbiMismatch = 2000, "ERR_ABI_MISMATCH", "Error", "the module was built for another ABI";
    HandleClosed = 2001, "ERR_HANDLE_CLOSED", "Error", "the handle was closed or never valid";
    GuestPanic = 2002, "ERR_GUEST_PANIC", "PanicError", "the guest panicked";
    WasmUnreachable = 2003, "ERR_WASM_UNREACHABLE", "RuntimeError", "unreachable";
    WasmOutOfBounds = 2004, "ERR_WASM_OUT_OF_BOUNDS", "RuntimeError", "memory access out of bounds";
    WasmIndirectCall = 2005, "ERR_WASM_INDIRECT_CALL", "RuntimeError", "null or ill-typed indirect call";
    WasmArithmetic = 2006, "ERR_WASM_ARITHMETIC", "RuntimeError", "integer or float conversion error";
    WasmAtomic = 2007, "ERR_WASM_ATOMIC", "RuntimeError", "misaligned atomic or wait on unshared memory";
    WasmStackOverflow = 2008, "ERR_WASM_STACK_OVERFLOW", "RangeError", "Maximum call stack size exceeded";
    CpuLimit = 2009, "ERR_WORKER_CPU_LIMIT", "Error", "the CPU time limit is used up";
    Deadline = 2010, "ERR_WORKER_DEADLINE", "Error", "the wall time limit is used up";
    OutOfFuel = 2011, "ERR_WORKER_OUT_OF_FUEL", "Error", "the fuel is used up";
    WorkerQueueFull = 2012, "ERR_WORKER_QUEUE_FULL", "Error", "the receiver's queue is full";
    IpcBackpressure = 2013, "ERR_IPC_BACKPRESSURE", "Error", "the channel's queue is full";
    IpcMessageTooLarge = 2014, "ERR_IPC_MESSAGE_TOO_LARGE", "RangeError", "the message is larger than 512 MiB";
    IpcCodecMismatch = 2015, "ERR_IPC_CODEC_MISMATCH", "Error", "the other side sent what is no message";
    Internal = 2099, "ERR_INTERNAL", "Error", "internal error of the host";
}

impl ErrorCode {
    /// The number an import returns.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether this is an operating system error (its number is the Linux `errno`).
    pub const fn is_system(self) -> bool {
        self.number() < 1000
    }

    /// The code with this string.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == code)
    }

    /// The code of a Linux `errno`; [`ErrorCode::Eio`] for one the table does not name.
    pub fn from_errno(errno: i32) -> Self {
        u16::try_from(errno)
            .ok()
            .filter(|number| *number < 1000)
            .and_then(Self::from_number)
            .unwrap_or(Self::Eio)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure as a guest sees it: Node's fields of an error. Travels as a CBOR map with these keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorRecord {
    /// Class name: `Error`, `TypeError`, `PanicError`…
    pub name: Cow<'static, str>,
    /// Stable code string; absent for plain errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'static, str>>,
    /// What happened.
    pub message: String,
    /// Backtrace lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// Negative error number of a system error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// The system call that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syscall: Option<Cow<'static, str>>,
    /// The path it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The second path of a call with two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest: Option<String>,
    /// The arguments of the process that was to be started, without its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawnargs: Option<Vec<String>>,
    /// What caused it: the reason of an `AbortError`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<ErrorRecord>>,
    /// Name of the permission that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<Cow<'static, str>>,
    /// What the refused permission was wanted for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// More about it: a panic's `file:line:column`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<String>,
    /// What was thrown when that was no error; an array of one, because undefined is a value too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<[Value; 1]>>,
}

impl ErrorRecord {
    /// A record with the code's class name.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            name: Cow::Borrowed(code.error_name()),
            code: Some(Cow::Borrowed(code.as_str())),
            message: message.into(),
            errno: code.is_system().then(|| -i32::from(code.number())),
            ..Self::default()
        }
    }

    /// The code with its plain text.
    pub fn of(code: ErrorCode) -> Self {
        Self::new(code, code.text())
    }

    /// A failed system call: message `<syscall> <CODE>` (Node's form for calls without a path).
    pub fn system(code: ErrorCode, syscall: &'static str) -> Self {
        Self {
            syscall: Some(Cow::Borrowed(syscall)),
            ..Self::new(code, format!("{syscall} {code}"))
        }
    }

    /// A failed system call about a path: `<CODE>: <text>, <syscall> '<path>'`, with ` -> '<dest>'` when given.
    pub fn system_path(code: ErrorCode, syscall: &'static str, path: &str, dest: Option<&str>) -> Self {
        let mut message = format!("{code}: {}, {syscall} '{path}'", code.text());
        if let Some(dest) = dest {
            message.push_str(&format!(" -> '{dest}'"));
        }
        Self {
            syscall: Some(Cow::Borrowed(syscall)),
            path: Some(path.to_string()),
            dest: dest.map(ToString::to_string),
            ..Self::new(code, message)
        }
    }

    /// `The "<arg>" argument must be <wanted>. Received <received>` (`ERR_INVALID_ARG_TYPE`).
    pub fn invalid_arg_type(argument: &str, wanted: &str, received: &str) -> Self {
        let kind = if argument.contains('.') { "property" } else { "argument" };
        Self::new(
            ErrorCode::InvalidArgType,
            format!("The \"{argument}\" {kind} must be {wanted}. Received {received}"),
        )
    }

    /// `The argument '<arg>' <reason>. Received <received>` (`ERR_INVALID_ARG_VALUE`).
    pub fn invalid_arg_value(argument: &str, reason: &str, received: &str) -> Self {
        let kind = if argument.contains('.') { "property" } else { "argument" };
        Self::new(
            ErrorCode::InvalidArgValue,
            format!("The {kind} '{argument}' {reason}. Received {received}"),
        )
    }

    /// `The value of "<arg>" is out of range. It must be <range>. Received <received>` (`ERR_OUT_OF_RANGE`).
    pub fn out_of_range(argument: &str, range: &str, received: &str) -> Self {
        Self::new(
            ErrorCode::OutOfRange,
            format!("The value of \"{argument}\" is out of range. It must be {range}. Received {received}"),
        )
    }

    /// A refused capability (`ERR_ACCESS_DENIED`): `what` was tried, `flag` would allow it.
    pub fn access_denied(permission: &'static str, resource: &str, what: &str, flag: &str) -> Self {
        Self {
            permission: Some(Cow::Borrowed(permission)),
            resource: Some(resource.to_string()),
            ..Self::new(
                ErrorCode::AccessDenied,
                format!("Access to this API has been restricted: {what}; allow it with {flag}"),
            )
        }
    }

    /// The code as an enum, if it is one of the table.
    pub fn error_code(&self) -> Option<ErrorCode> {
        self.code.as_deref().and_then(ErrorCode::from_code)
    }

    /// Whether the code string is `code`. Node's documentation calls `ERR_MISSING_TRANSFERABLE_IN_TRANSFER_LIST` also
    /// `ERR_MISSING_MESSAGE_PORT_IN_TRANSFER_LIST`; both match.
    pub fn is_code(&self, code: &str) -> bool {
        let code = match code {
            "ERR_MISSING_MESSAGE_PORT_IN_TRANSFER_LIST" => ErrorCode::MissingTransferable.as_str(),
            other => other,
        };
        self.code.as_deref() == Some(code)
    }
}

/// `Name [CODE]: message`, as Node prints an error.
impl fmt::Display for ErrorRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.name.is_empty() { "Error" } else { &self.name })?;
        if let Some(code) = self.code.as_deref().filter(|code| code.starts_with("ERR_")) {
            write!(f, " [{code}]")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl core::error::Error for ErrorRecord {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings_lead_back_to_their_code() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
            assert_eq!(ErrorCode::from_code(code.as_str()), Some(*code));
        }
    }

    #[test]
    fn system_errors_read_as_in_node() {
        let record = ErrorRecord::system_path(ErrorCode::Enoent, "chdir", "/a", Some("b"));
        assert_eq!(record.message, "ENOENT: no such file or directory, chdir '/a' -> 'b'");
        assert_eq!(record.errno, Some(-2));
        assert_eq!(ErrorRecord::system(ErrorCode::Esrch, "kill").message, "kill ESRCH");
    }
}
