//! What decoders and encoders refuse.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use nodule_abi::limits::VALUE_DEPTH_MAX;
use nodule_abi::value::{
    ArrayBuffer, DecodeErrorKind, EncodeError, Object, RegExp, SparseArray, TypedArray, TypedArrayKind, Value, View,
    ViewKind, decode, encode, from_slice,
};
use serde::de::IgnoredAny;

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Decoding fails in this way at this offset.
#[track_caller]
fn refused(hex: &str, kind: DecodeErrorKind, offset: usize) {
    let error = decode(&bytes_of(hex)).unwrap_err();
    assert_eq!((error.kind, error.offset), (kind, offset), "{hex}");
}

const WTF16: &str = "d81b 82 655754463136";
const ARRAY: &str = "d81b 83 654172726179";
const ERROR: &str = "d81b 82 654572726f72";
const MESSAGE: &str = "676d657373616765";
const ARRAY_BUFFER: &str = "d81b 83 6b4172726179427566666572";
const UINT16_ARRAY: &str = "d81b 84 6b55696e7431364172726179";
const BOXED_NUMBER: &str = "d81b 82 664e756d626572";

#[test]
fn longer_heads_than_needed() {
    for hex in [
        "1800",
        "190018",
        "1a00000100",
        "1b0000000000010000",
        "3800",
        "7800",
        "5800",
        "9800",
        "b800",
        "d8022141",
    ] {
        assert!(decode(&bytes_of(hex)).is_err(), "{hex}");
    }
    refused("1800", DecodeErrorKind::NotCanonical, 0);
    refused("81 780161", DecodeErrorKind::NotCanonical, 1);
    refused("d9001b 80", DecodeErrorKind::NotCanonical, 0);
}

#[test]
fn numbers_in_another_form() {
    // Integral, negative zero in more bytes, other NaNs, floats that fit fewer bytes, integers over 53 bits.
    for hex in [
        "f93c00",
        "f90000",
        "fa80000000",
        "fb8000000000000000",
        "f97e01",
        "f9fe00",
        "fa7fc00000",
        "fb7ff8000000000000",
        "fa3fc00000",
        "fb3ff8000000000000",
        "fb3ff0000000000000",
        "fa7f800000",
        "1b0020000000000000",
        "1bffffffffffffffff",
        "3b001fffffffffffff",
        "3bffffffffffffffff",
    ] {
        refused(hex, DecodeErrorKind::NotCanonical, 0);
        assert!(from_slice::<f64>(&bytes_of(hex)).is_err(), "{hex}");
        assert!(from_slice::<IgnoredAny>(&bytes_of(hex)).is_err(), "{hex}");
    }
    refused("c24100", DecodeErrorKind::NotCanonical, 1);
    refused("c3420001", DecodeErrorKind::NotCanonical, 1);
}

#[test]
fn items_that_values_do_not_use() {
    for hex in [
        "9fff",
        "bfff",
        "5fff",
        "7fff",
        "f0",
        "f820",
        "e0",
        "ff",
        "c0 60",
        "c4 820000",
        "d841 420000",
        "d9d9f7 00",
    ] {
        refused(hex, DecodeErrorKind::Unsupported, 0);
    }
    for hex in ["1c", "5d", "fc", "dc"] {
        assert!(decode(&bytes_of(hex)).is_err(), "{hex}");
    }
    refused("a1 01 02", DecodeErrorKind::Unsupported, 1);
    refused("61ff", DecodeErrorKind::Malformed, 0);
    refused(&format!("{BOXED_NUMBER} 80"), DecodeErrorKind::Unsupported, 10);
    refused("d81b 82 61 78 00", DecodeErrorKind::Unsupported, 0);
}

#[test]
fn lengths_beyond_the_input() {
    for hex in [
        "5bffffffffffffffff",
        "7b7fffffffffffffff",
        "9bffffffffffffffff",
        "bbffffffffffffffff",
        "9a10000000 00",
        "ba10000000 00",
        "42 01",
        "63 6161",
        "82 01",
        "",
        "18",
        "fa0000",
        "d9",
        "a1 6161",
        "d90103 bbffffffffffffffff",
        "d90102 9bffffffffffffffff",
        "d840 5bffffffffffffffff",
    ] {
        let error = decode(&bytes_of(hex)).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::UnexpectedEnd, "{hex}");
        assert!(from_slice::<IgnoredAny>(&bytes_of(hex)).is_err(), "{hex}");
        assert!(from_slice::<Vec<u8>>(&bytes_of(hex)).is_err(), "{hex}");
    }
}

