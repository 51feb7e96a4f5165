//! Asks the linker about every import on its own, so that all unknown ones are listed and nothing is listed that
//! `nodule run` would accept.

use nodule_abi::ABI_VERSION;

use super::report::{Import, Report};
use crate::runtime::{Host, Module, ModuleError};

/// Notes what `nodule run` would refuse.
pub fn check(host: &Host, report: &mut Report) {
    if let Some(wanted) = report
        .abi
        .module
        .as_ref()
        .filter(|wanted| **wanted != ABI_VERSION.to_string())
    {
        report.problems.push(format!(
            "built for ABI {wanted} of nodule; this nodule has ABI {ABI_VERSION}"
        ));
    }
    for import in &mut report.imports {
        import.problem = problem(host, import);
    }
    let unknown = report.imports.iter().filter(|import| import.problem.is_some()).count();
    if unknown > 0 {
        let problem = if unknown == 1 {
            "1 import is".to_owned()
        } else {
            format!("{unknown} imports are")
        };
        report.problems.push(format!("{problem} unknown"));
    }
}

/// Why this import cannot be linked.
fn problem(host: &Host, import: &Import) -> Option<String> {
    let item = import.item.wat.as_deref()?;
    let module = format!(
        "(module (import {} {} {item}))",
        quoted(&import.module),
        quoted(&import.name)
    );
    match Module::from_bytes(host, "import", module.as_bytes()) {
        Ok(_) => None,
        // Hints would be repeated at every import.
        Err(ModuleError::Link { reason, .. }) => reason.split(" (hint: ").next().map(str::to_owned),
        // The type uses what the engine does not have.
        Err(ModuleError::Invalid { reason, .. }) => Some(reason),
        Err(error) => Some(error.to_string()),
    }
}

/// A name as the text format writes it, whatever is in it.
fn quoted(name: &str) -> String {
    let bytes: String = name.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!("\"{bytes}\"")
}
