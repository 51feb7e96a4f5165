//! Heap profile: the call stack every so many allocated bytes.
//!
//! The guest's allocator counts and calls when the interval is used up. Blocks that were freed since stay in it: it
//! shows where a guest allocates, where V8's shows what is left.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use serde_json::{Value, json};
use wasmtime::{Caller, FrameInfo, StoreContextMut, WasmBacktrace};

use super::inspect::inspect;
use super::stacks::{ROOT, Stacks, function_name};
use crate::runtime::{IsolateShared, IsolateState};

/// Most entries of the list of samples; later ones count in the tree only.
const SAMPLES_MAX: usize = 65_536;

/// How a heap profile is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapProfileOptions {
    /// Bytes allocated between two samples; 0 counts as 1. Default: 524,288.
    pub sample_interval: u32,
    /// Most frames of a stack, of those that error messages have. Default: 16.
    pub stack_depth: u32,
}

impl Default for HeapProfileOptions {
    fn default() -> Self {
        Self {
            sample_interval: 512 * 1024,
            stack_depth: 16,
        }
    }
}

/// A profile that is being taken.
pub(crate) struct Recording {
    state: Mutex<State>,
    /// Once it was asked for. Locked while it is made, which takes longer than an isolate should wait.
    text: Mutex<Option<Arc<str>>>,
}

#[derive(Default)]
struct State {
    depth: usize,
    stacks: Stacks,
    /// Bytes by node.
    sizes: Vec<u64>,
    /// Bytes and node.
    samples: Vec<(u64, u32)>,
    ended: bool,
}

impl State {
    fn add(&mut self, frames: &[FrameInfo], bytes: u64) {
        // The allocator's own frames say nothing.
        let own = frames.iter().take_while(|frame| is_allocator(frame)).count();
        let frames = &frames[own..];
        let node = self.stacks.node(&frames[..frames.len().min(self.depth)]);
        self.sizes.resize(self.stacks.nodes.len(), 0);
        if let Some(size) = self.sizes.get_mut(node as usize) {
            *size = size.saturating_add(bytes);
        }
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push((bytes, node));
        }
    }

    /// V8's sampling heap profile. Stacks are bounded in depth, so the tree is.
    fn to_json(&self) -> Value {
        let nodes = &self.stacks.nodes;
        let mut children: Vec<Vec<Value>> = vec![Vec::new(); nodes.len()];
        // Children come after their parents.
        for (number, node) in nodes.iter().enumerate().skip(1).rev() {
            let value = self.node(number, std::mem::take(&mut children[number]));
            children[node.parent as usize].push(value);
        }
        let samples =
            self.samples.iter().zip(1_u64..).map(
                |((bytes, node), ordinal)| json!({"size": bytes, "nodeId": u64::from(*node) + 1, "ordinal": ordinal}),
            );
        let samples: Vec<_> = samples.collect();
        let children = std::mem::take(&mut children[ROOT as usize]);
        json!({"head": self.node(ROOT as usize, children), "samples": samples})
    }

    fn node(&self, number: usize, mut children: Vec<Value>) -> Value {
        children.reverse();
        let function = self.stacks.nodes.get(number);
        let function = function.and_then(|node| self.stacks.functions.get(node.function as usize));
        let module = function.and_then(|function| self.stacks.modules.get(function.module as usize));
        let place = function.and_then(|function| function.place.as_ref());
        json!({
            "callFrame": {
                "functionName": function.map_or("(root)", |function| &function.name),
                "scriptId": function.map_or(0, |function| function.module + 1).to_string(),
                "url": place.map(|(file, _)| file).or(module).map_or("", String::as_str),
                "lineNumber": place.map_or(-1, |(_, line)| i64::from(*line) - 1),
                "columnNumber": -1,
            },
            "selfSize": self.sizes.get(number).copied().unwrap_or(0),
            "id": number + 1,
            "children": children,
        })
    }
}

fn is_allocator(frame: &FrameInfo) -> bool {
    let name = function_name(frame);
    ["sys::alloc::", "CountingAllocator", "__rust_", "__rustc::"]
        .iter()
        .any(|part| name.contains(part))
}

impl Recording {
    /// Ends it and gives its text.
    fn text(&self) -> Arc<str> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = &*text {
            return Arc::clone(text);
        }
        let recorded = {
            let ended = State {
                ended: true,
                ..State::default()
            };
            std::mem::replace(&mut *self.lock(), ended)
        };
        Arc::clone(text.insert(recorded.to_json().to_string().into()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The guest's allocator gave out `bytes` since the last sample.
pub(super) fn sample(caller: &mut Caller<'_, IsolateState>, bytes: u64) {
    let recording = match &caller.data().diagnostics.heap {
        Some(recording) if !recording.lock().ended => Arc::clone(recording),
        _ => {
            let diagnostics = &mut caller.data_mut().diagnostics;
            diagnostics.heap = None;
            diagnostics.figures.set_sample_interval(caller, 0);
            return;
        }
    };
    let backtrace = WasmBacktrace::force_capture(&*caller);
    let mut state = recording.lock();
    if !state.ended {
        state.add(backtrace.frames(), bytes);
    }
}

/// A heap profile that is being taken. Dropping it stops it.
pub struct HeapProfile {
    recording: Arc<Recording>,
}

impl fmt::Debug for HeapProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapProfile").finish_non_exhaustive()
    }
}

impl HeapProfile {
    /// Ends the profile and gives it as a tree (JSON): `{head: {callFrame, selfSize, id, children}, samples}`.
    /// Repeating gives the same text. The end of the isolate ends the profile too; its text is then that of the time
    /// until there.
    ///
    /// # Errors
    /// None at present.
    pub async fn stop(&self) -> Result<String> {
        Ok(self.recording.text().to_string())
    }
}

impl Drop for HeapProfile {
    fn drop(&mut self) {
        self.recording.lock().ended = true;
    }
}

/// Starts a heap profile at the isolate's next tick or wait. A guest without the SDK's allocator gives an empty one.
///
/// # Errors
/// `ERR_WORKER_NOT_RUNNING` when it has ended or ends before; `ERR_HEAP_PROFILE_HAVE_BEEN_STARTED` while another one
/// runs; `EAGAIN` when too many requests wait for it.
pub async fn start_heap_profile(shared: &Arc<IsolateShared>, options: HeapProfileOptions) -> Result<HeapProfile> {
    inspect(shared, move |context| start(context, options)).await?
}

fn start(mut context: StoreContextMut<'_, IsolateState>, options: HeapProfileOptions) -> Result<HeapProfile> {
    let diagnostics = &mut context.data_mut().diagnostics;
    if diagnostics.heap.as_ref().is_some_and(|running| !running.lock().ended) {
        return Err(ErrorRecord::new(ErrorCode::HeapProfileStarted, ErrorCode::HeapProfileStarted.text()).into());
    }
    let recording = Arc::new(Recording {
        state: Mutex::new(State {
            depth: options.stack_depth as usize,
            ..State::default()
        }),
        text: Mutex::default(),
    });
    diagnostics.heap = Some(Arc::clone(&recording));
    let figures = diagnostics.figures;
    figures.set_sample_interval(context, options.sample_interval.max(1));
    Ok(HeapProfile { recording })
}
