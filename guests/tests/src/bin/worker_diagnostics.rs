//! Looking at a worker from its creator: `worker_diagnostics <case>`.

use std::time::Duration;

use nodule_guest_tests::workers::{code_of, next, online, role, spin, start};
use nodule_sdk::process::CpuUsage;
use nodule_sdk::worker_threads::{
    self, CpuProfileOptions, EventLoopUtilization, HeapProfileOptions, HeapSnapshotOptions, Worker, parent_port,
};
use nodule_sdk::{Result, Value, process, timers};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        return worker(&role());
    }
    match role().as_str() {
        "snapshot" => snapshot().await,
        "statistics" => statistics().await,
        "cpu" => cpu().await,
        "cpu-profile" => cpu_profile().await,
        "heap-profile" => heap_profile().await,
        "utilization" => utilization().await,
        "ended" => ended().await,
        other => Err(format!("no case {other}").into()),
    }
}

/// A worker that is where it says.
async fn running(role: &str) -> Result<Worker> {
    let worker = start(role)?;
    let _: String = next(&worker).await?;
    Ok(worker)
}

/// The names of the custom sections of a module.
fn sections(module: &[u8]) -> String {
    let mut names = Vec::new();
    let mut at = 8;
    let number = |at: &mut usize| {
        let (mut number, mut shift) = (0_usize, 0);
        loop {
            let byte = module[*at];
            *at += 1;
            number |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return number;
            }
        }
    };
    while at < module.len() {
        let id = module[at];
        at += 1;
        let end = number(&mut at) + at;
        if id == 0 {
            let len = number(&mut at);
            names.push(String::from_utf8_lossy(&module[at..at + len]).into_owned());
        }
        at = end;
    }
    names.join(" ")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

async fn snapshot() -> Result<()> {
    for (state, options) in [
        ("marker", HeapSnapshotOptions::default()),
        (
            "spin",
            HeapSnapshotOptions {
                expose_internals: true,
                ..HeapSnapshotOptions::default()
            },
        ),
        (
            "park",
            HeapSnapshotOptions {
                expose_numeric_values: true,
                ..HeapSnapshotOptions::default()
            },
        ),
    ] {
        let worker = running(state).await?;
        let dump = worker.get_heap_snapshot(options).await?.read_to_end()?;
        // Not the bytes of the code's own data.
        let marker = format!("a marker in the memory of the worker: {}", std::hint::black_box(42));
        let (is_wasm, is_there) = (dump.starts_with(b"\0asm"), contains(&dump, marker.as_bytes()));
        println!("{state}: {is_wasm} {is_there} {}", sections(&dump));
        worker.terminate().await;
    }
    Ok(())
}

async fn statistics() -> Result<()> {
    let worker = running("marker").await?;
    let figures = worker.get_heap_statistics().await?;
    let text = format!("{figures:?}");
    println!("{} figures", text.matches(": ").count());
    println!("heap {}", figures.total_heap_size >= 1 << 20);
    println!("code {}", figures.total_heap_size_executable > 0);
    println!(
        "used {}",
        figures.used_heap_size > 1 << 20 && figures.used_heap_size <= figures.total_heap_size
    );
    println!("contexts {}", figures.number_of_native_contexts);
    worker.terminate().await;
    Ok(())
}

async fn cpu() -> Result<()> {
    let worker = running("spin").await?;
    timers::sleep(Duration::from_millis(100)).await;
    let first = worker.cpu_usage(None)?.await?;
    timers::sleep(Duration::from_millis(100)).await;
    let second = worker.cpu_usage(Some(first))?.await?;
    println!(
        "used {} more {}",
        first.user > 5_000,
        second.user > 5_000 && second.user < 150_000
    );
    for bad in [CpuUsage { user: -1, system: 0 }, CpuUsage { user: 0, system: -1 }] {
        println!("{}", code_of(&worker.cpu_usage(Some(bad))));
    }
    worker.terminate().await;
    let idle = running("marker").await?;
    println!("idle {}", idle.cpu_usage(None)?.await?.user < 100_000);
    idle.terminate().await;
    Ok(())
}

