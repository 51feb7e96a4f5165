//! What error messages say about a value they refuse.

use super::{Primitive, Value};
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;

/// Longest string that is shown whole, in UTF-16 code units.
const STRING_UNITS_MAX: usize = 28;
/// Code units that are shown of a longer one.
const STRING_UNITS_SHOWN: usize = 25;

impl Value {
    /// What follows "Received " in the message of an `ERR_INVALID_ARG_TYPE`: `undefined`, `type number (5)`,
    /// `type string ('abc')`, `an instance of Array`…
    pub fn describe(&self) -> String {
        match self {
            Value::Undefined => "undefined".to_string(),
            Value::Null => "null".to_string(),
            Value::Bool(flag) => format!("type boolean ({flag})"),
            Value::Number(number) => format!("type number ({})", number_text(*number)),
            Value::BigInt(integer) => format!("type bigint ({integer}n)"),
            Value::String(text) => describe_string(text.encode_utf16()),
            Value::Wtf16(units) => describe_string(units.iter().copied()),
            Value::Shared(_, inner) => inner.describe(),
            object => format!("an instance of {}", object.class_name()),
        }
    }

    /// The class of an object.
    fn class_name(&self) -> &str {
        match self {
            Value::Array(_) | Value::SparseArray(_) => "Array",
            Value::Map(_) => "Map",
            Value::Set(_) => "Set",
            Value::Date(_) => "Date",
            Value::RegExp(_) => "RegExp",
            Value::Boxed(primitive) => Primitive::class(primitive),
            Value::Error(error) => error.kind.name(),
            Value::ErrorRecord(record) => record.get("name").and_then(Value::as_str).unwrap_or("Error"),
            Value::ArrayBuffer(_) => "ArrayBuffer",
            Value::TypedArray(array) => array.kind.name(),
            Value::View(view) => view.kind.name(),
            // Which class a resource or a reference is of is known elsewhere.
            _ => "Object",
        }
    }
}

fn describe_string(units: impl Iterator<Item = u16> + Clone) -> String {
    let is_long = units.clone().nth(STRING_UNITS_MAX).is_some();
    let shown = if is_long { STRING_UNITS_SHOWN } else { STRING_UNITS_MAX };
    let mut text: String = char::decode_utf16(units.take(shown))
        .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    if is_long {
        text.push_str("...");
    }
    if text.contains('\'') {
        format!("type string ({})", quoted(&text))
    } else {
        format!("type string ('{text}')")
    }
}

/// The string as `JSON.stringify` writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            // Writing to a string cannot fail.
            control @ '\0'..='\u{1f}' => drop(write!(quoted, "\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The number as JavaScript writes it, but with the sign of negative zero.
fn number_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_string();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_string();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if exponent >= 21 => format!("{mantissa}e+{exponent}"),
        Ok(exponent) if exponent < -6 => format!("{mantissa}e{exponent}"),
        _ => format!("{number}"),
    }
}
