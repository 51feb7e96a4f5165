//! A CPU profile as the Firefox profiler reads it: its processed format, version 55.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::capture::index;
use super::cpu_profile::Sample;
use super::stacks::{ROOT, Stacks};

const FORMAT_VERSION: u32 = 55;
/// Places in the list of categories.
const IDLE: u32 = 0;
const WASM: u32 = 1;

/// What was recorded.
pub(super) struct Recorded<'a> {
    pub(super) thread: &'a str,
    pub(super) start_unix: Duration,
    pub(super) length: Duration,
    pub(super) interval: Duration,
    pub(super) stacks: &'a Stacks,
    pub(super) samples: &'a [Sample],
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
pub(super) fn to_json(recorded: &Recorded<'_>) -> String {
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
    json!({
        "meta": meta,
        "libs": [],
        "threads": [thread(recorded)],
        "pages": [],
        "profilerOverhead": [],
        "counters": [],
    })
    .to_string()
}

fn thread(recorded: &Recorded<'_>) -> Value {
    let mut strings = Strings::default();
    let tables = tables(recorded.stacks, &mut strings);
    let end = ms(recorded.length);
    json!({
        "frameTable": tables.frames,
        "funcTable": tables.functions,
        "markers": {"length": 0, "category": [], "data": [], "endTime": [], "name": [], "phase": [], "startTime": []},
        "name": recorded.thread,
        "isMainThread": true,
        "nativeSymbols": {"length": 0, "address": [], "functionSize": [], "libIndex": [], "name": []},
        "pausedRanges": [],
        "pid": std::process::id().to_string(),
        "processName": "nodule",
        "processShutdownTime": end,
        "processStartupTime": 0.0,
        "processType": "default",
        "registerTime": 0.0,
        "resourceTable": tables.modules,
        "samples": samples(recorded.samples),
        "stackTable": tables.stacks,
        "stringArray": strings.texts,
        "tid": "0",
        "unregisterTime": end,
        "showMarkersInTimeline": false,
    })
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

fn samples(samples: &[Sample]) -> Value {
    let mut last = Duration::ZERO;
    let deltas: Vec<_> = samples
        .iter()
        .map(|sample| ms(sample.time.saturating_sub(std::mem::replace(&mut last, sample.time))))
        .collect();
    let stacks: Vec<_> = samples.iter().map(|sample| sample.stack.unwrap_or(ROOT)).collect();
    let weights: Vec<_> = samples.iter().map(|sample| sample.weight).collect();
    let busy: Vec<_> = samples
        .iter()
        .map(|sample| u64::try_from(sample.busy.as_micros()).unwrap_or(u64::MAX))
        .collect();
    json!({
        "length": samples.len(),
        "weightType": "samples",
        "stack": stacks,
        "timeDeltas": deltas,
        "weight": weights,
        "threadCPUDelta": busy,
    })
}
