//! What a guest asks for, checked as Node checks it.

mod entries;

use std::time::Duration;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::{CHILD_ARGS_MAX, CHILD_STDIO_MAX};
use nodule_abi::value::Value;

pub use entries::{FileFlags, StdioEntry};
use entries::{entry, invalid_stdio, word_entry};

use crate::ipc::Serialization;
use crate::process::js_text;

/// What only `fork` has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForkOptions {
    /// The program; the host itself when absent.
    pub exec_path: Option<String>,
    /// Options before the module; the caller's when absent.
    pub exec_argv: Option<Vec<String>>,
}

/// The form of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The child runs beside the guest.
    Async,
    /// The guest waits for it.
    Sync,
}

/// The options of one start.
#[derive(Clone, Debug)]
pub struct Request {
    /// Program, command line for a shell, or module.
    pub file: String,
    /// Arguments after it.
    pub args: Vec<String>,
    /// Present for `fork`.
    pub fork: Option<ForkOptions>,
    /// The shell that gets the command line.
    pub shell: Option<String>,
    /// The working directory.
    pub cwd: Option<String>,
    /// The whole environment.
    pub env: Option<Vec<(String, String)>>,
    /// `argv[0]`.
    pub argv0: Option<String>,
    /// By descriptor of the child, three at least.
    pub stdio: Vec<StdioEntry>,
    /// A session of its own.
    pub detached: bool,
    /// User id.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: Option<u32>,
    /// How messages are written.
    pub serialization: Serialization,
    /// When it is sent `kill_signal`.
    pub timeout: Option<Duration>,
    /// What ends it.
    pub kill_signal: i32,
    /// Whether all below it is ended too.
    pub kill_tree: bool,
    /// Whether it ends with its parent; the host's flag decides when absent.
    pub kill_on_parent_death: Option<bool>,
    /// Most bytes of each stream in the synchronous form.
    pub max_buffer: usize,
    /// Flags of grants to narrow to.
    pub permissions: Option<Vec<String>>,
}

/// Node's `/bin/sh`.
const SHELL: &str = "/bin/sh";
/// Node's default of `maxBuffer`.
const MAX_BUFFER_DEFAULT: usize = 1024 * 1024;

impl Request {
    /// Reads an options object.
    ///
    /// # Errors
    /// Node's for a bad option.
    pub fn from_value(value: &Value, form: Form) -> Result<Self> {
        let options = Options(value);
        let is_fork = options.flag("fork")?;
        let file = options.file(if is_fork { "modulePath" } else { "file" })?;
        let args = options.texts("args", "args")?.unwrap_or_default();
        let fork = is_fork.then(|| options.fork()).transpose()?;
        options.flag("windowsHide")?;
        options.flag("windowsVerbatimArguments")?;
        let shell = match is_fork {
            true => None,
            false => options.shell()?,
        };
        Ok(Self {
            file,
            args,
            fork,
            shell,
            cwd: options.text("cwd", "of type string or an instance of Buffer or URL")?,
            env: options.env()?,
            argv0: options.text("argv0", "of type string")?,
            detached: options.flag("detached")?,
            uid: options.id("uid")?,
            gid: options.id("gid")?,
            serialization: options.serialization()?,
            timeout: options.timeout()?,
            kill_signal: options.kill_signal()?,
            kill_tree: options.flag("killTree")?,
            kill_on_parent_death: options.maybe_flag("killOnParentDeath")?,
            max_buffer: options.max_buffer()?,
            permissions: options.texts("permissions", "options.permissions")?,
            stdio: options.stdio(form, is_fork)?,
        })
    }
}

fn invalid_type(name: &str, wanted: &str, value: &Value) -> Box<ErrorRecord> {
    ErrorRecord::invalid_arg_type(name, wanted, &value.describe()).into()
}

/// A value as Node shows it behind "Received".
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => js_text::quoted(text),
        Value::Number(number) => js_text::number(*number),
        Value::Bool(flag) => flag.to_string(),
        Value::Null => "null".into(),
        Value::Undefined => "undefined".into(),
        Value::Object(object) if object.is_empty() => "{}".into(),
        other => other.describe(),
    }
}

fn with_nul(name: &str, what: &str, text: &str) -> Box<ErrorRecord> {
    let reason = format!("must be {what} without null bytes");
    ErrorRecord::invalid_arg_value(name, &reason, &js_text::quoted(text)).into()
}

/// The options object of a guest.
struct Options<'a>(&'a Value);

