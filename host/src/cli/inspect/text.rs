//! The report for people.

use std::fmt::Write as _;

use super::report::{Import, Item, Kind, Report};
use crate::cli::size;

/// Writes the report.
pub fn write(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut text, report);
    text
}

fn write_all(text: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(text, "{}", clean(&report.file))?;
    writeln!(text, "  kind     {}", describe(report.kind))?;
    writeln!(text, "  size     {} ({} bytes)", size::show(report.bytes), report.bytes)?;
    writeln!(text, "  sha256   {}", report.sha256)?;
    match &report.abi.module {
        Some(module) => writeln!(text, "  ABI      {module} (this nodule: {})", report.abi.host)?,
        None if report.kind == Kind::Component => {}
        None => writeln!(text, "  ABI      none: it was not built with the SDK")?,
    }
    if let Some(start) = report.start {
        writeln!(text, "  start    function {start}")?;
    }
    write_imports(text, &report.imports)?;
    section(text, "exports", report.exports.len())?;
    for export in &report.exports {
        writeln!(text, "  {}{}", clean(&export.name), typed(&export.item))?;
    }
    section(text, "memories", report.memories.len())?;
    for memory in &report.memories {
        let shown = |pages: u64| {
            let bytes = usize::try_from(pages.saturating_mul(memory.page_bytes)).unwrap_or(usize::MAX);
            size::show_memory(bytes)
        };
        let unit = if memory.min_pages == 1 { "page" } else { "pages" };
        write!(text, "  {} {unit} ({})", memory.min_pages, shown(memory.min_pages))?;
        match memory.max_pages {
            Some(pages) => write!(text, ", at most {pages} ({})", shown(pages))?,
            None => write!(text, ", no maximum")?,
        }
        let marks = [(memory.shared, ", shared"), (memory.memory64, ", 64-bit")];
        let marks: String = marks
            .into_iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, mark)| mark)
            .collect();
        writeln!(text, "{marks}")?;
    }
    section(text, "tables", report.tables.len())?;
    for table in &report.tables {
        write!(text, "  {} {}", table.min_elements, table.ty)?;
        match table.max_elements {
            Some(most) => writeln!(text, ", at most {most}")?,
            None => writeln!(text, ", no maximum")?,
        }
    }
    section(text, "custom sections", report.custom_sections.len())?;
    for custom in &report.custom_sections {
        writeln!(text, "  {} ({})", clean(&custom.name), size::show(custom.bytes))?;
    }
    section(text, "permissions it may want", report.permissions.len())?;
    for want in &report.permissions {
        writeln!(text, "  {}  {} ({})", want.flag, want.reason, want.imports.join(", "))?;
    }
    section(text, "nodule run refuses it", report.problems.len())?;
    for problem in &report.problems {
        writeln!(text, "  {}", clean(problem))?;
    }
    Ok(())
}

/// Grouped by namespace, in the order of the module.
fn write_imports(text: &mut String, imports: &[Import]) -> std::fmt::Result {
    section(text, "imports", imports.len())?;
    let mut namespaces: Vec<&str> = Vec::new();
    for import in imports {
        if !namespaces.contains(&import.module.as_str()) {
            namespaces.push(&import.module);
        }
    }
    for namespace in namespaces {
        // The imports of components have none.
        let indent = if namespace.is_empty() && imports.iter().all(|import| import.item.ty.is_none()) {
            "  "
        } else {
            writeln!(text, "  {}", clean(namespace))?;
            "    "
        };
        for import in imports.iter().filter(|import| import.module == namespace) {
            write!(text, "{indent}{}{}", clean(&import.name), typed(&import.item))?;
            match &import.problem {
                Some(problem) => writeln!(text, "  !! {}", clean(problem))?,
                None => writeln!(text)?,
            }
        }
    }
    Ok(())
}

fn section(text: &mut String, title: &str, entries: usize) -> std::fmt::Result {
    match entries {
        0 => Ok(()),
        _ => writeln!(text, "\n{title}"),
    }
}

fn typed(item: &Item) -> String {
    match &item.ty {
        Some(ty) if item.kind == "function" => format!(" {ty}"),
        Some(ty) => format!(" {} {ty}", item.kind),
        None => format!(" {}", item.kind),
    }
}

/// Names of a module are anybody's: nothing in them may reach the terminal as a control.
fn clean(name: &str) -> String {
    name.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

const fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::Command => "command (nodule run)",
        Kind::Reactor => "reactor (an embedder calls its exports after _initialize)",
        Kind::Library => "library (an embedder calls its exports)",
        Kind::SideModule => "side module (dylink.0, loaded with dlopen)",
        Kind::Component => "component",
    }
}
