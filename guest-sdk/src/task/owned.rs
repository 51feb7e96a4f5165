//! Handles that belong to a task. A trap takes a task's frames along without running destructors; what they would have
//! closed is closed here.

use std::collections::BTreeMap;

use super::{Key, TASKS};
use crate::event_loop;
use crate::sys::{self, IsolateCell};

thread_local! {
    static OWNED: IsolateCell<BTreeMap<u32, Key>> = const { IsolateCell::new(BTreeMap::new()) };
}

/// A handle of the host's that is closed when it is dropped, and when the task that used it last traps.
#[derive(Debug)]
pub(crate) struct OwnedHandle(u32);

impl OwnedHandle {
    /// Takes a handle over.
    pub(crate) fn new(handle: u32) -> Self {
        let owned = Self(handle);
        owned.use_in_current_task();
        owned
    }

    /// From now on it belongs to the task that is running.
    pub(crate) fn use_in_current_task(&self) {
        if let Some(key) = TASKS.with(|tasks| tasks.with(|tasks| tasks.current)) {
            OWNED.with(|owned| owned.with(|owned| owned.insert(self.0, key)));
        }
    }
}

impl Drop for OwnedHandle {
    fn drop(&mut self) {
        OWNED.with(|owned| owned.with(|owned| owned.remove(&self.0)));
        close(self.0);
    }
}

fn close(handle: u32) {
    event_loop::unregister(handle);
    // Already closed when its task trapped and its frames live on all the same, which only tests do.
    let _ = sys::close(handle);
}

/// Closes what belonged to a task whose frames are gone.
pub(super) fn abandon(key: Key) {
    let handles: Vec<u32> = OWNED.with(|owned| {
        owned.with(|owned| {
            let handles = owned
                .iter()
                .filter(|(_, owner)| **owner == key)
                .map(|(handle, _)| *handle);
            let handles: Vec<u32> = handles.collect();
            owned.retain(|_, owner| *owner != key);
            handles
        })
    });
    handles.into_iter().for_each(close);
}
