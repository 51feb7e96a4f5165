//! The windows of one isolate: which ranges of its linear memory belong to buffers, and which are free for the next.
//!
//! Ranges come from growing the memory, so they never overlap the initial image or what the guest's allocator owns. A
//! range that is not used any more is overlaid with zero pages and kept, for memories cannot shrink.
//!
//! The engine drops an isolate's state before its memories. The table overlays all windows when it is dropped, so that a
//! slot of a pool never keeps shared pages for its next tenant: on return, trap, cancellation and panic.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::WINDOWS_MAX;

use super::budget::{self, Permit};
use super::buffer::SharedBuffer;
use super::mapping::{Linear, Range};
use super::pages::{PAGE_BYTES, Pages, PagesId};

/// Most free ranges between windows and memory of the guest's own.
const FREE_RANGES_MAX: usize = 4 * WINDOWS_MAX;

/// Pages that wasm32 can address.
const PAGES_MAX: u32 = 65_536;

/// What a window shows.
#[derive(Clone, Debug)]
pub enum Backing {
    /// A shared buffer.
    Shared(Arc<SharedBuffer>),
    /// Pages that this isolate alone has.
    Private(Arc<Pages>),
}

impl Backing {
    /// The pages.
    pub fn pages(&self) -> &Pages {
        match self {
            Self::Shared(buffer) => buffer.pages(),
            Self::Private(pages) => pages,
        }
    }
}

#[derive(Debug)]
struct Window {
    backing: Backing,
    /// How many handles use it.
    uses: usize,
}

/// Where the next window goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its range.
    range: Range,
    /// Pages of the memory now.
    size: u32,
    /// Pages by which it must be grown first.
    pub growth: u32,
}

/// A window that was taken away.
#[derive(Debug)]
pub struct Removed {
    start: u32,
    backing: Backing,
}

/// The windows.
#[derive(Debug, Default)]
pub struct Windows {
    linear: Option<Linear>,
    /// By first page.
    windows: BTreeMap<u32, Window>,
    by_pages: HashMap<PagesId, u32>,
    /// Lengths of free ranges by first page; two never touch.
    free: BTreeMap<u32, u32>,
    /// One for each window and free range that there ever was at a time.
    permits: Vec<Permit>,
}

fn no_memory(message: impl Into<String>) -> Box<ErrorRecord> {
    ErrorRecord::new(ErrorCode::Enomem, message).into()
}

impl Windows {
    /// Uses the window of these pages once more, if there is one. Gives its address.
    pub fn reuse(&mut self, id: PagesId) -> Option<u32> {
        let start = *self.by_pages.get(&id)?;
        self.windows.get_mut(&start)?.uses += 1;
        Some(address(start))
    }

    /// Finds a place for `count` pages in a memory of `size` pages: the first free range that fits, else behind
    /// the memory, together with the free range at its end. `ENOMEM` when there are too many windows.
    pub(super) fn place(&mut self, linear: Linear, count: u32, size: u32) -> Result<Place> {
        if self.windows.len() >= WINDOWS_MAX || self.free.len() >= FREE_RANGES_MAX {
            return Err(no_memory(format!(
                "more than {WINDOWS_MAX} windows of shared memory in one isolate"
            )));
        }
        // Within a free range a window leaves one at each side.
        while self.permits.len() < self.windows.len() + self.free.len() + 2 {
            self.permits.push(budget::window()?);
        }
        for (start, free) in &self.free {
            let range = Range {
                start: linear.aligned(*start, count),
                count,
            };
            if range.end() <= start + free {
                return Ok(Place { range, size, growth: 0 });
            }
        }
        let start = linear.aligned(self.free_end(size).unwrap_or(size), count);
        match start.checked_add(count) {
            Some(end) if end <= PAGES_MAX => Ok(Place {
                range: Range { start, count },
                size,
                growth: end.saturating_sub(size),
            }),
            _ => Err(no_memory("the memory of the module is full")),
        }
    }

