//! The library: embedding isolates and plugins, and ending them in whatever state they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use nodule::stdio::{Input, Output};
use nodule::wasmtime::{Caller, Linker};
use nodule::{ExitStatus, Host, Isolate, IsolateState, Limits, Module};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::guests::{c, tests};
use crate::support::{cache_directory, guest};

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

fn module(host: &Host, text: &str) -> Module {
    Module::from_bytes(host, "guest", text.as_bytes()).unwrap()
}

/// Counts its calls in memory; traps, loops and reaches beyond its memory on demand.
const PLUGIN: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "add") (param i32 i32) (result i32)
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (i32.add (local.get 0) (local.get 1)))
    (func (export "calls") (result i32) (i32.load (i32.const 0)))
    (func (export "trap") unreachable)
    (func (export "loop") (loop $again (br $again)))
    (func (export "_initialize") (i32.store (i32.const 0) (i32.const 100))))"#;

#[test]
fn a_plugin_keeps_its_memory_between_calls_and_after_a_trap() {
    run(async |host| {
        let mut plugin = host.plugin(&module(&host, PLUGIN)).await.unwrap();
        assert_eq!(plugin.call::<(i32, i32), i32>("add", (2, 3)).await.unwrap(), 5);
        assert_eq!(
            plugin.call::<(), i32>("calls", ()).await.unwrap(),
            101,
            "_initialize ran first"
        );
        let error = plugin.call::<(), ()>("trap", ()).await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some("ERR_WASM_UNREACHABLE"));
        assert_eq!(plugin.call::<(), i32>("calls", ()).await.unwrap(), 101);
        plugin.write_memory(0, &7_i32.to_le_bytes()).unwrap();
        assert_eq!(plugin.call::<(), i32>("calls", ()).await.unwrap(), 7);
        assert_eq!(plugin.read_memory(0, 4).unwrap(), 7_i32.to_le_bytes());
    });
}

#[test]
fn calls_that_cannot_be_made_are_refused() {
    run(async |host| {
        let mut plugin = host.plugin(&module(&host, PLUGIN)).await.unwrap();
        let missing = plugin.call::<(), ()>("missing", ()).await.unwrap_err();
        let mistyped = plugin.call::<i64, i64>("add", 1).await.unwrap_err();
        for error in [missing, mistyped] {
            assert_eq!(error.code.as_deref(), Some("ERR_INVALID_ARG_VALUE"), "{error}");
        }
        for (address, len) in [(65536, 1), (65535, 2), (u32::MAX, 1), (0, usize::MAX), (1, usize::MAX)] {
            let error = plugin.read_memory(address, len).unwrap_err();
            assert_eq!(error.code.as_deref(), Some("EFAULT"), "{address} {len}");
        }
        assert_eq!(
            plugin.write_memory(65535, &[0; 2]).unwrap_err().code.as_deref(),
            Some("EFAULT")
        );
        assert!(plugin.read_memory(65536, 0).unwrap().is_empty());
    });
}

#[test]
fn a_plugin_call_ends_at_its_limits_and_by_its_terminator() {
    run(async |host| {
        let limits = Limits {
            timeout: Some(Duration::from_millis(50)),
            ..Limits::default()
        };
        let mut plugin = host
            .isolate(&module(&host, PLUGIN))
            .limits(limits)
            .plugin()
            .await
            .unwrap();
        let error = plugin.call::<(), ()>("loop", ()).await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some("ERR_WORKER_DEADLINE"));

        let mut plugin = host.plugin(&module(&host, PLUGIN)).await.unwrap();
        let terminator = plugin.terminator();
        let (error, ()) = tokio::join!(plugin.call::<(), ()>("loop", ()), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            terminator.cancel();
        });
        assert_eq!(error.unwrap_err().code.as_deref(), Some("ECANCELED"));
        let later = plugin.call::<(), i32>("calls", ()).await.unwrap_err();
        assert_eq!(
            later.code.as_deref(),
            Some("ECANCELED"),
            "not one instruction after the end"
        );
    });
}

#[test]
fn host_functions_see_the_values_of_their_isolate() {
    let hook = |linker: &mut Linker<IsolateState>| {
        linker.func_wrap("shop", "count", |mut caller: Caller<'_, IsolateState>| {
            let count = caller.data_mut().extensions.get_mut::<i32>();
            count.map_or(-1, |count| {
                *count += 1;
                *count
            })
        })?;
        Ok(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let host = Host::builder().no_cache().linker(hook).build().unwrap();
        let text = r#"(module (import "shop" "count" (func $count (result i32)))
            (func (export "count") (result i32) (call $count)))"#;
        let module = module(&host, text);
        let mut first = host.isolate(&module).extension(10).plugin().await.unwrap();
        let mut second = host.isolate(&module).extension(20).plugin().await.unwrap();
        let mut none = host.isolate(&module).plugin().await.unwrap();
        for (plugin, expected) in [(&mut first, 11), (&mut second, 21), (&mut none, -1)] {
            assert_eq!(plugin.call::<(), i32>("count", ()).await.unwrap(), expected);
        }
        assert_eq!(first.call::<(), i32>("count", ()).await.unwrap(), 12);
        assert_eq!(first.state().extensions.get::<i32>(), Some(&12));
    });
    let shadowing = |linker: &mut Linker<IsolateState>| {
        linker.func_wrap("nodule:process/1", "hrtime", || 0_i64)?;
        Ok(())
    };
    assert!(
        Host::builder().no_cache().linker(shadowing).build().is_err(),
        "what is there cannot be replaced"
    );
}

