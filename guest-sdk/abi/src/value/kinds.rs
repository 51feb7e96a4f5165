//! The kinds of values that have parts, and the rules of those parts.

use super::Value;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Largest distance of a [`Date`] from the epoch in milliseconds, as in JavaScript.
const DATE_MS_MAX: u64 = 8_640_000_000_000_000;
/// The flags of regular expressions, in the order of `RegExp.prototype.flags`.
const REG_EXP_FLAGS: &str = "dgimsuvy";

/// The members of a plain object: text keys, each once, in insertion order. Lookup is linear.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(Vec<(String, Value)>);

impl Object {
    /// An object without members.
    pub fn new() -> Self {
        Object::default()
    }

    /// The member `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Sets the member `key` and returns its old value. An existing member keeps its place.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        if let Some((_, old)) = self.0.iter_mut().find(|(name, _)| *name == key) {
            return Some(core::mem::replace(old, value));
        }
        self.0.push((key, value));
        None
    }

    /// Removes the member `key` and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(index).1)
    }

    /// The members in order.
    pub fn entries(&self) -> &[(String, Value)] {
        &self.0
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object of these members, which are returned when a key occurs twice.
    pub(super) fn from_unique(entries: Vec<(String, Value)>) -> Result<Self, Vec<(String, Value)>> {
        let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            Err(entries)
        } else {
            Ok(Object(entries))
        }
    }
}

/// Of equal keys the first place and the last value count, as in a JavaScript object literal.
impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        let entries = members
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        Object::from_unique(entries).unwrap_or_else(|entries| {
            let mut places = BTreeMap::new();
            let mut object = Object::new();
            for (key, value) in entries {
                let place = *places.entry(key.clone()).or_insert(object.0.len());
                match object.0.get_mut(place) {
                    Some((_, old)) => *old = value,
                    None => object.0.push((key, value)),
                }
            }
            object
        })
    }
}

impl IntoIterator for Object {
    type Item = (String, Value);
    type IntoIter = vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// An array with holes or named members.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SparseArray {
    /// The `length` of the array.
    pub length: u32,
    /// The elements that exist: index (below `length`, ascending) and value.
    pub elements: Vec<(u32, Value)>,
    /// Other members. No key is an array index.
    pub named: Object,
}

impl SparseArray {
    /// Whether this is an ordinary array: no holes, no named members.
    pub fn is_dense(&self) -> bool {
        self.named.is_empty() && u32::try_from(self.elements.len()) == Ok(self.length)
    }

    pub(super) fn is_valid(&self) -> bool {
        self.elements.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && self.elements.last().is_none_or(|(index, _)| *index < self.length)
            && !self.named.entries().iter().any(|(name, _)| is_array_index(name))
    }
}

/// Whether a member of this name is an element in JavaScript: a decimal integer up to 2^32 - 2, written canonically.
fn is_array_index(name: &str) -> bool {
    let canonical = name == "0" || (!name.starts_with(['0', '+']) && !name.is_empty());
    canonical && name.parse::<u32>().is_ok_and(|index| index < u32::MAX)
}

/// A point in time in milliseconds since the epoch, or an invalid date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(Option<i64>);

impl Date {
    /// The invalid date.
    pub const INVALID: Date = Date(None);

    /// From this distance of the epoch on, float seconds do not keep milliseconds.
    pub(super) const FLOAT_MS_MAX: u64 = 1 << 51;

    /// The date `ms` milliseconds after the epoch; invalid when out of JavaScript's range of ±8.64e15.
    pub fn from_ms(ms: i64) -> Self {
        Date((ms.unsigned_abs() <= DATE_MS_MAX).then_some(ms))
    }

    /// Milliseconds since the epoch, unless the date is invalid.
    pub fn ms(self) -> Option<i64> {
        self.0
    }
}

/// A regular expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegExp {
    /// The pattern.
    pub source: String,
    /// Some letters of `dgimsuvy`, in this order.
    pub flags: String,
}

impl RegExp {
    pub(super) fn is_valid(&self) -> bool {
        let mut known = REG_EXP_FLAGS.chars();
        self.flags.chars().all(|flag| known.any(|letter| letter == flag))
    }
}