    /// Where the free range at the end of a memory of `size` pages begins.
    fn free_end(&self, size: u32) -> Option<u32> {
        let last = self.free.last_key_value();
        last.filter(|(start, free)| **start + **free == size)
            .map(|(start, _)| *start)
    }

    /// Maps pages at a place that was just found and grown. Gives the address.
    pub(super) fn map(&mut self, linear: Linear, place: Place, backing: Backing) -> Result<u32> {
        debug_assert!(self.linear.is_none_or(|known| known == linear), "memories never move");
        self.linear = Some(linear);
        let Place { range, size, growth } = place;
        if growth > 0 {
            // The free range at the end of the memory goes on up to the new end.
            let start = self.free_end(size).unwrap_or(size);
            self.free.insert(start, size + growth - start);
        }
        show(linear, range, backing.pages())?;
        if let Some((start, free)) = self.free.range(..=range.start).next_back() {
            let (start, end) = (*start, start + free);
            self.free.remove(&start);
            for (start, end) in [(start, range.start), (range.end(), end)] {
                if start < end {
                    self.free.insert(start, end - start);
                }
            }
        }
        self.by_pages.insert(backing.pages().id(), range.start);
        self.windows.insert(range.start, Window { backing, uses: 1 });
        Ok(address(range.start))
    }

    /// Ends one use of the window of these pages. With the last the range becomes zeros and free, and what was there is
    /// given.
    pub fn release(&mut self, id: PagesId) -> Result<Option<Removed>> {
        let Some(start) = self.by_pages.get(&id).copied() else {
            return Ok(None);
        };
        if let Some(window) = self.windows.get_mut(&start)
            && window.uses > 1
        {
            window.uses -= 1;
            return Ok(None);
        }
        self.unmap(start, id)
    }

    /// Takes the last [`Windows::release`] back, or the last but those that were taken back already.
    pub fn restore(&mut self, id: PagesId, removed: Option<Removed>) -> Result<()> {
        let (Some(linear), Some(Removed { start, backing })) = (self.linear, removed) else {
            self.reuse(id);
            return Ok(());
        };
        let count = backing.pages().count();
        let place = Place {
            range: Range { start, count },
            size: 0,
            growth: 0,
        };
        self.map(linear, place, backing).map(drop)
    }

    fn unmap(&mut self, start: u32, id: PagesId) -> Result<Option<Removed>> {
        let (Some(linear), Some(window)) = (self.linear, self.windows.get(&start)) else {
            return Ok(None);
        };
        let mut range = Range {
            start,
            count: window.backing.pages().count(),
        };
        let before = self
            .free
            .range(..start)
            .next_back()
            .map(|(start, count)| (*start, *count));
        if let Some((first, count)) = before.filter(|(first, count)| first + count == start) {
            range = Range {
                start: first,
                count: count + range.count,
            };
        }
        let behind = self.free.get(&range.end()).copied();
        let merged = Range {
            count: range.count + behind.unwrap_or(0),
            ..range
        };
        if let Backing::Private(pages) = &window.backing
            && let Some(parked) = linear.park(Range {
                start,
                count: pages.count(),
            })
        {
            pages.park(parked);
        }
        // All of the free range at once, so that it stays one map however often its parts were used.
        linear.overlay(merged).map_err(|error| {
            tracing::error!(%error, "a window of shared memory could not be removed");
            no_memory(format!("the system refused to remove the window: {error}"))
        })?;
        self.free.remove(&range.end());
        self.free.insert(merged.start, merged.count);
        self.by_pages.remove(&id);
        let window = self.windows.remove(&start);
        Ok(window.map(|Window { backing, .. }| Removed { start, backing }))
    }

