//! Child processes and their messages: whole processes that run the guest `bench_children`, or the script of the same works.

use std::path::Path;

use crate::Options;
use crate::peers::{Peers, optimized_guest, script};
use crate::report::{Row, Section};
use crate::stats::{Samples, Unit};
use crate::workers::numbers;

/// What the guest may do.
const GRANTS: [&str; 3] = ["run", "--allow-child", "--allow-run=/bin/true"];

/// Times of a work, of nodule, Node and Bun by turns, so that a slow moment of the machine hits all of them.
fn times(peers: &Peers, name: &'static str, words: &[&str], words_of_rivals: &[&str], rounds: usize) -> Row {
    let (module, script) = (optimized_guest("bench_children"), script("children.cjs"));
    let mut before: Vec<&Path> = GRANTS.iter().map(Path::new).collect();
    before.push(&module);
    let mut samples = [Some(Vec::new()), Some(Vec::new()), Some(Vec::new())];
    for _ in 0..rounds {
        let rival =
            |program: &Option<std::path::PathBuf>| Some(numbers(program.as_ref()?, &[&script], words_of_rivals));
        let lines = [
            Some(numbers(&peers.nodule, &before, words)),
            rival(&peers.node),
            rival(&peers.bun),
        ];
        for (all, lines) in samples.iter_mut().zip(lines) {
            match (&mut *all, lines) {
                (Some(all), Some(lines)) => all.extend(lines),
                _ => *all = None,
            }
        }
    }
    let seconds = |ns: Vec<f64>| Samples::new(ns.into_iter().map(|ns| ns * 1e-9).collect());
    Row::new(name, Unit::Seconds, samples.map(|samples| samples.map(seconds)).into())
}

/// Starting processes.
pub fn children(peers: &Peers, _: &Options) -> Section {
    let note = "From the call to the event, one after another: the synchronous form to its return; `spawn` of /bin/true to \
                `'exit'`; `fork` of the program itself to `'exit'`, and to its first message. Three processes of each \
                contestant, by turns.";
    Section::new("Child processes", note, &Peers::COLUMNS)
        .row(times(peers, "spawnSync /bin/true", &["sync", "100"], &["sync", "100"], 3).at_most(0.7e-3))
        .row(times(peers, "spawn /bin/true", &["spawn", "100"], &["spawn", "100"], 3))
        .row(times(peers, "fork to exit", &["exit", "40"], &["exit", "10"], 3).at_most(6e-3))
        .row(
            times(
                peers,
                "fork to first message",
                &["message", "40"],
                &["message", "10"],
                3,
            )
            .at_most(6e-3),
        )
}

/// Messages between processes.
pub fn ipc(peers: &Peers, _: &Options) -> Section {
    let note = "Round trips between parent and child: 500 one after another, and their mean, 20 times in each of three \
                processes of each contestant, by turns. Large: a text of that many bytes, until its length comes back.";
    let big = |name, bytes: &'static str, mode: &'static str| {
        let words = ["big", "5", bytes, mode];
        times(peers, name, &words, &words, 2)
    };
    let ping = |name, mode: &'static str| times(peers, name, &["ping", "20", mode], &["ping", "20", mode], 3);
    Section::new("Messages between processes", note, &Peers::COLUMNS)
        .row(ping("text of 32 bytes and back, json", "json").at_most(20e-6))
        .row(ping("text of 32 bytes and back, advanced", "advanced").at_most(20e-6))
        .row(big("1 MiB, json", "1048576", "json"))
        .row(big("64 MiB, json", "67108864", "json").at_most_of(1.0, 1, "Node"))
        .row(big("64 MiB, advanced", "67108864", "advanced").at_most_of(1.0, 1, "Node"))
}
