//! Diagnostics of running isolates from outside: snapshots, statistics, CPU and heap profiles.

use std::time::{Duration, Instant};

use nodule::abi::value::{self, Value};
use nodule::diagnostics::{CpuProfileOptions, HeapProfileOptions, HeapStatistics, SnapshotOptions};
use nodule::stdio::Output;
use nodule::wasmtime::{Caller, Linker};
use nodule::{Host, Isolate, IsolateState, Module};
use tokio::io::AsyncReadExt as _;

use crate::guests::tests;
use crate::support::cache_directory;

fn run<T>(test: impl AsyncFnOnce(Host) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stuck = |linker: &mut Linker<IsolateState>| {
            linker.func_wrap_async("test", "stuck", |_: Caller<'_, IsolateState>, (): ()| {
                Box::new(std::future::pending::<()>())
            })?;
            Ok(())
        };
        let host = Host::builder().cache_directory(cache_directory()).linker(stuck);
        let host = host.build().unwrap();
        tokio::time::timeout(Duration::from_secs(60), test(host))
            .await
            .expect("the test took too long")
    })
}

fn spawn(host: &Host, text: &str) -> Isolate {
    let module = Module::from_bytes(host, "guest", text.as_bytes()).unwrap();
    host.isolate(&module).spawn().unwrap()
}

/// The guest program, when it has done its allocations.
async fn working(host: &Host, mode: &str) -> Isolate {
    let module = Module::from_file(host, tests::DIAGNOSTICS_WORK.path()).unwrap();
    let isolate = host.isolate(&module).args([mode]).stdout(Output::pipe()).spawn();
    let mut isolate = isolate.unwrap();
    let mut line = [0; 6];
    isolate.stdout.as_mut().unwrap().read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"ready\n");
    isolate
}

/// Never reaches a tick or a wait that serves requests.
const STUCK: &str = r#"(module (import "test" "stuck" (func $stuck)) (func (export "_start") (call $stuck)))"#;
const ENDLESS: &str = r#"(module (memory (export "memory") 1)
    (func (export "_start") (loop $again (br $again))))"#;

/// What a core dump consists of.
#[derive(Default)]
struct Dump {
    customs: Vec<(String, Vec<u8>)>,
    memory_pages: Vec<u64>,
    globals: u32,
    /// Where they start, and their bytes.
    segments: Vec<(usize, Vec<u8>)>,
}

impl Dump {
    /// Parses and validates a dump.
    fn parse(bytes: &[u8]) -> Self {
        wasmparser::Validator::new().validate_all(bytes).unwrap();
        let mut dump = Self::default();
        for payload in wasmparser::Parser::new(0).parse_all(bytes) {
            match payload.unwrap() {
                wasmparser::Payload::CustomSection(section) => {
                    dump.customs.push((section.name().into(), section.data().into()));
                }
                wasmparser::Payload::MemorySection(memories) => {
                    dump.memory_pages = memories.into_iter().map(|memory| memory.unwrap().initial).collect();
                }
                wasmparser::Payload::GlobalSection(globals) => dump.globals = globals.count(),
                wasmparser::Payload::DataSection(data) => dump.segments = data.into_iter().map(segment).collect(),
                _ => {}
            }
        }
        dump
    }

    fn custom(&self, name: &str) -> Option<&[u8]> {
        let (_, data) = self.customs.iter().find(|(custom, _)| custom == name)?;
        Some(data)
    }

    fn holds(&self, text: &[u8]) -> bool {
        // A text may go on in the next segment.
        let mut joined: Vec<(usize, Vec<u8>)> = Vec::new();
        for (start, data) in &self.segments {
            match joined.last_mut() {
                Some((before, bytes)) if *before + bytes.len() == *start => bytes.extend(data),
                _ => joined.push((*start, data.clone())),
            }
        }
        joined
            .iter()
            .any(|(_, data)| data.windows(text.len()).any(|window| window == text))
    }
}

fn segment(data: wasmparser::Result<wasmparser::Data<'_>>) -> (usize, Vec<u8>) {
    let data = data.unwrap();
    let wasmparser::DataKind::Active { offset_expr, .. } = data.kind else {
        panic!("a passive segment")
    };
    let wasmparser::Operator::I32Const { value } = offset_expr.get_operators_reader().read().unwrap() else {
        panic!("an offset that is no constant")
    };
    (value.cast_unsigned() as usize, data.data.into())
}

#[track_caller]
fn assert_not_running<T>(result: nodule::abi::error::Result<T>) {
    let error = result.err().expect("an ended isolate answered");
    assert!(error.is_code("ERR_WORKER_NOT_RUNNING"), "{error}");
    assert_eq!(error.message, "Worker instance not running");
}

