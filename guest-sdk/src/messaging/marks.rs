//! Marks: what cannot be transferred, what cannot be cloned.

use nodule_abi::imports::messaging::marks;
use serde::{Serialize, Serializer};

use super::array_buffer::ArrayBuffer;
use super::port::MessagePort;
use super::side_list::clone_error;
use super::transfer::data_clone;
use crate::sys::messaging;
use crate::worker_threads::Module;

/// What can be marked: [`MessagePort`], [`ArrayBuffer`], [`Module`]. Other types cannot implement it.
pub trait Markable: Mark {}

mod sealed {
    /// How a type is marked.
    pub trait Mark {
        fn mark(&self, flags: u32);
        fn marks(&self) -> u32;
    }
}

use sealed::Mark;

/// Marks a handle; one that is closed cannot be sent anyway.
fn mark_handle(handle: u32, flags: u32) {
    let _ = messaging::mark(handle, flags);
}

impl Mark for MessagePort {
    fn mark(&self, flags: u32) {
        mark_handle(self.raw_handle(), flags);
    }

    fn marks(&self) -> u32 {
        messaging::marks(self.raw_handle()).unwrap_or(0)
    }
}

impl Mark for Module {
    fn mark(&self, flags: u32) {
        mark_handle(self.raw_handle(), flags);
    }

    fn marks(&self) -> u32 {
        messaging::marks(self.raw_handle()).unwrap_or(0)
    }
}

impl Mark for ArrayBuffer {
    fn mark(&self, flags: u32) {
        if flags & marks::UNTRANSFERABLE != 0 {
            self.mark_untransferable();
        }
    }

    fn marks(&self) -> u32 {
        if self.is_untransferable() {
            marks::UNTRANSFERABLE
        } else {
            0
        }
    }
}

impl Markable for MessagePort {}
impl Markable for Module {}
impl Markable for ArrayBuffer {}

/// From now on, `object` in a transfer list is a `DataCloneError` (Node: `markAsUntransferable`). It cannot be undone.
pub fn mark_as_untransferable(object: &impl Markable) {
    object.mark(marks::UNTRANSFERABLE);
}

/// Whether `object` was marked by [`mark_as_untransferable`] (Node: `isMarkedAsUntransferable`).
pub fn is_marked_as_untransferable(object: &impl Markable) -> bool {
    object.marks() & marks::UNTRANSFERABLE != 0
}

/// From now on, posting `object` is a `DataCloneError` (Node: `markAsUncloneable`). It cannot be undone, and has no
/// effect on buffers. A plain value is marked by wrapping it: [`Uncloneable`].
pub fn mark_as_uncloneable(object: &impl Markable) {
    object.mark(marks::UNCLONEABLE);
}

/// A value that cannot be cloned: a message that holds it is a `DataCloneError`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uncloneable<T>(pub T);

impl<T> Serialize for Uncloneable<T> {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(clone_error(data_clone(format!(
            "#<{}> could not be cloned.",
            std::any::type_name::<T>()
        ))))
    }
}
