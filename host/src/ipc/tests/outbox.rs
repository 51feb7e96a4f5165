//! The order of what is sent, without sockets.

use std::io::IoSlice;
use std::sync::Arc;

use nodule_abi::error::ErrorCode;
use nodule_abi::limits::{IPC_BACKLOG_BYTES, IPC_QUEUE_BYTES_MAX};

use super::super::outbox::{Answered, Backlog, Completion, Outbox, Outgoing, SLICES_MAX};
use super::super::resources::Descriptor;
use super::sockets;

fn plain(text: &str) -> Outgoing {
    Outgoing {
        frame: text.as_bytes().to_vec(),
        ..Outgoing::default()
    }
}

fn with_handle(text: &str) -> Outgoing {
    Outgoing {
        descriptors: vec![Descriptor::Plain(Arc::new(sockets().0.into()))],
        ..plain(text)
    }
}

/// Writes up to `most` bytes at once; gives them, with `!` in front where a handle went along.
fn write(outbox: &mut Outbox, most: usize) -> String {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let (count, descriptors) = outbox.gather(&mut slices);
    let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
    let text = String::from_utf8(bytes[..bytes.len().min(most)].to_vec()).unwrap();
    let mark = if descriptors.is_empty() { "" } else { "!" };
    let text = format!("{mark}{text}");
    outbox.wrote(bytes.len().min(most));
    text
}

fn write_all(outbox: &mut Outbox) -> Vec<String> {
    let mut writes = Vec::new();
    while !outbox.is_written_out() {
        writes.push(write(outbox, usize::MAX));
    }
    writes
}

#[test]
fn frames_are_gathered_and_written_in_pieces() {
    let mut outbox = Outbox::default();
    for text in ["one;", "two;", "three;"] {
        outbox.push(plain(text));
    }
    let pieces: String = (0..8).map(|_| write(&mut outbox, 2)).collect();
    assert_eq!(pieces, "one;two;three;"[..14].to_string());
    assert!(outbox.is_empty());
    for number in 0..40 {
        outbox.push(plain(&format!("{number};")));
    }
    assert_eq!(write_all(&mut outbox).len(), 3, "16 frames a write");
}

#[test]
fn a_handle_holds_everything_back_but_answers() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.push(plain("a")), Backlog::Short);
    // As Node's `send`: true for the handle and for the first that waits.
    let backlogs = [with_handle("H"), plain("b"), with_handle("I"), plain("c")].map(|message| outbox.push(message));
    assert_eq!(backlogs, [Backlog::Short, Backlog::Short, Backlog::Long, Backlog::Long]);
    assert_eq!(write_all(&mut outbox), ["a", "!H"]);
    outbox.answer(b"ack".to_vec());
    assert_eq!(write_all(&mut outbox), ["ack"]);
    assert!(!outbox.is_empty(), "the answer is missing");
    assert_eq!(outbox.acknowledged(), Answered::Settled);
    assert_eq!(write_all(&mut outbox), ["b", "!I"]);
    assert_eq!(outbox.push(plain("d")), Backlog::Long);
    assert_eq!(outbox.acknowledged(), Answered::Settled);
    assert_eq!(write_all(&mut outbox), ["cd"]);
    assert!(outbox.is_empty());
    assert_eq!(outbox.acknowledged(), Answered::Unasked);
    assert_eq!(outbox.refused(), Answered::Unasked);
}

#[test]
fn a_handle_that_does_not_arrive_is_sent_four_times() {
    let mut outbox = Outbox::default();
    let handle = with_handle("H");
    let Descriptor::Plain(fd) = &handle.descriptors[0] else {
        panic!("a socket")
    };
    let copy = Arc::downgrade(fd);
    outbox.push(handle);
    outbox.push(plain("a"));
    for answer in [Answered::Settled, Answered::Settled, Answered::Settled, Answered::Lost] {
        assert_eq!(write_all(&mut outbox), ["!H"]);
        assert!(copy.upgrade().is_some());
        assert_eq!(outbox.refused(), answer);
    }
    assert!(copy.upgrade().is_none(), "the copy is closed");
    assert_eq!(write_all(&mut outbox), ["a"]);
    // The count begins anew with the next.
    outbox.push(with_handle("I"));
    assert_eq!(write_all(&mut outbox), ["!I"]);
    assert_eq!(outbox.refused(), Answered::Settled);
    assert_eq!(write_all(&mut outbox), ["!I"]);
    assert_eq!(outbox.acknowledged(), Answered::Settled);
    assert!(outbox.is_empty());
}

