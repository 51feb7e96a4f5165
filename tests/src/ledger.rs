//! The ledger: every API id (`docs/api.tsv`) and how far it is (`docs/status.tsv`).

use std::collections::BTreeMap;
use std::fmt;

/// One API id.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name, in Node's spelling.
    pub id: String,
    /// The module it belongs to.
    pub area: String,
    /// What it promises, in a line.
    pub summary: String,
    /// How far it is.
    pub state: State,
    /// Why it differs or is absent; empty for what is done.
    pub why: String,
}

/// How far an API id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Built as described.
    Done,
    /// Built, but differs from the description.
    Differs,
    /// Not built, or not proven by a test.
    Absent,
}

impl State {
    /// All states, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Done, Self::Differs, Self::Absent];

    /// Its name in `docs/status.tsv`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Differs => "differs",
            Self::Absent => "absent",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads both files and joins them. The error lists every row that is wrong.
pub fn read() -> Result<Vec<Entry>, String> {
    let docs = crate::repository().join("docs");
    let file = |name: &str| std::fs::read_to_string(docs.join(name)).map_err(|error| format!("docs/{name}: {error}"));
    join(&file("api.tsv")?, &file("status.tsv")?)
}

/// Joins the text of `api.tsv` with that of `status.tsv`.
pub fn join(api: &str, status: &str) -> Result<Vec<Entry>, String> {
    let mut problems = Vec::new();
    let mut states = BTreeMap::new();
    for line in status.lines().skip(1) {
        match read_status(line) {
            Ok((id, state)) => {
                if states.insert(id, state).is_some() {
                    problems.push(format!("docs/status.tsv: {id} has two rows"));
                }
            }
            Err(problem) => problems.push(format!("docs/status.tsv: {problem}: {line:?}")),
        }
    }
    let mut entries = Vec::new();
    for line in api.lines().skip(1) {
        let mut cells = line.split('\t');
        let (Some(id), Some(area), Some(_kind), Some(_origin), Some(summary)) =
            (cells.next(), cells.next(), cells.next(), cells.next(), cells.next())
        else {
            problems.push(format!("docs/api.tsv: a row needs five cells: {line:?}"));
            continue;
        };
        let Some((state, why)) = states.remove(id) else {
            problems.push(format!("docs/status.tsv: {id} has no row"));
            continue;
        };
        entries.push(Entry {
            id: id.into(),
            area: area.into(),
            summary: summary.into(),
            state,
            why: why.into(),
        });
    }
    problems.extend(
        states
            .keys()
            .map(|id| format!("docs/status.tsv: {id} is not in docs/api.tsv")),
    );
    if problems.is_empty() {
        Ok(entries)
    } else {
        Err(problems.join("\n"))
    }
}

fn read_status(line: &str) -> Result<(&str, (State, &str)), &'static str> {
    let mut cells = line.split('\t');
    let (Some(id), Some(state), Some(why), None) = (cells.next(), cells.next(), cells.next(), cells.next()) else {
        return Err("a row needs three cells");
    };
    let state = State::ALL
        .into_iter()
        .find(|known| known.name() == state)
        .ok_or("unknown state")?;
    match (state, why.is_empty()) {
        (State::Done, false) => Err("what is done needs no reason"),
        (State::Differs | State::Absent, true) => Err("a reason is missing"),
        _ => Ok((id, (state, why))),
    }
}
