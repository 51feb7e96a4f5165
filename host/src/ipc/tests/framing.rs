//! Frames in any pieces, and what the hosts tell each other.

use super::super::internal::{Internal, Wrapping, command, handle_envelope, is_one_value, parse};
use super::super::wire::{Framer, Serialization, WireError, frame};

const BOTH: [Serialization; 2] = [Serialization::Json, Serialization::Advanced];

/// Small numbers out of a seed, the same ones every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

fn framed(serialization: Serialization, message: &[u8]) -> Vec<u8> {
    let fill = |bytes: &mut [u8]| {
        bytes.copy_from_slice(message);
        Ok::<_, ()>(())
    };
    frame(serialization, (&[], message.len(), &[]), fill).unwrap().unwrap()
}

/// Feeds a stream in pieces; gives the messages and how it ended.
fn feed<'a>(framer: &mut Framer, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<WireError>) {
    let mut messages = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let space = framer.space();
            let len = space.len().min(piece.len());
            space[..len].copy_from_slice(&piece[..len]);
            framer.filled(len);
            piece = &piece[len..];
            loop {
                match framer.next() {
                    Ok(Some(message)) => messages.push(message.to_vec()),
                    Ok(None) => break,
                    Err(error) => return (messages, Some(error)),
                }
            }
        }
    }
    (messages, None)
}

fn split<'a>(stream: &'a [u8], numbers: &mut Numbers, longest: usize) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((1 + numbers.below(longest)).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

fn samples(numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let sizes = [1, 2, 3, 40, 47, 1000, 30_000, 32_768, 65_536, 65_537, 200_000, 1];
    sizes
        .iter()
        .map(|size| {
            let letters = "ä{\"}x".as_bytes();
            let text: Vec<u8> = letters.iter().cycle().take(*size).copied().collect();
            let mut text = String::from_utf8_lossy(&text).replace('\u{fffd}', "").into_bytes();
            text.push(b'a' + u8::try_from(numbers.below(20)).unwrap());
            text
        })
        .collect()
}

#[test]
fn any_split_gives_the_same_messages() {
    let mut numbers = Numbers(5);
    for serialization in BOTH {
        let messages = samples(&mut numbers);
        let stream: Vec<u8> = messages
            .iter()
            .flat_map(|message| framed(serialization, message))
            .collect();
        for round in 0..60 {
            let longest = [1, 2, 7, 100, 5000, 100_000][round % 6].max(stream.len() / 30_000);
            let mut framer = Framer::new(serialization);
            let (got, error) = feed(&mut framer, split(&stream, &mut numbers, longest));
            assert_eq!(error, None);
            assert!(got == messages, "{serialization:?} in pieces of up to {longest}");
            assert!(!framer.is_mid_message());
        }
    }
}

#[test]
fn every_split_of_a_short_stream_gives_the_same_messages() {
    for serialization in BOTH {
        let messages = [b"{\"a\":1}".to_vec(), "\"ä\"".as_bytes().to_vec(), b"0".to_vec()];
        let stream: Vec<u8> = messages
            .iter()
            .flat_map(|message| framed(serialization, message))
            .collect();
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                let (got, error) = feed(&mut Framer::new(serialization), pieces);
                assert_eq!((got.as_slice(), error), (messages.as_slice(), None));
            }
        }
    }
}

#[test]
fn the_cost_is_linear_in_the_bytes() {
    for serialization in BOTH {
        let message = vec![b'x'; 20 << 20];
        let stream = framed(serialization, &message);
        let mut framer = Framer::new(serialization);
        let (got, _) = feed(&mut framer, stream.chunks(1000));
        assert!(got == [message]);
        // Searched once, and moved as the buffer doubles.
        assert!(
            framer.touched <= 3 * stream.len(),
            "{serialization:?}: {}",
            framer.touched
        );
    }
    for serialization in BOTH {
        let stream = framed(serialization, &[b'x'; 90]).repeat(100_000);
        let mut framer = Framer::new(serialization);
        let (got, _) = feed(&mut framer, stream.chunks(64 * 1024 - 1));
        assert_eq!(got.len(), 100_000);
        assert!(
            framer.touched <= 3 * stream.len(),
            "{serialization:?}: {}",
            framer.touched
        );
    }
}

#[test]
fn a_length_alone_allocates_nothing() {
    let mut framer = Framer::new(Serialization::Advanced);
    // 512 MiB with the tag, which is allowed.
    let header = [0x20, 0, 0, 3, 0xd9, 0xd9, 0xf7];
    assert_eq!(feed(&mut framer, [&header[..]]), (vec![], None));
    assert!(framer.space().len() <= 256 * 1024);
    assert!(framer.is_mid_message());
    for header in [[0x20, 0, 0, 4], [0xff; 4]] {
        let (_, error) = feed(&mut Framer::new(Serialization::Advanced), [&header[..]]);
        assert_eq!(error, Some(WireError::TooLarge));
    }
}

