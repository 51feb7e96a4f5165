//! Shared buffers, `Atomics`, locks between threads, ArrayBuffers that move.

use crate::guests::{c, tests};
use crate::support::{Run, guest, guest_with};

// proves: SharedArrayBuffer, SharedArrayBuffer.byteLength, SharedArrayBuffer.maxByteLength, SharedArrayBuffer.grow
// proves: SharedArrayBuffer.map
#[test]
fn buffers_grow_and_their_windows_leave_other_memory_alone() {
    guest(tests::SHARED_MEMORY_BUFFER).run().success().stdout(
        "100000 100000 false\n\
         aligned true\n\
         10 200000 true\n\
         views 10 2 1\n\
         views 64 16 8\n\
         shrink: RangeError -\n\
         beyond: RangeError -\n\
         fixed: TypeError -\n\
         too long: Error ENOMEM\n\
         above maximum: RangeError -\n\
         bytes true\n\
         behind: RangeError -\n\
         zeros true\n\
         own memory true\n\
         clone 159 true\n\
         next true 0\n\
         written by the host from a window\n",
    );
}

// proves: Atomics.wait, Atomics.waitAsync, Atomics.notify, Atomics.load, Atomics.store, Atomics.add, Atomics.sub
// proves: Atomics.and, Atomics.or, Atomics.xor, Atomics.exchange, Atomics.compareExchange, Atomics.isLockFree
// proves: Atomics.pause
#[test]
fn atomics_do_as_in_javascript() {
    guest(tests::SHARED_MEMORY_ATOMICS).run().success().stdout(
        "[12, 12, 15, 14, 6, 15, 10, 100, 100, 0, 255]\n\
         RangeError -\n\
         [12, 12, 15, 14, 6, 15, 10, 100, 100, 0, -1]\n\
         RangeError -\n\
         [12, 12, 15, 14, 6, 15, 10, 100, 100, 0, 4294967295]\n\
         RangeError -\n\
         [12, 12, 15, 14, 6, 15, 10, 100, 100, 0, -1]\n\
         RangeError -\n\
         lock free [true, true, false, true, true, false]\n\
         not-equal\n\
         timed-out\n\
         waited true\n\
         timed-out\n\
         not-equal\n\
         RangeError -\n\
         TypeError -\n\
         notify 0 0\n\
         own memory 3\n\
         at once false true\n\
         not-equal\n\
         timed-out\n\
         notify 1\n\
         ok\n\
         notify 1 0\n\
         ok\n\
         in time\n",
    );
}

// proves: RobustMutex.lock
#[test]
fn locks_and_queues_have_their_states() {
    guest(tests::SHARED_MEMORY_LOCKS).run().success().stdout(
        "mutex false true\n\
         mutex true\n\
         condvar false false\n\
         outside true true\n\
         robust EBUSY\n\
         robust true\n\
         robust EOWNERDEAD owner died\n\
         robust true\n\
         semaphore false false\n\
         semaphore 1 true false\n\
         once None\n\
         once true\n\
         once true\n\
         once true\n\
         once 3\n\
         ring false\n\
         ring [true, true, true, true, false]\n\
         ring 4 false\n\
         [0, 0, 0, 0, 0, 9][0, 1, 0, 0, 0, 9][0, 2, 0, 0, 0, 9][0, 3, 0, 0, 0, 9]\n\
         ring [true, true, true, true, false]\n\
         ring 4 false\n\
         [1, 0, 0, 0, 0, 9][1, 1, 0, 0, 0, 9][1, 2, 0, 0, 0, 9][1, 3, 0, 0, 0, 9]\n\
         ring [true, true, true, true, false]\n\
         ring 4 false\n\
         [2, 0, 0, 0, 0, 9][2, 1, 0, 0, 0, 9][2, 2, 0, 0, 0, 9][2, 3, 0, 0, 0, 9]\n\
         queue [true, true, true, true, false]\n\
         queue 4 false\n\
         [0, 0, 0, 0, 0, 9][0, 1, 0, 0, 0, 9][0, 2, 0, 0, 0, 9][0, 3, 0, 0, 0, 9]\n\
         queue [true, true, true, true, false]\n\
         queue 4 false\n\
         [1, 0, 0, 0, 0, 9][1, 1, 0, 0, 0, 9][1, 2, 0, 0, 0, 9][1, 3, 0, 0, 0, 9]\n\
         queue [true, true, true, true, false]\n\
         queue 4 false\n\
         [2, 0, 0, 0, 0, 9][2, 1, 0, 0, 0, 9][2, 2, 0, 0, 0, 9][2, 3, 0, 0, 0, 9]\n\
         sizes true true\n\
         wrapped 45\n",
    );
}

