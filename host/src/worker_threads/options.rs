//! What a creator asks for.

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::value::Value;
use serde::Deserialize;

use super::limits::ResourceLimits;
use crate::process::env::EnvStore;

/// The options of `spawn` as the guest encodes them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkerOptions {
    /// Path or URL of the module.
    pub path: Option<String>,
    /// Handle of a compiled module.
    pub module: Option<u32>,
    /// Its name.
    pub name: Option<String>,
    /// Arguments after the module.
    pub argv: Vec<String>,
    /// Variables, `"share"`, or nothing for a copy.
    pub env: Value,
    /// Per-thread options of the host; those of the creator when absent.
    pub exec_argv: Option<Vec<String>>,
    /// The creator writes its input.
    pub stdin: bool,
    /// The creator reads its output.
    pub stdout: bool,
    /// The creator reads its error output.
    pub stderr: bool,
    /// Whether files it leaves open are closed at its end.
    pub track_unmanaged_fds: Option<bool>,
    /// Its limits.
    pub resource_limits: ResourceLimits,
    /// The export to call.
    pub entry: Option<String>,
    /// Flags of the grants to narrow to.
    pub permissions: Option<Vec<String>>,
    /// A working directory of its own.
    pub cwd: Option<String>,
}

/// Node's default for the name.
const NAME_DEFAULT: &str = "WorkerThread";

impl WorkerOptions {
    /// The name, trimmed.
    pub fn thread_name(&self) -> String {
        match self.name.as_deref().map(str::trim) {
            None | Some("") => NAME_DEFAULT.into(),
            Some(name) => name.into(),
        }
    }

    /// The environment it starts with.
    pub fn env_store(&self, creator: &EnvStore) -> Result<EnvStore> {
        match &self.env {
            Value::Undefined | Value::Null => Ok(creator.snapshot()),
            Value::String(word) if word == "share" => Ok(creator.clone()),
            Value::Object(variables) => {
                let store = EnvStore::new();
                for (key, value) in variables.entries() {
                    let text = value.as_str().ok_or_else(|| self.invalid_env())?;
                    store.set(key, text)?;
                }
                Ok(store)
            }
            _ => Err(self.invalid_env()),
        }
    }

    fn invalid_env(&self) -> Box<ErrorRecord> {
        ErrorRecord::invalid_arg_type(
            "options.env",
            "of type object or one of undefined, null, or worker_threads.SHARE_ENV",
            &self.env.describe(),
        )
        .into()
    }
}

/// What Node says of a path that is neither absolute nor starts with `./` or `../`.
pub fn check_path(path: &str) -> Result<()> {
    let is_relative = path.starts_with("./") || path.starts_with("../");
    if path.starts_with('/') || is_relative {
        return Ok(());
    }
    if let Some((scheme, _)) = path.split_once(':')
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !scheme.is_empty()
    {
        return match scheme {
            "file" | "data" => Ok(()),
            _ => Err(ErrorRecord::new(ErrorCode::InvalidUrlScheme, "The URL must be of scheme file").into()),
        };
    }
    let message = format!(
        "The worker script or module filename must be an absolute path or a relative path starting with './' or '../'. Received \"{path}\""
    );
    Err(ErrorRecord::new(ErrorCode::WorkerPath, message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_or_say_that_they_are_relative() {
        for good in [
            "/a.wasm",
            "./a.wasm",
            "../a.wasm",
            "file:///a.wasm",
            "data:application/wasm;base64,AA",
        ] {
            assert!(check_path(good).is_ok(), "{good}");
        }
        for (bad, code) in [
            ("a.wasm", "ERR_WORKER_PATH"),
            ("", "ERR_WORKER_PATH"),
            (".hidden", "ERR_WORKER_PATH"),
            ("https://example.org/a.wasm", "ERR_INVALID_URL_SCHEME"),
        ] {
            assert!(check_path(bad).unwrap_err().is_code(code), "{bad}");
        }
    }

    #[test]
    fn a_name_is_trimmed_and_has_a_default() {
        let named = |name: Option<&str>| WorkerOptions {
            name: name.map(Into::into),
            ..WorkerOptions::default()
        };
        assert_eq!(named(Some("  crunch ")).thread_name(), "crunch");
        assert_eq!(named(Some("  ")).thread_name(), "WorkerThread");
        assert_eq!(named(None).thread_name(), "WorkerThread");
    }
}
