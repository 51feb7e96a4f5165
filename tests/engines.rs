//! Engines and code through the library: siblings, modules that are shared, limits on code, loop utilization.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nodule::wasmtime::Linker;
use nodule::{EngineOptions, Host, HostBuilder, IsolateState, Limits, Module, ModuleError};

fn run<T>(builder: HostBuilder, test: impl AsyncFnOnce(Host) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let host = builder.build().unwrap();
        tokio::time::timeout(Duration::from_secs(60), test(host))
            .await
            .expect("the test took too long")
    })
}

/// Recurses as often as it is told; frames are large enough to fill a stack.
const RECURSES: &str = r#"(module
    (func $down (export "down") (param i32) (result i64) (local i64 i64 i64 i64)
        (if (result i64) (i32.eqz (local.get 0))
            (then (i64.const 0))
            (else (i64.add (i64.extend_i32_u (local.get 0)) (call $down (i32.sub (local.get 0) (i32.const 1))))))))"#;

const LOOPS: &str = r#"(module (func (export "_start") (loop $again (br $again))))"#;
const EMPTY: &str = r#"(module (func (export "_start")))"#;

fn module(host: &Host, text: &str) -> Module {
    Module::from_bytes(host, "guest", text.as_bytes()).unwrap()
}

fn stack(bytes: usize) -> EngineOptions {
    EngineOptions {
        max_stack_bytes: bytes,
        ..EngineOptions::default()
    }
}

async fn recurses(host: &Host, module: &Module, depth: i32) -> bool {
    let mut plugin = host.plugin(&module.for_host(host).unwrap()).await.unwrap();
    match plugin.call::<i32, i64>("down", depth).await {
        Ok(sum) => sum == i64::from(depth) * (i64::from(depth) + 1) / 2,
        Err(error) => {
            assert_eq!(error.code.as_deref(), Some("ERR_WASM_STACK_OVERFLOW"));
            false
        }
    }
}

#[test]
fn siblings_have_stacks_of_their_class() {
    run(Host::builder().no_cache(), async |host| {
        let small = host.sibling(stack(200_000)).unwrap();
        let large = host.sibling(stack(15 << 20)).unwrap();
        let sizes = [&small, &host, &large].map(|host| host.options().max_stack_bytes);
        assert_eq!(sizes, [1 << 18, 1 << 20, 16 << 20]);
        let module = module(&host, RECURSES);
        // From half a MiB of frames to some more than that.
        let depths = [5_000, 20_000, 300_000];
        assert!(recurses(&small, &module, 1_000).await && !recurses(&small, &module, depths[1]).await);
        assert!(recurses(&host, &module, depths[0]).await && !recurses(&host, &module, depths[2]).await);
        assert!(recurses(&large, &module, depths[2] / 4).await);
    });
}

#[test]
fn siblings_are_made_once_and_bounded() {
    run(Host::builder().no_cache(), async |host| {
        let same = |one: &Host, other: &Host| nodule::wasmtime::Engine::same(one.engine(), other.engine());
        let small = host.sibling(stack(1 << 18)).unwrap();
        assert!(same(&small, &host.sibling(stack(1)).unwrap()));
        assert!(same(&small, &small.sibling(stack(1 << 18)).unwrap()));
        assert!(
            same(&host, &small.sibling(stack(1 << 20)).unwrap()),
            "back to where it came from"
        );
        assert!(same(&host, &host.sibling(host.options()).unwrap()));
        assert!(!same(&small, &host));
        // A sibling of a sibling is known to both.
        let fuel = EngineOptions {
            fuel: true,
            ..stack(1 << 18)
        };
        assert!(same(&small.sibling(fuel).unwrap(), &host.sibling(fuel).unwrap()));
        // A sibling outlives the host it came from.
        drop(host);
        let module = module(&small, EMPTY);
        assert!(small.isolate(&module).spawn().unwrap().join().await.success());
        small.sibling(stack(1 << 19)).unwrap();
    });
}

#[test]
fn guests_in_siblings_give_way_and_end_at_their_limits() {
    run(Host::builder().no_cache(), async |host| {
        let sibling = host.sibling(stack(1 << 18)).unwrap();
        let loops = module(&host, LOOPS).for_host(&sibling).unwrap();
        let limits = Limits {
            max_cpu_time: Some(Duration::from_millis(30)),
            ..Limits::default()
        };
        let status = sibling.isolate(&loops).limits(limits).spawn().unwrap().join().await;
        assert_eq!(status.error.unwrap().code.as_deref(), Some("ERR_WORKER_CPU_LIMIT"));

        let metered = host
            .sibling(EngineOptions {
                fuel: true,
                ..host.options()
            })
            .unwrap();
        let loops = loops.for_host(&metered).unwrap();
        let limits = Limits {
            fuel: Some(100_000),
            ..Limits::default()
        };
        let status = metered.isolate(&loops).limits(limits).spawn().unwrap().join().await;
        assert_eq!(status.error.unwrap().code.as_deref(), Some("ERR_WORKER_OUT_OF_FUEL"));
    });
}

#[test]
fn host_functions_of_the_embedder_are_in_siblings_too() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let hook = |linker: &mut Linker<IsolateState>| {
        RUNS.fetch_add(1, Ordering::Relaxed);
        linker.func_wrap("shop", "seven", || 7)?;
        Ok(())
    };
    let text = r#"(module (import "shop" "seven" (func $seven (result i32)))
        (func (export "call") (result i32) (call $seven)))"#;
    run(Host::builder().no_cache().linker(hook), async |host| {
        let module = module(&host, text);
        let sibling = host.sibling(stack(1 << 18)).unwrap();
        host.sibling(stack(1 << 18)).unwrap();
        assert_eq!(RUNS.load(Ordering::Relaxed), 2, "one run an engine");
        let mut plugin = sibling.plugin(&module.for_host(&sibling).unwrap()).await.unwrap();
        assert_eq!(plugin.call::<(), i32>("call", ()).await.unwrap(), 7);
    });
}