// proves: SharedArrayBuffer, transfer.ArrayBuffer
#[test]
fn messages_share_buffers_and_move_pages() {
    let shared = "same true 7\n\
         length 128 true\n\
         pair true true\n\
         still there 7\n\
         outlives Some(7)\n";
    // The same for a buffer of 10 bytes and one of 1 MiB, but for the length.
    let moved = |bytes: usize| {
        format!(
            "copy 9 10\n\
         detached true 0\n\
         moved 9 {bytes}\n\
         use: TypeError - Cannot perform the operation on a detached ArrayBuffer\n\
         again: DataCloneError 25 ArrayBuffer in transfer list is already detached\n\
         twice: DataCloneError 25 Transfer list contains duplicate ArrayBuffer\n\
         kept 9\n\
         marked: DataCloneError 25 Cannot transfer object of unsupported type.\n\
         dropped true\n"
        )
    };
    // Main thread and worker print without an order between them.
    let run = guest(tests::SHARED_MEMORY_MESSAGES).run().success();
    let from_workers = ["passed on", "back", "code", "create:", "messageerror", "shared"];
    let (mut late, own): (Vec<_>, Vec<_>) = run
        .stdout
        .lines()
        .partition(|line| from_workers.iter().any(|start| line.starts_with(start)));
    let expected = format!("{shared}{}{}sent 0", moved(10), moved(1 << 20));
    assert_eq!(own.join("\n"), expected);
    late.sort_unstable();
    assert_eq!(
        late,
        [
            "back 1048576 (4, 3)",
            "code 0",
            "code 0",
            "create: Error ERR_ACCESS_DENIED ",
            "messageerror",
            "passed on 0",
            "shared 55"
        ]
    );
}

/// A case of the guest with threads.
fn threads(case: &str) -> Run {
    guest(tests::SHARED_MEMORY_THREADS).arg(case).run().success()
}

// proves: SharedArrayBuffer, Atomics.add
#[test]
fn nothing_is_lost_between_threads() {
    threads("atomics").stdout("atomics 400000 0\n");
}

#[test]
fn locks_keep_threads_apart() {
    for (case, counted) in [
        ("mutex", 80_000),
        ("robust", 80_000),
        ("semaphore", 8_000),
        ("condvar", 400),
        ("once", 1),
    ] {
        threads(case).stdout(&format!("{case} {counted} 0\n"));
    }
}

#[test]
fn queues_bring_every_record_once() {
    // Two threads add 0 to 19,999 each.
    for case in ["mpmc", "spsc"] {
        threads(case).stdout(&format!("{case} 399980000 0\n"));
    }
}

// proves: RobustMutex.lock
#[test]
fn a_robust_lock_outlives_its_holder() {
    let taken_over = "owner dead\nclean again true\nmade 7\n";
    threads("hold").stdout(taken_over);
    threads("panic").stdout(&format!("error PanicError\n{taken_over}"));
}

// proves: Atomics.wait, Atomics.notify
#[test]
fn a_parked_thread_can_be_terminated_and_is_not_counted() {
    threads("wait").stdout("code Some(1)\nfast true\nok\nok\nwoken 2\ncodes 0 0\n");
}

// proves: SharedArrayBuffer, Atomics.wait, Atomics.waitAsync, Atomics.notify
#[test]
fn shared_memory_works_from_c() {
    guest(c::SHARED_MEMORY).run().success().stdout(
        "create 0\n\
         map 0\n\
         aligned 1\n\
         zero 0\n\
         add 40\n\
         exchange 1\n\
         load 0 4294967295\n\
         rmw 0 4294967295 12\n\
         store 0 65548\n\
         not equal 0 1\n\
         timed out 0 1\n\
         notify 0 0\n\
         own memory 1\n\
         pending 1\n\
         wait 0\n\
         done 1 1 1\n\
         close 0\n\
         unmap 0 0\n\
         map 0 1 65548\n\
         close 0 0\n",
    );
}

#[test]
fn shared_memory_can_be_denied_and_is_limited() {
    for (flag, hint) in [
        ("--deny-shared-memory", "allow it with --allow-shared-memory"),
        ("--max-shared-memory=128KiB", "raise it with --max-shared-memory"),
        ("--max-shared-buffers=1", "raise it with --max-shared-buffers"),
        ("--max-memory=4MiB", "raise it with --max-memory"),
    ] {
        let run = guest_with(&[flag], tests::SHARED_MEMORY_BUFFER).run();
        run.check(run.code == Some(1), flag);
        run.stderr_has(hint);
    }
}
