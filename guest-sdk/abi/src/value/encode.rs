//! From [`Value`] to bytes, without recursion.

use super::error::EncodeError;
use super::kinds::{ArrayBuffer, Date, ErrorValue, Extent, Primitive, SparseArray, View};
use super::wire::{Writer, class, tag};
use super::{RegExp, Value};
use crate::limits::VALUE_DEPTH_MAX;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::slice;

/// The bytes of a value.
///
/// # Errors
/// The tree is nested too deeply, breaks a rule of a kind, or its marks of sharing are inconsistent.
pub fn encode(value: &Value) -> Result<Vec<u8>, EncodeError> {
    let mut encoder = Encoder::new(Writer::new(Vec::new()), 0);
    encoder.run(value)?;
    Ok(encoder.writer.into_bytes())
}

/// Writes one value.
pub(super) struct Encoder<'a> {
    pub writer: Writer,
    /// Containers that are being written, outermost first.
    stack: Vec<Frame<'a>>,
    /// Number of tags 28 that precede the value in the message.
    base: u32,
    /// The shared values so far by id: place in the order of tags 28, and extent.
    shared: BTreeMap<u32, (u32, Extent)>,
    /// Deepest nesting seen.
    pub depth: usize,
}

/// A container whose members are being written.
enum Frame<'a> {
    Values(slice::Iter<'a, Value>),
    Dense(slice::Iter<'a, (u32, Value)>),
    Entries(slice::Iter<'a, (String, Value)>),
    /// The value of the last key, when only the key has been written.
    Pairs(Option<&'a Value>, slice::Iter<'a, (Value, Value)>),
    Sparse(slice::Iter<'a, (u32, Value)>, slice::Iter<'a, (String, Value)>),
    Last(Option<&'a Value>),
}

impl<'a> Frame<'a> {
    /// Writes what precedes the next member and returns that.
    fn next(&mut self, writer: &mut Writer) -> Result<Option<&'a Value>, EncodeError> {
        Ok(match self {
            Frame::Values(values) => values.next(),
            Frame::Dense(elements) => elements.next().map(|(_, value)| value),
            Frame::Entries(entries) => match entries.next() {
                Some((key, value)) => {
                    writer.text(key)?;
                    Some(value)
                }
                None => None,
            },
            Frame::Pairs(value, pairs) => match value.take() {
                Some(value) => Some(value),
                None => pairs.next().map(|(key, next_value)| {
                    *value = Some(next_value);
                    key
                }),
            },
            Frame::Sparse(elements, named) => match elements.next() {
                Some((index, value)) => {
                    writer.unsigned(u64::from(*index))?;
                    Some(value)
                }
                None => match named.next() {
                    Some((name, value)) => {
                        writer.text(name)?;
                        Some(value)
                    }
                    None => None,
                },
            },
            Frame::Last(value) => value.take(),
        })
    }
}

impl<'a> Encoder<'a> {
    /// An encoder that appends to `writer` a part of a message in which `base` tags 28 came before.
    pub fn new(writer: Writer, base: u32) -> Self {
        Encoder {
            writer,
            stack: Vec::new(),
            base,
            shared: BTreeMap::new(),
            depth: 0,
        }
    }

    /// Writes the whole value.
    pub fn run(&mut self, value: &'a Value) -> Result<(), EncodeError> {
        self.value(value)?;
        while let Some(frame) = self.stack.last_mut() {
            match frame.next(&mut self.writer)? {
                Some(member) => self.value(member)?,
                None => {
                    self.stack.pop();
                }
            }
        }
        Ok(())
    }

    /// How many tags 28 were written.
    pub fn shared_count(&self) -> usize {
        self.shared.len()
    }

    fn push(&mut self, frame: Frame<'a>) -> Result<(), EncodeError> {
        if self.stack.len() >= VALUE_DEPTH_MAX {
            return Err(EncodeError::TooDeep);
        }
        self.stack.push(frame);
        self.depth = self.depth.max(self.stack.len());
        Ok(())
    }

    /// Writes a value; of a container only the head.
    fn value(&mut self, value: &'a Value) -> Result<(), EncodeError> {
        match value {
            Value::Shared(id, inner) => {
                self.shared(*id, inner)?;
                self.unshared(inner)
            }
            Value::Ref(id) => self.reference(*id).map(|_| ()),
            value => self.unshared(value),
        }
    }

    fn unshared(&mut self, value: &'a Value) -> Result<(), EncodeError> {
        let writer = &mut self.writer;
        match value {
            Value::Undefined => writer.undefined(),
            Value::Null => writer.null(),
            Value::Bool(flag) => writer.bool(*flag),
            Value::Number(number) => writer.number(*number),
            Value::BigInt(integer) => writer.big_int(integer),
            Value::String(text) => writer.text(text),
            Value::Wtf16(units) => wtf16(writer, units),
            Value::Object(object) => {
                writer.map(object.len())?;
                self.push(Frame::Entries(object.entries().iter()))
            }
            Value::Array(elements) => {
                writer.array(elements.len())?;
                self.push(Frame::Values(elements.iter()))
            }
            Value::SparseArray(array) => self.sparse_array(array),
            Value::Map(pairs) => {
                writer.tag(tag::MAP)?;
                writer.map(pairs.len())?;
                self.push(Frame::Pairs(None, pairs.iter()))
            }
            Value::Set(members) => {
                writer.tag(tag::SET)?;
                writer.array(members.len())?;
                self.push(Frame::Values(members.iter()))
            }
            Value::Date(moment) => date(writer, *moment),
            Value::RegExp(expression) => reg_exp(writer, expression),
            Value::Boxed(primitive) => boxed(writer, primitive),
            Value::Error(error) => self.error(error),
            Value::ErrorRecord(members) => {
                writer.class(class::ERROR_RECORD, 1)?;
                writer.map(members.len())?;
                self.push(Frame::Entries(members.entries().iter()))
            }
            Value::ArrayBuffer(buffer) => array_buffer(writer, buffer),
            Value::TypedArray(array) => {
                if !array.is_valid() {
                    return Err(EncodeError::Invalid("typed array"));
                }
                writer.tag(array.kind.tag())?;
                writer.bytes(&array.bytes)
            }
            Value::View(view) => self.view(view),
            Value::Resource(index) => resource(writer, *index),
            // Reached only inside another mark of sharing.
            Value::Shared(id, _) | Value::Ref(id) => Err(EncodeError::NotShareable(*id)),
        }
    }

    fn shared(&mut self, id: u32, inner: &Value) -> Result<Extent, EncodeError> {
        if !inner.is_object_kind() {
            return Err(EncodeError::NotShareable(id));
        }
        let place = u32::try_from(self.shared.len()).map_err(|_| EncodeError::Invalid("shared value"))?;
        let extent = Extent::of(inner);
        if self.shared.insert(id, (place, extent)).is_some() {
            return Err(EncodeError::DuplicateShared(id));
        }
        self.writer.tag(tag::SHARED)?;
        Ok(extent)
    }

    fn reference(&mut self, id: u32) -> Result<Extent, EncodeError> {
        let (place, extent) = *self.shared.get(&id).ok_or(EncodeError::UnknownRef(id))?;
        self.writer.tag(tag::REF)?;
        self.writer.unsigned(u64::from(self.base) + u64::from(place))?;
        Ok(extent)
    }

    fn sparse_array(&mut self, array: &'a SparseArray) -> Result<(), EncodeError> {
        if !array.is_valid() {
            return Err(EncodeError::Invalid("sparse array"));
        }
        if array.is_dense() {
            self.writer.array(array.elements.len())?;
            return self.push(Frame::Dense(array.elements.iter()));
        }
        self.writer.class(class::ARRAY, 2)?;
        self.writer.unsigned(u64::from(array.length))?;
        self.writer.map(array.elements.len() + array.named.len())?;
        self.push(Frame::Sparse(array.elements.iter(), array.named.entries().iter()))
    }

    fn error(&mut self, error: &'a ErrorValue) -> Result<(), EncodeError> {
        let texts = [("message", &error.message), ("stack", &error.stack)];
        let texts = texts
            .iter()
            .filter_map(|(key, text)| text.as_ref().map(|text| (*key, text)));
        self.writer.class(error.kind.name(), 1)?;
        self.writer
            .map(texts.clone().count() + usize::from(error.cause.is_some()))?;
        for (key, text) in texts {
            self.writer.text(key)?;
            self.writer.text(text)?;
        }
        if error.cause.is_some() {
            self.writer.text("cause")?;
        }
        self.push(Frame::Last(error.cause.as_ref()))
    }

    fn view(&mut self, view: &'a View) -> Result<(), EncodeError> {
        if let Some((kind, bytes)) = view.as_plain() {
            self.writer.tag(kind.tag())?;
            return self.writer.bytes(bytes);
        }
        self.writer.class(view.kind.name(), 3)?;
        let (extent, buffer) = match &view.buffer {
            Value::Ref(id) => (self.reference(*id)?, None),
            Value::Shared(id, inner) => (self.shared(*id, inner)?, Some(&**inner)),
            buffer => (Extent::of(buffer), Some(buffer)),
        };
        if !view.fits(extent) {
            return Err(EncodeError::Invalid("view"));
        }
        if let Some(buffer) = buffer {
            self.unshared(buffer)?;
        }
        self.writer.unsigned(view.byte_offset)?;
        match view.length {
            Some(length) => self.writer.unsigned(length),
            None => self.writer.null(),
        }
    }
}

fn wtf16(writer: &mut Writer, units: &[u16]) -> Result<(), EncodeError> {
    if let Ok(text) = String::from_utf16(units) {
        return writer.text(&text);
    }
    writer.class(class::WTF16, 1)?;
    let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    writer.bytes(&bytes)
}

#[allow(clippy::cast_precision_loss, reason = "the operand is below 2^51")]
fn date(writer: &mut Writer, date: Date) -> Result<(), EncodeError> {
    let Some(ms) = date.ms() else {
        writer.tag(tag::DATE)?;
        return writer.number(f64::NAN);
    };
    let (seconds, rest_ms) = (ms.div_euclid(1000), ms.rem_euclid(1000));
    if rest_ms == 0 {
        writer.tag(tag::DATE)?;
        return writer.integer(seconds);
    }
    if ms.unsigned_abs() < Date::FLOAT_MS_MAX {
        writer.tag(tag::DATE)?;
        return writer.number(ms as f64 / 1000.0);
    }
    writer.tag(tag::EXTENDED_TIME)?;
    writer.map(2)?;
    writer.integer(1)?;
    writer.integer(seconds)?;
    writer.integer(-3)?;
    writer.integer(rest_ms)
}

fn reg_exp(writer: &mut Writer, expression: &RegExp) -> Result<(), EncodeError> {
    if !expression.is_valid() {
        return Err(EncodeError::Invalid("regular expression flags"));
    }
    if expression.flags.is_empty() {
        writer.tag(tag::REG_EXP)?;
        return writer.text(&expression.source);
    }
    writer.tag(tag::REG_EXP_FLAGS)?;
    writer.array(2)?;
    writer.text(&expression.source)?;
    writer.text(&expression.flags)
}

fn boxed(writer: &mut Writer, primitive: &Primitive) -> Result<(), EncodeError> {
    writer.class(primitive.class(), 1)?;
    match primitive {
        Primitive::Boolean(flag) => writer.bool(*flag),
        Primitive::Number(number) => writer.number(*number),
        Primitive::String(text) => writer.text(text),
        Primitive::Wtf16(units) => wtf16(writer, units),
        Primitive::BigInt(integer) => writer.big_int(integer),
    }
}

fn array_buffer(writer: &mut Writer, buffer: &ArrayBuffer) -> Result<(), EncodeError> {
    if !buffer.is_valid() {
        return Err(EncodeError::Invalid("maximum length of an array buffer"));
    }
    let Some(max_byte_length) = buffer.max_byte_length else {
        return writer.bytes(&buffer.bytes);
    };
    writer.class(class::ARRAY_BUFFER, 2)?;
    writer.bytes(&buffer.bytes)?;
    writer.unsigned(max_byte_length)
}

fn resource(writer: &mut Writer, index: u32) -> Result<(), EncodeError> {
    writer.tag(tag::RESOURCE)?;
    writer.unsigned(u64::from(index))
}
