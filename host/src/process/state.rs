//! The `process` of one isolate: what its attributes are read from.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use super::directory;
use super::dlopen::SideModules;
use super::env::EnvStore;
use super::exit_code::ExitCode;
use super::report::ReportSettings;
use super::reports::ReportPlace;
use super::signals::{Side, SignalListener};
use super::warnings::{DeprecationFlags, WarningOptions, WarningPrinter};
use super::{abort::AbortRequest, title};
use crate::handles::Handle;
use crate::ipc::ChannelSeed;
use crate::permissions::Permissions;
use crate::runtime::{ControlRequest, IsolateRole, IsolateShared, Module};
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::event::{EventKind, EventRecord};

/// What happens to the failure of a task that nobody awaits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnhandledRejections {
    /// Emit `unhandledRejection`; without a listener raise it as uncaught.
    #[default]
    Throw,
    /// Raise it as uncaught, then emit the event.
    Strict,
    /// Emit the event and a warning.
    Warn,
    /// Emit the event only.
    None,
    /// Emit the event; without a listener warn and end with code 1.
    WarnWithErrorCode,
}

impl UnhandledRejections {
    /// The mode's name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throw => "throw",
            Self::Strict => "strict",
            Self::Warn => "warn",
            Self::None => "none",
            Self::WarnWithErrorCode => "warn-with-error-code",
        }
    }
}

/// What an isolate's `process` starts with.
#[derive(Clone, Debug, Default)]
pub struct ProcessOptions {
    /// Arguments after the module.
    pub args: Vec<String>,
    /// Options of the host before the module.
    pub exec_argv: Vec<String>,
    /// Variables set on top of what the `env` grants let through.
    pub env: Vec<(String, String)>,
    /// Variables set only where nothing set them before (`--env-file`).
    pub env_defaults: Vec<(String, String)>,
    /// The title. Default: unchanged for a main isolate, `[worker <id>]` else.
    pub title: Option<String>,
    /// Warnings: printing, tracing, redirection.
    pub warnings: WarningOptions,
    /// Deprecation warnings.
    pub deprecation: DeprecationFlags,
    /// Failures of tasks nobody awaits.
    pub unhandled_rejections: UnhandledRejections,
    /// Diagnostic reports.
    pub report: ReportSettings,
    /// Whether the operator chose where reports go, so that they may be written there without a grant.
    pub report_place_given: bool,
    /// Port of a debugger; 9229 when absent.
    pub debug_port: Option<u16>,
    /// Source lines in backtraces.
    pub source_maps: Option<bool>,
    /// The whole environment, instead of what the grants let through and `env`: a worker's.
    pub env_store: Option<EnvStore>,
    /// A working directory of its own, as the guest names it. Default: the process's.
    pub own_cwd: Option<PathBuf>,
    /// Whether child processes end with this one, unless they are detached.
    pub kills_orphans: bool,
    /// Descriptors from 3 on that its parent gave it, by number.
    pub streams: Arc<BTreeMap<u32, OwnedFd>>,
    /// The channel to its parent process.
    pub(crate) channel: Option<ChannelSeed>,
}

/// Node's default debug port.
const DEBUG_PORT_DEFAULT: u16 = 9229;

/// The state behind `process`.
#[derive(Debug)]
pub struct ProcessState {
    /// The environment.
    pub env: EnvStore,
    /// Executable, entry module, arguments.
    pub argv: Vec<String>,
    /// `argv[0]` as the operating system gave it.
    pub argv0: String,
    /// Options before the module.
    pub exec_argv: Vec<String>,
    /// Absolute path of the host binary.
    pub exec_path: String,
    /// Absolute path of the module, if it came from a file.
    pub main_module: Option<String>,
    /// The code to end with.
    pub exit_code: ExitCode,
    /// Prints warnings.
    pub warnings: Arc<WarningPrinter>,
    /// Deprecation flags, changed by the guest.
    pub deprecation: DeprecationFlags,
    /// Failures of tasks nobody awaits.
    pub unhandled_rejections: UnhandledRejections,
    /// Report settings, changed by the guest.
    pub report: ReportSettings,
    /// Who chose where reports go.
    pub report_place: ReportPlace,
    /// Port of a debugger.
    pub debug_port: u16,
    /// Source lines in backtraces.
    pub source_maps: bool,
    /// The channel to the parent process.
    pub(crate) channel: Option<Handle>,
    /// Loaded side modules.
    pub side_modules: SideModules,
    /// Whether child processes end with this one, unless they are detached.
    pub kills_orphans: bool,
    /// Descriptors from 3 on that its parent gave it, by number.
    streams: Arc<BTreeMap<u32, OwnedFd>>,
    /// A working directory of its own.
    own_cwd: Option<PathBuf>,
    role: IsolateRole,
    title: Option<String>,
    signals: Option<SignalListener>,
}

/// The program that runs. Asking the system costs as much as a twentieth of starting a worker.
fn exec_path() -> String {
    static PATH: LazyLock<String> = LazyLock::new(|| {
        let path = std::env::current_exe().unwrap_or_default();
        path.to_string_lossy().into_owned()
    });
    PATH.clone()
}

