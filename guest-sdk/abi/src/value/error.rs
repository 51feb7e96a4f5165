//! What can go wrong between values and bytes.

use alloc::string::{String, ToString};
use core::fmt;

/// Why a value has no encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncodeError {
    /// Nested deeper than [`VALUE_DEPTH_MAX`](crate::limits::VALUE_DEPTH_MAX).
    TooDeep,
    /// Two `Shared` values have this id.
    DuplicateShared(u32),
    /// This `Shared` value is not of an object kind.
    NotShareable(u32),
    /// No `Shared` value with this id comes before the `Ref`.
    UnknownRef(u32),
    /// The value breaks a rule of its kind, such as a typed array with half an element.
    Invalid(&'static str),
    /// Reported by a `Serialize` implementation.
    Custom(String),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::TooDeep => f.write_str("value is nested too deeply"),
            EncodeError::DuplicateShared(id) => write!(f, "two shared values have the id {id}"),
            EncodeError::NotShareable(id) => {
                write!(f, "shared value {id} is not of an object kind")
            }
            EncodeError::UnknownRef(id) => write!(f, "no shared value with the id {id} comes before its reference"),
            EncodeError::Invalid(kind) => write!(f, "invalid {kind}"),
            EncodeError::Custom(message) => f.write_str(message),
        }
    }
}

impl core::error::Error for EncodeError {}

impl serde::ser::Error for EncodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        EncodeError::Custom(message.to_string())
    }
}

impl<E: fmt::Display> From<minicbor::encode::Error<E>> for EncodeError {
    fn from(error: minicbor::encode::Error<E>) -> Self {
        EncodeError::Custom(error.to_string())
    }
}

/// Why bytes are not a value, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// Byte offset of the item at fault; for [`DecodeErrorKind::Custom`] how far the input had been read.
    pub offset: usize,
}

/// The ways in which bytes are not a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The input ends within an item, or an announced length exceeds the remaining input.
    UnexpectedEnd,
    /// There are bytes after the item.
    TrailingBytes,
    /// Not well-formed CBOR (a reserved head, text that is not UTF-8).
    Malformed,
    /// CBOR, but not an item that values use (an indefinite length, an unknown tag).
    Unsupported,
    /// Not the one encoding of this value (a longer head or float than needed).
    NotCanonical,
    /// Nested deeper than [`VALUE_DEPTH_MAX`](crate::limits::VALUE_DEPTH_MAX).
    TooDeep,
    /// A member occurs twice in an object.
    DuplicateKey,
    /// A reference to a shared value that has not begun yet.
    InvalidRef,
    /// A mark of sharing on a value that is not of an object kind.
    NotShareable,
    /// The content breaks a rule of its kind, such as a typed array with half an element.
    Invalid(&'static str),
    /// Reported by a `Deserialize` implementation, or by [`from_slice`](super::from_slice) about a value that does
    /// not fit the type.
    Custom(String),
}

impl DecodeErrorKind {
    /// This error at `offset`.
    pub(super) fn at(self, offset: usize) -> DecodeError {
        DecodeError { kind: self, offset }
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecodeErrorKind::UnexpectedEnd => "unexpected end of input",
            DecodeErrorKind::TrailingBytes => "trailing bytes",
            DecodeErrorKind::Malformed => "malformed CBOR",
            DecodeErrorKind::Unsupported => "unsupported CBOR item",
            DecodeErrorKind::NotCanonical => "not the canonical encoding",
            DecodeErrorKind::TooDeep => "value is nested too deeply",
            DecodeErrorKind::DuplicateKey => "duplicate key",
            DecodeErrorKind::InvalidRef => "reference to no shared value",
            DecodeErrorKind::NotShareable => "shared value is not of an object kind",
            DecodeErrorKind::Invalid(kind) => return write!(f, "invalid {kind}"),
            DecodeErrorKind::Custom(message) => message,
        })
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.offset)
    }
}

impl core::error::Error for DecodeError {}

/// Offset of an error that serde reported; [`from_slice`](super::from_slice) replaces it.
pub(super) const OFFSET_UNKNOWN: usize = usize::MAX;

impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        DecodeErrorKind::Custom(message.to_string()).at(OFFSET_UNKNOWN)
    }
}
