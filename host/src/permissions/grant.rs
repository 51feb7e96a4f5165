//! What a list scope grants: nothing, everything, or a list of patterns; and the patterns of the
//! environment (`NAME`, `PREFIX*`) and of native executables.

use std::fmt;
use std::path::{Path, PathBuf};

use super::PermissionError;

/// What one isolate is granted of a scope whose grants name resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Grant<T> {
    /// Nothing; the default.
    #[default]
    None,
    /// Every resource of the scope.
    All,
    /// What these patterns cover; never empty.
    Some(Vec<T>),
}

/// A pattern of a [`Grant`].
pub trait Pattern: Clone + PartialEq + fmt::Display {
    /// The pattern that covers exactly what both cover.
    fn meet(&self, other: &Self) -> Option<Self>;

    /// Whether this covers all that `other` covers.
    fn covers(&self, other: &Self) -> bool {
        self.meet(other).as_ref() == Some(other)
    }
}

impl<T: Pattern> Grant<T> {
    /// Adds what `more` grants.
    pub fn extend(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::All, _) | (_, Self::None) => {}
            (Self::Some(have), Self::Some(more)) => {
                for pattern in more {
                    if !have.contains(&pattern) {
                        have.push(pattern);
                    }
                }
            }
            (_, more) => *self = more,
        }
    }

    /// Whether all that `wanted` covers is granted.
    pub fn covers(&self, wanted: &T) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(patterns) => patterns.iter().any(|pattern| pattern.covers(wanted)),
        }
    }

    /// What both grant.
    pub fn meet(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::All, grant) | (grant, Self::All) => grant.clone(),
            (Self::Some(mine), Self::Some(theirs)) => {
                let mut both: Vec<T> = Vec::new();
                for pattern in mine.iter().flat_map(|a| theirs.iter().filter_map(|b| a.meet(b))) {
                    if !both.iter().any(|kept| kept.covers(&pattern)) {
                        both.retain(|kept| !pattern.covers(kept));
                        both.push(pattern);
                    }
                }
                Self::of(both)
            }
        }
    }

    /// Removes the pattern equal to `reference`; says whether there was one.
    pub fn remove(&mut self, reference: &T) -> bool {
        let Self::Some(patterns) = self else {
            return false;
        };
        let before = patterns.len();
        patterns.retain(|pattern| pattern != reference);
        let removed = patterns.len() < before;
        *self = Self::of(std::mem::take(patterns));
        removed
    }

    /// The grant of a list; an empty list grants nothing.
    pub fn of(patterns: Vec<T>) -> Self {
        if patterns.is_empty() {
            Self::None
        } else {
            Self::Some(patterns)
        }
    }

    /// Parses a comma-separated list; empty text grants everything.
    pub(super) fn parse(
        text: &str,
        parse: impl Fn(&str) -> Result<T, PermissionError>,
    ) -> Result<Self, PermissionError> {
        if text.is_empty() {
            return Ok(Self::All);
        }
        let mut grant = Self::None;
        for entry in text.split(',') {
            grant.extend(Self::Some(vec![parse(entry)?]));
        }
        Ok(grant)
    }

    /// The flags that grant this: `flag` alone for everything, else one flag with the list.
    pub(super) fn flags(&self, flag: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::All => Some(flag.to_owned()),
            Self::Some(patterns) => {
                let list: Vec<String> = patterns.iter().map(ToString::to_string).collect();
                Some(format!("{flag}={}", list.join(",")))
            }
        }
    }
}

/// Names of environment variables: one name, or all with a prefix (`APP_*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvPattern {
    /// This variable.
    Name(String),
    /// Every variable whose name starts with this.
    Prefix(String),
}

impl EnvPattern {
    /// Parses `NAME` or `PREFIX*`.
    ///
    /// # Errors
    /// An empty name, one with `=`, NUL or a comma, or a `*` anywhere but at the end.
    pub fn parse(text: &str) -> Result<Self, PermissionError> {
        let refuse = |reason| PermissionError::Env {
            text: text.to_owned(),
            reason,
        };
        let (name, wildcard) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if text.is_empty() {
            return Err(refuse("the name is empty"));
        }
        if name.contains('*') {
            return Err(refuse("`*` may only stand at the end"));
        }
        if name.contains(['=', '\0', ',']) {
            return Err(refuse("a name has no `=`, `,` or NUL"));
        }
        let name = name.to_owned();
        Ok(if wildcard { Self::Prefix(name) } else { Self::Name(name) })
    }
}

impl Pattern for EnvPattern {
    fn meet(&self, other: &Self) -> Option<Self> {
        let (narrower, wider) = match (self, other) {
            (Self::Name(a), Self::Name(b)) => return (a == b).then(|| self.clone()),
            (Self::Name(name), Self::Prefix(prefix)) => (self, name.starts_with(prefix.as_str())),
            (Self::Prefix(prefix), Self::Name(name)) => (other, name.starts_with(prefix.as_str())),
            (Self::Prefix(a), Self::Prefix(b)) if a.len() >= b.len() => (self, a.starts_with(b.as_str())),
            (Self::Prefix(a), Self::Prefix(b)) => (other, b.starts_with(a.as_str())),
        };
        wider.then(|| narrower.clone())
    }
}

