//! From text to values.

use nodule_abi::limits::VALUE_DEPTH_MAX;
use nodule_abi::value::Value;

use super::{Unreadable, unreadable};
use crate::error::Error;

struct Parser<'a> {
    text: &'a str,
    place: usize,
    depth: usize,
}

/// The value of a text.
pub(super) fn parse(text: &str) -> Result<Value, Unreadable> {
    let mut parser = Parser {
        text,
        place: 0,
        depth: 0,
    };
    let value = parser.value()?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.unexpected()),
    }
}

impl Parser<'_> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.place..];
        let blanks = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.place += blanks.count();
        self.byte()
    }

    /// The next byte.
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.place).copied()
    }

    /// Skips the next byte if it is this one.
    fn take(&mut self, wanted: u8) -> bool {
        let is_next = self.byte() == Some(wanted);
        self.place += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Unreadable> {
        match self.peek() {
            Some(byte) if byte == wanted => {
                self.place += 1;
                Ok(())
            }
            _ => Err(self.unexpected()),
        }
    }

    fn unexpected(&self) -> Unreadable {
        let place = self.place;
        let what = self.text.get(place..).and_then(|rest| rest.chars().next());
        let message = match what {
            Some(letter) => format!("Unexpected token {letter:?} in JSON at position {place}"),
            None => "Unexpected end of JSON input".to_owned(),
        };
        Unreadable::NotJson(Error::new(message).named("SyntaxError"))
    }

    fn value(&mut self) -> Result<Value, Unreadable> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(Text::into_value),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected()),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Unreadable> {
        if self.text[self.place..].starts_with(word) {
            self.place += word.len();
            Ok(value)
        } else {
            Err(self.unexpected())
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, Unreadable>) -> Result<Value, Unreadable> {
        if self.depth >= VALUE_DEPTH_MAX {
            return Err(Unreadable::NoValue(unreadable("it is nested too deeply")));
        }
        self.depth += 1;
        self.place += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// Whether another element follows `count` of them; skips the comma or the `end`.
    fn has_more(&mut self, count: usize, end: u8) -> Result<bool, Unreadable> {
        if self.peek() == Some(end) {
            self.place += 1;
            return Ok(false);
        }
        if count > 0 {
            self.expect(b',')?;
        }
        Ok(true)
    }

    fn array(&mut self) -> Result<Value, Unreadable> {
        let mut elements = Vec::new();
        while self.has_more(elements.len(), b']')? {
            elements.push(self.value()?);
        }
        Ok(Value::Array(elements))
    }

    fn object(&mut self) -> Result<Value, Unreadable> {
        let mut members = Vec::new();
        while self.has_more(members.len(), b'}')? {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected());
            }
            let key = self.string()?.into_string();
            self.expect(b':')?;
            members.push((key, self.value()?));
        }
        Ok(Value::object(members))
    }

    fn digits(&mut self) -> Result<(), Unreadable> {
        let start = self.place;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.place += 1;
        }
        if self.place == start {
            return Err(self.unexpected());
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, Unreadable> {
        let start = self.place;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        match self.text[start..self.place].parse() {
            Ok(number) => Ok(Value::Number(number)),
            Err(_) => Err(self.unexpected()),
        }
    }

    fn string(&mut self) -> Result<Text, Unreadable> {
        self.place += 1;
        let mut text = Text::Plain(String::new());
        loop {
            let rest = &self.text[self.place..];
            let plain = rest
                .bytes()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
                .unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            self.place += plain;
            if self.take(b'"') {
                return Ok(text);
            }
            if !self.take(b'\\') {
                return Err(self.unexpected());
            }
            text = self.escape(text)?;
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self, mut text: Text) -> Result<Text, Unreadable> {
        let letter = match self.byte() {
            Some(b'u') => {
                self.place += 1;
                return Ok(text.with_unit(self.unit()?));
            }
            Some(b'b') => "\u{8}",
            Some(b'f') => "\u{c}",
            Some(b'n') => "\n",
            Some(b'r') => "\r",
            Some(b't') => "\t",
            Some(b'"') => "\"",
            Some(b'\\') => "\\",
            Some(b'/') => "/",
            _ => return Err(self.unexpected()),
        };
        self.place += 1;
        text.push_str(letter);
        Ok(text)
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u16, Unreadable> {
        let digits = self.text.get(self.place..self.place + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                self.place += 4;
                Ok(unit)
            }
            None => Err(self.unexpected()),
        }
    }
}

/// A string that is being read.
enum Text {
    Plain(String),
    /// With surrogates, which may be lone.
    Wide(Vec<u16>),
}

impl Text {
    fn push_str(&mut self, text: &str) {
        match self {
            Self::Plain(plain) => plain.push_str(text),
            Self::Wide(units) => units.extend(text.encode_utf16()),
        }
    }

    fn with_unit(self, unit: u16) -> Self {
        match self {
            Self::Plain(mut plain) => match char::from_u32(unit.into()) {
                Some(letter) => {
                    plain.push(letter);
                    Self::Plain(plain)
                }
                None => Self::Wide(plain.encode_utf16().chain([unit]).collect()),
            },
            Self::Wide(mut units) => {
                units.push(unit);
                Self::Wide(units)
            }
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Plain(text) => Value::String(text),
            Self::Wide(units) => Value::from_utf16(&units),
        }
    }

    /// Keys of objects have no lone surrogates here.
    fn into_string(self) -> String {
        match self {
            Self::Plain(text) => text,
            Self::Wide(units) => String::from_utf16_lossy(&units),
        }
    }
}
