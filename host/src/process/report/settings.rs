//! `process.report.*`: what a guest can set.

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::signal;
use nodule_abi::value::Value;

/// When reports are written, where, and what is left out of them. Threads inherit a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    compact: bool,
    directory: String,
    filename: String,
    on_fatal_error: bool,
    on_signal: bool,
    on_uncaught_exception: bool,
    signal: String,
    exclude_env: bool,
    exclude_network: bool,
}

impl Default for ReportSettings {
    /// Node's: no report by itself, `SIGUSR2`, several lines, default name in the working directory, nothing left out.
    fn default() -> Self {
        Self {
            compact: false,
            directory: String::new(),
            filename: String::new(),
            on_fatal_error: false,
            on_signal: false,
            on_uncaught_exception: false,
            signal: "SIGUSR2".into(),
            exclude_env: false,
            exclude_network: false,
        }
    }
}

impl ReportSettings {
    /// The setting `name` in Node's spelling (`reportOnSignal`), `None` for one that does not exist.
    pub fn get(&self, name: &str) -> Option<Value> {
        Some(match name {
            "compact" => self.compact.into(),
            "directory" => self.directory.as_str().into(),
            "filename" => self.filename.as_str().into(),
            "reportOnFatalError" => self.on_fatal_error.into(),
            "reportOnSignal" => self.on_signal.into(),
            "reportOnUncaughtException" => self.on_uncaught_exception.into(),
            "signal" => self.signal.as_str().into(),
            "excludeEnv" => self.exclude_env.into(),
            "excludeNetwork" => self.exclude_network.into(),
            _ => return None,
        })
    }

    /// Sets `name`: `ERR_INVALID_ARG_TYPE` for a value of the wrong type, `ERR_UNKNOWN_SIGNAL`, `ENOENT` for a setting
    /// that does not exist. Nothing changes on failure.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<()> {
        match name {
            "compact" => self.compact = flag("compact", value)?,
            "directory" => text("directory", value)?.clone_into(&mut self.directory),
            "filename" => text("filename", value)?.clone_into(&mut self.filename),
            // Node's name for the argument of all three.
            "reportOnFatalError" => self.on_fatal_error = flag("trigger", value)?,
            "reportOnSignal" => self.on_signal = flag("trigger", value)?,
            "reportOnUncaughtException" => self.on_uncaught_exception = flag("trigger", value)?,
            "signal" => checked_signal(text("signal", value)?)?.clone_into(&mut self.signal),
            "excludeEnv" => self.exclude_env = flag("excludeEnv", value)?,
            "excludeNetwork" => self.exclude_network = flag("excludeNetwork", value)?,
            _ => {
                let message = format!("process.report.{name} cannot be set");
                return Err(ErrorRecord::new(ErrorCode::Enoent, message).into());
            }
        }
        Ok(())
    }

    /// Whether a report is one line.
    pub fn compact(&self) -> bool {
        self.compact
    }

    /// Where reports are written; empty for the working directory.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// The file name of reports; empty for one made of date, time and ids.
    pub fn filename(&self) -> &str {
        &self.filename
    }

    /// Whether a fatal error of the host writes one.
    pub fn on_fatal_error(&self) -> bool {
        self.on_fatal_error
    }

    /// Whether [`signal`](Self::signal) writes one.
    pub fn on_signal(&self) -> bool {
        self.on_signal
    }

    /// Whether an uncaught error writes one.
    pub fn on_uncaught_exception(&self) -> bool {
        self.on_uncaught_exception
    }

    /// Name of the signal that writes one.
    pub fn signal(&self) -> &str {
        &self.signal
    }

    /// Whether the environment is left out.
    pub fn exclude_env(&self) -> bool {
        self.exclude_env
    }

    /// Whether network interfaces are left out.
    pub fn exclude_network(&self) -> bool {
        self.exclude_network
    }
}

fn flag(argument: &str, value: &Value) -> Result<bool> {
    let wrong = || ErrorRecord::invalid_arg_type(argument, "of type boolean", &value.describe()).into();
    value.as_bool().ok_or_else(wrong)
}

