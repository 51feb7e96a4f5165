//! Calls on paths: checked against what is still granted, and moved along with the working directory.

use nodule_abi::limits::PATH_BYTES_MAX;
use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as p1;

use super::errno::{Errno, Result, check, respond};
use super::fd_table::{Target, Wanted};
use super::scratch::{self, Scratch};
use super::{NAMESPACE, fds, guest_cwd};
use crate::guest_memory;
use crate::runtime::IsolateState;

const FILESTAT_BYTES: usize = 64;

const OFLAG_CREAT: u32 = 1 << 0;
const OFLAG_DIRECTORY: u32 = 1 << 1;
const OFLAG_TRUNC: u32 = 1 << 3;

const RIGHT_FD_READ: u64 = 1 << 1;
const RIGHT_FD_WRITE: u64 = 1 << 6;

/// Longest link `path_readlink` reads, as on Linux.
const LINK_BYTES_MAX: u32 = PATH_BYTES_MAX;

/// Registers the calls.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    type Pair = (u32, u32);
    linker.func_wrap_async(
        NAMESPACE,
        "path_open",
        |mut caller,
         (fd, lookup, path, len, oflags, rights, inheriting, fdflags, out): (
            u32,
            u32,
            u32,
            u32,
            u32,
            u64,
            u64,
            u32,
            u32,
        )| {
            let open = Open {
                lookup,
                oflags,
                rights,
                inheriting,
                fdflags,
            };
            Box::new(async move { respond(path_open(&mut caller, fd, (path, len), open, out).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "path_filestat_get",
        |mut caller, (fd, lookup, path, len, out): (u32, u32, u32, u32, u32)| {
            Box::new(async move { respond(path_filestat_get(&mut caller, fd, lookup, (path, len), out).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "path_filestat_set_times",
        |mut caller, (fd, lookup, path, len, atim, mtim, flags): (u32, u32, u32, u32, u64, u64, u32)| {
            Box::new(async move {
                respond(path_filestat_set_times(&mut caller, fd, lookup, (path, len), (atim, mtim, flags)).await)
            })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "path_readlink",
        |mut caller, (fd, path, len, buf, cap, out): (u32, u32, u32, u32, u32, u32)| {
            Box::new(async move { respond(path_readlink(&mut caller, fd, (path, len), (buf, cap), out).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "path_create_directory",
        |mut caller, (fd, path, len): (u32, u32, u32)| {
            Box::new(async move { respond(path_create_directory(&mut caller, fd, (path, len)).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "path_remove_directory",
        |mut caller, (fd, path, len): (u32, u32, u32)| {
            Box::new(async move { respond(path_remove_directory(&mut caller, fd, (path, len)).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "path_unlink_file",
        |mut caller, (fd, path, len): (u32, u32, u32)| {
            Box::new(async move { respond(path_unlink_file(&mut caller, fd, (path, len)).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "path_symlink",
        |mut caller, (text, text_len, fd, path, len): (u32, u32, u32, u32, u32)| {
            Box::new(async move { respond(path_symlink(&mut caller, (text, text_len), fd, (path, len)).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "path_rename",
        |mut caller, (from, path, len, to, to_path, to_len): (u32, u32, u32, u32, u32, u32)| {
            let (from, to): ((u32, Pair), (u32, Pair)) = ((from, (path, len)), (to, (to_path, to_len)));
            Box::new(async move { respond(path_rename(&mut caller, from, to).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "path_link",
        |mut caller, (from, lookup, path, len, to, to_path, to_len): (u32, u32, u32, u32, u32, u32, u32)| {
            let (from, to): ((u32, Pair), (u32, Pair)) = ((from, (path, len)), (to, (to_path, to_len)));
            Box::new(async move { respond(path_link(&mut caller, from, lookup, to).await) })
        },
    )?;
    Ok(())
}

/// Paths in a scratch memory, with room for a result before them.
struct Paths {
    scratch: Scratch,
    /// Address and length of each path.
    places: Vec<(i32, i32)>,
}

impl Paths {
    /// `room` bytes, then the paths.
    fn new(room: usize, paths: &[&str]) -> Result<Self> {
        let mut bytes = vec![0; room];
        let mut places = Vec::with_capacity(paths.len());
        for path in paths {
            let number = |len: usize| i32::try_from(len).map_err(|_| Errno::NAMETOOLONG);
            places.push((number(bytes.len())?, number(path.len())?));
            bytes.extend_from_slice(path.as_bytes());
        }
        Ok(Self {
            scratch: Scratch::of(bytes),
            places,
        })
    }

    fn place(&self, index: usize) -> (i32, i32) {
        self.places.get(index).copied().unwrap_or_default()
    }
}

/// Text of the guest that names a path.
fn read_text(caller: &mut Caller<'_, IsolateState>, (address, len): (u32, u32)) -> Result<String> {
    if len > PATH_BYTES_MAX {
        return Err(Errno::NAMETOOLONG.into());
    }
    Ok(guest_memory::read_str(caller, address, len, PATH_BYTES_MAX)?)
}

/// Reads a path and says where it leads: the descriptor of a directory, and the path within it.
fn resolve(
    caller: &mut Caller<'_, IsolateState>,
    fd: u32,
    path: (u32, u32),
    wanted: Wanted,
) -> Result<(Target, String)> {
    let path = read_text(caller, path)?;
    let state = caller.data();
    let target = state.wasi.fds.target(&state.permissions, fd, wanted, || {
        guest_cwd(&state.permissions, &state.process)
    })?;
    // An absolute or empty path is refused by what follows, as it must be.
    let path = match target.prefix.to_str() {
        Some(prefix) if !prefix.is_empty() && !path.is_empty() && !path.starts_with('/') => format!("{prefix}/{path}"),
        _ => path,
    };
    Ok((target, path))
}

struct Open {
    lookup: u32,
    oflags: u32,
    rights: u64,
    inheriting: u64,
    fdflags: u32,
}

impl Open {
    /// What the file will be used for. `wasmtime_wasi` opens for reading whatever is not opened for writing.
    fn wanted(&self) -> Wanted {
        let writes = self.rights & RIGHT_FD_WRITE != 0;
        Wanted {
            read: self.rights & RIGHT_FD_READ != 0 || !(writes || self.oflags & OFLAG_DIRECTORY != 0),
            write: writes || self.oflags & (OFLAG_CREAT | OFLAG_TRUNC) != 0,
        }
    }
}

async fn path_open(
    caller: &mut Caller<'_, IsolateState>,
    fd: u32,
    path: (u32, u32),
    open: Open,
    out: u32,
) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let (target, path) = resolve(caller, fd, path, open.wanted())?;
    let max = caller.data().limits.max_handles;
    if fds(caller).len() >= max {
        return Err(Errno::MFILE.into());
    }
    let mut paths = Paths::new(4, &[&path])?;
    let (address, len) = paths.place(0);
    let memory = &mut paths.scratch.memory();
    let returned = p1::path_open(
        scratch::context(caller),
        memory,
        target.fd.cast_signed(),
        open.lookup.cast_signed(),
        address,
        len,
        open.oflags.cast_signed(),
        open.rights.cast_signed(),
        open.inheriting.cast_signed(),
        open.fdflags.cast_signed(),
        0,
    );
    check(returned.await)?;
    let opened = paths.scratch.u32(0);
    fds(caller).opened(opened, target.access);
    Ok(guest_memory::write_u32(caller, out, opened)?)
}

async fn path_filestat_get(
    caller: &mut Caller<'_, IsolateState>,
    fd: u32,
    lookup: u32,
    path: (u32, u32),
    out: u32,
) -> Result<()> {
    guest_memory::check_writable(caller, out, FILESTAT_BYTES)?;
    let (target, path) = resolve(caller, fd, path, Wanted::READ)?;
    let mut paths = Paths::new(FILESTAT_BYTES, &[&path])?;
    let ((address, len), fd, lookup) = (paths.place(0), target.fd.cast_signed(), lookup.cast_signed());
    check(
        p1::path_filestat_get(
            scratch::context(caller),
            &mut paths.scratch.memory(),
            fd,
            lookup,
            address,
            len,
            0,
        )
        .await,
    )?;
    Ok(guest_memory::write_bytes(
        caller,
        out,
        &paths.scratch.bytes()[..FILESTAT_BYTES],
    )?)
}

async fn path_filestat_set_times(
    caller: &mut Caller<'_, IsolateState>,
    fd: u32,
    lookup: u32,
    path: (u32, u32),
    (atim, mtim, flags): (u64, u64, u32),
) -> Result<()> {
    let (target, path) = resolve(caller, fd, path, Wanted::WRITE)?;
    let mut paths = Paths::new(0, &[&path])?;
    let (address, len) = paths.place(0);
    let memory = &mut paths.scratch.memory();
    let returned = p1::path_filestat_set_times(
        scratch::context(caller),
        memory,
        target.fd.cast_signed(),
        lookup.cast_signed(),
        address,
        len,
        atim.cast_signed(),
        mtim.cast_signed(),
        flags.cast_signed(),
    );
    check(returned.await)
}

async fn path_readlink(
    caller: &mut Caller<'_, IsolateState>,
    fd: u32,
    path: (u32, u32),
    (buf, cap): (u32, u32),
    out: u32,
) -> Result<()> {
    guest_memory::check_writable(caller, buf, cap as usize)?;
    guest_memory::check_writable(caller, out, 4)?;
    let (target, path) = resolve(caller, fd, path, Wanted::READ)?;
    // The count, then the link, then the path.
    let cap = cap.min(LINK_BYTES_MAX);
    let mut paths = Paths::new(4 + cap as usize, &[&path])?;
    let ((address, len), fd) = (paths.place(0), target.fd.cast_signed());
    let memory = &mut paths.scratch.memory();
    check(
        p1::path_readlink(
            scratch::context(caller),
            memory,
            fd,
            address,
            len,
            4,
            cap.cast_signed(),
            0,
        )
        .await,
    )?;
    let count = paths.scratch.u32(0).min(cap);
    guest_memory::write_bytes(caller, buf, &paths.scratch.bytes()[4..][..count as usize])?;
    Ok(guest_memory::write_u32(caller, out, count)?)
}

async fn path_create_directory(caller: &mut Caller<'_, IsolateState>, fd: u32, path: (u32, u32)) -> Result<()> {
    let (target, path) = resolve(caller, fd, path, Wanted::WRITE)?;
    let mut paths = Paths::new(0, &[&path])?;
    let ((address, len), fd) = (paths.place(0), target.fd.cast_signed());
    check(p1::path_create_directory(scratch::context(caller), &mut paths.scratch.memory(), fd, address, len).await)
}

async fn path_remove_directory(caller: &mut Caller<'_, IsolateState>, fd: u32, path: (u32, u32)) -> Result<()> {
    let (target, path) = resolve(caller, fd, path, Wanted::WRITE)?;
    let mut paths = Paths::new(0, &[&path])?;
    let ((address, len), fd) = (paths.place(0), target.fd.cast_signed());
    check(p1::path_remove_directory(scratch::context(caller), &mut paths.scratch.memory(), fd, address, len).await)
}

async fn path_unlink_file(caller: &mut Caller<'_, IsolateState>, fd: u32, path: (u32, u32)) -> Result<()> {
    let (target, path) = resolve(caller, fd, path, Wanted::WRITE)?;
    let mut paths = Paths::new(0, &[&path])?;
    let ((address, len), fd) = (paths.place(0), target.fd.cast_signed());
    check(p1::path_unlink_file(scratch::context(caller), &mut paths.scratch.memory(), fd, address, len).await)
}

/// The text of a link is no path of ours: it is followed when it is used, within what is granted.
async fn path_symlink(
    caller: &mut Caller<'_, IsolateState>,
    text: (u32, u32),
    fd: u32,
    path: (u32, u32),
) -> Result<()> {
    let text = read_text(caller, text)?;
    let (target, path) = resolve(caller, fd, path, Wanted::WRITE)?;
    let mut paths = Paths::new(0, &[&text, &path])?;
    let ((text, text_len), (address, len), fd) = (paths.place(0), paths.place(1), target.fd.cast_signed());
    check(
        p1::path_symlink(
            scratch::context(caller),
            &mut paths.scratch.memory(),
            text,
            text_len,
            fd,
            address,
            len,
        )
        .await,
    )
}

async fn path_rename(
    caller: &mut Caller<'_, IsolateState>,
    from: (u32, (u32, u32)),
    to: (u32, (u32, u32)),
) -> Result<()> {
    let (from, path) = resolve(caller, from.0, from.1, Wanted::WRITE)?;
    let (to, to_path) = resolve(caller, to.0, to.1, Wanted::WRITE)?;
    let mut paths = Paths::new(0, &[&path, &to_path])?;
    let ((address, len), (to_address, to_len)) = (paths.place(0), paths.place(1));
    let (from, to) = (from.fd.cast_signed(), to.fd.cast_signed());
    let memory = &mut paths.scratch.memory();
    check(
        p1::path_rename(
            scratch::context(caller),
            memory,
            from,
            address,
            len,
            to,
            to_address,
            to_len,
        )
        .await,
    )
}

/// A link makes the file reachable under another name, so it needs the right to read it there and to write here.
async fn path_link(
    caller: &mut Caller<'_, IsolateState>,
    from: (u32, (u32, u32)),
    lookup: u32,
    to: (u32, (u32, u32)),
) -> Result<()> {
    let (from, path) = resolve(
        caller,
        from.0,
        from.1,
        Wanted {
            read: true,
            write: true,
        },
    )?;
    let (to, to_path) = resolve(caller, to.0, to.1, Wanted::WRITE)?;
    let mut paths = Paths::new(0, &[&path, &to_path])?;
    let ((address, len), (to_address, to_len)) = (paths.place(0), paths.place(1));
    let (from, to, lookup) = (from.fd.cast_signed(), to.fd.cast_signed(), lookup.cast_signed());
    let memory = &mut paths.scratch.memory();
    check(
        p1::path_link(
            scratch::context(caller),
            memory,
            from,
            lookup,
            address,
            len,
            to,
            to_address,
            to_len,
        )
        .await,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(oflags: u32, rights: u64) -> Wanted {
        Open {
            lookup: 0,
            oflags,
            rights,
            inheriting: 0,
            fdflags: 0,
        }
        .wanted()
    }

    #[test]
    fn an_open_wants_what_its_descriptor_could_do() {
        let both = Wanted {
            read: true,
            write: true,
        };
        assert_eq!(wanted(0, RIGHT_FD_READ), Wanted::READ);
        assert_eq!(wanted(0, 0), Wanted::READ);
        assert_eq!(
            wanted(OFLAG_DIRECTORY, 0),
            Wanted {
                read: false,
                write: false
            }
        );
        assert_eq!(wanted(0, RIGHT_FD_WRITE), Wanted::WRITE);
        assert_eq!(wanted(OFLAG_CREAT, RIGHT_FD_WRITE), Wanted::WRITE);
        assert_eq!(wanted(OFLAG_TRUNC, RIGHT_FD_READ), both);
        assert_eq!(wanted(OFLAG_CREAT, 0), both);
    }

    #[test]
    fn paths_lie_behind_the_room_for_the_result() {
        let paths = Paths::new(4, &["ab", "c"]).unwrap_or_else(|_| panic!("short paths"));
        assert_eq!((paths.place(0), paths.place(1)), ((4, 2), (6, 1)));
        assert_eq!(paths.scratch.bytes(), b"\0\0\0\0abc");
    }
}