#[test]
fn trailing_bytes() {
    refused("00 00", DecodeErrorKind::TrailingBytes, 1);
    assert_eq!(
        from_slice::<u8>(&[0, 0]).unwrap_err().kind,
        DecodeErrorKind::TrailingBytes
    );
}

#[test]
fn duplicate_keys_of_objects() {
    refused("81 a3 6161 01 6162 02 6161 03", DecodeErrorKind::DuplicateKey, 1);
    refused(
        &format!("{ERROR} a2 {MESSAGE} 60 {MESSAGE} 60"),
        DecodeErrorKind::DuplicateKey,
        19,
    );
    assert!(
        decode(&bytes_of("d90103 a2 01 01 01 02")).is_ok(),
        "keys of a Map are not compared"
    );
}

#[test]
fn references() {
    refused("d81d00", DecodeErrorKind::InvalidRef, 0);
    refused("82 d81c80 d81d01", DecodeErrorKind::InvalidRef, 4);
    refused("82 d81d00 d81c80", DecodeErrorKind::InvalidRef, 1);
    for (hex, offset) in [
        ("d81c 01", 0),
        ("d81c f6", 0),
        ("d81c 6161", 0),
        ("d81c c24101", 0),
        ("d81c d81c80", 2),
        ("d81c d81d00", 0),
    ] {
        refused(hex, DecodeErrorKind::NotShareable, offset);
    }
    for hex in ["d81c 01", "d81c d81c80", "d81c d81d00"] {
        let error = from_slice::<u8>(&bytes_of(hex)).unwrap_err();
        assert_eq!((error.kind, error.offset), (DecodeErrorKind::NotShareable, 0), "{hex}");
    }
    refused(&format!("d81c {WTF16} 4200d8"), DecodeErrorKind::NotShareable, 0);
}

#[test]
fn parts_that_break_the_rules_of_their_kind() {
    for (hex, what) in [
        ("d845 43 000000", "typed array"),
        ("d856 44 00000000", "typed array"),
        ("c1 1b000007dba8218001", "date"),
        ("c1 f97c00", "date"),
        ("c1 fb3ff0000000000001", "date"),
        ("d903e9 a2 01 01 22 01", "date"),
        ("d903e9 a2 01 1b0000020c49ba5e35 22 00", "date"),
        ("d903e9 a2 01 1b0000020c49ba5e35 22 1903e8", "date"),
        ("d9524a 82 6161 626967", "regular expression flags"),
        ("d9524a 82 6161 626767", "regular expression flags"),
        ("d9524a 81 6161", "regular expression"),
    ] {
        let error = decode(&bytes_of(hex)).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::Invalid(what), "{hex}");
    }
    for hex in [
        format!("{WTF16} 4300d800"),
        format!("{ARRAY} 02 a1 02 00"),
        format!("{ARRAY} 03 a2 01 00 00 00"),
        format!("{ARRAY} 03 a2 01 00 01 00"),
        format!("{ARRAY} 03 a2 6178 00 01 00"),
        format!("{ARRAY} 03 a1 6130 00"),
        format!("{ARRAY} 1b0000000100000000 a0"),
        format!("{ERROR} a1 64636f6465 60"),
        format!("{BOXED_NUMBER} f5"),
        format!("{BOXED_NUMBER} c24101"),
        format!("{ARRAY_BUFFER} 42 0102 01"),
        // Views: misaligned, too long, overflowing, over something that is no buffer.
        format!("{UINT16_ARRAY} 44 00000000 01 01"),
        format!("{UINT16_ARRAY} 44 00000000 02 02"),
        format!("{UINT16_ARRAY} 44 00000000 06 f6"),
        format!("{UINT16_ARRAY} 44 00000000 00 1b001fffffffffffff"),
        format!("{UINT16_ARRAY} 80 00 00"),
        format!("82 d81c80 {UINT16_ARRAY} d81d00 00 00"),
        format!("{UINT16_ARRAY} {UINT16_ARRAY} 44 00000000 02 01 00 00"),
    ] {
        let error = decode(&bytes_of(&hex)).unwrap_err();
        assert!(matches!(error.kind, DecodeErrorKind::Invalid(_)), "{hex}: {error}");
    }
}

