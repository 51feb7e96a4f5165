//! Many isolates in one process: how fast they come and go, what a waiting one costs.

use std::time::{Duration, Instant};

use nodule::{Host, Isolate, Module};

use crate::Options;
use crate::library::{guest_module, host, in_task, runtime};
use crate::peers::Peers;
use crate::report::{Row, Section};
use crate::stats::{Samples, Unit};

/// How many live at once.
const ISOLATES: usize = 10_000;
/// A Rust guest with std that waits for a timer of half an hour.
const WAITS: [&str; 2] = ["1", "1800000"];
/// How often all of them are started.
const RUNS: usize = 5;
const KIB: f64 = 1024.0;

fn spawn(host: &Host, module: &Module) -> Isolate {
    host.isolate(module).args(WAITS).spawn().unwrap()
}

/// Ends once all have run to their wait.
async fn all_wait(isolates: &[Isolate]) {
    // CPU time is counted when a turn ends, and the first one ends in the wait.
    let waits = |isolate: &Isolate| isolate.activity().is_online() && !isolate.cpu_usage().total().is_zero();
    for isolate in isolates {
        while !waits(isolate) {
            tokio::task::yield_now().await;
        }
    }
}

async fn end(isolates: Vec<Isolate>) {
    for isolate in &isolates {
        isolate.terminate();
    }
    for isolate in isolates {
        assert_eq!(isolate.join().await.code, 1);
    }
}

/// A field of `/proc/self/status`, in bytes.
fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * KIB
}

fn mappings() -> f64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().map(|_| 1.0).sum()
}

/// Ten thousand at once, and ten thousand one after another.
pub fn isolates(_: &Peers, _: &Options) -> Section {
    let host = host();
    let module = guest_module(&host, "bench_sleep");
    let (together, resident, tables, maps, cycle, drift) = in_task(&runtime(), async move {
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        let each = |total: f64| Samples::new(vec![total / ISOLATES as f64]);
        let mut together = Vec::new();
        let mut costs = None;
        for _ in 0..RUNS {
            let before = (memory("VmRSS"), memory("VmPTE"), mappings());
            let start = Instant::now();
            let isolates: Vec<_> = (0..ISOLATES).map(|_| spawn(&host, &module)).collect();
            all_wait(&isolates).await;
            together.push(start.elapsed().as_secs_f64());
            // Only the first run starts from a process that holds no free memory.
            costs.get_or_insert_with(|| {
                let now = (memory("VmRSS"), memory("VmPTE"), mappings());
                (now.0 - before.0, now.1 - before.1, now.2 - before.2)
            });
            end(isolates).await;
        }
        let (resident, tables, maps) = costs.unwrap();
        let before = memory("VmRSS");
        let start = Instant::now();
        for _ in 0..ISOLATES {
            let isolates = vec![spawn(&host, &module)];
            all_wait(&isolates).await;
            end(isolates).await;
        }
        let cycle = each(start.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_millis(50)).await;
        let drift = (memory("VmRSS") - before).max(0.0);
        let (resident, tables) = (each(resident), each(tables));
        (
            Samples::new(together),
            resident,
            tables,
            each(maps).median(),
            cycle,
            (drift, before),
        )
    });
    let note = format!(
        "{ISOLATES} isolates of a Rust guest with std that waits for a timer, started at once until all wait, {RUNS} \
         times; then as many one after another, each terminated once it waits. A waiting one has {maps:.1} mappings of \
         the 65,530 that Linux gives a process by default."
    );
    Section::new("Many isolates", note, &["nodule"])
        .row(Row::new("10,000 started", Unit::Seconds, vec![Some(together)]).at_most(1.0))
        .row(Row::new("a waiting one, resident", Unit::Bytes, vec![Some(resident)]).at_most(64.0 * KIB))
        .row(Row::new("a waiting one, page tables", Unit::Bytes, vec![Some(tables)]))
        .row(Row::new("start, wait, terminate", Unit::Seconds, vec![Some(cycle)]).at_most(100e-6))
        .row(
            Row::new(
                "resident memory grown by 10,000 of those",
                Unit::Bytes,
                vec![Some(Samples::new(vec![drift.0]))],
            )
            .at_most(drift.1 / 100.0),
        )
}
