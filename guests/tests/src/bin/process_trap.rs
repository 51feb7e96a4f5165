//! Every kind of trap as an error of its own: `process_trap <kind>`; with `handled` after it the loop goes on.

use std::hint::black_box;

use nodule_sdk::process;

#[nodule_sdk::main]
fn main() -> nodule_sdk::Result<()> {
    let arguments = process::argv();
    if arguments.get(3).map(String::as_str) == Some("handled") {
        process::on_uncaught_exception(|error, _| {
            println!("{} {} {}", error.name(), error.code().unwrap_or("-"), error.message());
            println!("stack {}", error.record().stack.is_some());
            process::next_tick(|| println!("a tick after it"));
        });
    }
    match arguments[2].as_str() {
        "panic" => panic!("a panic with {} arguments", 2),
        "unwrap" => drop(arguments[2].parse::<u32>().unwrap()),
        "unreachable" => unreachable_instruction(),
        "out-of-bounds" => drop(black_box(read(black_box(0xffff_fff0)))),
        "indirect-null" => call(black_box(0)),
        "indirect-type" => call(black_box(add as extern "C" fn(i64, i64) -> i64 as usize)),
        "division" => drop(black_box(divide(black_box(1), black_box(0)))),
        "overflow" => drop(black_box(divide(black_box(i32::MIN), black_box(-1)))),
        "stack" => drop(black_box(recurse(black_box(1)))),
        // Overflows somewhere in the SDK's own code, which must stay usable.
        "stack-in-sdk" => drop(black_box(recurse_with_ticks(black_box(1)))),
        "atomic" => drop(black_box(read_atomic(black_box(1025)))),
        "error" => {
            return Err(nodule_sdk::Error::new("main gave an error")
                .named("CustomError")
                .coded("E_CUSTOM"));
        }
        other => return Err(format!("no kind {other}").into()),
    }
    println!("went on");
    Ok(())
}

#[cfg(target_arch = "wasm32")]
fn unreachable_instruction() {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_arch = "wasm32"))]
fn unreachable_instruction() {
    std::process::abort()
}

#[inline(never)]
fn read(address: usize) -> u8 {
    // SAFETY: none; the access is meant to trap.
    unsafe { std::ptr::with_exposed_provenance::<u8>(address).read_volatile() }
}

#[inline(never)]
fn read_atomic(address: usize) -> u32 {
    let atomic = std::ptr::with_exposed_provenance::<std::sync::atomic::AtomicU32>(address);
    // SAFETY: none; the misaligned access is meant to trap.
    unsafe { (*atomic).fetch_add(0, std::sync::atomic::Ordering::SeqCst) }
}

#[inline(never)]
fn call(index: usize) {
    // SAFETY: none; the call is meant to trap.
    let function = unsafe { std::mem::transmute::<usize, Option<extern "C" fn()>>(index) };
    // SAFETY: as above.
    let function = unsafe { function.unwrap_unchecked() };
    function();
}

extern "C" fn add(a: i64, b: i64) -> i64 {
    a.wrapping_add(b)
}

/// A division without Rust's checks.
#[inline(never)]
fn divide(a: i32, b: i32) -> i32 {
    if b == 0 || (a == i32::MIN && b == -1) {
        // SAFETY: none; the instruction is meant to trap.
        unsafe { std::hint::unreachable_unchecked() }
    }
    a / b
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if depth == 0 {
        0
    } else {
        recurse(depth + 1) ^ recurse(depth.wrapping_mul(3))
    }
}

#[inline(never)]
fn recurse_with_ticks(depth: u64) -> u64 {
    process::next_tick(|| {});
    process::set_exit_code(0);
    if depth == 0 {
        return 0;
    }
    recurse_with_ticks(depth + 1) ^ recurse_with_ticks(depth.wrapping_mul(3))
}
