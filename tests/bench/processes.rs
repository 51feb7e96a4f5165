//! Whole processes: start-up, peak memory, standard output.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use tempfile::TempDir;

use crate::Options;
use crate::peers::{Peers, guest, script};
use crate::report::{Row, Section};
use crate::stats::{Samples, Unit};

const MIB: f64 = 1024.0 * 1024.0;

/// First argument of the process that measures peak memory.
pub const PEAK_RSS_OF: &str = "--peak-rss-of";

/// A program with arguments, in an environment of its own.
struct Contestant {
    words: Vec<String>,
    cache: String,
}

impl Contestant {
    fn new(words: impl IntoIterator<Item = impl AsRef<Path>>, cache: &TempDir) -> Self {
        let words = words
            .into_iter()
            .map(|word| word.as_ref().to_str().unwrap().to_string());
        Self {
            words: words.collect(),
            cache: cache.path().to_str().unwrap().to_string(),
        }
    }

    fn command(&self, program: &str, arguments: &[String]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", &self.cache)
            .env("NODULE_CACHE_DIR", &self.cache);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Seconds from before it is started until it is reaped.
    fn time(&self) -> f64 {
        let mut command = self.command(&self.words[0], &self.words[1..]);
        let start = Instant::now();
        let status = command.status().unwrap();
        let elapsed = start.elapsed().as_secs_f64();
        assert!(status.success(), "{:?}: {status}", self.words);
        elapsed
    }

    /// The most memory it had resident, in bytes.
    fn peak_rss(&self) -> f64 {
        let bench = std::env::current_exe().unwrap();
        let mut arguments = vec![PEAK_RSS_OF.to_string()];
        arguments.extend_from_slice(&self.words);
        let mut command = self.command(bench.to_str().unwrap(), &arguments);
        let output = command.stdout(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{:?}", self.words);
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    /// Seconds until all its output of at least `len` bytes was read from a pipe.
    fn drain(&self, len: usize) -> f64 {
        let mut command = self.command(&self.words[0], &self.words[1..]);
        let mut buffer = vec![0; 1 << 20];
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdout.take().unwrap();
        // From the first bytes on: start-up is another section.
        let mut got = pipe.read(&mut buffer).unwrap();
        let start = Instant::now();
        loop {
            match pipe.read(&mut buffer).unwrap() {
                0 => break,
                count => got += count,
            }
        }
        let elapsed = start.elapsed().as_secs_f64();
        assert!(
            child.wait().unwrap().success() && got >= len,
            "{:?}: {got} bytes",
            self.words
        );
        elapsed
    }
}

/// Runs a command and prints the peak of its resident memory. The kernel counts the parent's memory until the
/// program is loaded, so the parent has to be small.
pub fn print_peak_rss(command: &[String]) {
    let status = Command::new(&command[0])
        .args(&command[1..])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() * 1024);
}

/// Measures all contestants in turn, so that a slow moment of the machine hits all of them.
fn in_turn(
    rounds: usize,
    contestants: &[Option<Contestant>],
    measure: impl Fn(&Contestant) -> f64,
) -> Vec<Option<Samples>> {
    let mut samples = vec![Vec::new(); contestants.len()];
    // One round to warm up caches.
    for round in 0..=rounds {
        for (contestant, samples) in contestants.iter().zip(&mut samples) {
            let Some(contestant) = contestant else { continue };
            let sample = measure(contestant);
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    let samples = samples.into_iter().zip(contestants);
    samples
        .map(|(samples, contestant)| contestant.as_ref().map(|_| Samples::new(samples)))
        .collect()
}

/// The four ways to say hello: nodule from its cache, nodule that compiles, Node, Bun; and the floor of it all.
fn hello(peers: &Peers, cache: &TempDir) -> Vec<Option<Contestant>> {
    let (nodule, module) = (&peers.nodule, guest("hello"));
    let rival = |path: &Option<std::path::PathBuf>| {
        let path = path.as_ref()?;
        Some(Contestant::new([path, &script("hello.js")], cache))
    };
    vec![
        Some(Contestant::new([nodule.as_path(), Path::new("run"), &module], cache)),
        Some(Contestant::new(
            [nodule.as_path(), Path::new("run"), Path::new("--no-cache"), &module],
            cache,
        )),
        rival(&peers.node),
        rival(&peers.bun),
        Some(Contestant::new(["/bin/true"], cache)),
    ]
}

const HELLO_COLUMNS: [&str; 4] = ["nodule", "Node", "Bun", "/bin/true"];

/// Time of whole processes that print a line.
pub fn startup(peers: &Peers, options: &Options) -> Section {
    let cache = tempfile::tempdir().unwrap();
    let [cached, compiled, node, bun, floor] =
        <[_; 5]>::try_from(in_turn(options.runs, &hello(peers, &cache), Contestant::time)).unwrap();
    let row = |work, first| {
        Row::new(
            work,
            Unit::Seconds,
            vec![first, node.clone(), bun.clone(), floor.clone()],
        )
    };
    let note = format!(
        "Whole process, from before it is spawned until it is reaped; {} runs of each, in turn. The module is a Rust \
         program (std, 80 KiB).",
        options.runs
    );
    Section::new("Start-up: hello, world", note, &HELLO_COLUMNS)
        .row(
            row("code from the cache", cached)
                .at_most(5e-3)
                .at_most_of(0.7, 2, "Bun"),
        )
        .row(row("compiled anew", compiled))
}

/// Peak memory of whole processes that print a line.
pub fn memory(peers: &Peers, _: &Options) -> Section {
    let cache = tempfile::tempdir().unwrap();
    let [cached, compiled, node, bun, floor] =
        <[_; 5]>::try_from(in_turn(10, &hello(peers, &cache), Contestant::peak_rss)).unwrap();
    let row = |work, first| Row::new(work, Unit::Bytes, vec![first, node.clone(), bun.clone(), floor.clone()]);
    let note = "Peak of the resident set (`ru_maxrss`), shared pages of the executables included; 10 runs of each. The \
                column of /bin/true is the least that can be measured.";
    Section::new("Peak memory: hello, world", note, &HELLO_COLUMNS)
        .row(row("code from the cache", cached).at_most(20.0 * MIB))
        .row(row("compiled anew", compiled))
}

/// Throughput of standard output into a pipe.
pub fn stdout(peers: &Peers, _: &Options) -> Section {
    const RUNS: usize = 7;
    const TOTAL: usize = 1 << 30;
    const LINES: usize = 1_000_000;
    const LINE_BYTES: usize = 16;
    let cache = tempfile::tempdir().unwrap();
    let contestants = |arguments: &[String]| -> Vec<Option<Contestant>> {
        let with = |words: Vec<&Path>| {
            let arguments = arguments.iter().map(Path::new);
            Some(Contestant::new(words.into_iter().chain(arguments), &cache))
        };
        let script = script("stdout.cjs");
        vec![
            with(vec![&peers.nodule, Path::new("run"), &guest("bench_stdout")]),
            peers.node.as_ref().and_then(|node| with(vec![node, &script])),
            peers.bun.as_ref().and_then(|bun| with(vec![bun, &script])),
        ]
    };
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = |arguments: &[String], amount: usize, len: usize| {
        in_turn(RUNS, &contestants(arguments), |contestant| {
            amount as f64 / contestant.drain(len)
        })
    };
    let large = |chunk: usize| rate(&["large".into(), chunk.to_string(), TOTAL.to_string()], TOTAL, TOTAL);
    let lines = rate(&["lines".into(), LINES.to_string()], LINES, LINES * LINE_BYTES);
    let note = format!(
        "From the first byte that arrives in the pipe to the last, {RUNS} runs of each. 1 GiB in writes of one size; \
         {LINES} lines of {LINE_BYTES} bytes, each written for itself (`println!`, `fs.writeSync`)."
    );
    Section::new("Standard output to a pipe", note, &Peers::COLUMNS)
        .row(Row::new("writes of 1 MiB", Unit::BytesPerSecond, large(1 << 20)).at_least(1024.0 * MIB))
        .row(Row::new("writes of 64 KiB", Unit::BytesPerSecond, large(1 << 16)))
        .row(Row::new("lines", Unit::PerSecond, lines))
}
