//! What a guest exports for the host. All are optional: a module without them runs as a plain command.

/// Prefix of the export that states the ABI number: `nodule_abi_1` (any kind of export).
pub const ABI_EXPORT_PREFIX: &str = "nodule_abi_";

/// `nodule_hook_buffer: () -> i32`. Address of [`crate::limits::HOOK_BUFFER_BYTES`] bytes reserved
/// at start, into which the host writes the error record before it calls [`UNCAUGHT`].
pub const HOOK_BUFFER: &str = "nodule_hook_buffer";

/// `nodule_uncaught: (record_len: i32, origin: i32) -> i32`. Runs monitor, capture and
/// `uncaughtException` listeners; returns 1 when the error is handled, 0 when not.
/// `origin` is a number of [`Origin`].
pub const UNCAUGHT: &str = "nodule_uncaught";

/// `nodule_resume: () -> ()`. Goes on with the event loop after a handled error; returns when it is empty.
pub const RESUME: &str = "nodule_resume";

/// `nodule_exit: (code: i64) -> ()`. Runs `'exit'` finalizers and listeners, once.
pub const EXIT: &str = "nodule_exit";

/// The global that holds the guest's stack pointer; restored by the host after a trap.
pub const STACK_POINTER: &str = "__stack_pointer";

/// The table of function pointers; `dlopen` grows it.
pub const FUNCTION_TABLE: &str = "__indirect_function_table";

/// Where an uncaught error came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Origin {
    /// A trap, a panic or an error returned by `main`.
    UncaughtException = 0,
    /// A failed task that nobody awaits.
    UnhandledRejection = 1,
}

impl Origin {
    /// Node's name of the origin.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UncaughtException => "uncaughtException",
            Self::UnhandledRejection => "unhandledRejection",
        }
    }

    /// The origin with this number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::UncaughtException),
            1 => Some(Self::UnhandledRejection),
            _ => None,
        }
    }
}
