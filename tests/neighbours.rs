//! Hostile isolates beside a good one in one host: the good one does not notice.

use std::time::{Duration, Instant};

use nodule::stdio::Output;
use nodule::{ExitStatus, Host, Isolate, Limits, Module};
use tokio::io::AsyncReadExt as _;

use crate::support::cache_directory;

/// Waits for five timers of 10 ms, one after the other.
const NEIGHBOUR: &str = r#"(module
    (import "nodule:timers/1" "set" (func $set (param f64 i32 i32) (result i32)))
    (import "nodule:event_loop/1" "wait" (func $wait (param i32 i32 i64 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $round i32)
        (loop $again
            (if (call $set (f64.const 10) (i32.const 0) (i32.const 0)) (then unreachable))
            (if (call $wait (i32.const 64) (i32.const 1) (i64.const -1) (i32.const 1) (i32.const 8)) (then unreachable))
            (if (i32.ne (i32.load (i32.const 8)) (i32.const 1)) (then unreachable))
            (local.set $round (i32.add (local.get $round) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $round) (i32.const 5))))))"#;

const LOOPS: &str = r#"(module (func (export "_start") (loop $again (br $again))))"#;
const RECURSES: &str = r#"(module (func $f (export "_start") (call $f)))"#;
const TRAPS: &str = r#"(module (func (export "_start") unreachable))"#;
/// Touches every page it gets.
const HOARDS: &str = r#"(module (memory (export "memory") 1)
    (func (export "_start") (local $page i32)
        (loop $again
            (local.set $page (memory.grow (i32.const 1)))
            (i32.store (i32.mul (local.get $page) (i32.const 65536)) (i32.const 1))
            (br $again))))"#;
const FLOODS: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\10\00\00\00\00\10\00\00")
    (func (export "_start")
        (loop $again (br_if $again (i32.eqz (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))))"#;
/// Calls the host without a pause.
const CALLS: &str = r#"(module (import "nodule:process/1" "hrtime" (func $hrtime (result i64)))
    (func (export "_start") (loop $again (drop (call $hrtime)) (br $again))))"#;
/// Gives way without a pause: turns of a few microseconds.
const YIELDS: &str = r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
    (func (export "_start") (loop $again (drop (call $yield)) (br $again))))"#;
/// Waits for what never comes.
const WAITS: &str = r#"(module
    (import "nodule:timers/1" "set" (func $set (param f64 i32 i32) (result i32)))
    (import "nodule:event_loop/1" "wait" (func $wait (param i32 i32 i64 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (drop (call $set (f64.const 1e9) (i32.const 0) (i32.const 0)))
        (drop (call $wait (i32.const 64) (i32.const 1) (i64.const -1) (i32.const 1) (i32.const 8)))))"#;

fn run<T>(test: impl AsyncFnOnce(Host) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let host = Host::builder().cache_directory(cache_directory()).build().unwrap();
        tokio::time::timeout(Duration::from_secs(60), test(host))
            .await
            .expect("the test took too long")
    })
}

fn spawn(host: &Host, text: &str, limits: Limits) -> Isolate {
    let module = Module::from_bytes(host, "guest", text.as_bytes()).unwrap();
    host.isolate(&module)
        .limits(limits)
        .stdout(Output::pipe())
        .spawn()
        .unwrap()
}

async fn neighbour_lives(host: &Host) -> Duration {
    let start = Instant::now();
    let status = spawn(host, NEIGHBOUR, Limits::default()).join().await;
    assert!(status.success(), "{status:?}");
    start.elapsed()
}

fn code(status: &ExitStatus) -> Option<&str> {
    status.error.as_ref().and_then(|error| error.code.as_deref())
}

#[test]
fn busy_isolates_do_not_starve_a_timer() {
    run(async |host| {
        let alone = neighbour_lives(&host).await;
        let busy: Vec<_> = [LOOPS, CALLS]
            .repeat(4)
            .into_iter()
            .map(|text| spawn(&host, text, Limits::default()))
            .collect();
        let beside = neighbour_lives(&host).await;
        // Eight busy isolates on two threads: a timer waits for a round of ticks, not for their end.
        assert!(
            beside < alone + Duration::from_secs(3),
            "alone {alone:?}, beside busy isolates {beside:?}"
        );
        for isolate in busy {
            isolate.terminate();
            assert_eq!(isolate.join().await.code, 1);
        }
    });
}

