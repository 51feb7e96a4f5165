//! From values to text.

use std::fmt::Write as _;

use nodule_abi::error::ErrorCode;
use nodule_abi::limits::{IPC_MESSAGE_BYTES_MAX, VALUE_DEPTH_MAX};
use nodule_abi::value::{Date, Object, Primitive, SparseArray, TypedArray, TypedArrayKind, Value, View, ViewKind};

use crate::error::{Error, Result};
use crate::messaging::data_clone;

/// Members of an error that are not enumerable in JavaScript.
const HIDDEN_OF_ERRORS: [&str; 4] = ["name", "message", "stack", "cause"];

struct Writer<'a> {
    root: &'a Value,
    text: String,
    /// Ids of the shared values that are being written.
    open: Vec<u32>,
    depth: usize,
}

/// The text of a value.
pub(super) fn text_of(value: &Value) -> Result<String> {
    let mut writer = Writer {
        root: value,
        text: String::new(),
        open: Vec::new(),
        depth: 0,
    };
    writer.value(value)?;
    Ok(writer.text)
}

fn type_error(message: &str) -> Error {
    Error::new(message).named("TypeError")
}

fn no_bigint() -> Error {
    type_error("Do not know how to serialize a BigInt")
}

impl<'a> Writer<'a> {
    fn value(&mut self, value: &'a Value) -> Result<()> {
        match value {
            Value::Undefined | Value::Null => self.text.push_str("null"),
            Value::Bool(flag) => self.bool(*flag),
            Value::Number(number) => self.number(*number),
            Value::String(text) => self.string(text),
            Value::Wtf16(units) => self.wide_string(units),
            Value::BigInt(_) => return Err(no_bigint()),
            Value::Boxed(primitive) => self.primitive(primitive)?,
            Value::Date(date) => self.date(*date),
            Value::Resource(_) => {
                return Err(data_clone(
                    "The value could not be cloned: only channels with the serialization `advanced` carry resources",
                ));
            }
            Value::Map(_) | Value::Set(_) | Value::RegExp(_) | Value::Error(_) | Value::ArrayBuffer(_) => {
                self.text.push_str("{}");
            }
            container => {
                if self.depth >= VALUE_DEPTH_MAX {
                    return Err(data_clone("The value could not be cloned: it is nested too deeply"));
                }
                self.depth += 1;
                self.container(container)?;
                self.depth -= 1;
            }
        }
        // Shared parts are written again at each place, which can add up.
        if self.text.len() > IPC_MESSAGE_BYTES_MAX as usize {
            let code = ErrorCode::IpcMessageTooLarge;
            return Err(Error::with_code(code, code.text()));
        }
        Ok(())
    }

    fn container(&mut self, value: &'a Value) -> Result<()> {
        match value {
            Value::Object(object) => self.members(object, &[]),
            Value::ErrorRecord(object) => self.members(object, &HIDDEN_OF_ERRORS),
            Value::Array(elements) => self.elements(elements.iter().map(Some)),
            Value::SparseArray(array) => self.sparse(array),
            Value::TypedArray(array) => self.typed_array(array.kind, &array.bytes),
            Value::View(view) => self.view(view),
            Value::Shared(id, inner) => self.shared(*id, inner),
            Value::Ref(id) => match find(self.root, *id) {
                Some(inner) => self.shared(*id, inner),
                None => Err(data_clone("The value could not be cloned: a reference leads nowhere")),
            },
            // The other kinds contain nothing.
            _ => Ok(()),
        }
    }

    fn shared(&mut self, id: u32, inner: &'a Value) -> Result<()> {
        if self.open.contains(&id) {
            return Err(type_error("Converting circular structure to JSON"));
        }
        self.open.push(id);
        self.value(inner)?;
        self.open.pop();
        Ok(())
    }

    fn members(&mut self, object: &'a Object, hidden: &[&str]) -> Result<()> {
        let mut separator = '{';
        for (key, value) in object.entries() {
            if matches!(value, Value::Undefined) || hidden.contains(&key.as_str()) {
                continue;
            }
            self.text.push(separator);
            separator = ',';
            self.string(key);
            self.text.push(':');
            self.value(value)?;
        }
        self.text.push_str(if separator == '{' { "{}" } else { "}" });
        Ok(())
    }