/// The content of a `Boolean`, `Number`, `String` or `BigInt` object.
#[derive(Debug, Clone, PartialEq)]
pub enum Primitive {
    /// Of a `Boolean`.
    Boolean(bool),
    /// Of a `Number`.
    Number(f64),
    /// Of a `String`.
    String(String),
    /// Of a `String` with lone surrogates, as UTF-16 code units.
    Wtf16(Vec<u16>),
    /// Of a `BigInt`.
    BigInt(super::BigInt),
}

impl Primitive {
    /// The class of the object.
    pub fn class(&self) -> &'static str {
        match self {
            Primitive::Boolean(_) => "Boolean",
            Primitive::Number(_) => "Number",
            Primitive::String(_) | Primitive::Wtf16(_) => "String",
            Primitive::BigInt(_) => "BigInt",
        }
    }
}

/// Defines an enum whose variants have JavaScript names.
macro_rules! named_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every variant.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The name in JavaScript.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// The inverse of [`name`](Self::name).
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some($name::$variant),)* _ => None }
            }
        }
    };
}

named_enum! {
    /// The classes of errors that structured clone keeps.
    ErrorKind {
        /// `Error`; also what errors of other classes become.
        Error = "Error",
        /// `EvalError`.
        EvalError = "EvalError",
        /// `RangeError`.
        RangeError = "RangeError",
        /// `ReferenceError`.
        ReferenceError = "ReferenceError",
        /// `SyntaxError`.
        SyntaxError = "SyntaxError",
        /// `TypeError`.
        TypeError = "TypeError",
        /// `URIError`.
        UriError = "URIError",
    }
}

/// An error as structured clone keeps it. [`Value::ErrorRecord`] keeps all members.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorValue {
    /// The class.
    pub kind: ErrorKind,
    /// The message.
    pub message: Option<String>,
    /// The stack trace.
    pub stack: Option<String>,
    /// What caused the error.
    pub cause: Option<Value>,
}

impl ErrorValue {
    /// An error with a message only.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        ErrorValue {
            kind,
            message: Some(message.into()),
            stack: None,
            cause: None,
        }
    }
}

/// An `ArrayBuffer`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ArrayBuffer {
    /// The content.
    pub bytes: Vec<u8>,
    /// The largest size of a resizable buffer, at least its current size and at most 2^53 - 1.
    pub max_byte_length: Option<u64>,
}

impl ArrayBuffer {
    pub(super) fn is_valid(&self) -> bool {
        self.max_byte_length
            .is_none_or(|max| max >= self.bytes.len() as u64 && max <= super::wire::SAFE_INTEGER_MAX)
    }
}

named_enum! {
    /// The classes of typed arrays.
    TypedArrayKind {
        /// `Uint8Array`, also Node's `Buffer`.
        Uint8 = "Uint8Array",
        /// `Uint8ClampedArray`.
        Uint8Clamped = "Uint8ClampedArray",
        /// `Uint16Array`.
        Uint16 = "Uint16Array",
        /// `Uint32Array`.
        Uint32 = "Uint32Array",
        /// `BigUint64Array`.
        BigUint64 = "BigUint64Array",
        /// `Int8Array`.
        Int8 = "Int8Array",
        /// `Int16Array`.
        Int16 = "Int16Array",
        /// `Int32Array`.
        Int32 = "Int32Array",
        /// `BigInt64Array`.
        BigInt64 = "BigInt64Array",
        /// `Float16Array`.
        Float16 = "Float16Array",
        /// `Float32Array`.
        Float32 = "Float32Array",
        /// `Float64Array`.
        Float64 = "Float64Array",
    }
}

impl TypedArrayKind {
    /// Bytes of one element.
    pub fn element_bytes(self) -> usize {
        match self {
            TypedArrayKind::Uint8 | TypedArrayKind::Uint8Clamped | TypedArrayKind::Int8 => 1,
            TypedArrayKind::Uint16 | TypedArrayKind::Int16 | TypedArrayKind::Float16 => 2,
            TypedArrayKind::Uint32 | TypedArrayKind::Int32 | TypedArrayKind::Float32 => 4,
            TypedArrayKind::BigUint64 | TypedArrayKind::BigInt64 | TypedArrayKind::Float64 => 8,
        }
    }