fn text<'a>(argument: &str, value: &'a Value) -> Result<&'a str> {
    let wrong = || ErrorRecord::invalid_arg_type(argument, "of type string", &value.describe()).into();
    value.as_str().ok_or_else(wrong)
}

fn checked_signal(name: &str) -> Result<&str> {
    if signal::number(name).is_some() {
        return Ok(name);
    }
    let mut message = format!("Unknown signal: {name}");
    if signal::number(&name.to_uppercase()).is_some() {
        message.push_str(" (signals must use all capital letters)");
    }
    Err(ErrorRecord::new(ErrorCode::UnknownSignal, message).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use nodule_abi::value::Object;

    use super::*;
    use crate::process::node_oracle;

    const NAMES: [&str; 9] = [
        "compact",
        "directory",
        "filename",
        "reportOnFatalError",
        "reportOnSignal",
        "reportOnUncaughtException",
        "signal",
        "excludeEnv",
        "excludeNetwork",
    ];

    /// What a setting is after an assignment, or the error.
    fn outcome(name: &str, value: &Value) -> String {
        let mut settings = ReportSettings::default();
        match settings.set(name, value) {
            Ok(()) => format!("{:?}", settings.get(name).unwrap()),
            Err(error) => format!("{} {} {}", error.name, error.code.unwrap(), error.message),
        }
    }

    #[test]
    fn assignments_are_judged_as_in_node() {
        let values = [
            (Value::Bool(true), "true"),
            (Value::Bool(false), "false"),
            (Value::from(1), "1"),
            (Value::from("x"), "'x'"),
            (Value::from(""), "''"),
            (Value::from("SIGUSR1"), "'SIGUSR1'"),
            (Value::from("sigusr1"), "'sigusr1'"),
            (Value::from("SIGIOT"), "'SIGIOT'"),
            (Value::Null, "null"),
            (Value::Undefined, "undefined"),
            (Value::Object(Object::new()), "{}"),
        ];
        let list: Vec<_> = values.iter().map(|(_, script)| *script).collect();
        let script = format!(
            "const outcomes = [];
            for (const name of JSON.parse(process.argv[1])) for (const value of [{}]) {{
                try {{
                    process.report[name] = value;
                    const now = process.report[name];
                    outcomes.push(typeof now === 'string' ? `String(${{JSON.stringify(now)}})` : `Bool(${{now}})`);
                }} catch (e) {{ outcomes.push(`${{e.name}} ${{e.code}} ${{e.message}}`); }}
            }}
            process.report.reportOnSignal = false;
            console.log(JSON.stringify(outcomes));",
            list.join(", ")
        );
        // Node 20 has no `excludeEnv`.
        let names: Vec<_> = NAMES.into_iter().filter(|name| *name != "excludeEnv").collect();
        let Some(node) = node_oracle::run(&script, &[&serde_json::to_string(&names).unwrap()]) else {
            return;
        };
        let node: Vec<String> = serde_json::from_str(&node).unwrap();
        let cases = names
            .iter()
            .flat_map(|name| values.iter().map(move |(value, script)| (name, value, script)));
        assert_eq!(node.len(), names.len() * values.len());
        for ((name, value, script), node) in cases.zip(node) {
            assert_eq!(outcome(name, value), node, "{name} = {script}");
        }
    }

    #[test]
    fn the_defaults_are_nodes() {
        let settings = ReportSettings::default();
        for name in NAMES {
            let wanted = match name {
                "directory" | "filename" => Value::from(""),
                "signal" => Value::from("SIGUSR2"),
                _ => Value::Bool(false),
            };
            assert_eq!(settings.get(name), Some(wanted), "{name}");
        }
        assert_eq!(settings.get("nothing"), None);
        assert!(outcome("nothing", &Value::Null).starts_with("Error ENOENT"));
        assert_eq!(
            outcome("excludeEnv", &Value::from(1)),
            "TypeError ERR_INVALID_ARG_TYPE The \"excludeEnv\" argument must be of type boolean. Received type number (1)"
        );
    }
}
