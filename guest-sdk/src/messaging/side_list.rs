//! Resources on their way through serde. While a message is encoded, types that stand for a handle put it into the
//! side list and write its place; while one is decoded they claim the entry at that place.

use std::any::Any;
use std::collections::BTreeMap;
use std::rc::Rc;

use nodule_abi::resource::ResourceKind;
use nodule_abi::value::Value;
use serde::de::{self, Deserialize as _, Deserializer};
use serde::ser::{self, Serialize as _, Serializer};

use crate::error::Error;
use crate::sys::messaging::RawMessage;
use crate::sys::{self, IsolateCell};

/// The side list of a message that is being encoded.
#[derive(Default)]
struct Outgoing {
    handles: Vec<u32>,
    places: BTreeMap<u32, u32>,
    /// Why a type of ours, or of the guest's author, refused.
    failure: Option<Error>,
}

/// The side list of a message that is being decoded.
#[derive(Default)]
struct Incoming {
    entries: Vec<Entry>,
    /// What was made of the entries, so that each reader of the message gets the same.
    kept: Vec<Rc<dyn Any>>,
}

struct Entry {
    handle: u32,
    kind: Option<ResourceKind>,
    is_claimed: bool,
}

thread_local! {
    static OUTGOING: IsolateCell<Option<Outgoing>> = const { IsolateCell::new(None) };
    static INCOMING: IsolateCell<Option<Incoming>> = const { IsolateCell::new(None) };
}

fn outgoing<R>(use_list: impl FnOnce(&mut Option<Outgoing>) -> R) -> R {
    OUTGOING.with(|list| list.with(use_list))
}

fn incoming<R>(use_list: impl FnOnce(&mut Option<Incoming>) -> R) -> R {
    INCOMING.with(|list| list.with(use_list))
}

impl Outgoing {
    fn place(&mut self, handle: u32) -> u32 {
        let next = u32::try_from(self.handles.len()).unwrap_or(u32::MAX);
        let handles = &mut self.handles;
        *self.places.entry(handle).or_insert_with(|| {
            handles.push(handle);
            next
        })
    }
}

/// Runs `encode` with a side list that begins with `first`; gives the list. An error that a type reported with
/// [`clone_error`] takes the place of the encoder's.
pub(crate) fn encoding<E: Into<Error>>(
    first: &[u32],
    encode: impl FnOnce() -> Result<(), E>,
) -> Result<Vec<u32>, Error> {
    let mut list = Outgoing::default();
    for handle in first {
        list.place(*handle);
    }
    // A type may post a message of its own while it is encoded.
    let outer = outgoing(|current| current.replace(list));
    let result = encode();
    let list = outgoing(|current| std::mem::replace(current, outer)).unwrap_or_default();
    match result {
        Ok(()) => Ok(list.handles),
        Err(error) => Err(list.failure.unwrap_or_else(|| error.into())),
    }
}

/// Puts `handle` into the side list and writes its place.
///
/// # Errors
/// No message is being encoded, or the serializer fails.
pub(crate) fn serialize_handle<S: Serializer>(handle: u32, serializer: S) -> Result<S::Ok, S::Error> {
    match outgoing(|list| list.as_mut().map(|list| list.place(handle))) {
        Some(place) => Value::Resource(place).serialize(serializer),
        None => Err(ser::Error::custom("a resource can only be written into a message")),
    }
}

/// Whether `handle` is in the side list of the message that is being encoded, as what is in a transfer list is from the
/// start.
pub(crate) fn has_handle(handle: u32) -> bool {
    outgoing(|list| list.as_ref().is_some_and(|list| list.places.contains_key(&handle)))
}

/// Makes `error` the result of posting the message that is being encoded: for types whose `Serialize` can fail with an
/// error that has a name and a code.
///
/// ```no_run
/// use nodule_sdk::{Error, worker_threads};
///
/// struct Account;
///
/// impl serde::Serialize for Account {
///     fn serialize<S: serde::Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
///         Err(worker_threads::clone_error(Error::new("no balance").coded("NO_BALANCE")))
///     }
/// }
/// ```
pub fn clone_error<E: ser::Error>(error: impl Into<Error>) -> E {
    let error = error.into();
    let text = error.to_string();
    outgoing(|list| {
        if let Some(list) = list {
            list.failure = Some(error);
        }
    });
    E::custom(text)
}

/// Begins to decode a message; its resources can be claimed from now on.
pub(crate) fn begin(message: &RawMessage) {
    // After a trap the side list of the message before is still here.
    end();
    let entries: Vec<_> = message
        .resources()
        .map(|(handle, kind)| Entry {
            handle,
            kind,
            is_claimed: false,
        })
        .collect();
    if !entries.is_empty() {
        let list = Incoming {
            entries,
            kept: Vec::new(),
        };
        incoming(|current| *current = Some(list));
    }
}

/// Closes what nobody claimed.
pub(crate) fn end() {
    let Some(list) = incoming(Option::take) else { return };
    for entry in list.entries.iter().filter(|entry| !entry.is_claimed) {
        // It is open: nobody else knows it.
        let _ = sys::close(entry.handle);
    }
}

/// Reads the place of a resource and claims it; gives its handle. The same place gives the same handle.
///
/// # Errors
/// There is no resource of this kind, or the deserializer fails.
pub(crate) fn deserialize_handle<'de, D: Deserializer<'de>>(
    kind: ResourceKind,
    deserializer: D,
) -> Result<u32, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let Value::Resource(place) = value.unshared() else {
        return Err(de::Error::custom(format_args!(
            "expected a {}, got {}",
            kind.name(),
            value.describe()
        )));
    };
    claim(*place as usize, kind).ok_or_else(|| de::Error::custom(format_args!("there is no such {}", kind.name())))
}

/// Claims the resource at a place, if it is of this kind.
pub(crate) fn claim(place: usize, kind: ResourceKind) -> Option<u32> {
    incoming(|list| {
        let entry = list.as_mut()?.entries.get_mut(place)?;
        if entry.kind != Some(kind) {
            return None;
        }
        entry.is_claimed = true;
        Some(entry.handle)
    })
}

/// Claims all resources of a kind, in order.
pub(crate) fn claim_all(kind: ResourceKind) -> Vec<u32> {
    let count = incoming(|list| list.as_ref().map_or(0, |list| list.entries.len()));
    (0..count).filter_map(|place| claim(place, kind)).collect()
}

/// What was made of a resource of this message before, if `is_it`.
pub(crate) fn kept<T: 'static>(is_it: impl Fn(&T) -> bool) -> Option<Rc<T>> {
    incoming(|list| {
        let mut kept = list.as_ref()?.kept.iter().cloned();
        kept.find_map(|resource| resource.downcast::<T>().ok().filter(|resource| is_it(resource)))
    })
}

/// Keeps what was made of a resource until the message is dealt with.
pub(crate) fn keep(resource: Rc<dyn Any>) {
    incoming(|list| {
        if let Some(list) = list {
            list.kept.push(resource);
        }
    });
}