#[test]
fn isolates_that_fail_end_alone() {
    run(async |host| {
        let small = Limits {
            max_memory_bytes: 8 << 20,
            ..Limits::default()
        };
        for round in 0..20 {
            let recursing = spawn(&host, RECURSES, small);
            let trapping = spawn(&host, TRAPS, small);
            let hoarding = spawn(&host, HOARDS, small);
            if round == 0 {
                neighbour_lives(&host).await;
            }
            assert_eq!(code(&recursing.join().await), Some("ERR_WASM_STACK_OVERFLOW"));
            assert_eq!(code(&trapping.join().await), Some("ERR_WASM_UNREACHABLE"));
            assert_eq!(code(&hoarding.join().await), Some("ERR_WORKER_OUT_OF_MEMORY"));
        }
        neighbour_lives(&host).await;
    });
}

#[test]
fn limits_end_one_isolate_and_not_the_next() {
    run(async |host| {
        let of_time = Limits {
            timeout: Some(Duration::from_millis(100)),
            ..Limits::default()
        };
        let of_cpu = Limits {
            max_cpu_time: Some(Duration::from_millis(50)),
            ..Limits::default()
        };
        let endless = spawn(&host, LOOPS, Limits::default());
        assert_eq!(
            code(&spawn(&host, LOOPS, of_time).join().await),
            Some("ERR_WORKER_DEADLINE")
        );
        assert_eq!(
            code(&spawn(&host, WAITS, of_time).join().await),
            Some("ERR_WORKER_DEADLINE")
        );
        assert_eq!(
            code(&spawn(&host, LOOPS, of_cpu).join().await),
            Some("ERR_WORKER_CPU_LIMIT")
        );
        for text in [CALLS, YIELDS] {
            let start = Instant::now();
            let status = spawn(&host, text, of_cpu).join().await;
            assert_eq!(code(&status), Some("ERR_WORKER_CPU_LIMIT"));
            assert!(start.elapsed() >= Duration::from_millis(40), "it had its time");
        }
        neighbour_lives(&host).await;
        endless.terminate();
        assert_eq!(endless.join().await, ExitStatus { code: 1, error: None });
    });
}

#[test]
fn a_flood_that_nobody_reads_waits_and_loses_nothing() {
    run(async |host| {
        let mut flood = spawn(&host, FLOODS, Limits::default());
        let mut reader = flood.stdout.take().unwrap();
        let mut first = [1; 4096];
        reader.read_exact(&mut first).await.unwrap();
        assert_eq!(first, [0; 4096]);
        neighbour_lives(&host).await;
        // It waits: its CPU time stands still while others run.
        let used = flood.cpu_usage().total();
        neighbour_lives(&host).await;
        assert_eq!(
            flood.cpu_usage().total(),
            used,
            "a guest whose output nobody reads must not spin"
        );
        flood.terminate();
        assert_eq!(flood.join().await.code, 1);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).await.unwrap();
        assert!(
            rest.len() <= 256 * 1024,
            "{} bytes were kept for a reader that does not read",
            rest.len()
        );
    });
}

#[test]
fn a_thousand_hostile_isolates_leave_nothing_behind() {
    run(async |host| {
        let small = Limits {
            max_memory_bytes: 2 << 20,
            timeout: Some(Duration::from_secs(20)),
            ..Limits::default()
        };
        let cycle = async || {
            let isolates: Vec<_> = [TRAPS, RECURSES, HOARDS, WAITS, LOOPS]
                .repeat(10)
                .into_iter()
                .map(|text| spawn(&host, text, small))
                .collect();
            for isolate in isolates {
                isolate.terminate();
                isolate.join().await;
            }
        };
        for _ in 0..5 {
            cycle().await;
        }
        let (memory, files) = (resident_bytes(), open_files());
        for _ in 0..15 {
            cycle().await;
        }
        // Other tests run in this process too; what 750 isolates of up to 2 MiB would leave is far more.
        assert!(
            open_files() < files + 200,
            "{files} files were open before, now {}",
            open_files()
        );
        let grown = resident_bytes().saturating_sub(memory);
        assert!(grown < 100 << 20, "{grown} bytes more than before");
        neighbour_lives(&host).await;
    });
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
