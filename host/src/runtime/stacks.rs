//! Fiber stacks: mapped in groups and used again.
//!
//! A stack a mapping costs every isolate three system calls, and lies between its memory and that of the next one,
//! so that their guard regions cannot be one mapping. Of 65,530 mappings a process has by default, ten thousand
//! isolates of seven would need 70,000.

use std::ops::Range;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect, munmap};
use wasmtime::{StackCreator, StackMemory};

/// Stacks of the first group; each group is twice as large as the one before.
const GROUP_STACKS_MIN: usize = 1;
/// Stacks of the largest group.
const GROUP_STACKS_MAX: usize = 64;
/// Free stacks that keep their topmost pages.
const WARM_STACKS_MAX: usize = 64;
/// What a free stack keeps: more than most isolates ever use.
const WARM_BYTES: usize = 32 * 1024;

/// All stacks of an engine. They have one size.
pub struct StackPool {
    page: usize,
    /// Of a stack without its guard page.
    bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    groups: Vec<Group>,
    /// First usable addresses of free stacks; those that were used last are at the end.
    warm: Vec<usize>,
    cold: Vec<usize>,
}

/// Stacks mapped together, each above its guard page. Unmapped when dropped.
struct Group {
    start: usize,
    bytes: usize,
}

impl StackPool {
    /// A pool of stacks of at least `bytes`. Maps nothing yet.
    pub fn new(bytes: usize) -> Self {
        let page = rustix::param::page_size();
        Self {
            page,
            bytes: bytes.next_multiple_of(page),
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> std::io::Result<usize> {
        let mut inner = self.lock();
        if let Some(stack) = inner.warm.pop().or_else(|| inner.cold.pop()) {
            return Ok(stack);
        }
        let count = (GROUP_STACKS_MIN << inner.groups.len().min(16)).min(GROUP_STACKS_MAX);
        let group = Group::map(count, self.page, self.bytes)?;
        let start = group.start;
        inner.groups.push(group);
        let stride = self.page + self.bytes;
        let stacks = (1..count).map(|number| start + number * stride + self.page);
        inner.cold.extend(stacks);
        Ok(start + self.page)
    }

    fn give_back(&self, stack: usize) {
        let is_warm = self.lock().warm.len() < WARM_STACKS_MAX;
        let kept = if is_warm { WARM_BYTES.min(self.bytes) } else { 0 };
        discard(stack, self.bytes - kept);
        let mut inner = self.lock();
        match is_warm {
            true => inner.warm.push(stack),
            false => inner.cold.push(stack),
        }
    }
}

/// Gives the pages of a free stack back to the system.
#[allow(unsafe_code, reason = "acts on memory by address")]
fn discard(start: usize, bytes: usize) {
    // SAFETY: the range is part of a stack that is mapped for as long as its pool exists and that nobody uses; its
    // content becomes zero.
    let discarded = unsafe { madvise(ptr::with_exposed_provenance_mut(start), bytes, Advice::LinuxDontNeed) };
    if let Err(error) = discarded {
        tracing::warn!(%error, "the pages of a stack stay in memory");
    }
}

impl Group {
    #[allow(unsafe_code, reason = "maps memory")]
    fn map(count: usize, page: usize, stack_bytes: usize) -> std::io::Result<Self> {
        let stride = page + stack_bytes;
        let bytes = count
            .checked_mul(stride)
            .ok_or(std::io::Error::from(std::io::ErrorKind::OutOfMemory))?;
        // SAFETY: a new mapping at an address that the system chooses.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::empty(), MapFlags::PRIVATE) }?;
        let group = Self {
            start: start.expose_provenance(),
            bytes,
        };
        // Only touched pages shall be resident, not two MiB around each. Kernels without huge pages refuse.
        // SAFETY: inside the new mapping.
        let _ = unsafe { madvise(start, bytes, Advice::LinuxNoHugepage) };
        for number in 0..count {
            let stack = ptr::with_exposed_provenance_mut(group.start + number * stride + page);
            // SAFETY: inside the new mapping, above the guard page of this stack.
            unsafe { mprotect(stack, stack_bytes, MprotectFlags::READ | MprotectFlags::WRITE) }?;
        }
        Ok(group)
    }
}

impl Drop for Group {
    #[allow(unsafe_code, reason = "unmaps memory")]
    fn drop(&mut self) {
        // SAFETY: mapped by `map`; a pool drops its groups when no stack of it is in use, since each holds the pool.
        let unmapped = unsafe { munmap(ptr::with_exposed_provenance_mut(self.start), self.bytes) };
        if let Err(error) = unmapped {
            tracing::warn!(%error, "stacks stay mapped");
        }
    }
}

/// The pool as the engine wants it.
pub struct Stacks(pub Arc<StackPool>);

/// A stack in use; free again when dropped.
struct Stack {
    pool: Arc<StackPool>,
    start: usize,
}

#[allow(unsafe_code, reason = "promises what memory it gives")]
// SAFETY: every stack is page aligned, owned by one `Stack` at a time, and above a guard page.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        wasmtime::ensure!(
            size <= self.0.bytes && !zeroed,
            "stacks of {} bytes are not zeroed and no larger",
            self.0.bytes
        );
        Ok(Box::new(Stack {
            start: self.0.take()?,
            pool: Arc::clone(&self.0),
        }))
    }
}