    /// The tag of RFC 8746, little-endian where it matters.
    pub(super) fn tag(self) -> u64 {
        match self {
            TypedArrayKind::Uint8 => 64,
            TypedArrayKind::Uint8Clamped => 68,
            TypedArrayKind::Uint16 => 69,
            TypedArrayKind::Uint32 => 70,
            TypedArrayKind::BigUint64 => 71,
            TypedArrayKind::Int8 => 72,
            TypedArrayKind::Int16 => 77,
            TypedArrayKind::Int32 => 78,
            TypedArrayKind::BigInt64 => 79,
            TypedArrayKind::Float16 => 84,
            TypedArrayKind::Float32 => 85,
            TypedArrayKind::Float64 => 86,
        }
    }

    /// The inverse of [`tag`](Self::tag).
    pub(super) fn from_tag(tag: u64) -> Option<Self> {
        TypedArrayKind::ALL.iter().copied().find(|kind| kind.tag() == tag)
    }
}

/// A typed array over all of a buffer of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TypedArray {
    /// The class.
    pub kind: TypedArrayKind,
    /// The elements, little-endian; a whole number of them.
    pub bytes: Vec<u8>,
}

impl TypedArray {
    pub(super) fn is_valid(&self) -> bool {
        self.bytes.len() % self.kind.element_bytes() == 0
    }
}

/// The class of a [`View`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViewKind {
    /// `DataView`.
    DataView,
    /// A typed array.
    TypedArray(TypedArrayKind),
}

impl ViewKind {
    /// The name in JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            ViewKind::DataView => "DataView",
            ViewKind::TypedArray(kind) => kind.name(),
        }
    }

    /// The inverse of [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "DataView" {
            return Some(ViewKind::DataView);
        }
        TypedArrayKind::from_name(name).map(ViewKind::TypedArray)
    }

    fn element_bytes(self) -> u64 {
        match self {
            ViewKind::DataView => 1,
            ViewKind::TypedArray(kind) => kind.element_bytes() as u64,
        }
    }
}

/// A view of a buffer that other values may use too.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The class.
    pub kind: ViewKind,
    /// An [`Value::ArrayBuffer`] or [`Value::Resource`], or either of them shared or referred to.
    pub buffer: Value,
    /// Where the view begins; a multiple of the element size.
    pub byte_offset: u64,
    /// Number of elements (of bytes for a `DataView`); `None` follows the size of a resizable buffer.
    pub length: Option<u64>,
}

/// What is known of a value in the place of a view's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Not a buffer at all.
    NotBuffer,
    /// A resource; only its receiver knows the size.
    Unknown,
    /// A buffer of this many bytes.
    Bytes(u64),
}

impl Extent {
    /// The extent of a value without marks of sharing.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::ArrayBuffer(buffer) => Extent::Bytes(buffer.bytes.len() as u64),
            Value::Resource(_) => Extent::Unknown,
            _ => Extent::NotBuffer,
        }
    }
}

impl View {
    /// Whether the view is aligned and lies within a buffer of this extent.
    pub(super) fn fits(&self, extent: Extent) -> bool {
        let element_bytes = self.kind.element_bytes();
        let end = self
            .length
            .unwrap_or_default()
            .checked_mul(element_bytes)
            .and_then(|byte_length| byte_length.checked_add(self.byte_offset))
            .filter(|end| *end <= super::wire::SAFE_INTEGER_MAX);
        let within = match (extent, end) {
            (Extent::NotBuffer, _) | (_, None) => false,
            (Extent::Unknown, Some(_)) => true,
            (Extent::Bytes(length), Some(end)) => end <= length,
        };
        within && self.byte_offset % element_bytes == 0
    }

    /// The class and bytes, when this is a typed array over all of a fixed-size buffer of its own.
    pub(super) fn as_plain(&self) -> Option<(TypedArrayKind, &[u8])> {
        match (self.kind, &self.buffer, self.byte_offset, self.length) {
            (
                ViewKind::TypedArray(kind),
                Value::ArrayBuffer(ArrayBuffer {
                    bytes,
                    max_byte_length: None,
                }),
                0,
                Some(length),
            ) if length.checked_mul(kind.element_bytes() as u64) == Some(bytes.len() as u64) => Some((kind, bytes)),
            _ => None,
        }
    }
}
