//! Writes the versions of the dependencies that `process.versions` names, from `Cargo.lock`.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

const NAMED: [&str; 3] = ["wasmtime", "cranelift-codegen", "tokio"];

fn main() {
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let lock = fs::read_to_string("../Cargo.lock").unwrap_or_default();
    let mut text = String::from("/// Name and version.\npub const LOCKED: &[(&str, &str)] = &[\n");
    for package in lock.split("[[package]]") {
        let field = |name: &str| {
            package
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        if let (Some(name), Some(version)) = (field("name"), field("version"))
            && NAMED.contains(&name)
        {
            let _ = writeln!(text, "    ({name:?}, {version:?}),");
        }
    }
    text.push_str("];\n");
    let directory = env::var("OUT_DIR").unwrap_or_default();
    if let Err(error) = fs::write(Path::new(&directory).join("locked_versions.rs"), text) {
        println!("cargo::error=cannot write locked_versions.rs: {error}");
    }
}