async fn cpu_profile() -> Result<()> {
    let worker = running("work").await?;
    let first = worker.start_cpu_profile(CpuProfileOptions::default()).await?;
    let second = worker.start_cpu_profile(CpuProfileOptions::default()).await?;
    timers::sleep(Duration::from_millis(100)).await;
    let text = first.stop().await?;
    println!(
        "names {} same {}",
        text.contains("a_function_with_a_name"),
        first.stop().await? == text
    );
    timers::sleep(Duration::from_millis(50)).await;
    println!("independent {}", second.stop().await?.len() > text.len() / 4);
    // One whose worker ends.
    let third = worker.start_cpu_profile(CpuProfileOptions::default()).await?;
    worker.terminate().await;
    println!("after the end: {}", code_of(&third.stop().await));
    Ok(())
}

async fn heap_profile() -> Result<()> {
    let worker = running("allocate").await?;
    let options = HeapProfileOptions {
        sample_interval: 1024,
        ..HeapProfileOptions::default()
    };
    let profile = worker.start_heap_profile(options).await?;
    println!("second: {}", code_of(&worker.start_heap_profile(options).await));
    timers::sleep(Duration::from_millis(60)).await;
    let text = profile.stop().await?;
    println!(
        "head {} samples {} name {}",
        text.contains("\"head\""),
        text.contains("\"samples\""),
        text.contains("an_allocating_function")
    );
    println!("same {}", profile.stop().await? == text);
    drop(profile);
    let again = worker.start_heap_profile(options).await;
    println!("again: {}", code_of(&again));
    worker.terminate().await;
    Ok(())
}

fn in_words(utilization: EventLoopUtilization) -> &'static str {
    match utilization.utilization {
        used if utilization.idle + utilization.active == 0.0 && used == 0.0 => "zeros",
        used if used > 0.8 => "busy",
        used if used < 0.2 => "idle",
        _ => "between",
    }
}

async fn utilization() -> Result<()> {
    let worker = start("marker")?;
    println!(
        "before online: {}",
        in_words(worker.performance().event_loop_utilization())
    );
    let _: String = next(&worker).await?;
    let started = worker.performance().event_loop_utilization();
    timers::sleep(Duration::from_millis(100)).await;
    println!(
        "waits: {}",
        in_words(worker.performance().event_loop_utilization().since(started))
    );
    worker.terminate().await;
    println!("after: {}", in_words(worker.performance().event_loop_utilization()));
    for state in ["spin", "park"] {
        let worker = running(state).await?;
        let started = worker.performance().event_loop_utilization();
        timers::sleep(Duration::from_millis(100)).await;
        println!(
            "{state}: {}",
            in_words(worker.performance().event_loop_utilization().since(started))
        );
        worker.terminate().await;
    }
    Ok(())
}

async fn ended() -> Result<()> {
    let worker = start("quick")?;
    worker.join().await;
    println!(
        "{}",
        code_of(&worker.get_heap_snapshot(HeapSnapshotOptions::default()).await)
    );
    println!("{}", code_of(&worker.get_heap_statistics().await));
    println!("{}", code_of(&worker.cpu_usage(None)?.await));
    println!(
        "{}",
        code_of(&worker.start_cpu_profile(CpuProfileOptions::default()).await)
    );
    println!(
        "{}",
        code_of(&worker.start_heap_profile(HeapProfileOptions::default()).await)
    );
    // Asked while it runs, ended before the answer: some answer comes.
    let worker = start("spin")?;
    online(&worker).await?;
    let asked = worker.get_heap_statistics();
    worker.terminate().await;
    let outcome = code_of(&asked.await);
    println!(
        "meanwhile: {}",
        matches!(outcome.as_str(), "ok" | "ERR_WORKER_NOT_RUNNING")
    );
    Ok(())
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn a_function_with_a_name(mut number: u64) -> u64 {
    for step in 0..1_000_000_u64 {
        number = std::hint::black_box(number.wrapping_mul(31).wrapping_add(step));
    }
    number
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn an_allocating_function() {
    for len in 1..1000 {
        std::hint::black_box(vec![1_u8; len]);
    }
}

fn worker(role: &str) -> Result<()> {
    let parent = parent_port().ok_or("a worker has a port")?;
    let number = std::hint::black_box(42);
    std::mem::forget((
        vec![1_u8; 1 << 20],
        format!("a marker in the memory of the worker: {number}"),
    ));
    if role == "quick" {
        return Ok(());
    }
    parent.post_message("up")?;
    match role {
        "spin" => spin(),
        "park" => nodule_guest_tests::workers::park(),
        "work" => loop {
            std::hint::black_box(a_function_with_a_name(process::hrtime()));
        },
        "allocate" => loop {
            an_allocating_function();
        },
        _ => drop(parent.on_message(|_: Value| ())),
    }
    Ok(())
}
