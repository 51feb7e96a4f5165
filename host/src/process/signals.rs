//! Signals as events. One isolate of a process receives them: the main one.
//!
//! The handler does what is allowed in one: it writes the signal's number into a pipe. A task of the
//! listening isolate reads the pipe, so every delivery the kernel makes becomes one record, in order.
//!
//! SIGSEGV, SIGBUS, SIGFPE and SIGILL also belong to the wasm engine: a real fault is passed on to the handler
//! that was there before, only one sent by `kill(2)` becomes an event.
#![allow(unsafe_code, reason = "sigaction and the handler itself")]

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::signal::{self, SIGBREAK};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::unix::AsyncFd;

use crate::spawn_tied::Tied;

/// One more than the highest signal number with a name.
const SIGNALS: usize = 32;

/// The pipe. Never closed: a handler may write to it at any time.
static PIPE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();

/// Whether a listener reads the pipe.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// What was installed before us, by signal; a leaked box each, because a handler may still read it.
static PREVIOUS: [AtomicPtr<libc::sigaction>; SIGNALS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; SIGNALS];

extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler installed with SA_SIGINFO.
    let sent_by_process = unsafe { (*info).si_code } <= 0;
    if !sent_by_process && is_fault(signal) {
        pass_on(signal, info, context);
        return;
    }
    let Ok(byte) = u8::try_from(signal) else { return };
    let Some((_, write)) = PIPE.get() else { return };
    // SAFETY: reading and restoring errno, and write(2), are allowed in a handler; the pipe is open for good and
    // non-blocking. A full pipe drops the delivery.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(write.as_raw_fd(), std::ptr::from_ref(&byte).cast(), 1);
        *libc::__errno_location() = errno;
    }
}

/// A fault of the process itself goes to the handler that was there before.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let previous = usize::try_from(signal).ok().and_then(|index| PREVIOUS.get(index));
    let previous = previous.map_or(std::ptr::null_mut(), |previous| previous.load(Ordering::Acquire));
    // SAFETY: non-null entries are leaked boxes.
    let previous = unsafe { previous.as_ref() };
    match previous {
        Some(action) if action.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: SA_SIGINFO says that the handler has this signature.
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(action.sa_sigaction) };
            handler(signal, info, context);
        }
        _ => {
            // SAFETY: resetting to the default action is allowed in a handler; the fault then repeats and ends us.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

/// The signals that a fault of the process itself raises.
const FAULTS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];

fn is_fault(signal: libc::c_int) -> bool {
    FAULTS.contains(&signal)
}

fn install(signal: i32) -> io::Result<()> {
    let index = usize::try_from(signal).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let slot = PREVIOUS
        .get(index)
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: an all-zero sigaction is a valid value to fill.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut previous: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // Handlers must not nest: alternate stacks are small, and three frames with all vector registers overflow one.
    // Faults stay deliverable, because the kernel ends a process whose fault is blocked.
    // SAFETY: the mask is part of a valid sigaction.
    unsafe {
        libc::sigfillset(&raw mut action.sa_mask);
        for fault in FAULTS {
            libc::sigdelset(&raw mut action.sa_mask, fault);
        }
    }
    // SAFETY: both point to valid values; the handler only does what signal-safety(7) allows.
    if unsafe { libc::sigaction(signal, &raw const action, &raw mut previous) } != 0 {
        return Err(io::Error::last_os_error());
    }
    slot.store(Box::into_raw(Box::new(previous)), Ordering::Release);
    Ok(())
}

fn restore(signal: i32) {
    let Some(slot) = usize::try_from(signal).ok().and_then(|index| PREVIOUS.get(index)) else {
        return;
    };
    let previous = slot.load(Ordering::Acquire);
    if !previous.is_null() {
        // SAFETY: a leaked box that `install` stored; it was the process's own action.
        unsafe { libc::sigaction(signal, previous, std::ptr::null_mut()) };
    }
}

/// Ends the process by `signal`, as if it had never been handled.
pub fn die_by(signal: i32) -> ! {
    // SAFETY: plain calls of the C library with a signal number.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    // Reached only for a signal whose default action does not end a process, or one that is blocked.
    std::process::exit(128 + signal)
}

extern "C" fn do_nothing(_: libc::c_int) {}

/// Makes `signal` harmless. Unlike an ignored one, it is at its default again in programs started from here.
pub fn neutralise(signal: i32) {
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(signal, do_nothing as *const () as usize) };
}

/// What is done with a delivery.
type Deliver = Box<dyn Fn(i32) + Send + Sync>;

/// The signals one isolate listens for. Dropping it restores the actions that were there before.
pub struct SignalListener {
    shared: Arc<Shared>,
    /// The task that reads the pipe; starts with the first signal.
    reader: Option<Tied>,
}

