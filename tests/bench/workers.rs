//! Workers and their messages: whole processes that run the guest `bench_workers`, or the script of the same works.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Instant;

use crate::Options;
use crate::peers::{Peers, optimized_guest, script};
use crate::report::{Row, Section};
use crate::stats::{Samples, Unit};

const KIB: f64 = 1024.0;

/// One work: its words for nodule's guest and for the script, which may do it less often.
struct Work {
    nodule: &'static [&'static str],
    script: &'static [&'static str],
    /// Processes of each contestant.
    rounds: usize,
}

/// Numbers that a process prints, one a line.
pub fn numbers(program: &Path, before: &[&Path], words: &[&str]) -> Vec<f64> {
    let output = Command::new(program).args(before).args(words).output().unwrap();
    assert!(
        output.status.success(),
        "{} {words:?}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

impl Work {
    /// A work that all do equally often.
    const fn same(words: &'static [&'static str], rounds: usize) -> Self {
        Self::of(words, words, rounds)
    }

    const fn of(nodule: &'static [&'static str], script: &'static [&'static str], rounds: usize) -> Self {
        Self { nodule, script, rounds }
    }

    /// What nodule, Node and Bun print, in turn, so that a slow moment of the machine hits all of them.
    fn run(&self, peers: &Peers) -> [Option<Vec<Vec<f64>>>; 3] {
        let (module, script) = (optimized_guest("bench_workers"), script("workers.cjs"));
        let mut printed = [Some(Vec::new()), Some(Vec::new()), Some(Vec::new())];
        for _ in 0..self.rounds {
            let run = [Path::new("run"), &module];
            let rival = |program: Option<&PathBuf>| {
                let words = Some(self.script).filter(|words| !words.is_empty());
                Some(numbers(program?, &[&script], words?))
            };
            let lines = [
                Some(numbers(&peers.nodule, &run, self.nodule)),
                rival(peers.node.as_ref()),
                rival(peers.bun.as_ref()),
            ];
            for (all, lines) in printed.iter_mut().zip(lines) {
                match (&mut *all, lines) {
                    (Some(all), Some(lines)) => all.push(lines),
                    _ => *all = None,
                }
            }
        }
        printed
    }

    /// A row of all numbers, each times `factor`.
    fn row(&self, peers: &Peers, name: &'static str, unit: Unit, factor: f64) -> Row {
        let cells = self.run(peers).map(|rounds| {
            let numbers = rounds?.into_iter().flatten();
            Some(Samples::new(numbers.map(|number| number * factor).collect()))
        });
        Row::new(name, unit, cells.into())
    }

    fn times(&self, peers: &Peers, name: &'static str) -> Row {
        self.row(peers, name, Unit::Seconds, 1e-9)
    }
}

/// Prints of `live` and what `/proc` says of the process while all live.
struct Living {
    seconds: f64,
    /// Growth of the resident set, and of what of it is in no file, a worker.
    resident: f64,
    own: f64,
}

/// Starts `count` workers in a process that stays until it was looked at.
fn live(program: &Path, before: &[&Path], count: u32) -> Living {
    const STAY_MS: &str = "60000";
    let run = |count: u32| {
        let mut child = Command::new(program)
            .args(before)
            .args(["live", &count.to_string(), STAY_MS])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut number = || lines.next().unwrap().unwrap().parse::<f64>().unwrap();
        let (ns, resident) = (number(), number());
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let own = anonymous.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        child.kill().unwrap();
        child.wait().unwrap();
        (ns * 1e-9, resident, own.unwrap() * KIB)
    };
    let one = run(1);
    let all = run(count);
    Living {
        seconds: all.0,
        resident: all.1,
        own: (all.2 - one.2) / f64::from(count - 1),
    }
}

