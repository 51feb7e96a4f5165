//! Benchmarks: `make bench`, or `cargo bench -p nodule-tests --bench bench -- [options] [section...]`.
//!
//! Every figure of nodule stands beside its rivals, measured in the same run: Node, Bun where it is installed,
//! plain wasmtime or native code. Without arguments all sections run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot measure has to stop"
)]

mod children;
mod isolates;
mod library;
mod peers;
mod processes;
mod report;
mod stats;
mod workers;

use std::path::PathBuf;

use peers::Peers;
use report::{Report, Section};

const USAGE: &str = "usage: bench [--json] [--markdown FILE] [--runs N] [section...]";

/// What was asked for on the command line.
struct Options {
    json: bool,
    markdown: Option<PathBuf>,
    /// Whole-process runs of each contestant.
    runs: usize,
    sections: Vec<String>,
}

/// Measures one section.
type Measure = fn(&Peers, &Options) -> Section;

/// All sections in the order of the report.
const SECTIONS: [(&str, Measure); 13] = [
    ("startup", processes::startup),
    ("memory", processes::memory),
    ("stdout", processes::stdout),
    ("instantiate", library::instantiate),
    ("compute", library::compute),
    ("timer", library::timer),
    ("terminate", library::terminate),
    ("isolates", isolates::isolates),
    ("workers", workers::workers),
    ("messages", workers::messages),
    ("shared", workers::shared_memory),
    ("children", children::children),
    ("ipc", children::ipc),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The process that `processes::peak_rss` starts: small, so that its own size is not what it measures.
    if let [first, command @ ..] = &arguments[..]
        && first == processes::PEAK_RSS_OF
    {
        return processes::print_peak_rss(command);
    }
    let options = options(&arguments);
    let peers = Peers::find();
    let wanted = |name: &str| options.sections.is_empty() || options.sections.iter().any(|section| section == name);
    let mut report = Report::new(&peers);
    for (name, measure) in SECTIONS.into_iter().filter(|(name, _)| wanted(name)) {
        eprintln!("bench: {name} …");
        report.add(measure(&peers, &options));
    }
    if let Some(path) = &options.markdown {
        // Cargo starts benchmarks in their package's directory, people mean the repository's.
        let path = nodule_tests::repository().join(path);
        std::fs::write(&path, report.markdown()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let text = if options.json { report.json() } else { report.text() };
    println!("{text}");
}

fn options(arguments: &[String]) -> Options {
    let mut options = Options {
        json: false,
        markdown: None,
        runs: 60,
        sections: Vec::new(),
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            // What cargo passes to every benchmark.
            "--bench" => {}
            "--json" => options.json = true,
            "--markdown" => options.markdown = Some(rest.next().unwrap_or_else(|| fail(USAGE)).into()),
            "--runs" => {
                options.runs = rest
                    .next()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or_else(|| fail(USAGE));
            }
            name if SECTIONS.iter().any(|(section, _)| *section == name) => options.sections.push(name.into()),
            _ => fail(&format!(
                "{USAGE}\nsections: {}",
                SECTIONS.map(|(name, _)| name).join(" ")
            )),
        }
    }
    options
}

fn fail(text: &str) -> ! {
    eprintln!("{text}");
    std::process::exit(2)
}
