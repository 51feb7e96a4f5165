//! From bytes to [`Value`], without recursion.

use super::Value;
use super::decode_frame::{Container, Frame, SparseKey};
use super::decode_leaf as leaf;
use super::error::{DecodeError, DecodeErrorKind};
use super::kinds::{ArrayBuffer, ErrorKind, ErrorValue, Extent, RegExp, TypedArrayKind, View, ViewKind};
use super::wire::{Reader, class, major, simple, tag};
use crate::limits::VALUE_DEPTH_MAX;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Most members for which room is made before they are read: a message must not make its receiver allocate many
/// times its size by announcing members that are missing.
const RESERVE_MAX: usize = 256;

/// The value of these bytes.
///
/// # Errors
/// The bytes are not exactly one canonically encoded value.
pub fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
    decode_part(bytes, 0)
}

/// The value of a part of a message in which `base` tags 28 came before.
pub(super) fn decode_part(bytes: &[u8], base: u32) -> Result<Value, DecodeError> {
    let mut decoder = Decoder {
        reader: Reader::new(bytes),
        stack: Vec::new(),
        base,
        shared: Vec::new(),
    };
    let value = decoder.run()?;
    decoder.reader.finish()?;
    Ok(value)
}

struct Decoder<'b> {
    reader: Reader<'b>,
    /// Containers that are being read, outermost first.
    stack: Vec<Frame>,
    /// Number of tags 28 before this part of the message.
    base: u32,
    /// Extents of the shared values in the order of their tags 28.
    shared: Vec<Extent>,
}

