//! Limits of workers, beside a worker that answers: `worker_limits <case>`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use nodule_guest_tests::workers::{argument, code_of, next, outcome, role, shown, spin, start, start_with};
use nodule_sdk::worker_threads::{
    self, MessageChannel, MessagePort, ResourceLimits, Worker, WorkerOptions, parent_port,
};
use nodule_sdk::{Result, Value, process, timers};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        return worker(&role());
    }
    match role().as_str() {
        "ends" => ends().await,
        "counts" => counts().await,
        "stack" => stack().await,
        "fuel" => fuel().await,
        "bad" => bad(),
        "zero" => zero().await,
        "reported" => reported().await,
        "young" => young().await,
        "narrow" => narrow().await,
        other => Err(format!("no case {other}").into()),
    }
}

fn limited(set: impl FnOnce(&mut ResourceLimits)) -> WorkerOptions<'static> {
    let mut limits = ResourceLimits::default();
    set(&mut limits);
    WorkerOptions::new().resource_limits(limits)
}

/// A worker that answers, and how often it did.
fn neighbour() -> Result<(Worker, Rc<Cell<u32>>)> {
    let worker = start("echo")?;
    let answers = Rc::new(Cell::new(0));
    let (again, counted) = (worker.clone(), Rc::clone(&answers));
    worker.on_message(move |_: u32| {
        counted.set(counted.get() + 1);
        // After its end this does nothing.
        let _ = again.post_message(&1);
    });
    worker.post_message(&1)?;
    Ok((worker, answers))
}

