//! The programs that are measured, and the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use nodule_tests::repository;

/// nodule and its rivals.
pub struct Peers {
    /// The built binary.
    pub nodule: PathBuf,
    /// Node, if installed.
    pub node: Option<PathBuf>,
    /// Bun, if installed.
    pub bun: Option<PathBuf>,
}

/// Where `npm install --prefix target/bench bun` puts it.
const BUN_BESIDE_BUILD: &str = "bench/node_modules/.bin/bun";

impl Peers {
    /// Looks for all of them.
    pub fn find() -> Self {
        let bench = std::env::current_exe().unwrap();
        // Benchmarks lie in <target>/release/deps.
        let release = bench.ancestors().nth(2).unwrap();
        let nodule = release.join("nodule");
        assert!(nodule.is_file(), "the binary is not built: run `make build`");
        let node = in_path("node");
        if node.is_none() {
            eprintln!("bench: SKIPPED: comparisons with Node, because node is not installed");
        }
        let beside = release.with_file_name(BUN_BESIDE_BUILD);
        let bun = in_path("bun").or_else(|| beside.canonicalize().ok());
        if bun.is_none() {
            eprintln!("bench: SKIPPED: comparisons with Bun; `npm install --prefix target/bench bun` installs it");
        }
        Self { nodule, node, bun }
    }

    /// Column heads of sections that compare JavaScript runtimes.
    pub const COLUMNS: [&'static str; 3] = ["nodule", "Node", "Bun"];

    /// What was measured where and when.
    pub fn circumstances(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("date", output("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
            ("machine", machine()),
            ("nodule", output(&self.nodule, &["--version"])),
        ];
        let others = [("Node", &self.node), ("Bun", &self.bun)];
        lines.extend(
            others
                .into_iter()
                .filter_map(|(name, path)| Some((name, output(path.as_ref()?, &["--version"])))),
        );
        lines
    }
}

/// A built guest program.
pub fn guest(name: &str) -> PathBuf {
    built_guest("release", name).unwrap_or_else(|| panic!("the guest {name:?} is not built: run `make guests`"))
}

/// A guest program as one is shipped: with the calls between its crates inlined.
pub fn optimized_guest(name: &str) -> PathBuf {
    built_guest("optimized", name).unwrap_or_else(|| panic!("the guest {name:?} is not built: run `make bench-guests`"))
}

fn built_guest(profile: &str, name: &str) -> Option<PathBuf> {
    let path = format!("guests/target/wasm32-wasip1/{profile}/{name}.wasm");
    repository().join(path).canonicalize().ok()
}

/// A script for JavaScript runtimes.
pub fn script(name: &str) -> PathBuf {
    repository()
        .join("tests/bench/scripts")
        .join(name)
        .canonicalize()
        .unwrap()
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "{cores} × {model}, {}, load {load} at the start",
        output("uname", &["-sr"])
    )
}

fn output(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    Command::new(program.as_ref())
        .args(arguments)
        .output()
        .map(|output| {
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .next()
                .unwrap_or_default()
                .to_string()
        })
        .unwrap_or_default()
}
