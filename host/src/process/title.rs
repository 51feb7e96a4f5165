//! The process title: what `ps` shows.
//!
//! The kernel shows the memory the arguments of the process were passed in, so the title is written over them. It
//! is cut to their length, less one byte: the kernel takes a last byte other than NUL as a sign that the title goes on
//! in the environment behind it. After that `std::env::args` reads the title too: [`original_arguments`] has the real
//! ones.
#![allow(
    unsafe_code,
    reason = "the argument area belongs to the process start, no Rust value owns it"
)]

use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::usage::stat_field;

/// What is known of the title; the lock also keeps writers apart.
static TITLE: Mutex<Option<Title>> = Mutex::new(None);

struct Title {
    text: String,
    /// Where it is shown; nothing when the argument area cannot be written safely.
    area: Option<ArgumentArea>,
}

/// How far [`set`] got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// `ps` shows the title, whole or cut.
    InArguments,
    /// The argument area cannot be written safely, so only the kernel's name of the main thread was set.
    InThreadName,
}

/// The arguments of the process as they were passed in, whatever the title is.
pub fn original_arguments() -> &'static [OsString] {
    static ARGUMENTS: OnceLock<Vec<OsString>> = OnceLock::new();
    ARGUMENTS.get_or_init(|| std::env::args_os().collect())
}

/// The title: what [`set`] left, at first the command as it was typed.
pub fn get() -> String {
    let title = TITLE.lock().unwrap_or_else(PoisonError::into_inner);
    title.as_ref().map_or_else(initial, |title| title.text.clone())
}

/// Sets the title up to its first NUL, cut at a character to the length of the argument area, and the name of the main
/// thread (cut to 15 bytes by the kernel).
pub fn set(text: &str) -> Shown {
    original_arguments();
    let text = text.split('\0').next().unwrap_or_default();
    let mut title = TITLE.lock().unwrap_or_else(PoisonError::into_inner);
    let title = title.get_or_insert_with(|| Title {
        text: initial(),
        area: ArgumentArea::find(),
    });
    // Any thread of a process may name any other one of it; the title is that of the process, so the first one's.
    let _ = fs::write("/proc/self/comm", text);
    let Some(area) = &title.area else {
        text.clone_into(&mut title.text);
        return Shown::InThreadName;
    };
    let text = &text[..text.floor_char_boundary(area.capacity())];
    area.write(text.as_bytes());
    text.clone_into(&mut title.text);
    Shown::InArguments
}

fn initial() -> String {
    let command = original_arguments().first();
    command
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The memory the arguments were passed in.
struct ArgumentArea {
    addresses: Range<usize>,
}

impl ArgumentArea {
    /// The area, if the kernel's word on it holds: it lies in the writable stack of the first thread, ends with NUL,
    /// and begins with the first argument.
    fn find() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let addresses = usize::try_from(stat_field(&stat, 48)?).ok()?..usize::try_from(stat_field(&stat, 49)?).ok()?;
        let stack = writable_stack(&fs::read_to_string("/proc/self/maps").ok()?)?;
        if addresses.is_empty() || addresses.start < stack.start || addresses.end > stack.end {
            return None;
        }
        let shown = fs::read("/proc/self/cmdline").ok()?;
        let first = original_arguments().first()?;
        let sound = shown.len() == addresses.len()
            && shown.last() == Some(&0)
            && shown.split(|byte| *byte == 0).next() == Some(first.as_bytes());
        sound.then_some(Self { addresses })
    }

    /// Longest title.
    fn capacity(&self) -> usize {
        self.addresses.len() - 1
    }

    /// Writes `text` and clears what is left of the area.
    fn write(&self, text: &[u8]) {
        debug_assert!(text.len() <= self.capacity());
        let padded = text.iter().copied().take(self.capacity()).chain(std::iter::repeat(0));
        for (address, byte) in self.addresses.clone().zip(padded) {
            let place = std::ptr::with_exposed_provenance_mut::<u8>(address);
            // SAFETY: `find` checked that the range lies in the mapped, writable stack of the first thread, in the
            // part above its frames that the kernel filled with the arguments and that lives as long as the process.
            // No Rust value lives there. Writers are kept apart by the lock of `TITLE`; readers of the C argument
            // strings may see a title instead, which the module documentation tells them. The last byte stays NUL, so
            // they never run past the area.
            unsafe { place.write_volatile(byte) };
        }
    }
}

/// The address range of the first thread's stack, if it is writable, from the text of `/proc/self/maps`.
fn writable_stack(maps: &str) -> Option<Range<usize>> {
    let line = maps.lines().find(|line| line.ends_with("[stack]"))?;
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    if !fields.next()?.starts_with("rw") {
        return None;
    }
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::process::own_process;

    fn shown() -> Vec<u8> {
        fs::read("/proc/self/cmdline").unwrap()
    }

    #[test]
    fn the_title_replaces_what_ps_shows() {
        own_process::run("process::title::tests::in_own_process");
    }

    #[test]
    #[ignore = "changes the title; runs in a process of its own"]
    fn in_own_process() {
        if !own_process::is_own() {
            return;
        }
        let area_len = shown().len();
        assert_eq!(get(), std::env::args().next().unwrap());
        assert_eq!(set("short\0cut"), Shown::InArguments);
        assert_eq!(get(), "short");
        assert!(std::env::args().next().unwrap() == "short" && original_arguments().len() > 1);
        assert!(shown().starts_with(b"short\0") && shown()[5..].iter().all(|byte| *byte == 0));
        assert_eq!(fs::read_to_string("/proc/self/comm").unwrap(), "short\n");

        set(&"é".repeat(area_len));
        assert_eq!(shown().len(), area_len, "the title must not run into the environment");
        assert_eq!(get(), "é".repeat((area_len - 1) / 2));
        assert_eq!(
            std::env::vars()
                .find(|(key, _)| key == "PATH")
                .map(|(_, path)| path.contains('/')),
            Some(true)
        );

        set("a title from a thread");
        std::thread::spawn(|| set("from a thread of twenty")).join().unwrap();
        assert_eq!(get(), "from a thread of twenty");
        assert_eq!(fs::read_to_string("/proc/self/comm").unwrap(), "from a thread o\n");
        set("");
        assert_eq!(get(), "");
        assert!(shown().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn only_a_writable_stack_counts() {
        let maps = "00400000-00452000 r-xp 0 0:1 5 /bin/x\n7ffc1000-7ffc2000 rw-p 0 0:0 0    [stack]\n";
        assert_eq!(writable_stack(maps), Some(0x7ffc_1000..0x7ffc_2000));
        assert_eq!(writable_stack(&maps.replace("rw-p", "r--p")), None);
        assert_eq!(writable_stack("nothing"), None);
    }
}