/// Limits that end a worker.
async fn ends() -> Result<()> {
    let cases: [(&str, WorkerOptions<'_>); 5] = [
        (
            "memory",
            limited(|limits| limits.max_old_generation_size_mb = Some(16.0)),
        ),
        ("spin", limited(|limits| limits.cpu_ms = Some(60.0))),
        ("wait", limited(|limits| limits.deadline_ms = Some(60.0))),
        ("spin", limited(|limits| limits.deadline_ms = Some(60.0))),
        ("wait", limited(|limits| limits.code_range_size_mb = Some(0.01))),
    ];
    let (neighbour, answers) = neighbour()?;
    for (role, options) in cases {
        let before = answers.get();
        let worker = start_with(&[role], options)?;
        let online = Rc::new(Cell::new(false));
        let seen = Rc::clone(&online);
        worker.on_online(move || seen.set(true));
        println!("{role}: {} online {}", outcome(&worker).await, online.get());
        // A worker that ended at once left it no time yet.
        let patience = process::hrtime() + 10_000_000_000;
        while answers.get() == before && process::hrtime() < patience {
            timers::immediate().await;
        }
        let silent = if answers.get() > before {
            ""
        } else {
            ", the neighbour is silent"
        };
        println!(
            "  limits {:?}{silent}",
            worker.resource_limits() == ResourceLimits::default()
        );
    }
    neighbour.terminate().await;

    let fail = |limits: &mut ResourceLimits| {
        limits.max_old_generation_size_mb = Some(16.0);
        limits.on_memory_limit = Some("fail".into());
    };
    let worker = start_with(&["reserve"], limited(fail))?;
    let reserved_mb: u32 = next(&worker).await?;
    println!(
        "reserved before it failed: {} exit {}",
        (8..16).contains(&reserved_mb),
        worker.join().await
    );
    Ok(())
}

/// Limits at which a call fails.
async fn counts() -> Result<()> {
    for (role, options) in [
        ("handles", limited(|limits| limits.max_fds = Some(20.0))),
        ("ports", limited(|limits| limits.max_ports = Some(20.0))),
        ("threads", limited(|limits| limits.max_threads = Some(2.0))),
    ] {
        let worker = start_with(&[role], options)?;
        println!(
            "{role}: {} exit {}",
            next::<String>(&worker).await?,
            worker.join().await
        );
    }
    Ok(())
}

async fn stack() -> Result<()> {
    let mut depths = Vec::new();
    for mb in [0.25, 0.3, 1.0, 4.0, 16.0] {
        let worker = start_with(&["recurse"], limited(|limits| limits.stack_size_mb = Some(mb)))?;
        let error: String = next(&worker).await?;
        let depth: u32 = next(&worker).await?;
        let reported: f64 = next(&worker).await?;
        println!("{mb}: {error} reported {reported} exit {}", worker.join().await);
        depths.push(depth);
    }
    let worker = start("recurse")?;
    let _: String = next(&worker).await?;
    let depth: u32 = next(&worker).await?;
    let reported: f64 = next(&worker).await?;
    println!(
        "default: reported {reported}, as deep as that: {}",
        depth.abs_diff(depths[2]) < depth / 10
    );
    eprintln!("{depths:?}");
    let grows = depths.windows(2).all(|pair| pair[1] > pair[0] * 3 / 2);
    println!("each class is deeper: {grows}");
    Ok(())
}

/// The same instruction every time.
async fn fuel() -> Result<()> {
    let mut counts = Vec::new();
    for _ in 0..3 {
        let worker = start_with(&["count"], limited(|limits| limits.fuel = Some(50_000_000.0)))?;
        let count = Rc::new(Cell::new(0));
        let last = Rc::clone(&count);
        worker.on_message(move |number: u32| last.set(number));
        println!("{}", outcome(&worker).await);
        counts.push(count.get());
    }
    println!(
        "same: {} far: {}",
        counts.iter().all(|count| *count == counts[0]),
        counts[0] > 10
    );
    Ok(())
}

fn bad() -> Result<()> {
    type Set = fn(&mut ResourceLimits, f64);
    let fields: [(&str, Set); 12] = [
        ("maxOldGenerationSizeMb", |limits, value| {
            limits.max_old_generation_size_mb = Some(value)
        }),
        ("maxYoungGenerationSizeMb", |limits, value| {
            limits.max_young_generation_size_mb = Some(value)
        }),
        ("codeRangeSizeMb", |limits, value| {
            limits.code_range_size_mb = Some(value)
        }),
        ("stackSizeMb", |limits, value| limits.stack_size_mb = Some(value)),
        ("cpuMs", |limits, value| limits.cpu_ms = Some(value)),
        ("deadlineMs", |limits, value| limits.deadline_ms = Some(value)),
        ("fuel", |limits, value| limits.fuel = Some(value)),
        ("maxFds", |limits, value| limits.max_fds = Some(value)),
        ("maxPorts", |limits, value| limits.max_ports = Some(value)),
        ("maxThreads", |limits, value| limits.max_threads = Some(value)),
        ("maxChildren", |limits, value| limits.max_children = Some(value)),
        ("maxShared", |limits, value| limits.max_shared = Some(value)),
    ];
    process::on_worker(|id| println!("worker {id}"));
    for (name, set) in fields {
        for value in [f64::NAN, -1.0, f64::NEG_INFINITY] {
            let outcome = start_with(&["wait"], limited(|limits| set(limits, value)));
            let error = outcome.err().ok_or("it must fail")?;
            let wanted = format!("The value of \"options.resourceLimits.{name}\" is out of range.");
            assert!(error.message().starts_with(&wanted), "{}", shown(&error));
            assert!(error.is_code("ERR_OUT_OF_RANGE"));
        }
    }
    let word = start_with(
        &["wait"],
        limited(|limits| limits.on_memory_limit = Some("maybe".into())),
    );
    println!("{}", code_of(&word));
    Ok(())
}

/// Nothing at all is allowed: each ends in good order.
async fn zero() -> Result<()> {
    for (name, options) in [
        (
            "memory",
            limited(|limits| limits.max_old_generation_size_mb = Some(0.0)),
        ),
        ("code", limited(|limits| limits.code_range_size_mb = Some(0.0))),
        ("stack", limited(|limits| limits.stack_size_mb = Some(0.0))),
        ("cpu", limited(|limits| limits.cpu_ms = Some(0.0))),
        ("deadline", limited(|limits| limits.deadline_ms = Some(0.0))),
        ("fuel", limited(|limits| limits.fuel = Some(0.0))),
        ("handles", limited(|limits| limits.max_fds = Some(0.0))),
        ("ports", limited(|limits| limits.max_ports = Some(0.0))),
        ("threads", limited(|limits| limits.max_threads = Some(0.0))),
        ("infinite", limited(|limits| limits.fuel = Some(f64::INFINITY))),
    ] {
        let worker = start_with(&["quick"], options)?;
        println!("{name}: {}", outcome(&worker).await);
    }
    Ok(())
}

async fn reported() -> Result<()> {
    let worker = start_with(&["limits"], WorkerOptions::new())?;
    println!("default: {}", next::<String>(&worker).await?);
    let set = |limits: &mut ResourceLimits| {
        limits.max_old_generation_size_mb = Some(64.0);
        limits.max_young_generation_size_mb = Some(8.0);
        limits.code_range_size_mb = Some(32.0);
        limits.stack_size_mb = Some(1.5);
        limits.cpu_ms = Some(5000.0);
        limits.max_ports = Some(100.0);
    };
    let worker = start_with(&["limits"], limited(set))?;
    println!("outside: {:?}", worker.resource_limits().max_old_generation_size_mb);
    println!("set: {}", next::<String>(&worker).await?);
    worker.join().await;
    println!("after: {}", worker.resource_limits() == ResourceLimits::default());
    Ok(())
}

/// Messages wait for a thread that does not read them.
async fn young() -> Result<()> {
    let worker = start_with(
        &["spin"],
        limited(|limits| limits.max_young_generation_size_mb = Some(1.0)),
    )?;
    let message = vec![0_u8; 64 * 1024];
    let mut sent = 0;
    let mut refused = String::new();
    while sent < 1000 {
        match worker.post_message(&message) {
            Ok(_) => sent += 1,
            Err(error) => {
                refused = shown(&error);
                break;
            }
        }
    }
    println!("bounded: {} {refused}", sent < 100);
    worker.terminate().await;
    Ok(())
}

/// A worker's own worker has at most what it has.
async fn narrow() -> Result<()> {
    let set = |limits: &mut ResourceLimits| {
        limits.max_old_generation_size_mb = Some(16.0);
        limits.max_threads = Some(1.0);
    };
    let worker = start_with(&["wider"], limited(set))?;
    println!("{}", next::<String>(&worker).await?);
    println!("exit {}", worker.join().await);
    // Nor do workers of workers get round it.
    let worker = start_with(&["chain", "1"], limited(|limits| limits.max_threads = Some(3.0)))?;
    println!("deepest: {}", next::<String>(&worker).await?);
    Ok(())
}

/// How deep [`recurse`] came.
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// Uses the stack of the engine and none of the guest's memory.
#[inline(never)]
fn recurse(number: u32) -> u32 {
    DEPTH.fetch_add(1, Ordering::Relaxed);
    if number == u32::MAX {
        return 0;
    }
    recurse(number + 1).wrapping_mul(31) ^ number
}

fn worker(role: &str) -> Result<()> {
    let parent = parent_port().ok_or("a worker has a port")?;
    match role {
        "echo" => {
            let port = parent.clone();
            parent.on_message(move |value: u32| drop(port.post_message(&value)));
        }
        "memory" => {
            let mut kept = Vec::new();
            for _ in 0..64 {
                kept.push(vec![1_u8; 1 << 20]);
            }
            parent.post_message(&kept.len())?;
        }
        "reserve" => {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            loop {
                let mut chunk = Vec::new();
                if chunk.try_reserve_exact(1 << 20).is_err() {
                    break;
                }
                kept.push(chunk);
            }
            parent.post_message(&kept.len())?;
        }
        "spin" => spin(),
        "wait" => drop(parent.on_message(|_: Value| ())),
        "handles" | "ports" => {
            let mut kept = Vec::new();
            let failed = loop {
                match MessageChannel::try_new() {
                    Ok(channel) => kept.push(channel),
                    Err(error) => break error,
                }
            };
            let full = (8..=10).contains(&kept.len());
            kept.clear();
            parent.post_message(&format!(
                "{} full {full} again {}",
                failed.code().unwrap_or("-"),
                code_of(&MessageChannel::try_new())
            ))?;
        }
        "recurse" => {
            process::on_uncaught_exception(move |error, _| {
                let _ = parent.post_message(&shown(error));
                let _ = parent.post_message(&DEPTH.load(Ordering::Relaxed));
                let limits = worker_threads::resource_limits();
                let _ = parent.post_message(&limits.get("stackSizeMb").and_then(Value::as_f64));
            });
            println!("{}", recurse(1));
        }
        "count" => {
            let mut number = 0_u32;
            loop {
                parent.post_message(&number)?;
                number += 1;
                for step in 0..1000 {
                    std::hint::black_box(step);
                }
            }
        }
        "limits" => {
            let limits = worker_threads::resource_limits();
            let text: Vec<String> = limits
                .as_object()
                .map(|object| {
                    object
                        .entries()
                        .iter()
                        .map(|(key, value)| format!("{key}={}", value.as_f64().unwrap_or(-1.0)))
                        .collect()
                })
                .unwrap_or_default();
            parent.post_message(&text.join(" "))?;
        }
        "quick" => drop(argument(0)),
        _ => starter(role, parent)?,
    }
    Ok(())
}

/// Workers that start workers.
fn starter(role: &str, parent: MessagePort) -> Result<()> {
    match role {
        "threads" => {
            let first = start("wait")?;
            let second = start("wait")?;
            let third = start("wait");
            let port = parent.clone();
            nodule_sdk::spawn(async move {
                first.terminate().await;
                let again = start("wait");
                port.post_message(&format!("{} then {}", code_of(&third), code_of(&again)))?;
                again?.terminate().await;
                second.terminate().await;
                Ok::<(), nodule_sdk::Error>(())
            });
        }
        "chain" => {
            // One more below each, until there is no room.
            let (depth, below) = (
                argument(1).parse::<u32>()?,
                start_with(
                    &["chain", &(argument(1).parse::<u32>()? + 1).to_string()],
                    WorkerOptions::new(),
                ),
            );
            match below {
                Ok(below) => drop(below.on_message(move |deepest: String| drop(parent.post_message(&deepest)))),
                Err(error) => drop(parent.post_message(&format!("{depth} {}", error.code().unwrap_or("-")))?),
            }
        }
        "wider" => {
            let mut limits = ResourceLimits {
                max_old_generation_size_mb: Some(1000.0),
                ..ResourceLimits::default()
            };
            limits.max_threads = Some(100.0);
            let inner = start_with(&["memory"], WorkerOptions::new().resource_limits(limits))?;
            let chain = start("wait");
            nodule_sdk::spawn(async move {
                let text = format!("{} and a second one: {}", outcome(&inner).await, code_of(&chain));
                parent.post_message(&text).map(drop)
            });
        }
        _ => {}
    }
    Ok(())
}
