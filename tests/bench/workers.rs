//! Workers and their messages: whole processes that run the guest `bench_workers`, or the script of the same works.

use std::path::Path;
use std::process::Command;

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
fn numbers(program: &Path, before: &[&Path], words: &[&str]) -> Vec<f64> {
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
            let rival = |program: Option<&std::path::PathBuf>| {
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

/// Starting and ending workers.
pub fn workers(peers: &Peers, _: &Options) -> Section {
    const MANY: [&[&str]; 2] = [&["live", "10000"], &["live", "50"]];
    let live = Work::of(MANY[0], MANY[1], 3).run(peers);
    let drift = Work::of(&["drift", "10000"], &["drift", "100"], 1).run(peers);
    let column = |index: usize, factor: f64| {
        live.each_ref().map(|rounds| {
            let numbers = rounds.as_ref()?.iter().map(|lines| lines[index] * factor);
            Some(Samples::new(numbers.collect()))
        })
    };
    let drifts = drift.map(|rounds| {
        let growth = rounds?.into_iter().map(|lines| lines[1] / lines[0] - 1.0);
        Some(Samples::new(growth.collect()))
    });
    let exit = Work::of(&["exit", "1000"], &["exit", "20"], 3);
    let first = Work::of(&["first", "1000"], &["first", "20"], 3);
    let busy = Work::of(&["terminate-busy", "60"], &["terminate-busy", "15"], 3);
    let parked = Work::of(&["terminate-parked", "60"], &["terminate-parked", "15"], 3);
    let note = "The same guest as main thread and as worker (Rust with std and the SDK); times are the main thread's, in \
                three processes of each contestant by turns. Live workers: 10,000 in nodule, 50 in Node and Bun, each \
                with a listener and after its first message; the growth of the resident set by their number. Drift: \
                resident set after the last of 10,000 workers that were started and terminated, against the one after \
                1,000 (Node and Bun: 100 and 10).";
    Section::new("Workers", note, &Peers::COLUMNS)
        .row(exit.times(peers, "spawn to exit").at_most(100e-6))
        .row(first.times(peers, "spawn to first message").at_most(150e-6))
        .row(Row::new("all live (10,000; 50)", Unit::Seconds, column(0, 1e-9).into()).at_most(1.0))
        .row(Row::new("a live worker", Unit::Bytes, column(1, 1.0).into()).at_most(64.0 * KIB))
        .row(busy.times(peers, "terminate, endless loop").at_most(2e-3))
        .row(parked.times(peers, "terminate, waiting").at_most(0.2e-3))
        .row(Row::new("drift", Unit::Share, drifts.into()).at_most(0.01))
}

/// Messages between threads.
pub fn messages(peers: &Peers, _: &Options) -> Section {
    let ping = Work::same(&["ping", "40"], 5);
    let value = Work::same(&["value", "20"], 3);
    let flood = Work::same(&["flood", "3", "200000"], 5);
    let broadcast = Work::of(&["broadcast", "10", "1000"], &["broadcast", "10", "50"], 2);
    let thread = Work::of(&["thread", "10"], &[], 3);
    let note = "Round trips: 500 one after another, and their mean, 40 times in each of 5 processes of each contestant, by \
                turns. One way: 200,000 numbers, from the first post to the answer to the last; nodule minds \
                back-pressure. Broadcast: until each of 1,000 workers (Node and Bun: 50) has answered. To a thread: \
                `postMessageToThread` until its listener has run.";
    Section::new("Messages between threads", note, &Peers::COLUMNS)
        .row(ping.times(peers, "text of 32 bytes and back").at_most(4e-6))
        .row(value.times(peers, "value of 1 KiB and back"))
        .row(flood.row(peers, "one way", Unit::PerSecond, 1.0).at_least(2e6))
        .row(broadcast.times(peers, "broadcast and answers (1,000; 50)"))
        .row(thread.times(peers, "to a thread"))
}
