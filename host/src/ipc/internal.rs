//! Internal messages: objects whose `cmd` begins with `NODE_`. They are for the hosts, never for a guest.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use memchr::memmem;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::resources::{ResourceType, decode_types, encode_types};
use super::wire::{Serialization, short_frame};

const PREFIX: &str = "NODE_";

/// Longest text of a field that is looked at; a longer one counts as absent.
const FIELD_BYTES_MAX: usize = 1024;

/// What a host tells the other.
#[derive(Debug, PartialEq, Eq)]
pub enum Internal {
    /// A message with a handle.
    Handle(HandleMessage),
    /// A message of a port that looks like one of these; where it lies.
    PortMessage(Range<usize>),
    /// The handle arrived.
    Ack,
    /// The message arrived and its handle did not.
    Nack,
    /// One this host has no use for.
    Other,
}

/// `NODE_HANDLE`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HandleMessage {
    /// What kind of handle, as Node names it.
    pub kind: String,
    /// The server a socket belongs to.
    pub key: Option<String>,
    /// `udp4` or `udp6`.
    pub dgram_type: Option<String>,
    /// What the resources are that come besides (nodule only); nothing inside when that cannot be read.
    pub types: Option<Option<Vec<ResourceType>>>,
    /// Where the wrapped message lies; nothing is `null`.
    pub message: Option<Range<usize>>,
}

/// The members of an internal message, each where it lies in the text.
#[derive(Debug, Default)]
struct Fields<'a> {
    cmd: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    msg: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    dgram_type: Option<&'a [u8]>,
    types: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// The member called `name`; of equal names the last counts, as in JavaScript.
    fn member(&mut self, name: &str) -> Option<&mut Option<&'a [u8]>> {
        match name {
            "cmd" => Some(&mut self.cmd),
            "type" => Some(&mut self.kind),
            "msg" => Some(&mut self.msg),
            "key" => Some(&mut self.key),
            "dgramType" => Some(&mut self.dgram_type),
            "types" => Some(&mut self.types),
            _ => None,
        }
    }
}

/// What a message is when it is internal. Nearly all are not, and cost a search.
pub fn parse(serialization: Serialization, message: &[u8]) -> Option<Internal> {
    let fields = match serialization {
        Serialization::Json => json_fields(message)?,
        Serialization::Advanced => cbor_fields(message)?,
    };
    let text = |member: Option<&[u8]>| text(serialization, member?);
    let cmd = text(fields.cmd)?;
    if !cmd.starts_with(PREFIX) || cmd.len() == PREFIX.len() {
        return None;
    }
    Some(match cmd.as_str() {
        "NODE_HANDLE" => Internal::Handle(HandleMessage {
            kind: text(fields.kind).unwrap_or_default(),
            key: text(fields.key),
            dgram_type: text(fields.dgram_type),
            types: match serialization {
                Serialization::Json => None,
                Serialization::Advanced => fields.types.map(decode_types),
            },
            message: fields.msg.and_then(|part| range_in(message, part)),
        }),
        "NODE_PORT_MESSAGE" => {
            let range = fields.msg.and_then(|part| range_in(message, part));
            range.map_or(Internal::Other, Internal::PortMessage)
        }
        "NODE_HANDLE_ACK" => Internal::Ack,
        "NODE_HANDLE_NACK" => Internal::Nack,
        _ => Internal::Other,
    })
}

/// Where `part`, which was cut out of `whole`, lies in it.
fn range_in(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let range = start..start.checked_add(part.len())?;
    whole.get(range.clone())?;
    Some(range)
}

fn text(serialization: Serialization, value: &[u8]) -> Option<String> {
    // Six bytes of JSON can be one of text.
    if value.len() > 6 * FIELD_BYTES_MAX {
        return None;
    }
    let text = match serialization {
        Serialization::Json => serde_json::from_slice(value).ok()?,
        Serialization::Advanced => minicbor::Decoder::new(value).str().ok()?.to_owned(),
    };
    Some(text).filter(|text| text.len() <= FIELD_BYTES_MAX)
}

fn json_fields(message: &[u8]) -> Option<Fields<'_>> {
    let is_object = message.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    // The letters may also be written as escapes, all of which begin like this.
    let is_candidate =
        || memmem::find(message, PREFIX.as_bytes()).is_some() || memmem::find(message, br"\u00").is_some();
    if !is_object || !is_candidate() {
        return None;
    }
    let text = std::str::from_utf8(message).ok()?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = deserializer.deserialize_map(FieldsVisitor).ok()?;
    deserializer.end().ok()?;
    Some(fields)
}

struct FieldsVisitor;

