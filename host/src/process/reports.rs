//! Diagnostic reports of an isolate: gathers what [`super::report`] writes, and decides where it may go.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::value::Value;

use super::attributes;
use super::directory;
use super::report::{
    ActiveResource, Destination, HeapFigures, HostFacts, LoadedModule, PreparedReport, Report, ReportInput, WasmFigures,
};
use super::signals::Side;
use super::usage::CpuTime;
use crate::permissions::Permissions;
use crate::runtime::IsolateState;

/// Bytes of a wasm page.
const PAGE_BYTES: u64 = 65536;

/// What made a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// `getReport()`.
    GetReport,
    /// `writeReport()`.
    Api,
    /// The report signal.
    Signal,
    /// An uncaught error.
    Exception,
    /// A fatal error: an exceeded limit.
    FatalError,
}

impl Trigger {
    const fn name(self) -> &'static str {
        match self {
            Self::GetReport => "GetReport",
            Self::Api => "API",
            Self::Signal => "Signal",
            Self::Exception => "Exception",
            Self::FatalError => "FatalError",
        }
    }
}

/// The report of an isolate, now.
pub fn build(state: &IsolateState, trigger: Trigger, error: Option<&ErrorRecord>) -> Report {
    let event = match trigger {
        Trigger::GetReport | Trigger::Api => "JavaScript API".to_string(),
        Trigger::Signal => state.process.report.signal().to_string(),
        Trigger::Exception | Trigger::FatalError => error.map(|error| error.message.clone()).unwrap_or_default(),
    };
    let [user_us, system_us] = state.shared.cpu.get();
    let resources = state.handles.list(state.stdio.stdin_type_name());
    let trap = error
        .and_then(|error| error.code.clone())
        .filter(|code| code.starts_with("ERR_WASM_"));
    let heap_bytes = state.memory_bytes() as u64;
    let input = ReportInput {
        event,
        trigger: trigger.name().to_string(),
        thread_id: attributes::thread_id(state).into(),
        cwd: state
            .process
            .cwd(&state.permissions)
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        host: host_facts(),
        error: error.cloned(),
        heap: HeapFigures {
            total_bytes: heap_bytes,
            used_bytes: heap_bytes,
            limit_bytes: Some(state.limits.max_memory_bytes as u64),
            external_bytes: state.host_bytes() as u64,
            code_bytes: code_bytes(state),
        },
        cpu_time: CpuTime { user_us, system_us },
        resources: resources
            .into_iter()
            .map(|info| ActiveResource {
                kind: info.type_name.to_string(),
                is_active: info.active,
                is_referenced: info.referenced,
                ..ActiveResource::default()
            })
            .collect(),
        modules: loaded_modules(state),
        wasm: WasmFigures {
            trap: trap.map(|code| code.to_string()),
            module_digest: state.module.digest(),
            memory_pages: heap_bytes / PAGE_BYTES,
            fuel: None,
            ports: 0,
            handles: state.handles.len() as u64,
        },
        environment: state.process.env.all(),
        workers: Vec::new(),
    };
    Report::build(input, &state.process.report)
}

fn code_bytes(state: &IsolateState) -> u64 {
    let range = state.module.wasm().image_range();
    (range.end as usize - range.start as usize) as u64
}

fn loaded_modules(state: &IsolateState) -> Vec<LoadedModule> {
    let main = LoadedModule {
        path: state.module.name().to_string(),
        digest: state.module.digest(),
    };
    std::iter::once(main)
        .chain(state.process.side_modules.loaded())
        .collect()
}

fn host_facts() -> HostFacts {
    let map = |value: &Value| -> BTreeMap<String, String> {
        let entries = value.as_object().map(|object| object.entries()).unwrap_or_default();
        entries
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_string()))
            .collect()
    };
    HostFacts {
        version: concat!("v", env!("CARGO_PKG_VERSION")).to_string(),
        arch: attributes::arch().to_string(),
        platform: attributes::platform().to_string(),
        component_versions: map(&attributes::versions()),
        release: map(&attributes::release()),
        command_line: super::title::original_arguments()
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
    }
}

/// Writes a report and gives the name written. The operator's own choice of a place is always allowed; one that the
/// guest chose must lie in a directory it may write.
pub fn write(
    state: &IsolateState,
    trigger: Trigger,
    error: Option<&ErrorRecord>,
    filename: Option<&str>,
) -> Result<String> {
    let prepared = build(state, trigger, error).prepare(&state.process.report, filename);
    let chosen_by_operator = filename.is_none_or(str::is_empty) && state.process.report_place.is_operators();
    match &prepared.destination {
        Destination::File(_) if !chosen_by_operator => {
            let path = Path::new(state.process.report.directory()).join(&prepared.name);
            write_granted(&state.permissions, &path.to_string_lossy(), &prepared)?;
        }
        _ => return prepared.write(),
    }
    Ok(prepared.name)
}

/// Writes through the granted directory.
fn write_granted(permissions: &Permissions, path: &str, prepared: &PreparedReport) -> Result<()> {
    let target = permissions.check_write(path, &directory::cwd(permissions)?)?;
    let written = target
        .dir()
        .create(target.relative())
        .and_then(|mut file| file.write_all(prepared.text.as_bytes()));
    written.map_err(|error| {
        let code = ErrorCode::from_errno(error.raw_os_error().unwrap_or(libc::EIO));
        ErrorRecord::system_path(code, "open", path, None).into()
    })
}

/// A report that nobody waits for: a failure is logged.
fn write_or_log(state: &IsolateState, trigger: Trigger, error: Option<&ErrorRecord>) {
    match write(state, trigger, error, None) {
        Ok(name) => eprintln!("\nWriting Node.js report to file: {name}\nNode.js report completed"),
        Err(error) => eprintln!("nodule: the diagnostic report could not be written: {}", error.message),
    }
}

/// The report signal arrived.
pub fn on_signal(state: &IsolateState) {
    write_or_log(state, Trigger::Signal, None);
}

/// An error stayed uncaught.
pub fn on_uncaught_exception(state: &IsolateState, error: &ErrorRecord) {
    if state.process.report.on_uncaught_exception() {
        write_or_log(state, Trigger::Exception, Some(error));
    }
}

/// The isolate ran into a limit.
pub fn on_fatal_error(state: &IsolateState, error: &ErrorRecord) {
    if state.process.report.on_fatal_error() {
        write_or_log(state, Trigger::FatalError, Some(error));
    }
}

/// The guest changed a setting: listens to the right signal, and remembers whose choice the place is.
pub fn settings_changed(state: &mut IsolateState, name: &str, old_signal: Option<i32>) -> Result<()> {
    match name {
        "directory" | "filename" => state.process.report_place = ReportPlace::Guest,
        "signal" | "reportOnSignal" => {
            if let Some(signal) = old_signal {
                state.process.unlisten(signal, Side::Host);
            }
            if let Some(signal) = report_signal(state) {
                state.process.listen(&state.shared, signal, Side::Host)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The signal on which a report is written now, if any.
pub fn report_signal(state: &IsolateState) -> Option<i32> {
    let settings = &state.process.report;
    if settings.on_signal() {
        nodule_abi::signal::number(settings.signal())
    } else {
        None
    }
}

/// Who chose the place of reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportPlace {
    /// Nobody: the working directory, which the guest may or may not write.
    #[default]
    Unset,
    /// An option of the host.
    Operator,
    /// The guest.
    Guest,
}

impl ReportPlace {
    fn is_operators(self) -> bool {
        self == Self::Operator
    }
}
