//! Files, directories, grants.

use nodule::permissions::DirAccess;
use nodule::{IsolateRole, Limits, Permissions};

use super::guest::{CREATE, DIRECTORY, Guest, READ, TempDir, WRITE, errno};

async fn with_dir(dir: &TempDir, access: DirAccess) -> Guest {
    let permissions = Permissions::none().dir(dir.path(), "/data", access).unwrap();
    Guest::new(|builder| builder.permissions(permissions)).await
}

#[tokio::test]
async fn a_grant_is_a_directory_under_its_name() {
    let dir = TempDir::new();
    let mut guest = with_dir(&dir, DirAccess::ReadWrite).await;
    let out = guest.room(8);
    assert_eq!(guest.call("fd_prestat_get", (3, out)).await, 0);
    assert_eq!((guest.u32(out), guest.u32(out + 4)), (0, 5));
    assert_eq!(guest.call("fd_prestat_dir_name", (3, out, 5)).await, 0);
    assert_eq!(guest.bytes(out, 5), b"/data");
    assert_eq!(guest.call("fd_prestat_get", (4, out)).await, errno::BADF);
    let mut none = Guest::new(|builder| builder).await;
    assert_eq!(none.call("fd_prestat_get", (3, 64)).await, errno::BADF);
    assert_eq!(none.open(3, "x", CREATE, WRITE).await, Err(errno::BADF));
}

#[tokio::test]
async fn files_are_read_and_written_whole() {
    let dir = TempDir::new();
    let mut guest = with_dir(&dir, DirAccess::ReadWrite).await;
    let fd = guest.open(3, "file", CREATE, READ | WRITE).await.unwrap();
    let large: Vec<u8> = (0..700_000_u32).map(|index| (index % 251) as u8).collect();
    assert_eq!(guest.write(fd, &[b"head", &large, b"", b"tail"]).await, Ok(700_008));
    let whole = [b"head".as_slice(), &large, b"tail"].concat();
    assert!(std::fs::read(dir.path().join("file")).unwrap() == whole);
    let out = guest.room(64);
    assert_eq!(guest.call("fd_tell", (fd, out)).await, 0);
    assert_eq!(guest.u64(out), 700_008);
    assert_eq!(guest.call("fd_seek", (fd, 0_i64, 0, out)).await, 0);
    assert!(guest.read(fd, 1_000_000).await.unwrap() == whole);
    assert_eq!(guest.read(fd, 10).await, Ok(Vec::new()));

    let part = guest.put(b"HEAD");
    let (iovecs, count) = guest.iovecs(&[part, (part.0, 2)]);
    assert_eq!(guest.call("fd_pwrite", (fd, iovecs, count, 700_004_i64, out)).await, 0);
    assert_eq!(guest.u32(out), 6);
    let (first, second) = (guest.room(4), guest.room(4));
    let (iovecs, count) = guest.iovecs(&[(first, 4), (second, 4)]);
    assert_eq!(guest.call("fd_pread", (fd, iovecs, count, 700_004_i64, out)).await, 0);
    assert_eq!(guest.u32(out), 6);
    assert_eq!(
        (guest.bytes(first, 4), guest.bytes(second, 2)),
        (b"HEAD".to_vec(), b"HE".to_vec())
    );
    assert_eq!(guest.call("fd_filestat_get", (fd, out)).await, 0);
    assert_eq!(guest.u64(out + 32), 700_010);
    assert_eq!(guest.call("fd_filestat_set_size", (fd, 4_i64)).await, 0);
    assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"head");
    assert_eq!(guest.call("fd_close", fd).await, 0);
    assert_eq!(guest.write(fd, &[b"x"]).await, Err(errno::BADF));
}

#[tokio::test]
async fn a_large_directory_is_listed_once_with_any_buffer() {
    let dir = TempDir::new();
    for index in 0..2500 {
        std::fs::write(dir.path().join(format!("{index:0>120}")), "").unwrap();
    }
    let mut guest = with_dir(&dir, DirAccess::Read).await;
    let buffer = guest.room(1 << 20);
    let out = guest.room(4);
    for len in [1 << 20, 100_000] {
        let (mut names, mut cookie) = (Vec::new(), 0_u64);
        loop {
            assert_eq!(
                guest
                    .call("fd_readdir", (3, buffer, len, cookie.cast_signed(), out))
                    .await,
                0
            );
            let used = guest.u32(out) as usize;
            let bytes = guest.bytes(buffer, used);
            let mut rest = bytes.as_slice();
            while rest.len() >= 24 {
                let name_len = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
                let Some(name) = rest.get(24..24 + name_len) else { break };
                cookie = u64::from_le_bytes(rest[..8].try_into().unwrap());
                names.push(String::from_utf8(name.to_vec()).unwrap());
                rest = &rest[24 + name_len..];
            }
            if used < len as usize {
                break;
            }
        }
        assert_eq!(names.len(), 2502);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 2502);
    }
}

