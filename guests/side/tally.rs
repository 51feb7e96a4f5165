//! A side module in Rust: data, function pointers, a call back into the main module.
//!
//! Without std, and without anything of core that is not inlined (panics are not): both come compiled for
//! main modules, at addresses that are known when they are linked.

#![no_std]

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

type Step = extern "C" fn(u32) -> u32;

unsafe extern "C" {
    /// In the main module.
    fn main_note(text: *const u8) -> i32;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

extern "C" fn twice(value: u32) -> u32 {
    value * 2
}

extern "C" fn square(value: u32) -> u32 {
    value * value
}

/// How much was tallied.
#[unsafe(no_mangle)]
pub static tally_total: AtomicU32 = AtomicU32::new(7);

/// The steps there are.
#[unsafe(no_mangle)]
pub static tally_steps: [Step; 2] = [twice, square];

/// One of the steps.
#[unsafe(no_mangle)]
pub extern "C" fn tally_step(index: usize) -> Option<Step> {
    tally_steps.get(index).copied()
}

/// Adds up what `step` gives for the numbers below `count`.
#[unsafe(no_mangle)]
pub extern "C" fn tally(step: Step, count: u32) -> u32 {
    let sum = (0..count).map(|value| step(value)).sum();
    tally_total.fetch_add(sum, Ordering::Relaxed);
    // SAFETY: a text that ends with NUL, as the main module wants it.
    unsafe { main_note(c"tallied".as_ptr().cast()) };
    sum
}
