//! The CBOR items that values are made of, in their only encoding.

use super::BigInt;
use super::error::{DecodeError, DecodeErrorKind, EncodeError};
use alloc::vec::Vec;
use minicbor::{Decoder, Encoder};

/// Largest integer that is encoded as a number's integer form, 2^53 - 1.
pub(super) const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// The one NaN that is written; the sign of `f32::NAN` is not specified.
const QUIET_NAN: f32 = f32::from_bits(0x7fc0_0000);

/// Major types of CBOR: the three high bits of an item's first byte.
pub(super) mod major {
    pub const UNSIGNED: u8 = 0;
    pub const NEGATIVE: u8 = 1;
    pub const BYTES: u8 = 2;
    pub const TEXT: u8 = 3;
    pub const ARRAY: u8 = 4;
    pub const MAP: u8 = 5;
    pub const TAG: u8 = 6;
}

/// First bytes of the items of major type 7 that values use.
pub(super) mod simple {
    pub const FALSE: u8 = 0xf4;
    pub const TRUE: u8 = 0xf5;
    pub const NULL: u8 = 0xf6;
    pub const UNDEFINED: u8 = 0xf7;
    pub const HALF: u8 = 0xf9;
    pub const SINGLE: u8 = 0xfa;
    pub const DOUBLE: u8 = 0xfb;
}

/// The tags that values use, besides those of typed arrays.
pub(super) mod tag {
    pub const DATE: u64 = 1;
    pub const BIGNUM: u64 = 2;
    pub const NEGATIVE_BIGNUM: u64 = 3;
    /// A generic object: an array of a class name and its parts.
    pub const CLASS: u64 = 27;
    pub const SHARED: u64 = 28;
    pub const REF: u64 = 29;
    pub const REG_EXP: u64 = 35;
    pub const SET: u64 = 258;
    pub const MAP: u64 = 259;
    pub const EXTENDED_TIME: u64 = 1001;
    pub const REG_EXP_FLAGS: u64 = 21066;
    /// An index into the side list of resources; "nodu" in ASCII.
    pub const RESOURCE: u64 = 1_852_793_973;
}

/// Class names of tag 27 that are not names of another table.
pub(super) mod class {
    pub const WTF16: &str = "WTF16";
    pub const ARRAY: &str = "Array";
    pub const ARRAY_BUFFER: &str = "ArrayBuffer";
    pub const ERROR_RECORD: &str = "ErrorRecord";
}

/// The number as an integer, when it is encoded as one: integral, of at most 53 bits and not negative zero.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the cast saturates and its result is compared with the number"
)]
pub(super) fn safe_integer(number: f64) -> Option<i64> {
    let integer = number as i64;
    let exact = integer as f64 == number && integer.unsigned_abs() <= SAFE_INTEGER_MAX;
    (exact && !(integer == 0 && number.is_sign_negative())).then_some(integer)
}

/// The float as `f32`, when that keeps its value, and whether half precision keeps it too.
#[allow(clippy::cast_possible_truncation, reason = "the result is compared with the number")]
fn narrow(number: f64) -> Option<(f32, bool)> {
    let single = number as f32;
    (f64::from(single) == number).then(|| (single, fits_half(single)))
}

fn fits_half(single: f32) -> bool {
    let bits = single.to_bits();
    let (exponent, fraction) = ((bits >> 23) & 0xff, bits & 0x7f_ffff);
    match exponent {
        0 => fraction == 0,
        // Subnormal halves are multiples of 2^-24.
        103..=112 => fraction.trailing_zeros() >= 126 - exponent || fraction == 0,
        113..=142 => fraction & 0x1fff == 0,
        255 => fraction == 0,
        _ => false,
    }
}

/// Bytes of the shortest float that keeps the value.
fn float_bytes(number: f64) -> usize {
    match narrow(number) {
        _ if number.is_nan() => 3,
        Some((_, true)) => 3,
        Some((_, false)) => 5,
        None => 9,
    }
}

/// The number that these bits are in half precision.
pub(super) fn half_to_f64(bits: u16) -> f64 {
    let [high, low] = bits.to_be_bytes();
    Decoder::new(&[simple::HALF, high, low])
        .f16()
        .map_or(f64::NAN, f64::from)
}

/// Bytes as a sink. Unlike the one of `minicbor` it is inlined, so that a head costs a store and not a call.
struct Sink(Vec<u8>);

impl minicbor::encode::Write for Sink {
    type Error = core::convert::Infallible;

    #[inline(always)]
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends items to a byte vector.
pub(super) struct Writer {
    encoder: Encoder<Sink>,
}

impl Writer {
    pub fn new(out: Vec<u8>) -> Self {
        Writer {
            encoder: Encoder::new(Sink(out)),
        }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.encoder.into_writer().0
    }

