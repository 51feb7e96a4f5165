//! Which pages of a linear memory hold anything, and their bytes.
//!
//! Bytes are read by atomic loads, a word at a time where it can be, and never through a reference: pages of shared memory may change meanwhile.
//! Pages that were never touched are told by the system's page table and not read, or a memory of 4 GiB with one page
//! in use would cost a million page faults.
#![allow(unsafe_code, reason = "reads memory that others may write")]

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::marker::PhantomData;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use wasmtime::{AsContext, Memory, SharedMemory};

/// A linear memory of a store that is borrowed, so that nothing grows, moves or goes away.
#[derive(Clone, Copy)]
pub(super) struct LiveMemory<'a> {
    start: *const u8,
    len: usize,
    store: PhantomData<&'a ()>,
}

const WORD_BYTES: usize = size_of::<u64>();

impl<'a> LiveMemory<'a> {
    /// Of the store alone.
    pub(super) fn of(memory: Memory, context: &'a impl AsContext) -> Self {
        Self {
            start: memory.data_ptr(context),
            len: memory.data_size(context),
            store: PhantomData,
        }
    }

    /// Of several stores; it never shrinks.
    pub(super) fn shared(memory: &'a SharedMemory) -> Self {
        let data = memory.data();
        Self {
            start: data.as_ptr().cast(),
            len: data.len(),
            store: PhantomData,
        }
    }

    /// Its size in bytes.
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// Tells whether two are the same memory.
    pub(super) fn is(self, other: LiveMemory<'_>) -> bool {
        self.start == other.start && self.len == other.len
    }

    /// Appends the bytes of a range that lies within the memory, and tells whether any of them is not 0.
    pub(super) fn append(self, range: Range<usize>, into: &mut Vec<u8>) -> bool {
        let range = range.start.min(self.len)..range.end.min(self.len);
        let first = into.len();
        into.resize(first + range.len(), 0);
        let start = self.start.wrapping_add(range.start);
        if start.addr() % WORD_BYTES != 0 || range.len() % WORD_BYTES != 0 {
            let mut any = 0;
            for (offset, byte) in into[first..].iter_mut().enumerate() {
                // SAFETY: the byte lies within the memory, which lives as long as `self`.
                *byte = unsafe { &*start.wrapping_add(offset).cast::<AtomicU8>() }.load(Ordering::Relaxed);
                any |= *byte;
            }
            return any != 0;
        }
        let mut any = 0;
        let (words, _) = into[first..].as_chunks_mut::<WORD_BYTES>();
        for (number, bytes) in words.iter_mut().enumerate() {
            let address = start.wrapping_add(number * WORD_BYTES);
            // SAFETY: the word is aligned and lies within the memory, which lives as long as `self`.
            let word = unsafe { &*address.cast::<AtomicU64>() }.load(Ordering::Relaxed);
            any |= word;
            *bytes = word.to_ne_bytes();
        }
        any != 0
    }

    fn addresses(self) -> Range<usize> {
        self.start.addr()..self.start.addr() + self.len
    }
}

/// Entries of the page table that are read at once.
const BATCH_ENTRIES: usize = 8 * 1024;
const ENTRY_BYTES: usize = 8;
/// The page is in memory.
const PRESENT: u64 = 1 << 63;
/// The page is in swap.
const SWAPPED: u64 = 1 << 62;

/// The system's page table of this process.
pub(super) struct PageTable {
    pagemap: Option<File>,
    page_bytes: usize,
}

impl PageTable {
    /// The table; where it cannot be read every page counts as used.
    pub(super) fn open() -> Self {
        Self {
            pagemap: File::open("/proc/self/pagemap").ok(),
            page_bytes: rustix::param::page_size(),
        }
    }

    /// Bytes of a memory that are in the machine's memory, its size where the system does not tell.
    pub(super) fn resident_bytes(&self, memory: LiveMemory<'_>) -> usize {
        let mut resident = 0;
        self.for_each_entry(memory, |range, entry| {
            if entry.is_none_or(|entry| entry & PRESENT != 0) {
                resident += range.len();
            }
        });
        resident
    }

