//! `nodule inspect`: what is in a module, without running it.
//!
//! | file | what it does |
//! |---|---|
//! | `report` | reads the sections of a module or component |
//! | `link` | asks the linker about every import |
//! | `wants` | which grants the imports hint at |
//! | `text` | the report for people |

mod link;
mod report;
#[cfg(test)]
mod tests;
mod text;
mod wants;

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::error::CliError;
use crate::exit_code::ExitCode;
use crate::runtime::Host;

/// Shows what is in a module and what it needs
///
/// That is its imports, exports, memories, tables, custom sections, ABI, and the permissions it may want. Works for modules that nodule cannot run, and tells why it cannot.
#[derive(Args, Debug)]
pub struct InspectFlags {
    /// The module (.wasm or .wat)
    #[arg(value_hint = ValueHint::FilePath)]
    module: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Prints the report.
pub fn inspect(flags: &InspectFlags) -> Result<ExitCode, CliError> {
    let bytes = std::fs::read(&flags.module).map_err(|error| CliError::file("cannot read", &flags.module, &error))?;
    let name = flags.module.display().to_string();
    let mut report = report::read(&name, &bytes)?;
    if report.kind.is_linked_by_the_host() {
        let host = Host::builder().no_cache().build().map_err(CliError::fatal)?;
        link::check(&host, &mut report);
    }
    if !flags.json {
        return super::print(&text::write(&report));
    }
    match serde_json::to_string_pretty(&report) {
        Ok(json) => super::print(&format!("{json}\n")),
        Err(error) => Err(CliError::fatal(error)),
    }
}
