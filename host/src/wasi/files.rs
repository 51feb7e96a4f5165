//! Calls on open files and directories: counted, and checked against what is still granted.

use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as p1;

use super::errno::{Errno, Result, check, respond};
use super::fd_table::Wanted;
use super::scratch::{self, Scratch};
use super::{NAMESPACE, fds};
use crate::guest_memory;
use crate::runtime::IsolateState;

/// Most bytes of directory entries read at once.
const READDIR_BYTES_MAX: u32 = 256 * 1024;

/// Bytes of a directory entry before its name: next cookie, inode, length of the name, type.
const DIRENT_BYTES: usize = 24;

/// Registers the calls.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(NAMESPACE, "fd_close", |mut caller, (fd,): (u32,)| {
        Box::new(async move { respond(fd_close(&mut caller, fd).await) })
    })?;
    linker.func_wrap_async(NAMESPACE, "fd_renumber", |mut caller, (from, to): (u32, u32)| {
        Box::new(async move { respond(fd_renumber(&mut caller, from, to).await) })
    })?;
    linker.func_wrap_async(
        NAMESPACE,
        "fd_filestat_set_size",
        |mut caller, (fd, size): (u32, u64)| {
            Box::new(async move { respond(fd_filestat_set_size(&mut caller, fd, size).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "fd_filestat_set_times",
        |mut caller, (fd, atim, mtim, flags): (u32, u64, u64, u32)| {
            Box::new(async move { respond(fd_filestat_set_times(&mut caller, fd, (atim, mtim, flags)).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "fd_readdir",
        |mut caller, (fd, buf, len, cookie, out): (u32, u32, u32, u64, u32)| {
            Box::new(async move { respond(fd_readdir(&mut caller, fd, (buf, len), cookie, out).await) })
        },
    )?;
    Ok(())
}

/// Checks what is granted to a file or directory. Standard streams are none.
fn check_access(caller: &Caller<'_, IsolateState>, fd: u32, wanted: Wanted) -> Result<()> {
    let state = caller.data();
    state.wasi.fds.check(&state.permissions, fd, wanted).map(drop)
}

async fn fd_close(caller: &mut Caller<'_, IsolateState>, fd: u32) -> Result<()> {
    check(
        p1::fd_close(
            scratch::context(caller),
            &mut Scratch::new(0).memory(),
            fd.cast_signed(),
        )
        .await,
    )?;
    fds(caller).closed(fd);
    Ok(())
}

async fn fd_renumber(caller: &mut Caller<'_, IsolateState>, from: u32, to: u32) -> Result<()> {
    let memory = &mut Scratch::new(0);
    check(
        p1::fd_renumber(
            scratch::context(caller),
            &mut memory.memory(),
            from.cast_signed(),
            to.cast_signed(),
        )
        .await,
    )?;
    fds(caller).renumbered(from, to);
    Ok(())
}

async fn fd_filestat_set_size(caller: &mut Caller<'_, IsolateState>, fd: u32, size: u64) -> Result<()> {
    check_access(caller, fd, Wanted::WRITE)?;
    let memory = &mut Scratch::new(0);
    check(
        p1::fd_filestat_set_size(
            scratch::context(caller),
            &mut memory.memory(),
            fd.cast_signed(),
            size.cast_signed(),
        )
        .await,
    )
}

async fn fd_filestat_set_times(
    caller: &mut Caller<'_, IsolateState>,
    fd: u32,
    (atim, mtim, flags): (u64, u64, u32),
) -> Result<()> {
    check_access(caller, fd, Wanted::WRITE)?;
    let memory = &mut Scratch::new(0);
    let (atim, mtim, flags) = (atim.cast_signed(), mtim.cast_signed(), flags.cast_signed());
    check(
        p1::fd_filestat_set_times(
            scratch::context(caller),
            &mut memory.memory(),
            fd.cast_signed(),
            atim,
            mtim,
            flags,
        )
        .await,
    )
}

async fn fd_readdir(
    caller: &mut Caller<'_, IsolateState>,
    fd: u32,
    (buf, len): (u32, u32),
    cookie: u64,
    out: u32,
) -> Result<()> {
    check_access(caller, fd, Wanted::READ)?;
    guest_memory::check_writable(caller, out, 4)?;
    guest_memory::check_writable(caller, buf, len as usize)?;
    let (mut done, mut cookie) = (0, cookie);
    while done < len {
        let cap = (len - done).min(READDIR_BYTES_MAX);
        let entries = read_entries(caller, fd, cap, cookie).await?;
        // Entries that fill a buffer are cut at its end, which only the guest's own buffer may show.
        let (kept, next) = if entries.len() == cap as usize && cap < len - done {
            whole_entries(&entries)
        } else {
            (entries.len(), None)
        };
        guest_memory::write_bytes(caller, buf + done, &entries[..kept])?;
        done += u32::try_from(kept).unwrap_or(cap);
        match next {
            Some(next) => cookie = next,
            None => break,
        }
    }
    Ok(guest_memory::write_u32(caller, out, done)?)
}

/// At most `cap` bytes of directory entries from `cookie` on.
async fn read_entries(caller: &mut Caller<'_, IsolateState>, fd: u32, cap: u32, cookie: u64) -> Result<Vec<u8>> {
    // The count goes behind the entries, at an aligned address.
    let count_at = cap.next_multiple_of(4);
    let mut scratch = Scratch::new(count_at as usize + 4);
    let (fd, cap, cookie, count_ptr) = (
        fd.cast_signed(),
        cap.cast_signed(),
        cookie.cast_signed(),
        count_at.cast_signed(),
    );
    check(
        p1::fd_readdir(
            scratch::context(caller),
            &mut scratch.memory(),
            fd,
            0,
            cap,
            cookie,
            count_ptr,
        )
        .await,
    )?;
    let count = scratch.u32(count_at as usize) as usize;
    Ok(scratch.bytes().get(..count).ok_or(Errno::IO)?.to_vec())
}

/// How many bytes of `entries` are whole entries, and the cookie after them.
fn whole_entries(entries: &[u8]) -> (usize, Option<u64>) {
    let (mut end, mut cookie) = (0, None);
    while let Some(header) = entries.get(end..).and_then(|rest| rest.first_chunk::<DIRENT_BYTES>()) {
        let [n0, n1, n2, n3, n4, n5, n6, n7, ..] = *header;
        let name_len = u32::from_le_bytes([header[16], header[17], header[18], header[19]]) as usize;
        if end + DIRENT_BYTES + name_len > entries.len() {
            break;
        }
        end += DIRENT_BYTES + name_len;
        cookie = Some(u64::from_le_bytes([n0, n1, n2, n3, n4, n5, n6, n7]));
    }
    (end, cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_cut_at_the_end_are_left_out() {
        let entry = |next: u64, name: &str| {
            let mut bytes = next.to_le_bytes().to_vec();
            bytes.extend([0; 8]);
            bytes.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend([0; 4]);
            bytes.extend(name.as_bytes());
            bytes
        };
        let bytes = [entry(1, "."), entry(2, ".."), entry(3, "file")].concat();
        assert_eq!(whole_entries(&bytes), (bytes.len(), Some(3)));
        assert_eq!(whole_entries(&bytes[..bytes.len() - 1]), (bytes.len() - 28, Some(2)));
        assert_eq!(whole_entries(&bytes[..30]), (25, Some(1)));
        assert_eq!(whole_entries(&bytes[..20]), (0, None));
    }
}
