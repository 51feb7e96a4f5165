//! What the host calls, and the panic hook.
//!
//! On entry of a hook everything that ran before has returned or was unwound by the host, so open uses of the
//! SDK's state are forgotten first.

use std::cell::UnsafeCell;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::hooks::Origin;
use nodule_abi::limits::HOOK_BUFFER_BYTES;
use nodule_abi::value;

use super::cell::abandon_frames;
use crate::error::Error;
use crate::{event_loop, uncaught};

/// Where the host puts the record of an uncaught error; reserved so that nothing is allocated after a trap.
struct HookBuffer(UnsafeCell<[u8; HOOK_BUFFER_BYTES]>);

// SAFETY: an instance has one thread, and the host writes only between two calls into it.
unsafe impl Sync for HookBuffer {}

static HOOK_BUFFER: HookBuffer = HookBuffer(UnsafeCell::new([0; HOOK_BUFFER_BYTES]));

/// States the ABI that this guest was built for.
#[unsafe(no_mangle)]
pub extern "C" fn nodule_abi_1() {
    const {
        assert!(
            nodule_abi::ABI_VERSION == 1,
            "the export carries the number in its name"
        )
    }
}

/// Address of the record buffer.
#[unsafe(no_mangle)]
pub extern "C" fn nodule_hook_buffer() -> *mut u8 {
    HOOK_BUFFER.0.get().cast()
}

/// Runs the steps of an uncaught error; 1 when it is handled.
#[unsafe(no_mangle)]
pub extern "C" fn nodule_uncaught(record_len: u32, origin: u32) -> u32 {
    abandon_frames();
    let len = (record_len as usize).min(HOOK_BUFFER_BYTES);
    // SAFETY: `len` bytes of the static buffer are initialised, and the host does not write while we run.
    let bytes = unsafe { core::slice::from_raw_parts(nodule_hook_buffer().cast_const(), len) };
    let record = value::from_slice::<ErrorRecord>(bytes)
        .unwrap_or_else(|_| ErrorRecord::new(ErrorCode::Internal, "the record of an uncaught error is damaged"));
    let origin = Origin::from_number(origin).unwrap_or(Origin::UncaughtException);
    u32::from(uncaught::handle(Error::from(record), origin))
}

/// Goes on with the event loop after a handled error.
#[unsafe(no_mangle)]
pub extern "C" fn nodule_resume() {
    abandon_frames();
    event_loop::run_to_end();
}

/// Runs what is registered for `'exit'`.
#[unsafe(no_mangle)]
pub extern "C" fn nodule_exit(code: i64) {
    abandon_frames();
    event_loop::exit(code);
}

/// Makes a panic an error record of the host's instead of text on stderr.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let mut record = ErrorRecord::new(ErrorCode::GuestPanic, panic_message(info.payload()));
        record.info = info.location().map(ToString::to_string);
        super::process::panic(&record);
    }));
}

fn panic_message(payload: &(dyn core::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "Box<dyn Any>".to_owned()
    }
}
