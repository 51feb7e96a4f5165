//! What can be wrong with a grant that an operator or embedder writes.

/// A grant that cannot be made. The text says what is wrong and how to write it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PermissionError {
    /// A network pattern that is none.
    #[error("bad network grant '{text}': {reason}; write it as --allow-net=127.0.0.1:8080,example.com")]
    Net {
        /// The entry of the list.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A variable pattern that is none.
    #[error("bad environment grant '{text}': {reason}; write it as --allow-env=HOME,APP_*")]
    Env {
        /// The entry of the list.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An executable that cannot be granted.
    #[error("bad executable grant '{text}': {reason}; write it as --allow-run=/bin/ls,git")]
    Run {
        /// The entry of the list.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A directory that cannot be granted.
    #[error("cannot grant the directory '{text}': {reason}; write it as --dir=HOST[::GUEST][:ro]")]
    Dir {
        /// The directory on the host.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One guest name for two directories.
    #[error("both '{first}' and '{second}' are granted as '{guest}'; give one another name: --dir=HOST::GUEST")]
    DirTaken {
        /// The guest's name.
        guest: String,
        /// The directory that has it.
        first: String,
        /// The directory that wants it.
        second: String,
    },
    /// A flag that grants nothing.
    #[error("'{text}' is no permission flag; they are -A, --dir and --allow-*")]
    Flag {
        /// The flag.
        text: String,
    },
}
