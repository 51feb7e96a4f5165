//! Inside one process, through the library: instances, computation, timers beside busy isolates, termination.

#[path = "../../guests/bench/src/kernels.rs"]
mod kernels;

use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nodule::stdio::Output;
use nodule::wasmtime::{self, Config, Engine, Instance, Store};
use nodule::{Host, Isolate, Module};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;

use crate::Options;
use crate::peers::{Peers, guest, script};
use crate::report::{Row, Section};
use crate::stats::{Samples, Unit};

const EMPTY: &str = r#"(module (func (export "_start")))"#;
const BUSY: &str = r#"(module (func (export "_start") (loop $again (br $again))))"#;

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

pub fn host() -> Host {
    Host::builder().no_cache().build().unwrap()
}

/// Runs a measurement as a task of the runtime, as isolates are: between threads of the system, waking one up would
/// be most of what is measured.
pub fn in_task<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    runtime.block_on(async { tokio::spawn(work).await.unwrap() })
}

fn text_module(host: &Host, text: &str) -> Module {
    Module::from_bytes(host, "bench", text.as_bytes()).unwrap()
}

pub fn guest_module(host: &Host, name: &str) -> Module {
    Module::from_file(host, guest(name)).unwrap()
}

/// Samples, in seconds, that a script prints in nanoseconds, one a line.
fn scripted(peer: Option<&PathBuf>, name: &str, arguments: &[&str]) -> Option<Samples> {
    let output = Command::new(peer?).arg(script(name)).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(Samples::new(
        text.lines().map(|line| line.parse::<f64>().unwrap() * 1e-9).collect(),
    ))
}

/// A row with nodule's samples and those of a script in Node and Bun.
fn beside(peers: &Peers, work: &'static str, nodule: Samples, name: &str, arguments: &[&str]) -> Row {
    let node = scripted(peers.node.as_ref(), name, arguments);
    let bun = scripted(peers.bun.as_ref(), name, arguments);
    Row::new(work, Unit::Seconds, vec![Some(nodule), node, bun])
}

/// From nothing to the end of a guest, one after another.
pub fn instantiate(peers: &Peers, _: &Options) -> Section {
    const WARM_UP: usize = 200;
    const RUNS: usize = 3000;
    let runtime = runtime();
    let host = host();
    let measure = |module: Module| {
        let host = host.clone();
        in_task(&runtime, async move {
            let mut samples = Vec::with_capacity(WARM_UP + RUNS);
            for _ in 0..WARM_UP + RUNS {
                let start = Instant::now();
                let status = host.isolate(&module).spawn().unwrap().join().await;
                samples.push(start.elapsed().as_secs_f64());
                assert!(status.success(), "{status:?}");
            }
            Samples::new(samples.split_off(WARM_UP))
        })
    };
    let empty = measure(text_module(&host, EMPTY));
    let hello = measure(guest_module(&host, "hello"));
    let note = format!(
        "`spawn` to the return of `join`, {RUNS} times one after another, code at hand. Node and Bun: a worker thread \
         with an empty script until its `exit` event."
    );
    Section::new("An isolate: spawn to exit", note, &Peers::COLUMNS)
        .row(beside(peers, "empty module", empty, "worker.cjs", &[]))
        .row(beside(peers, "hello, Rust with std", hello, "worker.cjs", &[]).at_most(100e-6))
}

