//! Structured values as CBOR: what `postMessage`, IPC and the imports exchange.
//!
//! One value is one CBOR item (RFC 8949; typed arrays RFC 8746; shared and cyclic references tags 28 and 29).
//! There are two ways to it, which produce the same bytes:
//! - [`Value`], a tree that holds every kind, with [`encode`] and [`decode`];
//! - serde types, with [`to_vec`] and [`from_slice`], which write to and read from the bytes directly.
//!
//! There is one encoding per value. Decoders refuse anything else: longer heads or floats than needed, indefinite
//! lengths, unknown tags, trailing bytes, duplicate keys of an object. Lengths are compared with the
//! remaining input before anything is allocated, and nesting is bounded by
//! [`VALUE_DEPTH_MAX`](crate::limits::VALUE_DEPTH_MAX).
//!
//! # Identity and cycles
//! [`Value::Shared`] marks the first occurrence of a value that occurs again, under an id that is unique within
//! the tree; [`Value::Ref`] with that id stands at the later places, also inside the shared value itself (a
//! cycle). Ids in a decoded tree count from 0 in reading order; in a tree to encode they can be any numbers.
//!
//! # serde mapping
//! | Rust | value |
//! |---|---|
//! | `()`, `None` | null (undefined is read as well) |
//! | integers up to 53 bit, floats | number |
//! | other integers | bigint (any bigint in range is read into an integer type) |
//! | `str`, `char`, unit variant | string |
//! | [`Bytes`] and other types that use `serialize_bytes` | `Uint8Array` |
//! | sequences, tuples | array (sets and typed arrays are read as well) |
//! | structs, maps whose keys are all strings | plain object (error records are read as well) |
//! | other maps | `Map` |
//! | sets with `#[serde(with = "nodule_abi::value::as_set")]` | `Set` |
//! | [`Date`], [`BigInt`], [`ErrorValue`], [`Value`] | themselves |
//!
//! Enums are externally tagged, as serde does by default. Serde types are trees: a reference to a shared value is read
//! as a copy, a cycle is an error; keep such parts in a field of type [`Value`].

mod bigint;
mod convert;
mod de;
mod decode;
mod decode_frame;
mod decode_leaf;
mod describe;
mod encode;
mod error;
mod kinds;
mod ser;
mod serde_kinds;
mod shared;
mod typed_elements;
mod wire;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

pub use bigint::{BigInt, BigIntRangeError};
pub use de::from_slice;
pub use decode::decode;
pub use encode::encode;
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use kinds::{
    ArrayBuffer, Date, ErrorKind, ErrorValue, Object, Primitive, RegExp, SparseArray, TypedArray, TypedArrayKind, View,
    ViewKind,
};
pub use ser::{append, to_vec};
pub use serde_kinds::{Bytes, as_set};

/// A structured value of any kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// `undefined`.
    #[default]
    Undefined,
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number. All NaNs are the same value once encoded.
    Number(f64),
    /// A bigint.
    BigInt(BigInt),
    /// A string.
    String(String),
    /// A string with lone surrogates, as UTF-16 code units. Without any it is encoded as a string and read as
    /// [`Value::String`].
    Wtf16(Vec<u16>),
    /// A plain object.
    Object(Object),
    /// An array without holes and without named members.
    Array(Vec<Value>),
    /// An array with holes or named members. Without any it is encoded as an array.
    SparseArray(Box<SparseArray>),
    /// A `Map`. Keys are not compared: a receiver that meets an equal key twice keeps the later entry.
    Map(Vec<(Value, Value)>),
    /// A `Set`. Members are not compared.
    Set(Vec<Value>),
    /// A `Date`.
    Date(Date),
    /// A `RegExp`.
    RegExp(Box<RegExp>),
    /// A `Boolean`, `Number`, `String` or `BigInt` object.
    Boxed(Box<Primitive>),
    /// An error of one of JavaScript's own classes.
    Error(Box<ErrorValue>),
    /// An error with all its members, as `'error'` events and IPC carry it.
    ErrorRecord(Object),
    /// An `ArrayBuffer`.
    ArrayBuffer(ArrayBuffer),
    /// A typed array over all of a buffer of its own.
    TypedArray(TypedArray),
    /// Any other view of a buffer.
    View(Box<View>),
    /// The entry with this index of the message's side list of resources.
    Resource(u32),
    /// The first occurrence of a value of an object kind that [`Value::Ref`]s refer to by this id.
    Shared(u32, Box<Value>),
    /// A further occurrence of the [`Value::Shared`] with this id.
    Ref(u32),
}

impl Value {
    /// A plain object of these members. Of equal keys the last value counts.
    pub fn object<K: Into<String>, V: Into<Value>>(members: impl IntoIterator<Item = (K, V)>) -> Self {
        Value::Object(members.into_iter().collect())
    }

    /// An array of these elements.
    pub fn array<V: Into<Value>>(elements: impl IntoIterator<Item = V>) -> Self {
        Value::Array(elements.into_iter().map(Into::into).collect())
    }

    /// A string of these UTF-16 code units.
    pub fn from_utf16(units: &[u16]) -> Self {
        String::from_utf16(units).map_or_else(|_| Value::Wtf16(units.to_vec()), Value::String)
    }

    /// The value itself, without the marks of sharing around it.
    pub fn unshared(&self) -> &Value {
        let mut value = self;
        while let Value::Shared(_, inner) = value {
            value = inner;
        }
        value
    }

    /// The member `key` of a plain object or error record.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object().and_then(|object| object.get(key))
    }

    /// The members of a plain object or error record.
    pub fn as_object(&self) -> Option<&Object> {
        match self.unshared() {
            Value::Object(object) | Value::ErrorRecord(object) => Some(object),
            _ => None,
        }
    }

    /// The elements of an array without holes.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self.unshared() {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of an `ArrayBuffer` or `Uint8Array`.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self.unshared() {
            Value::ArrayBuffer(buffer) => Some(&buffer.bytes),
            Value::TypedArray(TypedArray {
                kind: TypedArrayKind::Uint8,
                bytes,
            }) => Some(bytes),
            _ => None,
        }
    }

    /// A number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A number that is an integer of at most 53 bits; not negative zero.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_f64().and_then(wire::safe_integer)
    }

    /// A number that is an integer in the range of `u32`; not negative zero.
    pub fn as_u32(&self) -> Option<u32> {
        self.as_i64().and_then(|integer| u32::try_from(integer).ok())
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// Whether this is `undefined` or `null`.
    pub fn is_nullish(&self) -> bool {
        matches!(self, Value::Undefined | Value::Null)
    }

    /// Whether this is of an object kind, which has an identity and can be shared. Marks of sharing are not.
    pub fn is_object_kind(&self) -> bool {
        match self {
            Value::Undefined
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::BigInt(_)
            | Value::String(_)
            | Value::Wtf16(_)
            | Value::Shared(..)
            | Value::Ref(_) => false,
            Value::Object(_)
            | Value::Array(_)
            | Value::SparseArray(_)
            | Value::Map(_)
            | Value::Set(_)
            | Value::Date(_)
            | Value::RegExp(_)
            | Value::Boxed(_)
            | Value::Error(_)
            | Value::ErrorRecord(_)
            | Value::ArrayBuffer(_)
            | Value::TypedArray(_)
            | Value::View(_)
            | Value::Resource(_) => true,
        }
    }
}
