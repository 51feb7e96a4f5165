//! What is accepted, and what Node says of the rest.

use nodule_abi::value::{Object, Value};

use super::*;

fn object(entries: &[(&str, Value)]) -> Value {
    Value::Object(
        entries
            .iter()
            .map(|(key, value)| (*key, value.clone()))
            .collect::<Object>(),
    )
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    object(&[("file", "true".into()), (name, value.into())])
}

fn read(value: &Value) -> Result<Request> {
    Request::from_value(value, Form::Async)
}

fn list(values: Vec<Value>) -> Value {
    Value::Array(values)
}

type Mistake = (Value, &'static str, &'static str);

fn number() -> Value {
    Value::Number(5.0)
}

/// Code and message of what Node 20 says, observed.
fn mistakes_of_types() -> Vec<Mistake> {
    vec![
        (
            object(&[("file", number())]),
            "ERR_INVALID_ARG_TYPE",
            "The \"file\" argument must be of type string. Received type number (5)",
        ),
        (
            object(&[("file", "".into())]),
            "ERR_INVALID_ARG_VALUE",
            "The argument 'file' cannot be empty. Received ''",
        ),
        (
            object(&[("file", "a\0b".into())]),
            "ERR_INVALID_ARG_VALUE",
            "The argument 'file' must be a string without null bytes. Received 'a\\x00b'",
        ),
        (
            with("args", number()),
            "ERR_INVALID_ARG_TYPE",
            "The \"args\" argument must be of type object. Received type number (5)",
        ),
        (
            with("args", list(vec!["a\0".into()])),
            "ERR_INVALID_ARG_VALUE",
            "The argument 'args[0]' must be a string without null bytes. Received 'a\\x00'",
        ),
        (
            with("cwd", number()),
            "ERR_INVALID_ARG_TYPE",
            "The \"options.cwd\" property must be of type string or an instance of Buffer or URL. Received type number (5)",
        ),
        (
            with("cwd", "a\0"),
            "ERR_INVALID_ARG_VALUE",
            "The property 'options.cwd' must be a string, Uint8Array, or URL without null bytes. Received 'a\\x00'",
        ),
        (
            with("detached", number()),
            "ERR_INVALID_ARG_TYPE",
            "The \"options.detached\" property must be of type boolean. Received type number (5)",
        ),
        (
            with("uid", "x"),
            "ERR_INVALID_ARG_TYPE",
            "The \"options.uid\" property must be int32. Received type string ('x')",
        ),
        (
            with("gid", 1.5),
            "ERR_INVALID_ARG_TYPE",
            "The \"options.gid\" property must be int32. Received type number (1.5)",
        ),
        (
            with("shell", number()),
            "ERR_INVALID_ARG_TYPE",
            "The \"options.shell\" property must be one of type boolean or string. Received type number (5)",
        ),
    ]
}

fn mistakes_of_values() -> Vec<Mistake> {
    vec![
        (
            with("timeout", -1.0),
            "ERR_OUT_OF_RANGE",
            "The value of \"timeout\" is out of range. It must be an unsigned integer. Received -1",
        ),
        (
            with("killSignal", "SIGNOPE"),
            "ERR_UNKNOWN_SIGNAL",
            "Unknown signal: SIGNOPE",
        ),
        (with("killSignal", 999.0), "ERR_UNKNOWN_SIGNAL", "Unknown signal: 999"),
        (
            with("killSignal", true),
            "ERR_INVALID_ARG_TYPE",
            "The \"options.killSignal\" property must be one of type string or number. Received type boolean (true)",
        ),
        (
            with("serialization", "x"),
            "ERR_INVALID_ARG_VALUE",
            "The property 'options.serialization' must be one of: undefined, 'json', 'advanced'. Received 'x'",
        ),
        (
            with("stdio", "x"),
            "ERR_INVALID_ARG_VALUE",
            "The argument 'stdio' is invalid. Received 'x'",
        ),
        (
            with("stdio", list(vec!["x".into()])),
            "ERR_INVALID_SYNC_FORK_INPUT",
            "Asynchronous forks do not support Buffer, TypedArray, DataView or string input: 'x'",
        ),
        (
            with("stdio", list(vec![Object::new().into()])),
            "ERR_INVALID_ARG_VALUE",
            "The argument 'stdio' is invalid. Received {}",
        ),
        (
            with("stdio", list(vec!["ipc".into(), "ipc".into()])),
            "ERR_IPC_ONE_PIPE",
            "Child process can have only one IPC pipe",
        ),
        (
            with("env", list(vec![])),
            "ERR_INVALID_ARG_TYPE",
            "The \"options.env\" property must be of type object. Received an instance of Array",
        ),
        (
            with("env", object(&[("a", "b\0".into())])),
            "ERR_INVALID_ARG_VALUE",
            "The property 'options.env['a']' must be a string without null bytes. Received 'b\\x00'",
        ),
        (
            with("maxBuffer", -1.0),
            "ERR_OUT_OF_RANGE",
            "The value of \"options.maxBuffer\" is out of range. It must be a positive number. Received -1",
        ),
        (
            object(&[("file", number()), ("fork", true.into())]),
            "ERR_INVALID_ARG_TYPE",
            "The \"modulePath\" argument must be of type string or an instance of Buffer or URL. Received type number (5)",
        ),
        (
            object(&[
                ("file", "m".into()),
                ("fork", true.into()),
                ("stdio", list(vec!["pipe".into()])),
            ]),
            "ERR_CHILD_PROCESS_IPC_REQUIRED",
            "Forked processes must have an IPC channel, missing value 'ipc' in options.stdio",
        ),
    ]
}

