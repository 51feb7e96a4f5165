//! What a child is started with.

use std::cell::Cell;
use std::time::Duration;

use nodule_abi::value::Object;

use super::data::Encoding;
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
    pub stdio: Vec<Stdio>,
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
                self.options.set("cwd", directory);
                self
            }

            /// The whole environment. Default: a copy of this isolate's.
            #[must_use]
            pub fn env<K: Into<String>, V: Into<String>>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self {
                let variables = variables.into_iter().map(|(key, value)| (key, Value::String(value.into())));
                self.options.set("env", Value::object(variables));
                self
            }

            /// The user it runs as (`setuid`).
            #[must_use]
            pub fn uid(mut self, id: i32) -> Self {
                self.options.set("uid", id);
                self
            }

            /// The group it runs as (`setgid`).
            #[must_use]
            pub fn gid(mut self, id: i32) -> Self {
                self.options.set("gid", id);
                self
            }

            /// After this time it gets [`Self::kill_signal`]; zero stands for never. Default: never.
            #[must_use]
            pub fn timeout(mut self, time: Duration) -> Self {
                self.options.set("timeout", whole_ms(time));
                self
            }

            /// The signal that ends it, by name or number: after the timeout, on abort, on too much output. Default:
            /// `SIGTERM`.
            #[must_use]
            pub fn kill_signal<'a>(mut self, signal: impl Into<Signal<'a>>) -> Self {
                self.options.set("killSignal", signal::value(signal.into()));
                self
            }

            /// Timeout and abort end all processes below it, too (nodule only).
            #[must_use]
            pub fn kill_tree(mut self, is_wanted: bool) -> Self {
                self.options.set("killTree", is_wanted);
                self
            }

            /// Flags as on the command line (`--allow-env=HOME`, `--dir=data:ro`): a module gets what they grant and this
            /// isolate has (nodule only). Default: all this isolate has.
            #[must_use]
            pub fn permissions<S: Into<String>>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
                self.options.set_list("permissions", flags);
                self
            }

            /// Ends it with this process, however that ends (nodule only).
            #[must_use]
            pub fn kill_on_parent_death(mut self, is_wanted: bool) -> Self {
                self.options.set("killOnParentDeath", is_wanted);
                self
            }

            /// Hides its window, on Windows.
            #[must_use]
            pub fn windows_hide(mut self, is_wanted: bool) -> Self {
                self.options.set("windowsHide", is_wanted);
                self
            }

            /// Leaves arguments unquoted, on Windows.
            #[must_use]
            pub fn windows_verbatim_arguments(mut self, is_wanted: bool) -> Self {
                self.options.set("windowsVerbatimArguments", is_wanted);
                self
            }

            /// Any option by Node's name, also one without a function here; the host checks it.
            #[must_use]
            pub fn option(mut self, name: &str, value: impl Into<Value>) -> Self {
                self.options.set(name, value);
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
                self.options.set_stdio(list.into());
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
                self.options.set("argv0", name);
                self
            }

            /// The shell that runs the command: `true` or a path.
            #[must_use]
            pub fn shell(mut self, shell: impl Into<Shell>) -> Self {
                self.options.set("shell", shell.into());
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
                self.options.signal = Some(signal.clone());
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
                self.options.set("detached", is_wanted);
                self
            }

            /// How messages travel. Default: as JSON.
            #[must_use]
            pub fn serialization(mut self, serialization: Serialization) -> Self {
                let name = match serialization {
                    Serialization::Json => "json",
                    Serialization::Advanced => "advanced",
                };
                self.options.set("serialization", name);
                self
            }
        }
    )*};
}

/// Setters of the forms that collect what the child writes.
macro_rules! output_options {
    ($($type:ident),*) => {$(
        impl $type {
            /// Bytes that are collected of a stream; with one more the child is ended. `None` is no limit. Default: 1 MiB.
            #[must_use]
            pub fn max_buffer(mut self, bytes: impl Into<Option<u32>>) -> Self {
                self.options.set("maxBuffer", bytes.into().map_or(f64::INFINITY, f64::from));
                self
            }

            /// Whether output is given as text or as bytes.
            #[must_use]
            pub fn encoding(mut self, encoding: impl Into<Encoding>) -> Self {
                self.encoding = encoding.into();
                self
            }
        }
    )*};
}

/// The options of [`spawn`](super::spawn). All are optional.
#[derive(Clone, Debug, Default)]
pub struct SpawnOptions {
    pub(super) options: Options,
}

/// The options of [`fork`](super::fork). All are optional.
#[derive(Clone, Debug, Default)]
pub struct ForkOptions {
    pub(super) options: Options,
}

/// The options of [`exec`](super::exec) and [`exec_file`](super::exec_file). All are optional. Output is given as text at
/// first; when it takes too long or writes too much its streams are closed before it gets the signal.
#[derive(Clone, Debug)]
pub struct ExecOptions {
    pub(super) options: Options,
    pub(super) encoding: Encoding,
}

impl Default for ExecOptions {
    fn default() -> Self {
        Self {
            options: Options::default(),
            encoding: Encoding::Utf8,
        }
    }
}

/// The options of [`spawn_sync`](super::spawn_sync), [`exec_sync`](super::exec_sync) and
/// [`exec_file_sync`](super::exec_file_sync). All are optional. Output is given as bytes at first.
#[derive(Clone, Debug)]
pub struct SpawnSyncOptions {
    pub(super) options: Options,
    pub(super) encoding: Encoding,
    pub(super) input: Option<Vec<u8>>,
}

impl Default for SpawnSyncOptions {
    fn default() -> Self {
        Self {
            options: Options::default(),
            encoding: Encoding::Buffer,
            input: None,
        }
    }
}

common_options!(SpawnOptions, ForkOptions, ExecOptions, SpawnSyncOptions);
stdio_options!(SpawnOptions, ForkOptions, SpawnSyncOptions);
command_options!(SpawnOptions, ExecOptions, SpawnSyncOptions);
signal_options!(SpawnOptions, ForkOptions, ExecOptions);
channel_options!(SpawnOptions, ForkOptions);
output_options!(ExecOptions, SpawnSyncOptions);

impl SpawnSyncOptions {
    /// What the process reads from its standard input. Default: nothing.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }
}

impl ForkOptions {
    /// The executable that runs the module. Default: the host that runs this one, [`process::exec_path`].
    #[must_use]
    pub fn exec_path(mut self, path: &str) -> Self {
        self.options.set("execPath", path);
        self
    }

    /// Options for the executable, before the module. Default: this process's, [`process::exec_argv`].
    #[must_use]
    pub fn exec_argv<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.options.set_list("execArgv", arguments);
        self
    }

    /// Its standard streams are pipes instead of this process's. A choice of [`Self::stdio`] counts more.
    #[must_use]
    pub fn silent(mut self, is_wanted: bool) -> Self {
        self.options.set("silent", is_wanted);
        self
    }
}
