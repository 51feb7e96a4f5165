#![no_main]
//! The framer of channels between processes on any stream: it never panics, every split of the stream gives the same
//! messages, and what a message wraps lies in it.

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the other half writes")]
#[path = "../../host/src/ipc/internal.rs"]
mod internal;
#[allow(dead_code, reason = "the other half writes")]
#[path = "../../host/src/ipc/wire.rs"]
mod wire;

use internal::{Internal, parse};
use wire::{Framer, Serialization, WireError};

/// Feeds a stream in pieces of `sizes`, again and again; gives the messages and how it ended.
fn feed(serialization: Serialization, mut stream: &[u8], sizes: &[u8]) -> (Vec<Vec<u8>>, Option<WireError>) {
    let mut framer = Framer::new(serialization);
    let mut messages = Vec::new();
    let mut sizes = sizes.iter().cycle();
    while !stream.is_empty() {
        let size = usize::from(*sizes.next().unwrap_or(&255)) + 1;
        let (piece, rest) = stream.split_at(size.min(stream.len()));
        stream = rest;
        framer.space()[..piece.len()].copy_from_slice(piece);
        framer.filled(piece.len());
        loop {
            match framer.next() {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

fuzz_target!(|input: (bool, Vec<u8>, Vec<u8>)| {
    let (is_json, sizes, stream) = input;
    let serialization = if is_json {
        Serialization::Json
    } else {
        Serialization::Advanced
    };
    let whole = feed(serialization, &stream, &[]);
    assert_eq!(feed(serialization, &stream, &sizes), whole, "any split gives the same");
    for message in whole.0 {
        if let Some(Internal::Handle(about)) = parse(serialization, &message)
            && let Some(range) = about.message
        {
            assert!(message.get(range).is_some_and(|wrapped| !wrapped.is_empty()));
        }
    }
});