/// A module file in a directory of its own, old enough for its times to tell something.
fn old_file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("guest.wat");
    std::fs::write(&path, text).unwrap();
    // Not only the time of the content counts, and that of the inode cannot be set.
    std::thread::sleep(Duration::from_millis(150));
    (directory, path)
}

#[test]
fn a_file_that_did_not_change_is_loaded_once() {
    run(Host::builder().no_cache(), async |host| {
        let (_directory, path) = old_file(EMPTY);
        let same = |one: &Module, other: &Module| one.wasm().image_range() == other.wasm().image_range();
        let loads = (0..100).map(|_| {
            let (host, path) = (host.clone(), path.clone());
            tokio::spawn(async move { Module::load_file(&host, &path).await.unwrap() })
        });
        let mut modules = Vec::new();
        for load in loads.collect::<Vec<_>>() {
            modules.push(load.await.unwrap());
        }
        assert!(modules.iter().all(|module| same(module, &modules[0])));
        assert_eq!(modules[0].path(), Some(std::fs::canonicalize(&path).unwrap().as_path()));
        let bytes = std::fs::read(&path).unwrap();
        let of_bytes = Module::load_bytes(&host, "bytes", bytes.into()).await.unwrap();
        assert!(
            same(&of_bytes, &modules[0]),
            "code is shared by its bytes, not by its name"
        );
        assert_eq!(of_bytes.name(), "bytes");

        std::fs::write(&path, LOOPS).unwrap();
        let changed = Module::load_file(&host, &path).await.unwrap();
        assert!(!same(&changed, &modules[0]));
        std::fs::remove_file(&path).unwrap();
        let gone = Module::load_file(&host, &path).await.unwrap_err();
        assert!(matches!(gone, ModuleError::Unreadable { .. }), "{gone}");
    });
}

#[test]
fn code_for_another_engine_needs_its_source() {
    run(Host::builder().no_cache(), async |host| {
        let metered = host
            .sibling(EngineOptions {
                fuel: true,
                ..host.options()
            })
            .unwrap();
        let small = host.sibling(stack(1 << 18)).unwrap();
        let (directory, path) = old_file(EMPTY);
        let module = Module::load_file(&host, &path).await.unwrap();
        assert!(module.load_for_host(&metered).await.is_ok());
        let path = directory.path().join("other.wat");
        std::fs::write(&path, RECURSES).unwrap();
        let module = Module::from_file(&host, &path).unwrap();
        std::fs::write(&path, EMPTY).unwrap();
        let error = module.load_for_host(&metered).await.unwrap_err();
        assert!(error.to_string().contains("its file changed"), "{error}");
        assert!(
            module.load_for_host(&small).await.is_ok(),
            "the same code needs no source"
        );
    });
}

#[test]
fn more_code_than_allowed_does_not_start() {
    run(Host::builder().no_cache(), async |host| {
        let module = module(&host, EMPTY);
        let of = |max_code_bytes| Limits {
            max_code_bytes: Some(max_code_bytes),
            ..Limits::default()
        };
        let enough = of(module.code_bytes());
        assert!(
            host.isolate(&module)
                .limits(enough)
                .spawn()
                .unwrap()
                .join()
                .await
                .success()
        );
        let less = of(module.code_bytes() - 1);
        let status = host.isolate(&module).limits(less).spawn().unwrap().join().await;
        let error = status.error.unwrap();
        assert_eq!(error.code.as_deref(), Some("ERR_WORKER_OUT_OF_MEMORY"));
        let reason = "Worker terminated due to reaching memory limit: ";
        assert!(
            error.message.starts_with(reason) && error.message.contains("--max-code"),
            "{error}"
        );
    });
}

/// Waits for a timer of 50 ms, then computes until it is ended.
const WAITS_THEN_LOOPS: &str = r#"(module
    (import "nodule:timers/1" "set" (func $set (param f64 i32 i32) (result i32)))
    (import "nodule:event_loop/1" "wait" (func $wait (param i32 i32 i64 i32 i32) (result i32)))
    (memory (export "memory") 3)
    (func (export "_start")
        (drop (call $set (f64.const 50) (i32.const 0) (i32.const 0)))
        (drop (call $wait (i32.const 64) (i32.const 1) (i64.const -1) (i32.const 1) (i32.const 8)))
        (loop $again (br $again))))"#;

#[test]
fn utilization_is_read_while_an_isolate_waits_and_computes() {
    run(Host::builder().no_cache(), async |host| {
        let module = module(&host, WAITS_THEN_LOOPS);
        let isolate = host.isolate(&module).spawn().unwrap();
        let start = Instant::now();
        while isolate.activity().event_loop_utilization().0 < 20_000_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(start.elapsed() >= Duration::from_millis(20));
        assert_eq!(isolate.activity().memory_bytes(), 3 << 16);
        while isolate.activity().event_loop_utilization().1 < 100_000_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (idle, _) = isolate.activity().event_loop_utilization();
        assert!(idle >= 50_000_000, "it waited for its timer: {idle} ns");
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(isolate.activity().event_loop_utilization().0, idle, "it computes since");
        isolate.terminate();
        while isolate.activity().is_online() {
            tokio::task::yield_now().await;
        }
        assert_eq!(isolate.activity().event_loop_utilization(), (0, 0), "after its end");
    });
}