    #[inline]
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.encoder.writer_mut().0
    }

    #[inline]
    pub fn position(&self) -> usize {
        self.encoder.writer().0.len()
    }

    #[inline]
    pub fn undefined(&mut self) -> Result<(), EncodeError> {
        Ok(self.encoder.undefined()?.ok()?)
    }

    #[inline]
    pub fn null(&mut self) -> Result<(), EncodeError> {
        Ok(self.encoder.null()?.ok()?)
    }

    #[inline]
    pub fn bool(&mut self, flag: bool) -> Result<(), EncodeError> {
        Ok(self.encoder.bool(flag)?.ok()?)
    }

    /// An integer of at most 53 bits.
    #[inline]
    pub fn integer(&mut self, integer: i64) -> Result<(), EncodeError> {
        Ok(self.encoder.i64(integer)?.ok()?)
    }

    /// An index, or a length of at most 53 bits.
    #[inline]
    pub fn unsigned(&mut self, integer: u64) -> Result<(), EncodeError> {
        Ok(self.encoder.u64(integer)?.ok()?)
    }

    #[inline]
    pub fn number(&mut self, number: f64) -> Result<(), EncodeError> {
        if let Some(integer) = safe_integer(number) {
            return self.integer(integer);
        }
        if number.is_nan() {
            return Ok(self.encoder.f16(QUIET_NAN)?.ok()?);
        }
        match narrow(number) {
            Some((single, true)) => self.encoder.f16(single)?.ok()?,
            Some((single, false)) => self.encoder.f32(single)?.ok()?,
            None => self.encoder.f64(number)?.ok()?,
        }
        Ok(())
    }

    pub fn big_int(&mut self, integer: &BigInt) -> Result<(), EncodeError> {
        self.tag(if integer.is_negative() {
            tag::NEGATIVE_BIGNUM
        } else {
            tag::BIGNUM
        })?;
        self.bytes(&integer.to_bignum())
    }

    #[inline]
    pub fn text(&mut self, text: &str) -> Result<(), EncodeError> {
        Ok(self.encoder.str(text)?.ok()?)
    }

    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        Ok(self.encoder.bytes(bytes)?.ok()?)
    }

    #[inline]
    pub fn array(&mut self, length: usize) -> Result<(), EncodeError> {
        Ok(self.encoder.array(length as u64)?.ok()?)
    }

    #[inline]
    pub fn map(&mut self, length: usize) -> Result<(), EncodeError> {
        Ok(self.encoder.map(length as u64)?.ok()?)
    }

    #[inline]
    pub fn tag(&mut self, tag: u64) -> Result<(), EncodeError> {
        Ok(self.encoder.tag(minicbor::data::Tag::new(tag))?.ok()?)
    }

    /// The head of a generic object with `parts` parts after its class name.
    pub fn class(&mut self, name: &str, parts: usize) -> Result<(), EncodeError> {
        self.tag(tag::CLASS)?;
        self.array(parts + 1)?;
        self.text(name)
    }
}

/// A number as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// At most 53 bits.
    Integer(i64),
    /// Anything else.
    Float(f64),
}

/// Reads items and refuses every encoding but the shortest.
pub(super) struct Reader<'b> {
    decoder: Decoder<'b>,
}

impl<'b> Reader<'b> {
    pub fn new(input: &'b [u8]) -> Self {
        Reader {
            decoder: Decoder::new(input),
        }
    }

    #[inline]
    pub fn position(&self) -> usize {
        self.decoder.position()
    }

    #[inline]
    pub fn set_position(&mut self, position: usize) {
        self.decoder.set_position(position);
    }

