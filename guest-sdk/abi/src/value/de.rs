//! From bytes to serde types, without a tree in between.

use super::error::{DecodeError, DecodeErrorKind, OFFSET_UNKNOWN};
use super::serde_kinds::RAW_TOKEN;
use super::shared::Shared;
use super::typed_elements::TypedElements;
use super::wire::{Number, Reader, class, major, simple, tag};
use super::{BigInt, TypedArrayKind, decode, encode};
use crate::limits::VALUE_DEPTH_MAX;
use alloc::vec::Vec;
use serde::de::{self, Deserialize, DeserializeSeed, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Reads a value into a serde type, which can borrow strings and `Uint8Array`s from the bytes.
///
/// Fields and elements that the type ignores are checked to be CBOR only.
///
/// # Errors
/// The bytes are not exactly one canonically encoded value, or that does not fit the type.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    let mut deserializer = Deserializer {
        reader: Reader::new(bytes),
        depth: 0,
        shared: Shared::new(bytes.len()),
    };
    let result = T::deserialize(&mut deserializer).and_then(|value| deserializer.reader.finish().map(|()| value));
    result.map_err(|error| match error.offset {
        OFFSET_UNKNOWN => deserializer.reader.error(error.kind),
        _ => error,
    })
}

struct Deserializer<'de> {
    reader: Reader<'de>,
    /// Containers that are being read.
    depth: usize,
    shared: Shared,
}

/// What is to be undone when an item behind a mark of sharing has been read.
enum Scope {
    Plain,
    /// The item with this index is no longer open.
    Shared(usize),
    /// As `Shared`, and reading goes on at this position.
    Ref(usize, usize),
}

impl<'de> Deserializer<'de> {
    #[inline]
    fn error<T>(&self, kind: DecodeErrorKind) -> Result<T, DecodeError> {
        Err(self.reader.error(kind))
    }

    /// Reads a tag 28, or goes to where a tag 29 refers to.
    #[inline]
    fn enter(&mut self) -> Result<Scope, DecodeError> {
        if self.reader.peek_major()? != major::TAG {
            return Ok(Scope::Plain);
        }
        let start = self.reader.position();
        match self.reader.tag()? {
            tag::SHARED => {
                let index = self.shared.begin(self.reader.position());
                let content = self.reader.peek()?;
                let is_object = matches!(content >> 5, major::BYTES | major::ARRAY | major::MAP | major::TAG);
                let is_mark =
                    content == 0xd8 && matches!(self.reader.input().get(self.reader.position() + 1), Some(&(28 | 29)));
                if !is_object || is_mark {
                    return Err(DecodeErrorKind::NotShareable.at(start));
                }
                Ok(Scope::Shared(index))
            }
            tag::REF => {
                let index = self.reader.unsigned()?;
                let index = usize::try_from(index).map_err(|_| DecodeErrorKind::InvalidRef.at(start))?;
                let resume = self.reader.position();
                self.shared
                    .revisit(index, &mut self.reader)
                    .map_err(|kind| kind.at(start))?;
                Ok(Scope::Ref(index, resume))
            }
            _ => {
                self.reader.set_position(start);
                Ok(Scope::Plain)
            }
        }
    }

    #[inline]
    fn leave(&mut self, scope: Scope) {
        match scope {
            Scope::Plain => {}
            Scope::Shared(index) => self.shared.end(index),
            Scope::Ref(index, resume) => {
                self.shared.end(index);
                self.reader.set_position(resume);
            }
        }
    }

