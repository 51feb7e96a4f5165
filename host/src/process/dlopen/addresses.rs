//! Functions as table indexes: what C calls a function pointer.

use std::collections::HashMap;

use nodule_abi::error::Result;
use wasmtime::{AsContextMut, Caller, Func, Ref, Table};

use super::failed;
use crate::runtime::IsolateState;

/// Most entries of the table that are looked at to find functions that have an index already.
const LEARNED_MAX: u64 = 64 * 1024;

/// The indexes of functions, so that a function has one address however often it is asked for.
#[derive(Debug, Default)]
pub(super) struct FunctionAddresses {
    /// By the engine's address of the function.
    indexes: HashMap<usize, u32>,
    /// Table entries looked at.
    learned: u64,
    knows_main: bool,
}

/// The index of `function`; appends it to the table when it has none.
pub(super) async fn of(caller: &mut Caller<'_, IsolateState>, table: Table, function: Func) -> Result<u32> {
    if !std::mem::replace(&mut caller.data_mut().process.side_modules.addresses.knows_main, true) {
        let size = table.size(&*caller);
        learn(caller, table, 0, size);
    }
    let key = function.to_raw(caller.as_context_mut()).addr();
    let known = caller.data().process.side_modules.addresses.indexes.get(&key).copied();
    // The guest may have put something else there since.
    if let Some(index) = known
        && key_at(caller, table, u64::from(index)) == Some(key)
    {
        return Ok(index);
    }
    let index = grow(caller, table, 1, Ref::Func(Some(function))).await?;
    caller
        .data_mut()
        .process
        .side_modules
        .addresses
        .indexes
        .insert(key, index);
    Ok(index)
}

/// Remembers which functions `count` entries from `start` hold.
pub(super) fn learn(caller: &mut Caller<'_, IsolateState>, table: Table, start: u64, count: u64) {
    for index in start..start.saturating_add(count) {
        let learned = &mut caller.data_mut().process.side_modules.addresses.learned;
        if *learned >= LEARNED_MAX {
            return;
        }
        *learned += 1;
        if let (Some(key), Ok(index)) = (key_at(caller, table, index), u32::try_from(index)) {
            caller
                .data_mut()
                .process
                .side_modules
                .addresses
                .indexes
                .entry(key)
                .or_insert(index);
        }
    }
}

fn key_at(caller: &mut Caller<'_, IsolateState>, table: Table, index: u64) -> Option<usize> {
    match table.get(caller.as_context_mut(), index)? {
        Ref::Func(Some(function)) => Some(function.to_raw(caller.as_context_mut()).addr()),
        _ => None,
    }
}

/// Appends `count` entries and gives the index of the first.
pub(super) async fn grow(caller: &mut Caller<'_, IsolateState>, table: Table, count: u64, entry: Ref) -> Result<u32> {
    let full = |limit: usize| {
        failed(format!(
            "the function table is full: {count} entries more than fit ({limit} allowed)"
        ))
    };
    let limit = caller.data().limits.max_table_elements;
    let start = table
        .grow_async(caller.as_context_mut(), count, entry)
        .await
        .map_err(|_| full(limit))?;
    u32::try_from(start).map_err(|_| full(limit))
}
