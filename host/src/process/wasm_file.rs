//! Whether a file is a module.

use std::io::Read as _;
use std::path::Path;

use crate::permissions::Permissions;

/// By its name.
pub fn is_wasm_name(file: &str) -> bool {
    let extension = Path::new(file).extension();
    extension.is_some_and(|extension| extension == "wasm" || extension == "wat")
}

/// By its first bytes, where the guest may read them. A relative path counts from `cwd`.
pub fn begins_as_wasm(file: &str, cwd: &Path, permissions: &Permissions) -> bool {
    let Ok(Ok(Some(mut file))) = permissions.check_read(file, cwd).map(|place| place.open_regular()) else {
        return false;
    };
    let mut magic = [0; 4];
    file.read_exact(&mut magic).is_ok() && &magic == b"\0asm"
}
