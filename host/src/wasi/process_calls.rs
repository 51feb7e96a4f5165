//! Exit, signals, turns and randomness.

use nix::sys::signal::{Signal, raise};
use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as p1;

use super::NAMESPACE;
use super::errno::{Errno, Result, check, respond};
use super::scratch::{self, Scratch};
use crate::guest_memory;
use crate::process::end::ExitRequest;
use crate::runtime::{IsolateRole, IsolateState};

/// Random bytes made between two turns of other isolates.
const RANDOM_PIECE_BYTES: u32 = 64 * 1024;

/// Registers the calls.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    // Any number: `wasmtime_wasi` refuses 126 and more, but a guest that was told of a signal ends with 128 and more.
    linker.func_wrap(NAMESPACE, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        Err(ExitRequest(i64::from(code)).into())
    })?;
    linker.func_wrap(
        NAMESPACE,
        "proc_raise",
        |caller: Caller<'_, IsolateState>, signal: u32| respond(proc_raise(&caller, signal)),
    )?;
    linker.func_wrap_async(NAMESPACE, "sched_yield", |_: Caller<'_, IsolateState>, (): ()| {
        Box::new(async {
            tokio::task::yield_now().await;
            0_u32
        })
    })?;
    linker.func_wrap_async(NAMESPACE, "random_get", |mut caller, (buf, len): (u32, u32)| {
        Box::new(async move { respond(random_get(&mut caller, buf, len).await) })
    })?;
    Ok(())
}

/// The signals of WASI by number; 0 is none.
const SIGNALS: [Signal; 30] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGKILL,
    Signal::SIGUSR1,
    Signal::SIGSEGV,
    Signal::SIGUSR2,
    Signal::SIGPIPE,
    Signal::SIGALRM,
    Signal::SIGTERM,
    Signal::SIGCHLD,
    Signal::SIGCONT,
    Signal::SIGSTOP,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGURG,
    Signal::SIGXCPU,
    Signal::SIGXFSZ,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGWINCH,
    Signal::SIGIO,
    Signal::SIGPWR,
    Signal::SIGSYS,
];

/// Raises a signal in the process, which only the isolate that is the process may do.
fn proc_raise(caller: &Caller<'_, IsolateState>, signal: u32) -> Result<()> {
    let index = usize::try_from(signal).map_err(|_| Errno::INVAL)?;
    let signal = match index.checked_sub(1).map(|index| SIGNALS.get(index)) {
        None => return Ok(()),
        Some(None) => return Err(Errno::INVAL.into()),
        Some(Some(signal)) => *signal,
    };
    match caller.data().role {
        IsolateRole::Embedded | IsolateRole::Worker => Err(Errno::NOTSUP.into()),
        // To this OS thread, so that a signal that ends the process does so before the guest goes on.
        IsolateRole::Main => raise(signal).map_err(|_| Errno::INVAL.into()),
    }
}

async fn random_get(caller: &mut Caller<'_, IsolateState>, buf: u32, len: u32) -> Result<()> {
    guest_memory::check_writable(caller, buf, len as usize)?;
    let mut done = 0;
    while done < len {
        let piece = (len - done).min(RANDOM_PIECE_BYTES);
        let mut scratch = Scratch::new(piece as usize);
        check(p1::random_get(
            scratch::context(caller),
            &mut scratch.memory(),
            0,
            piece.cast_signed(),
        ))?;
        guest_memory::write_bytes(caller, buf + done, scratch.bytes())?;
        done += piece;
        if done < len {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi::p1::types;

    use super::*;

    #[test]
    fn signals_stand_at_the_numbers_of_the_interface() {
        for (signal, named) in [
            (Signal::SIGHUP, types::Signal::Hup),
            (Signal::SIGKILL, types::Signal::Kill),
            (Signal::SIGTERM, types::Signal::Term),
            (Signal::SIGCHLD, types::Signal::Chld),
            (Signal::SIGWINCH, types::Signal::Winch),
            (Signal::SIGIO, types::Signal::Poll),
            (Signal::SIGSYS, types::Signal::Sys),
        ] {
            assert_eq!(SIGNALS[named as usize - 1], signal);
        }
    }
}
