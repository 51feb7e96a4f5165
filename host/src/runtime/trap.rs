//! Traps as error records: kind, message, backtrace with function names.

use std::fmt::Write as _;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use wasmtime::{FrameInfo, Trap, WasmBacktrace, WasmCoreDump};

/// Longest backtrace text; a record must fit the guest's buffer.
const STACK_BYTES_MAX: usize = 16 * 1024;

/// The error code of a trap.
fn code_of(trap: Trap) -> ErrorCode {
    match trap {
        Trap::StackOverflow => ErrorCode::WasmStackOverflow,
        Trap::MemoryOutOfBounds | Trap::TableOutOfBounds | Trap::ArrayOutOfBounds => ErrorCode::WasmOutOfBounds,
        Trap::HeapMisaligned | Trap::AtomicWaitNonSharedMemory => ErrorCode::WasmAtomic,
        Trap::IndirectCallToNull | Trap::BadSignature | Trap::NullReference => ErrorCode::WasmIndirectCall,
        Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => ErrorCode::WasmArithmetic,
        Trap::OutOfFuel => ErrorCode::OutOfFuel,
        _ => ErrorCode::WasmUnreachable,
    }
}

/// The record of an error that ended a call into the guest.
pub fn error_record(error: &wasmtime::Error) -> ErrorRecord {
    let mut record = match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => {
            ErrorRecord::new(ErrorCode::WasmStackOverflow, ErrorCode::WasmStackOverflow.text())
        }
        Some(trap) => {
            let text = trap.to_string();
            ErrorRecord::new(code_of(*trap), text.strip_prefix("wasm trap: ").unwrap_or(&text))
        }
        None => ErrorRecord::new(ErrorCode::WasmUnreachable, error.root_cause().to_string()),
    };
    record.stack = backtrace(error);
    record
}

/// The wasm backtrace of an error as Node formats stacks: one `    at function (module:offset)` a line.
pub fn backtrace(error: &wasmtime::Error) -> Option<String> {
    let frames = match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) => backtrace.frames(),
        None => error.downcast_ref::<WasmCoreDump>()?.frames(),
    };
    format_frames(frames)
}

/// The wasm backtrace of the guest code that made this call.
pub fn current_backtrace(context: impl wasmtime::AsContext) -> Option<String> {
    format_frames(WasmBacktrace::force_capture(context).frames())
}

fn format_frames(frames: &[FrameInfo]) -> Option<String> {
    let mut text = String::new();
    for frame in frames {
        let function = frame
            .func_name()
            .map_or_else(|| format!("<wasm function {}>", frame.func_index()), rustc_demangle);
        let line = match frame
            .symbols()
            .iter()
            .find_map(|symbol| Some((symbol.file()?, symbol.line()?)))
        {
            Some((file, line)) => format!("    at {function} ({file}:{line})"),
            None => {
                let module = frame.module().name().unwrap_or("wasm");
                format!(
                    "    at {function} ({module}:0x{:x})",
                    frame.module_offset().unwrap_or(0)
                )
            }
        };
        if text.len() + line.len() > STACK_BYTES_MAX {
            text.push_str("    …\n");
            break;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text.truncate(text.trim_end().len());
    (!text.is_empty()).then_some(text)
}

fn rustc_demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// Whether the trap happened in a constructor, before user code.
pub fn in_constructor(error: &wasmtime::Error) -> bool {
    let frames = match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) => backtrace.frames(),
        None => match error.downcast_ref::<WasmCoreDump>() {
            Some(dump) => dump.frames(),
            None => return false,
        },
    };
    frames
        .iter()
        .any(|frame| matches!(frame.func_name(), Some("__wasm_call_ctors" | "_initialize")))
}
