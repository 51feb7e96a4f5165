//! The environment variables of an isolate (`process.env`).
//!
//! The host never changes its own OS environment: every isolate has a store, children get their block from it.
//! Cloning a store shares it (Node's `SHARE_ENV`); [`EnvStore::snapshot`] copies it (the default of a Worker).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::{ENV_BYTES_MAX, ENV_COUNT_MAX, ENV_TOTAL_BYTES_MAX};

use super::js_text;
use crate::ipc::is_channel_variable;

/// A set of environment variables. Clones share one set.
#[derive(Clone, Debug, Default)]
pub struct EnvStore {
    shared: Arc<Mutex<Variables>>,
}

#[derive(Clone, Debug, Default)]
struct Variables {
    entries: BTreeMap<String, String>,
    /// Bytes of all keys and values, kept up to date so that the bound costs nothing to check.
    total_bytes: usize,
}

impl EnvStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The store of a main isolate: the variables of the OS environment that `granted` accepts, except those that tell of
    /// the channel to the parent, then `explicit` ones (`--env`), which replace them. OS entries that are not UTF-8 or break a rule are left out; an explicit one
    /// that breaks a rule is an error.
    pub fn from_os(
        granted: impl Fn(&str) -> bool,
        explicit: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        Self::from_entries(std::env::vars_os(), granted, explicit)
    }

    fn from_entries(
        os: impl IntoIterator<Item = (OsString, OsString)>,
        granted: impl Fn(&str) -> bool,
        explicit: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut variables = Variables::default();
        for (key, value) in os {
            if let (Ok(key), Ok(value)) = (key.into_string(), value.into_string())
                && granted(&key)
                && !is_channel_variable(&key)
            {
                // What the kernel let through but the rules do not is no mistake of the guest's.
                let _ = variables.set(&key, &value);
            }
        }
        for (key, value) in explicit {
            variables.set(&key, &value)?;
        }
        Ok(Self {
            shared: Arc::new(Mutex::new(variables)),
        })
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<String> {
        self.lock().entries.get(key).cloned()
    }

    /// Sets `key`; an empty key is ignored. `ERR_INVALID_ARG_VALUE` for `=` or NUL in the key or NUL in the value,
    /// `E2BIG` when a bound is passed. Nothing changes on failure.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        self.lock().set(key, value)
    }

    /// Sets those of `entries` whose keys are not set yet (`loadEnvFile`). Stops at the first that fails.
    pub fn set_missing<'a>(&self, entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<()> {
        let mut variables = self.lock();
        for (key, value) in entries {
            if !variables.entries.contains_key(key) {
                variables.set(key, value)?;
            }
        }
        Ok(())
    }

    /// Removes `key`; a missing one is no error.
    pub fn delete(&self, key: &str) {
        let mut variables = self.lock();
        if let Some(value) = variables.entries.remove(key) {
            variables.total_bytes -= key.len() + value.len();
        }
    }

    /// All variables, sorted by key.
    pub fn all(&self) -> Vec<(String, String)> {
        self.lock()
            .entries
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// A copy that later changes of this store do not reach.
    pub fn snapshot(&self) -> Self {
        Self {
            shared: Arc::new(Mutex::new(self.lock().clone())),
        }
    }

    /// Whether both names stand for one store.
    pub fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    fn lock(&self) -> MutexGuard<'_, Variables> {
        // Every change keeps the map and the count together, so a poisoned lock holds sound data.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Variables {
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        if key.is_empty() {
            return Ok(());
        }
        check_text(key, value)?;
        let old_bytes = self.entries.get(key).map(|old| key.len() + old.len());
        let new_total = self.total_bytes - old_bytes.unwrap_or(0) + key.len() + value.len();
        if new_total > ENV_TOTAL_BYTES_MAX || (old_bytes.is_none() && self.entries.len() >= ENV_COUNT_MAX) {
            return Err(too_big(&format!(
                "the environment is full: at most {ENV_COUNT_MAX} variables and {ENV_TOTAL_BYTES_MAX} bytes"
            )));
        }
        self.entries.insert(key.to_owned(), value.to_owned());
        self.total_bytes = new_total;
        Ok(())
    }
}