/// Many workers at once: nodule, Node and Bun by turns.
fn many(peers: &Peers) -> [Vec<Option<Samples>>; 3] {
    const ROUNDS: usize = 5;
    const WORKERS: u32 = 10_000;
    const WORKERS_OF_RIVALS: u32 = 50;
    let (module, script) = (optimized_guest("bench_workers"), script("workers.cjs"));
    let rival = |program: Option<&PathBuf>| Some(live(program?, &[&script], WORKERS_OF_RIVALS));
    let rounds: Vec<[Option<Living>; 3]> = (0..ROUNDS)
        .map(|_| {
            [
                Some(live(&peers.nodule, &[Path::new("run"), &module], WORKERS)),
                rival(peers.node.as_ref()),
                rival(peers.bun.as_ref()),
            ]
        })
        .collect();
    let cells = |figure: fn(&Living) -> f64| {
        let column = |index: usize| {
            let numbers: Option<Vec<f64>> = rounds.iter().map(|round| round[index].as_ref().map(figure)).collect();
            numbers.map(Samples::new)
        };
        (0..3).map(column).collect()
    };
    [
        cells(|living| living.seconds),
        cells(|living| living.resident),
        cells(|living| living.own),
    ]
}

/// Starting and ending workers.
pub fn workers(peers: &Peers, _: &Options) -> Section {
    let exit = Work::of(&["exit", "1000"], &["exit", "20"], 3);
    let first = Work::of(&["first", "1000"], &["first", "20"], 3);
    let [started, resident, own] = many(peers);
    let busy = Work::of(&["terminate-busy", "60"], &["terminate-busy", "15"], 3);
    let parked = Work::of(&["terminate-parked", "60"], &["terminate-parked", "15"], 3);
    let drift = Work::of(&["drift", "10000"], &["drift", "200"], 3).run(peers);
    let drift = drift.map(|rounds| {
        let growth = rounds?.into_iter().map(|lines| lines[1] / lines[0] - 1.0);
        Some(Samples::new(growth.collect()))
    });
    let note = "The same guest as main thread and as worker (Rust with std and the SDK, link-time optimization); times are \
                the main thread's, in three processes of each contestant by turns. Live workers: 10,000 in nodule, 50 in \
                Node and Bun, each with a listener, until the last one's first message; five processes of each. What they \
                have resident: growth of `VmRSS` and of `RssAnon` by their number; the difference are pages of the module's \
                file, which all have in common. Drift: `VmRSS` after 10,000 workers that were started and terminated one \
                after another, against the one after 1,000 (Node and Bun: 200 and 20).";
    Section::new("Workers", note, &Peers::COLUMNS)
        .row(exit.times(peers, "spawn to exit").at_most(100e-6))
        .row(first.times(peers, "spawn to first message").at_most(150e-6))
        .row(Row::new("10,000 live (50)", Unit::Seconds, started).at_most(1.0))
        .row(Row::new("a live worker, own memory", Unit::Bytes, own).at_most(64.0 * KIB))
        .row(Row::new("a live worker, shared pages included", Unit::Bytes, resident))
        .row(busy.times(peers, "terminate, endless loop").at_most(2e-3))
        .row(parked.times(peers, "terminate, waiting").at_most(0.2e-3))
        .row(Row::new("drift", Unit::Share, drift.into()).at_most(0.01))
}

/// Messages between threads.
pub fn messages(peers: &Peers, _: &Options) -> Section {
    let ping = Work::same(&["ping", "40"], 5);
    let value = Work::same(&["value", "20"], 3);
    let flood = Work::same(&["flood", "4", "200000"], 5);
    let broadcast = Work::of(&["broadcast", "10", "1000"], &["broadcast", "10", "50"], 2);
    let thread = Work::of(&["thread", "10"], &["thread", "3"], 3);
    let small = Work::same(&["transfer", "10", "1048576"], 3);
    let large = Work::same(&["transfer", "10", "67108864"], 3);
    let note = "Round trips between main thread and worker: 500 one after another, and their mean, 40 times in each of 5 \
                processes of each contestant, by turns (the value: 20 times in 3). One way: 200,000 numbers, from the first \
                post to the answer to the last; nodule minds back-pressure, Node and Bun have none. Broadcast: until each \
                of 1,000 workers (Node and Bun: 50) has answered. To a thread: `postMessageToThread` until its listener has \
                run. Transfer of an ArrayBuffer: half of the time there and back, 50 times, the bytes untouched.";
    Section::new("Messages between threads", note, &Peers::COLUMNS)
        .row(ping.times(peers, "text of 32 bytes and back").at_most(4e-6))
        .row(value.times(peers, "value of 1 KiB and back"))
        .row(flood.row(peers, "one way", Unit::PerSecond, 1.0).at_least(2e6))
        .row(broadcast.times(peers, "broadcast and answers, 1,000 (50)"))
        .row(thread.times(peers, "to a thread"))
        .row(small.times(peers, "transfer of 1 MiB"))
        .row(large.times(peers, "transfer of 64 MiB").at_most(50e-6))
}

