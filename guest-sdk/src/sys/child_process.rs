//! Imports of the area `child_process`.

use nodule_abi::error::{ErrorCode, ErrorRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{check, encode, fill, import, is, len32, sized_value};
use crate::error::Result;

/// What the host answers to a new child.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub child: u32,
    /// 0 when it did not start.
    pub pid: u32,
    /// 0 for none.
    pub channel: u32,
    /// An entry a descriptor of the child: handles to read from and to write to, 0 for none.
    pub stdio: Vec<[u32; 2]>,
}

/// Starts a process that has `stdio_len` entries of `stdio`.
pub(crate) fn spawn(options: &impl Serialize, stdio_len: usize) -> Result<Spawned> {
    let options = encode(options)?;
    let mut stdio = vec![[0; 2]; stdio_len];
    let [child, pid, channel] = fill(|out| {
        import!(child_process::spawn(
            options.as_ptr(),
            len32(options.len()),
            stdio.as_mut_ptr().cast::<u32>(),
            len32(stdio.len()),
            out
        ))
    })?;
    Ok(Spawned {
        child,
        pid,
        channel,
        stdio,
    })
}

/// Why a child did not start.
pub(crate) fn start_error(child: u32) -> Result<ErrorRecord> {
    sized_value(|buf, cap, len| import!(child_process::start_error(child, buf, cap, len)))
}

/// What a child was started as.
pub(crate) fn start_facts<T: DeserializeOwned>(child: u32) -> Result<T> {
    sized_value(|buf, cap, len| import!(child_process::start_facts(child, buf, cap, len)))
}

/// Sends a signal; gives `false` when the child has ended.
pub(crate) fn kill(child: u32, signal: i32) -> Result<bool> {
    let outcome = import!(child_process::kill(child, signal));
    if is(outcome, ErrorCode::Esrch) {
        return Ok(false);
    }
    check(outcome).map(|()| true)
}

/// Sends a signal to the child and all below it; gives how many got it, none when the child has ended. `grace_ms` < 0 for
/// none.
pub(crate) fn kill_tree(child: u32, signal: i32, grace_ms: f64) -> Result<u32> {
    let mut count = 0;
    let outcome = import!(child_process::kill_tree(child, signal, grace_ms, &mut count));
    if is(outcome, ErrorCode::Esrch) {
        return Ok(0);
    }
    check(outcome).map(|()| count)
}

/// Says that there is no input.
const NO_INPUT: u32 = u32::MAX;

/// Runs a process to its end; gives the handle of the result.
pub(crate) fn spawn_sync(options: &impl Serialize, input: Option<&[u8]>) -> Result<u32> {
    let options = encode(options)?;
    let (input, input_len) = input.map_or((core::ptr::null(), NO_INPUT), |input| {
        (input.as_ptr(), len32(input.len()))
    });
    let [result] = fill(|out| {
        import!(child_process::spawn_sync(
            options.as_ptr(),
            len32(options.len()),
            input,
            input_len,
            out
        ))
    })?;
    Ok(result)
}

/// The result behind a handle of [`spawn_sync`].
pub(crate) fn sync_result<T: DeserializeOwned>(result: u32) -> Result<T> {
    sized_value(|buf, cap, len| import!(child_process::sync_result(result, buf, cap, len)))
}
