//! The system calls behind windows: pages of a memfd mapped over linear memory, and zero pages over these.
#![allow(unsafe_code, reason = "maps pages at fixed addresses")]

use std::sync::atomic::AtomicU32;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use rustix::mm::{MapFlags, MremapFlags, ProtFlags};
use wasmtime::{AsContext, Memory};

use super::budget::{self, Permit};
use super::pages::{PAGE_BYTES, Pages};

/// A page of wasm memory as the host counts.
const PAGE: usize = 64 * 1024;
const _: () = assert!(PAGE as u64 == PAGE_BYTES);

/// What one table of the system's pages covers: such tables are moved as a whole.
const LARGE_PAGE: usize = 2 << 20;
/// The same in wasm pages.
const LARGE_PAGE_COUNT: u32 = 32;
const _: () = assert!(LARGE_PAGE_COUNT as usize * PAGE == LARGE_PAGE);

/// Where a linear memory lies. It never moves: the engine is built with `memory_may_move(false)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Linear {
    base: usize,
}

/// A range of whole wasm pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The first page.
    pub start: u32,
    /// How many.
    pub count: u32,
}

impl Range {
    /// The page behind it.
    pub fn end(self) -> u32 {
        self.start + self.count
    }

    fn bytes(self) -> usize {
        self.count as usize * PAGE
    }
}

impl Linear {
    /// The place of `memory`.
    pub fn of(memory: Memory, context: impl AsContext) -> Self {
        Self {
            base: memory.data_ptr(context).addr(),
        }
    }

    /// The first page from `start` on at which a window of `count` pages should begin: large ones where moving them
    /// is fast.
    pub fn aligned(self, start: u32, count: u32) -> u32 {
        if count < LARGE_PAGE_COUNT {
            return start;
        }
        let beyond = (self.base / PAGE + start as usize) % LARGE_PAGE_COUNT as usize;
        let beyond = u32::try_from(beyond).unwrap_or(0);
        start.saturating_add((LARGE_PAGE_COUNT - beyond) % LARGE_PAGE_COUNT)
    }

    fn address(self, page: u32) -> *mut std::ffi::c_void {
        std::ptr::with_exposed_provenance_mut(self.base + page as usize * PAGE)
    }

    /// Maps the pages over `range`, which is as long.
    pub fn map(self, range: Range, pages: &Pages) -> rustix::io::Result<()> {
        debug_assert_eq!(range.count, pages.count());
        // SAFETY: the range lies in a live linear memory (the window table allots only what that memory was grown by),
        // which only guest code and raw accesses of the host reach.
        unsafe {
            rustix::mm::mmap(
                self.address(range.start),
                range.bytes(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::FIXED,
                pages.file(),
                0,
            )
        }
        .map(drop)
    }

    /// Moves the tables of the pages of `range` out of the linear memory, which takes a time that does not depend on
    /// how many are in use. The range shows the pages still: the caller overlays it. Nothing happens when the
    /// system cannot do that.
    pub fn park(self, range: Range) -> Option<Parked> {
        let permit = budget::window().ok()?;
        let source = self.address(range.start);
        let bytes = range.bytes();
        // Of the same place within a large page, so that whole tables of pages are moved at once.
        let reserved = Reserved::new(bytes + LARGE_PAGE)?;
        let offset = source.addr().wrapping_sub(reserved.start) % LARGE_PAGE;
        let target = std::ptr::with_exposed_provenance_mut(reserved.start + offset);
        let flags = MremapFlags::MAYMOVE | MremapFlags::DONTUNMAP;
        // SAFETY: the source is a window of a live memory, which stays mapped; the target was reserved for this.
        let moved = unsafe { rustix::mm::mremap_fixed(source, bytes, bytes, flags, target) };
        if let Err(error) = moved {
            tracing::debug!(%error, "pages cannot be moved; they are mapped anew");
            return None;
        }
        let start = reserved.keep(offset, bytes);
        Some(Parked {
            start,
            bytes,
            _permit: permit,
        })
    }

    /// Moves parked pages over `range`. False when the system cannot do that; then the range may be a hole, which
    /// the caller must fill.
    pub fn unpark(self, range: Range, parked: Parked) -> bool {
        let source = std::ptr::with_exposed_provenance_mut(parked.start);
        let target = self.address(range.start);
        // SAFETY: the source belongs to `parked` alone; the target is as in `map`.
        let moved =
            unsafe { rustix::mm::mremap_fixed(source, parked.bytes, range.bytes(), MremapFlags::MAYMOVE, target) };
        if moved.is_ok() {
            parked.forget();
        }
        moved.is_ok()
    }

    /// Puts fresh private zero pages over `range`. There is no moment without pages.
    pub fn overlay(self, range: Range) -> rustix::io::Result<()> {
        #[cfg(test)]
        refusal::check()?;
        // SAFETY: as in `map`. The flags are those the engine maps memory with, so that the system joins the maps.
        unsafe {
            rustix::mm::mmap_anonymous(
                self.address(range.start),
                range.bytes(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
            )
        }
        .map(drop)
    }
}

/// Lets the system seem to refuse overlays.
#[cfg(test)]
pub(super) mod refusal {
    use std::cell::Cell;

    thread_local! {
        /// How many overlays of this thread succeed before one is refused.
        pub static AFTER: Cell<Option<u32>> = const { Cell::new(None) };
    }

    pub(super) fn check() -> rustix::io::Result<()> {
        let after = AFTER.get();
        AFTER.set(after.and_then(|after| after.checked_sub(1)));
        if after == Some(0) {
            Err(rustix::io::Errno::NOMEM)
        } else {
            Ok(())
        }
    }
}

/// Address space without memory.
struct Reserved {
    start: usize,
    bytes: usize,
}

impl Reserved {
    fn new(bytes: usize) -> Option<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new map at an address of the system's choice.
        let start = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::empty(), flags) };
        let start = start.ok()?.expose_provenance();
        Some(Self { start, bytes })
    }

    /// Gives all of it back but `bytes` at `offset`, and their address.
    fn keep(self, offset: usize, bytes: usize) -> usize {
        let start = self.start + offset;
        unmap(self.start, offset);
        unmap(start + bytes, self.bytes - offset - bytes);
        std::mem::forget(self);
        start
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        unmap(self.start, self.bytes);
    }
}

