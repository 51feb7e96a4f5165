//! Structured clones: every kind of value goes through a port and arrives as it was.

use std::cell::Cell;
use std::collections::BTreeMap;

use nodule_sdk::value::{
    ArrayBuffer, BigInt, Bytes, Date, ErrorKind, ErrorValue, Object, Primitive, RegExp, SparseArray, TypedArray,
    TypedArrayKind, View, ViewKind,
};
use nodule_sdk::worker_threads::{
    MessageChannel, Module, Uncloneable, clone_error, mark_as_uncloneable, receive_message_on_port, structured_clone,
};
use nodule_sdk::{Error, Value, worker_threads};
use serde::{Deserialize, Serialize, Serializer};

/// Sends a value through a port and by `structured_clone`; prints what arrives.
fn through(channel: &MessageChannel, name: &str, value: impl Into<Value>) {
    let value = value.into();
    channel.port1.post_message(&value).unwrap();
    let arrived: Value = receive_message_on_port(&channel.port2).unwrap().unwrap();
    let cloned: Value = structured_clone(&value).unwrap();
    // As text: a NaN is not equal to itself, and the sign of a zero counts.
    let same = format!("{arrived:?}") == format!("{value:?}") && format!("{cloned:?}") == format!("{value:?}");
    println!(
        "{name}: {}",
        if same {
            format!("{arrived:?}")
        } else {
            format!("{value:?} became {arrived:?}")
        }
    );
}

fn primitives(channel: &MessageChannel) {
    through(channel, "undefined", Value::Undefined);
    through(channel, "null", Value::Null);
    through(channel, "boolean", true);
    for number in [
        0.0,
        -0.0,
        1.5,
        -7.0,
        9_007_199_254_740_991.0,
        1e300,
        f64::NAN,
        f64::INFINITY,
    ] {
        through(channel, "number", number);
    }
    through(channel, "string", "grüße, 世界");
    through(channel, "lone surrogate", Value::from_utf16(&[0x61, 0xd800]));
    through(channel, "bigint 1", Value::BigInt(BigInt::from(1_i64)));
    through(
        channel,
        "bigint",
        Value::BigInt(BigInt::from(-170_141_183_460_469_231_731_687_303_715_884_105_728_i128)),
    );
}

fn containers(channel: &MessageChannel) {
    through(
        channel,
        "object",
        Value::object([("b", Value::from(1)), ("a", Value::Undefined)]),
    );
    through(channel, "array", Value::array([1, 2]));
    let sparse = SparseArray {
        length: 5,
        elements: vec![(1, Value::from("one")), (4, Value::Null)],
        named: Object::from_iter([("name".to_owned(), Value::from("x"))]),
    };
    through(channel, "sparse array", Value::SparseArray(Box::new(sparse)));
    through(
        channel,
        "map",
        Value::Map(vec![
            (Value::array([1]), Value::from("k")),
            (Value::Number(0.5), Value::Null),
        ]),
    );
    through(channel, "set", Value::Set(vec![Value::from("a"), Value::Undefined]));
}

fn objects(channel: &MessageChannel) {
    for ms in [0, 1500, -1, 8_640_000_000_000_000] {
        through(channel, "date", Date::from_ms(ms));
    }
    through(channel, "invalid date", Date::INVALID);
    let expression = |flags: &str| {
        Value::RegExp(Box::new(RegExp {
            source: "a+b".into(),
            flags: flags.into(),
        }))
    };
    through(channel, "regexp", expression(""));
    through(channel, "regexp", expression("gi"));
    for content in [
        Primitive::Boolean(false),
        Primitive::Number(-0.0),
        Primitive::String("s".into()),
        Primitive::BigInt(BigInt::from(7_i64)),
    ] {
        through(channel, "boxed", Value::Boxed(Box::new(content)));
    }
    for kind in ErrorKind::ALL {
        through(channel, "error", ErrorValue::new(*kind, "no"));
    }
    let whole = ErrorValue {
        stack: Some("at f".into()),
        cause: Some(ErrorValue::new(ErrorKind::TypeError, "why").into()),
        ..ErrorValue::new(ErrorKind::RangeError, "no")
    };
    through(channel, "error", whole);
}

