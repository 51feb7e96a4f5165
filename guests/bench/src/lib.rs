//! The kernels as exports of a module without imports.

mod kernels;

/// See [`kernels::mandelbrot`].
#[unsafe(no_mangle)]
pub extern "C" fn mandelbrot(rounds: u32) -> u32 {
    kernels::mandelbrot(rounds)
}

/// See [`kernels::sieve`].
#[unsafe(no_mangle)]
pub extern "C" fn sieve(rounds: u32) -> u32 {
    kernels::sieve(rounds)
}

/// See [`kernels::mix`].
#[unsafe(no_mangle)]
pub extern "C" fn mix(rounds: u32) -> u32 {
    kernels::mix(rounds)
}