impl<'a> Visitor<'a> for FieldsVisitor {
    type Value = Fields<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Fields<'a>, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<Cow<'a, str>>()? {
            match fields.member(&name) {
                Some(member) => *member = Some(map.next_value::<&'a RawValue>()?.get().as_bytes()),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

fn cbor_fields(message: &[u8]) -> Option<Fields<'_>> {
    use minicbor::data::Type;

    memmem::find(message, PREFIX.as_bytes())?;
    let mut decoder = minicbor::Decoder::new(message);
    // An object that is referred to from inside has a mark of its own.
    while decoder.datatype().ok()? == Type::Tag {
        decoder.tag().ok()?;
    }
    let mut left = decoder.map().ok()?;
    let mut fields = Fields::default();
    loop {
        match &mut left {
            Some(0) => break,
            Some(left) => *left -= 1,
            None if decoder.datatype().ok()? == Type::Break => break,
            None => {}
        }
        let member = match decoder.datatype().ok()? {
            Type::String => fields.member(decoder.str().ok()?),
            _ => {
                decoder.skip().ok()?;
                None
            }
        };
        let start = decoder.position();
        decoder.skip().ok()?;
        if let Some(member) = member {
            *member = message.get(start..decoder.position());
        }
    }
    Some(fields)
}

/// What stands before and after a message that a handle comes with.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Before the message.
    pub before: Vec<u8>,
    /// After it.
    pub after: Vec<u8>,
}

/// What `NODE_HANDLE` says besides its message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wrapping<'a> {
    /// The native handle: its type, `key` and `dgramType`.
    pub native: Option<(&'a str, Option<&'a str>, Option<&'a str>)>,
    /// The resources, over `advanced` channels.
    pub types: &'a [ResourceType],
}

/// The parts of `NODE_HANDLE` around its message.
pub fn handle_envelope(serialization: Serialization, Wrapping { native, types }: Wrapping<'_>) -> Envelope {
    let (kind, key, dgram_type) = native.map_or((None, None, None), |(kind, key, dgram_type)| {
        (Some(kind), key, dgram_type)
    });
    let more = [("key", key), ("dgramType", dgram_type)];
    let more = more.into_iter().filter_map(|(name, value)| Some((name, value?)));
    match serialization {
        Serialization::Json => {
            let kind = kind.map_or(String::new(), |kind| format!(",\"type\":{}", quoted(kind)));
            let more: String = more
                .map(|(name, value)| format!(",\"{name}\":{}", quoted(value)))
                .collect();
            Envelope {
                before: format!("{{\"cmd\":\"NODE_HANDLE\"{kind},\"msg\":").into_bytes(),
                after: format!("{more}}}").into_bytes(),
            }
        }
        Serialization::Advanced => {
            let mut members = 2;
            let mut before = ["cmd", "NODE_HANDLE"].map(cbor_text).concat();
            if let Some(kind) = kind {
                members += 1;
                before.extend(["type", kind].map(cbor_text).concat());
            }
            before.extend(cbor_text("msg"));
            let mut after = Vec::new();
            for (name, value) in more {
                members += 1;
                after.extend([name, value].map(cbor_text).concat());
            }
            if !types.is_empty() {
                members += 1;
                after.extend(cbor_text("types"));
                after.extend(encode_types(types));
            }
            before.insert(0, 0xa0 + members);
            Envelope { before, after }
        }
    }
}

/// What stands around a message of a port that looks like one of ours.
pub fn port_envelope() -> Envelope {
    let texts = ["cmd", "NODE_PORT_MESSAGE", "msg"].map(cbor_text);
    Envelope {
        before: [vec![0xa2], texts.concat()].concat(),
        after: Vec::new(),
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A CBOR text.
fn cbor_text(text: &str) -> Vec<u8> {
    // Writing to a vector cannot fail.
    minicbor::to_vec(text).unwrap_or_default()
}

/// Whether a message is one value and nothing else, so that it can stand inside another.
pub fn is_one_value(serialization: Serialization, message: &[u8]) -> bool {
    match serialization {
        Serialization::Json => serde_json::from_slice::<IgnoredAny>(message).is_ok(),
        Serialization::Advanced => {
            let mut decoder = minicbor::Decoder::new(message);
            // The end of a list of any length is none.
            message.first() != Some(&0xff) && decoder.skip().is_ok() && decoder.position() == message.len()
        }
    }
}

/// The frame of an internal message that is nothing but a `cmd`.
pub fn command(serialization: Serialization, cmd: &str) -> Vec<u8> {
    let message = match serialization {
        Serialization::Json => format!("{{\"cmd\":{}}}", quoted(cmd)).into_bytes(),
        Serialization::Advanced => [vec![0xa1], cbor_text("cmd"), cbor_text(cmd)].concat(),
    };
    short_frame(serialization, &message)
}
