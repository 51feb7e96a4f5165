//! An allocator that counts: for the `heapUsed` of `process.memoryUsage()`, and for the host's heap statistics and
//! heap profiles.

#[cfg(all(feature = "counting-allocator", target_family = "wasm"))]
mod counting {
    use core::cell::Cell;
    use std::alloc::{GlobalAlloc, Layout, System};

    use nodule_abi::hooks;

    /// What the host reads; see [`hooks::HEAP`].
    #[repr(C, align(8))]
    struct Figures {
        version: u32,
        sample_interval: Cell<u32>,
        live_bytes: Cell<u64>,
        peak_bytes: Cell<u64>,
        total_allocated_bytes: Cell<u64>,
        until_sample: Cell<i64>,
    }

    const _: () = {
        assert!(size_of::<Figures>() == hooks::HEAP_FIGURES_BYTES);
        assert!(core::mem::offset_of!(Figures, version) == hooks::HEAP_FIGURES_VERSION_AT);
        assert!(core::mem::offset_of!(Figures, sample_interval) == hooks::HEAP_FIGURES_INTERVAL_AT);
        assert!(core::mem::offset_of!(Figures, live_bytes) == hooks::HEAP_FIGURES_LIVE_AT);
        assert!(core::mem::offset_of!(Figures, peak_bytes) == hooks::HEAP_FIGURES_PEAK_AT);
        assert!(core::mem::offset_of!(Figures, total_allocated_bytes) == hooks::HEAP_FIGURES_TOTAL_AT);
        assert!(core::mem::offset_of!(Figures, until_sample) == hooks::HEAP_FIGURES_UNTIL_AT);
    };

    /// The system's allocator, counting. The SDK installs it as `#[global_allocator]` unless the default
    /// feature `counting-allocator` is off.
    pub struct CountingAllocator(Figures);

    // SAFETY: an instance has one thread, and the host reads and writes only while that stands still.
    unsafe impl Sync for CountingAllocator {}

    impl CountingAllocator {
        /// An allocator with nothing allocated.
        #[allow(clippy::new_without_default, reason = "only made as a static")]
        pub const fn new() -> Self {
            Self(Figures {
                version: hooks::HEAP_FIGURES_VERSION,
                sample_interval: Cell::new(0),
                live_bytes: Cell::new(0),
                peak_bytes: Cell::new(0),
                total_allocated_bytes: Cell::new(0),
                until_sample: Cell::new(0),
            })
        }

        /// Bytes allocated and not freed.
        pub fn live_bytes(&self) -> usize {
            usize::try_from(self.0.live_bytes.get()).unwrap_or(usize::MAX)
        }

        #[inline]
        fn grow(&self, size: usize) {
            let figures = &self.0;
            let live = figures.live_bytes.get() + size as u64;
            figures.live_bytes.set(live);
            if live > figures.peak_bytes.get() {
                figures.peak_bytes.set(live);
            }
            figures
                .total_allocated_bytes
                .set(figures.total_allocated_bytes.get().wrapping_add(size as u64));
            if figures.sample_interval.get() != 0 {
                self.sample(size);
            }
        }

        #[inline]
        fn shrink(&self, size: usize) {
            let live = self.0.live_bytes.get();
            self.0.live_bytes.set(live.saturating_sub(size as u64));
        }

        /// While a heap profile runs.
        #[cold]
        #[inline(never)]
        fn sample(&self, size: usize) {
            let figures = &self.0;
            let interval = i64::from(figures.sample_interval.get());
            let left = figures.until_sample.get().saturating_sub(size as i64);
            figures.until_sample.set(left);
            if left <= 0 {
                figures.until_sample.set(interval);
                let since_last = u64::try_from(interval.saturating_sub(left)).unwrap_or(0);
                // SAFETY: takes a number.
                unsafe { nodule_abi::imports::diagnostics::raw::heap_sample(since_last) };
            }
        }
    }

    // SAFETY: every call is passed on to `System` unchanged; the counts touch no allocation.
    unsafe impl GlobalAlloc for CountingAllocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise, passed on.
            let block = unsafe { System.alloc(layout) };
            if !block.is_null() {
                self.grow(layout.size());
            }
            block
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise, passed on.
            let block = unsafe { System.alloc_zeroed(layout) };
            if !block.is_null() {
                self.grow(layout.size());
            }
            block
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the caller's promise, passed on.
            unsafe { System.dealloc(block, layout) };
            self.shrink(layout.size());
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            // SAFETY: the caller's promise, passed on.
            let new_block = unsafe { System.realloc(block, layout, new_size) };
            if !new_block.is_null() {
                self.shrink(layout.size());
                self.grow(new_size);
            }
            new_block
        }
    }

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator::new();

    pub(crate) fn heap_used() -> u64 {
        ALLOCATOR.0.live_bytes.get()
    }

    /// Tells the host where the allocator counts.
    #[unsafe(no_mangle)]
    pub extern "C" fn nodule_heap() -> *const u8 {
        (&raw const ALLOCATOR.0).cast()
    }
}

#[cfg(all(feature = "counting-allocator", target_family = "wasm"))]
pub use counting::CountingAllocator;
#[cfg(all(feature = "counting-allocator", target_family = "wasm"))]
pub(crate) use counting::heap_used;

/// 0 tells the host that nobody counts.
#[cfg(not(all(feature = "counting-allocator", target_family = "wasm")))]
pub(crate) fn heap_used() -> u64 {
    0
}
