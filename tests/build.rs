//! Lists the guest programs as constants, so that a test of a program that is gone does not compile
//! and a program without a test is an unused constant.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Module of the constants, directory of the sources, directory of the built programs.
const SOURCES: [(&str, &str, &str); 3] = [
    ("tests", "guests/tests/src/bin", "guests/target/wasm32-wasip1/release"),
    (
        "examples",
        "guests/examples/src/bin",
        "guests/target/wasm32-wasip1/release",
    ),
    ("c", "guests/c", "guests/target/c"),
];

fn main() {
    let repository = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    let mut text = String::new();
    for (module, sources, built) in SOURCES {
        let _ = writeln!(text, "/// Programs of `{sources}`.\npub mod {module} {{");
        for name in names(&repository.join(sources)) {
            let constant = name.to_uppercase();
            let _ = writeln!(
                text,
                "    /// `{name}`\n    pub const {constant}: super::Guest = \
                 super::Guest {{ name: {name:?}, directory: {built:?} }};"
            );
        }
        text.push_str("}\n");
        println!("cargo::rerun-if-changed=../{sources}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    if let Err(error) = fs::write(out.join("guests.rs"), text) {
        println!("cargo::error=cannot write guests.rs: {error}");
    }
}

/// Names of the programs in a directory; none when there is no such directory.
fn names(directory: &Path) -> Vec<String> {
    let Ok(files) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let is_program = |path: &PathBuf| matches!(path.extension().and_then(|ext| ext.to_str()), Some("rs" | "c"));
    let mut names: Vec<String> = files
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(is_program)
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_string()))
        .collect();
    names.sort();
    names
}
