//! What a message may carry, in the order of the specification: nothing is taken before everything is checked.

use std::collections::HashSet;
use std::sync::Arc;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::imports::messaging::marks;
use nodule_abi::resource::ResourceKind;

use super::Owner;
use super::message::Transferred;
use super::port::PortEnd;
use crate::handles::{Handle, Resource};
use crate::host_error::HostError;
use crate::runtime::IsolateState;

/// Kinds that move; the others are shared by cloning.
const fn moves(kind: ResourceKind) -> bool {
    match kind {
        ResourceKind::Port | ResourceKind::ArrayBuffer => true,
        ResourceKind::SharedBuffer | ResourceKind::Module => false,
        // Kinds of a later version.
        _ => false,
    }
}

fn data_clone(text: impl Into<String>) -> Box<ErrorRecord> {
    ErrorRecord::new(ErrorCode::DataClone, text).into()
}

/// The kind of a handle, for handles of resources.
fn kind_of(state: &IsolateState, handle: Handle) -> Option<ResourceKind> {
    state.handles.get(handle).ok().and_then(Resource::kind)
}

fn has_mark(state: &IsolateState, handle: Handle, mark: u32) -> bool {
    state
        .messaging
        .marks
        .get(&handle)
        .is_some_and(|marks| marks & mark != 0)
}

/// Checks a transfer list: kinds, duplicates, the source port, then the state of each entry.
pub(super) fn check_list(state: &IsolateState, source: Option<Handle>, list: &[Handle]) -> Result<()> {
    for handle in list {
        let is_wrong = match state.handles.get(*handle) {
            Ok(resource) => !resource.kind().is_some_and(moves),
            // Closed or moved: a later step.
            Err(_) => false,
        };
        if is_wrong {
            return Err(ErrorRecord::new(
                ErrorCode::InvalidTransferObject,
                ErrorCode::InvalidTransferObject.text(),
            )
            .into());
        }
    }
    let mut seen = HashSet::with_capacity(list.len());
    // Handle 0 stands for anything that is closed or was moved.
    for handle in list.iter().filter(|handle| handle.number() != 0) {
        if !seen.insert(*handle) {
            let kind = kind_of(state, *handle).unwrap_or(ResourceKind::Port);
            return Err(data_clone(format!("Transfer list contains duplicate {}", kind.name())));
        }
    }
    if source.is_some_and(|source| seen.contains(&source)) {
        return Err(data_clone("Transfer list contains source port"));
    }
    list.iter().try_for_each(|handle| check_entry(state, *handle))
}

fn check_entry(state: &IsolateState, handle: Handle) -> Result<()> {
    if has_mark(state, handle, marks::UNTRANSFERABLE | marks::UNCLONEABLE) {
        return Err(data_clone("Cannot transfer object of unsupported type."));
    }
    let is_movable = match state.handles.get(handle) {
        Ok(Resource::Port(end)) => end.can_move(),
        Ok(_) => true,
        Err(_) => false,
    };
    if is_movable {
        return Ok(());
    }
    let kind = kind_of(state, handle).unwrap_or(ResourceKind::Port);
    Err(data_clone(format!(
        "{} in transfer list is already detached",
        kind.name()
    )))
}

/// Checks that every resource of a message may be in it: listed when it moves, and no resource that moves twice.
pub(super) fn check_resources(state: &IsolateState, resources: &[Handle], list: &[Handle]) -> Result<()> {
    if resources.is_empty() {
        return Ok(());
    }
    let listed: HashSet<_> = list.iter().collect();
    let mut moved = HashSet::new();
    for handle in resources {
        let kind = state.handles.get(*handle)?.kind();
        let kind = kind.ok_or_else(|| data_clone(format!("{handle} could not be cloned.")))?;
        if has_mark(state, *handle, marks::UNCLONEABLE) {
            return Err(data_clone(format!("#<{}> could not be cloned.", kind.name())));
        }
        if moves(kind) && !listed.contains(handle) {
            let code = ErrorCode::MissingTransferable;
            return Err(ErrorRecord::new(code, code.text()).into());
        }
        if moves(kind) && !moved.insert(*handle) {
            return Err(ErrorRecord::invalid_arg_value(
                "resources",
                "must not name a resource that moves twice",
                &handle.to_string(),
            )
            .into());
        }
    }
    Ok(())
}

