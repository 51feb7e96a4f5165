//! Versions of the dependencies that `process.versions` names; written by the build script from `Cargo.lock`.

include!(concat!(env!("OUT_DIR"), "/locked_versions.rs"));