impl fmt::Display for EnvPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// A native executable that may be started, as a canonical path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    path: PathBuf,
}

impl Executable {
    /// Parses a path, or a name to be found in this process's `PATH`.
    ///
    /// A path that does not exist yet is kept as it is: it can be created later, and a child must
    /// not fail to start because a program was removed.
    ///
    /// # Errors
    /// An empty text, a name found nowhere in `PATH`, or a path that cannot be written in a flag.
    pub fn parse(text: &str) -> Result<Self, PermissionError> {
        let refuse = |reason| PermissionError::Run {
            text: text.to_owned(),
            reason,
        };
        if text.is_empty() {
            return Err(refuse("the name is empty"));
        }
        let path = if text.contains('/') {
            std::path::absolute(text).map_err(|_| refuse("the current directory is gone"))?
        } else {
            let search = std::env::var_os("PATH").unwrap_or_default();
            search_path(text, Path::new(""), &search).ok_or_else(|| refuse("no such program in PATH"))?
        };
        Self::at(&path).ok_or_else(|| refuse("the path has a comma or is not UTF-8"))
    }

    /// The executable at `path`, which is absolute. `None` if no flag could name it.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        path.to_str()
            .is_some_and(|text| !text.contains([',', '\0']))
            .then_some(Self { path })
    }

    /// The canonical path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Pattern for Executable {
    fn meet(&self, other: &Self) -> Option<Self> {
        (self == other).then(|| self.clone())
    }
}

impl fmt::Display for Executable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

/// Finds the program `name` (without `/`) in a search path as `execvp(3)` does: the first
/// executable file, else the first file at all. Relative entries start at `cwd`.
pub(super) fn search_path(name: &str, cwd: &Path, search: &std::ffi::OsStr) -> Option<PathBuf> {
    let mut found_file = None;
    for directory in std::env::split_paths(search) {
        let file = cwd.join(directory).join(name);
        if !file.is_file() {
            continue;
        }
        let Ok(file) = std::path::absolute(file) else {
            continue;
        };
        if rustix::fs::access(&file, rustix::fs::Access::EXEC_OK).is_ok() {
            return Some(file);
        }
        found_file.get_or_insert(file);
    }
    found_file
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn env(text: &str) -> Grant<EnvPattern> {
        Grant::parse(text, EnvPattern::parse).unwrap()
    }

    fn name(text: &str) -> EnvPattern {
        EnvPattern::Name(text.to_owned())
    }

    #[test]
    fn env_patterns_match_whole_names_or_prefixes() {
        let grant = env("HOME,APP_*");
        for granted in ["HOME", "APP_", "APP_PORT"] {
            assert!(grant.covers(&name(granted)), "{granted}");
        }
        for refused in ["HOMES", "home", "APP", "XAPP_PORT"] {
            assert!(!grant.covers(&name(refused)), "{refused}");
        }
        assert!(env("").covers(&name("ANY")));
        assert!(env("*").covers(&name("ANY")));
        assert!(!Grant::None.covers(&name("HOME")));
    }

    #[test]
    fn a_name_that_ends_like_a_wildcard_is_not_covered_by_a_name() {
        assert!(!env("A").covers(&EnvPattern::Prefix("A".to_owned())));
        assert!(env("A*").covers(&EnvPattern::Prefix("AB".to_owned())));
    }

    #[test]
    fn bad_env_patterns_say_what_is_wrong() {
        for (text, reason) in [
            ("A,,B", "the name is empty"),
            ("A*B", "`*` may only stand at the end"),
            ("A=B", "a name has no `=`"),
        ] {
            let error = Grant::parse(text, EnvPattern::parse).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(error.contains("--allow-env=HOME,APP_*"), "{error}");
        }
    }

    #[test]
    fn a_meet_keeps_only_what_both_cover() {
        assert_eq!(env("A,B*").meet(&env("B1,C")), env("B1"));
        assert_eq!(env("A*").meet(&env("AB*,A")), env("AB*,A"));
        assert_eq!(env("A").meet(&env("B")), Grant::None);
        assert_eq!(env("").meet(&env("A")), env("A"));
    }

    #[test]
    fn removing_the_last_pattern_leaves_nothing() {
        let mut grant = env("A,B");
        assert!(grant.remove(&name("A")));
        assert!(!grant.remove(&name("A")));
        assert!(grant.remove(&name("B")));
        assert_eq!(grant, Grant::None);
        let mut all = env("");
        assert!(!all.remove(&name("A")));
        assert_eq!(all, Grant::All);
    }

    #[test]
    fn executables_compare_by_canonical_path() {
        let by_name = Executable::parse("sh").unwrap();
        assert_eq!(by_name, Executable::parse("/bin/sh").unwrap());
        assert_eq!(by_name.path(), Path::new("/bin/sh").canonicalize().unwrap());
        let error = Executable::parse("no-such-program").unwrap_err().to_string();
        assert!(error.contains("no such program in PATH"), "{error}");
    }
}
