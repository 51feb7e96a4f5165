//! The functions of `Atomics` in one isolate.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI32, AtomicU8};
use std::time::{Duration, Instant};

use nodule_sdk::shared_memory::{Atomics, Cell, SharedBuffer, WaitResult};
use nodule_sdk::{task, timers};

const MS: Duration = Duration::from_millis(1);

fn operations<C: Cell>(view: &[C], value: impl Fn(u8) -> C::Value) -> nodule_sdk::Result<()>
where
    C::Value: Debug,
{
    let last = view.len() - 1;
    let trace = [
        Atomics::store(view, last, value(12))?,
        Atomics::add(view, last, value(3))?,
        Atomics::sub(view, last, value(1))?,
        Atomics::and(view, last, value(7))?,
        Atomics::or(view, last, value(9))?,
        Atomics::xor(view, last, value(5))?,
        Atomics::exchange(view, last, value(100))?,
        Atomics::compare_exchange(view, last, value(99), value(1))?,
        Atomics::compare_exchange(view, last, value(100), value(0))?,
        Atomics::sub(view, last, value(1))?,
        Atomics::load(view, last)?,
    ];
    println!("{trace:?}");
    let error = Atomics::add(view, last + 1, value(0)).unwrap_err();
    println!("{} {}", error.name(), error.code().unwrap_or("-"));
    Ok(())
}

fn show(result: nodule_sdk::Result<WaitResult>) {
    match result {
        Ok(result) => println!("{}", result.name()),
        Err(error) => println!("{} {}", error.name(), error.code().unwrap_or("-")),
    }
}

#[nodule_sdk::main]
async fn main() -> nodule_sdk::Result<()> {
    let buffer = SharedBuffer::new(128)?;
    operations(buffer.as_u8(), u8::from)?;
    operations(buffer.as_i16(), i16::from)?;
    operations(buffer.as_u32(), u32::from)?;
    operations(buffer.as_i64(), i64::from)?;
    println!("lock free {:?}", [1, 2, 3, 4, 8, 16].map(Atomics::is_lock_free));
    Atomics::pause();

    let cells = buffer.as_i32();
    show(Atomics::wait(cells, 0, 1, None));
    let start = Instant::now();
    show(Atomics::wait(cells, 0, 0, Some(20 * MS)));
    println!("waited {}", start.elapsed() >= 20 * MS);
    show(Atomics::wait(cells, 0, 0, Some(Duration::ZERO)));
    show(Atomics::wait(buffer.as_u64(), 1, 5, None));
    show(Atomics::wait(cells, 32, 0, None));
    let own = [AtomicI32::new(0)];
    show(Atomics::wait(&own, 0, 0, None));
    println!(
        "notify {} {}",
        Atomics::notify(&own, 0, 1)?,
        Atomics::notify(cells, 0, Atomics::ALL)?
    );
    let bytes: [AtomicU8; 1] = [AtomicU8::new(3)];
    println!("own memory {}", Atomics::add(&bytes, 0, 1)?);

    let first = Atomics::wait_async(cells, 2, 0, None)?;
    let second = Atomics::wait_async(cells, 2, 0, Some(10_000 * MS))?;
    let third = Atomics::wait_async(cells, 2, 0, Some(5 * MS))?;
    let dropped = Atomics::wait_async(cells, 2, 0, None)?;
    let not_equal = Atomics::wait_async(cells, 2, 7, None)?;
    println!("at once {} {}", first.is_ready(), not_equal.is_ready());
    println!("{}", not_equal.await.name());
    println!("{}", third.await.name());
    drop(dropped);
    println!("notify {}", Atomics::notify(cells, 2, 1)?);
    println!("{}", first.await.name());
    let ender = task::spawn(async move {
        timers::sleep(MS).await;
        println!("in time");
    });
    println!(
        "notify {} {}",
        Atomics::notify(cells, 2, 5)?,
        Atomics::notify(cells, 2, 5)?
    );
    println!("{}", second.await.name());
    ender.await?;
    // It does not keep the isolate alive: the program ends here.
    std::mem::forget(Atomics::wait_async(cells, 2, 0, None)?);
    Ok(())
}