#[test]
fn streams_lead_where_the_embedder_says() {
    run(async |host| {
        let module = Module::from_file(&host, tests::PROCESS_STDIN.path()).unwrap();
        let bytes = host
            .isolate(&module)
            .args(["flow"])
            .stdin(Input::bytes("given"))
            .stdout(Output::pipe());
        let mut isolate = bytes.spawn().unwrap();
        let mut text = String::new();
        isolate.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "givenend\nexit 0\n");
        assert!(isolate.join().await.success());

        let mut isolate = host
            .isolate(&module)
            .args(["lines"])
            .stdin(Input::pipe())
            .stdout(Output::pipe())
            .spawn()
            .unwrap();
        let (mut stdin, mut stdout) = (isolate.stdin.take().unwrap(), isolate.stdout.take().unwrap());
        stdin.write_all(b"piped\n").await.unwrap();
        let mut seen = vec![0; "line \"piped".len()];
        stdout.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, b"line \"piped");
        drop(stdin);
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).await.unwrap();
        assert!(rest.ends_with("exit 0\n"), "{rest}");
        assert!(isolate.join().await.success());
    });
}

#[test]
fn an_embedded_guest_cannot_change_the_process() {
    run(async |host| {
        let before = (std::env::current_dir().unwrap(), std::process::id());
        for (guest, arguments) in [(tests::PROCESS_ABORT, vec![]), (tests::PROCESS_DIRECTORY, vec!["/"])] {
            let module = Module::from_file(&host, guest.path()).unwrap();
            let mut isolate = host
                .isolate(&module)
                .args(arguments)
                .stdout(Output::pipe())
                .stderr(Output::pipe())
                .spawn()
                .unwrap();
            let mut text = String::new();
            isolate.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
            let status = isolate.join().await;
            let seen = format!("{text} {:?}", status.error);
            assert!(seen.contains("ERR_WORKER_UNSUPPORTED_OPERATION"), "{seen}");
        }
        assert_eq!((std::env::current_dir().unwrap(), std::process::id()), before);
    });
}

/// Calls the host function `count` for ever.
const COUNTING: &str = r#"(module (import "test" "count" (func $count))
    (func (export "_start") (loop $again (call $count) (br $again))))"#;

#[test]
fn after_terminate_not_one_instruction_runs() {
    let counter = Arc::new(AtomicI32::new(0));
    let counted = Arc::clone(&counter);
    let hook = move |linker: &mut Linker<IsolateState>| {
        let counted = Arc::clone(&counted);
        linker.func_wrap("test", "count", move || {
            counted.fetch_add(1, Ordering::SeqCst);
        })?;
        Ok(())
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let host = Host::builder().no_cache().linker(hook).build().unwrap();
        let module = module(&host, COUNTING);
        for _ in 0..50 {
            let isolate = host.isolate(&module).spawn().unwrap();
            let before = counter.load(Ordering::SeqCst);
            while counter.load(Ordering::SeqCst) == before {
                tokio::task::yield_now().await;
            }
            isolate.terminate();
            isolate.terminate();
            assert_eq!(isolate.join().await, ExitStatus { code: 1, error: None });
            let after = counter.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert_eq!(counter.load(Ordering::SeqCst), after);
        }
        // Dropped instead of ended: it stops as well.
        drop(host.isolate(&module).spawn().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let after = counter.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(counter.load(Ordering::SeqCst), after);
    });
}

#[test]
fn an_isolate_ends_soon_in_every_state() {
    let waiting = r#"(module
        (import "nodule:timers/1" "set" (func $set (param f64 i32 i32) (result i32)))
        (import "nodule:event_loop/1" "wait" (func $wait (param i32 i32 i64 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (drop (call $set (f64.const 1e9) (i32.const 0) (i32.const 0)))
            (drop (call $wait (i32.const 64) (i32.const 1) (i64.const -1) (i32.const 1) (i32.const 8)))))"#;
    let busy = r#"(module (func (export "_start") (loop $again (br $again))))"#;
    run(async |host| {
        for text in [waiting, busy] {
            let module = module(&host, text);
            let mut times = Vec::new();
            for _ in 0..30 {
                let isolate = host.isolate(&module).spawn().unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
                let start = Instant::now();
                isolate.terminate();
                assert_eq!(isolate.join().await.code, 1);
                times.push(start.elapsed());
            }
            times.sort();
            // Milliseconds on an idle machine; the bound leaves room for a busy one and none for a hang.
            assert!(times[times.len() / 2] < Duration::from_millis(100), "{times:?}");
        }
        // Before its first instruction.
        let isolate = host.isolate(&module(&host, busy)).spawn().unwrap();
        isolate.terminate();
        assert_eq!(isolate.join().await.code, 1);
    });
}

#[test]
fn isolates_of_one_host_are_many() {
    run(async |host| {
        let module = module(
            &host,
            r#"(module (memory (export "memory") 1) (func (export "_start")))"#,
        );
        let isolates: Vec<_> = (0..1000).map(|_| host.isolate(&module).spawn().unwrap()).collect();
        let mut ids: Vec<_> = isolates.iter().map(Isolate::id).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1000);
        for isolate in isolates {
            assert!(isolate.join().await.success());
        }
    });
}

#[test]
fn imports_work_from_c() {
    guest(c::PROCESS_IMPORTS).run().code(44).stderr("").stdout(&format!(
        "platform 0 {}\n\
         too small 1\n\
         no attribute 1\n\
         record 0 1\n\
         set 0\n\
         wait 0\n\
         event 1 1 1\n\
         closed 1\n\
         idle 0\n\
         count 0\n",
        std::env::consts::OS
    ));
}
