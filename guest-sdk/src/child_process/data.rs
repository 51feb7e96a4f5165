//! Output that was collected, as text or as bytes.

use std::borrow::Cow;
use std::fmt;

/// What becomes of output (Node: `encoding`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Text; what is not UTF-8 becomes U+FFFD.
    Utf8,
    /// Bytes as they came (Node: `'buffer'`).
    Buffer,
}

/// By Node's name; names that are no encoding stand for bytes.
impl From<&str> for Encoding {
    fn from(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "utf8" | "utf-8" => Self::Utf8,
            _ => Self::Buffer,
        }
    }
}

/// Output of a child: a string or a buffer, by [`Encoding`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Decoded.
    Text(String),
    /// As it came.
    Bytes(Vec<u8>),
}

impl Data {
    /// Bytes, decoded as `encoding` says.
    pub(super) fn new(bytes: Vec<u8>, encoding: Encoding) -> Self {
        match encoding {
            Encoding::Buffer => Self::Bytes(bytes),
            Encoding::Utf8 => Self::Text(match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The text; of bytes, what they are in UTF-8.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

/// The text.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Decodes text that comes in pieces.
#[derive(Default)]
struct Decoder {
    /// The beginning of a letter.
    rest: Vec<u8>,
}

impl Decoder {
    fn push(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let mut text = String::new();
        let mut left = self.rest.as_slice();
        loop {
            let error = match std::str::from_utf8(left) {
                Ok(valid) => {
                    text.push_str(valid);
                    left = &[];
                    break;
                }
                Err(error) => error,
            };
            let (valid, after) = left.split_at(error.valid_up_to());
            text.push_str(&String::from_utf8_lossy(valid));
            left = after;
            let Some(len) = error.error_len() else { break };
            text.push(char::REPLACEMENT_CHARACTER);
            left = &left[len..];
        }
        self.rest = left.to_vec();
        text
    }

    /// What the letter becomes that is not complete.
    fn end(&mut self) -> String {
        let rest = std::mem::take(&mut self.rest);
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// Collects a stream up to a limit in bytes.
pub(super) struct Collector {
    data: Data,
    decoder: Decoder,
    max: usize,
    len: usize,
}

/// There was more than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl Collector {
    pub fn new(encoding: Encoding, max: usize) -> Self {
        Self {
            data: Data::new(Vec::new(), encoding),
            decoder: Decoder::default(),
            max,
            len: 0,
        }
    }

    /// Takes a piece. Of text that is too much as many UTF-16 code units are kept as bytes were left: what Node does.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Overflow> {
        match &mut self.data {
            Data::Bytes(bytes) => {
                let left = self.max - self.len;
                bytes.extend_from_slice(&chunk[..chunk.len().min(left)]);
                count(&mut self.len, chunk.len(), self.max)
            }
            Data::Text(_) => {
                let text = self.decoder.push(chunk);
                self.push_text(&text)
            }
        }
    }

    /// The stream has ended.
    pub fn end(&mut self) -> Result<(), Overflow> {
        let text = self.decoder.end();
        self.push_text(&text)
    }

    fn push_text(&mut self, text: &str) -> Result<(), Overflow> {
        let left = self.max - self.len;
        let counted = count(&mut self.len, text.len(), self.max);
        if let Data::Text(all) = &mut self.data {
            match counted {
                Ok(()) => all.push_str(text),
                Err(Overflow) => {
                    let units: Vec<u16> = text.encode_utf16().take(left).collect();
                    all.push_str(&String::from_utf16_lossy(&units));
                }
            }
        }
        counted
    }

    /// What was collected.
    pub fn take(&mut self) -> Data {
        match &mut self.data {
            Data::Text(text) => Data::Text(std::mem::take(text)),
            Data::Bytes(bytes) => Data::Bytes(std::mem::take(bytes)),
        }
    }
}

fn count(len: &mut usize, more: usize, max: usize) -> Result<(), Overflow> {
    let sum = len.saturating_add(more);
    *len = sum.min(max);
    if sum > max { Err(Overflow) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(encoding: Encoding, max: usize, chunks: &[&[u8]]) -> (Data, bool) {
        let mut collector = Collector::new(encoding, max);
        let mut has_overflowed = chunks.iter().any(|chunk| collector.push(chunk).is_err());
        if !has_overflowed {
            has_overflowed = collector.end().is_err();
        }
        (collector.take(), has_overflowed)
    }

    fn text(text: &str) -> Data {
        Data::Text(text.to_owned())
    }

    #[test]
    fn letters_that_come_in_pieces_are_put_together() {
        let cases: [(&[&[u8]], &str); 4] = [
            (&["aé".as_bytes()], "aé"),
            (&[b"a\xf0\x9f", b"\xa6", b"\x80b"], "a🦀b"),
            (&[b"\xffa\xe2\x82", b"a"], "\u{fffd}a\u{fffd}a"),
            (&[b"a\xe2\x82"], "a\u{fffd}"),
        ];
        for (chunks, wanted) in cases {
            assert_eq!(collected(Encoding::Utf8, usize::MAX, chunks), (text(wanted), false));
        }
    }

    #[test]
    fn the_limit_counts_bytes_and_keeps_units() {
        let four = "中文测试".as_bytes();
        assert_eq!(collected(Encoding::Utf8, 12, &[four]), (text("中文测试"), false));
        assert_eq!(collected(Encoding::Utf8, 10, &[four]), (text("中文测试"), true));
        assert_eq!(collected(Encoding::Utf8, 3, &[four]), (text("中文测"), true));
        assert_eq!(collected(Encoding::Utf8, 3, &[b"ab", b"cd"]), (text("abc"), true));
        let bytes = |bytes: &[u8]| Data::Bytes(bytes.to_vec());
        assert_eq!(collected(Encoding::Buffer, 4, &[b"ab", b"cd"]), (bytes(b"abcd"), false));
        assert_eq!(collected(Encoding::Buffer, 3, &[b"ab", b"cd"]), (bytes(b"abc"), true));
        assert_eq!(collected(Encoding::Buffer, 0, &[b""]), (bytes(b""), false));
        // What the last letter becomes counts, too.
        assert_eq!(collected(Encoding::Utf8, 2, &[b"a\xe2\x82"]), (text("a\u{fffd}"), true));
    }
}
