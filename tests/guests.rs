//! The guest programs, one constant each, generated from the directories of their sources.
//!
//! A constant that nothing uses is a program without a test: rustc warns, which `make lint` makes an error.

use std::path::PathBuf;

/// A built guest program.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// Its name, without `.wasm`.
    pub name: &'static str,
    directory: &'static str,
}

impl Guest {
    /// The built module.
    ///
    /// # Panics
    /// When it is not built.
    pub fn path(self) -> PathBuf {
        let path = nodule_tests::repository()
            .join(self.directory)
            .join(format!("{}.wasm", self.name));
        assert!(
            path.is_file(),
            "the guest {:?} is not built: run `make guests` ({} is missing)",
            self.name,
            path.display()
        );
        path.canonicalize().unwrap()
    }
}

include!(concat!(env!("OUT_DIR"), "/guests.rs"));
