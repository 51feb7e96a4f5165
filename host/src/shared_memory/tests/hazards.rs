//! What must never happen: pages that outlive their window, memories that move, updates that get lost.
#![allow(
    clippy::disallowed_methods,
    reason = "these stores have no state of an isolate, and nothing runs meanwhile"
)]

use std::panic::AssertUnwindSafe;
use std::task::{Context, Waker};

use wasmtime::{Config, Engine, InstanceAllocationStrategy, Linker, PoolingAllocationConfig, Store};

use super::super::mapping::Linear;
use super::super::window::{Backing, Windows};
use super::*;

/// How a tenant of a slot ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Return,
    Trap,
    Cancel,
    Panic,
}

/// An engine as ours, with one slot for memories.
fn one_slot() -> Engine {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(1).total_memories(1).total_tables(1);
    let mut config = Config::new();
    config
        .memory_may_move(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).unwrap()
}

/// A store whose data has the windows, as that of an isolate.
async fn tenant(engine: &Engine) -> (Store<Windows>, wasmtime::Instance) {
    let text = r#"(module
        (import "" "end" (func $end))
        (memory (export "memory") 1 100)
        (func (export "trap") unreachable)
        (func (export "run") (call $end)))"#;
    let module = wasmtime::Module::new(engine, text).unwrap();
    let mut store = Store::new(engine, Windows::default());
    let mut linker = Linker::new(engine);
    linker
        .func_wrap_async("", "end", |mut caller: Caller<'_, Windows>, (): ()| {
            Box::new(async move {
                assert!(caller.data_mut().count() < 2, "two windows are the sign to panic");
                std::future::pending::<()>().await;
            })
        })
        .unwrap();
    let instance = linker.instantiate_async(&mut store, &module).await.unwrap();
    (store, instance)
}

async fn window(store: &mut Store<Windows>, instance: wasmtime::Instance, buffer: &Arc<SharedBuffer>) -> usize {
    let memory = instance.get_memory(&mut *store, "memory").unwrap();
    let size = u32::try_from(memory.size(&*store)).unwrap();
    let linear = Linear::of(memory, &*store);
    let place = store.data_mut().place(linear, buffer.pages().count(), size).unwrap();
    memory.grow_async(&mut *store, u64::from(place.growth)).await.unwrap();
    let linear = Linear::of(memory, &*store);
    let address = store
        .data_mut()
        .map(linear, place, Backing::Shared(Arc::clone(buffer)))
        .unwrap();
    memory.write(store, address as usize, b"secret").unwrap();
    address as usize
}

async fn end_by(end: End, mut store: Store<Windows>, instance: wasmtime::Instance) {
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    match end {
        End::Return => {}
        End::Trap => {
            let trap = instance.get_typed_func::<(), ()>(&mut store, "trap").unwrap();
            assert!(trap.call_async(&mut store, ()).await.is_err());
        }
        End::Cancel => {
            let mut call = Box::pin(run.call_async(&mut store, ()));
            let mut context = Context::from_waker(Waker::noop());
            assert!(call.as_mut().poll(&mut context).is_pending());
            drop(call);
        }
        End::Panic => {
            window(&mut store, instance, &buffer(1)).await;
            let mut call = Box::pin(run.call_async(&mut store, ()));
            let mut context = Context::from_waker(Waker::noop());
            let poll = AssertUnwindSafe(|| drop(call.as_mut().poll(&mut context)));
            assert!(std::panic::catch_unwind(poll).is_err());
        }
    }
}

/// Hazard (a): without the overlay in `Drop for Windows` the next tenant of the slot sees the shared page.
#[tokio::test]
async fn the_next_tenant_of_a_slot_sees_zeros_however_the_last_one_ended() {
    let engine = one_slot();
    for end in [End::Return, End::Trap, End::Cancel, End::Panic] {
        let shared = buffer(10);
        let (mut store, instance) = tenant(&engine).await;
        let address = window(&mut store, instance, &shared).await;
        end_by(end, store, instance).await;
        let (mut store, instance) = tenant(&engine).await;
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        memory.grow_async(&mut store, 4).await.unwrap();
        let mut seen = [0; 6];
        memory.read(&store, address, &mut seen).unwrap();
        assert_eq!(seen, [0; 6], "{end:?}");
        memory.write(&mut store, address, b"public").unwrap();
        let mut pages = [0; 6];
        rustix::io::pread(shared.pages().file(), &mut pages[..], 0).unwrap();
        assert_eq!(&pages, b"secret", "{end:?}");
    }
}

/// Hazard (b): windows lie at addresses that are remembered.
#[tokio::test]
async fn memories_never_move() {
    for options in [
        crate::EngineOptions::default(),
        crate::EngineOptions {
            fuel: true,
            ..Default::default()
        },
    ] {
        let host = Host::builder().no_cache().engine_options(options).build().unwrap();
        let mut guest = Guest::new(&host).await;
        let memory = guest.0.state().exports.memory.unwrap();
        let place = |guest: &Guest| Linear::of(memory, guest.0.store());
        let before = place(&guest);
        guest.0.call::<_, i32>("grow_memory", 4_000).await.unwrap();
        assert_eq!(place(&guest), before);
        // More than what is reserved is refused instead of moved: 4 GiB are all of it.
        assert_eq!(
            guest.0.call::<_, i32>("grow_memory", 65_536 - 4_002).await.unwrap(),
            4_002
        );
        assert_eq!(place(&guest), before);
    }
}

/// Atomics of guests are locked instructions although the memory is not a shared one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_addition_of_two_isolates_is_lost() {
    const COUNT: i32 = 2_000_000;
    let host = host();
    let shared = buffer(8);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let mut guest = Guest::new(&host).await;
        let address = guest.give_mapped(&shared).await;
        tasks.spawn(async move {
            guest
                .0
                .call::<_, ()>("add_many", (address.cast_signed() + 4, COUNT))
                .await
                .unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let mut cell = [0; 4];
    rustix::io::pread(shared.pages().file(), &mut cell[..], 4).unwrap();
    assert_eq!(i32::from_le_bytes(cell), 2 * COUNT);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn atomics_compile_to_locked_instructions() {
    let host = host();
    let module = module(&host);
    let code = module.wasm().text();
    // lock xadd, or lock add where the old value is dropped; each with or without a prefix for high registers.
    let is_locked = |bytes: &[u8]| match bytes {
        [0xf0, 0x40..=0x4f, rest @ ..] | [0xf0, rest @ ..] => matches!(rest, [0x0f, 0xc1, ..] | [0x01, ..]),
        _ => false,
    };
    assert!(
        code.windows(4).any(is_locked),
        "no locked addition in the code of i32.atomic.rmw.add"
    );
}

/// The windows of an isolate that trapped are gone with it, and the buffer is as it was.
#[tokio::test]
async fn a_trap_leaves_the_buffer_to_others() {
    let host = host();
    let shared = buffer(10);
    let mut guest = Guest::new(&host).await;
    let handle = guest.give(&shared);
    assert!(guest.0.call::<_, ()>("map_and_trap", handle).await.is_err());
    drop(guest);
    assert_eq!(Arc::strong_count(&shared), 1);
}
