//! What a child is started with.

use std::cell::Cell;
use std::time::Duration;

use nodule_abi::value::Object;

use super::signal;
use super::stdio::{Stdio, StdioList};
use crate::Value;
use crate::abort::AbortSignal;
use crate::process::{self, Signal};

/// Options as all forms have them.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// What travels to the host, by Node's names.
    pub fields: Object,
    /// Keeps streams open until the child has them.
    stdio: Vec<Stdio>,
    pub signal: Option<AbortSignal>,
}

impl Options {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name, value);
    }

    fn set_list<S: Into<String>>(&mut self, name: &str, list: impl IntoIterator<Item = S>) {
        let list: Vec<Value> = list.into_iter().map(|entry| Value::String(entry.into())).collect();
        self.set(name, list);
    }

    fn set_stdio(&mut self, list: StdioList) {
        self.stdio = list.entries;
        self.set("stdio", list.value);
    }

    /// Says what is to be started.
    pub fn name(&mut self, file: &str, args: &[&str]) {
        self.set("file", file);
        self.set_list("args", args.iter().copied());
    }

    /// Whether a shell runs the command.
    fn has_shell(&self) -> bool {
        match self.fields.get("shell") {
            Some(Value::Bool(is_wanted)) => *is_wanted,
            Some(Value::String(path)) => !path.is_empty(),
            _ => false,
        }
    }

    /// Warns, once, when a shell gets arguments.
    pub fn warn_of_shell(&self, args: &[&str]) {
        thread_local! {
            static WARNED: Cell<bool> = const { Cell::new(false) };
        }
        if self.has_shell() && !args.is_empty() && !WARNED.replace(true) {
            let text = "Passing args to a child process with shell option true can lead to security vulnerabilities, as \
                the arguments are not escaped, only concatenated.";
            // The arguments are of the right types.
            let _ = process::emit_warning(text, ("DeprecationWarning", "DEP0190"));
        }
    }
}

/// How messages travel (Node: `serialization`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serialization {
    /// As JSON: every Node process understands it.
    #[default]
    Json,
    /// As structured clones: all kinds of values, shared buffers and ports. Between nodule processes.
    Advanced,
}

/// Whether a shell runs the command (Node: `shell`). Command and arguments are joined with spaces and not escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shell {
    /// No shell.
    #[default]
    None,
    /// `/bin/sh`.
    Default,
    /// The shell with this path.
    Path(String),
}

impl From<bool> for Shell {
    fn from(is_wanted: bool) -> Self {
        if is_wanted { Self::Default } else { Self::None }
    }
}

impl From<&str> for Shell {
    fn from(path: &str) -> Self {
        Self::Path(path.to_owned())
    }
}

impl From<Shell> for Value {
    fn from(shell: Shell) -> Self {
        match shell {
            Shell::None => false.into(),
            Shell::Default => true.into(),
            Shell::Path(path) => path.into(),
        }
    }
}

/// Milliseconds as the host takes them: whole ones.
#[allow(clippy::cast_precision_loss, reason = "longer times than 2^53 ms do not matter")]
fn whole_ms(time: Duration) -> f64 {
    time.as_nanos().div_ceil(1_000_000) as f64
}

/// Setters that all forms have.
macro_rules! common_options {
    ($($type:ident),*) => {$(
        impl $type {
            /// All defaults.
            pub fn new() -> Self {
                Self::default()
            }

            /// Working directory: a path or a `file:` URL. Default: this isolate's.
            #[must_use]
            pub fn cwd(mut self, directory: &str) -> Self {
                self.0.set("cwd", directory);
                self
            }

            /// The whole environment. Default: a copy of this isolate's.
            #[must_use]
            pub fn env<K: Into<String>, V: Into<String>>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self {
                let variables = variables.into_iter().map(|(key, value)| (key, Value::String(value.into())));
                self.0.set("env", Value::object(variables));
                self
            }

            /// The user it runs as (`setuid`).
            #[must_use]
            pub fn uid(mut self, id: i32) -> Self {
                self.0.set("uid", id);
                self
            }

            /// The group it runs as (`setgid`).
            #[must_use]
            pub fn gid(mut self, id: i32) -> Self {
                self.0.set("gid", id);
                self
            }

            /// After this time it gets [`Self::kill_signal`]; zero stands for never. Default: never.
            #[must_use]
            pub fn timeout(mut self, time: Duration) -> Self {
                self.0.set("timeout", whole_ms(time));
                self
            }

            /// The signal that ends it, by name or number: after the timeout, on abort, on too much output. Default:
            /// `SIGTERM`.
            #[must_use]
            pub fn kill_signal<'a>(mut self, signal: impl Into<Signal<'a>>) -> Self {
                self.0.set("killSignal", signal::value(signal.into()));
                self
            }

            /// Timeout and abort end all processes below it, too (nodule only).
            #[must_use]
            pub fn kill_tree(mut self, is_wanted: bool) -> Self {
                self.0.set("killTree", is_wanted);
                self
            }

            /// Flags as on the command line (`--allow-env=HOME`, `--dir=data:ro`): a module gets what they grant and this
            /// isolate has (nodule only). Default: all this isolate has.
            #[must_use]
            pub fn permissions<S: Into<String>>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
                self.0.set_list("permissions", flags);
                self
            }

            /// Ends it with this process, however that ends (nodule only).
            #[must_use]
            pub fn kill_on_parent_death(mut self, is_wanted: bool) -> Self {
                self.0.set("killOnParentDeath", is_wanted);
                self
            }

            /// Hides its window, on Windows.
            #[must_use]
            pub fn windows_hide(mut self, is_wanted: bool) -> Self {
                self.0.set("windowsHide", is_wanted);
                self
            }

            /// Leaves arguments unquoted, on Windows.
            #[must_use]
            pub fn windows_verbatim_arguments(mut self, is_wanted: bool) -> Self {
                self.0.set("windowsVerbatimArguments", is_wanted);
                self
            }

            /// Any option by Node's name, also one without a function here; the host checks it.
            #[must_use]
            pub fn option(mut self, name: &str, value: impl Into<Value>) -> Self {
                self.0.set(name, value);
                self
            }
        }
    )*};
}