#[test]
fn a_snapshot_of_an_endless_loop_is_a_core_dump_with_its_memory() {
    run(async |host| {
        let isolate = working(&host, "compute").await;
        let bytes = isolate
            .heap_snapshot(SnapshotOptions::default())
            .await
            .unwrap()
            .into_bytes();
        let dump = Dump::parse(&bytes);
        let names: Vec<_> = dump.customs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["core", "coremodules", "coreinstances", "corestack"]);
        assert_eq!(dump.memory_pages.len(), 1);
        assert!(dump.globals > 0);
        assert!(dump.holds(b"buried-treasure"));
        assert!(dump.holds(&[63; 64 * 1024]), "a whole block");
        let zero = dump
            .segments
            .iter()
            .filter(|(_, data)| data.iter().all(|byte| *byte == 0));
        assert_eq!(zero.count(), 0, "no empty segments");
        // It goes on: it can be asked again.
        assert_eq!(
            Dump::parse(
                &isolate
                    .heap_snapshot(SnapshotOptions::default())
                    .await
                    .unwrap()
                    .into_bytes()
            )
            .memory_pages,
            dump.memory_pages
        );
    });
}

#[test]
fn a_snapshot_of_a_waiting_isolate_tells_internals_and_numbers_when_asked() {
    run(async |host| {
        let isolate = working(&host, "wait").await;
        let options = SnapshotOptions {
            expose_internals: true,
            expose_numeric_values: true,
        };
        let (dump, internals) = loop {
            let dump = Dump::parse(&isolate.heap_snapshot(options).await.unwrap().into_bytes());
            let Value::Object(internals) = value::decode(dump.custom("nodule.host").unwrap()).unwrap() else {
                panic!("no object")
            };
            // It may not have come to wait yet.
            if internals.get("parked") == Some(&Value::Bool(true)) {
                break (dump, internals);
            }
        };
        assert!(dump.holds(b"buried-treasure"));
        let Some(Value::Array(timers)) = internals.get("timers") else {
            panic!("{internals:?}")
        };
        assert_eq!(timers.len(), 1, "the guest sleeps");
        let globals = value::decode(dump.custom("nodule.globals").unwrap()).unwrap();
        let Value::Array(globals) = globals else {
            panic!("no array")
        };
        let is_stack_pointer = |global: &Value| match global {
            Value::Object(global) => {
                global.get("name") == Some(&"__stack_pointer".into())
                    && matches!(global.get("value"), Some(Value::Number(number)) if *number > 0.0)
            }
            _ => false,
        };
        assert!(globals.iter().any(is_stack_pointer), "{globals:?}");
    });
}

#[test]
fn a_snapshot_of_a_large_memory_costs_what_is_in_it() {
    run(async |host| {
        let text = r#"(module (memory (export "memory") 65535) (data (i32.const 2147483640) "across a page")
            (func (export "_start") (local $at i32)
                (local.set $at (i32.const -65540))
                (loop $touch
                    (i32.store8 (local.get $at) (i32.const 42))
                    (local.set $at (i32.sub (local.get $at) (i32.const 8192)))
                    (br_if $touch (i32.lt_u (i32.const -2097152) (local.get $at))))
                (loop $again (br $again))))"#;
        let isolate = spawn(&host, text);
        loop {
            let started = Instant::now();
            let snapshot = isolate.heap_snapshot(SnapshotOptions::default()).await.unwrap();
            let took = started.elapsed();
            assert!(snapshot.len_bytes() < 8 << 20, "{} bytes", snapshot.len_bytes());
            assert!(took < Duration::from_secs(5), "{took:?}");
            let dump = Dump::parse(&snapshot.into_bytes());
            assert_eq!(dump.memory_pages, [65535]);
            assert!(dump.holds(b"across a page"));
            // The first may come before the stores.
            if dump.segments.iter().filter(|(_, data)| data.contains(&42)).count() > 100 {
                break;
            }
        }
        let resident = isolate.heap_statistics().await.unwrap().total_physical_size;
        assert!(resident < 64 << 20, "{resident}");
    });
}

#[test]
fn statistics_come_from_the_allocator_of_the_guest() {
    run(async |host| {
        let isolate = working(&host, "churn").await;
        let first = isolate.heap_statistics().await.unwrap();
        let hoarded = 64 * 64 * 1024;
        assert!(
            first.used_heap_size >= hoarded && first.used_heap_size < 2 * hoarded,
            "{first:?}"
        );
        assert!(first.peak_malloced_memory >= first.malloced_memory, "{first:?}");
        assert!(first.total_heap_size >= first.used_heap_size, "{first:?}");
        assert!(first.total_physical_size >= hoarded, "{first:?}");
        assert!(first.total_physical_size <= first.total_heap_size, "{first:?}");
        assert!(first.total_heap_size_executable > 1024, "{first:?}");
        assert_eq!(first.heap_size_limit, 4 << 30);
        assert_eq!(
            first.total_available_size + first.total_heap_size,
            first.heap_size_limit
        );
        assert_eq!(first.number_of_native_contexts, 1);
        let mut later = first;
        while later.total_allocated_bytes == first.total_allocated_bytes {
            later = isolate.heap_statistics().await.unwrap();
        }
        assert!(later.total_allocated_bytes > first.total_allocated_bytes);
        let Value::Object(object) = Value::from(HeapStatistics::default()) else {
            panic!("no object")
        };
        assert_eq!(object.len(), 15);
    });
}