#[test]
fn a_line_that_does_not_end_is_given_up_behind_the_bound() {
    let mut framer = Framer::new(Serialization::Json);
    assert_eq!(framer.bytes_max, 512 << 20);
    framer.bytes_max = 1 << 20;
    let line = vec![b'x'; 1 << 20];
    assert_eq!(feed(&mut framer, [&line[..]]), (vec![], None));
    let (got, error) = feed(&mut framer, [&b"\n"[..]]);
    assert!(got == [line.clone()] && error.is_none());
    assert_eq!(feed(&mut framer, [&line[..]]), (vec![], None));
    assert_eq!(feed(&mut framer, [&b"x"[..]]), (vec![], Some(WireError::TooLarge)));
}

#[test]
fn one_byte_more_than_a_message_may_have_is_not_sent() {
    let most = 512 << 20;
    let nothing = |_: &mut [u8]| Ok::<_, ()>(());
    for serialization in BOTH {
        assert_eq!(frame(serialization, (&[], most + 1, &[]), nothing), Ok(None));
        // What stands around it counts.
        assert_eq!(frame(serialization, (&[1], most, &[]), nothing), Ok(None));
        assert_eq!(frame(serialization, (&[], most, &[1]), nothing), Ok(None));
        assert_eq!(frame(serialization, (&[], usize::MAX, &[1]), nothing), Ok(None));
    }
}

#[test]
fn garbage_is_found_where_it_begins() {
    let cases: [(Serialization, &[u8]); 7] = [
        (Serialization::Advanced, &[0, 0, 0, 0, 0xd9]),
        (Serialization::Advanced, &[0, 0, 0, 3, 0xd9, 0xd9, 0xf7]),
        // V8's serialization, which Node sends.
        (Serialization::Advanced, &[0, 0, 0, 9, 0xff, 0x0f, b'o']),
        (Serialization::Advanced, &[0, 0, 1, 0, 0xd9, 0xd9, 0xf6]),
        (Serialization::Advanced, &[0, 0, 1, 0, b'{', b'}', b'\n']),
        (Serialization::Json, b"\"\xff\"\n"),
        (Serialization::Json, b"\xff\x0f\"\n"),
    ];
    for (serialization, garbage) in cases {
        let before = framed(serialization, b"\"fine\"");
        let stream = [&before[..], garbage].concat();
        for at in 0..stream.len() {
            let mut framer = Framer::new(serialization);
            let (got, error) = feed(&mut framer, [&stream[..at], &stream[at..]]);
            assert_eq!(got, [b"\"fine\""]);
            assert_eq!(error, Some(WireError::Mismatch), "{garbage:?}");
        }
    }
}

#[test]
fn empty_lines_are_nothing_and_half_a_message_is_none() {
    let mut framer = Framer::new(Serialization::Json);
    let (got, error) = feed(&mut framer, [&b"\n\n1\n\n\n\"2"[..], &b"\"\n\n3"[..]]);
    assert_eq!((got, error), (vec![b"1".to_vec(), b"\"2\"".to_vec()], None));
    assert!(framer.is_mid_message());
}

fn kind_of(text: &str) -> Option<&'static str> {
    Some(match parse(Serialization::Json, text.as_bytes())? {
        Internal::Handle(_) => "handle",
        Internal::Ack => "ack",
        Internal::Nack => "nack",
        Internal::PortMessage(_) => "port message",
        Internal::Other => "other",
    })
}