/// Name, native form, rounds of a run.
type Kernel = (&'static str, fn(u32) -> u32, u32);

/// The cost of being interruptible.
pub fn compute(peers: &Peers, _: &Options) -> Section {
    const RUNS: usize = 15;
    const KERNELS: [Kernel; 3] = [
        ("mandelbrot", kernels::mandelbrot, 60),
        ("sieve", kernels::sieve, 500),
        ("mix", kernels::mix, 20_000),
    ];
    let runtime = runtime();
    let host = host();
    let mut plugin = runtime
        .block_on(host.plugin(&guest_module(&host, "bench_kernels")))
        .unwrap();
    let mut plain = Plain::new();
    let columns = [
        "nodule",
        "wasmtime without ticks",
        "native",
        "Node (wasm)",
        "Bun (wasm)",
    ];
    let note = format!(
        "The same Rust source as a guest and natively, {RUNS} runs of each, in turn. wasmtime without ticks is the \
         same engine with epoch interruption off: the difference is what it costs that a guest gives way every \
         millisecond and can be terminated."
    );
    let mut section = Section::new("Computation", note, &columns);
    let path = guest("bench_kernels");
    for (name, native, rounds) in KERNELS {
        let expected = native(rounds);
        let mut samples = [const { Vec::new() }; 3];
        for _ in 0..RUNS {
            let timed = |run: &mut dyn FnMut() -> u32| {
                let start = Instant::now();
                assert_eq!(run(), expected, "{name}");
                start.elapsed().as_secs_f64()
            };
            samples[0].push(timed(&mut || runtime.block_on(plugin.call(name, rounds)).unwrap()));
            samples[1].push(timed(&mut || plain.call(name, rounds)));
            samples[2].push(timed(&mut || black_box(native)(black_box(rounds))));
        }
        let mut cells: Vec<_> = samples.into_iter().map(|samples| Some(Samples::new(samples))).collect();
        let arguments = [path.to_str().unwrap(), name, &rounds.to_string()];
        cells.extend([&peers.node, &peers.bun].map(|peer| scripted(peer.as_ref(), "compute.cjs", &arguments)));
        section = section.row(Row::new(name, Unit::Seconds, cells));
    }
    section
}

/// The kernels in an engine as nodule's, but without epoch interruption.
struct Plain {
    store: Store<()>,
    instance: Instance,
}

impl Plain {
    fn new() -> Self {
        let mut config = Config::new();
        config
            .concurrency_support(false)
            .gc_support(false)
            .memory_may_move(false);
        let engine = Engine::new(&config).unwrap();
        let module = wasmtime::Module::from_file(&engine, guest("bench_kernels")).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        Self { store, instance }
    }

    fn call(&mut self, name: &str, rounds: u32) -> u32 {
        let function = self.instance.get_typed_func::<u32, u32>(&mut self.store, name).unwrap();
        function.call(&mut self.store, rounds).unwrap()
    }
}

/// How late timers are beside isolates that compute.
pub fn timer(peers: &Peers, _: &Options) -> Section {
    const TIMES: &str = "100";
    const TIME_MS: &str = "10";
    let runtime = runtime();
    let host = host();
    let busy_module = text_module(&host, BUSY);
    let sleeper = guest_module(&host, "bench_sleep");
    let measure = |busy: usize| {
        runtime.block_on(async {
            let busy: Vec<Isolate> = (0..busy).map(|_| host.isolate(&busy_module).spawn().unwrap()).collect();
            let sleeper = host.isolate(&sleeper).args([TIMES, TIME_MS]).stdout(Output::pipe());
            let mut isolate = sleeper.spawn().unwrap();
            let mut text = String::new();
            isolate.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
            assert!(isolate.join().await.success());
            for isolate in busy {
                isolate.terminate();
                isolate.join().await;
            }
            Samples::new(text.lines().map(|line| line.parse::<f64>().unwrap() * 1e-9).collect())
        })
    };
    let (idle, beside_busy) = (measure(0), measure(8));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let note = format!(
        "How late a timer of {TIME_MS} ms is, {TIMES} times, on {cores} cores: a guest that sleeps; in Node and Bun \
         `setTimeout` of the main thread, the busy ones being worker threads."
    );
    Section::new("Timers beside busy isolates", note, &Peers::COLUMNS)
        .row(beside(peers, "alone", idle, "timer.cjs", &["0", TIMES, TIME_MS]))
        .row(
            beside(
                peers,
                "beside 8 endless loops",
                beside_busy,
                "timer.cjs",
                &["8", TIMES, TIME_MS],
            )
            .at_most(5e-3),
        )
}

/// From `terminate` until nothing of the isolate runs any more.
pub fn terminate(peers: &Peers, _: &Options) -> Section {
    const RUNS: u32 = 100;
    // Long enough for an isolate to be in its loop or in its wait.
    const SETTLE: Duration = Duration::from_millis(5);
    const TICK: Duration = Duration::from_millis(1);
    let runtime = runtime();
    let host = host();
    let measure = |module: Module, arguments: &'static [&'static str]| {
        let host = host.clone();
        in_task(&runtime, async move {
            let mut samples = Vec::new();
            for run in 0..RUNS {
                let isolate = host.isolate(&module).args(arguments.iter().copied()).spawn().unwrap();
                tokio::time::sleep(SETTLE).await;
                // At every distance from a tick.
                let settled = Instant::now();
                while settled.elapsed() < TICK.mul_f64(f64::from(run) / f64::from(RUNS)) {}
                let start = Instant::now();
                isolate.terminate();
                let status = isolate.join().await;
                samples.push(start.elapsed().as_secs_f64());
                assert_eq!(status.code, 1, "{status:?}");
            }
            Samples::new(samples)
        })
    };
    let busy = measure(text_module(&host, BUSY), &[]);
    let parked = measure(guest_module(&host, "bench_sleep"), &["1", "1000000"]);
    let note = format!(
        "`terminate` to the return of `join`, {RUNS} times. Node and Bun: `worker.terminate()` of a worker in an \
         endless loop and in `Atomics.wait`."
    );
    Section::new("Termination", note, &Peers::COLUMNS)
        .row(beside(peers, "in an endless loop", busy, "terminate.cjs", &["busy"]).at_most(2e-3))
        .row(beside(peers, "in a wait", parked, "terminate.cjs", &["parked"]).at_most(0.2e-3))
}