struct Shared {
    deliver: Deliver,
    /// By signal: who asked for it.
    listening: Mutex<HashMap<i32, Wanted>>,
}

/// Who wants a signal.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Wanted {
    guest: bool,
    host: bool,
}

impl std::fmt::Debug for SignalListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignalListener")
            .field("running", &self.reader.is_some())
            .finish_non_exhaustive()
    }
}

/// Whether the guest or the host itself listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A listener of the guest.
    Guest,
    /// The host, for its own default action (report, core dump).
    Host,
}

impl SignalListener {
    /// `on_guest` gets the signals that the guest listens for, `on_host` those that only the host does.
    pub fn new(on_guest: impl Fn(i32) + Send + Sync + 'static, on_host: impl Fn(i32) + Send + Sync + 'static) -> Self {
        let shared = Arc::new_cyclic(|weak: &std::sync::Weak<Shared>| {
            let weak = weak.clone();
            let deliver = move |signal: i32| {
                let wanted = weak.upgrade().map(|shared| shared.wanted(signal)).unwrap_or_default();
                if wanted.guest {
                    on_guest(signal);
                } else if wanted.host {
                    on_host(signal);
                }
            };
            Shared {
                deliver: Box::new(deliver),
                listening: Mutex::default(),
            }
        });
        Self { shared, reader: None }
    }

    /// Starts to listen. `EINVAL` for SIGKILL, SIGSTOP and unknown numbers; `SIGBREAK` is accepted and never fires.
    pub fn listen(&mut self, signal: i32, side: Side) -> Result<()> {
        if signal == SIGBREAK {
            return Ok(());
        }
        if signal::name(signal).is_none() || matches!(signal, libc::SIGKILL | libc::SIGSTOP) {
            return Err(ErrorRecord::system(ErrorCode::Einval, "signal").into());
        }
        let failed = |error: io::Error| {
            ErrorRecord::system(
                ErrorCode::from_errno(error.raw_os_error().unwrap_or(libc::EIO)),
                "signal",
            )
        };
        self.start_reader().map_err(failed)?;
        let mut listening = self.shared.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = listening.entry(signal).or_default();
        if *wanted == Wanted::default() {
            install(signal).map_err(failed)?;
        }
        match side {
            Side::Guest => wanted.guest = true,
            Side::Host => wanted.host = true,
        }
        Ok(())
    }

    /// Stops to listen; the last one restores the previous action.
    pub fn unlisten(&mut self, signal: i32, side: Side) {
        let mut listening = self.shared.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(wanted) = listening.get_mut(&signal) else {
            return;
        };
        match side {
            Side::Guest => wanted.guest = false,
            Side::Host => wanted.host = false,
        }
        if *wanted == Wanted::default() {
            listening.remove(&signal);
            restore(signal);
        }
    }

    fn start_reader(&mut self) -> io::Result<()> {
        if self.reader.is_some() {
            return Ok(());
        }
        if LISTENING.swap(true, Ordering::AcqRel) {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        // SAFETY: the pipe is an owned fd that lives as long as the registration.
        let read = match open_pipe().and_then(|pipe| unsafe { AsyncFd::register(pipe) }.map_err(io::Error::from)) {
            Ok(read) => read,
            Err(error) => {
                LISTENING.store(false, Ordering::Release);
                return Err(error);
            }
        };
        let shared = Arc::clone(&self.shared);
        self.reader = Some(Tied::spawn(async move {
            let mut bytes = [0; 64];
            while let Ok(mut ready) = read.readable().await {
                match rustix::io::read(read.get_ref(), &mut bytes) {
                    Ok(0) => break,
                    Ok(count) => bytes[..count]
                        .iter()
                        .for_each(|signal| (shared.deliver)(i32::from(*signal))),
                    Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => break,
                }
            }
        }));
        Ok(())
    }
}

impl Shared {
    fn wanted(&self, signal: i32) -> Wanted {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        listening.get(&signal).copied().unwrap_or_default()
    }
}

/// The read end of the pipe, for one listener; empty.
fn open_pipe() -> io::Result<OwnedFd> {
    if PIPE.get().is_none() {
        let pair = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Only one listener exists at a time, so nobody else set it meanwhile.
        let _ = PIPE.set(pair);
    }
    let (read, _) = PIPE.get().ok_or_else(|| io::Error::from_raw_os_error(libc::EIO))?;
    let mut stale = [0; 64];
    while rustix::io::read(read, &mut stale).is_ok_and(|count| count > 0) {}
    read.try_clone()
}

impl Drop for SignalListener {
    fn drop(&mut self) {
        let mut listening = self.shared.listening.lock().unwrap_or_else(PoisonError::into_inner);
        for (signal, _) in listening.drain() {
            restore(signal);
        }
        if self.reader.is_some() {
            LISTENING.store(false, Ordering::Release);
        }
    }
}
