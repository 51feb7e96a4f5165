//! What a worker is started with.

use serde::Serialize;

use super::module::Module;
use crate::Value;
use crate::error::Result;
use crate::messaging::TransferList;
use crate::messaging::transfer::{self, Encoded};

/// Where a worker's module comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The module that this program is.
    Current,
    /// A path: absolute, or starting with `./` or `../`; or a `file:` or `data:` URL.
    Path(String),
    /// A module in binary or text form (Node: `eval: true`).
    Bytes(Vec<u8>),
    /// A compiled module.
    Module(Module),
}

impl Source {
    /// Says in `fields` and `code` where the module is; a module stays open as long as the result lives.
    pub(super) fn put_into(self, fields: &mut Fields, code: &mut Vec<u8>) -> Option<Module> {
        match self {
            Self::Current => None,
            Self::Path(path) => {
                fields.path = Some(path);
                None
            }
            Self::Bytes(bytes) => {
                *code = bytes;
                None
            }
            Self::Module(module) => {
                fields.module = Some(module.raw_handle());
                Some(module)
            }
        }
    }
}

impl From<&str> for Source {
    fn from(path: &str) -> Self {
        Self::Path(path.to_owned())
    }
}

impl From<String> for Source {
    fn from(path: String) -> Self {
        Self::Path(path)
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Module> for Source {
    fn from(module: Module) -> Self {
        Self::Module(module)
    }
}

impl From<&Module> for Source {
    fn from(module: &Module) -> Self {
        Self::Module(module.clone())
    }
}

/// The environment of a worker.
#[derive(Clone, Debug, Default)]
pub enum Env {
    /// A copy of this thread's, taken when the worker is made.
    #[default]
    Copy,
    /// This thread's own: changes are seen on both sides (Node: `SHARE_ENV`).
    Share,
    /// These variables alone.
    Only(Vec<(String, String)>),
}

/// Limits of a worker; what is absent is as for its creator. More than the creator has is never given.
/// Names and units are those of the fields in Node; the ones below `stack_size_mb` are nodule's.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceLimits {
    /// All linear memory, MiB; at least 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_old_generation_size_mb: Option<f64>,
    /// Bytes the host holds for the thread (queued messages, streams, page-backed buffers), MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_young_generation_size_mb: Option<f64>,
    /// Compiled code it loads, MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_range_size_mb: Option<f64>,
    /// The wasm stack, MiB; rounded up to a class (0.25, 0.5, 1, 2, 4, 8, 16).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack_size_mb: Option<f64>,
    /// CPU time, ms (`ERR_WORKER_CPU_LIMIT`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<f64>,
    /// Wall time, ms (`ERR_WORKER_DEADLINE`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<f64>,
    /// Instructions, roughly (`ERR_WORKER_OUT_OF_FUEL`). The thread then runs slower code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<f64>,
    /// Open handles and files (`EMFILE`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_fds: Option<f64>,
    /// Open ports (`ERR_OUT_OF_RANGE`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ports: Option<f64>,
    /// Running workers (`EAGAIN`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_threads: Option<f64>,
    /// Child processes (`EAGAIN`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_children: Option<f64>,
    /// Mapped shared buffers (`ENOMEM`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_shared: Option<f64>,
    /// `"end"` (the default) or `"fail"`: `memory.grow` gives -1 at the limit and the thread goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_memory_limit: Option<String>,
}

type Encode<'a> = Box<dyn FnOnce(TransferList<'a>) -> Result<Encoded<'a>> + 'a>;

/// The options of [`super::Worker::new`] (Node: `new Worker(filename, options)`). All are optional.
#[derive(Default)]
pub struct WorkerOptions<'a> {
    pub(super) fields: Fields,
    pub(super) data: Option<Encode<'a>>,
    pub(super) transfer: TransferList<'a>,
}

/// What travels to the host.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    argv: Vec<String>,
    env: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    exec_argv: Option<Vec<String>>,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    track_unmanaged_fds: Option<bool>,
    pub resource_limits: ResourceLimits,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<String>,
}

impl Fields {
    /// The name it will have.
    pub fn thread_name(&self) -> String {
        match self.name.as_deref().map(str::trim) {
            None | Some("") => "WorkerThread".to_owned(),
            Some(name) => name.to_owned(),
        }
    }
}

impl<'a> WorkerOptions<'a> {
    /// All defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name, for titles and dumps. Default: `WorkerThread`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.fields.name = Some(name.into());
        self
    }

    /// Arguments after the module in its `process.argv`.
    #[must_use]
    pub fn argv<S: ToString>(mut self, argv: impl IntoIterator<Item = S>) -> Self {
        self.fields.argv = argv.into_iter().map(|argument| argument.to_string()).collect();
        self
    }

    /// Its environment. Default: [`Env::Copy`].
    #[must_use]
    pub fn env(mut self, env: Env) -> Self {
        self.fields.env = match env {
            Env::Copy => Value::Undefined,
            Env::Share => "share".into(),
            Env::Only(variables) => Value::object(variables),
        };
        self
    }

    /// Per-thread options of the host, instead of this thread's.
    #[must_use]
    pub fn exec_argv<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.fields.exec_argv = Some(arguments.into_iter().map(Into::into).collect());
        self
    }

    /// `worker.stdin()` is writable. Default: its input is empty.
    #[must_use]
    pub fn stdin(mut self, is_wanted: bool) -> Self {
        self.fields.stdin = is_wanted;
        self
    }

    /// Its output is read by `worker.stdout()` instead of going where this thread's goes.
    #[must_use]
    pub fn stdout(mut self, is_wanted: bool) -> Self {
        self.fields.stdout = is_wanted;
        self
    }

    /// As [`Self::stdout`] for its error output.
    #[must_use]
    pub fn stderr(mut self, is_wanted: bool) -> Self {
        self.fields.stderr = is_wanted;
        self
    }

    /// The value [`super::worker_data`] gives in the worker. It is cloned when the worker is made.
    #[must_use]
    pub fn worker_data<T: Serialize + ?Sized>(mut self, value: &'a T) -> Self {
        self.data = Some(Box::new(move |transfer| transfer::encode(0, value, transfer)));
        self
    }

    /// What moves out of `worker_data` into the worker.
    #[must_use]
    pub fn transfer_list(mut self, list: TransferList<'a>) -> Self {
        self.transfer = list;
        self
    }

    /// Its limits.
    #[must_use]
    pub fn resource_limits(mut self, limits: ResourceLimits) -> Self {
        self.fields.resource_limits = limits;
        self
    }

    /// Whether files that it leaves open are closed at its end. Default: they are. Files of an isolate are its own, so
    /// they are closed in any case.
    #[must_use]
    pub fn track_unmanaged_fds(mut self, is_wanted: bool) -> Self {
        self.fields.track_unmanaged_fds = Some(is_wanted);
        self
    }

    /// The export to call instead of `_start` (nodule only).
    #[must_use]
    pub fn entry(mut self, name: impl Into<String>) -> Self {
        self.fields.entry = Some(name.into());
        self
    }

    /// Flags as on the command line (`--allow-env=HOME`, `--dir=data:ro`): it gets what they grant and this thread has
    /// (nodule only). Default: all this thread has.
    #[must_use]
    pub fn permissions<S: Into<String>>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
        self.fields.permissions = Some(flags.into_iter().map(Into::into).collect());
        self
    }

    /// A working directory of its own, which it may change (nodule only).
    #[must_use]
    pub fn cwd(mut self, directory: impl Into<String>) -> Self {
        self.fields.cwd = Some(directory.into());
        self
    }
}
