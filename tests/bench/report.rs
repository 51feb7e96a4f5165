//! What was measured, as a table for people, as Markdown and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::peers::Peers;
use crate::stats::{Samples, Unit};

/// A value that a contestant is to reach.
pub struct Goal {
    text: String,
    met: bool,
}

/// One work, measured for every column.
pub struct Row {
    work: &'static str,
    unit: Unit,
    cells: Vec<Option<Samples>>,
    goals: Vec<Goal>,
}

impl Row {
    /// Samples in the order of the section's columns; `None` where a contestant is missing.
    pub fn new(work: &'static str, unit: Unit, cells: Vec<Option<Samples>>) -> Self {
        let goals = Vec::new();
        Self {
            work,
            unit,
            cells,
            goals,
        }
    }

    /// The first column's median is to be at most this.
    pub fn at_most(mut self, bound: f64) -> Self {
        if let Some(first) = self.cells.first().and_then(Option::as_ref) {
            let text = format!("≤ {}", self.unit.show(bound));
            let met = first.median() <= bound;
            self.goals.push(Goal { text, met });
        }
        self
    }

    /// The first column's median is to be at least this.
    pub fn at_least(mut self, bound: f64) -> Self {
        if let Some(first) = self.cells.first().and_then(Option::as_ref) {
            let text = format!("≥ {}", self.unit.show(bound));
            let met = first.median() >= bound;
            self.goals.push(Goal { text, met });
        }
        self
    }

    /// The first column's median is to be at most `ratio` of that of another column.
    pub fn at_most_of(mut self, ratio: f64, column: usize, name: &str) -> Self {
        if let Some(actual) = self.ratio(column) {
            let text = format!("≤ {ratio} × {name}");
            self.goals.push(Goal {
                text,
                met: actual <= ratio,
            });
        }
        self
    }

    /// The first column's median in relation to that of another column.
    fn ratio(&self, column: usize) -> Option<f64> {
        let first = self.cells.first()?.as_ref()?.median();
        Some(first / self.cells.get(column)?.as_ref()?.median())
    }

    fn goal_text(&self) -> String {
        let goals = self.goals.iter();
        let texts: Vec<_> = goals
            .map(|goal| format!("{} {}", goal.text, if goal.met { "✓" } else { "✗" }))
            .collect();
        texts.join(", ")
    }

    fn cell_text(&self, column: usize) -> String {
        let Some(samples) = &self.cells[column] else {
            return "–".into();
        };
        let show = |value| self.unit.show(value);
        if samples.len() == 1 {
            return show(samples.median());
        }
        let (median, mean) = (show(samples.median()), show(samples.mean()));
        format!("{median} ({mean}; {}…{})", show(samples.min()), show(samples.max()))
    }

    fn json(&self, columns: &[&str]) -> Value {
        let cells = columns.iter().zip(&self.cells).map(|(column, samples)| {
            let value = samples.as_ref().map(|samples| {
                json!({"median": samples.median(), "mean": samples.mean(), "min": samples.min(),
                       "max": samples.max(), "samples": samples.len()})
            });
            ((*column).to_string(), value.unwrap_or_default())
        });
        let goals: Vec<_> = self
            .goals
            .iter()
            .map(|goal| json!({"goal": goal.text, "met": goal.met}))
            .collect();
        json!({"work": self.work, "unit": self.unit.name(), "results": cells.collect::<serde_json::Map<_, _>>(), "goals": goals})
    }
}

/// Rows with the same contestants.
pub struct Section {
    title: &'static str,
    /// How it was measured.
    note: String,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
}

impl Section {
    /// A section without rows. The first column is the one that the others are compared with.
    pub fn new(title: &'static str, note: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            title,
            note: note.into(),
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(mut self, row: Row) -> Self {
        assert_eq!(row.cells.len(), self.columns.len(), "{}", row.work);
        self.rows.push(row);
        self
    }

    /// Head and rows of the table, without the columns of contestants that are missing everywhere.
    fn table(&self) -> Vec<Vec<String>> {
        let present: Vec<_> = (0..self.columns.len())
            .filter(|column| self.rows.iter().any(|row| row.cells[*column].is_some()))
            .collect();
        let rivals = present.iter().skip(1);
        let mut head = vec!["work".to_string()];
        head.extend(present.iter().map(|column| self.columns[*column].to_string()));
        head.extend(rivals.clone().map(|column| format!("× {}", self.columns[*column])));
        head.push("goal".into());
        let rows = self.rows.iter().map(|row| {
            let mut cells = vec![row.work.to_string()];
            cells.extend(present.iter().map(|column| row.cell_text(*column)));
            let ratio = |column: &usize| row.ratio(*column).map_or("–".into(), show_ratio);
            cells.extend(rivals.clone().map(ratio));
            cells.push(row.goal_text());
            cells
        });
        std::iter::once(head).chain(rows).collect()
    }
}

fn show_ratio(ratio: f64) -> String {
    let decimals = if ratio < 0.1 { 4 } else { 2 };
    format!("{ratio:.decimals$}")
}

/// All that was measured in one run.
pub struct Report {
    circumstances: Vec<(&'static str, String)>,
    sections: Vec<Section>,
}

impl Report {
    /// Notes machine, date and versions.
    pub fn new(peers: &Peers) -> Self {
        Self {
            circumstances: peers.circumstances(),
            sections: Vec::new(),
        }
    }

    /// Adds a section.
    pub fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.circumstances {
            let _ = writeln!(text, "{name}: {value}");
        }
        for section in &self.sections {
            let _ = writeln!(text, "\n{}\n{}", section.title, section.note);
            let table = section.table();
            let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            let widths: Vec<_> = (0..table[0].len()).map(width).collect();
            for row in &table {
                let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
                let line = cells.collect::<Vec<_>>().join("  ");
                let _ = writeln!(text, "  {}", line.trim_end());
            }
        }
        text
    }

    /// For the documentation.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "# Benchmarks\n\nWritten by `cargo bench -p nodule-tests --bench bench -- --markdown docs/benchmarks.md`; `make bench` \
             prints the same.\nCells are the median, in brackets the mean and the range. A ratio below 1 means less \
             than the rival: time and\nmemory want it small, throughput large.\n\n",
        );
        for (name, value) in &self.circumstances {
            let _ = writeln!(text, "- {name}: {value}");
        }
        for section in &self.sections {
            let _ = writeln!(text, "\n## {}\n\n{}\n", section.title, section.note);
            for (index, row) in section.table().iter().enumerate() {
                let _ = writeln!(text, "| {} |", row.join(" | "));
                if index == 0 {
                    let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
                }
            }
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> String {
        let circumstances: serde_json::Map<_, _> = self
            .circumstances
            .iter()
            .map(|(name, value)| ((*name).to_string(), value.clone().into()))
            .collect();
        let sections: Vec<_> = self
            .sections
            .iter()
            .map(|section| {
                let rows: Vec<_> = section.rows.iter().map(|row| row.json(&section.columns)).collect();
                json!({"section": section.title, "rows": rows})
            })
            .collect();
        json!({"circumstances": circumstances, "sections": sections}).to_string()
    }
}
