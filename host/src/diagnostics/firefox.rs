//! A CPU profile as the Firefox profiler reads it: its processed format, version 55.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::capture::index;
use super::cpu_profile::Sample;
use super::stacks::{ROOT, Stacks};

const FORMAT_VERSION: u32 = 55;
/// Places in the list of categories.
const IDLE: u32 = 0;
const WASM: u32 = 1;

/// What was recorded.
pub(super) struct Recorded {
    pub(super) thread: String,
    pub(super) start_unix: Duration,
    pub(super) length: Duration,
    pub(super) interval: Duration,
    pub(super) stacks: Stacks,
    pub(super) samples: Vec<Sample>,
}

/// Texts, each kept once.
#[derive(Default)]
struct Strings {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Strings {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = index(self.texts.len());
        self.texts.push(text.to_string());
        self.numbers.insert(text.to_string(), number);
        number
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A column with the same value everywhere.
fn same(value: impl Into<Value>, len: usize) -> Value {
    Value::Array(vec![value.into(); len])
}

/// The profile as JSON.
pub(super) fn to_json(recorded: &Recorded) -> String {
    let meta = json!({
        "categories": [
            {"name": "Idle", "color": "transparent", "subcategories": ["Other"]},
            {"name": "WebAssembly", "color": "purple", "subcategories": ["Other"]},
        ],
        "debug": false,
        "extensions": {"length": 0, "baseURL": [], "id": [], "name": []},
        "interval": ms(recorded.interval),
        "preprocessedProfileVersion": FORMAT_VERSION,
        "processType": 0,
        "product": "nodule",
        "sampleUnits": {"time": "ms", "eventDelay": "ms", "threadCPUDelta": "µs"},
        "startTime": ms(recorded.start_unix),
        "symbolicated": true,
        "pausedRanges": [],
        "version": 24,
        "usesOnlyOneStackType": true,
        "sourceCodeIsNotOnSearchfox": true,
        "markerSchema": [],
    });
    let profile = Profile {
        meta,
        libs: [],
        threads: [thread(recorded)],
        pages: [],
        profiler_overhead: [],
        counters: [],
    };
    // Numbers, texts and lists of them always serialize.
    serde_json::to_string(&profile).unwrap_or_default()
}

type Empty = [(); 0];

/// Samples are many: they are written as they are.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    meta: Value,
    libs: Empty,
    threads: [Thread; 1],
    pages: Empty,
    profiler_overhead: Empty,
    counters: Empty,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Thread {
    frame_table: Value,
    func_table: Value,
    markers: Value,
    name: String,
    is_main_thread: bool,
    native_symbols: Value,
    paused_ranges: Empty,
    pid: String,
    process_name: &'static str,
    process_shutdown_time: f64,
    process_startup_time: f64,
    process_type: &'static str,
    register_time: f64,
    resource_table: Value,
    samples: Samples,
    stack_table: Value,
    string_array: Vec<String>,
    tid: &'static str,
    unregister_time: f64,
    show_markers_in_timeline: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Samples {
    length: usize,
    weight_type: &'static str,
    stack: Vec<u32>,
    time_deltas: Vec<f64>,
    weight: Vec<u32>,
    #[serde(rename = "threadCPUDelta")]
    thread_cpu_delta: Vec<u32>,
}

fn thread(recorded: &Recorded) -> Thread {
    let mut strings = Strings::default();
    let tables = tables(&recorded.stacks, &mut strings);
    let end = ms(recorded.length);
    Thread {
        frame_table: tables.frames,
        func_table: tables.functions,
        markers: json!({
            "length": 0, "category": [], "data": [], "endTime": [], "name": [], "phase": [], "startTime": [],
        }),
        name: recorded.thread.clone(),
        is_main_thread: true,
        native_symbols: json!({"length": 0, "address": [], "functionSize": [], "libIndex": [], "name": []}),
        paused_ranges: [],
        pid: std::process::id().to_string(),
        process_name: "nodule",
        process_shutdown_time: end,
        process_startup_time: 0.0,
        process_type: "default",
        register_time: 0.0,
        resource_table: tables.modules,
        samples: samples(&recorded.samples),
        stack_table: tables.stacks,
        string_array: strings.texts,
        tid: "0",
        unregister_time: end,
        show_markers_in_timeline: false,
    }
}

struct Tables {
    frames: Value,
    functions: Value,
    modules: Value,
    stacks: Value,
}

/// Function 0, frame 0 and stack 0 are the time spent waiting; those of the tree follow in its order.
fn tables(stacks: &Stacks, strings: &mut Strings) -> Tables {
    let functions = &stacks.functions;
    let mut names = vec![strings.number("(idle)")];
    let mut resources = vec![-1];
    let mut files = vec![None];
    let mut lines = vec![None];
    for function in functions {
        names.push(strings.number(&function.name));
        resources.push(i64::from(function.module));
        files.push(function.place.as_ref().map(|(file, _)| strings.number(file)));
        lines.push(function.place.as_ref().map(|(_, line)| *line));
    }
    let modules: Vec<_> = stacks.modules.iter().map(|module| strings.number(module)).collect();
    let count = names.len();
    let mut categories = vec![WASM; count];
    categories[0] = IDLE;
    // The root of the tree is the stack of waiting: no stack has either above it.
    let prefixes: Vec<_> = stacks
        .nodes
        .iter()
        .map(|node| (node.parent != ROOT).then_some(node.parent))
        .collect();
    let frames: Vec<_> = stacks.nodes.iter().map(|node| node.function.wrapping_add(1)).collect();
    Tables {
        frames: json!({
            "length": count,
            "address": same(-1, count),
            "inlineDepth": same(0, count),
            "category": categories,
            "subcategory": same(0, count),
            "func": (0..count).collect::<Vec<_>>(),
            "nativeSymbol": same(Value::Null, count),
            "innerWindowID": same(0, count),
            "line": same(Value::Null, count),
            "column": same(Value::Null, count),
        }),
        functions: json!({
            "length": count,
            "name": names,
            "isJS": same(false, count),
            "relevantForJS": same(false, count),
            "resource": resources,
            "fileName": files,
            "lineNumber": lines,
            "columnNumber": same(Value::Null, count),
        }),
        modules: json!({
            "length": modules.len(),
            "lib": same(Value::Null, modules.len()),
            "name": modules,
            "host": same(Value::Null, modules.len()),
            "type": same(1, modules.len()),
        }),
        stacks: json!({"length": frames.len(), "prefix": prefixes, "frame": frames}),
    }
}

fn samples(samples: &[Sample]) -> Samples {
    Samples {
        length: samples.len(),
        weight_type: "samples",
        stack: samples.iter().map(|sample| sample.stack).collect(),
        time_deltas: samples
            .iter()
            .map(|sample| f64::from(sample.time_us) / 1000.0)
            .collect(),
        weight: samples.iter().map(|sample| sample.weight).collect(),
        thread_cpu_delta: samples.iter().map(|sample| sample.busy_us).collect(),
    }
}
