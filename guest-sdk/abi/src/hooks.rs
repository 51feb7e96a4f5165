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

/// `nodule_heap: () -> i32`. Address of what the guest's allocator counts, little-endian, aligned to 8; it stays where
/// it is. Called once after instantiation; the host then reads and writes there whenever the guest stands still.
///
/// | offset | type | what |
/// |---|---|---|
/// | 0 | u32 | [`HEAP_FIGURES_VERSION`] |
/// | 4 | u32 | sample interval in bytes, written by the host; 0: no samples |
/// | 8 | u64 | bytes allocated and not freed |
/// | 16 | u64 | the most they ever were |
/// | 24 | u64 | bytes ever allocated |
/// | 32 | i64 | bytes until the next sample; set by the host with the interval |
///
/// While the interval is not 0 the allocator subtracts what it gives out from the last number, and when that is used up
/// calls `nodule:diagnostics/1` `heap_sample` with the bytes since the last call and sets it to the interval again.
pub const HEAP: &str = "nodule_heap";

/// Layout of the figures that [`HEAP`] gives.
pub const HEAP_FIGURES_VERSION: u32 = 1;
/// Their size.
pub const HEAP_FIGURES_BYTES: usize = 40;
/// Offset of the version.
pub const HEAP_FIGURES_VERSION_AT: usize = 0;
/// Offset of the sample interval.
pub const HEAP_FIGURES_INTERVAL_AT: usize = 4;
/// Offset of the live bytes.
pub const HEAP_FIGURES_LIVE_AT: usize = 8;
/// Offset of their peak.
pub const HEAP_FIGURES_PEAK_AT: usize = 16;
/// Offset of the bytes ever allocated.
pub const HEAP_FIGURES_TOTAL_AT: usize = 24;
/// Offset of the bytes until the next sample.
pub const HEAP_FIGURES_UNTIL_AT: usize = 32;

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
