//! Where a worker's module comes from.

use std::io::Read as _;
use std::path::{Path, PathBuf};

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
        let is_own = own.path().is_some_and(|own| cwd.join(&path).canonicalize().is_ok_and(|path| path == own));
        Ok(if is_own { Self::Module(own.clone()) } else { Self::Path(path) })
    }

    /// Reads and compiles what is not compiled yet, on a blocking thread. Dropping the future leaves that work behind,
    /// whose result nobody gets.
    pub async fn load(self, host: Host, permissions: Permissions, cwd: PathBuf) -> Result<Module> {
        let work = move || match self {
            Self::Module(module) => Ok(module),
            Self::Bytes(bytes) => Module::from_bytes(&host, "[worker eval]", &bytes).map_err(|error| failed(&error)),
            Self::Path(path) => load_file(&host, &permissions, &cwd, &path),
        };
        match work_needs_thread(work).await {
            Ok(result) => result,
            Err(error) => {
                tracing::error!(%error, "loading a worker's module failed");
                Err(ErrorRecord::new(ErrorCode::Internal, "internal error of the host; see its log").into())
            }
        }
    }
}

async fn work_needs_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::result::Result<T, tokio::task::JoinError> {
    tokio::task::spawn_blocking(work).await
}

fn load_file(host: &Host, permissions: &Permissions, cwd: &Path, path: &str) -> Result<Module> {
    let target = permissions.check_read(path, cwd)?;
    let not_found = || ErrorRecord::new(ErrorCode::ModuleNotFound, format!("Cannot find module '{path}'"));
    let unreadable = |error: std::io::Error| -> Box<ErrorRecord> {
        match error.kind() {
            std::io::ErrorKind::NotFound => not_found().into(),
            _ => init_failed(&format!("cannot read {path}: {error}")),
        }
    };
    let file = target.dir().open(target.relative()).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(WORKER_MODULE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > WORKER_MODULE_BYTES_MAX {
        return Err(init_failed(&format!("{path} is larger than {WORKER_MODULE_BYTES_MAX} bytes")));
    }
    let module = Module::from_bytes(host, path, &bytes).map_err(|error| failed(&error))?;
    Ok(module.with_guest_path(&cwd.join(path)))
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
    ErrorRecord::new(ErrorCode::WorkerInitFailed, format!("Worker initialization failure: {reason}")).into()
}

fn invalid_url(reason: &str, received: &str) -> Box<ErrorRecord> {
    ErrorRecord::invalid_arg_value("filename", reason, &format!("'{received}'")).into()
}

/// The path of a `file:` URL: what follows an empty or local host, with `%xx` decoded.
fn file_url(rest: &str) -> Result<String> {
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
