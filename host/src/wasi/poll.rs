//! Clocks and waiting.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as p1;

use super::errno::{Errno, Result, WasiError, check, respond};
use super::fd_table::Stream;
use super::scratch::{self, Scratch};
use super::{NAMESPACE, fds};
use crate::guest_memory;
use crate::process::usage;
use crate::runtime::{IsolateState, park};

/// Most subscriptions of one call.
const SUBSCRIPTIONS_MAX: u32 = 4096;

const SUBSCRIPTION_BYTES: usize = 48;
/// The same as a guest counts.
const GUEST_SUBSCRIPTION_BYTES: u32 = 48;
const _: () = assert!(GUEST_SUBSCRIPTION_BYTES as usize == SUBSCRIPTION_BYTES);
const EVENT_BYTES: usize = 32;

const EVENTTYPE_CLOCK: u8 = 0;
const EVENTTYPE_FD_READ: u8 = 1;
const EVENTTYPE_FD_WRITE: u8 = 2;

const CLOCK_REALTIME: u32 = 0;
const CLOCK_MONOTONIC: u32 = 1;
const CLOCK_PROCESS_CPUTIME: u32 = 2;
const CLOCK_THREAD_CPUTIME: u32 = 3;

const SUBCLOCKFLAG_ABSTIME: u16 = 1;
const EVENTRWFLAG_HANGUP: u16 = 1;

/// CPU time of an isolate is counted whenever it gives way, which it does at least at every tick.
const CPU_CLOCK_RESOLUTION_NS: u64 = 1_000_000;

/// Where a scratch memory has the size in a file's status.
const FILESTAT_SIZE_AT: usize = 32;
const FILESTAT_BYTES: usize = 64;

/// Registers the calls.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        NAMESPACE,
        "clock_res_get",
        |mut caller: Caller<'_, IsolateState>, clock: u32, out: u32| respond(clock_res_get(&mut caller, clock, out)),
    )?;
    linker.func_wrap(
        NAMESPACE,
        "clock_time_get",
        |mut caller: Caller<'_, IsolateState>, clock: u32, _precision: u64, out: u32| {
            respond(clock_time_get(&mut caller, clock, out))
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "poll_oneoff",
        |mut caller, (subscriptions, events, count, out): (u32, u32, u32, u32)| {
            Box::new(async move { respond(poll_oneoff(&mut caller, subscriptions, events, count, out).await) })
        },
    )?;
    Ok(())
}

fn clock_res_get(caller: &mut Caller<'_, IsolateState>, clock: u32, out: u32) -> Result<()> {
    let resolution = match clock {
        CLOCK_REALTIME | CLOCK_MONOTONIC => 1,
        CLOCK_PROCESS_CPUTIME | CLOCK_THREAD_CPUTIME => CPU_CLOCK_RESOLUTION_NS,
        _ => return Err(Errno::INVAL.into()),
    };
    Ok(guest_memory::write_u64s(caller, out, &[resolution])?)
}

fn clock_time_get(caller: &mut Caller<'_, IsolateState>, clock: u32, out: u32) -> Result<()> {
    let now = match clock {
        CLOCK_REALTIME => realtime_ns()?,
        CLOCK_MONOTONIC => usage::hrtime(),
        // An isolate is the process as far as its guest can see.
        CLOCK_PROCESS_CPUTIME | CLOCK_THREAD_CPUTIME => {
            let cpu = &caller.data().shared.cpu;
            cpu.count_running_turn();
            ns(cpu.total())?
        }
        _ => return Err(Errno::INVAL.into()),
    };
    Ok(guest_memory::write_u64s(caller, out, &[now])?)
}

fn ns(duration: Duration) -> Result<u64> {
    u64::try_from(duration.as_nanos()).map_err(|_| Errno::OVERFLOW.into())
}

fn realtime_ns() -> Result<u64> {
    ns(SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| Errno::OVERFLOW)?)
}

#[derive(Clone, Copy)]
enum Interest {
    /// Due at this time; `None` for one beyond all clocks.
    Clock(Option<Instant>),
    Read(u32),
    Write(u32),
    /// What is asked for does not exist.
    Invalid(u8, Errno),
}

#[derive(Clone, Copy)]
struct Subscription {
    userdata: u64,
    interest: Interest,
}

/// What came of a subscription.
#[derive(Clone, Copy)]
struct Ready {
    errno: Option<Errno>,
    bytes: u64,
    flags: u16,
}

impl Ready {
    const fn with_bytes(bytes: u64, flags: u16) -> Self {
        Self {
            errno: None,
            bytes,
            flags,
        }
    }

    fn failed(error: WasiError) -> Result<Self> {
        match error {
            WasiError::Errno(errno) => Ok(Self {
                errno: Some(errno),
                bytes: 0,
                flags: 0,
            }),
            WasiError::Trap(_) => Err(error),
        }
    }