#[tokio::test]
async fn paths_do_what_their_names_say() {
    let dir = TempDir::new();
    let mut guest = with_dir(&dir, DirAccess::ReadWrite).await;
    let (a, b, link) = (guest.put(b"a"), guest.put(b"sub/b"), guest.put(b"link"));
    let sub = guest.put(b"sub");
    assert_eq!(guest.call("path_create_directory", (3, sub.0, sub.1)).await, 0);
    let fd = guest.open(3, "a", CREATE, WRITE).await.unwrap();
    assert_eq!(guest.write(fd, &[b"12345"]).await, Ok(5));
    assert_eq!(guest.call("path_rename", (3, a.0, a.1, 3, b.0, b.1)).await, 0);
    assert_eq!(guest.call("path_link", (3, 0, b.0, b.1, 3, a.0, a.1)).await, 0);
    assert_eq!(guest.call("path_symlink", (b.0, b.1, 3, link.0, link.1)).await, 0);
    let out = guest.room(64);
    let buffer = guest.room(16);
    assert_eq!(
        guest.call("path_readlink", (3, link.0, link.1, buffer, 16, out)).await,
        0
    );
    assert_eq!(guest.u32(out), 5);
    assert_eq!(guest.bytes(buffer, 5), b"sub/b");
    assert_eq!(guest.call("path_filestat_get", (3, 1, link.0, link.1, out)).await, 0);
    assert_eq!((guest.u64(out + 24), guest.u64(out + 32)), (2, 5));
    assert_eq!(
        guest
            .call("path_filestat_set_times", (3, 0, a.0, a.1, 0_i64, 7_000_000_000_i64, 4))
            .await,
        0
    );
    assert_eq!(guest.call("path_filestat_get", (3, 0, a.0, a.1, out)).await, 0);
    assert_eq!(guest.u64(out + 48), 7_000_000_000);
    assert_eq!(guest.call("path_unlink_file", (3, b.0, b.1)).await, 0);
    assert_eq!(guest.call("path_unlink_file", (3, b.0, b.1)).await, errno::NOENT);
    assert_eq!(guest.call("path_remove_directory", (3, sub.0, sub.1)).await, 0);
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"12345");
}

#[tokio::test]
async fn no_path_leads_out_of_a_grant() {
    let (dir, outside) = (TempDir::new(), TempDir::new());
    std::fs::write(outside.path().join("secret"), "x").unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), dir.path().join("link")).unwrap();
    let mut guest = with_dir(&dir, DirAccess::ReadWrite).await;
    let relative = format!("../{}/secret", outside.path().file_name().unwrap().to_str().unwrap());
    let absolute = outside.path().join("secret").to_str().unwrap().to_owned();
    for path in [relative.as_str(), absolute.as_str(), "link", "/", ".."] {
        assert_eq!(guest.open(3, path, 0, READ).await, Err(errno::PERM), "{path}");
    }
    assert_eq!(guest.open(3, "", 0, READ).await, Err(errno::NOENT));
    assert_eq!(guest.open(3, "a\0b", 0, READ).await, Err(errno::INVAL));
    let long = "x".repeat(5000);
    assert_eq!(guest.open(3, &long, 0, READ).await, Err(errno::NAMETOOLONG));
    let (path, len) = guest.put(b"\xff\xfe");
    let out = guest.room(4);
    assert_eq!(
        guest.call("path_open", (3, 1, path, len, 0, READ, READ, 0, out)).await,
        errno::ILSEQ
    );
}

#[tokio::test]
async fn a_read_only_grant_changes_nothing() {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("file"), "kept").unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    let mut guest = with_dir(&dir, DirAccess::Read).await;
    let file = guest.open(3, "file", 0, READ).await.unwrap();
    let sub = guest.open(3, "sub", DIRECTORY, READ).await.unwrap();
    let name = guest.put(b"file");
    let new = guest.put(b"new");
    let calls = [
        guest.open(3, "file", 0, WRITE).await.unwrap_err(),
        guest.open(3, "file", 8, READ).await.unwrap_err(),
        guest.open(sub, "new", CREATE, WRITE).await.unwrap_err(),
        guest.call("path_create_directory", (sub, new.0, new.1)).await,
        guest.call("path_unlink_file", (3, name.0, name.1)).await,
        guest.call("path_rename", (3, name.0, name.1, sub, new.0, new.1)).await,
        guest.call("path_link", (3, 0, name.0, name.1, sub, new.0, new.1)).await,
        guest.call("path_symlink", (name.0, name.1, 3, new.0, new.1)).await,
        guest
            .call("path_filestat_set_times", (3, 0, name.0, name.1, 0_i64, 0_i64, 4))
            .await,
        guest.call("fd_filestat_set_times", (file, 0_i64, 0_i64, 4)).await,
        guest.call("fd_filestat_set_size", (file, 0_i64)).await,
    ];
    assert_eq!(calls, [errno::PERM; 11]);
    assert!(guest.write(file, &[b"x"]).await.is_err());
    assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"kept");
}