#[test]
fn statistics_of_a_plain_module_count_its_memory() {
    run(async |host| {
        let isolate = spawn(&host, ENDLESS);
        let statistics = isolate.heap_statistics().await.unwrap();
        for bytes in [
            statistics.total_heap_size,
            statistics.used_heap_size,
            statistics.malloced_memory,
        ] {
            assert_eq!(bytes, 65536, "{statistics:?}");
        }
    });
}

#[test]
fn an_address_that_lies_is_no_allocator() {
    run(async |host| {
        for address in ["-1", "65500", "65536", "8"] {
            let text = format!(
                r#"(module (memory (export "memory") 1) (data (i32.const 65500) "\01\00\00\00")
                    (func (export "nodule_heap") (result i32) (i32.const {address}))
                    (func (export "_start") (loop $again (br $again))))"#
            );
            let isolate = spawn(&host, &text);
            assert_eq!(
                isolate.heap_statistics().await.unwrap().used_heap_size,
                65536,
                "{address}"
            );
            let profile = isolate.start_heap_profile(HeapProfileOptions::default()).await.unwrap();
            assert!(profile.stop().await.unwrap().contains("(root)"));
        }
        let traps = r#"(module (memory (export "memory") 1) (func (export "nodule_heap") (result i32) unreachable)
            (func (export "_start") (loop $again (br $again))))"#;
        assert_eq!(
            spawn(&host, traps).heap_statistics().await.unwrap().used_heap_size,
            65536
        );
    });
}