#[allow(unsafe_code, reason = "promises what memory it gives")]
// SAFETY: as above; the addresses are those of the stack.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        ptr::with_exposed_provenance_mut(self.start + self.pool.bytes)
    }

    fn range(&self) -> Range<usize> {
        self.start..self.start + self.pool.bytes
    }

    fn guard_range(&self) -> Range<*mut u8> {
        ptr::with_exposed_provenance_mut(self.start - self.pool.page)..ptr::with_exposed_provenance_mut(self.start)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.pool.give_back(self.start);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn stacks_are_apart_guarded_and_used_again() {
        let stacks = Stacks(Arc::new(StackPool::new(100_000)));
        let bytes = stacks.0.bytes;
        assert!(bytes >= 100_000 && bytes.is_multiple_of(stacks.0.page));
        let all: Vec<_> = (0..200).map(|_| stacks.new_stack(100_000, false).unwrap()).collect();
        let mut ranges: Vec<_> = all.iter().map(|stack| stack.range()).collect();
        ranges.sort_by_key(|range| range.start);
        assert!(
            ranges
                .windows(2)
                .all(|pair| pair[1].start - pair[0].end >= stacks.0.page),
            "a guard page lies between two"
        );
        let guards: HashSet<_> = mappings("---p");
        for stack in &all {
            let guard = stack.guard_range();
            assert_eq!(guard.end.addr(), stack.range().start);
            assert_eq!(stack.top().addr(), stack.range().end);
            assert!(
                guards
                    .iter()
                    .any(|(start, end)| *start <= guard.start.addr() && guard.end.addr() <= *end)
            );
        }
        drop(all);
        let again: Vec<_> = (0..200).map(|_| stacks.new_stack(100_000, false).unwrap()).collect();
        let groups = stacks.0.lock().groups.len();
        assert_eq!(
            groups, 9,
            "1 + 2 + … + 64 hold 127, two more of 64 the rest: nothing new was mapped"
        );
        assert!(again.iter().all(|stack| ranges.contains(&stack.range())));
        assert!(stacks.new_stack(bytes + 1, false).is_err());
    }

    #[test]
    fn pages_of_free_stacks_are_given_back() {
        let stacks = Stacks(Arc::new(StackPool::new(1 << 20)));
        let all: Vec<_> = (0..WARM_STACKS_MAX * 2)
            .map(|_| stacks.new_stack(1 << 20, false).unwrap())
            .collect();
        for stack in &all {
            touch(stack.range());
        }
        let ranges: Vec<_> = all.iter().map(|stack| stack.range()).collect();
        assert!(ranges.iter().all(|range| resident(range.clone()) == 1 << 20));
        drop(all);
        let left: Vec<_> = ranges.into_iter().map(resident).collect();
        assert!(left.iter().all(|bytes| *bytes <= WARM_BYTES), "{left:?}");
        let warm = left.iter().filter(|bytes| **bytes > 0).count();
        assert_eq!(warm, WARM_STACKS_MAX);
    }

    fn mappings(permissions: &str) -> HashSet<(usize, usize)> {
        let text = std::fs::read_to_string("/proc/self/maps").unwrap();
        let parse = |line: &str| {
            let (range, rest) = line.split_once(' ')?;
            let (start, end) = range.split_once('-')?;
            let address = |text| usize::from_str_radix(text, 16).unwrap();
            rest.starts_with(permissions).then(|| (address(start), address(end)))
        };
        text.lines().filter_map(parse).collect()
    }

    #[allow(unsafe_code, reason = "tests memory")]
    fn touch(range: Range<usize>) {
        for address in range.step_by(rustix::param::page_size()) {
            // SAFETY: a stack that this test owns.
            unsafe { ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
        }
    }

    /// Bytes of a range that are in memory.
    fn resident(range: Range<usize>) -> usize {
        use std::os::unix::fs::FileExt as _;
        let page = rustix::param::page_size();
        let mut entries = vec![0; range.len() / page * 8];
        let file = std::fs::File::open("/proc/self/pagemap").unwrap();
        let offset = u64::try_from(range.start / page * 8).unwrap();
        file.read_exact_at(&mut entries, offset).unwrap();
        // The top bit tells that a page is present.
        entries.chunks(8).filter(|entry| entry[7] & 0x80 != 0).count() * page
    }
}
