//! CPU profile: the call stack at ticks.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nodule_abi::error::{ErrorRecord, Result};
use wasmtime::{FrameInfo, StoreContextMut, WasmBacktrace};

use super::firefox;
use super::inspect::{inspect, too_many};
use super::stacks::{ROOT, Stacks};
use crate::runtime::{IsolateShared, IsolateState, TICK};

/// Profiles of one isolate that may run at once.
const PROFILES_MAX: usize = 16;
/// Most samples of a profile.
const SAMPLES_MAX: u32 = 1 << 19;
/// Sampling may take at most one in so many parts of the time.
const COST_SHARE: u32 = 4;

/// How a CPU profile is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuProfileOptions {
    /// Time between two samples. The engine's ticks come every millisecond; less than that is a sample each tick.
    /// Default: 0.
    pub sample_interval: Duration,
    /// Most samples; later ones are dropped. Default: 4,294,967,295, which is more than are kept (524,288).
    pub max_buffer_size: u32,
}

impl Default for CpuProfileOptions {
    fn default() -> Self {
        Self {
            sample_interval: Duration::ZERO,
            max_buffer_size: u32::MAX,
        }
    }
}

/// One sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Since the last sample.
    pub(super) time_us: u32,
    /// The stack; the root while the isolate waits.
    pub(super) stack: u32,
    /// Time since the last sample in which it did not wait.
    pub(super) busy_us: u32,
    /// How many intervals it stands for.
    pub(super) weight: u32,
}

/// An hour and more is cut.
fn us(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// A profile that is being taken.
pub(crate) struct Recording {
    state: Mutex<State>,
    /// Once it was asked for. Locked while it is made, which takes longer than an isolate should wait.
    text: Mutex<Option<Arc<str>>>,
}

struct State {
    options: CpuProfileOptions,
    stacks: Stacks,
    samples: Vec<Sample>,
    thread: String,
    start_unix: Duration,
    start: Instant,
    /// Up to here time is accounted for.
    last: Instant,
    last_sample: Instant,
    busy: Duration,
    idle: Duration,
    parked: bool,
    /// How long the last sample took.
    cost: Duration,
    end: Option<Instant>,
    last_pushed: Instant,
}

impl State {
    fn interval(&self) -> Duration {
        self.options.sample_interval.max(TICK)
    }

    /// Accounts for the time since the last call.
    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.last);
        self.last = now;
        if self.parked {
            self.idle += passed;
            if self.idle >= self.interval() {
                self.record_idle(now);
            }
        } else {
            self.busy += passed;
        }
    }

    fn record_idle(&mut self, now: Instant) {
        let intervals = self.idle.as_micros() / self.interval().as_micros().max(1);
        self.idle = Duration::ZERO;
        let weight = u32::try_from(intervals).unwrap_or(u32::MAX).max(1);
        self.push(now, ROOT, weight);
    }

    fn push(&mut self, now: Instant, stack: u32, weight: u32) {
        let max = self.options.max_buffer_size.min(SAMPLES_MAX) as usize;
        if self.samples.len() < max {
            let before = std::mem::replace(&mut self.last_pushed, now);
            self.samples.push(Sample {
                time_us: us(now.saturating_duration_since(before)),
                stack,
                busy_us: us(std::mem::take(&mut self.busy)),
                weight,
            });
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        // Ticks come a little early or late.
        let wanted = self.interval().saturating_sub(TICK / 2).max(self.cost * COST_SHARE);
        self.end.is_none() && now.saturating_duration_since(self.last_sample) >= wanted
    }

    fn add(&mut self, now: Instant, frames: &[FrameInfo], cost: Duration) {
        self.advance(now);
        let stack = self.stacks.node(frames);
        self.push(now, stack, 1);
        self.last_sample = now;
        self.cost = cost;
    }

    fn end(&mut self) {
        if self.end.is_none() {
            let now = Instant::now();
            self.advance(now);
            if !self.idle.is_zero() {
                self.record_idle(now);
            }
            self.end = Some(now);
        }
    }
}

