//! The engine: how code is compiled and run, and the ticker that makes long computations yield.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::{Config, Engine, EngineWeak, OptLevel, WasmBacktraceDetails};

use super::stacks::{StackPool, Stacks};

/// Time between two ticks. A guest that computes gives way at every tick.
pub const TICK: Duration = Duration::from_millis(1);

/// Ticks without a running guest after which the ticker sleeps.
const IDLE_TICKS_MAX: u32 = 100;

/// Frames a backtrace keeps.
const BACKTRACE_FRAMES_MAX: usize = 24;

/// How much the compiler optimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Sizes of the wasm stack of sibling engines ([`crate::Host::sibling`]).
pub const STACK_CLASSES_BYTES: [usize; 7] = [1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24];

/// The smallest class with room for `bytes`; the largest one for more than that.
pub fn stack_class(bytes: usize) -> usize {
    let [.., largest] = STACK_CLASSES_BYTES;
    let mut classes = STACK_CLASSES_BYTES.into_iter();
    classes.find(|class| *class >= bytes).unwrap_or(largest)
}

/// Room a host function has on the fiber beside the wasm stack.
const HOST_STACK_BYTES: usize = 512 * 1024;

/// Builds the engine.
pub fn build(options: EngineOptions) -> wasmtime::Result<Engine> {
    let stack_bytes = options.max_stack_bytes + HOST_STACK_BYTES;
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
        .async_stack_size(stack_bytes)
        .with_host_stack(Arc::new(Stacks(Arc::new(StackPool::new(stack_bytes)))))
        .cranelift_opt_level(match options.optimize {
            Optimize::None => OptLevel::None,
            Optimize::Speed => OptLevel::Speed,
            Optimize::SpeedAndSize => OptLevel::SpeedAndSize,
        });
    Engine::new(&config)
}

/// Places where running guests are counted: threads of an executor mostly have one each, so that they do not
/// contend for it.
const PLACES: usize = 16;

/// A cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Place(AtomicUsize);

#[derive(Default)]
struct TickerShared {
    running: [Place; PLACES],
    parked: AtomicBool,
    stopped: AtomicBool,
    engines: Mutex<Vec<EngineWeak>>,
}

impl TickerShared {
    fn is_running(&self) -> bool {
        self.running.iter().any(|place| place.0.load(Ordering::SeqCst) > 0)
    }

    fn tick(&self) {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.retain(|engine| match engine.upgrade() {
            Some(engine) => {
                engine.increment_epoch();
                true
            }
            None => false,
        });
    }
}

/// Advances the epoch of engines from a plain OS thread while any guest runs; sleeps while none does.
pub struct Ticker {
    shared: Arc<TickerShared>,
    thread: Thread,
}

impl Ticker {
    /// Starts the thread. It ends when the ticker is dropped.
    pub fn start() -> std::io::Result<Self> {
        let shared = Arc::new(TickerShared::default());
        let ticker_shared = Arc::clone(&shared);
        let handle = std::thread::Builder::new()
            .name("nodule-ticker".into())
            .spawn(move || {
                let mut idle_ticks = 0;
                while !ticker_shared.stopped.load(Ordering::Acquire) {
                    if ticker_shared.is_running() {
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
                    ticker_shared.tick();
                }
            })?;
        Ok(Self {
            shared,
            thread: handle.thread().clone(),
        })
    }

    /// Ticks this engine from now on, for as long as it exists.
    pub fn serve(&self, engine: &Engine) {
        let mut engines = self.shared.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.push(engine.weak());
    }

    /// Counts a guest as running until the guard is dropped.
    pub fn enter(&self) -> RunningGuard<'_> {
        let place = &self.shared.running[own_place()].0;
        // SeqCst pairs with `park`: either the ticker sees the count, or this sees it parked.
        place.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        RunningGuard { place }
    }
}

/// The place of the calling thread.
fn own_place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % PLACES);
    }
    PLACE.get()
}

fn park(shared: &TickerShared) {
    shared.parked.store(true, Ordering::SeqCst);
    while !shared.is_running() && !shared.stopped.load(Ordering::SeqCst) {
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
    place: &'a AtomicUsize,
}

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        self.place.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_rounded_up_to_a_class() {
        for (wanted, class) in [
            (0, 1 << 18),
            (1 << 18, 1 << 18),
            ((1 << 18) + 1, 1 << 19),
            (3 << 20, 4 << 20),
            (16 << 20, 16 << 20),
            (usize::MAX, 16 << 20),
        ] {
            assert_eq!(stack_class(wanted), class, "{wanted}");
        }
    }
}
