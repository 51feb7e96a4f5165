//! Diagnostic reports (`process.report`): a picture of an isolate and its process as JSON, in the shape of Node's.
//!
//! A report is made by the host alone, so it works for a hung guest. What only the isolate's owner knows comes as
//! plain data in a [`ReportInput`]; the rest is read from the system.
//!
//! | module | what it holds |
//! |---|---|
//! | `settings` | `process.report.*` |
//! | `sections` | the parts read from the system |
//! | `output` | file name, destination, text |

mod output;
mod sections;
mod settings;

use std::collections::BTreeMap;

use nodule_abi::error::ErrorRecord;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

pub use output::{Destination, PreparedReport};
pub use settings::ReportSettings;

use super::usage::CpuTime;
use super::warnings::headline;

/// Node's version of the shape.
const REPORT_VERSION: u32 = 5;
/// Limits and figures that count something unbounded are written so.
const UNLIMITED: &str = "unlimited";

/// What the caller knows and the system does not.
#[derive(Clone, Debug, Default)]
pub struct ReportInput {
    /// What happened: `JavaScript API`, a signal name, the message of an error.
    pub event: String,
    /// What made the report: `GetReport`, `API`, `Signal`, `Exception`, `FatalError`.
    pub trigger: String,
    /// `threadId` of the isolate, 0 for the main one.
    pub thread_id: u64,
    /// Working directory of the isolate.
    pub cwd: String,
    /// The host: its versions.
    pub host: HostFacts,
    /// The error it is about.
    pub error: Option<ErrorRecord>,
    /// Memory of the isolate.
    pub heap: HeapFigures,
    /// CPU time of the isolate's task.
    pub cpu_time: CpuTime,
    /// Resources the isolate holds.
    pub resources: Vec<ActiveResource>,
    /// Its module and side modules.
    pub modules: Vec<LoadedModule>,
    /// Figures of the wasm instance.
    pub wasm: WasmFigures,
    /// The environment the guest sees.
    pub environment: Vec<(String, String)>,
    /// Reports of the threads it started.
    pub workers: Vec<Report>,
}

/// The host binary.
#[derive(Clone, Debug, Default)]
pub struct HostFacts {
    /// With a leading `v`.
    pub version: String,
    /// CPU in Node's spelling.
    pub arch: String,
    /// Operating system in Node's spelling.
    pub platform: String,
    /// `process.versions`.
    pub component_versions: BTreeMap<String, String>,
    /// `process.release`.
    pub release: BTreeMap<String, String>,
    /// All arguments of the process.
    pub command_line: Vec<String>,
}

/// Memory of an isolate in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeapFigures {
    /// Size of its linear memories.
    pub total_bytes: u64,
    /// What its allocator counts as live; `total_bytes` when it does not count.
    pub used_bytes: u64,
    /// How far the memories may grow, if bounded.
    pub limit_bytes: Option<u64>,
    /// Host memory held for it.
    pub external_bytes: u64,
    /// Compiled code.
    pub code_bytes: u64,
}

/// A resource that may keep an isolate alive.
#[derive(Clone, Debug, Default)]
pub struct ActiveResource {
    /// Type name: `Timeout`, `TCPServerWrap`…
    pub kind: String,
    /// Whether it is at work.
    pub is_active: bool,
    /// Whether it keeps the event loop alive.
    pub is_referenced: bool,
    /// More about it: addresses, delays.
    pub details: Map<String, Json>,
}

/// A wasm module of an isolate.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoadedModule {
    /// Its file, or its name when it came from memory.
    pub path: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
}

/// Figures of a wasm instance.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WasmFigures {
    /// The trap that ended it, as an error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trap: Option<String>,
    /// Digest of the main module.
    pub module_digest: String,
    /// Pages of its linear memories.
    pub memory_pages: u64,
    /// Instructions left, when counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Open message ports.
    pub ports: u64,
    /// Open handles.
    pub handles: u64,
}

/// A finished report; serializes to its JSON.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    header: Map<String, Json>,
    javascript_stack: Json,
    javascript_heap: Json,
    native_stack: Json,
    resource_usage: Json,
    #[serde(rename = "uvthreadResourceUsage")]
    isolate_resource_usage: Json,
    libuv: Json,
    workers: Vec<Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment_variables: Option<BTreeMap<String, String>>,
    user_limits: Json,
    shared_objects: Vec<LoadedModule>,
    wasm: WasmFigures,
}

