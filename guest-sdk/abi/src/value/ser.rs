//! From serde types to bytes, without a tree in between.

use super::BigInt;
use super::decode::decode;
use super::encode::Encoder;
use super::error::EncodeError;
use super::serde_kinds::{RAW_TOKEN, RawValue, SET_TOKEN};
use super::wire::{SAFE_INTEGER_MAX, Writer, major, tag};
use crate::limits::VALUE_DEPTH_MAX;
use alloc::vec::Vec;
use serde::ser::{self, Serialize};

/// Room that a message starts with.
const CAPACITY_BYTES: usize = 128;

/// The bytes of a value of a serde type.
///
/// # Errors
/// It is nested too deeply, or a `Serialize` implementation fails.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut serializer = Serializer::new(Vec::with_capacity(CAPACITY_BYTES));
    value.serialize(&mut serializer)?;
    Ok(serializer.writer.into_bytes())
}

/// Appends the bytes of a value of a serde type to `out`, which saves an allocation per message.
///
/// # Errors
/// As [`to_vec`]; `out` is as before then.
pub fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    let length = out.len();
    let mut serializer = Serializer::new(core::mem::take(out));
    let result = value.serialize(&mut serializer);
    *out = serializer.writer.into_bytes();
    if result.is_err() {
        out.truncate(length);
    }
    result
}

struct Serializer {
    writer: Writer,
    /// Containers that are being written.
    depth: usize,
    /// Tags 28 so far.
    shared: u32,
    /// Whether the next byte string is a [`RawValue`].
    raw_next: bool,
}

impl Serializer {
    fn new(out: Vec<u8>) -> Self {
        Serializer {
            writer: Writer::new(out),
            depth: 0,
            shared: 0,
            raw_next: false,
        }
    }

    #[inline]
    fn enter(&mut self, levels: usize) -> Result<(), EncodeError> {
        self.depth += levels;
        if self.depth > VALUE_DEPTH_MAX {
            Err(EncodeError::TooDeep)
        } else {
            Ok(())
        }
    }

    /// Begins the content of the variant of an enum: a map of one entry.
    #[inline]
    fn enter_variant(&mut self, variant: &str) -> Result<(), EncodeError> {
        self.enter(1)?;
        self.writer.map(1)?;
        self.writer.text(variant)
    }

    /// Begins an array or map. An unknown length is set right at the end.
    #[inline]
    fn open(&mut self, head: Head, length: Option<usize>, levels: usize) -> Result<Compound<'_>, EncodeError> {
        self.enter(1)?;
        let start = self.writer.position();
        let announced = length.unwrap_or_default();
        head.write(&mut self.writer, announced)?;
        let levels = levels + 1;
        Ok(Compound {
            serializer: self,
            head,
            start,
            announced,
            count: 0,
            levels,
            text_keys: true,
        })
    }

    /// Copies the item of an embedded [`Value`](super::Value).
    fn raw(&mut self, raw: &RawValue<'_>) -> Result<(), EncodeError> {
        if self.depth + raw.depth() > VALUE_DEPTH_MAX {
            return Err(EncodeError::TooDeep);
        }
        if raw.shared() == 0 || self.shared == 0 {
            self.writer.bytes_mut().extend_from_slice(raw.item());
            self.shared += raw.shared();
            return Ok(());
        }
        // Tags 28 came before, so that this value's references need other indexes.
        let value = decode(raw.item()).map_err(<EncodeError as ser::Error>::custom)?;
        let writer = Writer::new(core::mem::take(self.writer.bytes_mut()));
        let mut encoder = Encoder::new(writer, self.shared);
        let result = encoder.run(&value);
        self.writer = encoder.writer;
        self.shared += raw.shared();
        result
    }
}

/// Kinds of containers by their head.
#[derive(Clone, Copy)]
enum Head {
    Array,
    Map,
}

impl Head {
    #[inline]
    fn write(self, writer: &mut Writer, length: usize) -> Result<(), EncodeError> {
        match self {
            Head::Array => writer.array(length),
            Head::Map => writer.map(length),
        }
    }
}

