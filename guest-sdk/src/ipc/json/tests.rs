//! Both directions, by the table above.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use nodule_abi::value::{
    ArrayBuffer, Date, ErrorKind, ErrorValue, Primitive, RegExp, SparseArray, TypedArray, TypedArrayKind, View,
    ViewKind,
};

use super::*;

fn text(value: &Value) -> String {
    from_cbor(&value::encode(value).unwrap()).unwrap()
}

fn failure(value: &Value) -> Error {
    from_cbor(&value::encode(value).unwrap()).unwrap_err()
}

fn parsed(text: &str) -> Value {
    value::decode(&to_cbor(text.as_bytes()).unwrap()).unwrap()
}

fn expect(cases: impl IntoIterator<Item = (Value, &'static str)>) {
    for (value, wanted) in cases {
        assert_eq!(text(&value), wanted, "{value:?}");
    }
}

#[test]
fn plain_values_are_written_as_node_writes_them() {
    let object = Value::object([
        ("a", Value::Undefined),
        ("b", Value::array([Value::Undefined])),
        ("c", Value::Null),
    ]);
    let date = |ms| Value::Date(Date::from_ms(ms));
    expect([
        (object, r#"{"b":[null],"c":null}"#),
        (Value::object([("u", Value::Undefined)]), "{}"),
        (
            Value::array([f64::NAN, f64::INFINITY, -0.0, 1.5, -2.0]),
            "[null,null,0,1.5,-2]",
        ),
        (
            Value::array([1e21, 1e-7, 123_456_789_012_345_680_000.0]),
            "[1e21,0.0000001,123456789012345680000]",
        ),
        (Value::from("a\"\\\n\u{1}\u{7f}é🦀"), "\"a\\\"\\\\\\n\\u0001\u{7f}é🦀\""),
        (Value::Wtf16(vec![0x61, 0xd800, 0x22]), r#""a\ud800\"""#),
        (date(0), r#""1970-01-01T00:00:00.000Z""#),
        (date(951_782_400_123), r#""2000-02-29T00:00:00.123Z""#),
        (date(-62_198_755_200_001), r#""-000002-12-31T23:59:59.999Z""#),
        (date(8_640_000_000_000_000), r#""+275760-09-13T00:00:00.000Z""#),
        (Value::Date(Date::INVALID), "null"),
    ]);
}

#[test]
fn objects_of_classes_are_written_as_node_writes_them() {
    let typed = |kind, bytes: &[u8]| {
        let bytes = bytes.to_vec();
        Value::TypedArray(TypedArray { kind, bytes })
    };
    let sparse = SparseArray {
        length: 3,
        elements: vec![(1, Value::Bool(true))],
        named: [("x", 1)].into_iter().collect(),
    };
    let error = [("name", "Error"), ("message", "m"), ("stack", "s"), ("code", "E")];
    let view = View {
        kind: ViewKind::TypedArray(TypedArrayKind::Uint16),
        buffer: Value::ArrayBuffer(ArrayBuffer {
            bytes: vec![0, 0, 1, 0, 2, 1],
            max_byte_length: None,
        }),
        byte_offset: 2,
        length: Some(2),
    };
    let reg_exp = RegExp {
        source: "a".into(),
        flags: "g".into(),
    };
    expect([
        (Value::from(vec![1u8, 255]), r#"{"type":"Buffer","data":[1,255]}"#),
        (typed(TypedArrayKind::Uint8Clamped, &[7]), r#"{"0":7}"#),
        (typed(TypedArrayKind::Int16, &[0xff, 0xff, 1, 0]), r#"{"0":-1,"1":1}"#),
        (typed(TypedArrayKind::BigInt64, &[]), "{}"),
        (Value::View(Box::new(view)), r#"{"0":1,"1":258}"#),
        (Value::SparseArray(Box::new(sparse)), "[null,true,null]"),
        (Value::Map(vec![(Value::Null, Value::Null)]), "{}"),
        (Value::Set(vec![Value::Null]), "{}"),
        (Value::RegExp(Box::new(reg_exp)), "{}"),
        (Value::from(ErrorValue::new(ErrorKind::TypeError, "m")), "{}"),
        (Value::ErrorRecord(error.into_iter().collect()), r#"{"code":"E"}"#),
        (Value::Boxed(Box::new(Primitive::String("s".into()))), r#""s""#),
        (Value::Boxed(Box::new(Primitive::Boolean(false))), "false"),
        (Value::ArrayBuffer(ArrayBuffer::default()), "{}"),
    ]);
}

#[test]
fn what_json_has_no_notion_of_is_refused() {
    let bigint = Value::BigInt(5u64.into());
    let inner = failure(&Value::array([bigint.clone()]));
    assert_eq!((inner.name(), inner.code()), ("TypeError", None));
    assert!(failure(&bigint).is_code("ERR_INVALID_ARG_TYPE"));
    assert!(failure(&bigint).message().ends_with("Received type bigint (5n)"));
    assert!(failure(&Value::Undefined).is_code("ERR_MISSING_ARGS"));
    assert_eq!(failure(&Value::Resource(0)).name(), "DataCloneError");
    let cycle = Value::Shared(0, Box::new(Value::array([Value::Ref(0)])));
    assert_eq!(failure(&cycle).message(), "Converting circular structure to JSON");
    let elements = TypedArray {
        kind: TypedArrayKind::BigUint64,
        bytes: vec![0; 8],
    };
    assert_eq!(failure(&Value::TypedArray(elements)).name(), "TypeError");
}

#[test]
fn a_shared_value_is_written_at_each_place() {
    let shared = Value::Shared(0, Box::new(Value::array([1])));
    assert_eq!(text(&Value::array([shared.clone(), Value::Ref(0)])), "[[1],[1]]");
    // The first place is in a map, which is written without its content.
    let map = Value::Map(vec![(Value::Null, shared)]);
    assert_eq!(text(&Value::array([map, Value::Ref(0)])), "[{},[1]]");
}

#[test]
fn text_is_read_as_node_reads_it() {
    let big = 12_345_678_901_234_567_890.0;
    for (text, wanted) in [
        (" null ", Value::Null),
        ("[true,false]", Value::array([true, false])),
        ("-0", Value::Number(-0.0)),
        ("12345678901234567890", Value::Number(big)),
        ("1e400", Value::Number(f64::INFINITY)),
        ("-1.5e-3", Value::Number(-0.0015)),
        (r#""a\u00e9\ud83e\udd80\/\b""#, Value::from("aé🦀/\u{8}")),
        (r#""x\ud800y""#, Value::Wtf16(vec![0x78, 0xd800, 0x79])),
        (
            r#"{"a":1,"b":{},"a":2}"#,
            Value::object([("a", Value::from(2)), ("b", Value::object::<&str, Value>([]))]),
        ),
        ("[ 1 , [ ] ]", Value::array([Value::from(1), Value::Array(Vec::new())])),
        (
            r#"{"type":"Buffer","data":[1]}"#,
            Value::object([("type", Value::from("Buffer")), ("data", Value::array([1]))]),
        ),
    ] {
        assert_eq!(parsed(text), wanted, "{text}");
    }
}

#[test]
fn garbage_is_told_from_what_has_no_value() {
    for garbage in [
        "",
        " ",
        "garbage",
        "nul",
        "[1,]",
        "[1 2]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\"}",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "\"",
        "\"\n\"",
        r#""\x""#,
        r#""\u12g4""#,
        r#""\u+123""#,
        "1 2",
        "[",
        "}",
        "'a'",
        "NaN",
        "\"\\",
        "\"é",
        "\\é",
    ] {
        match to_cbor(garbage.as_bytes()) {
            Err(Unreadable::NotJson(error)) => assert_eq!(error.name(), "SyntaxError", "{garbage}"),
            other => panic!("{garbage}: {other:?}"),
        }
    }
    let deep = "[".repeat(2000) + &"]".repeat(2000);
    assert!(matches!(to_cbor(deep.as_bytes()), Err(Unreadable::NoValue(_))));
    assert_eq!(
        parsed(&("[".repeat(900) + &"]".repeat(900)))
            .as_array()
            .map(<[Value]>::len),
        Some(1)
    );
    // Bytes that are no text arrive as Node's decoder gives them.
    assert_eq!(
        value::decode(&to_cbor(b"\"\xff\"").unwrap()).unwrap(),
        Value::from("\u{fffd}")
    );
}