    fn event(self, subscription: &Subscription) -> [u8; EVENT_BYTES] {
        let kind = match subscription.interest {
            Interest::Clock(_) => EVENTTYPE_CLOCK,
            Interest::Read(_) => EVENTTYPE_FD_READ,
            Interest::Write(_) => EVENTTYPE_FD_WRITE,
            Interest::Invalid(kind, _) => kind,
        };
        let mut bytes = [0; EVENT_BYTES];
        bytes[..8].copy_from_slice(&subscription.userdata.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.errno.map_or(0, Errno::number).to_le_bytes());
        bytes[10] = kind;
        bytes[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[24..26].copy_from_slice(&self.flags.to_le_bytes());
        bytes
    }
}

impl Subscription {
    fn decode(bytes: &[u8; SUBSCRIPTION_BYTES], now: Instant) -> Result<Self> {
        let u64_at = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let u32_at = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let flags = u16::from_le_bytes([bytes[40], bytes[41]]);
        let interest = match bytes[8] {
            EVENTTYPE_CLOCK => match due(u32_at(16), u64_at(24), flags, now) {
                Ok(due) => Interest::Clock(due),
                Err(WasiError::Errno(errno)) => Interest::Invalid(EVENTTYPE_CLOCK, errno),
                Err(trap) => return Err(trap),
            },
            EVENTTYPE_FD_READ => Interest::Read(u32_at(16)),
            EVENTTYPE_FD_WRITE => Interest::Write(u32_at(16)),
            _ => return Err(Errno::INVAL.into()),
        };
        Ok(Self {
            userdata: u64_at(0),
            interest,
        })
    }
}

/// When a clock subscription is due.
fn due(clock: u32, timeout_ns: u64, flags: u16, now: Instant) -> Result<Option<Instant>> {
    let absolute = match flags {
        0 => false,
        SUBCLOCKFLAG_ABSTIME => true,
        _ => return Err(Errno::INVAL.into()),
    };
    let left = match (clock, absolute) {
        (CLOCK_REALTIME | CLOCK_MONOTONIC, false) => timeout_ns,
        (CLOCK_REALTIME, true) => timeout_ns.saturating_sub(realtime_ns()?),
        (CLOCK_MONOTONIC, true) => timeout_ns.saturating_sub(usage::hrtime()),
        (CLOCK_PROCESS_CPUTIME | CLOCK_THREAD_CPUTIME, _) => return Err(Errno::NOTSUP.into()),
        _ => return Err(Errno::INVAL.into()),
    };
    Ok(now.checked_add(Duration::from_nanos(left)))
}

async fn poll_oneoff(
    caller: &mut Caller<'_, IsolateState>,
    subscriptions: u32,
    events: u32,
    count: u32,
    out: u32,
) -> Result<()> {
    if count == 0 || count > SUBSCRIPTIONS_MAX {
        return Err(Errno::INVAL.into());
    }
    guest_memory::check_writable(caller, out, 4)?;
    guest_memory::check_writable(caller, events, count as usize * EVENT_BYTES)?;
    let len = count * GUEST_SUBSCRIPTION_BYTES;
    let bytes = guest_memory::read_bytes(caller, subscriptions, len, len)?;
    let now = Instant::now();
    let (subscriptions, _) = bytes.as_chunks::<SUBSCRIPTION_BYTES>();
    let subscriptions = subscriptions
        .iter()
        .map(|bytes| Subscription::decode(bytes, now))
        .collect::<Result<Vec<_>>>()?;
    let mut ready = collect(caller, &subscriptions, now, None).await?;
    if ready.is_empty() {
        let stdin = wait(caller, &subscriptions).await?;
        ready = collect(caller, &subscriptions, Instant::now(), stdin).await?;
    }
    guest_memory::write_bytes(caller, events, ready.as_flattened())?;
    let count = u32::try_from(ready.len()).map_err(|_| Errno::OVERFLOW)?;
    Ok(guest_memory::write_u32(caller, out, count)?)
}

/// Waits until the first clock is due or standard input can be read, whose readiness is given.
async fn wait(
    caller: &mut Caller<'_, IsolateState>,
    subscriptions: &[Subscription],
) -> Result<Option<std::io::Result<u64>>> {
    let first = subscriptions
        .iter()
        .filter_map(|subscription| match subscription.interest {
            Interest::Clock(due) => due,
            Interest::Read(_) | Interest::Write(_) | Interest::Invalid(..) => None,
        })
        .min();
    let reads_stdin = subscriptions.iter().any(|subscription| match subscription.interest {
        Interest::Read(fd) => fds(caller).stream(fd) == Some(Stream::Stdin),
        Interest::Clock(_) | Interest::Write(_) | Interest::Invalid(..) => false,
    });
    let stdin = caller.data().stdio.stdin.stream.share();
    let clock = async {
        match first {
            Some(first) => tokio::time::sleep_until(first.into()).await,
            None => std::future::pending().await,
        }
    };
    let input = async {
        match reads_stdin {
            true => stdin.ready().await,
            false => std::future::pending().await,
        }
    };
    let first = async {
        tokio::select! {
            biased;
            result = input => Some(result),
            () = clock => None,
        }
    };
    Ok(park(caller, first).await?)
}

/// The events of all that is ready by `now`.
async fn collect(
    caller: &mut Caller<'_, IsolateState>,
    subscriptions: &[Subscription],
    now: Instant,
    mut stdin: Option<std::io::Result<u64>>,
) -> Result<Vec<[u8; EVENT_BYTES]>> {
    let mut events = Vec::new();
    for subscription in subscriptions {
        let ready = match subscription.interest {
            Interest::Clock(due) => due.filter(|due| *due <= now).map(|_| Ready::with_bytes(0, 0)),
            Interest::Invalid(_, errno) => Some(Ready {
                errno: Some(errno),
                bytes: 0,
                flags: 0,
            }),
            Interest::Read(fd) => match fds(caller).stream(fd) {
                Some(Stream::Stdin) => {
                    if stdin.is_none() {
                        stdin = caller.data().stdio.stdin.stream.ready_now();
                    }
                    stdin.as_ref().map(stdin_ready)
                }
                Some(Stream::Stdout | Stream::Stderr) => Some(Ready::failed(Errno::BADF.into())?),
                None => Some(file_left(caller, fd).await.or_else(Ready::failed)?),
            },
            Interest::Write(fd) => match fds(caller).stream(fd) {
                Some(Stream::Stdin) => Some(Ready::failed(Errno::BADF.into())?),
                Some(Stream::Stdout | Stream::Stderr) => Some(Ready::with_bytes(1, 0)),
                None => Some(
                    file_position(caller, fd)
                        .map(|_| Ready::with_bytes(1, 0))
                        .or_else(Ready::failed)?,
                ),
            },
        };
        events.extend(ready.map(|ready| ready.event(subscription)));
    }
    Ok(events)
}

fn stdin_ready(result: &std::io::Result<u64>) -> Ready {
    match result {
        Ok(0) => Ready::with_bytes(0, EVENTRWFLAG_HANGUP),
        Ok(bytes) => Ready::with_bytes(*bytes, 0),
        Err(error) => Ready {
            errno: Some(Errno::from_io(error)),
            bytes: 0,
            flags: 0,
        },
    }
}

/// The position of an open file; `BADF` for all else.
fn file_position(caller: &mut Caller<'_, IsolateState>, fd: u32) -> Result<u64> {
    let mut scratch = Scratch::new(8);
    check(p1::fd_tell(
        scratch::context(caller),
        &mut scratch.memory(),
        fd.cast_signed(),
        0,
    ))?;
    Ok(scratch.u64(0))
}

/// An open file can always be read; how much is left of it.
async fn file_left(caller: &mut Caller<'_, IsolateState>, fd: u32) -> Result<Ready> {
    let position = file_position(caller, fd)?;
    let mut scratch = Scratch::new(FILESTAT_BYTES);
    check(p1::fd_filestat_get(scratch::context(caller), &mut scratch.memory(), fd.cast_signed(), 0).await)?;
    let left = scratch.u64(FILESTAT_SIZE_AT).saturating_sub(position);
    Ok(Ready::with_bytes(left, if left == 0 { EVENTRWFLAG_HANGUP } else { 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: u64 = 3_600_000_000_000;

    fn left(clock: u32, timeout_ns: u64, flags: u16) -> Duration {
        let now = Instant::now();
        due(clock, timeout_ns, flags, now)
            .unwrap_or_else(|_| panic!("refused"))
            .unwrap()
            .duration_since(now)
    }

    #[test]
    fn clocks_are_relative_or_absolute() {
        assert_eq!(left(CLOCK_MONOTONIC, 5, 0), Duration::from_nanos(5));
        assert_eq!(left(CLOCK_MONOTONIC, 5, SUBCLOCKFLAG_ABSTIME), Duration::ZERO);
        for (clock, now) in [
            (CLOCK_MONOTONIC, usage::hrtime()),
            (CLOCK_REALTIME, realtime_ns().unwrap_or(0)),
        ] {
            let left = left(clock, now + HOUR_NS, SUBCLOCKFLAG_ABSTIME);
            assert!(
                left <= Duration::from_nanos(HOUR_NS) && left > Duration::from_nanos(HOUR_NS - 1_000_000_000),
                "{left:?}"
            );
        }
    }

    #[test]
    fn what_no_clock_has_is_an_error_of_its_event() {
        for (clock, flags) in [(CLOCK_PROCESS_CPUTIME, 0), (9, 0), (CLOCK_MONOTONIC, 2)] {
            assert!(
                matches!(due(clock, 0, flags, Instant::now()), Err(WasiError::Errno(_))),
                "{clock} {flags}"
            );
        }
        let mut bytes = [0; SUBSCRIPTION_BYTES];
        bytes[0] = 7;
        bytes[16] = 9;
        let subscription = Subscription::decode(&bytes, Instant::now()).unwrap_or_else(|_| panic!("refused"));
        assert!(matches!(
            subscription.interest,
            Interest::Invalid(EVENTTYPE_CLOCK, Errno::INVAL)
        ));
        assert_eq!(subscription.userdata, 7);
        bytes[8] = 3;
        assert!(Subscription::decode(&bytes, Instant::now()).is_err());
    }
}