impl<'a> ser::Serializer for &'a mut Serializer {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, flag: bool) -> Result<(), EncodeError> {
        self.writer.bool(flag)
    }

    #[inline]
    fn serialize_i8(self, integer: i8) -> Result<(), EncodeError> {
        self.writer.integer(integer.into())
    }

    #[inline]
    fn serialize_i16(self, integer: i16) -> Result<(), EncodeError> {
        self.writer.integer(integer.into())
    }

    #[inline]
    fn serialize_i32(self, integer: i32) -> Result<(), EncodeError> {
        self.writer.integer(integer.into())
    }

    #[inline]
    fn serialize_i64(self, integer: i64) -> Result<(), EncodeError> {
        if integer.unsigned_abs() <= SAFE_INTEGER_MAX {
            self.writer.integer(integer)
        } else {
            self.writer.big_int(&BigInt::from(integer))
        }
    }

    fn serialize_i128(self, integer: i128) -> Result<(), EncodeError> {
        match i64::try_from(integer) {
            Ok(integer) => self.serialize_i64(integer),
            Err(_) => self.writer.big_int(&BigInt::from(integer)),
        }
    }

    #[inline]
    fn serialize_u8(self, integer: u8) -> Result<(), EncodeError> {
        self.writer.unsigned(integer.into())
    }

    #[inline]
    fn serialize_u16(self, integer: u16) -> Result<(), EncodeError> {
        self.writer.unsigned(integer.into())
    }

    #[inline]
    fn serialize_u32(self, integer: u32) -> Result<(), EncodeError> {
        self.writer.unsigned(integer.into())
    }

    #[inline]
    fn serialize_u64(self, integer: u64) -> Result<(), EncodeError> {
        if integer <= SAFE_INTEGER_MAX {
            self.writer.unsigned(integer)
        } else {
            self.writer.big_int(&BigInt::from(integer))
        }
    }

    fn serialize_u128(self, integer: u128) -> Result<(), EncodeError> {
        match u64::try_from(integer) {
            Ok(integer) => self.serialize_u64(integer),
            Err(_) => self.writer.big_int(&BigInt::from(integer)),
        }
    }

    #[inline]
    fn serialize_f32(self, number: f32) -> Result<(), EncodeError> {
        self.writer.number(number.into())
    }

    #[inline]
    fn serialize_f64(self, number: f64) -> Result<(), EncodeError> {
        self.writer.number(number)
    }

    #[inline]
    fn serialize_char(self, letter: char) -> Result<(), EncodeError> {
        self.writer.text(letter.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<(), EncodeError> {
        self.writer.text(text)
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), EncodeError> {
        if core::mem::take(&mut self.raw_next) {
            let raw = RawValue::parse(bytes).ok_or(EncodeError::Invalid("embedded value"))?;
            return self.raw(&raw);
        }
        self.writer.tag(super::TypedArrayKind::Uint8.tag())?;
        self.writer.bytes(bytes)
    }

    #[inline]
    fn serialize_none(self) -> Result<(), EncodeError> {
        self.writer.null()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.writer.null()
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), EncodeError> {
        self.writer.null()
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.writer.text(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), EncodeError> {
        match name {
            RAW_TOKEN => self.raw_next = true,
            SET_TOKEN => {
                self.writer.tag(tag::SET)?;
                let start = self.writer.position();
                value.serialize(&mut *self)?;
                let first = self.writer.bytes_mut().get(start).copied();
                return match first.map(|byte| byte >> 5) {
                    Some(major::ARRAY) => Ok(()),
                    _ => Err(EncodeError::Invalid("set")),
                };
            }
            _ => {}
        }
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.enter_variant(variant)?;
        value.serialize(&mut *self)?;
        self.depth -= 1;
        Ok(())
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.open(Head::Array, length, 0)
    }

    #[inline]
    fn serialize_tuple(self, length: usize) -> Result<Compound<'a>, EncodeError> {
        self.open(Head::Array, Some(length), 0)
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<Compound<'a>, EncodeError> {
        self.open(Head::Array, Some(length), 0)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        self.enter_variant(variant)?;
        self.open(Head::Array, Some(length), 1)
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Compound<'a>, EncodeError> {
        self.open(Head::Map, length, 0)
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<Compound<'a>, EncodeError> {
        self.open(Head::Map, Some(length), 0)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'a>, EncodeError> {
        self.enter_variant(variant)?;
        self.open(Head::Map, Some(length), 1)
    }
}

/// An array or map that is being written.
struct Compound<'a> {
    serializer: &'a mut Serializer,
    head: Head,
    /// Where the head begins.
    start: usize,
    /// The length in the head.
    announced: usize,
    /// The members so far.
    count: usize,
    /// Levels of nesting that end with this container.
    levels: usize,
    /// Whether all keys of a map are texts.
    text_keys: bool,
}

impl Compound<'_> {
    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.count += 1;
        value.serialize(&mut *self.serializer)
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
        self.count += 1;
        self.serializer.writer.text(key)?;
        value.serialize(&mut *self.serializer)
    }

    /// Corrects the head, now that length and keys are known.
    fn finish(self) -> Result<(), EncodeError> {
        self.serializer.depth -= self.levels;
        if self.count == self.announced && self.text_keys {
            return Ok(());
        }
        let mut old_head = Writer::new(Vec::new());
        self.head.write(&mut old_head, self.announced)?;
        let mut head = Writer::new(Vec::new());
        if !self.text_keys {
            head.tag(tag::MAP)?;
        }
        self.head.write(&mut head, self.count)?;
        let old_range = self.start..self.start + old_head.position();
        self.serializer.writer.bytes_mut().splice(old_range, head.into_bytes());
        Ok(())
    }
}

/// Implements the traits of containers without keys.
macro_rules! serialize_elements {
    ($($trait:ident :: $method:ident),*) => {$(
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = EncodeError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                self.element(value)
            }

            fn end(self) -> Result<(), EncodeError> {
                self.finish()
            }
        }
    )*};
}

serialize_elements! {
    SerializeSeq::serialize_element, SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field, SerializeTupleVariant::serialize_field
}

/// Implements the traits of containers with named fields.
macro_rules! serialize_fields {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = EncodeError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), EncodeError> {
                self.field(key, value)
            }

            fn end(self) -> Result<(), EncodeError> {
                self.finish()
            }
        }
    )*};
}

serialize_fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = EncodeError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        let start = self.serializer.writer.position();
        self.element(key)?;
        let first = self.serializer.writer.bytes_mut().get(start).copied();
        self.text_keys &= first.is_some_and(|byte| byte >> 5 == major::TEXT);
        Ok(())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(&mut *self.serializer)
    }

    #[inline]
    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}
