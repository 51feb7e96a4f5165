//! The engine: how code is compiled and run, and the ticker that makes long computations yield.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::{Config, Engine, OptLevel, WasmBacktraceDetails};

/// Time between two ticks. A guest that computes gives way at every tick.
pub const TICK: Duration = Duration::from_millis(1);

/// Ticks without a running guest after which the ticker sleeps.
const IDLE_TICKS_MAX: u32 = 100;

/// Frames a backtrace keeps.
const BACKTRACE_FRAMES_MAX: usize = 24;

/// How much the compiler optimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Optimize {
    /// Compiles fastest.
    None,
    /// Runs fastest.
    #[default]
    Speed,
    /// Fast and small.
    SpeedAndSize,
}

/// Choices that hold for all modules and isolates of a [`crate::Host`].
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// How much the compiler optimises. Default: [`Optimize::Speed`].
    pub optimize: Optimize,
    /// Size of the wasm stack. Default: 1 MiB.
    pub max_stack_bytes: usize,
    /// Count instructions, so that [`crate::Limits::fuel`] works. Default: off, it slows code down.
    pub fuel: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            optimize: Optimize::default(),
            max_stack_bytes: 1 << 20,
            fuel: false,
        }
    }
}

/// Room a host function has on the fiber beside the wasm stack.
const HOST_STACK_BYTES: usize = 512 * 1024;

/// Builds the engine.
pub fn build(options: EngineOptions) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(options.fuel)
        .concurrency_support(false)
        .gc_support(false)
        // Windows of shared memory are mapped into linear memories; those must stay where they are.
        .memory_may_move(false)
        .wasm_threads(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES_MAX))
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .coredump_on_trap(true)
        .max_wasm_stack(options.max_stack_bytes)
        .async_stack_size(options.max_stack_bytes + HOST_STACK_BYTES)
        .cranelift_opt_level(match options.optimize {
            Optimize::None => OptLevel::None,
            Optimize::Speed => OptLevel::Speed,
            Optimize::SpeedAndSize => OptLevel::SpeedAndSize,
        });
    Engine::new(&config)
}

#[derive(Debug, Default)]
struct TickerShared {
    running: AtomicUsize,
    parked: AtomicBool,
    stopped: AtomicBool,
}

/// Advances the engine's epoch from a plain OS thread while any guest runs; sleeps while none does.
#[derive(Debug)]
pub struct Ticker {
    shared: Arc<TickerShared>,
    thread: Thread,
}

impl Ticker {
    /// Starts the thread. It ends when the ticker is dropped.
    pub fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(TickerShared::default());
        let ticker_shared = Arc::clone(&shared);
        let engine = engine.weak();
        let handle = std::thread::Builder::new()
            .name("nodule-ticker".into())
            .spawn(move || {
                let mut idle_ticks = 0;
                while !ticker_shared.stopped.load(Ordering::Acquire) {
                    if ticker_shared.running.load(Ordering::Acquire) > 0 {
                        idle_ticks = 0;
                    } else {
                        idle_ticks += 1;
                    }
                    if idle_ticks > IDLE_TICKS_MAX {
                        park(&ticker_shared);
                        idle_ticks = 0;
                        continue;
                    }
                    std::thread::park_timeout(TICK);
                    let Some(engine) = engine.upgrade() else { break };
                    engine.increment_epoch();
                }
            })?;
        Ok(Self {
            shared,
            thread: handle.thread().clone(),
        })
    }

    /// Counts a guest as running until the guard is dropped.
    pub fn enter(&self) -> RunningGuard<'_> {
        // SeqCst pairs with `park`: either the ticker sees the count, or this sees it parked.
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        RunningGuard { shared: &self.shared }
    }
}

fn park(shared: &TickerShared) {
    shared.parked.store(true, Ordering::SeqCst);
    while shared.running.load(Ordering::SeqCst) == 0 && !shared.stopped.load(Ordering::SeqCst) {
        std::thread::park();
    }
    shared.parked.store(false, Ordering::SeqCst);
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// See [`Ticker::enter`].
#[derive(Debug)]
pub struct RunningGuard<'a> {
    shared: &'a TickerShared,
}

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}