#[test]
fn mistakes_are_told_in_the_words_of_node() {
    let cases = mistakes_of_types().into_iter().chain(mistakes_of_values());
    for (options, code, message) in cases {
        let error = read(&options).unwrap_err();
        assert_eq!(
            (error.code.as_deref(), error.message.as_str()),
            (Some(code), message),
            "{options:?}"
        );
    }
    let sync = Request::from_value(&with("stdio", list(vec!["ipc".into()])), Form::Sync).unwrap_err();
    assert!(sync.is_code("ERR_IPC_SYNC_FORK"));
}

#[test]
fn what_is_absent_has_the_default_of_node() {
    let request = read(&object(&[("file", "ls".into())])).unwrap();
    assert_eq!(request.stdio, vec![StdioEntry::Pipe; 3]);
    assert_eq!((request.kill_signal, request.max_buffer), (15, 1024 * 1024));
    assert_eq!(request.serialization, Serialization::Json);
    assert!(request.env.is_none() && request.timeout.is_none() && !request.detached);
    let zero = read(&with("timeout", 0.0)).unwrap();
    assert_eq!(zero.timeout, None);
}

#[test]
fn stdio_is_padded_and_a_fork_gets_its_channel() {
    let fork = |entries: &[(&str, Value)]| {
        let mut all = vec![("file", "m".into()), ("fork", true.into())];
        all.extend(entries.iter().cloned());
        read(&object(&all)).unwrap().stdio
    };
    use StdioEntry::{Fd, Handle, Ignore, Inherit, Ipc, Pipe};
    assert_eq!(fork(&[]), [Inherit, Inherit, Inherit, Ipc]);
    assert_eq!(fork(&[("silent", true.into())]), [Pipe, Pipe, Pipe, Ipc]);
    let given = list(vec!["ignore".into(), Value::Null, "ipc".into()]);
    assert_eq!(fork(&[("stdio", given), ("silent", true.into())]), [Ignore, Pipe, Ipc]);
    let given = list(vec![
        "overlapped".into(),
        1.0.into(),
        Value::Undefined,
        Value::Null,
        object(&[("handle", 7.0.into())]),
    ]);
    assert_eq!(
        read(&with("stdio", given)).unwrap().stdio,
        [Pipe, Fd(1), Pipe, Ignore, Handle(7)]
    );
    assert_eq!(read(&with("stdio", "inherit")).unwrap().stdio, vec![Inherit; 3]);
}

#[test]
fn variables_are_texts_and_undefined_ones_are_left_out() {
    let env = object(&[
        ("A", "1".into()),
        ("B", Value::Undefined),
        ("C", 5.0.into()),
        ("D", Value::Null),
    ]);
    let request = read(&with("env", env)).unwrap();
    let expected = [("A", "1"), ("C", "5"), ("D", "null")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(request.env.unwrap(), expected);
}

#[test]
fn ids_are_int32_and_their_bits_count() {
    assert_eq!(read(&with("uid", 1000.0)).unwrap().uid, Some(1000));
    assert_eq!(read(&with("gid", -1.0)).unwrap().gid, Some(u32::MAX));
    assert!(read(&with("uid", 4_294_967_295.0)).is_err());
}

#[test]
fn counts_are_bounded() {
    let words = vec![Value::from("x"); CHILD_ARGS_MAX + 1];
    assert!(read(&with("args", list(words))).unwrap_err().is_code("E2BIG"));
    let entries = vec![Value::from("ignore"); CHILD_STDIO_MAX + 1];
    assert!(read(&with("stdio", list(entries))).unwrap_err().is_code("EMFILE"));
}