/// Takes checked resources out of the isolate, in order, and everything of the list that is no resource.
pub(super) fn take(
    state: &mut IsolateState,
    resources: &[Handle],
    list: &[Handle],
) -> std::result::Result<Vec<Transferred>, HostError> {
    // The windows of ArrayBuffers, which would show the pages to the sender still. This is all that the system can
    // refuse, so it comes first.
    state.shared_memory.unmap_all(list)?;
    let mut taken = Vec::with_capacity(resources.len());
    for handle in resources {
        taken.push(match state.handles.get(*handle)? {
            Resource::Module(module) => Transferred::Module(module.clone()),
            Resource::SharedBuffer(buffer) => Transferred::SharedBuffer(Arc::clone(buffer)),
            _ => detach(state, *handle)?,
        });
    }
    let rest: Vec<_> = list
        .iter()
        .filter(|handle| state.handles.get(**handle).is_ok())
        .copied()
        .collect();
    for handle in rest {
        drop(detach(state, handle)?);
    }
    Ok(taken)
}

/// Takes one resource that moves, and has no window any more, out of the isolate.
fn detach(state: &mut IsolateState, handle: Handle) -> Result<Transferred> {
    state.messaging.marks.remove(&handle);
    match state.handles.remove(handle)? {
        Resource::Port(mut end) => {
            end.detach();
            Ok(Transferred::Port(end))
        }
        Resource::Module(module) => Ok(Transferred::Module(module)),
        Resource::SharedBuffer(buffer) => Ok(Transferred::SharedBuffer(buffer)),
        Resource::ArrayBuffer(pages) => Ok(Transferred::ArrayBuffer(pages)),
        Resource::Wait(_)
        | Resource::Timer { .. }
        | Resource::Stdin
        | Resource::Reader(_)
        | Resource::Writer(_)
        | Resource::Lock(_)
        | Resource::SideModule(_)
        | Resource::Broadcast(_)
        | Resource::Worker(_)
        | Resource::ThreadMessage(_)
        | Resource::ChildProcess(_)
        | Resource::SyncResult(_)
        | Resource::Reply(_)
        | Resource::IpcChannel(_)
        | Resource::NativeHandle(_) => Err(data_clone(format!("{handle} could not be cloned."))),
    }
}

/// Whether one of these handles is the other end of `source`.
pub(super) fn holds_target(state: &IsolateState, source: &PortEnd, list: &[Handle]) -> bool {
    list.iter()
        .any(|handle| matches!(state.handles.get(*handle), Ok(Resource::Port(end)) if end.is_peer_of(source)))
}

/// Lets the isolate own what it received; gives handle and kind.
pub(crate) fn admit(state: &mut IsolateState, resource: Transferred) -> Result<(Handle, ResourceKind)> {
    let kind = resource.kind();
    let handle = match resource {
        Transferred::Port(end) => {
            state.handles.check_ports(1)?;
            own_port(state, end)?
        }
        Transferred::Module(module) => state.handles.insert(Resource::Module(module), false)?,
        // Without the grant it cannot be mapped.
        Transferred::SharedBuffer(buffer) => state.handles.insert(Resource::SharedBuffer(buffer), false)?,
        Transferred::ArrayBuffer(pages) => state.handles.insert(Resource::ArrayBuffer(pages), false)?,
    };
    Ok((handle, kind))
}

/// Lets the isolate own one end of a channel, however many ports it has.
pub(crate) fn own_port(state: &mut IsolateState, mut end: PortEnd) -> Result<Handle> {
    let owner = Owner::source(state);
    let handle = state.handles.insert_with(true, |handle| {
        end.attach(owner(handle));
        Resource::Port(end)
    })?;
    state.handles.set_referenced(handle, false)?;
    state.forget_stale_events();
    Ok(handle)
}