impl ProcessState {
    pub(crate) fn new(
        options: ProcessOptions,
        module: &Module,
        permissions: &Permissions,
        role: IsolateRole,
    ) -> Result<Self> {
        let env = match options.env_store {
            Some(store) => store,
            None => EnvStore::from_os(|name| permissions.has("env", Some(name)), options.env)?,
        };
        let defaults = options
            .env_defaults
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        env.set_missing(defaults)?;
        let exec_path = exec_path();
        let main_module = module.path().map(|path| path.to_string_lossy().into_owned());
        let mut argv = vec![
            exec_path.clone(),
            main_module.clone().unwrap_or_else(|| module.name().to_string()),
        ];
        argv.extend(options.args);
        if let (IsolateRole::Main, Some(text)) = (role, &options.title) {
            title::set(text);
        }
        Ok(Self {
            env,
            argv,
            argv0: title::original_arguments()
                .first()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            exec_argv: options.exec_argv,
            exec_path,
            main_module,
            exit_code: ExitCode::default(),
            warnings: Arc::new(WarningPrinter::new(options.warnings)),
            deprecation: options.deprecation,
            unhandled_rejections: options.unhandled_rejections,
            report_place: if options.report_place_given {
                ReportPlace::Operator
            } else {
                ReportPlace::Unset
            },
            report: options.report,
            debug_port: options.debug_port.unwrap_or(DEBUG_PORT_DEFAULT),
            source_maps: options.source_maps.unwrap_or(true),
            channel: None,
            side_modules: SideModules::default(),
            kills_orphans: options.kills_orphans,
            streams: options.streams,
            own_cwd: options.own_cwd,
            role,
            title: options.title,
            signals: None,
        })
    }

    /// What WASI's `args_get` yields: `argv` without the executable.
    pub fn wasi_args(&self) -> Vec<String> {
        self.argv.iter().skip(1).cloned().collect()
    }

    /// The working directory as the guest names it: its own, else that of the process.
    pub fn cwd(&self, permissions: &Permissions) -> Result<PathBuf> {
        match &self.own_cwd {
            Some(directory) => Ok(directory.clone()),
            None => directory::cwd(permissions),
        }
    }

    /// A working directory of its own, if it has one.
    pub fn own_cwd(&self) -> Option<&Path> {
        self.own_cwd.as_deref()
    }

    /// The descriptor with this number that its parent gave it.
    pub fn stream_fd(&self, number: u32) -> Option<BorrowedFd<'_>> {
        self.streams.get(&number).map(AsFd::as_fd)
    }

    /// Changes the working directory: its own if it has one, else that of the process, which only a main isolate may.
    pub fn chdir(&mut self, permissions: &Permissions, path: &str) -> Result<()> {
        let Some(own) = &mut self.own_cwd else {
            self.require_main("process.chdir()")?;
            return directory::chdir(permissions, path);
        };
        *own = directory::resolve(permissions, path, own)?;
        Ok(())
    }

    /// `ERR_WORKER_UNSUPPORTED_OPERATION` unless this isolate is the process.
    pub fn require_main(&self, operation: &str) -> Result<()> {
        match self.role {
            IsolateRole::Main => Ok(()),
            IsolateRole::Embedded | IsolateRole::Worker => {
                let message = format!("{operation} is not supported in workers");
                Err(ErrorRecord::new(ErrorCode::WorkerUnsupportedOperation, message).into())
            }
        }
    }

    /// The title: of the process for a main isolate, else the isolate's own.
    pub fn title(&self, shared: &IsolateShared) -> String {
        match (self.role, &self.title) {
            (IsolateRole::Main, _) => title::get(),
            (IsolateRole::Embedded | IsolateRole::Worker, Some(title)) => title.clone(),
            (IsolateRole::Embedded | IsolateRole::Worker, None) => format!("[worker {}] WorkerThread", shared.thread),
        }
    }

    /// Sets the title.
    pub fn set_title(&mut self, text: &str) {
        if self.role == IsolateRole::Main {
            title::set(text);
        }
        self.title = Some(text.to_string());
    }

    /// Where core dumps go.
    pub fn dump_directory(&self) -> PathBuf {
        PathBuf::from(match self.report.directory() {
            "" => ".",
            directory => directory,
        })
    }

    /// Starts or stops listening to a signal.
    pub fn listen(&mut self, shared: &Arc<IsolateShared>, signal: i32, side: Side) -> Result<()> {
        self.require_main("process.on(<signal>)")?;
        let listener = self.signals.get_or_insert_with(|| {
            let guest = Arc::clone(shared);
            let host = Arc::clone(shared);
            SignalListener::new(
                move |signal| {
                    let record = EventRecord::new(EventKind::Signal, 0, [u64::from(signal.unsigned_abs()), 0, 0]);
                    if !guest.events.push(record) {
                        tracing::warn!(signal, "a signal was dropped: the event queue is full");
                    }
                },
                move |signal| {
                    let request = if signal == libc::SIGQUIT {
                        ControlRequest::Abort(AbortRequest { signal })
                    } else {
                        ControlRequest::Report
                    };
                    if let Err(reason) = host.control.request(request) {
                        tracing::debug!(signal, ?reason, "a signal had no effect");
                    }
                },
            )
        });
        listener.listen(signal, side)
    }

    /// Restores a signal's default action.
    pub fn unlisten(&mut self, signal: i32, side: Side) {
        if let Some(listener) = &mut self.signals {
            listener.unlisten(signal, side);
        }
    }

    /// Installs what the host itself does on signals: a core dump on SIGQUIT, a report on the report signal.
    pub(crate) fn listen_for_host(&mut self, shared: &Arc<IsolateShared>) {
        if self.role != IsolateRole::Main {
            return;
        }
        // There is no debugger to start; Node does not die of this signal either.
        super::signals::neutralise(libc::SIGUSR1);
        let mut signals = vec![libc::SIGQUIT];
        if self.report.on_signal()
            && let Some(signal) = nodule_abi::signal::number(self.report.signal())
        {
            signals.push(signal);
        }
        for signal in signals {
            if let Err(error) = self.listen(shared, signal, Side::Host) {
                tracing::warn!(%error, signal, "the host cannot listen to a signal");
            }
        }
    }
}