/// Threads of a native program that add to one counter: seconds an addition takes each of them.
fn native_counter(additions: u32) -> f64 {
    const THREADS: usize = 2;
    let (counter, barrier) = (AtomicI32::new(0), Barrier::new(THREADS + 1));
    let seconds = std::thread::scope(|scope| {
        let add = || {
            barrier.wait();
            for _ in 0..additions {
                counter.fetch_add(1, Ordering::SeqCst);
            }
            barrier.wait();
        };
        for _ in 0..THREADS {
            scope.spawn(add);
        }
        barrier.wait();
        let start = Instant::now();
        barrier.wait();
        start.elapsed().as_secs_f64()
    });
    seconds / f64::from(additions)
}

/// Threads of a native program that wake each other: seconds from `unpark` until the other one runs; of a thread that
/// computes until it is answered, from `unpark` to the answer.
fn native_wake(is_busy: bool) -> f64 {
    const ROUNDS: u32 = 5_000;
    let turn = Arc::new(AtomicI32::new(0));
    let main = std::thread::current();
    let answering = Arc::clone(&turn);
    let other = std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            while answering.load(Ordering::SeqCst) == 0 {
                std::thread::park();
            }
            answering.store(0, Ordering::SeqCst);
            main.unpark();
        }
    });
    let start = Instant::now();
    for _ in 0..ROUNDS {
        turn.store(1, Ordering::SeqCst);
        other.thread().unpark();
        while is_busy && turn.load(Ordering::SeqCst) == 1 {
            std::hint::spin_loop();
        }
        while turn.load(Ordering::SeqCst) == 1 {
            std::thread::park();
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    other.join().unwrap();
    seconds / f64::from(if is_busy { ROUNDS } else { 2 * ROUNDS })
}

/// Memory that threads share.
pub fn shared_memory(peers: &Peers, _: &Options) -> Section {
    const ADDITIONS: u32 = 3_000_000;
    const ROUNDS: usize = 5;
    let once_each = |work: Work, native: &dyn Fn() -> f64, scale: f64| {
        let mut samples = vec![Some(Vec::new()); 4];
        for _ in 0..ROUNDS {
            let [nodule, node, bun] = work.run(peers);
            let lines = |rounds: Option<Vec<Vec<f64>>>| rounds.map(|rounds| rounds.concat());
            let natively = (0..4).map(|_| native() / scale).collect();
            let round = [lines(nodule), Some(natively), lines(node), lines(bun)];
            for (all, new) in samples.iter_mut().zip(round) {
                match (&mut *all, new) {
                    (Some(all), Some(new)) => all.extend(new),
                    _ => *all = None,
                }
            }
        }
        let scaled = |numbers: Vec<f64>| Samples::new(numbers.into_iter().map(|number| number * scale).collect());
        samples
            .into_iter()
            .map(|numbers| numbers.map(scaled))
            .collect::<Vec<_>>()
    };
    let counter = once_each(
        Work::same(&["counter", "4", "3000000"], 1),
        &|| native_counter(ADDITIONS),
        1e-9,
    );
    let wake = once_each(Work::same(&["wake", "10"], 1), &|| native_wake(false), 1e-9);
    let busy = once_each(Work::same(&["wake-busy", "10"], 1), &|| native_wake(true), 1e-9);
    let note = "Counter: two threads add 3,000,000 times each to one cell, at once; the time of an addition as each thread \
                sees it. Wake-up: two threads that wake each other by turns, from `Atomics.notify` until the other one \
                goes on; natively `unpark` and `park`. With a notifier that computes: from `Atomics.notify` until it sees \
                the answer, which it awaits in a loop. Five processes of each contestant, by turns.";
    Section::new("Shared memory", note, &["nodule", "native", "Node", "Bun"])
        .row(Row::new("counter with contention", Unit::Seconds, counter).at_most_of(1.1, 1, "native"))
        .row(Row::new("wake-up", Unit::Seconds, wake).at_most(5e-6))
        .row(Row::new("wake-up and answer, the notifier computes", Unit::Seconds, busy).at_most(10e-6))
}
