//! Narrowing in the words of the command line, as guests ask for it.

use std::path::Path;

use nodule_abi::error::{ErrorRecord, Result};

use super::{ALLOW_ALL, DirAccess, Permissions};

impl Permissions {
    /// What is granted here and by these flags of a guest, whose directories have the guest's names. Flags that also stand
    /// in `own` are the operator's, with names of the host.
    ///
    /// # Errors
    /// `ERR_INVALID_ARG_VALUE` for what is no flag of a grant; those of [`Permissions::sub_dir`].
    pub fn narrow_by_flags(&self, flags: &[String], own: &[String], cwd: &Path) -> Result<Self> {
        let refused = |text: &str, reason: &str| {
            ErrorRecord::invalid_arg_value("options.permissions", reason, &format!("'{text}'"))
        };
        let mut wanted = Self::none();
        for flag in flags {
            let directory = flag.strip_prefix("--dir=").filter(|_| !own.contains(flag));
            if let Some(directory) = directory {
                let (path, guest, access) = directory_wish(directory);
                let grant = self.sub_dir(path, cwd, guest, access)?;
                wanted = wanted
                    .with_dir(grant)
                    .map_err(|error| refused(flag, &error.to_string()))?;
            } else if matches!(flag.as_str(), ALLOW_ALL | "--allow-all") {
                wanted = self.clone();
            } else {
                wanted = wanted
                    .with_flag(flag)
                    .map_err(|error| refused(flag, &error.to_string()))?;
            }
        }
        Ok(self.narrow(&wanted))
    }
}

/// `PATH[::GUEST][:ro]`.
fn directory_wish(text: &str) -> (&str, &str, DirAccess) {
    let (text, access) = match text.strip_suffix(":ro") {
        Some(text) => (text, DirAccess::Read),
        None => (text, DirAccess::ReadWrite),
    };
    let (path, guest) = text.split_once("::").unwrap_or((text, text));
    (path, guest, access)
}