async fn drop_grant(guest: &mut Guest, scope: &str) {
    let scope = guest.put(scope.as_bytes());
    assert_eq!(guest.call("permission_drop", (scope.0, scope.1, 0, 0)).await, 0);
}

#[tokio::test]
async fn a_dropped_grant_stops_new_paths_but_not_open_files() {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("file"), "text").unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    let mut guest = with_dir(&dir, DirAccess::ReadWrite).await;
    let file = guest.open(3, "file", 0, READ | WRITE).await.unwrap();
    drop_grant(&mut guest, "fs.write").await;
    let name = guest.put(b"new");
    assert_eq!(guest.open(3, "new", CREATE, WRITE).await, Err(errno::NOTCAPABLE));
    assert_eq!(
        guest.call("path_create_directory", (3, name.0, name.1)).await,
        errno::NOTCAPABLE
    );
    // What is opened now has no more rights than there are left.
    let sub = guest.open(3, "sub", DIRECTORY, READ).await.unwrap();
    assert_eq!(
        guest.call("path_create_directory", (sub, name.0, name.1)).await,
        errno::PERM
    );
    let later = guest.open(3, "file", 0, READ).await.unwrap();
    assert_eq!(
        guest.call("fd_filestat_set_times", (later, 0_i64, 0_i64, 4)).await,
        errno::PERM
    );
    drop_grant(&mut guest, "fs").await;
    assert_eq!(guest.open(3, "file", 0, READ).await, Err(errno::NOTCAPABLE));
    let out = guest.room(64);
    assert_eq!(
        guest.call("fd_readdir", (3, out, 64, 0_i64, out)).await,
        errno::NOTCAPABLE
    );
    assert_eq!(guest.read(file, 10).await, Ok(b"text".to_vec()));
    assert_eq!(guest.write(file, &[b"!"]).await, Ok(1));
}

#[tokio::test]
async fn open_files_are_bounded() {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let permissions = Permissions::none().dir(dir.path(), "/data", DirAccess::Read).unwrap();
    let limits = Limits {
        max_handles: 10,
        ..Limits::default()
    };
    let mut guest = Guest::new(|builder| builder.permissions(permissions).limits(limits)).await;
    // Three streams and the directory are open.
    let mut last = 0;
    for _ in 0..6 {
        last = guest.open(3, "file", 0, READ).await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(guest.open(3, "file", 0, READ).await, Err(errno::MFILE));
    }
    assert_eq!(guest.call("fd_close", last).await, 0);
    assert!(guest.open(3, "file", 0, READ).await.is_ok());
    assert_eq!(guest.open(3, "file", 0, READ).await, Err(errno::MFILE));
}

/// The only test that changes the directory of this process; no other depends on it.
#[tokio::test]
async fn the_directory_named_dot_follows_the_working_directory() {
    let (dir, other) = (TempDir::new(), TempDir::new());
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::env::set_current_dir(dir.path()).unwrap();
    let own = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let permissions = Permissions::none()
        .dir(dir.path(), &own(dir.path()), DirAccess::ReadWrite)
        .and_then(|permissions| permissions.dir(other.path(), &own(other.path()), DirAccess::Read))
        .unwrap();
    let mut guest = Guest::new(|builder| builder.permissions(permissions).role(IsolateRole::Main)).await;
    let out = guest.room(256);
    let mut dot = None;
    for fd in 3..10 {
        if guest.call("fd_prestat_get", (fd, out)).await == 0 && guest.u32(out + 4) == 1 {
            assert_eq!(guest.call("fd_prestat_dir_name", (fd, out, 1)).await, 0);
            assert_eq!(guest.bytes(out, 1), b".");
            dot = Some(fd);
        }
    }
    let dot = dot.unwrap();
    guest.open(dot, "here", CREATE, WRITE).await.unwrap();
    let sub = guest.put(b"sub");
    assert_eq!(guest.call("chdir", (sub.0, sub.1)).await, 0);
    guest.open(dot, "there", CREATE, WRITE).await.unwrap();
    guest.open(dot, "../above", CREATE, WRITE).await.unwrap();
    assert_eq!(guest.open(dot, "/absolute", CREATE, WRITE).await, Err(errno::PERM));
    assert_eq!(guest.open(dot, "", 0, READ).await, Err(errno::NOENT));
    for file in ["here", "sub/there", "above"] {
        assert!(dir.path().join(file).exists(), "{file}");
    }
    let elsewhere = guest.put(own(other.path()).as_bytes());
    assert_eq!(guest.call("chdir", (elsewhere.0, elsewhere.1)).await, 0);
    std::fs::write(other.path().join("file"), "other").unwrap();
    let file = guest.open(dot, "file", 0, READ).await.unwrap();
    assert_eq!(guest.read(file, 10).await, Ok(b"other".to_vec()));
    assert_eq!(guest.open(dot, "new", CREATE, WRITE).await, Err(errno::PERM));
    std::env::set_current_dir(std::env::temp_dir()).unwrap();
}
