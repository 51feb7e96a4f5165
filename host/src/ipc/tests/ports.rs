//! Ports whose other end is in another process, and other sides that break the rules.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use nodule_abi::limits::QUEUE_HIGH_MESSAGES;
use nodule_abi::resource::ResourceKind;
use rustix::net::{AddressFamily, SocketType};

use super::super::bridge::{Prepared, Purse, received};
use super::super::resources::{Along, ResourceType};
use super::super::wire::{Serialization, short_frame};
use super::{PATIENCE, closed, sockets};
use crate::messaging::{Message, PortEnd, Transferred, entangle};
use crate::runtime::IsolateShared;
use crate::shared_memory::pages::Account;
use crate::shared_memory::{ArrayPages, SharedBuffer};

fn message(bytes: &[u8], resources: Vec<Transferred>) -> Message {
    Message {
        bytes: bytes.into(),
        resources,
    }
}

/// What stands for a process.
struct Process {
    isolate: Arc<IsolateShared>,
    purse: Purse,
}

impl Process {
    fn new() -> Self {
        let isolate = IsolateShared::root();
        let purse = Purse::with(&isolate, &Account::new(16, 1 << 24));
        Self { isolate, purse }
    }

    /// Moves a port out; gives its socket.
    fn send(&self, end: PortEnd) -> OwnedFd {
        let (prepared, far) = Prepared::pair().unwrap();
        prepared.start(end, self.purse.clone());
        far
    }

    fn receive(&self, socket: OwnedFd) -> PortEnd {
        received(socket, &self.purse).unwrap()
    }

