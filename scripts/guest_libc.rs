//! Functions that std expects of its libc and that Debian's wasi-libc, older than this std, does
//! not have. `scripts/setup.sh` links them into the startup object of the toolchain it makes.
//! They answer as newer releases of wasi-libc do for a target without threads and file modes;
//! `realpath`, which those have, is refused.

#![no_std]
#![feature(thread_local)]

use core::ffi::{c_char, c_int, c_void};

/// "Not supported" of WASI.
const ENOTSUP: c_int = 58;

unsafe extern "C" {
    #[thread_local]
    static mut errno: c_int;
}

fn refuse() {
    // SAFETY: libc's own variable, in a program of one thread.
    unsafe { errno = ENOTSUP };
}

#[unsafe(no_mangle)]
extern "C" fn chmod(_path: *const c_char, _mode: u32) -> c_int {
    refuse();
    -1
}

#[unsafe(no_mangle)]
extern "C" fn fchmod(_fd: c_int, _mode: u32) -> c_int {
    refuse();
    -1
}

#[unsafe(no_mangle)]
extern "C" fn realpath(_path: *const c_char, _resolved: *mut c_char) -> *mut c_char {
    refuse();
    core::ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn pthread_attr_init(_attributes: *mut c_void) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_attr_setstacksize(_attributes: *mut c_void, _size: usize) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_attr_destroy(_attributes: *mut c_void) -> c_int {
    0
}

type ThreadStart = extern "C" fn(*mut c_void) -> *mut c_void;

#[unsafe(no_mangle)]
extern "C" fn pthread_create(
    _thread: *mut c_void,
    _attributes: *const c_void,
    _start: ThreadStart,
    _argument: *mut c_void,
) -> c_int {
    ENOTSUP
}

#[unsafe(no_mangle)]
extern "C" fn pthread_join(_thread: *mut c_void, _value: *mut *mut c_void) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_detach(_thread: *mut c_void) -> c_int {
    0
}
