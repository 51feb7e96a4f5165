//! Locks and queues in one isolate: states, times, errors.

use std::time::Duration;

use nodule_sdk::shared_memory::{Condvar, MpmcRing, Mutex, OnceCell, RobustMutex, Semaphore, SharedBuffer, SpscRing};

const SHORT: Duration = Duration::from_millis(5);

fn locks(buffer: &SharedBuffer) -> nodule_sdk::Result<()> {
    let mutex = Mutex::at(buffer, 0)?;
    let guard = mutex.lock()?;
    println!(
        "mutex {} {}",
        mutex.try_lock().is_some(),
        mutex.lock_timeout(SHORT)?.is_some()
    );
    drop(guard);
    println!("mutex {}", mutex.try_lock().is_some());
    let condvar = Condvar::at(buffer, 4)?;
    let (guard, in_time) = condvar.wait_timeout(mutex.lock()?, SHORT)?;
    println!("condvar {in_time} {}", mutex.try_lock().is_some());
    drop(guard);
    println!(
        "outside {:?} {:?}",
        Mutex::at(buffer, 8189).is_err(),
        Mutex::at(buffer, 2).is_err()
    );

    let robust = RobustMutex::at(buffer, 8)?;
    let locked = robust.lock()?.into_result()?;
    println!("robust {}", robust.lock().unwrap_err().code().unwrap_or("-"));
    drop(locked);
    println!("robust {}", robust.lock_timeout(SHORT)?.is_some());
    // A thread that never was held it.
    buffer.as_u32()[2].store(78, std::sync::atomic::Ordering::SeqCst);
    let error = robust.lock()?.into_result().unwrap_err();
    println!("robust {} {}", error.code().unwrap_or("-"), error.message());
    let guard = robust.lock()?.into_guard();
    guard.make_consistent();
    drop(guard);
    println!("robust {}", robust.lock()?.into_result().is_ok());

    Ok(())
}

fn counts(buffer: &SharedBuffer) -> nodule_sdk::Result<()> {
    let semaphore = Semaphore::at(buffer, 16)?;
    println!(
        "semaphore {} {}",
        semaphore.try_acquire(),
        semaphore.acquire_timeout(SHORT)?
    );
    semaphore.release(2);
    semaphore.acquire()?;
    println!(
        "semaphore {} {} {}",
        semaphore.permits(),
        semaphore.try_acquire(),
        semaphore.try_acquire()
    );

    let once = OnceCell::at(buffer, 24)?;
    println!("once {:?}", once.get());
    println!(
        "once {}",
        once.get_or_try_init(|| Err(nodule_sdk::Error::new("no"))).is_err()
    );
    println!(
        "once {:?}",
        once.get_or_try_init(|| Ok(0x0123_4567_89ab_cdef))? == 0x0123_4567_89ab_cdef
    );
    println!("once {:?}", once.get_or_try_init(|| Ok(1))? == 0x0123_4567_89ab_cdef);
    // An initializer that ended before it was done.
    let abandoned = OnceCell::at(buffer, 36)?;
    buffer.as_u32()[9].store(78, std::sync::atomic::Ordering::SeqCst);
    println!("once {}", abandoned.get_or_try_init(|| Ok(3))?);
    Ok(())
}

fn queues(buffer: &SharedBuffer) -> nodule_sdk::Result<()> {
    let mut record = [0; 6];
    let spsc = SpscRing::at(buffer, 64, 6, 4)?;
    let mpmc = MpmcRing::at(buffer, 64 + SpscRing::bytes(6, 4).next_multiple_of(64), 6, 4)?;
    println!("ring {}", spsc.pop(&mut record, Some(SHORT))?);
    for round in 0..3_u8 {
        let added = (0..5).map(|n| spsc.try_push(&[round, n, 0, 0, 0, 9]).unwrap_or(false));
        println!("ring {:?}", added.collect::<Vec<_>>());
        println!("ring {} {}", spsc.len(), spsc.push(&record, Some(SHORT))?);
        while spsc.try_pop(&mut record)? {
            print!("{record:?}");
        }
        println!();
    }
    for round in 0..3_u8 {
        let added = (0..5).map(|n| mpmc.try_push(&[round, n, 0, 0, 0, 9]).unwrap_or(false));
        println!("queue {:?}", added.collect::<Vec<_>>());
        println!("queue {} {}", mpmc.len(), mpmc.push(&record, Some(SHORT))?);
        while mpmc.try_pop(&mut record)? {
            print!("{record:?}");
        }
        println!();
    }
    println!(
        "sizes {} {}",
        spsc.try_push(&[1]).is_err(),
        SpscRing::at(buffer, 64, 6, 3).is_err()
    );
    // Positions that wrap around.
    for at in [64_usize, 64 + SpscRing::bytes(6, 4).next_multiple_of(64)] {
        buffer.write(at, &[0; 256])?;
        let positions = u32::MAX - 1;
        for word in [at / 4, at / 4 + 16] {
            buffer.as_u32()[word].store(positions, std::sync::atomic::Ordering::SeqCst);
        }
    }
    // The turns of the last round before that.
    let slots = (64 + SpscRing::bytes(6, 4).next_multiple_of(64) + 128) / 4;
    for (slot, round) in [(0, 0), (1, 0), (2, u32::MAX >> 2), (3, u32::MAX >> 2)] {
        buffer.as_u32()[slots + slot * 3].store(round * 2, std::sync::atomic::Ordering::SeqCst);
    }
    let mut sum = 0;
    for n in 0..10 {
        assert!(spsc.try_push(&[n; 6])? && mpmc.try_push(&[n; 6])?);
        assert!(spsc.try_pop(&mut record)? && record[5] == n);
        assert!(mpmc.try_pop(&mut record)? && record[5] == n);
        sum += n;
    }
    println!("wrapped {sum}");
    Ok(())
}

#[nodule_sdk::main]
fn main() -> nodule_sdk::Result<()> {
    let buffer = SharedBuffer::new(8192)?;
    locks(&buffer)?;
    counts(&buffer)?;
    queues(&buffer)
}
