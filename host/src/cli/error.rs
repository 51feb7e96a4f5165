//! How a command fails: one line on stderr that says what is wrong and what helps, and an exit code.

use std::ffi::OsString;
use std::fmt;
use std::io::{IsTerminal as _, Write as _};

use crate::exit_code::ExitCode;
use crate::permissions::PermissionError;
use crate::runtime::{ModuleError, SnapshotError};

/// Why a command failed.
#[derive(Debug)]
pub struct CliError {
    /// The code to exit with.
    pub code: ExitCode,
    message: String,
    hint: Option<String>,
}

impl CliError {
    /// A failure without a hint.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// Wrong use of the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// A file that cannot be read or written.
    pub fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(
            ExitCode::Failure,
            format!("{what} {}: {}", path.display(), reason(error)),
        )
    }

    /// A failure of the host itself.
    pub fn fatal(error: impl fmt::Display) -> Self {
        Self::new(ExitCode::Fatal, error.to_string())
    }

    /// A snapshot that could not be made.
    pub fn snapshot(error: &SnapshotError) -> Self {
        Self::new(ExitCode::Snapshot, error.to_string())
    }

    /// A command line that clap refuses; takes the message and the tips out of its paragraphs.
    pub fn from_clap(error: &clap::Error, help: &str) -> Self {
        let text = error.render().to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let lines: Vec<_> = first.lines().map(str::trim).collect();
        let message = lines.join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        let tips = text.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
        // That an unknown option could be an argument is no help: arguments follow the module.
        let tips: Vec<_> = tips.filter(|tip| !tip.starts_with("to pass ")).collect();
        let hint = match tips.is_empty() {
            true => format!("see `{help}`"),
            false => tips.join("; "),
        };
        Self::usage(message).hint(hint)
    }

    /// Adds what helps; a second hint follows the first.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.hint = Some(match self.hint {
            Some(first) => format!("{first}; {hint}"),
            None => hint,
        });
        self
    }

    /// Prints it to stderr. A closed stderr is no reason to fail differently.
    pub fn print(&self) {
        let _ = writeln!(std::io::stderr(), "{}", self.line(stderr_has_colours()));
    }

    fn line(&self, colours: bool) -> String {
        let lead = match self.code {
            ExitCode::Fatal => "FATAL ERROR",
            _ => "nodule",
        };
        match colours {
            true => format!("\x1b[1;31m{lead}:\x1b[0m {self}"),
            false => format!("{lead}: {self}"),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names of files and modules may hold line breaks and control characters.
        let clean = |text: &str| text.replace(|c: char| c.is_control(), " ");
        f.write_str(&clean(&self.message))?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {})", clean(hint)),
            None => Ok(()),
        }
    }
}

/// Why the system refused, without its number.
pub fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".into(),
        std::io::ErrorKind::IsADirectory => "it is a directory".into(),
        std::io::ErrorKind::PermissionDenied if error.raw_os_error().is_some() => "permission denied".into(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}

fn stderr_has_colours() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !is_set("NO_COLOR") && std::env::var_os("TERM") != Some(OsString::from("dumb"))
}

impl From<ModuleError> for CliError {
    fn from(error: ModuleError) -> Self {
        let message = error.to_string();
        match &error {
            ModuleError::Unreadable { path, error } => Self::file("cannot read", path, error),
            ModuleError::Invalid { reason, .. } => {
                let hint = invalid_hint(reason);
                Self::new(ExitCode::Parse, message).hint(hint)
            }
            ModuleError::NotWasm { .. } | ModuleError::Component { .. } | ModuleError::Precompiled { .. } => {
                Self::new(ExitCode::Parse, message)
            }
            ModuleError::Link { .. } if message.contains("(hint: ") => Self::new(ExitCode::Link, message),
            ModuleError::Link { .. } => Self::new(ExitCode::Link, message)
                .hint("`nodule inspect` lists all imports and which of them are unknown"),
            ModuleError::AbiMismatch { .. } | ModuleError::NoSource { .. } => Self::new(ExitCode::Link, message),
        }
    }
}

/// What helps against an invalid module, by the validator's reason.
fn invalid_hint(reason: &str) -> &'static str {
    if reason.contains("unexpected end") || reason.contains("unexpected-eof") {
        "the file is cut off; copy or build it again"
    } else if reason.contains("support is not enabled") || reason.contains("proposal") {
        "build it without that WebAssembly proposal"
    } else {
        "build it again with a current toolchain for wasm32-wasip1"
    }
}

impl From<PermissionError> for CliError {
    fn from(error: PermissionError) -> Self {
        Self::usage(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let error = CliError::usage("a\nb\x1b[2J").hint("c\nd");
        assert_eq!(error.line(false), "nodule: a b [2J (hint: c d)");
        assert!(error.line(true).starts_with("\x1b[1;31mnodule:\x1b[0m a"));
    }

    #[test]
    fn a_failure_of_the_host_is_fatal() {
        let error = CliError::fatal("no memory");
        assert_eq!(error.line(false), "FATAL ERROR: no memory");
        assert_eq!(error.code.number(), 5);
    }

    #[test]
    fn reasons_have_no_numbers() {
        assert_eq!(reason(&std::io::Error::from_raw_os_error(libc::ENOENT)), "no such file");
        assert_eq!(
            reason(&std::io::Error::from_raw_os_error(libc::EISDIR)),
            "it is a directory"
        );
        assert_eq!(
            reason(&std::io::Error::from_raw_os_error(libc::ELOOP)),
            "too many levels of symbolic links"
        );
    }

    #[test]
    fn an_unreadable_file_exits_with_1() {
        let error = std::io::Error::from_raw_os_error(libc::ENOENT);
        let error = CliError::from(ModuleError::Unreadable {
            path: "x.wasm".into(),
            error,
        });
        assert_eq!(
            (error.code.number(), error.to_string().as_str()),
            (1, "cannot read x.wasm: no such file")
        );
    }
}
