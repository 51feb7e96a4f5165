//! The exact bytes of every kind of value, both ways.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use nodule_abi::value::{
    ArrayBuffer, BigInt, Date, ErrorKind, ErrorValue, Object, Primitive, RegExp, SparseArray, TypedArray,
    TypedArrayKind, Value, View, ViewKind, decode, encode,
};

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// `value` is encoded as `hex`, and that is read as `value`.
#[track_caller]
fn same(value: impl Into<Value>, hex: &str) {
    let value = value.into();
    assert_eq!(encode(&value).unwrap(), bytes_of(hex), "encoding of {value:?}");
    assert_eq!(decode(&bytes_of(hex)).unwrap(), value, "decoding of {hex}");
}

fn hex_text(text: &str) -> String {
    assert!(text.len() < 24);
    format!(
        "{:02x}{}",
        0x60 + text.len(),
        text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()
    )
}

/// The head of a generic object with `parts` parts.
fn class(name: &str, parts: usize) -> String {
    format!("d81b {:02x} {}", 0x81 + parts, hex_text(name))
}

#[test]
fn undefined_null_booleans() {
    same(Value::Undefined, "f7");
    same(Value::Null, "f6");
    same(false, "f4");
    same(true, "f5");
}

#[test]
fn integral_numbers_are_integers_up_to_53_bits() {
    same(0, "00");
    same(23, "17");
    same(24, "1818");
    same(256, "190100");
    same(65_536, "1a00010000");
    same(-1, "20");
    same(-25, "3818");
    same(9_007_199_254_740_991.0, "1b001fffffffffffff");
    same(-9_007_199_254_740_991.0, "3b001ffffffffffffe");
    same(9_007_199_254_740_992.0, "fa5a000000");
    same(-9_007_199_254_740_992.0, "fada000000");
    same(1e300, "fb7e37e43c8800759c");
}

#[test]
fn other_numbers_are_the_shortest_float() {
    same(-0.0, "f98000");
    assert!(
        Value::as_f64(&decode(&bytes_of("f98000")).unwrap())
            .unwrap()
            .is_sign_negative()
    );
    same(f64::INFINITY, "f97c00");
    same(f64::NEG_INFINITY, "f9fc00");
    same(0.5, "f93800");
    same(1.5, "f93e00");
    same(-4.1, "fbc010666666666666");
    same(100_000.5, "fa47c35040");
    // The ends of half precision: smallest subnormal, largest subnormal, smallest normal, and just beside them.
    same(5.960_464_477_539_063e-8, "f90001");
    same(6.097_555_160_522_461e-5, "f903ff");
    same(6.103_515_625e-5, "f90400");
    same(2.980_232_238_769_531_3e-8, "fa33000000");
    same(f64::from(f32::from_bits(1)), "fa00000001");
    for nan in [f64::NAN, -f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001)] {
        assert_eq!(encode(&Value::Number(nan)).unwrap(), bytes_of("f97e00"));
    }
    assert!(decode(&bytes_of("f97e00")).unwrap().as_f64().unwrap().is_nan());
}

/// The number that these bits are in half precision; finite and not negative.
fn half(bits: u32) -> f64 {
    let (exponent, fraction) = (bits >> 10, f64::from(bits & 0x3ff) / 1024.0);
    match i32::try_from(exponent).unwrap() {
        0 => fraction * 2f64.powi(-14),
        exponent => (1.0 + fraction) * 2f64.powi(exponent - 15),
    }
}

#[test]
fn half_precision_is_used_for_every_half_and_nothing_between() {
    for bits in 0..0x7c00u32 {
        let number = half(bits);
        if number.fract() != 0.0 {
            same(number, &format!("f9{bits:04x}"));
            same(-number, &format!("f9{:04x}", bits | 0x8000));
        }
        let between = f64::midpoint(number, half(bits + 1));
        if bits < 0x7bff && between.fract() != 0.0 {
            let encoded = encode(&Value::Number(between)).unwrap();
            assert_eq!(encoded[0], 0xfa, "{between}");
            assert_eq!(decode(&encoded).unwrap(), Value::Number(between));
        }
    }
}

#[test]
fn bigints_are_bignums_always() {
    same(BigInt::from(0u128), "c240");
    same(BigInt::from(1u128), "c24101");
    same(BigInt::from(-1i128), "c340");
    same(BigInt::from(-2i128), "c34101");
    same(BigInt::from(256i128), "c2420100");
    same(BigInt::from(-256i128), "c341ff");
    same(BigInt::from(-257i128), "c3420100");
    same(BigInt::from(u128::MAX), &format!("c250{}", "ff".repeat(16)));
    same(BigInt::from(i128::MIN), &format!("c3507f{}", "ff".repeat(15)));
    let mut magnitude = vec![1];
    magnitude.resize(40, 0);
    same(
        BigInt::from_sign_magnitude(true, &magnitude),
        &format!("c35827{}", "ff".repeat(39)),
    );
}