/// Setters of the forms whose descriptors can be chosen.
macro_rules! stdio_options {
    ($($type:ident),*) => {$(
        impl $type {
            /// What its descriptors are: one [`Stdio`] for 0 to 2, or a list with an entry for each.
            #[must_use]
            pub fn stdio(mut self, list: impl Into<StdioList>) -> Self {
                self.0.set_stdio(list.into());
                self
            }
        }
    )*};
}

/// Setters of the forms that start a command.
macro_rules! command_options {
    ($($type:ident),*) => {$(
        impl $type {
            /// What it sees as its `argv[0]`. Default: the command.
            #[must_use]
            pub fn argv0(mut self, name: &str) -> Self {
                self.0.set("argv0", name);
                self
            }

            /// The shell that runs the command: `true` or a path.
            #[must_use]
            pub fn shell(mut self, shell: impl Into<Shell>) -> Self {
                self.0.set("shell", shell.into());
                self
            }
        }
    )*};
}

/// Setters of the forms that do not wait.
macro_rules! signal_options {
    ($($type:ident),*) => {$(
        impl $type {
            /// When it is aborted the child gets [`Self::kill_signal`], and `'error'` is an `AbortError` whose cause is
            /// the reason.
            #[must_use]
            pub fn signal(mut self, signal: &AbortSignal) -> Self {
                self.0.signal = Some(signal.clone());
                self
            }
        }
    )*};
}

/// Setters of the forms that can have a channel.
macro_rules! channel_options {
    ($($type:ident),*) => {$(
        impl $type {
            /// It leads a session and a process group of its own, and may go on after this process.
            #[must_use]
            pub fn detached(mut self, is_wanted: bool) -> Self {
                self.0.set("detached", is_wanted);
                self
            }

            /// How messages travel. Default: as JSON.
            #[must_use]
            pub fn serialization(mut self, serialization: Serialization) -> Self {
                let name = match serialization {
                    Serialization::Json => "json",
                    Serialization::Advanced => "advanced",
                };
                self.0.set("serialization", name);
                self
            }
        }
    )*};
}

/// The options of [`spawn`](super::spawn). All are optional.
#[derive(Clone, Debug, Default)]
pub struct SpawnOptions(pub(super) Options);

/// The options of [`fork`](super::fork). All are optional.
#[derive(Clone, Debug, Default)]
pub struct ForkOptions(pub(super) Options);

common_options!(SpawnOptions, ForkOptions);
stdio_options!(SpawnOptions, ForkOptions);
command_options!(SpawnOptions);
signal_options!(SpawnOptions, ForkOptions);
channel_options!(SpawnOptions, ForkOptions);

impl ForkOptions {
    /// The executable that runs the module. Default: the host that runs this one, [`process::exec_path`].
    #[must_use]
    pub fn exec_path(mut self, path: &str) -> Self {
        self.0.set("execPath", path);
        self
    }

    /// Options for the executable, before the module. Default: this process's, [`process::exec_argv`].
    #[must_use]
    pub fn exec_argv<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.0.set_list("execArgv", arguments);
        self
    }

    /// Its standard streams are pipes instead of this process's. A choice of [`Self::stdio`] counts more.
    #[must_use]
    pub fn silent(mut self, is_wanted: bool) -> Self {
        self.0.set("silent", is_wanted);
        self
    }
}
