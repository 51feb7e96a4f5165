//! Working directory, file mode mask, env files: what `process` does with the file system.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

use super::env_file;
use crate::permissions::Permissions;

/// Largest env file.
const ENV_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

fn code_of(error: &std::io::Error) -> ErrorCode {
    ErrorCode::from_errno(error.raw_os_error().unwrap_or(libc::EIO))
}

/// The working directory of the process, under the guest's name for it where a grant renames it.
pub fn cwd(permissions: &Permissions) -> Result<PathBuf> {
    let host =
        std::env::current_dir().map_err(|error| ErrorRecord::system_path(code_of(&error), "uv_cwd", ".", None))?;
    Ok(permissions.guest_path(&host).unwrap_or(host))
}

/// Changes the working directory of the process to a directory inside a grant.
pub fn chdir(permissions: &Permissions, path: &str) -> Result<()> {
    let old = cwd(permissions)?;
    let target = permissions.check_read(path, &old)?;
    // Through the granted directory, so that no link leads out of it.
    let changed = target
        .dir()
        .open_dir(target.relative())
        .and_then(|directory| Ok(rustix::process::fchdir(directory)?));
    changed
        .map_err(|error| ErrorRecord::system_path(code_of(&error), "chdir", &old.to_string_lossy(), Some(path)).into())
}

/// A directory inside a grant, as a working directory that does not belong to the process: its absolute name.
pub fn resolve(permissions: &Permissions, path: &str, cwd: &Path) -> Result<PathBuf> {
    let failed = |code| ErrorRecord::system_path(code, "chdir", &cwd.to_string_lossy(), Some(path));
    let target = permissions.check_read(path, cwd)?;
    let opened = target.dir().open_dir(target.relative());
    opened.map_err(|error| failed(code_of(&error)))?;
    Ok(crate::wasi::normalize(&cwd.join(path)))
}

/// The kernel tells the mask only while setting it; this keeps two readers apart.
static UMASK: Mutex<()> = Mutex::new(());

/// Sets the file mode mask and gives the old one.
pub fn set_umask(mask: u32) -> u32 {
    let _guard = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(mask)).bits()
}

/// The file mode mask.
pub fn current_umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    match line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()) {
        Some(mask) => mask,
        None => {
            let mask = set_umask(0o077);
            set_umask(mask);
            mask
        }
    }
}

/// Reads and parses an env file inside a grant.
pub fn read_env_file(permissions: &Permissions, cwd: &Path, path: &str) -> Result<Vec<(String, String)>> {
    let target = permissions.check_read(path, cwd)?;
    let failed = |error: std::io::Error| ErrorRecord::system_path(code_of(&error), "open", path, None);
    let no_file = || ErrorRecord::system_path(ErrorCode::Einval, "open", path, None);
    let file = target.open_regular().map_err(failed)?.ok_or_else(no_file)?;
    let mut bytes = Vec::new();
    file.take(ENV_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > ENV_FILE_BYTES_MAX {
        return Err(ErrorRecord::system_path(ErrorCode::Efbig, "read", path, None).into());
    }
    Ok(env_file::parse(&String::from_utf8_lossy(&bytes)))
}