impl<'a> Options<'a> {
    /// A member; nothing when it is null or undefined.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_nullish())
    }

    fn maybe_flag(&self, name: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let flag = value.as_bool();
        flag.map(Some)
            .ok_or_else(|| invalid_type(&format!("options.{name}"), "of type boolean", value))
    }

    fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.maybe_flag(name)?.unwrap_or_default())
    }

    fn file(&self, shown_as: &str) -> Result<String> {
        let value = self.0.get("file").unwrap_or(&Value::Undefined);
        let wanted = match shown_as {
            "modulePath" => "of type string or an instance of Buffer or URL",
            _ => "of type string",
        };
        let text = value.as_str().ok_or_else(|| invalid_type(shown_as, wanted, value))?;
        if text.is_empty() {
            return Err(ErrorRecord::new(
                ErrorCode::InvalidArgValue,
                format!("The argument '{shown_as}' cannot be empty. Received ''"),
            )
            .into());
        }
        match text.contains('\0') {
            true => Err(with_nul(shown_as, "a string", text)),
            false => Ok(text.to_owned()),
        }
    }

    fn text(&self, name: &str, wanted: &str) -> Result<Option<String>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let full_name = format!("options.{name}");
        let text = value.as_str().ok_or_else(|| invalid_type(&full_name, wanted, value))?;
        let what = match name {
            "cwd" => "a string, Uint8Array, or URL",
            _ => "a string",
        };
        match text.contains('\0') {
            true => Err(with_nul(&full_name, what, text)),
            false => Ok(Some(text.to_owned())),
        }
    }

    fn texts(&self, name: &str, shown_as: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let wanted = if name == "args" {
            "of type object"
        } else {
            "an instance of Array"
        };
        let elements = value.as_array().ok_or_else(|| invalid_type(shown_as, wanted, value))?;
        if elements.len() > CHILD_ARGS_MAX {
            return Err(ErrorRecord::system(ErrorCode::E2big, "spawn").into());
        }
        let mut texts = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let name = format!("{shown_as}[{index}]");
            let text = element
                .as_str()
                .ok_or_else(|| invalid_type(&name, "of type string", element))?;
            if text.contains('\0') {
                return Err(with_nul(&name, "a string", text));
            }
            texts.push(text.to_owned());
        }
        Ok(Some(texts))
    }

    fn fork(&self) -> Result<ForkOptions> {
        Ok(ForkOptions {
            exec_path: self.text("execPath", "of type string")?,
            exec_argv: self.texts("execArgv", "options.execArgv")?,
        })
    }

    fn shell(&self) -> Result<Option<String>> {
        match self.get("shell") {
            None | Some(Value::Bool(false)) => Ok(None),
            Some(Value::Bool(true)) => Ok(Some(SHELL.into())),
            Some(Value::String(path)) if path.contains('\0') => Err(with_nul("options.shell", "a string", path)),
            Some(Value::String(path)) if path.is_empty() => Ok(None),
            Some(Value::String(path)) => Ok(Some(path.clone())),
            Some(other) => Err(invalid_type("options.shell", "one of type boolean or string", other)),
        }
    }

    /// Members that are undefined are left out.
    fn env(&self) -> Result<Option<Vec<(String, String)>>> {
        let Some(value) = self.get("env") else { return Ok(None) };
        let object = value
            .as_object()
            .ok_or_else(|| invalid_type("options.env", "of type object", value))?;
        let mut variables = Vec::with_capacity(object.len());
        for (key, value) in object.entries() {
            let name = format!("options.env['{}']", key.replace('\0', ""));
            let text = match value {
                Value::Undefined => continue,
                Value::String(text) => text.clone(),
                other => shown(other),
            };
            if key.contains('\0') {
                return Err(with_nul(&name, "a string", key));
            }
            if text.contains('\0') {
                return Err(with_nul(&name, "a string", &text));
            }
            variables.push((key.clone(), text));
        }
        Ok(Some(variables))
    }

    /// An int32, whose bits are the id.
    fn id(&self, name: &str) -> Result<Option<u32>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let id = value.as_i64().and_then(|id| i32::try_from(id).ok());
        let id = id.ok_or_else(|| invalid_type(&format!("options.{name}"), "int32", value))?;
        Ok(Some(u32::from_ne_bytes(id.to_ne_bytes())))
    }

    fn serialization(&self) -> Result<Serialization> {
        let Some(value) = self.get("serialization") else {
            return Ok(Serialization::Json);
        };
        let known = value.as_str().and_then(Serialization::from_name);
        let reason = "must be one of: undefined, 'json', 'advanced'";
        known.ok_or_else(|| ErrorRecord::invalid_arg_value("options.serialization", reason, &shown(value)).into())
    }

    fn timeout(&self) -> Result<Option<Duration>> {
        let Some(value) = self.get("timeout") else {
            return Ok(None);
        };
        let Some(number) = value.as_f64() else {
            return Err(invalid_type("options.timeout", "of type number", value));
        };
        let ms = value.as_i64().and_then(|ms| u64::try_from(ms).ok());
        let ms = ms.ok_or_else(|| {
            let received = js_text::out_of_range_number(number);
            ErrorRecord::out_of_range("timeout", "an unsigned integer", &received)
        })?;
        Ok((ms > 0).then(|| Duration::from_millis(ms)))
    }

    fn kill_signal(&self) -> Result<i32> {
        let Some(value) = self.get("killSignal") else {
            return Ok(libc::SIGTERM);
        };
        match signal(value)? {
            // What only tests ends nothing.
            0 => Err(unknown_signal("0")),
            signal => Ok(signal),
        }
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a bound; more than fits is no bound"
    )]
    fn max_buffer(&self) -> Result<usize> {
        match self.get("maxBuffer") {
            None => Ok(MAX_BUFFER_DEFAULT),
            Some(Value::Number(number)) if *number >= 0.0 => Ok(*number as usize),
            Some(other) => {
                Err(ErrorRecord::out_of_range("options.maxBuffer", "a positive number", &shown(other)).into())
            }
        }
    }

    fn stdio(&self, form: Form, is_fork: bool) -> Result<Vec<StdioEntry>> {
        let default = match is_fork && !self.flag("silent")? {
            true => StdioEntry::Inherit,
            false => StdioEntry::Pipe,
        };
        let mut entries = match self.get("stdio") {
            None => vec![default; 3],
            Some(Value::String(word)) => match word_entry(word) {
                Some(entry) if entry != StdioEntry::Ipc => vec![entry; 3],
                _ => return Err(invalid_stdio(&Value::String(word.clone()))),
            },
            Some(value) => {
                let entries = value.as_array().ok_or_else(|| invalid_stdio(value))?;
                if entries.len() > CHILD_STDIO_MAX {
                    return Err(ErrorRecord::system(ErrorCode::Emfile, "spawn").into());
                }
                let entries = entries
                    .iter()
                    .enumerate()
                    .map(|(index, value)| entry(index, value, form));
                let entries = entries.collect::<Result<Vec<_>>>()?;
                if is_fork && !entries.contains(&StdioEntry::Ipc) {
                    return Err(ErrorRecord::of(ErrorCode::IpcRequired).into());
                }
                entries
            }
        };
        while entries.len() < 3 {
            entries.push(StdioEntry::Pipe);
        }
        if is_fork && !entries.contains(&StdioEntry::Ipc) {
            entries.push(StdioEntry::Ipc);
        }
        let channels = entries.iter().filter(|entry| **entry == StdioEntry::Ipc).count();
        match (channels, form) {
            (0, _) | (1, Form::Async) => Ok(entries),
            (_, Form::Sync) => Err(ErrorRecord::of(ErrorCode::IpcSyncFork).into()),
            (_, Form::Async) => Err(ErrorRecord::of(ErrorCode::IpcOnePipe).into()),
        }
    }
}

fn unknown_signal(shown: &str) -> Box<ErrorRecord> {
    ErrorRecord::new(ErrorCode::UnknownSignal, format!("Unknown signal: {shown}")).into()
}

/// The number of a signal that a guest names or numbers.
///
/// # Errors
/// `ERR_UNKNOWN_SIGNAL`, `ERR_INVALID_ARG_TYPE`.
pub fn signal(value: &Value) -> Result<i32> {
    let unknown = |shown: &str| Err(unknown_signal(shown));
    match value {
        Value::String(name) => match nodule_abi::signal::number(&name.to_ascii_uppercase()) {
            Some(number) if number < 65 => Ok(number),
            _ => unknown(name),
        },
        Value::Number(number) => {
            let signal = value.as_i64().and_then(|signal| i32::try_from(signal).ok());
            match signal.filter(|signal| *signal == 0 || nodule_abi::signal::name(*signal).is_some()) {
                Some(signal) if signal < 65 => Ok(signal),
                _ => unknown(&js_text::number(*number)),
            }
        }
        other => Err(invalid_type(
            "options.killSignal",
            "one of type string or number",
            other,
        )),
    }
}

#[cfg(test)]
mod tests;