#[test]
fn internal_messages_are_told_from_others_as_in_node() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let cases = [
        (r#"{"cmd":"NODE_HANDLE_ACK"}"#, Some("ack")),
        (r#" { "x" : 1, "cmd" : "NODE_HANDLE_NACK" } "#, Some("nack")),
        (r#"{"cmd":"NODE_CLUSTER","act":"online"}"#, Some("other")),
        (r#"{"cmd":"NODE_x"}"#, Some("other")),
        (r#"{"cmd":"\u004eODE_HANDLE_ACK"}"#, Some("ack")),
        (r#"{"\u0063md":"NODE_HANDLE_ACK"}"#, Some("ack")),
        (r#"{"cmd":"NODE_HANDLE","msg":1}"#, Some("handle")),
        // Of equal names the last counts.
        (r#"{"cmd":"NODE_HANDLE_ACK","cmd":"x"}"#, None),
        (r#"{"cmd":"NODE_"}"#, None),
        (r#"{"cmd":"node_x"}"#, None),
        (r#"{"cmd":" NODE_x"}"#, None),
        (r#"{"cmd":["NODE_x"]}"#, None),
        (r#"{"cmd":5,"x":"NODE_x"}"#, None),
        (r#"{"a":{"cmd":"NODE_HANDLE_ACK"}}"#, None),
        (r#"[{"cmd":"NODE_HANDLE_ACK"}]"#, None),
        (r#""NODE_HANDLE_ACK""#, None),
        (r#"{"cmd":"NODE_x""#, None),
    ];
    for (text, expected) in cases {
        assert_eq!(kind_of(text), expected, "{text}");
    }
    assert_eq!(
        kind_of(&format!(r#"{{"a":{deep},"cmd":"NODE_HANDLE_ACK"}}"#)),
        Some("ack")
    );
}

#[test]
fn what_is_written_around_a_handle_is_read_again() {
    let texts = ["net.Socket", "with \"quotes\" and ä\u{1}", ""];
    for serialization in BOTH {
        let message: &[u8] = match serialization {
            Serialization::Json => br#"{"cmd":"NODE_x","a":[1]}"#,
            Serialization::Advanced => &[0x82, 0x01, 0x65, b'N', b'O', b'D', b'E', b'_'],
        };
        for kind in texts {
            for (key, dgram_type) in [(None, None), (Some(texts[1]), Some("udp6"))] {
                let native = Some((kind, key, dgram_type));
                let envelope = handle_envelope(serialization, Wrapping { native, types: &[] });
                let whole = [&envelope.before[..], message, &envelope.after].concat();
                let Some(Internal::Handle(about)) = parse(serialization, &whole) else {
                    panic!("{serialization:?} {kind}");
                };
                assert_eq!((about.kind.as_str(), about.key.as_deref()), (kind, key));
                assert_eq!(about.dgram_type.as_deref(), dgram_type);
                assert_eq!(&whole[about.message.unwrap()], message);
            }
        }
        let frame = command(serialization, "NODE_HANDLE_ACK");
        let (got, _) = feed(&mut Framer::new(serialization), [&frame[..]]);
        assert_eq!(parse(serialization, &got[0]), Some(Internal::Ack));
    }
}

#[test]
fn internal_messages_in_cbor_are_objects_with_a_text() {
    let cmd = |text: &str| {
        [
            &[0xa1, 0x63][..],
            b"cmd",
            &[0x60 + u8::try_from(text.len()).unwrap()],
            text.as_bytes(),
        ]
        .concat()
    };
    let parse = |bytes: &[u8]| parse(Serialization::Advanced, bytes);
    assert_eq!(parse(&cmd("NODE_HANDLE_ACK")), Some(Internal::Ack));
    assert_eq!(parse(&cmd("NODE_")), None);
    // In the mark of an object that is referred to.
    assert_eq!(
        parse(&[&[0xd8, 28][..], &cmd("NODE_HANDLE_ACK")].concat()),
        Some(Internal::Ack)
    );
    // Without a length.
    let open = [
        &[0xbf, 0x01, 0x02, 0x63][..],
        b"cmd",
        &[0x6f],
        b"NODE_HANDLE_ACK",
        &[0xff],
    ]
    .concat();
    assert_eq!(parse(&open), Some(Internal::Ack));
    // Inside, and cut off.
    assert_eq!(parse(&[&[0x81][..], &cmd("NODE_HANDLE_ACK")].concat()), None);
    for at in 0..cmd("NODE_HANDLE_ACK").len() {
        assert_eq!(parse(&cmd("NODE_HANDLE_ACK")[..at]), None);
    }
    // A map that claims to be endless.
    assert_eq!(
        parse(&[&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], b"NODE_x"].concat()),
        None
    );
}

#[test]
fn what_goes_inside_another_message_is_one_value() {
    let cases: [(Serialization, &[u8], bool); 8] = [
        (Serialization::Json, b" {\"a\":[1]} ", true),
        (Serialization::Json, b"1,\"cmd\":2", false),
        (Serialization::Json, b"{\"a\":1", false),
        (Serialization::Json, b"", false),
        (Serialization::Advanced, &[0x82, 1, 2], true),
        (Serialization::Advanced, &[0x82, 1, 2, 3], false),
        (Serialization::Advanced, &[0x82, 1], false),
        (Serialization::Advanced, &[], false),
    ];
    for (serialization, message, expected) in cases {
        assert_eq!(is_one_value(serialization, message), expected, "{message:?}");
    }
}
