//! What the programs about child processes share: settings of the command line, and traces.
//!
//! A program is called as `<program> [words…] [name=value…] -- <command> [arguments…]`. A setting is an option under Node's
//! name; its value is a number, `true`, `false`, `null`, `undefined`, `'text'`, `[a,b]`, `{a=1;b=2}` or else text.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use nodule_sdk::child_process::{
    ChildProcess, Data, ExecOptions, ForkOptions, SpawnOptions, SpawnSyncOptions, StdioStream,
};
use nodule_sdk::stream::Readable;
use nodule_sdk::{Error, Value, process};

/// Longest output that is printed whole.
const SHOWN_BYTES_MAX: usize = 200;

/// What the command line asks for.
pub struct Request {
    /// What stands before the first setting.
    pub words: Vec<String>,
    /// The settings in order.
    pub settings: Vec<(String, String)>,
    /// Command and arguments.
    pub command: Vec<String>,
}

impl Request {
    /// Reads the command line.
    pub fn read() -> Self {
        let arguments: Vec<String> = process::argv().into_iter().skip(2).collect();
        let (before, command) = match arguments.iter().position(|argument| argument == "--") {
            Some(end) => (&arguments[..end], arguments[end + 1..].to_vec()),
            None => (arguments.as_slice(), Vec::new()),
        };
        let (settings, words) = before.iter().partition::<Vec<_>, _>(|argument| argument.contains('='));
        let settings = settings.into_iter().filter_map(|setting| setting.split_once('='));
        Self {
            words: words.into_iter().cloned().collect(),
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            command,
        }
    }

    /// The word with this index; empty when there is none.
    pub fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// Whether this word is there.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|known| known == word)
    }

    /// The command; `true` when there is none.
    pub fn file(&self) -> &str {
        self.command.first().map_or("true", String::as_str)
    }

    /// Its arguments.
    pub fn arguments(&self) -> Vec<&str> {
        self.command.iter().skip(1).map(String::as_str).collect()
    }

    /// The settings with their values.
    pub fn settings(&self) -> impl Iterator<Item = (&str, Value)> {
        self.settings.iter().map(|(name, text)| (name.as_str(), value(text)))
    }

    /// Options with all settings.
    pub fn options<O: Configure>(&self) -> O {
        self.settings()
            .fold(O::default(), |options, (name, value)| options.set(name, value))
    }
}

/// Options that take any option by name.
pub trait Configure: Default {
    /// Sets an option by Node's name.
    #[must_use]
    fn set(self, name: &str, value: Value) -> Self;
}

macro_rules! configure {
    ($($type:ty),*) => {$(
        impl Configure for $type {
            fn set(self, name: &str, value: Value) -> Self {
                self.option(name, value)
            }
        }
    )*};
}

configure!(SpawnOptions, ForkOptions);

macro_rules! configure_with_encoding {
    ($($type:ty),*) => {$(
        impl Configure for $type {
            fn set(self, name: &str, value: Value) -> Self {
                match value.as_str() {
                    Some(encoding) if name == "encoding" => self.encoding(encoding),
                    _ => self.option(name, value),
                }
            }
        }
    )*};
}

configure_with_encoding!(ExecOptions, SpawnSyncOptions);

/// The value of a setting.
pub fn value(text: &str) -> Value {
    let within = |open, close| text.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
    if let Some(list) = within('[', ']') {
        return Value::array(list.split(',').filter(|entry| !entry.is_empty()).map(value));
    }
    if let Some(members) = within('{', '}') {
        let members = members.split(';').filter_map(|member| member.split_once('='));
        return Value::object(members.map(|(key, text)| (key, value(text))));
    }
    if let Some(text) = within('\'', '\'') {
        return text.into();
    }
    match text {
        "undefined" => Value::Undefined,
        "null" => Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        "Infinity" => f64::INFINITY.into(),
        "NaN" => f64::NAN.into(),
        _ => text.parse::<f64>().map_or_else(|_| text.into(), Value::from),
    }
}

/// This program, to fork.
pub fn myself() -> String {
    process::argv().get(1).cloned().unwrap_or_default()
}

/// How a process ended.
pub fn ended(code: Option<i32>, signal: Option<&str>) -> String {
    let code = code.map_or("null".to_owned(), |code| code.to_string());
    format!("{code} {}", signal.unwrap_or("null"))
}

/// The fields of an error that tests look at.
pub fn fields(error: &Error) -> String {
    let record = error.record();
    let mut line = format!("{} {} {}", error.name(), error.code().unwrap_or("-"), error.message());
    if let Some(errno) = record.errno {
        line += &format!(" errno={errno}");
    }
    for (name, text) in [("syscall", record.syscall.as_deref()), ("path", record.path.as_deref())] {
        if let Some(text) = text {
            line += &format!(" {name}={text}");
        }
    }
    if let Some(arguments) = &record.spawnargs {
        line += &format!(" spawnargs={arguments:?}");
    }
    if let Some(permission) = &record.permission {
        let resource = record.resource.as_deref().unwrap_or_default();
        line += &format!(" permission={permission} resource={resource}");
    }
    if let Some(cause) = error.cause() {
        line += &format!(" cause={}", cause.message());
    }
    line
}

/// Output, or how much there is.
pub fn shown(data: &Data) -> String {
    let kind = match data {
        Data::Text(_) => "text",
        Data::Bytes(_) => "bytes",
    };
    let len = data.as_bytes().len();
    if len > SHOWN_BYTES_MAX {
        let units = data.text().encode_utf16().count();
        return format!("{kind} of {len} bytes, {units} units");
    }
    format!("{kind} {:?}", data.text())
}

/// Prints the first piece and the whole of a stream.
pub fn trace_stream(name: &str, stream: &Readable) {
    let collected = Rc::new(RefCell::new(Vec::new()));
    let (label, all) = (name.to_owned(), Rc::clone(&collected));
    stream.on_data(move |chunk| {
        if all.borrow().is_empty() {
            println!("{label} data");
        }
        all.borrow_mut().extend_from_slice(chunk);
    });
    let label = name.to_owned();
    stream.on_end(move || println!("{label} end {}", shown(&Data::Bytes(collected.take()))));
}

/// Prints every event of a child, and what it writes.
pub fn trace(child: &ChildProcess) {
    for (fd, stream) in child.stdio().iter().enumerate() {
        if let Some(stream) = stream.as_ref().and_then(StdioStream::readable) {
            trace_stream(&format!("fd {fd}"), stream);
        }
    }
    trace_events(child);
}

/// As [`trace`], without what it writes.
pub fn trace_events(child: &ChildProcess) {
    child.on_spawn(|| println!("spawn"));
    child.on_error(|error| println!("error {}", fields(error)));
    let seen = child.clone();
    child.on_disconnect(move || println!("disconnect connected={}", seen.connected()));
    let seen = child.clone();
    child.on_exit(move |code, signal| {
        println!(
            "exit {} code={:?} signal={:?}",
            ended(code, signal),
            seen.exit_code(),
            seen.signal_code()
        );
    });
    child.on_close(|code, signal| println!("close {}", ended(code, signal)));
}

/// Counts calls.
#[derive(Clone, Default)]
pub struct Counter(Rc<Cell<u64>>);

impl Counter {
    /// Counts one more; gives how many there were before.
    pub fn next(&self) -> u64 {
        self.0.replace(self.0.get() + 1)
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}