#[test]
fn strings() {
    same("", "60");
    same("abc", "63616263");
    same("€", "63e282ac");
    same(
        Value::from_utf16(&[0x61, 0xd800]),
        &format!("{} 446100 00d8", class("WTF16", 1)),
    );
    assert_eq!(Value::from_utf16(&[0x61]), Value::from("a"));
    assert_eq!(encode(&Value::Wtf16(vec![0x61])).unwrap(), bytes_of("6161"));
}

#[test]
fn containers() {
    same(Object::new(), "a0");
    same(
        Value::object([("b", Value::from(1)), ("a", Value::Undefined)]),
        "a2 6162 01 6161 f7",
    );
    same(Value::array([1, 2]), "82 01 02");
    same(Value::Array(vec![]), "80");
    same(
        Value::Map(vec![(Value::from(1), Value::from("x"))]),
        "d90103 a1 01 6178",
    );
    same(Value::Map(vec![]), "d90103 a0");
    same(
        Value::Map(vec![(Value::array([1]), Value::object([("k", Value::Null)]))]),
        "d90103 a1 8101 a1616bf6",
    );
    same(Value::Set(vec![Value::from(1), Value::from("x")]), "d90102 82 01 6178");
}

#[test]
fn arrays_with_holes_or_named_members() {
    let holes = SparseArray {
        length: 3,
        elements: vec![(1, Value::from(7))],
        named: Object::new(),
    };
    same(
        Value::SparseArray(Box::new(holes)),
        &format!("{} 03 a1 01 07", class("Array", 2)),
    );
    let named = SparseArray {
        length: 1,
        elements: vec![(0, Value::Null)],
        named: [("x", 1), ("4294967295", 2)].into_iter().collect(),
    };
    let hex = format!(
        "{} 01 a3 00 f6 6178 01 {} 02",
        class("Array", 2),
        hex_text("4294967295")
    );
    same(Value::SparseArray(Box::new(named)), &hex);
    let empty = SparseArray {
        length: u32::MAX,
        ..SparseArray::default()
    };
    same(
        Value::SparseArray(Box::new(empty)),
        &format!("{} 1affffffff a0", class("Array", 2)),
    );
    let dense = SparseArray {
        length: 1,
        elements: vec![(0, Value::Null)],
        named: Object::new(),
    };
    assert_eq!(encode(&Value::SparseArray(Box::new(dense))).unwrap(), bytes_of("81f6"));
}

#[test]
fn dates() {
    same(Date::from_ms(0), "c1 00");
    same(Date::from_ms(-1000), "c1 20");
    same(Date::from_ms(1_363_896_240_000), "c1 1a514b67b0");
    same(Date::from_ms(1_363_896_240_500), "c1 fb41d452d9ec200000");
    same(Date::from_ms(-500), "c1 f9b800");
    same(
        Date::from_ms((1 << 51) - 1),
        &format!("c1 fb{:016x}", (((1u64 << 51) - 1) as f64 / 1000.0).to_bits()),
    );
    same(Date::from_ms(1 << 51), "d903e9 a2 01 1b0000020c49ba5e35 22 18f8");
    same(Date::from_ms(-(1 << 51)), "d903e9 a2 01 3b0000020c49ba5e35 22 1902f0");
    same(Date::from_ms(8_640_000_000_000_000), "c1 1b000007dba8218000");
    same(
        Date::from_ms(-8_639_999_999_999_999),
        "d903e9 a2 01 3b000007dba8217fff 22 01",
    );
    same(Date::INVALID, "c1 f97e00");
    assert_eq!(Date::from_ms(8_640_000_000_000_001), Date::INVALID);
}

#[test]
fn regular_expressions() {
    let expression = |source: &str, flags: &str| RegExp {
        source: source.into(),
        flags: flags.into(),
    };
    same(Value::RegExp(Box::new(expression("a+", ""))), "d823 62612b");
    same(
        Value::RegExp(Box::new(expression("a+", "gi"))),
        "d9524a 82 62612b 626769",
    );
}

#[test]
fn boxed_primitives() {
    let boxed = |primitive| Value::Boxed(Box::new(primitive));
    same(boxed(Primitive::Boolean(true)), &format!("{} f5", class("Boolean", 1)));
    same(boxed(Primitive::Number(1.0)), &format!("{} 01", class("Number", 1)));
    same(
        boxed(Primitive::Number(-0.0)),
        &format!("{} f98000", class("Number", 1)),
    );
    same(
        boxed(Primitive::String("x".into())),
        &format!("{} 6178", class("String", 1)),
    );
    let lone = format!("{} {} 4200dc", class("String", 1), class("WTF16", 1));
    same(boxed(Primitive::Wtf16(vec![0xdc00])), &lone);
    same(
        boxed(Primitive::BigInt(BigInt::from(5i64))),
        &format!("{} c24105", class("BigInt", 1)),
    );
}

