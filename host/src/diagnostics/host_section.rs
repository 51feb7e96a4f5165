//! What the host keeps for an isolate, for the section `nodule.host` of a snapshot.

use std::time::Instant;

use nodule_abi::value::Value;

use super::snapshot::object;
use crate::runtime::IsolateState;

/// `{isolate, threadId, handles: [{handle, type, active, referenced}], timers: [{handle, dueInMs, repeat}],
/// events, requests, parked, hostBytes}`.
pub(super) fn value(state: &IsolateState) -> Value {
    let handles = state.handles.list(state.stdio.stdin_type_name());
    let handles = handles.into_iter().map(|info| {
        object([
            ("handle", info.handle.number().into()),
            ("type", info.type_name.into()),
            ("active", info.active.into()),
            ("referenced", info.referenced.into()),
        ])
    });
    let timers = state.timers.list(Instant::now()).map(|(handle, due_in, repeat)| {
        object([
            ("handle", handle.number().into()),
            ("dueInMs", (due_in.as_secs_f64() * 1000.0).into()),
            ("repeat", repeat.into()),
        ])
    });
    let count = |count: usize| Value::from(count as u64);
    object([
        ("isolate", state.id().number().into()),
        ("threadId", state.shared.thread.number().into()),
        ("handles", Value::Array(handles.collect())),
        ("timers", Value::Array(timers.collect())),
        ("events", count(state.shared.events.len())),
        ("requests", count(state.shared.control.len())),
        ("parked", state.diagnostics.parked.into()),
        ("hostBytes", count(state.host_bytes())),
    ])
}
