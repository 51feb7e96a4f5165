//! Environment variables of this isolate (Node: `process.env`).
//!
//! `std::env` shows the same variables: std reads them once, and changes made here reach it. Children get a copy.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::sys;

/// The variable `key`; `None` when it is not set.
pub fn get(key: &str) -> Option<String> {
    // What cannot be looked up (a key with NUL, say) is not set.
    sys::process::env_get(key).ok().flatten()
}

/// Sets a variable. Numbers and booleans become text, as in Node; so do `None` (`"null"`) and `()` (`"undefined"`).
/// An empty key is ignored.
///
/// # Errors
/// `ERR_INVALID_ARG_VALUE` for `=` or NUL in the key or NUL in the value, `E2BIG` when the environment is full.
pub fn set(key: &str, value: impl EnvValue) -> Result<()> {
    value.with_text(|text| sys::process::env_set(key, text))
}

/// Removes a variable; a missing one is no error.
///
/// # Errors
/// `ERR_INVALID_ARG_VALUE` for a key no variable can have.
pub fn remove(key: &str) -> Result<()> {
    sys::process::env_delete(key)
}

/// Whether the variable `key` is set.
pub fn has(key: &str) -> bool {
    get(key).is_some()
}

/// All variables.
///
/// # Errors
/// When the host refuses.
pub fn all() -> Result<BTreeMap<String, String>> {
    sys::process::env_all()
}

/// What an environment variable can be set to.
pub trait EnvValue {
    /// Passes the value as text to `use_text`.
    fn with_text<R>(&self, use_text: impl FnOnce(&str) -> R) -> R;
}

impl EnvValue for &str {
    fn with_text<R>(&self, use_text: impl FnOnce(&str) -> R) -> R {
        use_text(self)
    }
}

impl EnvValue for String {
    fn with_text<R>(&self, use_text: impl FnOnce(&str) -> R) -> R {
        use_text(self)
    }
}

impl EnvValue for &String {
    fn with_text<R>(&self, use_text: impl FnOnce(&str) -> R) -> R {
        use_text(self)
    }
}

macro_rules! env_values {
    ($($type:ty),* $(,)?) => {$(
        impl EnvValue for $type {
            fn with_text<R>(&self, use_text: impl FnOnce(&str) -> R) -> R {
                use_text(&self.to_string())
            }
        }
    )*};
}

env_values! { bool, i32, i64, u16, u32, u64, f64 }

/// Node's `undefined`.
impl EnvValue for () {
    fn with_text<R>(&self, use_text: impl FnOnce(&str) -> R) -> R {
        use_text("undefined")
    }
}

/// `None` is Node's `null`.
impl<T: EnvValue> EnvValue for Option<T> {
    fn with_text<R>(&self, use_text: impl FnOnce(&str) -> R) -> R {
        match self {
            Some(value) => value.with_text(use_text),
            None => use_text("null"),
        }
    }
}