    #[inline]
    pub fn input(&self) -> &'b [u8] {
        self.decoder.input()
    }

    /// The first byte of the next item.
    #[inline]
    pub fn peek(&self) -> Result<u8, DecodeError> {
        let byte = self.input().get(self.position()).copied();
        byte.ok_or_else(|| self.error(DecodeErrorKind::UnexpectedEnd))
    }

    /// The major type of the next item.
    #[inline]
    pub fn peek_major(&self) -> Result<u8, DecodeError> {
        Ok(self.peek()? >> 5)
    }

    /// This error at the next item.
    #[inline]
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        kind.at(self.position())
    }

    /// Fails unless the input is read to its end.
    #[inline]
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.position() == self.input().len() {
            Ok(())
        } else {
            Err(self.error(DecodeErrorKind::TrailingBytes))
        }
    }

    /// One item, read by `read` into its content and the argument of its head.
    #[inline]
    fn item<T>(
        &mut self,
        read: impl FnOnce(&mut Decoder<'b>) -> Result<(T, u64), minicbor::decode::Error>,
    ) -> Result<T, DecodeError> {
        let start = self.position();
        let (content, argument) = read(&mut self.decoder).map_err(|error| {
            let kind = if error.is_end_of_input() {
                DecodeErrorKind::UnexpectedEnd
            } else if error.is_type_mismatch() {
                DecodeErrorKind::Unsupported
            } else {
                DecodeErrorKind::Malformed
            };
            kind.at(start)
        })?;
        let shortest = match self.input().get(start).map_or(0, |byte| byte & 0x1f) {
            24 => argument > 23,
            25 => argument > 0xff,
            26 => argument > 0xffff,
            27 => argument > 0xffff_ffff,
            _ => true,
        };
        if shortest {
            Ok(content)
        } else {
            Err(DecodeErrorKind::NotCanonical.at(start))
        }
    }

    /// A simple item of one byte, which the caller has peeked at.
    #[inline]
    pub fn skip_byte(&mut self) {
        self.set_position(self.position().saturating_add(1));
    }

    #[inline]
    pub fn number(&mut self) -> Result<Number, DecodeError> {
        let start = self.position();
        let first = self.peek()?;
        match first {
            simple::HALF | simple::SINGLE | simple::DOUBLE => {
                let number = self
                    .decoder
                    .f64()
                    .map_err(|_| DecodeErrorKind::UnexpectedEnd.at(start))?;
                let shortest = self.position() - start == float_bytes(number);
                let sole_nan = !number.is_nan() || self.input()[start..].starts_with(&[simple::HALF, 0x7e, 0]);
                if shortest && sole_nan && safe_integer(number).is_none() {
                    Ok(Number::Float(number))
                } else {
                    Err(DecodeErrorKind::NotCanonical.at(start))
                }
            }
            _ => {
                let integer = self.item(|decoder| {
                    // Integers beyond 64 bits are refused below like all beyond 53.
                    let integer = i64::try_from(decoder.int()?).unwrap_or(i64::MAX);
                    let argument = if integer < 0 { !integer } else { integer };
                    Ok((integer, argument.unsigned_abs()))
                })?;
                if integer.unsigned_abs() <= SAFE_INTEGER_MAX {
                    Ok(Number::Integer(integer))
                } else {
                    Err(DecodeErrorKind::NotCanonical.at(start))
                }
            }
        }
    }

    /// An unsigned integer of at most 53 bits.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64, DecodeError> {
        let start = self.position();
        match self.item(|decoder| decoder.u64().map(|integer| (integer, integer)))? {
            integer if integer <= SAFE_INTEGER_MAX => Ok(integer),
            _ => Err(DecodeErrorKind::NotCanonical.at(start)),
        }
    }

    /// The content of a bignum after its tag.
    pub fn big_int(&mut self, negative: bool) -> Result<BigInt, DecodeError> {
        let start = self.position();
        let content = self.bytes()?;
        if content.first() == Some(&0) {
            return Err(DecodeErrorKind::NotCanonical.at(start));
        }
        Ok(BigInt::from_bignum(negative, content))
    }

    #[inline]
    pub fn text(&mut self) -> Result<&'b str, DecodeError> {
        self.item(|decoder| decoder.str().map(|text| (text, text.len() as u64)))
    }

    #[inline]
    pub fn bytes(&mut self) -> Result<&'b [u8], DecodeError> {
        self.item(|decoder| decoder.bytes().map(|bytes| (bytes, bytes.len() as u64)))
    }

    /// The length of an array. Every element takes a byte at least, so the input bounds it.
    #[inline]
    pub fn array(&mut self) -> Result<usize, DecodeError> {
        self.collection(Decoder::array, 1)
    }

    /// The number of entries of a map; the input bounds it.
    #[inline]
    pub fn map(&mut self) -> Result<usize, DecodeError> {
        self.collection(Decoder::map, 2)
    }

    #[inline]
    fn collection(
        &mut self,
        head: impl FnOnce(&mut Decoder<'b>) -> Result<Option<u64>, minicbor::decode::Error>,
        entry_bytes_min: usize,
    ) -> Result<usize, DecodeError> {
        let start = self.position();
        let length = self.item(|decoder| head(decoder).map(|length| (length, length.unwrap_or(u64::MAX))))?;
        let length = length.ok_or(DecodeErrorKind::Unsupported.at(start))?;
        let most = self.input().len().saturating_sub(self.position()) / entry_bytes_min;
        match usize::try_from(length) {
            Ok(length) if length <= most => Ok(length),
            _ => Err(DecodeErrorKind::UnexpectedEnd.at(start)),
        }
    }

    #[inline]
    pub fn tag(&mut self) -> Result<u64, DecodeError> {
        self.item(|decoder| decoder.tag().map(|tag| (tag.as_u64(), tag.as_u64())))
    }
}
