//! Imports of the area `process`, one wrapper each, in the order of the table.

use nodule_abi::error::ErrorRecord;
use nodule_abi::hooks::Origin;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{check, encode, fill, import, is, len32, sized, sized_text, sized_value, trap};
use crate::error::Result;
use nodule_abi::error::ErrorCode;

/// `None` for the answer `ENOENT` of a look-up.
fn found<T>(call: impl FnOnce(&mut bool) -> Result<T>) -> Result<Option<T>> {
    let mut missing = false;
    match call(&mut missing) {
        Err(_) if missing => Ok(None),
        result => result.map(Some),
    }
}

/// The attribute `name`; `None` when there is none of that name.
pub(crate) fn get<T: DeserializeOwned>(name: &str) -> Result<Option<T>> {
    found(|missing| {
        sized_value(|buf, cap, len| {
            let outcome = import!(process::get(name.as_ptr(), len32(name.len()), buf, cap, len));
            *missing = is(outcome, ErrorCode::Enoent);
            outcome
        })
    })
}

/// Sets the attribute `name`.
pub(crate) fn set(name: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
    let value = encode(value)?;
    check(import!(process::set(
        name.as_ptr(),
        len32(name.len()),
        value.as_ptr(),
        len32(value.len())
    )))
}

pub(crate) fn env_get(key: &str) -> Result<Option<String>> {
    found(|missing| {
        sized_text(|buf, cap, len| {
            let outcome = import!(process::env_get(key.as_ptr(), len32(key.len()), buf, cap, len));
            *missing = is(outcome, ErrorCode::Enoent);
            outcome
        })
    })
}

pub(crate) fn env_set(key: &str, value: &str) -> Result<()> {
    check(import!(process::env_set(
        key.as_ptr(),
        len32(key.len()),
        value.as_ptr(),
        len32(value.len())
    )))?;
    // The host took the texts, so std does too; an empty key is ignored by both.
    if !key.is_empty() {
        // SAFETY: an instance has one thread.
        unsafe { std::env::set_var(key, value) };
    }
    Ok(())
}

pub(crate) fn env_delete(key: &str) -> Result<()> {
    check(import!(process::env_delete(key.as_ptr(), len32(key.len()))))?;
    if !key.is_empty() {
        // SAFETY: an instance has one thread.
        unsafe { std::env::remove_var(key) };
    }
    Ok(())
}

/// Gives std, which reads the environment only once, the variables that came later.
fn update_std_env() -> Result<()> {
    for (key, value) in env_all::<std::collections::BTreeMap<String, String>>()? {
        if std::env::var_os(&key).is_none() {
            // SAFETY: an instance has one thread.
            unsafe { std::env::set_var(key, value) };
        }
    }
    Ok(())
}

pub(crate) fn env_all<T: DeserializeOwned>() -> Result<T> {
    sized_value(|buf, cap, len| import!(process::env_all(buf, cap, len)))
}

/// Wrappers for ids that are read and ids that are set.
macro_rules! identities {
    ($($get:ident, $set:ident;)*) => {$(
        pub(crate) fn $get() -> Result<u32> {
            let [id] = fill(|out| import!(process::$get(out)))?;
            Ok(id)
        }

        pub(crate) fn $set(id: &impl Serialize) -> Result<()> {
            let id = encode(id)?;
            check(import!(process::$set(id.as_ptr(), len32(id.len()))))
        }
    )*};
}

identities! {
    getuid, setuid;
    geteuid, seteuid;
    getgid, setgid;
    getegid, setegid;
}

pub(crate) fn getgroups() -> Result<Vec<u32>> {
    sized_value(|buf, cap, len| import!(process::getgroups(buf, cap, len)))
}

pub(crate) fn setgroups(groups: &impl Serialize) -> Result<()> {
    let groups = encode(groups)?;
    check(import!(process::setgroups(groups.as_ptr(), len32(groups.len()))))
}

pub(crate) fn initgroups(arguments: &impl Serialize) -> Result<()> {
    let arguments = encode(arguments)?;
    check(import!(process::initgroups(arguments.as_ptr(), len32(arguments.len()))))
}

pub(crate) fn hrtime() -> u64 {
    import!(process::hrtime())
}

pub(crate) fn uptime() -> f64 {
    import!(process::uptime())
}

pub(crate) fn cpu_usage() -> Result<[u64; 2]> {
    fill(|out| import!(process::cpu_usage(out)))
}

pub(crate) fn thread_cpu_usage() -> Result<[u64; 2]> {
    fill(|out| import!(process::thread_cpu_usage(out)))
}

pub(crate) fn memory_usage(heap_used: u64) -> Result<[u64; 5]> {
    fill(|out| import!(process::memory_usage(heap_used, out)))
}

pub(crate) fn rss() -> u64 {
    import!(process::rss())
}

pub(crate) fn resource_usage() -> Result<[u64; 16]> {
    fill(|out| import!(process::resource_usage(out)))
}

pub(crate) fn available_memory() -> u64 {
    import!(process::available_memory())
}

pub(crate) fn constrained_memory() -> u64 {
    import!(process::constrained_memory())
}

pub(crate) fn cwd() -> Result<String> {
    sized_text(|buf, cap, len| import!(process::cwd(buf, cap, len)))
}

pub(crate) fn chdir(path: &str) -> Result<()> {
    check(import!(process::chdir(path.as_ptr(), len32(path.len()))))
}

pub(crate) fn dlopen(path: &str, flags: u32) -> Result<u32> {
    let [handle] = fill(|out| import!(process::dlopen(path.as_ptr(), len32(path.len()), flags, out)))?;
    Ok(handle)
}