impl Report {
    /// Makes a report of now. Reads files of the kernel and resolves the symbols of the calling OS thread's stack, which
    /// takes milliseconds.
    pub fn build(input: ReportInput, settings: &ReportSettings) -> Self {
        let environment = (!settings.exclude_env()).then(|| input.environment.iter().cloned().collect());
        Self {
            header: sections::header(&input, settings),
            javascript_stack: guest_stack(input.error.as_ref()),
            javascript_heap: heap(&input.heap),
            native_stack: sections::native_stack(),
            resource_usage: sections::resource_usage(),
            isolate_resource_usage: sections::cpu_figures(input.cpu_time).into(),
            libuv: input.resources.into_iter().map(resource).collect(),
            workers: input.workers,
            environment_variables: environment,
            user_limits: sections::user_limits(),
            shared_objects: input.modules,
            wasm: input.wasm,
        }
    }

    /// The JSON text, on several lines unless `compact` is set.
    pub fn to_json(&self, settings: &ReportSettings) -> String {
        let text = if settings.compact() {
            serde_json::to_string(self)
        } else {
            serde_json::to_string_pretty(self)
        };
        // Only maps whose keys are no strings fail, and there are none.
        text.unwrap_or_default()
    }
}

/// The error and the guest's stack. The key keeps Node's name, so that its tools find it.
fn guest_stack(error: Option<&ErrorRecord>) -> Json {
    let Some(error) = error else {
        return json!({ "message": "No stack.", "stack": ["Unavailable."], "errorProperties": {} });
    };
    let message = headline(error);
    let stack = error.stack.as_deref().unwrap_or_default();
    let frames = stack
        .strip_prefix(message.as_str())
        .unwrap_or(stack)
        .lines()
        .map(str::trim);
    let frames: Vec<_> = frames.filter(|frame| !frame.is_empty()).collect();
    let mut properties = match serde_json::to_value(error) {
        Ok(Json::Object(members)) => members,
        Ok(_) | Err(_) => Map::new(),
    };
    properties.retain(|name, _| !matches!(name.as_str(), "name" | "message" | "stack"));
    for property in properties.values_mut() {
        if !property.is_string() {
            *property = property.to_string().into();
        }
    }
    json!({ "message": message, "stack": frames, "errorProperties": properties })
}

/// Node's keys, as far as they mean something for linear memory.
fn heap(figures: &HeapFigures) -> Json {
    let limit = figures.limit_bytes.map_or(Json::from(UNLIMITED), Json::from);
    let available = figures
        .limit_bytes
        .map(|limit| limit.saturating_sub(figures.total_bytes));
    let available = available.map_or(Json::from(UNLIMITED), Json::from);
    json!({
        "totalMemory": figures.total_bytes,
        "executableMemory": figures.code_bytes,
        "totalCommittedMemory": figures.total_bytes,
        "availableMemory": available,
        "usedMemory": figures.used_bytes,
        "memoryLimit": limit,
        "externalMemory": figures.external_bytes,
        "heapSpaces": {
            "linear_memory": {
                "memorySize": figures.total_bytes,
                "committedMemory": figures.total_bytes,
                "capacity": limit,
                "used": figures.used_bytes,
                "available": figures.total_bytes.saturating_sub(figures.used_bytes),
            },
        },
    })
}