#[test]
fn an_answer_follows_what_is_half_written_and_nothing_else() {
    let mut outbox = Outbox::default();
    outbox.push(plain("long message;"));
    outbox.push(plain("next;"));
    assert_eq!(write(&mut outbox, 4), "long");
    outbox.answer(b"A;".to_vec());
    outbox.answer(b"B;".to_vec());
    assert_eq!(write(&mut outbox, 10), " message;A");
    outbox.answer(b"C;".to_vec());
    assert_eq!(outbox.answers(), 3);
    assert_eq!(write_all(&mut outbox), [";B;C;next;"]);
    assert_eq!(outbox.answers(), 0);
    outbox.push(plain("next;"));
    outbox.answer(b"D;".to_vec());
    assert_eq!(write_all(&mut outbox), ["D;next;"]);
    // A handle under way does not hold it up, also when nothing of it is written.
    outbox.push(with_handle("H"));
    outbox.answer(b"E".to_vec());
    assert_eq!(write_all(&mut outbox), ["E", "!H"]);
}

#[test]
fn requests_are_reported_written_or_failed_in_order() {
    let mut outbox = Outbox::default();
    let numbered = |request| Outgoing {
        request: Some(request),
        ..plain("x")
    };
    outbox.push(numbered(1));
    outbox.push(plain("y"));
    outbox.push(Outgoing {
        request: Some(2),
        ..with_handle("H")
    });
    outbox.push(numbered(3));
    let done = |request, error| Completion { request, error };
    write_all(&mut outbox);
    assert_eq!(outbox.take_completions(), [done(1, None), done(2, None)]);
    outbox.refused();
    write_all(&mut outbox);
    assert_eq!(outbox.take_completions(), [], "told once");
    outbox.fail(ErrorCode::Epipe);
    assert_eq!(outbox.take_completions(), [done(3, Some(ErrorCode::Epipe))]);
    assert!(outbox.is_empty());
}

#[test]
fn a_handle_the_system_refuses_is_given_up_alone() {
    let mut outbox = Outbox::default();
    outbox.push(Outgoing {
        request: Some(1),
        ..with_handle("H")
    });
    outbox.push(plain("a"));
    outbox.reject_first(ErrorCode::Emfile);
    assert_eq!(outbox.take_completions()[0].error, Some(ErrorCode::Emfile));
    assert_eq!(write_all(&mut outbox), ["a"]);
    assert!(outbox.is_empty());
}

#[test]
fn the_queue_is_bounded_and_one_message_may_be_larger() {
    let mut outbox = Outbox::default();
    assert!(outbox.has_room(IPC_QUEUE_BYTES_MAX * 3, 0));
    outbox.push(plain(&"x".repeat(IPC_QUEUE_BYTES_MAX * 3)));
    assert!(!outbox.has_room(1, 0) && !outbox.is_half_empty());
    write_all(&mut outbox);
    assert!(outbox.has_room(IPC_QUEUE_BYTES_MAX * 3, 0) && outbox.is_half_empty());
    let mut accepted = 0;
    while outbox.has_room(0, 0) {
        outbox.push(plain(""));
        accepted += 1;
    }
    assert!(
        accepted < IPC_QUEUE_BYTES_MAX / 50,
        "messages cost more than their bytes"
    );
    // Behind a handle the bound is the same.
    let mut outbox = Outbox::default();
    outbox.push(with_handle("H"));
    outbox.push(plain(&"x".repeat(IPC_QUEUE_BYTES_MAX)));
    assert!(!outbox.has_room(1, 0));
}

#[test]
fn the_backlog_is_short_below_128_kib() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.push(plain(&"x".repeat(IPC_BACKLOG_BYTES - 1))), Backlog::Short);
    assert_eq!(outbox.push(plain("x")), Backlog::Long);
    write(&mut outbox, 2);
    assert_eq!(outbox.push(plain("x")), Backlog::Short);
}
