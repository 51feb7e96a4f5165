//! Containers of which [`decode`](super::decode) has read a part.

use super::Value;
use super::error::{DecodeError, DecodeErrorKind};
use super::kinds::{ErrorValue, Object, SparseArray};
use super::wire::{Reader, major};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A container whose members are being read.
pub(super) struct Frame {
    pub container: Container,
    /// Members that have not begun yet.
    pub left: usize,
    /// The id of a shared container.
    pub shared: Option<u32>,
    /// Where the container begins.
    pub start: usize,
}

pub(super) enum Container {
    Array(Vec<Value>),
    Set(Vec<Value>),
    Object {
        entries: Vec<(String, Value)>,
        key: String,
    },
    ErrorRecord {
        entries: Vec<(String, Value)>,
        key: String,
    },
    /// The key of the entry whose value comes next.
    Map {
        pairs: Vec<(Value, Value)>,
        key: Option<Value>,
    },
    Sparse {
        length: u32,
        elements: Vec<(u32, Value)>,
        named: Vec<(String, Value)>,
        key: SparseKey,
    },
    Error(Box<ErrorValue>),
}

/// The key of the member of a sparse array that comes next.
pub(super) enum SparseKey {
    Index(u32),
    Name(String),
}

impl Frame {
    /// Takes a member that has been read.
    pub fn accept(&mut self, value: Value) {
        match &mut self.container {
            Container::Array(values) | Container::Set(values) => values.push(value),
            Container::Object { entries, key } | Container::ErrorRecord { entries, key } => {
                entries.push((core::mem::take(key), value));
            }
            Container::Map { pairs, key } => match key.take() {
                Some(key) => pairs.push((key, value)),
                None => *key = Some(value),
            },
            Container::Sparse {
                elements, named, key, ..
            } => match key {
                SparseKey::Index(index) => elements.push((*index, value)),
                SparseKey::Name(name) => named.push((core::mem::take(name), value)),
            },
            Container::Error(error) => error.cause = Some(value),
        }
    }

    /// Reads what precedes the next member; false when there is none.
    pub fn advance(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        while self.left > 0 {
            self.left -= 1;
            match &mut self.container {
                Container::Array(_) | Container::Set(_) | Container::Map { .. } => {}
                Container::Object { key, .. } | Container::ErrorRecord { key, .. } => {
                    *key = reader.text()?.to_string();
                }
                Container::Sparse {
                    length,
                    elements,
                    named,
                    key,
                } => {
                    *key = sparse_key(reader, *length, elements, named)?;
                }
                Container::Error(error) => {
                    if !error_member(reader, error)? {
                        continue;
                    }
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// The value of the container, now that all its members are there.
    pub fn close(self) -> Result<Value, DecodeError> {
        let start = self.start;
        let object = |entries| Object::from_unique(entries).map_err(|_| DecodeErrorKind::DuplicateKey.at(start));
        let value = match self.container {
            Container::Array(elements) => Value::Array(elements),
            Container::Set(members) => Value::Set(members),
            Container::Object { entries, .. } => Value::Object(object(entries)?),
            Container::ErrorRecord { entries, .. } => Value::ErrorRecord(object(entries)?),
            Container::Map { pairs, .. } => Value::Map(pairs),
            Container::Sparse {
                length,
                elements,
                named,
                ..
            } => {
                let array = SparseArray {
                    length,
                    elements,
                    named: object(named)?,
                };
                if !array.is_valid() {
                    return Err(DecodeErrorKind::Invalid("sparse array").at(start));
                }
                if array.is_dense() {
                    return Err(DecodeErrorKind::NotCanonical.at(start));
                }
                Value::SparseArray(Box::new(array))
            }
            Container::Error(error) => Value::Error(error),
        };
        Ok(match self.shared {
            Some(id) => Value::Shared(id, Box::new(value)),
            None => value,
        })
    }
}

/// The next key of a sparse array: indexes first, ascending.
fn sparse_key(
    reader: &mut Reader<'_>,
    length: u32,
    elements: &[(u32, Value)],
    named: &[(String, Value)],
) -> Result<SparseKey, DecodeError> {
    if reader.peek_major()? != major::UNSIGNED {
        return reader.text().map(|name| SparseKey::Name(name.to_string()));
    }
    let start = reader.position();
    let index = reader.unsigned()?;
    let ascending = elements.last().is_none_or(|(last, _)| u64::from(*last) < index) && named.is_empty();
    match u32::try_from(index) {
        Ok(index) if index < length && ascending => Ok(SparseKey::Index(index)),
        _ => Err(DecodeErrorKind::Invalid("sparse array").at(start)),
    }
}

/// Reads a member of an error; true when it is the cause, whose value comes next.
fn error_member(reader: &mut Reader<'_>, error: &mut ErrorValue) -> Result<bool, DecodeError> {
    let start = reader.position();
    let slot = match reader.text()? {
        "message" => &mut error.message,
        "stack" => &mut error.stack,
        "cause" if error.cause.is_none() => return Ok(true),
        "cause" => return Err(DecodeErrorKind::DuplicateKey.at(start)),
        _ => return Err(DecodeErrorKind::Invalid("error").at(start)),
    };
    if slot.is_some() {
        return Err(DecodeErrorKind::DuplicateKey.at(start));
    }
    *slot = Some(reader.text()?.to_string());
    Ok(false)
}
