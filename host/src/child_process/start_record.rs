//! What a nodule child is started with: a record that its host reads from a descriptor, so that nothing of it comes from
//! what a guest can write. Its command line is for those who look at it.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, SealFlags};
use serde::{Deserialize, Serialize};

use crate::runtime::{EngineOptions, Limits};

/// The variable that has the number of the descriptor.
pub const START_FD_VARIABLE: &str = "NODULE_START_FD";

/// Largest record: environment and arguments.
const RECORD_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where the code of the module is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Code {
    /// What the parent compiled, at this descriptor, of a module with this digest.
    Compiled {
        /// The descriptor.
        fd: RawFd,
        /// SHA-256 of the module, in hexadecimal.
        digest: String,
    },
    /// The module itself, at this descriptor.
    Source {
        /// The descriptor.
        fd: RawFd,
    },
    /// There is none; the child says so.
    Missing,
}

/// The record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartRecord {
    /// The module as it was named.
    pub module: String,
    /// Its absolute path.
    pub path: Option<PathBuf>,
    /// Whether that is a path of the host; else it is one of the guest.
    pub is_host_path: bool,
    /// Its code.
    pub code: Code,
    /// Arguments after it.
    pub args: Vec<String>,
    /// Options of the host before it.
    pub exec_argv: Vec<String>,
    /// Its environment, whole.
    pub env: Vec<(String, String)>,
    /// Flags of its grants.
    pub permissions: Vec<String>,
    /// Its limits; options may lower them.
    pub limits: Limits,
    /// How the parent compiles.
    pub engine: EngineOptions,
    /// Where compiled modules are kept.
    pub cache: Option<PathBuf>,
    /// Descriptors from 3 on that the guest may open as streams.
    pub streams: Vec<RawFd>,
    /// The parent, if the child ends when that does.
    pub ends_with: Option<u32>,
    /// Whether children of the child end with it unless they are asked not to.
    pub kills_orphans: bool,
}

impl StartRecord {
    /// Writes it into a file of its own that nobody can change.
    pub fn write(&self) -> std::io::Result<OwnedFd> {
        let bytes = nodule_abi::value::to_vec(self).map_err(std::io::Error::other)?;
        sealed_file("nodule-start", &bytes)
    }

    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read, is no record, or was written by another version.
    pub fn read(fd: OwnedFd) -> std::io::Result<Self> {
        let seals = rustix::fs::fcntl_get_seals(&fd)?;
        if !seals.contains(SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW) {
            return Err(std::io::Error::other("it is not sealed"));
        }
        let mut file = std::fs::File::from(fd);
        file.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        file.take(RECORD_BYTES_MAX).read_to_end(&mut bytes)?;
        nodule_abi::value::from_slice(&bytes).map_err(std::io::Error::other)
    }
}

/// A file in memory with these bytes, which never change.
pub fn sealed_file(name: &str, bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes)?;
    let fd = OwnedFd::from(file);
    rustix::fs::fcntl_add_seals(
        fd.as_fd(),
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> StartRecord {
        StartRecord {
            module: "./a.wasm".into(),
            path: Some("/work/a.wasm".into()),
            is_host_path: false,
            code: Code::Source { fd: 5 },
            args: vec!["x".into()],
            exec_argv: Vec::new(),
            env: vec![("A".into(), "b".into())],
            permissions: vec!["--allow-child".into()],
            limits: Limits::default(),
            engine: EngineOptions::default(),
            cache: None,
            streams: vec![4],
            ends_with: None,
            kills_orphans: true,
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let read = StartRecord::read(record().write().unwrap()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", record()));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        assert!(StartRecord::read(sealed_file("test", b"nonsense").unwrap()).is_err());
        let unsealed = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        let error = StartRecord::read(unsealed).unwrap_err();
        assert_eq!(error.to_string(), "it is not sealed");
    }
}
