//! `process.kill`.

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

use crate::child_process::Processes;
use crate::permissions::Permissions;

/// Sends `signal` to `pid` as `kill(2)` does; 0 only tests. The own process and its descendants need no grant. One of
/// `children` is reached by what stands for it, whoever may get its number.
pub fn kill(permissions: &Permissions, children: &Processes, pid: i32, signal: i32) -> Result<()> {
    if !(0..=64).contains(&signal) {
        return Err(ErrorRecord::system(ErrorCode::Einval, "kill").into());
    }
    if let Some(child) = u32::try_from(pid).ok().and_then(|pid| children.with_pid(pid)) {
        return child.kill(signal);
    }
    let target = permissions.check_signal(pid, is_descendant)?;
    let signal = (signal != 0).then_some(signal);
    send(target.pid(), signal).map_err(|errno| ErrorRecord::system(ErrorCode::from_errno(errno as i32), "kill").into())
}

fn send(pid: i32, signal: Option<i32>) -> nix::Result<()> {
    let signal = signal.map(nix::sys::signal::Signal::try_from).transpose()?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal)
}

/// Whether the process `pid` comes from this one.
fn is_descendant(mut pid: u32) -> bool {
    let own = std::process::id();
    // Bounded, should the process tree change under the walk.
    for _ in 0..256 {
        match parent_of(pid) {
            Some(parent) if parent == own => return true,
            Some(parent) if parent > 1 => pid = parent,
            _ => return false,
        }
    }
    false
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, also parentheses; the fields behind it do not.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}
