//! Time, CPU and memory figures: relations that always hold.

use nodule_sdk::process::{self, CpuUsage};
use nodule_sdk::{Result, os};

#[nodule_sdk::main]
fn main() -> Result<()> {
    let (before, cpu_before) = (process::hrtime(), process::cpu_usage(None)?);
    let thread_before = process::thread_cpu_usage(None)?;
    // On a busy machine 50 ms hold little CPU time; then it goes on until there is enough, for a while.
    loop {
        let elapsed_ns = process::hrtime() - before;
        let used = process::thread_cpu_usage(Some(thread_before))?;
        if elapsed_ns > 20_000_000_000 || elapsed_ns > 50_000_000 && used.user + used.system > 20_000 {
            break;
        }
    }
    println!("hrtime grows {}", process::hrtime() > before);
    let (seconds, ns) = process::hrtime_tuple(Some((0, 0)));
    println!("tuple {}", seconds >= 0 && (0..1_000_000_000).contains(&ns));
    println!("uptime {}", process::uptime() > 0.05);
    let used = process::cpu_usage(Some(cpu_before))?;
    println!("cpuUsage {}", used.user + used.system > 10_000);
    let used = process::thread_cpu_usage(Some(thread_before))?;
    println!("threadCpuUsage {}", used.user + used.system > 10_000);
    let refused = process::cpu_usage(Some(CpuUsage { user: -1, system: 0 })).err();
    println!(
        "negative {}",
        refused
            .and_then(|error| error.code().map(str::to_owned))
            .unwrap_or_default()
    );

    let memory = process::memory_usage()?;
    let block = std::hint::black_box(vec![1_u8; 4 << 20]);
    let grown = process::memory_usage()?;
    println!("heapUsed counts {}", grown.heap_used - memory.heap_used >= 4 << 20);
    println!(
        "heapTotal {}",
        grown.heap_total >= grown.heap_used && grown.heap_total % 65536 == 0
    );
    drop(block);
    println!(
        "heapUsed falls {}",
        process::memory_usage()?.heap_used < grown.heap_used
    );
    println!("rss {} external {}", memory.rss > 0, memory.external > 0);
    println!("rss alone {}", process::rss() > 0);
    println!("available {}", process::available_memory() > 0);
    let usage = process::resource_usage()?;
    println!("maxRSS {}", usage.max_rss > 0);
    println!(
        "cpus {} parallelism {}",
        !os::cpus()?.is_empty(),
        os::available_parallelism() > 0
    );
    Ok(())
}