#[test]
fn an_ended_isolate_is_not_running() {
    run(async |host| {
        let isolate = spawn(&host, r#"(module (func (export "_start")))"#);
        // The answer is the same before the end is known and after.
        while isolate.heap_statistics().await.is_ok() {}
        assert_not_running(isolate.heap_snapshot(SnapshotOptions::default()).await);
        assert_not_running(isolate.heap_statistics().await);
        assert_not_running(isolate.start_cpu_profile(CpuProfileOptions::default()).await);
        assert_not_running(isolate.start_heap_profile(HeapProfileOptions::default()).await);
    });
}

#[test]
fn requests_that_wait_are_bounded_and_answered_when_the_isolate_is_terminated() {
    run(async |host| {
        let isolate = spawn(&host, STUCK);
        let mut waiting: Vec<_> = (0..16).map(|_| Box::pin(isolate.heap_statistics())).collect();
        for request in &mut waiting {
            assert!(
                tokio::time::timeout(Duration::from_millis(1), request.as_mut())
                    .await
                    .is_err()
            );
        }
        let refused = isolate.heap_statistics().await.unwrap_err();
        assert!(refused.is_code("EAGAIN"), "{refused}");
        isolate.terminate();
        for request in waiting {
            assert_not_running(request.await);
        }
        assert_not_running(isolate.heap_snapshot(SnapshotOptions::default()).await);
    });
}

/// The names of the functions in a CPU profile with the number of samples in which they are youngest.
fn samples_by_function(profile: &serde_json::Value) -> Vec<(String, u64)> {
    let thread = &profile["threads"][0];
    let numbers = |column: &serde_json::Value| -> Vec<u64> {
        column
            .as_array()
            .unwrap()
            .iter()
            .map(|number| number.as_u64().unwrap())
            .collect()
    };
    let stacks = numbers(&thread["samples"]["stack"]);
    let weights = numbers(&thread["samples"]["weight"]);
    let mut counts = std::collections::BTreeMap::new();
    for (stack, weight) in stacks.iter().zip(weights) {
        let frame = thread["stackTable"]["frame"][usize::try_from(*stack).unwrap()]
            .as_u64()
            .unwrap();
        let function = thread["frameTable"]["func"][usize::try_from(frame).unwrap()]
            .as_u64()
            .unwrap();
        let name = thread["funcTable"]["name"][usize::try_from(function).unwrap()]
            .as_u64()
            .unwrap();
        let name = thread["stringArray"][usize::try_from(name).unwrap()].as_str().unwrap();
        *counts.entry(name.to_string()).or_default() += weight;
    }
    counts.into_iter().collect()
}

#[test]
fn a_cpu_profile_names_the_hot_function() {
    run(async |host| {
        let isolate = working(&host, "compute").await;
        let every_tick = isolate.start_cpu_profile(CpuProfileOptions::default()).await.unwrap();
        let few = CpuProfileOptions {
            sample_interval: Duration::from_millis(20),
            max_buffer_size: 3,
        };
        let few = isolate.start_cpu_profile(few).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let text = every_tick.stop().await.unwrap();
        assert_eq!(every_tick.stop().await.unwrap(), text);
        let profile: serde_json::Value = serde_json::from_str(&text).unwrap();
        let counts = samples_by_function(&profile);
        let total: u64 = counts.iter().map(|(_, count)| count).sum();
        let hot: u64 = counts
            .iter()
            .filter(|(name, _)| name.contains("hot_loop"))
            .map(|(_, count)| count)
            .sum();
        assert!(hot >= 20 && hot * 10 >= total * 9, "{counts:?}");
        let few: serde_json::Value = serde_json::from_str(&few.stop().await.unwrap()).unwrap();
        assert_eq!(few["threads"][0]["samples"]["length"], 3);
    });
}

#[test]
fn a_waiting_isolate_is_idle_in_its_cpu_profile() {
    run(async |host| {
        let isolate = working(&host, "wait").await;
        let profile = isolate.start_cpu_profile(CpuProfileOptions::default()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let profile: serde_json::Value = serde_json::from_str(&profile.stop().await.unwrap()).unwrap();
        let counts = samples_by_function(&profile);
        let idle = counts
            .iter()
            .find(|(name, _)| name == "(idle)")
            .map_or(0, |(_, count)| *count);
        assert!(idle >= 90, "{counts:?}");
        // It may have come to wait only after the start.
        assert!(
            counts.iter().map(|(_, count)| count).sum::<u64>() <= idle + 5,
            "{counts:?}"
        );
    });
}

#[test]
fn a_cpu_profile_ends_with_its_isolate_and_is_not_lost() {
    run(async |host| {
        let isolate = working(&host, "compute").await;
        let profile = isolate.start_cpu_profile(CpuProfileOptions::default()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        isolate.terminate();
        isolate.join().await;
        let text = profile.stop().await.unwrap();
        assert!(text.contains("hot_loop"));
        assert_eq!(profile.stop().await.unwrap(), text);
    });
}

#[test]
fn cpu_profiles_are_bounded_and_dropping_one_stops_it() {
    run(async |host| {
        let isolate = spawn(&host, ENDLESS);
        let mut profiles = Vec::new();
        for _ in 0..16 {
            profiles.push(isolate.start_cpu_profile(CpuProfileOptions::default()).await.unwrap());
        }
        let refused = isolate
            .start_cpu_profile(CpuProfileOptions::default())
            .await
            .unwrap_err();
        assert!(refused.is_code("EAGAIN"), "{refused}");
        profiles.pop();
        assert!(isolate.start_cpu_profile(CpuProfileOptions::default()).await.is_ok());
    });
}

/// Bytes of a node of a heap profile and of those below it.
fn bytes_below(node: &serde_json::Value) -> u64 {
    let children = node["children"].as_array().unwrap();
    node["selfSize"].as_u64().unwrap() + children.iter().map(bytes_below).sum::<u64>()
}

#[test]
fn a_heap_profile_names_the_function_that_allocates() {
    run(async |host| {
        let isolate = working(&host, "churn").await;
        let options = HeapProfileOptions {
            sample_interval: 65536,
            stack_depth: 8,
        };
        let profile = isolate.start_heap_profile(options).await.unwrap();
        let second = isolate.start_heap_profile(options).await.unwrap_err();
        assert!(second.is_code("ERR_HEAP_PROFILE_HAVE_BEEN_STARTED"), "{second}");
        assert_eq!(second.message, "heap profiling has already been started");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let text = profile.stop().await.unwrap();
        assert_eq!(profile.stop().await.unwrap(), text);
        let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(text.contains("churn"), "{text}");
        assert_eq!(tree["head"]["callFrame"]["functionName"], "(root)");
        let samples = tree["samples"].as_array().unwrap();
        let sampled: u64 = samples.iter().map(|sample| sample["size"].as_u64().unwrap()).sum();
        assert!(sampled >= 10 * 65536, "{sampled}");
        assert!(samples.len() == 65_536 || bytes_below(&tree["head"]) == sampled);
        assert!(!text.contains("CountingAllocator"), "{text}");

        // Stopping makes room for the next.
        drop(isolate.start_heap_profile(options).await.unwrap());
        let last = isolate.start_heap_profile(options).await.unwrap();
        isolate.terminate();
        isolate.join().await;
        assert!(last.stop().await.unwrap().contains("(root)"));
    });
}