#[test]
fn errors() {
    let plain = ErrorValue::new(ErrorKind::TypeError, "m");
    same(
        plain.clone(),
        &format!("{} a1 {} 616d", class("TypeError", 1), hex_text("message")),
    );
    for kind in ErrorKind::ALL {
        let error = ErrorValue {
            kind: *kind,
            message: None,
            stack: None,
            cause: None,
        };
        same(error, &format!("{} a0", class(kind.name(), 1)));
    }
    let full = ErrorValue {
        stack: Some("s".into()),
        cause: Some(Value::Undefined),
        ..plain
    };
    let [message, stack, cause] = ["message", "stack", "cause"].map(hex_text);
    same(
        full,
        &format!("{} a3 {message} 616d {stack} 6173 {cause} f7", class("TypeError", 1)),
    );
    let record = [("name", Value::from("E")), ("errno", Value::from(-2))]
        .into_iter()
        .collect();
    let hex = format!(
        "{} a2 {} 6145 {} 21",
        class("ErrorRecord", 1),
        hex_text("name"),
        hex_text("errno")
    );
    same(Value::ErrorRecord(record), &hex);
}

#[test]
fn array_buffers() {
    let buffer = |max_byte_length| {
        Value::ArrayBuffer(ArrayBuffer {
            bytes: vec![1, 2],
            max_byte_length,
        })
    };
    same(buffer(None), "42 0102");
    same(buffer(Some(2)), &format!("{} 42 0102 02", class("ArrayBuffer", 2)));
    same(
        buffer(Some(300)),
        &format!("{} 42 0102 19012c", class("ArrayBuffer", 2)),
    );
}

#[test]
fn typed_arrays() {
    let tags = [
        ("Uint8Array", 64),
        ("Uint16Array", 69),
        ("Uint32Array", 70),
        ("BigUint64Array", 71),
        ("Uint8ClampedArray", 68),
        ("Int8Array", 72),
        ("Int16Array", 77),
        ("Int32Array", 78),
        ("BigInt64Array", 79),
        ("Float16Array", 84),
        ("Float32Array", 85),
        ("Float64Array", 86),
    ];
    assert_eq!(tags.len(), TypedArrayKind::ALL.len());
    for (name, tag) in tags {
        let array = TypedArray {
            kind: TypedArrayKind::from_name(name).unwrap(),
            bytes: (0..16).collect(),
        };
        same(
            Value::TypedArray(array),
            &format!("d8{tag:02x} 50 000102030405060708090a0b0c0d0e0f"),
        );
    }
    same(vec![1u8, 2], "d840 42 0102");
}

fn view(kind: ViewKind, buffer: Value, byte_offset: u64, length: Option<u64>) -> Value {
    Value::View(Box::new(View {
        kind,
        buffer,
        byte_offset,
        length,
    }))
}

#[test]
fn views() {
    const U16: ViewKind = ViewKind::TypedArray(TypedArrayKind::Uint16);
    let buffer = || {
        Value::ArrayBuffer(ArrayBuffer {
            bytes: vec![0; 4],
            max_byte_length: None,
        })
    };
    let inline = view(U16, buffer(), 2, Some(1));
    same(inline, &format!("{} 44 00000000 02 01", class("Uint16Array", 3)));
    let shared = Value::array([
        view(U16, Value::Shared(0, Box::new(buffer())), 0, Some(2)),
        view(ViewKind::DataView, Value::Ref(0), 1, Some(3)),
        Value::Ref(0),
    ]);
    let (first, second) = (class("Uint16Array", 3), class("DataView", 3));
    same(
        shared,
        &format!("83 {first} d81c 44 00000000 00 02 {second} d81d00 01 03 d81d00"),
    );
    let resource = view(U16, Value::Resource(3), 8, None);
    same(resource, &format!("{} da6e6f6475 03 08 f6", class("Uint16Array", 3)));
    let plain = view(U16, buffer(), 0, Some(2));
    assert_eq!(encode(&plain).unwrap(), bytes_of("d845 44 00000000"));
}

#[test]
fn identity_and_cycles() {
    let twice = Value::array([Value::Shared(0, Box::new(Object::new().into())), Value::Ref(0)]);
    same(twice, "82 d81ca0 d81d00");
    let cycle = Value::Shared(0, Box::new(Value::object([("self", Value::Ref(0))])));
    same(cycle, &format!("d81c a1 {} d81d00", hex_text("self")));
    let order = Value::Shared(
        0,
        Box::new(Value::array([
            Value::Shared(1, Box::new(Value::Set(vec![Value::Ref(0)]))),
            Value::Ref(1),
            Value::Shared(2, Box::new(Value::Date(Date::INVALID))),
            Value::Ref(2),
        ])),
    );
    same(order, "d81c 84 d81c d90102 81 d81d00 d81d01 d81c c1f97e00 d81d02");
    // Any ids will do for encoding.
    let numbered = Value::array([Value::Shared(77, Box::new(Value::Array(vec![]))), Value::Ref(77)]);
    assert_eq!(encode(&numbered).unwrap(), bytes_of("82 d81c80 d81d00"));
}

#[test]
fn resources() {
    same(Value::Resource(0), "da6e6f6475 00");
    same(Value::Resource(u32::MAX), "da6e6f6475 1affffffff");
    assert_eq!(u32::from_be_bytes(*b"nodu"), 1_852_793_973);
}