impl Recording {
    fn new(options: CpuProfileOptions, thread: String, parked: bool) -> Self {
        let now = Instant::now();
        let state = State {
            options,
            stacks: Stacks::default(),
            samples: Vec::new(),
            thread,
            start_unix: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
            start: now,
            last: now,
            last_sample: now,
            busy: Duration::ZERO,
            idle: Duration::ZERO,
            parked,
            cost: Duration::ZERO,
            end: None,
            last_pushed: now,
        };
        Self {
            state: Mutex::new(state),
            text: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The isolate begins to wait.
    pub(super) fn park(&self, now: Instant) {
        let mut state = self.lock();
        state.advance(now);
        state.parked = true;
    }

    /// The isolate has waited.
    pub(super) fn unpark(&self, now: Instant) {
        let mut state = self.lock();
        state.advance(now);
        state.parked = false;
    }

    /// Ends it and gives its text.
    fn text(&self) -> Arc<str> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = &*text {
            return Arc::clone(text);
        }
        let recorded = {
            let mut state = self.lock();
            state.end();
            firefox::Recorded {
                thread: std::mem::take(&mut state.thread),
                start_unix: state.start_unix,
                length: state.last.saturating_duration_since(state.start),
                interval: state.interval(),
                stacks: std::mem::take(&mut state.stacks),
                samples: std::mem::take(&mut state.samples),
            }
        };
        Arc::clone(text.insert(firefox::to_json(&recorded).into()))
    }

    /// No samples from now on.
    pub(super) fn end(&self) {
        self.lock().end();
    }
}

/// Takes a sample for every profile that is due, at a tick.
pub(super) fn sample(context: &mut StoreContextMut<'_, IsolateState>) {
    let recordings = &mut context.data_mut().diagnostics.cpu;
    recordings.retain(|recording| recording.lock().end.is_none());
    let now = Instant::now();
    if !recordings.iter().any(|recording| recording.lock().is_due(now)) {
        return;
    }
    let backtrace = WasmBacktrace::force_capture(&*context);
    let cost = now.elapsed();
    for recording in &context.data().diagnostics.cpu {
        let mut state = recording.lock();
        if state.is_due(now) {
            state.add(now, backtrace.frames(), cost);
        }
    }
}

/// A CPU profile that is being taken. Dropping it stops it.
pub struct CpuProfile {
    recording: Arc<Recording>,
}

impl fmt::Debug for CpuProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpuProfile").finish_non_exhaustive()
    }
}

impl CpuProfile {
    /// Ends the profile and gives it in the format of the Firefox profiler (JSON). Repeating gives the same text.
    /// The end of the isolate ends the profile too; its text is then that of the time until there.
    ///
    /// # Errors
    /// None at present.
    pub async fn stop(&self) -> Result<String> {
        Ok(self.recording.text().to_string())
    }
}

impl Drop for CpuProfile {
    fn drop(&mut self) {
        self.recording.end();
    }
}

/// Starts a CPU profile at the isolate's next tick or wait.
///
/// Stacks have the youngest frames, as in error messages. Time in which the isolate waits in a host function counts as idle.
///
/// # Errors
/// `ERR_WORKER_NOT_RUNNING` when it has ended or ends before; `EAGAIN` when too many requests wait for it or too many
/// profiles of it run (16).
pub async fn start_cpu_profile(shared: &Arc<IsolateShared>, options: CpuProfileOptions) -> Result<CpuProfile> {
    inspect(shared, move |mut context| start(context.data_mut(), options)).await?
}

fn start(state: &mut IsolateState, options: CpuProfileOptions) -> std::result::Result<CpuProfile, Box<ErrorRecord>> {
    let diagnostics = &mut state.diagnostics;
    diagnostics.cpu.retain(|recording| recording.lock().end.is_none());
    if diagnostics.cpu.len() >= PROFILES_MAX {
        return Err(too_many("CPU profiles of the isolate"));
    }
    let thread = state.module.name().to_string();
    let recording = Arc::new(Recording::new(options, thread, diagnostics.parked));
    diagnostics.cpu.push(Arc::clone(&recording));
    Ok(CpuProfile { recording })
}