fn buffers(channel: &MessageChannel) {
    let buffer = |max_byte_length| {
        Value::ArrayBuffer(ArrayBuffer {
            bytes: vec![1, 2, 3, 4, 5, 6, 7, 8],
            max_byte_length,
        })
    };
    through(channel, "buffer", buffer(None));
    through(channel, "resizable buffer", buffer(Some(16)));
    for kind in TypedArrayKind::ALL {
        let bytes = (0..16).collect();
        through(
            channel,
            "typed array",
            Value::TypedArray(TypedArray { kind: *kind, bytes }),
        );
    }
    let view = |kind, length| {
        Value::View(Box::new(View {
            kind,
            buffer: buffer(Some(16)),
            byte_offset: 4,
            length,
        }))
    };
    through(
        channel,
        "view",
        view(ViewKind::TypedArray(TypedArrayKind::Uint16), Some(1)),
    );
    through(channel, "view", view(ViewKind::DataView, None));
}

fn identity(channel: &MessageChannel) {
    let shared = Value::Shared(0, Box::new(Value::object([("n", 1)])));
    through(channel, "shared", Value::array([shared, Value::Ref(0)]));
    let inner = Value::object([("self", Value::Ref(0)), ("list", Value::Set(vec![Value::Ref(0)]))]);
    through(channel, "cycle", Value::Shared(0, Box::new(inner)));
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Typed {
    bytes: Bytes,
    map: BTreeMap<u32, String>,
    option: Option<u8>,
    large: u64,
    value: Value,
}

/// Counts how often it is read, as a getter would.
struct Getter<'a>(&'a Cell<u32>);

impl Serialize for Getter<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.set(self.0.get() + 1);
        serializer.serialize_u32(self.0.get())
    }
}

/// What cannot be cloned in Node has no place in a message here.
struct Function;

impl Serialize for Function {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(clone_error(Error::with_code(
            nodule_sdk::error::ErrorCode::DataClone,
            "() => 1 could not be cloned.",
        )))
    }
}

fn refusals(channel: &MessageChannel) {
    let shown = |result: Result<bool, Error>| {
        let error = result.unwrap_err();
        println!("refused: {} {:?} {}", error.name(), error.code(), error.message());
    };
    shown(channel.port1.post_message(&[Some(Function)]));
    shown(channel.port1.post_message(&Uncloneable(5_u8)));
    let buffer = worker_threads::ArrayBuffer::from(vec![1]);
    mark_as_uncloneable(&buffer);
    channel.port1.post_message_with(&(), &[&buffer]).unwrap();
    shown(channel.port1.post_message(&buffer));
    let module = Module::current().unwrap();
    mark_as_uncloneable(&module);
    shown(channel.port1.post_message(&module));
    shown(channel.port1.post_message(&channel.port2));
    let mut deep = Value::Null;
    for _ in 0..1001 {
        deep = Value::array([deep]);
    }
    shown(channel.port1.post_message(&deep));
    receive_message_on_port::<()>(&channel.port2).unwrap();
    println!("queued {:?}", receive_message_on_port::<Value>(&channel.port2).unwrap());
}

#[nodule_sdk::main]
fn main() {
    let channel = MessageChannel::new();
    primitives(&channel);
    containers(&channel);
    objects(&channel);
    buffers(&channel);
    identity(&channel);
    let typed = Typed {
        bytes: Bytes(vec![1, 2]),
        map: BTreeMap::from([(7, "seven".into())]),
        option: None,
        large: u64::MAX,
        value: Value::Set(vec![Value::from(1)]),
    };
    let cloned: Typed = structured_clone(&typed).unwrap();
    println!("typed: {}", cloned == typed);
    let reads = Cell::new(0);
    let cloned: u32 = structured_clone(&Getter(&reads)).unwrap();
    println!("getter: read {} time(s), value {cloned}", reads.get());
    let module = Module::current().unwrap();
    channel
        .port1
        .post_message(&vec![module.clone(), module.clone()])
        .unwrap();
    let modules: Vec<Module> = receive_message_on_port(&channel.port2).unwrap().unwrap();
    let digests: Vec<_> = modules.iter().map(|module| module.digest().unwrap()).collect();
    println!(
        "module: {} the same",
        digests
            .iter()
            .filter(|digest| **digest == module.digest().unwrap())
            .count()
    );
    refusals(&channel);
}