    /// A port here, and one in the other process.
    fn connect(&self, other: &Self) -> (PortEnd, PortEnd) {
        let [near, far] = entangle(&self.isolate.group);
        (near, other.receive(self.send(far)))
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it comes to that");
}

/// Waits for a message.
async fn next(end: &mut PortEnd) -> Message {
    until(|| end.peek().is_some()).await;
    end.take().unwrap()
}

fn post(end: &PortEnd, bytes: &[u8], resources: Vec<Transferred>) {
    end.post(false, message(bytes, resources)).unwrap();
}

#[tokio::test]
async fn messages_keep_their_order_and_precede_the_end() {
    let (here, there) = (Process::new(), Process::new());
    let [near, far] = entangle(&here.isolate.group);
    for number in 0..100_u8 {
        post(&near, &[0x18, number], Vec::new());
    }
    let mut remote = there.receive(here.send(far));
    for number in 100..200_u8 {
        post(&near, &[0x18, number], Vec::new());
    }
    post(&remote, &[1], Vec::new());
    drop(near);
    for number in 0..200_u8 {
        assert_eq!(&*next(&mut remote).await.bytes, [0x18, number]);
    }
    until(|| !remote.is_open()).await;
    assert!(remote.peek().is_none());
}

#[tokio::test]
async fn ports_in_messages_become_ports_there() {
    let (here, there) = (Process::new(), Process::new());
    let (near, mut remote) = here.connect(&there);
    let [inner, moved] = entangle(&here.isolate.group);
    post(&inner, &[7], Vec::new());
    post(&near, &[1], vec![Transferred::Port(moved)]);
    let mut got = next(&mut remote).await;
    let Some(Transferred::Port(mut port)) = got.resources.pop() else {
        panic!("a port")
    };
    assert_eq!(&*next(&mut port).await.bytes, [7]);
    post(&port, &[8], Vec::new());
    let mut inner = inner;
    assert_eq!(&*next(&mut inner).await.bytes, [8]);
    // Of the two the inner one goes on without the outer one.
    drop((near, remote));
    post(&inner, &[9], Vec::new());
    assert_eq!(&*next(&mut port).await.bytes, [9]);
    drop(port);
    until(|| !inner.is_open()).await;
}

#[tokio::test]
async fn what_cannot_be_carried_arrives_as_unreadable() {
    let (here, there) = (Process::new(), Process::new());
    let (near, mut remote) = here.connect(&there);
    let memory = Account::new(64, 1 << 30);
    let growable = SharedBuffer::new(1, 2, &memory).unwrap();
    let too_large = ArrayPages::new(1 << 25, &memory).unwrap();
    post(&near, &[1], vec![Transferred::SharedBuffer(growable)]);
    // Above what the receiver may have, no value, and nothing at all.
    post(&near, &[1], vec![Transferred::ArrayBuffer(too_large)]);
    let fixed = ArrayPages::new(1, &memory).unwrap();
    post(&near, &[0xff], vec![Transferred::ArrayBuffer(fixed)]);
    post(&near, &[], Vec::new());
    post(&near, &[2], Vec::new());
    for _ in 0..4 {
        let got = next(&mut remote).await;
        assert_eq!((&*got.bytes, got.resources.len()), (&[0xff][..], 0));
    }
    assert_eq!(&*next(&mut remote).await.bytes, [2]);
    until(|| memory.bytes() == 0).await;
}

#[tokio::test]
async fn what_looks_internal_is_a_message_of_its_port() {
    let (here, there) = (Process::new(), Process::new());
    let (near, mut remote) = here.connect(&there);
    for cmd in ["NODE_HANDLE", "NODE_HANDLE_ACK", "NODE_PORT_MESSAGE", "NODE_x"] {
        let bytes = minicbor::to_vec(std::collections::BTreeMap::from([("cmd", cmd), ("msg", "m")])).unwrap();
        post(&near, &bytes, Vec::new());
        assert_eq!(*next(&mut remote).await.bytes, bytes[..]);
    }
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_stops_the_sender() {
    let (here, there) = (Process::new(), Process::new());
    let (near, mut remote) = here.connect(&there);
    let filler = [vec![0x5a, 0, 0, 0xff, 0xff], vec![0; 0xffff]].concat();
    let mut sent = 0;
    let mut quiet = 0;
    while quiet < 20 {
        match near.reserve(true, filler.len()) {
            Ok(place) => {
                drop(place);
                post(&near, &filler, Vec::new());
                (sent, quiet) = (sent + 1, 0);
            }
            Err(_) => {
                quiet += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        assert!(sent < QUEUE_HIGH_MESSAGES);
    }
    for _ in 0..sent {
        assert_eq!(*next(&mut remote).await.bytes, filler[..]);
    }
    post(&near, &[1], Vec::new());
    assert_eq!(&*next(&mut remote).await.bytes, [1]);
}

#[tokio::test]
async fn a_port_that_is_no_socket_is_refused() {
    let port = || ResourceType {
        kind: ResourceKind::Port,
        byte_length: 0,
    };
    let (datagram, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let network = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let lies: [OwnedFd; 3] = [
        std::fs::File::open("/dev/null").unwrap().into(),
        datagram.into(),
        network.into(),
    ];
    for lie in lies {
        assert!(matches!(
            Along::check(Some(vec![port()]), vec![lie].into_iter()),
            Along::Refused(_)
        ));
    }
    // A socket that nobody is connected to is a port that closes.
    let alone = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    let end = Process::new().receive(alone);
    until(|| !end.is_open()).await;
}

#[tokio::test]
async fn another_side_that_speaks_no_messages_closes_the_port() {
    let process = Process::new();
    for bytes in [&b"{\"a\":1}\n"[..], &[0, 0, 0, 9, 1, 2, 3], &[0xff; 100]] {
        let (mine, mut theirs) = sockets();
        let end = process.receive(mine.into());
        theirs.write_all(bytes).unwrap();
        until(|| !end.is_open()).await;
        closed(&mut theirs).await;
    }
    // A half message is none.
    let (mine, mut theirs): (UnixStream, UnixStream) = sockets();
    let mut end = process.receive(mine.into());
    let frame = short_frame(Serialization::Advanced, &[1]);
    theirs.write_all(&frame).unwrap();
    theirs.write_all(&frame[..5]).unwrap();
    drop(theirs);
    assert_eq!(&*next(&mut end).await.bytes, [1]);
    until(|| !end.is_open()).await;
    assert!(end.peek().is_none());
}

#[tokio::test]
async fn dropping_a_port_ends_its_socket() {
    let process = Process::new();
    let (mine, mut theirs) = sockets();
    let end = process.receive(mine.into());
    post(&end, &[1], Vec::new());
    drop(end);
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    let all = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        theirs.read_to_end(&mut bytes).unwrap();
        bytes
    });
    assert_eq!(all.await.unwrap(), short_frame(Serialization::Advanced, &[1]));
}
