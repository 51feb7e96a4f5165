//! Structured clones within the isolate.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::received;
use super::transfer::{self, TransferList};
use crate::error::Result;
use crate::sys;

/// A deep copy of `value`, as a receiver of it would get it (Node: `structuredClone`).
///
/// # Errors
/// `DataCloneError` for what cannot be cloned, or when the clone does not fit `U`. Errors of `Serialize`
/// implementations come unchanged.
pub fn structured_clone<T: Serialize + ?Sized, U: DeserializeOwned>(value: &T) -> Result<U> {
    structured_clone_with(value, &[])
}

/// As [`structured_clone`]; what is in `transfer` moves into the clone.
///
/// # Errors
/// As [`structured_clone`], and those of
/// [`MessagePort::post_message_with`](super::MessagePort::post_message_with).
pub fn structured_clone_with<T: Serialize + ?Sized, U: DeserializeOwned>(
    value: &T,
    transfer: TransferList<'_>,
) -> Result<U> {
    let encoded = transfer::encode(0, value, transfer)?;
    let mut message = received::buffers();
    encoded.send(|encoded| sys::messaging::clone_message(encoded, &mut message))?;
    received::read(message)
}