    /// Reads the item at the end of marks of sharing.
    #[inline]
    fn scoped<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        let scope = self.enter()?;
        let value = read(self)?;
        self.leave(scope);
        Ok(value)
    }

    /// Reads the members of a container by `visit`, which must take them all.
    #[inline]
    fn members<T>(
        &mut self,
        length: usize,
        visit: impl FnOnce(&mut Members<'_, 'de>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if self.depth >= VALUE_DEPTH_MAX {
            return self.error(DecodeErrorKind::TooDeep);
        }
        self.depth += 1;
        let mut members = Members {
            deserializer: self,
            left: length,
        };
        let value = visit(&mut members)?;
        let left = members.left;
        self.depth -= 1;
        if left > 0 {
            return Err(DecodeError::invalid_length(length, &"fewer elements"));
        }
        Ok(value)
    }

    #[inline]
    fn array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let length = self.reader.array()?;
        self.members(length, |members| visitor.visit_seq(members))
    }

    #[inline]
    fn map<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let length = self.reader.map()?;
        self.members(length, |members| visitor.visit_map(members))
    }

    #[inline]
    fn any<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let first = self.reader.peek()?;
        match first >> 5 {
            major::UNSIGNED | major::NEGATIVE => self.number(visitor),
            major::BYTES => visitor.visit_borrowed_bytes(self.reader.bytes()?),
            major::TEXT => visitor.visit_borrowed_str(self.reader.text()?),
            major::ARRAY => self.array(visitor),
            major::MAP => self.map(visitor),
            major::TAG => self.tagged(visitor),
            _ => match first {
                simple::HALF | simple::SINGLE | simple::DOUBLE => self.number(visitor),
                simple::FALSE | simple::TRUE => {
                    self.reader.skip_byte();
                    visitor.visit_bool(first == simple::TRUE)
                }
                simple::NULL | simple::UNDEFINED => {
                    self.reader.skip_byte();
                    visitor.visit_unit()
                }
                _ => self.error(DecodeErrorKind::Unsupported),
            },
        }
    }

    #[inline]
    fn number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.reader.number()? {
            Number::Integer(integer) => match u64::try_from(integer) {
                Ok(integer) => visitor.visit_u64(integer),
                Err(_) => visitor.visit_i64(integer),
            },
            Number::Float(number) => visitor.visit_f64(number),
        }
    }

    #[inline]
    fn tagged<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let start = self.reader.position();
        match self.reader.tag()? {
            tag::BIGNUM => big_int(&self.reader.big_int(false)?, visitor),
            tag::NEGATIVE_BIGNUM => big_int(&self.reader.big_int(true)?, visitor),
            tag::SET => self.array(visitor),
            tag::MAP => self.map(visitor),
            tag::CLASS if self.reader.array()? == 2 && self.reader.text()? == class::ERROR_RECORD => self.map(visitor),
            other => match TypedArrayKind::from_tag(other) {
                Some(kind) if kind.element_bytes() == 1 => visitor.visit_borrowed_bytes(self.reader.bytes()?),
                Some(kind) => self.elements(kind, visitor),
                None => Err(DecodeErrorKind::Custom("this kind can only be read into a `Value`".into()).at(start)),
            },
        }
    }

    /// A sequence: an array, a set, or the elements of a typed array.
    #[inline]
    fn sequence<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let start = self.reader.position();
        let kind = match self.reader.peek_major()? {
            major::BYTES => Some(TypedArrayKind::Uint8),
            major::TAG => {
                let kind = TypedArrayKind::from_tag(self.reader.tag()?);
                if kind.is_none() {
                    self.reader.set_position(start);
                }
                kind
            }
            _ => None,
        };
        match kind {
            Some(kind) => self.elements(kind, visitor),
            None => self.any(visitor),
        }
    }

    /// The elements of a typed array after its tag.
    #[inline]
    fn elements<V: Visitor<'de>>(&mut self, kind: TypedArrayKind, visitor: V) -> Result<V::Value, DecodeError> {
        let mut elements = TypedElements::new(kind, self.reader.bytes()?)?;
        let length = elements.len();
        let value = visitor.visit_seq(&mut elements)?;
        if elements.len() > 0 {
            return Err(DecodeError::invalid_length(length, &"fewer elements"));
        }
        Ok(value)
    }

    /// An item as a whole, for [`Value`](super::Value).
    fn raw<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let (start, base) = (self.reader.position(), self.shared.count_before(self.reader.position()));
        let has_marks = self.shared.skip(&mut self.reader)?;
        let item = &self.reader.input()[start..self.reader.position()];
        let item = if has_marks {
            // Its references count from the beginning of the message.
            let value =
                decode::decode_part(item, base).map_err(|error| error.kind.at(error.offset.saturating_add(start)))?;
            RawItem::Owned(encode(&value).map_err(DecodeError::custom)?)
        } else {
            RawItem::Borrowed(item)
        };
        visitor.visit_map(de::value::MapDeserializer::new(core::iter::once((RAW_TOKEN, item))))
    }

    #[inline]
    fn enumeration<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.reader.peek_major()? {
            major::TEXT => visitor.visit_enum(self.reader.text()?.into_deserializer()),
            major::MAP => match self.reader.map()? {
                1 => self.members(0, |members| {
                    visitor.visit_enum(Variant {
                        deserializer: members.deserializer,
                    })
                }),
                length => Err(DecodeError::invalid_length(length, &"one variant")),
            },
            _ => self.any(visitor),
        }
    }
}

fn big_int<'de, V: Visitor<'de>>(integer: &BigInt, visitor: V) -> Result<V::Value, DecodeError> {
    if let Ok(integer) = u64::try_from(integer) {
        visitor.visit_u64(integer)
    } else if let Ok(integer) = i64::try_from(integer) {
        visitor.visit_i64(integer)
    } else if let Ok(integer) = u128::try_from(integer) {
        visitor.visit_u128(integer)
    } else if let Ok(integer) = i128::try_from(integer) {
        visitor.visit_i128(integer)
    } else {
        Err(DecodeError::custom("bigint is out of range"))
    }
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = DecodeError;

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.scoped(|deserializer| deserializer.any(visitor))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.scoped(|deserializer| deserializer.sequence(visitor))
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if matches!(self.reader.peek()?, simple::NULL | simple::UNDEFINED) {
            self.reader.skip_byte();
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == RAW_TOKEN {
            self.raw(visitor)
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.scoped(|deserializer| deserializer.enumeration(visitor))
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.shared.skip(&mut self.reader)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct map struct
        identifier
    }
}

/// The members of a container that have not been read yet.
struct Members<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for &mut Members<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.deserializer).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::MapAccess<'de> for &mut Members<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(&mut *self.deserializer)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The variant of an enum and its content: the one entry of a map.
struct Variant<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    #[inline]
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), DecodeError> {
        Ok((seed.deserialize(&mut *self.deserializer)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn unit_variant(self) -> Result<(), DecodeError> {
        Deserialize::deserialize(self.deserializer)
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(self.deserializer)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_seq(self.deserializer, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_any(self.deserializer, visitor)
    }
}

/// The bytes of an item on their way to [`Value`](super::Value).
enum RawItem<'de> {
    Borrowed(&'de [u8]),
    Owned(Vec<u8>),
}

impl<'de> IntoDeserializer<'de, DecodeError> for RawItem<'de> {
    type Deserializer = Self;

    #[inline]
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> de::Deserializer<'de> for RawItem<'de> {
    type Error = DecodeError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self {
            RawItem::Borrowed(bytes) => visitor.visit_borrowed_bytes(bytes),
            RawItem::Owned(bytes) => visitor.visit_byte_buf(bytes),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
