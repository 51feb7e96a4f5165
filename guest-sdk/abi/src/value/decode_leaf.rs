//! Decoders of the kinds that hold no other values.

use super::Value;
use super::error::{DecodeError, DecodeErrorKind};
use super::kinds::{Date, Primitive, RegExp, TypedArray, TypedArrayKind};
use super::wire::{Number, Reader, class, major, simple, tag};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A number.
#[allow(clippy::cast_precision_loss, reason = "integers have at most 53 bits")]
pub(super) fn number(reader: &mut Reader<'_>) -> Result<f64, DecodeError> {
    Ok(match reader.number()? {
        Number::Integer(integer) => integer as f64,
        Number::Float(number) => number,
    })
}

/// An item of major type 7.
pub(super) fn simple_value(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    let value = match reader.peek()? {
        simple::FALSE => Value::Bool(false),
        simple::TRUE => Value::Bool(true),
        simple::NULL => Value::Null,
        simple::UNDEFINED => Value::Undefined,
        simple::HALF | simple::SINGLE | simple::DOUBLE => return number(reader).map(Value::Number),
        _ => return Err(reader.error(DecodeErrorKind::Unsupported)),
    };
    reader.skip_byte();
    Ok(value)
}

/// The time after a tag 1.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the cast saturates and its result is compared with the number"
)]
pub(super) fn date(reader: &mut Reader<'_>) -> Result<Date, DecodeError> {
    let start = reader.position();
    let date = match reader.number()? {
        Number::Integer(seconds) => seconds.checked_mul(1000).map(Date::from_ms),
        Number::Float(seconds) if seconds.is_nan() => return Ok(Date::INVALID),
        Number::Float(seconds) => {
            let half = if seconds < 0.0 { -0.5 } else { 0.5 };
            let ms = (seconds * 1000.0 + half) as i64;
            let exact = ms.unsigned_abs() < Date::FLOAT_MS_MAX && ms % 1000 != 0 && ms as f64 / 1000.0 == seconds;
            exact.then(|| Date::from_ms(ms))
        }
    };
    valid_date(date, start)
}

/// The time after a tag 1001.
pub(super) fn extended_time(reader: &mut Reader<'_>) -> Result<Date, DecodeError> {
    let start = reader.position();
    let [first_key, seconds, second_key, ms] = match reader.map()? {
        2 => [reader.number()?, reader.number()?, reader.number()?, reader.number()?],
        _ => return Err(DecodeErrorKind::Invalid("date").at(start)),
    };
    let date = match (first_key, seconds, second_key, ms) {
        (Number::Integer(1), Number::Integer(seconds), Number::Integer(-3), Number::Integer(ms @ 1..=999)) => {
            seconds.checked_mul(1000).and_then(|whole_ms| whole_ms.checked_add(ms))
        }
        _ => None,
    };
    valid_date(
        date.filter(|ms| ms.unsigned_abs() >= Date::FLOAT_MS_MAX)
            .map(Date::from_ms),
        start,
    )
}

/// The date, if there is one in range.
fn valid_date(date: Option<Date>, start: usize) -> Result<Date, DecodeError> {
    date.filter(|date| *date != Date::INVALID)
        .ok_or(DecodeErrorKind::Invalid("date").at(start))
}

/// Source and flags after a tag 21066.
pub(super) fn reg_exp(reader: &mut Reader<'_>) -> Result<RegExp, DecodeError> {
    let start = reader.position();
    if reader.array()? != 2 {
        return Err(DecodeErrorKind::Invalid("regular expression").at(start));
    }
    let expression = RegExp {
        source: reader.text()?.to_string(),
        flags: reader.text()?.to_string(),
    };
    if expression.flags.is_empty() {
        Err(DecodeErrorKind::NotCanonical.at(start))
    } else if expression.is_valid() {
        Ok(expression)
    } else {
        Err(DecodeErrorKind::Invalid("regular expression flags").at(start))
    }
}

/// The elements after the tag of a typed array.
pub(super) fn typed_array(reader: &mut Reader<'_>, kind: TypedArrayKind) -> Result<TypedArray, DecodeError> {
    let start = reader.position();
    let array = TypedArray {
        kind,
        bytes: reader.bytes()?.to_vec(),
    };
    if array.is_valid() {
        Ok(array)
    } else {
        Err(DecodeErrorKind::Invalid("typed array").at(start))
    }
}

/// The index after the tag of a resource, or the length of an array.
pub(super) fn index_u32(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let start = reader.position();
    u32::try_from(reader.unsigned()?).map_err(|_| DecodeErrorKind::Invalid("index").at(start))
}

/// The code units of a string with lone surrogates.
pub(super) fn wtf16(reader: &mut Reader<'_>) -> Result<Vec<u16>, DecodeError> {
    let start = reader.position();
    let bytes = reader.bytes()?;
    if bytes.len() % 2 != 0 {
        return Err(DecodeErrorKind::Invalid("WTF-16 string").at(start));
    }
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    if String::from_utf16(&units).is_ok() {
        Err(DecodeErrorKind::NotCanonical.at(start))
    } else {
        Ok(units)
    }
}

/// The primitive in an object of class `name`.
pub(super) fn primitive(reader: &mut Reader<'_>, name: &str) -> Result<Primitive, DecodeError> {
    let start = reader.position();
    let primitive = match reader.peek_major()? {
        major::TEXT => Primitive::String(reader.text()?.to_string()),
        major::TAG => match reader.tag()? {
            tag::BIGNUM => Primitive::BigInt(reader.big_int(false)?),
            tag::NEGATIVE_BIGNUM => Primitive::BigInt(reader.big_int(true)?),
            tag::CLASS if reader.array()? == 2 && reader.text()? == class::WTF16 => Primitive::Wtf16(wtf16(reader)?),
            _ => return Err(DecodeErrorKind::Invalid("boxed primitive").at(start)),
        },
        major::UNSIGNED | major::NEGATIVE => Primitive::Number(number(reader)?),
        _ => match simple_value(reader)? {
            Value::Bool(flag) => Primitive::Boolean(flag),
            Value::Number(number) => Primitive::Number(number),
            _ => return Err(DecodeErrorKind::Invalid("boxed primitive").at(start)),
        },
    };
    if primitive.class() == name {
        Ok(primitive)
    } else {
        Err(DecodeErrorKind::Invalid("boxed primitive").at(start))
    }
}
