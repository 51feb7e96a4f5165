//! Where a worker's module comes from.

use std::path::Path;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::WORKER_MODULE_BYTES_MAX;

use crate::permissions::Permissions;
use crate::runtime::{Host, Module, ModuleError};

/// The module of a worker.
#[derive(Debug)]
pub enum Source {
    /// Compiled already.
    Module(Module),
    /// Binary or text form.
    Bytes(Vec<u8>),
    /// A path of the guest.
    Path(String),
}

impl Source {
    /// From a path or URL whose form was checked; `own` is the creator's module.
    pub fn from_path(path: &str, cwd: &Path, own: &Module) -> Result<Self> {
        if let Some(rest) = path.strip_prefix("data:") {
            return data_url(rest).map(Self::Bytes);
        }
        let path = match path.strip_prefix("file:") {
            Some(url) => file_url(url)?,
            None => path.to_string(),
        };
        // A guest may always run itself again: nothing new is read.
        let is_own = own
            .path()
            .is_some_and(|own| cwd.join(&path).canonicalize().is_ok_and(|path| path == own));
        Ok(if is_own {
            Self::Module(own.clone())
        } else {
            Self::Path(path)
        })
    }

    /// Reads and compiles what is not compiled yet, without blocking the thread. Dropping the future is fine at any
    /// time.
    pub async fn load(self, host: &Host, permissions: &Permissions, cwd: &Path) -> Result<Module> {
        match self {
            Self::Module(module) => module.load_for_host(host).await.map_err(|error| failed(&error)),
            Self::Bytes(bytes) => compile(host, bytes).await,
            Self::Path(path) => {
                let file = open(permissions, cwd, &path).await?;
                let path = crate::wasi::normalize(&cwd.join(path));
                Module::load_open_file(host, file, &path, WORKER_MODULE_BYTES_MAX)
                    .await
                    .map_err(|error| failed(&error))
            }
        }
    }
}

/// Compiles the binary or text form of a module.
pub async fn compile(host: &Host, bytes: Vec<u8>) -> Result<Module> {
    let module = Module::load_bytes(host, "[worker eval]", bytes.into()).await;
    module.map_err(|error| failed(&error))
}

/// Opens a file inside a grant, on a thread for that: its file system may be slow.
pub async fn open(permissions: &Permissions, cwd: &Path, path: &str) -> Result<std::fs::File> {
    let target = permissions.check_read(path, cwd)?;
    let open = move || {
        let file = target.open_regular()?;
        file.ok_or_else(|| std::io::Error::other("it is no regular file"))
    };
    let opened = tokio::task::spawn_blocking(open)
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)));
    opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let message = format!("Cannot find module '{path}'");
            ErrorRecord::new(ErrorCode::ModuleNotFound, message).into()
        }
        _ => init_failed(&format!("cannot read {path}: {error}")),
    })
}

fn failed(error: &ModuleError) -> Box<ErrorRecord> {
    let mut record = init_failed(&error.to_string());
    if matches!(error, ModuleError::AbiMismatch { .. }) {
        record.info = Some(ErrorCode::AbiMismatch.as_str().into());
    }
    record
}

/// `ERR_WORKER_INIT_FAILED`.
pub fn init_failed(reason: &str) -> Box<ErrorRecord> {
    ErrorRecord::new(
        ErrorCode::WorkerInitFailed,
        format!("Worker initialization failure: {reason}"),
    )
    .into()
}

fn invalid_url(reason: &str, received: &str) -> Box<ErrorRecord> {
    ErrorRecord::invalid_arg_value("filename", reason, &format!("'{received}'")).into()
}

/// The path of a `file:` URL: what follows an empty or local host, with `%xx` decoded.
pub fn file_url(rest: &str) -> Result<String> {
    let path = match rest.strip_prefix("//") {
        Some(after) => after.strip_prefix("localhost").unwrap_or(after),
        None => rest,
    };
    let path = percent_decode(path).filter(|path| path.starts_with('/') && !path.contains('\0'));
    path.ok_or_else(|| invalid_url("must be an absolute file URL", &format!("file:{rest}")))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The bytes of `application/wasm;base64,…`.
fn data_url(rest: &str) -> Result<Vec<u8>> {
    use base64::Engine as _;
    let shown = format!("data:{}", rest.chars().take(32).collect::<String>());
    let data = rest
        .strip_prefix("application/wasm;base64,")
        .ok_or_else(|| invalid_url("must be data:application/wasm;base64,<data>", &shown))?;
    base64::engine::general_purpose::STANDARD
        .decode(data)
        .map_err(|_| invalid_url("must hold valid base64", &shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_urls_are_local_and_absolute() {
        assert_eq!(file_url("///a%20b.wasm").unwrap(), "/a b.wasm");
        assert_eq!(file_url("//localhost/a.wasm").unwrap(), "/a.wasm");
        assert_eq!(file_url("/a.wasm").unwrap(), "/a.wasm");
        for bad in ["a.wasm", "//host/a.wasm", "///%zz", "///a%00"] {
            assert!(file_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn data_urls_hold_base64() {
        assert_eq!(data_url("application/wasm;base64,AGFzbQ==").unwrap(), b"\0asm");
        for bad in ["text/plain,x", "application/wasm;base64,*", "application/wasm,AA"] {
            assert!(data_url(bad).is_err(), "{bad}");
        }
    }
}
