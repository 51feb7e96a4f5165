//! An allocator that counts live bytes, for the `heapUsed` of `process.memoryUsage()`.

#[cfg(feature = "counting-allocator")]
mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The system's allocator, counting. The SDK installs it as `#[global_allocator]` unless the default
    /// feature `counting-allocator` is off.
    pub struct CountingAllocator {
        live_bytes: AtomicUsize,
    }

    impl CountingAllocator {
        /// An allocator with nothing allocated.
        #[allow(clippy::new_without_default, reason = "only made as a static")]
        pub const fn new() -> Self {
            Self {
                live_bytes: AtomicUsize::new(0),
            }
        }

        /// Bytes allocated and not freed.
        pub fn live_bytes(&self) -> usize {
            self.live_bytes.load(Ordering::Relaxed)
        }
    }

    // SAFETY: every call is passed on to `System` unchanged; the count touches no allocation.
    unsafe impl GlobalAlloc for CountingAllocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise, passed on.
            let block = unsafe { System.alloc(layout) };
            if !block.is_null() {
                self.live_bytes.fetch_add(layout.size(), Ordering::Relaxed);
            }
            block
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise, passed on.
            let block = unsafe { System.alloc_zeroed(layout) };
            if !block.is_null() {
                self.live_bytes.fetch_add(layout.size(), Ordering::Relaxed);
            }
            block
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the caller's promise, passed on.
            unsafe { System.dealloc(block, layout) };
            self.live_bytes.fetch_sub(layout.size(), Ordering::Relaxed);
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            // SAFETY: the caller's promise, passed on.
            let new_block = unsafe { System.realloc(block, layout, new_size) };
            if !new_block.is_null() {
                self.live_bytes.fetch_add(new_size, Ordering::Relaxed);
                self.live_bytes.fetch_sub(layout.size(), Ordering::Relaxed);
            }
            new_block
        }
    }

    #[cfg(target_family = "wasm")]
    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator::new();

    #[cfg(target_family = "wasm")]
    pub(crate) fn heap_used() -> u64 {
        ALLOCATOR.live_bytes() as u64
    }
}

#[cfg(feature = "counting-allocator")]
pub use counting::CountingAllocator;
#[cfg(all(feature = "counting-allocator", target_family = "wasm"))]
pub(crate) use counting::heap_used;

/// 0 tells the host that nobody counts.
#[cfg(not(all(feature = "counting-allocator", target_family = "wasm")))]
pub(crate) fn heap_used() -> u64 {
    0
}
