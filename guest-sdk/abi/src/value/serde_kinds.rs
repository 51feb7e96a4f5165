//! How [`Value`] and the kinds that serde has no notion of pass through it.

use super::decode::decode;
use super::encode::Encoder;
use super::wire::Writer;
use super::{BigInt, Date, DecodeError, EncodeError, ErrorValue, Object, TypedArray, TypedArrayKind, Value};
use super::{from_slice, to_vec};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer};
use serde::ser::{self, Serialize, Serializer};

/// Name of the newtype struct, and key of the map, that carry a whole value through serde.
pub(super) const RAW_TOKEN: &str = "$nodule_abi::value::Value";
/// Name of the newtype struct around the sequence of a set.
pub(super) const SET_TOKEN: &str = "$nodule_abi::value::Set";

/// An encoded value on its way into a serializer: nesting, number of tags 28 and the CBOR item.
pub(super) struct RawValue<'a> {
    depth: u32,
    shared: u32,
    item: &'a [u8],
}

impl<'a> RawValue<'a> {
    /// Bytes of the two numbers before the item.
    const HEAD_BYTES: usize = 8;

    fn bytes_of(value: &Value) -> Result<Vec<u8>, EncodeError> {
        let mut encoder = Encoder::new(Writer::new([0; Self::HEAD_BYTES].to_vec()), 0);
        encoder.run(value)?;
        let counts = [encoder.depth, encoder.shared_count()].map(u32::try_from);
        let [Ok(depth), Ok(shared)] = counts else {
            return Err(EncodeError::TooDeep);
        };
        let mut bytes = encoder.writer.into_bytes();
        bytes[..4].copy_from_slice(&depth.to_le_bytes());
        bytes[4..Self::HEAD_BYTES].copy_from_slice(&shared.to_le_bytes());
        Ok(bytes)
    }

    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (depth, rest) = bytes.split_first_chunk()?;
        let (shared, item) = rest.split_first_chunk()?;
        Some(RawValue {
            depth: u32::from_le_bytes(*depth),
            shared: u32::from_le_bytes(*shared),
            item,
        })
    }

    pub fn depth(&self) -> usize {
        usize::try_from(self.depth).unwrap_or(usize::MAX)
    }

    pub fn shared(&self) -> u32 {
        self.shared
    }

    pub fn item(&self) -> &'a [u8] {
        self.item
    }
}

/// A byte string for serde, written as `Uint8Array`. (`Vec<u8>` is a sequence of numbers to serde.)
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor).map(Bytes)
    }
}

struct BytesVisitor;

impl<'de> de::Visitor<'de> for BytesVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = elements.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}

/// Passes a Rust set as a `Set`: `#[serde(with = "nodule_abi::value::as_set")]`. Arrays are read as well.
pub mod as_set {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes a `Set`.
    ///
    /// # Errors
    /// `set` is not a sequence to serde, or one of its members fails.
    pub fn serialize<T: Serialize, S: Serializer>(set: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(super::SET_TOKEN, set)
    }

    /// Reads a `Set` or an array.
    ///
    /// # Errors
    /// There is something else, or one of the members does not fit.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

impl Value {
    /// The value that a serde type is written as.
    ///
    /// # Errors
    /// As [`to_vec`].
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        decode(&to_vec(value)?).map_err(ser::Error::custom)
    }

    /// Reads the value into a serde type.
    ///
    /// # Errors
    /// The value has no encoding, or does not fit the type.
    pub fn deserialize_into<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        from_slice(&super::encode(self).map_err(de::Error::custom)?)
    }
}

/// For this module's serializer only: other formats have no notion of most kinds.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return Err(ser::Error::custom(
                "a structured value can only be written as CBOR by nodule_abi::value",
            ));
        }
        let bytes = RawValue::bytes_of(self).map_err(ser::Error::custom)?;
        serializer.serialize_newtype_struct(RAW_TOKEN, &Bytes(bytes))
    }
}

/// From other formats (also through serde's own buffers, as in untagged enums) only the kinds that serde knows are read.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(RAW_TOKEN, ValueVisitor)
    }
}

struct ValueVisitor;

/// Visitor methods whose argument `Value: From` takes.
macro_rules! visit_from {
    ($($method:ident: $type:ty),*) => {$(
        fn $method<E: de::Error>(self, value: $type) -> Result<Value, E> {
            Ok(value.into())
        }
    )*};
}

impl<'de> de::Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a structured value")
    }

    visit_from! {
        visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64,
        visit_str: &str, visit_string: String
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::TypedArray(TypedArray {
            kind: TypedArrayKind::Uint8,
            bytes: bytes.to_vec(),
        }))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(key) = access.next_key::<Value>()? {
            if pairs.is_empty() && key.as_str() == Some(RAW_TOKEN) {
                let Bytes(item) = access.next_value()?;
                return decode(&item).map_err(de::Error::custom);
            }
            pairs.push((key, access.next_value()?));
        }
        if pairs.iter().any(|(key, _)| !matches!(key, Value::String(_))) {
            return Ok(Value::Map(pairs));
        }
        let members = pairs.into_iter().filter_map(|(key, value)| match key {
            Value::String(key) => Some((key, value)),
            _ => None,
        });
        Ok(Value::Object(members.collect::<Object>()))
    }
}

/// Serde for a kind, by way of [`Value`].
macro_rules! serde_by_value {
    ($type:ty, $into:expr, $pattern:pat => $from:expr, $expected:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $into(self.clone()).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match Value::deserialize(deserializer)? {
                    $pattern => Ok($from),
                    other => Err(de::Error::custom(format_args!(
                        "expected {}, got {}",
                        $expected,
                        other.describe()
                    ))),
                }
            }
        }
    };
}

serde_by_value!(Date, Value::Date, Value::Date(date) => date, "a Date");
serde_by_value!(BigInt, Value::BigInt, Value::BigInt(integer) => integer, "a bigint");
serde_by_value!(Object, Value::Object, Value::Object(object) => object, "a plain object");
serde_by_value!(ErrorValue, Value::from, Value::Error(error) => *error, "an error");
