//! Buffers beside messages, and other sides that lie about them.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nodule_abi::atomic::NOT_GROWABLE;
use nodule_abi::error::Result;
use nodule_abi::limits::IPC_DESCRIPTORS_MAX;
use nodule_abi::resource::ResourceKind;
use rustix::fs::{MemfdFlags, OFlags, SealFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::super::bridge::Purse;
use super::super::internal::{Envelope, Wrapping, handle_envelope};
use super::super::resources::{Along, Arrived, Descriptor, ResourceType, decode_types, encode_types};
use super::super::socket::Socket;
use super::super::state::Notify;
use super::super::wire::{Serialization, short_frame};
use super::{Side, against, pair, sockets};
use crate::messaging::Transferred;
use crate::runtime::IsolateShared;
use crate::shared_memory::pages::Account;
use crate::shared_memory::{ArrayPages, SharedBuffer};

const PAGE: u64 = 65_536;

fn account() -> Arc<Account> {
    Account::new(64, 1 << 30)
}

/// Who pays for buffers with this account.
fn purse(memory: &Arc<Account>) -> Purse {
    let isolate = IsolateShared::root();
    Purse::with(&isolate, memory)
}

fn shared(byte_length: u64) -> Arc<SharedBuffer> {
    SharedBuffer::new(byte_length, NOT_GROWABLE, &account()).unwrap()
}

fn one(kind: ResourceKind, byte_length: u64) -> ResourceType {
    ResourceType { kind, byte_length }
}

/// The frame of a message with such types.
fn frame(types: &[ResourceType]) -> Vec<u8> {
    let Envelope { before, after } = handle_envelope(Serialization::Advanced, Wrapping { native: None, types });
    short_frame(Serialization::Advanced, &[&before[..], &[0x01], &after].concat())
}

fn send(side: &Side, types: &[ResourceType], descriptors: Vec<Descriptor>) {
    side.channel.check_send(1, descriptors.len(), Notify::No).unwrap();
    side.channel.send(frame(types), descriptors, Notify::No);
}

/// Fetches a message as a guest with this account does.
async fn fetch(side: &mut Side, account: &Arc<Account>) -> Result<Vec<Transferred>> {
    side.incoming().await.along.claim(&purse(account))
}

#[test]
fn types_are_read_as_they_were_written() {
    let types = [
        one(ResourceKind::SharedBuffer, 0),
        one(ResourceKind::ArrayBuffer, u64::MAX),
        one(ResourceKind::SharedBuffer, 1 << 32),
    ];
    assert_eq!(decode_types(&encode_types(&types)).as_deref(), Some(&types[..]));
    let pair = |name: &str| minicbor::to_vec([(name, 1_u64)]).unwrap();
    assert!(decode_types(&pair("ArrayBuffer")).is_some());
    let many = vec![("ArrayBuffer", 1_u64); IPC_DESCRIPTORS_MAX + 1];
    for bytes in [
        pair("WebAssembly.Module"),
        pair(&"x".repeat(10_000)),
        minicbor::to_vec(many).unwrap(),
        minicbor::to_vec([("ArrayBuffer", -1_i64)]).unwrap(),
        minicbor::to_vec(["ArrayBuffer"]).unwrap(),
        // An array of any length, and one that claims more than there is.
        vec![0x9f, 0xff],
        vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        vec![0x82],
        Vec::new(),
    ] {
        assert_eq!(decode_types(&bytes), None, "{bytes:02x?}");
    }
}

#[tokio::test]
async fn a_shared_buffer_that_comes_back_is_the_same() {
    let (left, mut right) = pair(Serialization::Advanced);
    let (buffer, mine) = (shared(100), account());
    let types = [one(ResourceKind::SharedBuffer, 100); 2];
    let descriptors = vec![Descriptor::Shared(Arc::clone(&buffer)); 2];
    buffer.share_elsewhere().unwrap();
    send(&left, &types, descriptors);
    let got = fetch(&mut right, &mine).await.unwrap();
    for resource in &got {
        let Transferred::SharedBuffer(got) = resource else {
            panic!("{resource:?}")
        };
        assert!(Arc::ptr_eq(got, &buffer), "this is the same process");
    }
    assert_eq!((got.len(), mine.bytes()), (2, 0));
    // The sender keeps it no longer than until it arrived.
    drop(got);
    while Arc::strong_count(&buffer) > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_buffer_outlives_who_made_it() {
    let (left, mut right) = pair(Serialization::Advanced);
    let (buffer, mine) = (shared(PAGE + 1), account());
    buffer.share_elsewhere().unwrap();
    let file = buffer.pages().file().try_clone_to_owned().unwrap();
    rustix::io::pwrite(&file, b"here", PAGE).unwrap();
    // As if from another process: nothing of this one knows the file.
    drop(buffer);
    send(
        &left,
        &[one(ResourceKind::SharedBuffer, PAGE + 1)],
        vec![Descriptor::Plain(Arc::new(file))],
    );
    let got = fetch(&mut right, &mine).await.unwrap();
    let [Transferred::SharedBuffer(got)] = &got[..] else {
        panic!("{got:?}")
    };
    let mut bytes = [0; 4];
    rustix::io::pread(got.pages().file(), &mut bytes, PAGE).unwrap();
    assert_eq!(
        (&bytes, got.byte_length(), got.is_growable()),
        (b"here", PAGE + 1, false)
    );
    assert!(got.waiters().is_elsewhere());
    assert_eq!(mine.bytes(), 2 * PAGE);
}

#[tokio::test]
async fn pages_of_array_buffers_move() {
    let (left, mut right) = pair(Serialization::Advanced);
    let (theirs, mine) = (account(), account());
    let array = ArrayPages::new(3 * PAGE, &theirs).unwrap();
    send(
        &left,
        &[one(ResourceKind::ArrayBuffer, 3 * PAGE)],
        vec![Descriptor::Array(array)],
    );
    let got = fetch(&mut right, &mine).await.unwrap();
    assert!(matches!(&got[..], [Transferred::ArrayBuffer(array)] if array.byte_length() == 3 * PAGE));
    assert_eq!(mine.bytes(), 3 * PAGE);
    while theirs.bytes() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_above_the_limits_is_an_error_and_the_next_message_comes() {
    let (left, mut right) = pair(Serialization::Advanced);
    let small = Account::new(1, PAGE);
    for pages in [2, 1] {
        let array = ArrayPages::new(pages * PAGE, &account()).unwrap();
        let types = [one(ResourceKind::ArrayBuffer, pages * PAGE)];
        send(&left, &types, vec![Descriptor::Array(array)]);
    }
    assert!(fetch(&mut right, &small).await.unwrap_err().is_code("ENOMEM"));
    let got = fetch(&mut right, &small).await.unwrap();
    assert_eq!((got.len(), small.bytes()), (1, PAGE));
}

fn memfd(bytes: u64, seals: SealFlags) -> OwnedFd {
    let file = rustix::fs::memfd_create("test", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, bytes).unwrap();
    rustix::fs::fcntl_add_seals(&file, seals).unwrap();
    file
}

const SIZE: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Files that are no pages, each with the length that is claimed for it.
fn lies() -> Vec<(&'static str, OwnedFd, u64)> {
    let sealed = memfd(PAGE, SIZE);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&sealed));
    let read_only = rustix::fs::open(path, OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    vec![
        ("unsealed", memfd(PAGE, SealFlags::empty()), PAGE),
        ("can shrink", memfd(PAGE, SealFlags::GROW | SealFlags::SEAL), PAGE),
        ("can grow", memfd(PAGE, SealFlags::SHRINK | SealFlags::SEAL), PAGE),
        ("can be sealed", memfd(PAGE, SealFlags::SHRINK | SealFlags::GROW), PAGE),
        ("write-sealed", memfd(PAGE, SIZE | SealFlags::WRITE), PAGE),
        (
            "future writes sealed",
            memfd(PAGE, SIZE | SealFlags::FUTURE_WRITE),
            PAGE,
        ),
        ("read-only", read_only, PAGE),
        ("empty", memfd(0, SIZE), 0),
        ("no whole page", memfd(PAGE - 1, SIZE), 1),
        ("shorter than claimed", memfd(PAGE, SIZE), PAGE + 1),
        ("claims everything", memfd(PAGE, SIZE), u64::MAX),
        ("too long", memfd((4 << 30) + PAGE, SIZE), 1),
        ("a socket", sockets().0.into(), PAGE),
        ("a file", std::fs::File::open("/proc/self/exe").unwrap().into(), 1),
        ("a device", std::fs::File::open("/dev/zero").unwrap().into(), PAGE),
        ("sealed", sealed, PAGE),
    ]
}

/// What another side sends that writes what it likes.
fn send_raw(socket: &UnixStream, types: &[ResourceType], descriptors: &[BorrowedFd<'_>]) {
    let bytes = frame(types);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2 * IPC_DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(descriptors.is_empty() || control.push(SendAncillaryMessage::ScmRights(descriptors)));
    let sent = rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::empty());
    assert_eq!(sent.unwrap(), bytes.len());
}

#[tokio::test]
async fn nothing_that_is_said_about_a_file_is_believed() {
    let (mut side, other) = against(Serialization::Advanced);
    let (socket, mine) = (other, account());
    for kind in [ResourceKind::SharedBuffer, ResourceKind::ArrayBuffer] {
        for (what, file, length) in lies() {
            send_raw(&socket, &[one(kind, length)], &[file.as_fd()]);
            let got = fetch(&mut side, &mine).await;
            match what {
                "sealed" => assert_eq!(got.unwrap().len(), 1),
                _ => {
                    let error = got.expect_err(what);
                    assert_eq!(error.name, "DataCloneError", "{what}");
                    assert!(error.message.contains(kind.name()), "{what}: {}", error.message);
                }
            }
        }
    }
    assert_eq!(mine.bytes(), 0);
    // One of several is enough.
    let good = memfd(PAGE, SIZE);
    let bad = memfd(PAGE, SealFlags::empty());
    let types = [one(ResourceKind::SharedBuffer, 1); 2];
    send_raw(&socket, &types, &[good.as_fd(), bad.as_fd()]);
    fetch(&mut side, &mine).await.unwrap_err();
    assert_eq!(mine.bytes(), 0);
}

#[tokio::test]
async fn descriptors_and_types_have_to_agree() {
    let (mut side, socket) = against(Serialization::Advanced);
    let file = memfd(PAGE, SIZE);
    let types = [one(ResourceKind::SharedBuffer, 1); 4];
    // The answers of the side are not looked at.
    for (types, descriptors) in [(&types[..1], 2), (&types[..3], 2), (&types[..0], 1)] {
        send_raw(&socket, types, &vec![file.as_fd(); descriptors]);
        let message = side.incoming().await;
        let is_plain_handle = types.is_empty();
        assert_eq!(matches!(message.along, Along::Refused(_)), !is_plain_handle);
        assert!(message.handle.is_none());
    }
    // Types without descriptors are asked for again, as is what a crowd of them lost.
    send_raw(&socket, &types, &[]);
    send_raw(&socket, &types, &[file.as_fd(); IPC_DESCRIPTORS_MAX + 8]);
    send_raw(&socket, &types, &[file.as_fd(); 4]);
    let message = side.incoming().await;
    assert_eq!(message.along.count(), 4);
    assert!(side.try_receive().is_none());
    // Descriptors that no message names are closed.
    let raw = Socket::new(socket.into()).unwrap();
    let bytes = short_frame(Serialization::Advanced, &[0x02]);
    raw.send(&[IoSlice::new(&bytes)], &[file.as_fd()]).unwrap();
    assert_eq!(side.incoming().await.along.count(), 0);
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_thousand_messages_leave_no_descriptor_behind() {
    // Other tests of this process open files as well.
    if std::env::var_os("NODULE_TEST_ALONE").is_none() {
        let test = "ipc::tests::resources::a_thousand_messages_leave_no_descriptor_behind";
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let output = command
            .args(["--exact", test, "--test-threads=1"])
            .env("NODULE_TEST_ALONE", "1")
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (left, mut right) = pair(Serialization::Advanced);
        let before = open_files();
        for number in 0..1000_u64 {
            let types = [one(ResourceKind::SharedBuffer, 8), one(ResourceKind::ArrayBuffer, PAGE)];
            let array = ArrayPages::new(PAGE, &account()).unwrap();
            let buffer = shared(8);
            buffer.share_elsewhere().unwrap();
            send(
                &left,
                &types,
                vec![Descriptor::Shared(buffer), Descriptor::Array(array)],
            );
            let message = right.incoming().await;
            // Some are fetched, some are not.
            if number % 3 == 0 {
                message.along.claim(&purse(&account())).unwrap();
            } else {
                assert!(matches!(message.along, Along::Resources(ref all) if matches!(all[0], Arrived::Shared(_))));
            }
        }
        drop((left, right));
        super::super::finish_sends().await;
        // The ends of the channel are gone as well.
        assert!(open_files() <= before, "{} after {before}", open_files());
    });
}