#[test]
fn second_forms() {
    for (hex, offset) in [
        (format!("{WTF16} 426100"), 9),
        (format!("{ARRAY} 01 a1 00 f6"), 0),
        (format!("{UINT16_ARRAY} 44 00000000 00 02"), 0),
        ("d9524a 82 6161 60".to_owned(), 3),
    ] {
        refused(&hex, DecodeErrorKind::NotCanonical, offset);
    }
}

/// `depth` arrays in each other.
fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

#[test]
fn nesting_on_a_small_stack() {
    // Dropping the tree recurses, encoding and decoding do not.
    let check = || {
        let deepest = nested(VALUE_DEPTH_MAX);
        let bytes = encode(&deepest).unwrap();
        assert_eq!(bytes.len(), VALUE_DEPTH_MAX + 1);
        drop(decode(&bytes).unwrap());
        assert_eq!(encode(&nested(VALUE_DEPTH_MAX + 1)), Err(EncodeError::TooDeep));
        let mut deeper = vec![0x81; VALUE_DEPTH_MAX + 1];
        deeper.push(0xf6);
        let error = decode(&deeper).unwrap_err();
        assert_eq!((error.kind, error.offset), (DecodeErrorKind::TooDeep, VALUE_DEPTH_MAX));
        let far_deeper = vec![0x81; 10_000_000];
        assert!(decode(&far_deeper).is_err());
        assert!(from_slice::<IgnoredAny>(&far_deeper).is_err());
        // Other chains: tags, causes of errors, keys of maps, views.
        for link in [
            "d81c",
            "d81b",
            "d90103a1",
            &format!("{ERROR} a1 656361757365"),
            UINT16_ARRAY,
            "d90102 81",
        ] {
            assert!(decode(&bytes_of(&link.repeat(5000))).is_err(), "{link}");
        }
    };
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(check)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn what_has_no_encoding() {
    let invalid = |value: Value| {
        assert!(matches!(encode(&value), Err(EncodeError::Invalid(_))), "{value:?}");
    };
    let empty = || Box::new(Value::Array(vec![]));
    invalid(Value::TypedArray(TypedArray {
        kind: TypedArrayKind::Float64,
        bytes: vec![0; 7],
    }));
    invalid(Value::RegExp(Box::new(RegExp {
        source: "a".into(),
        flags: "x".into(),
    })));
    invalid(Value::ArrayBuffer(ArrayBuffer {
        bytes: vec![0],
        max_byte_length: Some(0),
    }));
    invalid(Value::ArrayBuffer(ArrayBuffer {
        bytes: vec![0],
        max_byte_length: Some(1 << 53),
    }));
    let sparse = |elements: &[u32], named: &[&str]| {
        Value::SparseArray(Box::new(SparseArray {
            length: 3,
            elements: elements.iter().map(|index| (*index, Value::Null)).collect(),
            named: named.iter().map(|name| (*name, Value::Null)).collect(),
        }))
    };
    invalid(sparse(&[3], &[]));
    invalid(sparse(&[1, 0], &[]));
    invalid(sparse(&[0, 0], &[]));
    invalid(sparse(&[], &["0"]));
    assert!(encode(&sparse(&[], &["00", "-1", "+1", "4294967295", ""])).is_ok());
    let view = View {
        kind: ViewKind::DataView,
        buffer: Value::Null,
        byte_offset: 0,
        length: None,
    };
    invalid(Value::View(Box::new(view)));
    let twice = Value::array([Value::Shared(1, empty()), Value::Shared(1, empty())]);
    assert_eq!(encode(&twice), Err(EncodeError::DuplicateShared(1)));
    assert_eq!(
        encode(&Value::Shared(1, Box::new(Value::Null))),
        Err(EncodeError::NotShareable(1))
    );
    let double = Value::Shared(1, Box::new(Value::Shared(2, empty())));
    assert_eq!(encode(&double), Err(EncodeError::NotShareable(1)));
    assert_eq!(encode(&Value::Ref(4)), Err(EncodeError::UnknownRef(4)));
    let early = Value::array([Value::Ref(0), Value::Shared(0, empty())]);
    assert_eq!(encode(&early), Err(EncodeError::UnknownRef(0)));
}

#[test]
fn objects_keep_first_place_and_last_value() {
    let object: Object = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("a", 5)].into_iter().collect();
    let entries: Vec<_> = object
        .entries()
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_u32().unwrap()))
        .collect();
    assert_eq!(entries, [("a", 5), ("b", 2), ("c", 4)]);
}
