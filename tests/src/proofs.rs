//! Which test proves which API id: `// proves: process.exit, process.exitCode` above a `#[test]`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::ledger::{Entry, State};

const MARK: &str = "// proves:";

/// Names of the tests by API id.
pub type Proofs = BTreeMap<String, Vec<String>>;

/// Reads the marks of all modules of the test binary.
pub fn read() -> Result<Proofs, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut proofs = Proofs::new();
    for module in modules(directory)? {
        let path = directory.join(format!("{module}.rs"));
        let text = std::fs::read_to_string(&path).map_err(|error| format!("tests/{module}.rs: {error}"))?;
        for (id, test) in marks(&text).map_err(|problem| format!("tests/{module}.rs: {problem}"))? {
            proofs.entry(id).or_default().push(format!("{module}::{test}"));
        }
    }
    Ok(proofs)
}

/// The modules that `tests/main.rs` declares.
pub fn modules(directory: &Path) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(directory.join("main.rs")).map_err(|error| format!("tests/main.rs: {error}"))?;
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    Ok(names.map(String::from).collect())
}

/// Pairs of API id and test in one file.
pub fn marks(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut waiting: Vec<String> = Vec::new();
    let mut is_test = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(ids) = line.strip_prefix(MARK) {
            waiting.extend(
                ids.split(',')
                    .map(|id| id.trim().to_string())
                    .filter(|id| !id.is_empty()),
            );
        } else if waiting.is_empty() || line.starts_with("//") {
            continue;
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]";
        } else {
            let name = line
                .strip_prefix("fn ")
                .and_then(|rest| rest.split_once('('))
                .map(|(name, _)| name);
            match name {
                Some(name) if is_test => pairs.extend(waiting.drain(..).map(|id| (id, name.to_string()))),
                _ => return Err(format!("line {}: {MARK:?} must stand above a #[test]", index + 1)),
            }
            is_test = false;
        }
    }
    Ok(pairs)
}

/// What disagrees between the ledger and the tests, one line each.
pub fn disagreements(entries: &[Entry], proofs: &Proofs) -> Vec<String> {
    let mut problems = Vec::new();
    for entry in entries {
        match (entry.state, proofs.get(&entry.id)) {
            (State::Done | State::Differs, None) => {
                problems.push(format!("{} is {} but no test proves it", entry.id, entry.state));
            }
            (State::Absent, Some(tests)) => {
                problems.push(format!("{} is absent but proven by {}", entry.id, tests.join(", ")));
            }
            _ => {}
        }
    }
    for (id, tests) in proofs {
        if !entries.iter().any(|entry| entry.id == *id) {
            problems.push(format!(
                "{id} is not in docs/api.tsv but claimed by {}",
                tests.join(", ")
            ));
        }
    }
    problems
}
