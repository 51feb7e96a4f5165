//! Shared values on the way into serde types: a reference is read by reading its target again.

use super::error::{DecodeError, DecodeErrorKind};
use super::wire::{Reader, major, simple, tag};
use alloc::vec::Vec;

/// How many bytes references may make us read again, in multiples of the message's size: references to references
/// would otherwise make a small message expand without end.
const EXPANSION_MAX: usize = 16;
/// Bytes that any message may make us read again.
const EXPANSION_BYTES_MIN: usize = 64 * 1024;

/// The values with tag 28 of a message, as far as it has been read.
pub(super) struct Shared {
    /// In the order of their tags, and so of their positions.
    items: Vec<Item>,
    /// Bytes that may still be read again.
    budget: usize,
}

struct Item {
    /// Position after the tag.
    start: usize,
    /// Whether it is being read: a reference to it from inside is a cycle.
    open: bool,
}

impl Shared {
    pub fn new(message_bytes: usize) -> Self {
        let budget = message_bytes.saturating_mul(EXPANSION_MAX).max(EXPANSION_BYTES_MIN);
        Shared {
            items: Vec::new(),
            budget,
        }
    }

    /// How many tags 28 end before `position`.
    pub fn count_before(&self, position: usize) -> u32 {
        let count = self.items.partition_point(|item| item.start <= position);
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The index of the item after the tag 28 that ends at `start`, which is open now.
    pub fn begin(&mut self, start: usize) -> usize {
        let index = self.note(start);
        if let Some(item) = self.items.get_mut(index) {
            item.open = true;
        }
        index
    }

    /// Marks an item as read.
    pub fn end(&mut self, index: usize) {
        if let Some(item) = self.items.get_mut(index) {
            item.open = false;
        }
    }

    /// Notes a tag 28, unless it has been seen before.
    fn note(&mut self, start: usize) -> usize {
        let index = self.items.partition_point(|item| item.start < start);
        if index == self.items.len() {
            self.items.push(Item { start, open: false });
        }
        index
    }

    /// Goes to the item of this index, which is open then.
    pub fn revisit(&mut self, index: usize, reader: &mut Reader<'_>) -> Result<(), DecodeErrorKind> {
        let item = self.items.get(index).ok_or(DecodeErrorKind::InvalidRef)?;
        if item.open {
            return Err(DecodeErrorKind::Custom(
                "a cycle can only be read into a `Value`".into(),
            ));
        }
        let start = item.start;
        reader.set_position(start);
        self.skip(reader).map_err(|error| error.kind)?;
        let bytes = reader.position().saturating_sub(start);
        let too_many = || DecodeErrorKind::Custom("references expand to too much".into());
        self.budget = self.budget.checked_sub(bytes).ok_or_else(too_many)?;
        reader.set_position(start);
        self.begin(start);
        Ok(())
    }

    /// Skips an item, noting the tags 28 in it. True when there are marks of sharing in it.
    pub fn skip(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        let mut has_marks = false;
        let mut items_left: usize = 1;
        while items_left > 0 {
            items_left -= 1;
            let first = reader.peek()?;
            let members = match first >> 5 {
                major::BYTES => reader.bytes().map(|_| 0)?,
                major::TEXT => reader.text().map(|_| 0)?,
                major::ARRAY => reader.array()?,
                major::MAP => reader.map()?.saturating_mul(2),
                major::TAG => {
                    let tag = reader.tag()?;
                    has_marks |= matches!(tag, tag::SHARED | tag::REF);
                    if tag == tag::SHARED {
                        self.note(reader.position());
                    }
                    1
                }
                _ if matches!(first, simple::FALSE | simple::TRUE | simple::NULL | simple::UNDEFINED) => {
                    reader.skip_byte();
                    0
                }
                _ => reader.number().map(|_| 0)?,
            };
            // Every item takes a byte at least.
            items_left = items_left.saturating_add(members);
            if items_left > reader.input().len().saturating_sub(reader.position()) {
                return Err(reader.error(DecodeErrorKind::UnexpectedEnd));
            }
        }
        Ok(has_marks)
    }
}