impl Decoder<'_> {
    fn run(&mut self) -> Result<Value, DecodeError> {
        loop {
            let mut finished = self.item()?;
            loop {
                let Some(frame) = self.stack.last_mut() else {
                    return finished.ok_or_else(|| self.reader.error(DecodeErrorKind::UnexpectedEnd));
                };
                if let Some(value) = finished.take() {
                    frame.accept(value);
                }
                if frame.advance(&mut self.reader)? {
                    break;
                }
                finished = self.stack.pop().map(Frame::close).transpose()?;
            }
        }
    }

    /// Reads one item. Of a container only the head, for which a frame is pushed.
    fn item(&mut self) -> Result<Option<Value>, DecodeError> {
        let start = self.reader.position();
        let shared = self.shared_mark()?;
        let content = self.reader.position();
        let value = match self.reader.peek_major()? {
            major::UNSIGNED | major::NEGATIVE => Value::Number(leaf::number(&mut self.reader)?),
            major::BYTES => Value::ArrayBuffer(self.array_buffer_bytes()?),
            major::TEXT => Value::String(self.reader.text()?.to_string()),
            major::ARRAY => {
                let length = self.reader.array()?;
                return self.open(Container::Array(reserve(length)), length, shared, content);
            }
            major::MAP => {
                let length = self.reader.map()?;
                let container = Container::Object {
                    entries: reserve(length),
                    key: String::new(),
                };
                return self.open(container, length, shared, content);
            }
            major::TAG => match self.tagged(shared, content)? {
                Some(value) => value,
                None => return Ok(None),
            },
            _ => leaf::simple_value(&mut self.reader)?,
        };
        let Some(id) = shared else {
            return Ok(Some(value));
        };
        if !value.is_object_kind() {
            return Err(DecodeErrorKind::NotShareable.at(start));
        }
        self.set_extent(Extent::of(&value));
        Ok(Some(Value::Shared(id, Box::new(value))))
    }

    /// Reads a tag 28 if there is one and returns the id of the value.
    fn shared_mark(&mut self) -> Result<Option<u32>, DecodeError> {
        let start = self.reader.position();
        if self.reader.peek_major()? != major::TAG {
            return Ok(None);
        }
        if self.reader.tag()? != tag::SHARED {
            self.reader.set_position(start);
            return Ok(None);
        }
        let id = u32::try_from(self.shared.len()).map_err(|_| DecodeErrorKind::NotShareable.at(start))?;
        self.shared.push(Extent::NotBuffer);
        Ok(Some(id))
    }

    /// Notes what the value of the latest tag 28 is. Buffers have no members, so there is no later tag yet.
    fn set_extent(&mut self, extent: Extent) {
        if let (Some(last), true) = (self.shared.last_mut(), extent != Extent::NotBuffer) {
            *last = extent;
        }
    }

    fn open(
        &mut self,
        container: Container,
        left: usize,
        shared: Option<u32>,
        start: usize,
    ) -> Result<Option<Value>, DecodeError> {
        if self.stack.len() >= VALUE_DEPTH_MAX {
            return Err(DecodeErrorKind::TooDeep.at(start));
        }
        self.stack.push(Frame {
            container,
            left,
            shared,
            start,
        });
        Ok(None)
    }

    fn tagged(&mut self, shared: Option<u32>, start: usize) -> Result<Option<Value>, DecodeError> {
        let reader = &mut self.reader;
        let value = match reader.tag()? {
            tag::BIGNUM => Value::BigInt(reader.big_int(false)?),
            tag::NEGATIVE_BIGNUM => Value::BigInt(reader.big_int(true)?),
            tag::DATE => Value::Date(leaf::date(reader)?),
            tag::EXTENDED_TIME => Value::Date(leaf::extended_time(reader)?),
            tag::CLASS => return self.class(shared, start),
            tag::SHARED => return Err(DecodeErrorKind::NotShareable.at(start)),
            tag::REF => Value::Ref(self.reference(start)?.0),
            tag::REG_EXP => Value::RegExp(Box::new(RegExp {
                source: reader.text()?.to_string(),
                flags: String::new(),
            })),
            tag::REG_EXP_FLAGS => Value::RegExp(Box::new(leaf::reg_exp(reader)?)),
            tag::SET => {
                let length = reader.array()?;
                return self.open(Container::Set(reserve(length)), length, shared, start);
            }
            tag::MAP => {
                let length = reader.map()?;
                let container = Container::Map {
                    pairs: reserve(length),
                    key: None,
                };
                return self.open(container, length.saturating_mul(2), shared, start);
            }
            tag::RESOURCE => Value::Resource(leaf::index_u32(reader)?),
            other => match TypedArrayKind::from_tag(other) {
                Some(kind) => Value::TypedArray(leaf::typed_array(reader, kind)?),
                None => return Err(DecodeErrorKind::Unsupported.at(start)),
            },
        };
        Ok(Some(value))
    }

    /// Reads the index of a tag 29.
    fn reference(&mut self, start: usize) -> Result<(u32, Extent), DecodeError> {
        let index = self.reader.unsigned()?;
        let id = index
            .checked_sub(u64::from(self.base))
            .and_then(|id| u32::try_from(id).ok());
        let extent = id.and_then(|id| self.shared.get(usize::try_from(id).ok()?));
        match (id, extent) {
            (Some(id), Some(extent)) => Ok((id, *extent)),
            _ => Err(DecodeErrorKind::InvalidRef.at(start)),
        }
    }

    /// Reads a generic object after its tag 27.
    fn class(&mut self, shared: Option<u32>, start: usize) -> Result<Option<Value>, DecodeError> {
        let reader = &mut self.reader;
        let parts = reader.array()?;
        let name = reader.text()?;
        let expect = |expected: usize| {
            if parts == expected + 1 {
                Ok(())
            } else {
                Err(DecodeErrorKind::Invalid("class").at(start))
            }
        };
        if let Some(kind) = ViewKind::from_name(name) {
            expect(3)?;
            return self.view(kind, start).map(Some);
        }
        if let Some(kind) = ErrorKind::from_name(name) {
            expect(1)?;
            let members = reader.map()?;
            let error = Box::new(ErrorValue {
                kind,
                message: None,
                stack: None,
                cause: None,
            });
            return self.open(Container::Error(error), members, shared, start);
        }
        let value = match name {
            class::WTF16 => {
                expect(1)?;
                Value::Wtf16(leaf::wtf16(reader)?)
            }
            class::ARRAY => {
                expect(2)?;
                let length = leaf::index_u32(reader)?;
                let members = reader.map()?;
                let (elements, named) = (reserve(members), Vec::new());
                let container = Container::Sparse {
                    length,
                    elements,
                    named,
                    key: SparseKey::Index(0),
                };
                return self.open(container, members, shared, start);
            }
            class::ERROR_RECORD => {
                expect(1)?;
                let length = reader.map()?;
                let container = Container::ErrorRecord {
                    entries: reserve(length),
                    key: String::new(),
                };
                return self.open(container, length, shared, start);
            }
            class::ARRAY_BUFFER => {
                expect(2)?;
                Value::ArrayBuffer(self.resizable_buffer(start)?)
            }
            "Boolean" | "Number" | "String" | "BigInt" => {
                expect(1)?;
                Value::Boxed(Box::new(leaf::primitive(reader, name)?))
            }
            _ => return Err(DecodeErrorKind::Unsupported.at(start)),
        };
        Ok(Some(value))
    }

    fn array_buffer_bytes(&mut self) -> Result<ArrayBuffer, DecodeError> {
        Ok(ArrayBuffer {
            bytes: self.reader.bytes()?.to_vec(),
            max_byte_length: None,
        })
    }

    fn resizable_buffer(&mut self, start: usize) -> Result<ArrayBuffer, DecodeError> {
        let mut buffer = self.array_buffer_bytes()?;
        buffer.max_byte_length = Some(self.reader.unsigned()?);
        if buffer.is_valid() {
            Ok(buffer)
        } else {
            Err(DecodeErrorKind::Invalid("maximum length of an array buffer").at(start))
        }
    }

    fn view(&mut self, kind: ViewKind, start: usize) -> Result<Value, DecodeError> {
        let (buffer, extent) = self.view_buffer()?;
        let byte_offset = self.reader.unsigned()?;
        let length = if self.reader.peek()? == simple::NULL {
            self.reader.skip_byte();
            None
        } else {
            Some(self.reader.unsigned()?)
        };
        let view = View {
            kind,
            buffer,
            byte_offset,
            length,
        };
        if !view.fits(extent) {
            return Err(DecodeErrorKind::Invalid("view").at(start));
        }
        if view.as_plain().is_some() {
            return Err(DecodeErrorKind::NotCanonical.at(start));
        }
        Ok(Value::View(Box::new(view)))
    }

    /// Reads the buffer of a view: an array buffer or a resource, or either shared or referred to.
    fn view_buffer(&mut self) -> Result<(Value, Extent), DecodeError> {
        let start = self.reader.position();
        let shared = self.shared_mark()?;
        let buffer = match self.reader.peek_major()? {
            major::BYTES => Value::ArrayBuffer(self.array_buffer_bytes()?),
            major::TAG => match self.reader.tag()? {
                tag::REF if shared.is_none() => {
                    let (id, extent) = self.reference(start)?;
                    return Ok((Value::Ref(id), extent));
                }
                tag::RESOURCE => Value::Resource(leaf::index_u32(&mut self.reader)?),
                tag::CLASS if self.reader.array()? == 3 && self.reader.text()? == class::ARRAY_BUFFER => {
                    Value::ArrayBuffer(self.resizable_buffer(start)?)
                }
                _ => return Err(DecodeErrorKind::Invalid("view").at(start)),
            },
            _ => return Err(DecodeErrorKind::Invalid("view").at(start)),
        };
        let extent = Extent::of(&buffer);
        Ok(match shared {
            Some(id) => {
                self.set_extent(extent);
                (Value::Shared(id, Box::new(buffer)), extent)
            }
            None => (buffer, extent),
        })
    }
}

/// A vector for this many members.
fn reserve<T>(length: usize) -> Vec<T> {
    Vec::with_capacity(length.min(RESERVE_MAX))
}