pub(crate) fn dlsym(handle: u32, name: &str) -> Result<[u32; 2]> {
    fill(|out| import!(process::dlsym(handle, name.as_ptr(), len32(name.len()), out)))
}

pub(crate) fn dlclose(handle: u32) -> Result<()> {
    check(import!(process::dlclose(handle)))
}

pub(crate) fn print_warning(warning: &ErrorRecord) -> Result<()> {
    let warning = encode(warning)?;
    check(import!(process::print_warning(warning.as_ptr(), len32(warning.len()))))
}

/// The backtrace of the caller, without the frames of this crate that lead here.
pub(crate) fn stack() -> Result<String> {
    let stack = sized_text(|buf, cap, len| import!(process::stack(buf, cap, len)))?;
    let is_own = |line: &&str| {
        line.trim_start()
            .trim_start_matches("at <")
            .trim_start_matches("at ")
            .starts_with("nodule_sdk::")
    };
    Ok(stack.lines().skip_while(is_own).collect::<Vec<_>>().join("\n"))
}

pub(crate) fn kill(pid: i32, signal: i32) -> Result<()> {
    check(import!(process::kill(pid, signal)))
}

pub(crate) fn signal_listen(signal: i32) -> Result<()> {
    check(import!(process::signal_listen(signal)))
}

pub(crate) fn signal_unlisten(signal: i32) -> Result<()> {
    check(import!(process::signal_unlisten(signal)))
}

/// Returns only when aborting is refused.
pub(crate) fn abort() -> Result<()> {
    check(import!(process::abort()))
}

pub(crate) fn exit(code: i64) -> ! {
    let _: u32 = import!(process::exit(code));
    trap()
}

/// Leaves the record of a panic with the host, which pairs it with the trap that follows.
pub(super) fn panic(record: &ErrorRecord) {
    if let Ok(record) = encode(record) {
        // A refusal changes nothing: the trap is then reported as `unreachable`.
        let _: u32 = import!(process::panic(record.as_ptr(), len32(record.len())));
    }
}

/// Raises an error as uncaught. The frames of the caller are gone when the host goes on.
pub(crate) fn uncaught(record: &ErrorRecord, origin: Origin) -> ! {
    let raise = |record: &ErrorRecord| {
        if let Ok(record) = encode(record) {
            let _: u32 = import!(process::uncaught(record.as_ptr(), len32(record.len()), origin as u32));
        }
    };
    raise(record);
    // The host did not take it: a value of the guest's in it is too large or too deep.
    raise(&ErrorRecord::of(ErrorCode::WorkerUnserializableError));
    trap()
}

pub(crate) fn umask(mask: u32) -> Result<u32> {
    let [old] = fill(|out| import!(process::umask(mask, out)))?;
    Ok(old)
}

/// Returns only on failure.
pub(crate) fn execve(arguments: &impl Serialize) -> Result<()> {
    let arguments = encode(arguments)?;
    check(import!(process::execve(arguments.as_ptr(), len32(arguments.len()))))
}

pub(crate) fn load_env_file(path: &str) -> Result<()> {
    check(import!(process::load_env_file(path.as_ptr(), len32(path.len()))))?;
    update_std_env()
}

/// An optional text as the ABI passes it: address 0 for none.
fn optional(text: Option<&[u8]>) -> (*const u8, u32) {
    text.map_or((core::ptr::null(), 0), |text| (text.as_ptr(), len32(text.len())))
}

pub(crate) fn permission_has(scope: &str, reference: Option<&[u8]>) -> Result<bool> {
    let (reference, reference_len) = optional(reference);
    let [granted] = fill(|out: *mut u32| {
        import!(process::permission_has(
            scope.as_ptr(),
            len32(scope.len()),
            reference,
            reference_len,
            out
        ))
    })?;
    Ok(granted != 0)
}

pub(crate) fn permission_drop(scope: &str, reference: Option<&[u8]>) -> Result<()> {
    let (reference, reference_len) = optional(reference);
    check(import!(process::permission_drop(
        scope.as_ptr(),
        len32(scope.len()),
        reference,
        reference_len
    )))
}

pub(crate) fn get_report(error: Option<&ErrorRecord>) -> Result<String> {
    let error = error.map(encode).transpose()?.unwrap_or_default();
    sized_text(|buf, cap, len| import!(process::get_report(error.as_ptr(), len32(error.len()), buf, cap, len)))
}

/// Not repeated for a longer name: a second call would write a second report.
pub(crate) fn write_report(filename: &str, error: Option<&ErrorRecord>) -> Result<String> {
    let error = error.map(encode).transpose()?.unwrap_or_default();
    let mut name = vec![0; nodule_abi::limits::PATH_BYTES_MAX as usize];
    let mut len = 0;
    check(import!(process::write_report(
        filename.as_ptr(),
        len32(filename.len()),
        error.as_ptr(),
        len32(error.len()),
        name.as_mut_ptr(),
        len32(name.len()),
        &mut len,
    )))?;
    name.truncate(len as usize);
    Ok(String::from_utf8(name)?)
}

pub(crate) fn get_active_resources_info() -> Result<Vec<String>> {
    sized_value(|buf, cap, len| import!(process::get_active_resources_info(buf, cap, len)))
}

pub(crate) fn get_builtin_module<T: DeserializeOwned>(id: &str) -> Result<Option<T>> {
    found(|missing| {
        let bytes = sized(|buf, cap, len| {
            let outcome = import!(process::get_builtin_module(id.as_ptr(), len32(id.len()), buf, cap, len));
            *missing = is(outcome, ErrorCode::Enoent);
            outcome
        })?;
        Ok(nodule_abi::value::from_slice(&bytes)?)
    })
}