fn resource(resource: ActiveResource) -> Json {
    json!({
        "type": resource.kind,
        "is_active": resource.is_active,
        "is_referenced": resource.is_referenced,
        "details": resource.details,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use nodule_abi::error::ErrorCode;

    use super::*;
    use crate::process::node_oracle;

    pub(super) fn sample() -> ReportInput {
        ReportInput {
            event: "JavaScript API".into(),
            trigger: "GetReport".into(),
            cwd: "/".into(),
            error: Some(ErrorRecord {
                stack: Some("Error: open ENOENT\n    at f (a.rs:1)\n\n    at g".into()),
                ..ErrorRecord::system(ErrorCode::Enoent, "open")
            }),
            heap: HeapFigures {
                total_bytes: 131_072,
                used_bytes: 100,
                limit_bytes: Some(262_144),
                ..Default::default()
            },
            cpu_time: CpuTime {
                user_us: 1_500_000,
                system_us: 500_000,
            },
            resources: vec![ActiveResource {
                kind: "Timeout".into(),
                is_referenced: true,
                ..Default::default()
            }],
            modules: vec![LoadedModule {
                path: "/a.wasm".into(),
                digest: "00ff".into(),
            }],
            environment: vec![("A".into(), "1".into())],
            ..ReportInput::default()
        }
    }

    fn built(settings: &ReportSettings) -> Json {
        serde_json::to_value(Report::build(sample(), settings)).unwrap()
    }

    /// Keys of `node` that are not in `ours`, with their place.
    fn missing(node: &Json, ours: &Json, place: &str, found: &mut Vec<String>) {
        let (Json::Object(node), Json::Object(ours)) = (node, ours) else {
            return;
        };
        for (key, value) in node {
            match ours.get(key) {
                Some(own) => missing(value, own, &format!("{place}.{key}"), found),
                None => found.push(format!("{place}.{key}")),
            }
        }
    }

    #[test]
    fn the_keys_are_nodes() {
        let script = "console.log(JSON.stringify(process.report.getReport(new Error('x'))))";
        let Some(node) = node_oracle::run(script, &[]) else {
            return;
        };
        let mut node: Json = serde_json::from_str(&node).unwrap();
        // Facts of that machine's environment, and of V8 and libc, which have no counterpart.
        node["environmentVariables"] = json!({});
        node["header"]["componentVersions"] = json!({});
        node["header"]["release"] = json!({});
        node["javascriptHeap"]["heapSpaces"] = json!({});
        let mut found = Vec::new();
        missing(&node, &built(&ReportSettings::default()), "", &mut found);
        let wanted = [
            ".header.nodejsVersion",
            ".header.glibcVersionRuntime",
            ".header.glibcVersionCompiler",
            ".javascriptHeap.totalGlobalHandlesMemory",
            ".javascriptHeap.usedGlobalHandlesMemory",
            ".javascriptHeap.mallocedMemory",
            ".javascriptHeap.peakMallocedMemory",
            ".javascriptHeap.nativeContextCount",
            ".javascriptHeap.detachedContextCount",
            ".javascriptHeap.doesZapGarbage",
            ".uvthreadResourceUsage.fsActivity",
            // Renamed by version 5 of the shape, since the values are bytes.
            ".userLimits.data_seg_size_kbytes",
            ".userLimits.max_memory_size_kbytes",
            ".userLimits.virtual_memory_kbytes",
        ];
        found.sort();
        let mut wanted = wanted.map(str::to_owned);
        wanted.sort();
        assert_eq!(found, wanted);
    }

    #[test]
    fn the_callers_facts_are_in_their_places() {
        let report = built(&ReportSettings::default());
        assert_eq!(report["header"]["event"], "JavaScript API");
        assert_eq!(report["header"]["filename"], Json::Null);
        assert_eq!(report["header"]["processId"], std::process::id());
        assert_eq!(report["javascriptStack"]["message"], "Error: open ENOENT");
        assert_eq!(report["javascriptStack"]["stack"], json!(["at f (a.rs:1)", "at g"]));
        assert_eq!(
            report["javascriptStack"]["errorProperties"],
            json!({ "code": "ENOENT", "errno": "-2", "syscall": "open" })
        );
        assert_eq!(report["javascriptHeap"]["availableMemory"], 131_072);
        assert_eq!(report["uvthreadResourceUsage"]["userCpuSeconds"], 1.5);
        assert_eq!(report["libuv"][0]["type"], "Timeout");
        assert_eq!(
            report["sharedObjects"],
            json!([{ "path": "/a.wasm", "digest": "00ff" }])
        );
        assert_eq!(report["environmentVariables"], json!({ "A": "1" }));
        assert!(report["wasm"].get("trap").is_none() && report["wasm"]["memoryPages"] == 0);
    }

    #[test]
    fn what_is_excluded_is_absent() {
        let mut settings = ReportSettings::default();
        settings.set("excludeEnv", &true.into()).unwrap();
        settings.set("excludeNetwork", &true.into()).unwrap();
        let report = built(&settings);
        assert!(report.get("environmentVariables").is_none() && report["header"].get("networkInterfaces").is_none());
    }

    #[test]
    fn threads_are_reports_within_the_report() {
        let settings = ReportSettings::default();
        let thread = Report::build(
            ReportInput {
                thread_id: 7,
                ..sample()
            },
            &settings,
        );
        let without_error = ReportInput {
            error: None,
            workers: vec![thread],
            ..sample()
        };
        let report = serde_json::to_value(Report::build(without_error, &settings)).unwrap();
        assert_eq!(report["workers"][0]["header"]["threadId"], 7);
        assert_eq!(report["javascriptStack"]["message"], "No stack.");
    }
}