    /// Calls `visit` with every range, of a page or less, that may hold anything but zeros.
    pub(super) fn for_each_used(&self, memory: LiveMemory<'_>, mut visit: impl FnMut(Range<usize>)) {
        // An untouched page of a file, as an image of initial data is, is not empty.
        let files = file_mappings(memory.addresses());
        self.for_each_entry(memory, |range, entry| {
            let address = memory.addresses().start + range.start;
            let of_file = || match &files {
                Some(files) => files.iter().any(|file| file.contains(&address)),
                None => true,
            };
            if entry.is_none_or(|entry| entry & (PRESENT | SWAPPED) != 0) || of_file() {
                visit(range);
            }
        });
    }

    fn for_each_entry(&self, memory: LiveMemory<'_>, mut visit: impl FnMut(Range<usize>, Option<u64>)) {
        let Range { start: first, end } = memory.addresses();
        let mut buffer = vec![0; BATCH_ENTRIES * ENTRY_BYTES];
        let mut address = first;
        while address < end {
            let page = address / self.page_bytes;
            let pages = (end.div_ceil(self.page_bytes) - page).min(BATCH_ENTRIES);
            let bytes = &mut buffer[..pages * ENTRY_BYTES];
            let offset = page as u64 * ENTRY_BYTES as u64;
            let known = match &self.pagemap {
                Some(file) => file.read_exact_at(bytes, offset).is_ok(),
                None => false,
            };
            let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
            for (index, entry) in entries.iter().enumerate() {
                let next = ((page + index + 1) * self.page_bytes).min(end);
                visit(address - first..next - first, known.then(|| u64::from_ne_bytes(*entry)));
                address = next;
            }
        }
    }
}

/// The parts of an address range that are mapped from files; `None` where the system does not tell.
fn file_mappings(within: Range<usize>) -> Option<Vec<Range<usize>>> {
    let mut mappings = Vec::new();
    for line in BufReader::new(File::open("/proc/self/maps").ok()?).lines() {
        let line = line.ok()?;
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        if start >= within.end {
            break;
        }
        // Permissions, offset, device; then the inode, 0 for what is no file.
        let inode = fields.nth(3)?;
        if end > within.start && inode != "0" {
            mappings.push(start..end);
        }
    }
    Some(mappings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(bytes: &[u64]) -> LiveMemory<'_> {
        LiveMemory {
            start: bytes.as_ptr().cast(),
            len: size_of_val(bytes),
            store: PhantomData,
        }
    }

    #[test]
    fn bytes_of_any_range_are_read() {
        let words: Vec<u64> = (0..8).map(|word| word * 0x0101_0101_0101_0101).collect();
        let memory = live(&words);
        let all: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        for (start, end) in [(0, 64), (0, 8), (3, 29), (8, 9), (60, 64), (5, 5)] {
            let mut bytes = Vec::new();
            let any = memory.append(start..end, &mut bytes);
            assert_eq!(bytes, all[start..end], "{start}..{end}");
            assert_eq!(any, all[start..end].iter().any(|byte| *byte != 0), "{start}..{end}");
        }
        let mut bytes = Vec::new();
        assert!(!memory.append(64..1000, &mut bytes), "nothing beyond the memory");
        assert!(bytes.is_empty());
    }

    #[test]
    fn untouched_pages_are_left_out_and_touched_ones_are_not() {
        // Zeroed memory of this size is mapped and not touched.
        let mut words = vec![0_u64; 32 << 20];
        words[1 << 20] = 1;
        words[31 << 20] = 2;
        let memory = live(&words);
        let mut used = Vec::new();
        PageTable::open().for_each_used(memory, |range| used.push(range));
        for touched in [8 << 20, 8 * (31 << 20)] {
            assert!(used.iter().any(|range| range.contains(&touched)), "{touched}");
        }
        assert!(used.len() < 5000, "{} of 65536 pages", used.len());
        assert!(PageTable::open().resident_bytes(memory) < 32 << 20);
    }
}
