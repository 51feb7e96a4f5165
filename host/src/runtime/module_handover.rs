//! Modules on their way to the hosts of child processes: compiled by the parent, loaded by the child.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::host::Host;
use super::module::{Digest, Module, Source, binary_form};
use super::module_error::{ModuleError, one_line};
use crate::child_process::sealed_file;

impl Module {
    /// The compiled code in a file that another host of the same kind can load: the one in the cache, or one in memory.
    pub(crate) fn compiled_file(&self, host: &Host) -> std::io::Result<OwnedFd> {
        let cached = host
            .cache()
            .and_then(|cache| cache.open_code(host.engine(), &self.digest_bytes()));
        if let Some(file) = cached {
            return Ok(file.into());
        }
        let code = self.wasm().serialize().map_err(std::io::Error::other)?;
        sealed_file("nodule-code", &code)
    }

    /// Loads what [`Module::compiled_file`] of the parent gave. `is_host_path` says whose path `path` is.
    ///
    /// # Errors
    /// [`ModuleError::Invalid`] when it was compiled with other settings.
    #[allow(unsafe_code, reason = "the only way to load compiled code")]
    pub(crate) fn from_parent(
        host: &Host,
        name: &str,
        path: Option<PathBuf>,
        is_host_path: bool,
        file: OwnedFd,
        digest: &str,
    ) -> Result<Self, ModuleError> {
        let invalid = |reason: String| ModuleError::Invalid {
            name: name.to_owned(),
            reason,
        };
        let digest = digest_of(digest).ok_or_else(|| invalid("its digest is none".into()))?;
        let load = || {
            let file = file.try_clone().map_err(|error| invalid(error.to_string()))?;
            // SAFETY: the parent's host passed its own compiled code; no guest can write to that file.
            unsafe { wasmtime::Module::deserialize_open_file(host.engine(), file.into()) }
                .map_err(|error| invalid(one_line(&error)))
        };
        let code = host.codes().slot(&digest).get_or_compile(digest, &load)?;
        let source = match is_host_path && path.is_some() {
            true => Source::File,
            false => Source::Precompiled,
        };
        Self::linked(host, code, name, path, source)
    }

    /// As [`Module::from_file`], of an open file.
    pub(crate) fn from_open_file(
        host: &Host,
        name: &str,
        path: Option<PathBuf>,
        is_host_path: bool,
        file: File,
    ) -> Result<Self, ModuleError> {
        let bytes = read_from_start(file).map_err(|error| ModuleError::Unreadable {
            path: name.into(),
            error,
        })?;
        let binary = binary_form(name, &bytes)?;
        let source = match is_host_path && path.is_some() {
            true => Source::File,
            false => Source::Bytes,
        };
        Self::from_binary(host, name, &binary, path, source)
    }
}

fn digest_of(hex: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if hex.len() != digest.len() * 2 || !hex.is_ascii() {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(digest)
}

fn read_from_start(mut file: File) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