    /// `None` is a hole.
    fn elements(&mut self, elements: impl Iterator<Item = Option<&'a Value>>) -> Result<()> {
        self.text.push('[');
        for (index, element) in elements.enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.value(element.unwrap_or(&Value::Null))?;
        }
        self.text.push(']');
        Ok(())
    }

    fn sparse(&mut self, array: &'a SparseArray) -> Result<()> {
        let mut present = array.elements.iter().peekable();
        self.elements((0..array.length).map(|index| {
            let (_, value) = present.next_if(|(place, _)| *place == index)?;
            Some(value)
        }))
    }

    fn typed_array(&mut self, kind: TypedArrayKind, bytes: &[u8]) -> Result<()> {
        match kind {
            TypedArrayKind::Uint8 => {
                self.text.push_str(r#"{"type":"Buffer","data":["#);
                for (index, byte) in bytes.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "," };
                    self.write(format_args!("{separator}{byte}"));
                }
                self.text.push_str("]}");
            }
            TypedArrayKind::BigUint64 | TypedArrayKind::BigInt64 if !bytes.is_empty() => return Err(no_bigint()),
            kind => {
                let array = TypedArray {
                    kind,
                    bytes: bytes.to_vec(),
                };
                let elements: Vec<f64> = Value::TypedArray(array).deserialize_into()?;
                self.text.push('{');
                for (index, element) in elements.into_iter().enumerate() {
                    let separator = if index == 0 { "" } else { "," };
                    self.write(format_args!("{separator}\"{index}\":"));
                    self.number(element);
                }
                self.text.push('}');
            }
        }
        Ok(())
    }

    fn view(&mut self, view: &'a View) -> Result<()> {
        let ViewKind::TypedArray(kind) = view.kind else {
            self.text.push_str("{}");
            return Ok(());
        };
        let mut buffer = view.buffer.unshared();
        if let Value::Ref(id) = buffer {
            buffer = find(self.root, *id).unwrap_or(buffer);
        }
        let Value::ArrayBuffer(buffer) = buffer else {
            // A resource, which the other side would get by itself.
            return self.value(buffer);
        };
        let start = usize::try_from(view.byte_offset).unwrap_or(usize::MAX);
        let bytes = buffer.bytes.get(start..).unwrap_or_default();
        let whole = bytes.len() / kind.element_bytes();
        let length = view
            .length
            .map_or(whole, |length| usize::try_from(length).unwrap_or(whole).min(whole));
        self.typed_array(kind, &bytes[..length * kind.element_bytes()])
    }

    fn primitive(&mut self, primitive: &Primitive) -> Result<()> {
        match primitive {
            Primitive::Boolean(flag) => self.bool(*flag),
            Primitive::Number(number) => self.number(*number),
            Primitive::String(text) => self.string(text),
            Primitive::Wtf16(units) => self.wide_string(units),
            Primitive::BigInt(_) => return Err(no_bigint()),
        }
        Ok(())
    }

    fn bool(&mut self, flag: bool) {
        self.text.push_str(if flag { "true" } else { "false" });
    }

    fn number(&mut self, number: f64) {
        if !number.is_finite() {
            self.text.push_str("null");
        } else if number == 0.0 {
            self.text.push('0');
        } else if (1e-7..1e21).contains(&number.abs()) {
            self.write(format_args!("{number}"));
        } else {
            self.write(format_args!("{number:e}"));
        }
    }

    fn date(&mut self, date: Date) {
        match date.ms() {
            Some(ms) => self.write(format_args!("\"{}\"", iso(ms))),
            None => self.text.push_str("null"),
        }
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        let mut plain = 0;
        for (place, byte) in text.bytes().enumerate() {
            if matches!(byte, b'"' | b'\\' | 0..0x20) {
                self.text.push_str(&text[plain..place]);
                self.escaped(byte);
                plain = place + 1;
            }
        }
        self.text.push_str(&text[plain..]);
        self.text.push('"');
    }

    fn wide_string(&mut self, units: &[u16]) {
        self.text.push('"');
        for letter in char::decode_utf16(units.iter().copied()) {
            match letter {
                Ok(letter) => match u8::try_from(letter) {
                    Ok(byte @ (b'"' | b'\\' | 0..0x20)) => self.escaped(byte),
                    _ => self.text.push(letter),
                },
                Err(lone) => self.write(format_args!("\\u{:04x}", lone.unpaired_surrogate())),
            }
        }
        self.text.push('"');
    }

    fn escaped(&mut self, byte: u8) {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            0x0c => "\\f",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            control => return self.write(format_args!("\\u{control:04x}")),
        };
        self.text.push_str(short);
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

/// The shared value with this id.
fn find(value: &Value, id: u32) -> Option<&Value> {
    match value {
        Value::Shared(known, inner) if *known == id => Some(inner),
        Value::Shared(_, inner) => find(inner, id),
        Value::Object(object) | Value::ErrorRecord(object) => find_in(object, id),
        Value::Array(elements) | Value::Set(elements) => elements.iter().find_map(|element| find(element, id)),
        Value::SparseArray(array) => {
            let mut elements = array.elements.iter().map(|(_, value)| value);
            elements
                .find_map(|element| find(element, id))
                .or_else(|| find_in(&array.named, id))
        }
        Value::Map(pairs) => pairs
            .iter()
            .find_map(|(key, value)| find(key, id).or_else(|| find(value, id))),
        Value::Error(error) => error.cause.as_ref().and_then(|cause| find(cause, id)),
        Value::View(view) => find(&view.buffer, id),
        _ => None,
    }
}

fn find_in(object: &Object, id: u32) -> Option<&Value> {
    object.entries().iter().find_map(|(_, value)| find(value, id))
}

/// A point in time as `Date.prototype.toISOString` writes it.
fn iso(ms: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    let (days, time) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil(days);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{year:+07}"),
    };
    let (hours, minutes) = (time / 3_600_000, time / 60_000 % 60);
    let (seconds, millis) = (time / 1000 % 60, time % 1000);
    format!("{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

/// Year, month and day of a day counted from the epoch: years are counted from March, in eras of 400.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    /// From March 1 of year 0 to the epoch.
    const EPOCH_DAYS: i64 = 719_468;
    let days = days + EPOCH_DAYS;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}