    /// The shared buffer whose window has `address`, and the offset in it.
    pub fn find(&self, address: u32) -> Option<(&Arc<SharedBuffer>, u64)> {
        let page = page_of(u64::from(address));
        let (start, window) = self.windows.range(..=page).next_back()?;
        let offset = u64::from(address) - u64::from(*start) * PAGE_BYTES;
        match &window.backing {
            Backing::Shared(buffer) if offset < u64::from(buffer.pages().count()) * PAGE_BYTES => {
                Some((buffer, offset))
            }
            Backing::Shared(_) | Backing::Private(_) => None,
        }
    }

    /// Whether any byte of a range belongs to a window.
    pub fn overlap(&self, start: u64, len: u64) -> bool {
        if self.windows.is_empty() || len == 0 {
            return false;
        }
        let last = page_of(start + len - 1);
        self.windows
            .range(..=last)
            .next_back()
            .is_some_and(|(first, window)| u64::from(*first + window.backing.pages().count()) * PAGE_BYTES > start)
    }

    /// The free ranges: first page and length.
    #[cfg(test)]
    pub fn free_ranges(&self) -> Vec<(u32, u32)> {
        self.free.iter().map(|(start, count)| (*start, *count)).collect()
    }

    /// The windows of shared buffers: where they lie in the memory, in bytes.
    pub fn shared(&self) -> impl Iterator<Item = (&Arc<SharedBuffer>, std::ops::Range<usize>)> {
        self.windows.iter().filter_map(|(start, window)| match &window.backing {
            Backing::Shared(buffer) => {
                let start = address(*start) as usize;
                let bytes = usize::try_from(u64::from(buffer.pages().count()) * PAGE_BYTES).unwrap_or(usize::MAX);
                Some((buffer, start..start + bytes))
            }
            Backing::Private(_) => None,
        })
    }

    /// How many windows there are.
    pub fn count(&self) -> usize {
        self.windows.len()
    }

    /// Bytes of all windows.
    pub fn bytes(&self) -> u64 {
        let counts = self
            .windows
            .values()
            .map(|window| u64::from(window.backing.pages().count()));
        counts.sum::<u64>() * PAGE_BYTES
    }

    /// Takes all windows away and gives what each had: first address and pages. For the end of the process only.
    pub(super) fn take_all(&mut self) -> Vec<(u32, Backing)> {
        self.overlay_all();
        self.by_pages.clear();
        let windows = std::mem::take(&mut self.windows);
        windows
            .into_iter()
            .map(|(start, window)| (address(start), window.backing))
            .collect()
    }

    fn overlay_all(&mut self) {
        let Some(linear) = self.linear else { return };
        for (start, window) in &self.windows {
            let range = Range {
                start: *start,
                count: window.backing.pages().count(),
            };
            if let Err(error) = linear.overlay(range) {
                // The range is exactly one map, so nothing is split and the budget leaves room: this does not happen.
                // Going on would show these pages to a stranger.
                eprintln!("nodule: a window of shared memory cannot be removed: {error}");
                std::process::abort();
            }
        }
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        self.overlay_all();
    }
}

/// Lets `range` show the pages.
fn show(linear: Linear, range: Range, pages: &Pages) -> Result<()> {
    let parked = pages.unpark();
    let had_parked = parked.is_some();
    if parked.is_some_and(|parked| linear.unpark(range, parked)) {
        return Ok(());
    }
    let Err(error) = linear.map(range, pages) else {
        return Ok(());
    };
    tracing::warn!(%error, "the system refused a window of shared memory");
    if had_parked && linear.overlay(range).is_err() {
        // There may be nothing at all, where the next map of the process would land.
        eprintln!("nodule: a window of shared memory cannot be mapped: {error}");
        std::process::abort();
    }
    Err(no_memory(format!("the system refused the window: {error}")))
}

fn address(page: u32) -> u32 {
    // Below the last page of the memory.
    page * 65_536
}

fn page_of(address: u64) -> u32 {
    u32::try_from(address / PAGE_BYTES).unwrap_or(u32::MAX)
}
