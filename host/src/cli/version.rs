//! `nodule version`.

use clap::Args;

use super::error::CliError;
use crate::exit_code::ExitCode;
use crate::process::attributes;

/// Prints the version of nodule and of what it is made of
#[derive(Args, Debug)]
pub struct VersionFlags {
    /// Prints `process.versions` as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the versions.
pub fn version(flags: &VersionFlags) -> Result<ExitCode, CliError> {
    if !flags.json {
        return super::print(concat!("nodule ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    super::print(&format!("{:#}\n", versions()))
}

/// `process.versions`; all its values are strings.
fn versions() -> serde_json::Value {
    let versions = attributes::versions();
    let members = versions.as_object().into_iter().flat_map(|versions| versions.entries());
    let texts = members.filter_map(|(name, version)| Some((name.clone(), version.as_str()?.into())));
    serde_json::Value::Object(texts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_process() {
        let versions = versions();
        assert_eq!(versions["nodule"], env!("CARGO_PKG_VERSION"));
        assert_eq!(versions["modules"], nodule_abi::ABI_VERSION.to_string());
        for name in ["node", "wasmtime", "wasi", "cranelift", "tokio"] {
            assert!(
                versions[name].as_str().is_some_and(|version| !version.is_empty()),
                "{name}"
            );
        }
    }
}