/// Checks one variable against the rules that do not depend on the others.
fn check_text(key: &str, value: &str) -> Result<()> {
    if key.contains(['=', '\0']) {
        let received = js_text::invalid_value(key);
        return Err(ErrorRecord::invalid_arg_value("key", "must not contain '=' or null bytes", &received).into());
    }
    if value.contains('\0') {
        let received = js_text::invalid_value(value);
        return Err(ErrorRecord::invalid_arg_value("value", "must not contain null bytes", &received).into());
    }
    let bytes_max = usize::try_from(ENV_BYTES_MAX).unwrap_or(usize::MAX);
    if key.len() > bytes_max || value.len() > bytes_max {
        return Err(too_big(&format!(
            "a key or value of the environment is longer than {ENV_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

fn too_big(reason: &str) -> Box<ErrorRecord> {
    ErrorRecord::new(
        ErrorCode::E2big,
        format!("E2BIG: {}, {reason}", ErrorCode::E2big.text()),
    )
    .into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn code(result: Result<()>) -> ErrorCode {
        result.unwrap_err().error_code().unwrap()
    }

    #[test]
    fn values_are_set_read_and_deleted() {
        let env = EnvStore::new();
        env.set("B", "2").unwrap();
        env.set("A", "").unwrap();
        env.set("B", "3").unwrap();
        assert_eq!(env.get("B").as_deref(), Some("3"));
        assert_eq!(env.get("b"), None);
        assert_eq!(
            env.all(),
            [("A".to_owned(), String::new()), ("B".to_owned(), "3".to_owned())]
        );
        env.delete("B");
        env.delete("B");
        assert_eq!(env.get("B"), None);
        assert_eq!(env.lock().total_bytes, 1);
    }

    #[test]
    fn bad_text_is_refused_and_an_empty_key_ignored() {
        let env = EnvStore::new();
        env.set("", "x").unwrap();
        assert!(env.all().is_empty());
        assert_eq!(code(env.set("a=b", "x")), ErrorCode::InvalidArgValue);
        assert_eq!(code(env.set("a\0b", "x")), ErrorCode::InvalidArgValue);
        assert_eq!(code(env.set("a", "x\0")), ErrorCode::InvalidArgValue);
        assert_eq!(
            env.set("a=b", "x").unwrap_err().message,
            "The argument 'key' must not contain '=' or null bytes. Received 'a=b'"
        );
        env.set("a", "x=y").unwrap();
        assert_eq!(env.all().len(), 1);
    }

    #[test]
    fn one_variable_is_bounded() {
        let env = EnvStore::new();
        let most = usize::try_from(ENV_BYTES_MAX).unwrap();
        env.set("a", &"x".repeat(most)).unwrap();
        assert_eq!(code(env.set("a", &"x".repeat(most + 1))), ErrorCode::E2big);
        assert_eq!(code(env.set(&"k".repeat(most + 1), "x")), ErrorCode::E2big);
        assert_eq!(env.get("a").unwrap().len(), most);
    }

    #[test]
    fn the_count_is_bounded_but_a_full_environment_can_be_changed() {
        let env = EnvStore::new();
        for index in 0..ENV_COUNT_MAX {
            env.set(&format!("k{index}"), "").unwrap();
        }
        assert_eq!(code(env.set("more", "")), ErrorCode::E2big);
        env.set("k0", "new").unwrap();
        env.delete("k1");
        env.set("more", "").unwrap();
    }

    #[test]
    fn the_total_is_bounded_and_freed_by_delete() {
        let env = EnvStore::new();
        let big = "x".repeat(usize::try_from(ENV_BYTES_MAX).unwrap() - 3);
        let fits = ENV_TOTAL_BYTES_MAX / (big.len() + 3);
        for index in 0..fits {
            env.set(&format!("k{index:02}"), &big).unwrap();
        }
        assert_eq!(code(env.set("one", "y")), ErrorCode::E2big);
        env.delete("k00");
        env.set("one", &big).unwrap();
    }

    #[test]
    fn clones_share_and_snapshots_do_not() {
        let env = EnvStore::new();
        env.set("a", "1").unwrap();
        let (shared, copy) = (env.clone(), env.snapshot());
        env.set("a", "2").unwrap();
        assert_eq!(shared.get("a").as_deref(), Some("2"));
        assert_eq!(copy.get("a").as_deref(), Some("1"));
        assert!(env.shares_with(&shared) && !env.shares_with(&copy));
    }

    #[test]
    fn the_os_environment_is_filtered_and_explicit_entries_win() {
        let os = [
            ("HOME".into(), "/root".into()),
            ("SECRET".into(), "s".into()),
            ("BAD".into(), OsString::from_vec(vec![0xff])),
            (OsString::from_vec(vec![0xfe]), "x".into()),
        ];
        let explicit = [
            ("HOME".to_owned(), "/guest".to_owned()),
            ("NEW".to_owned(), "1".to_owned()),
        ];
        let env = EnvStore::from_entries(os.clone(), |key| key != "SECRET", explicit).unwrap();
        let keys: Vec<_> = env.all().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["HOME", "NEW"]);
        assert_eq!(env.get("HOME").as_deref(), Some("/guest"));
        assert!(EnvStore::from_entries(os, |_| true, [("a=b".to_owned(), String::new())]).is_err());
    }

    #[test]
    fn missing_variables_are_filled_in() {
        let env = EnvStore::new();
        env.set("a", "").unwrap();
        env.set_missing([("a", "x"), ("b", "y")]).unwrap();
        assert_eq!(
            (env.get("a").unwrap(), env.get("b").unwrap()),
            (String::new(), "y".to_owned())
        );
    }
}