fn unmap(start: usize, bytes: usize) {
    if bytes > 0 {
        // SAFETY: the caller owns that range of addresses and forgets it.
        let unmapped = unsafe { rustix::mm::munmap(std::ptr::with_exposed_provenance_mut(start), bytes) };
        if let Err(error) = unmapped {
            tracing::error!(%error, "address space is lost");
        }
    }
}

/// Pages on their way from one linear memory to another.
#[derive(Debug)]
pub(super) struct Parked {
    start: usize,
    bytes: usize,
    _permit: Permit,
}

impl Parked {
    /// They were moved on.
    fn forget(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        unmap(self.start, self.bytes);
    }
}

/// Pages as the host itself sees them, for as long as this lives: it looks at single words only, atomically.
#[derive(Debug)]
pub(super) struct View {
    start: usize,
    bytes: usize,
    _permit: Permit,
}

impl View {
    /// Of all of the pages. `ENOMEM` when there are too many maps, or what the system says.
    pub fn new(pages: &Pages) -> Result<Self> {
        let permit = budget::window()?;
        let bytes = pages.count() as usize * PAGE;
        // SAFETY: a new map at an address of the system's choice, of a file that cannot shrink.
        let mapped = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                pages.file(),
                0,
            )
        };
        let start = mapped.map_err(refused)?.expose_provenance();
        Ok(Self {
            start,
            bytes,
            _permit: permit,
        })
    }

    /// The word at an offset that is a multiple of 4.
    pub fn word(&self, offset: u64) -> Option<&AtomicU32> {
        let offset = usize::try_from(offset).ok()?;
        let is_inside = offset.is_multiple_of(4) && offset.checked_add(4)? <= self.bytes;
        let pointer = std::ptr::with_exposed_provenance_mut(self.start + offset);
        // SAFETY: aligned, inside of the map, which lives as long as the reference; all others change it atomically, or they
        // are guests, whose plain stores are as atomic on the machines there are.
        is_inside.then(|| unsafe { AtomicU32::from_ptr(pointer) })
    }
}

impl Drop for View {
    fn drop(&mut self) {
        unmap(self.start, self.bytes);
    }
}

fn refused(error: rustix::io::Errno) -> ErrorRecord {
    let text = format!("the system refused to map a shared buffer: {error}");
    ErrorRecord::new(ErrorCode::Enomem, text)
}
