//! Printing of warnings (`process.emitWarning`).
//!
//! The guest emits the `'warning'` event; the host prints, so the warnings of threads are whole lines even while the
//! main isolate is busy.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nodule_abi::error::ErrorRecord;

const DEPRECATION: &str = "DeprecationWarning";

/// What the flags of the command line say about warnings; threads inherit it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WarningOptions {
    /// `--no-warnings`: print none.
    pub no_warnings: bool,
    /// `--trace-warnings`: print where a warning was created.
    pub trace_warnings: bool,
    /// `--disable-warning`: codes and names of warnings that are not printed.
    pub disabled: Vec<String>,
    /// `--redirect-warnings`, else `NODE_REDIRECT_WARNINGS`: a file to append to instead of stderr.
    pub redirect: Option<PathBuf>,
}

/// `process.noDeprecation`, `throwDeprecation` and `traceDeprecation`: writable cells of an isolate, undefined
/// (`None`) unless their flag was given. Threads inherit the values at their creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeprecationFlags {
    /// Deprecation warnings are not emitted.
    pub no_deprecation: Option<bool>,
    /// Deprecation warnings are thrown.
    pub throw_deprecation: Option<bool>,
    /// Deprecation warnings are printed with their stack.
    pub trace_deprecation: Option<bool>,
}

/// Prints the warnings of an isolate.
#[derive(Debug, Default)]
pub struct WarningPrinter {
    options: WarningOptions,
    /// Whether the line that names the flag for stacks was printed; once is enough.
    hint_shown: AtomicBool,
}

impl WarningPrinter {
    /// A printer that did not print yet.
    pub fn new(options: WarningOptions) -> Self {
        Self {
            options,
            hint_shown: AtomicBool::new(false),
        }
    }

    /// The flags it obeys, for a thread to inherit.
    pub fn options(&self) -> &WarningOptions {
        &self.options
    }

    /// Prints `warning` (`info` is its detail) where it belongs: appends it to the redirect file, or gives back the
    /// text, with its line end, that the caller has to write to stderr. Nothing for a warning a flag forbids.
    pub fn print(&self, warning: &ErrorRecord, flags: DeprecationFlags) -> Option<String> {
        let mut text = self.text(warning, flags)?;
        text.push('\n');
        match &self.options.redirect {
            Some(file) if append(file, &text).is_ok() => None,
            Some(_) | None => Some(text),
        }
    }

    /// What Node prints for `warning`, without the last line end.
    fn text(&self, warning: &ErrorRecord, flags: DeprecationFlags) -> Option<String> {
        let is_deprecation = warning.name == DEPRECATION;
        let silent = self.options.no_warnings
            || self.is_disabled(warning)
            || (is_deprecation && flags.no_deprecation == Some(true));
        if silent {
            return None;
        }
        let mut text = format!("(nodule:{}) ", std::process::id());
        if let Some(code) = warning.code.as_deref().filter(|code| !code.is_empty()) {
            text.push_str(&format!("[{code}] "));
        }
        let traced = self.options.trace_warnings || (is_deprecation && flags.trace_deprecation == Some(true));
        text.push_str(&headline(warning));
        if let Some(stack) = warning.stack.as_deref().filter(|stack| traced && !stack.is_empty()) {
            text.push_str(&stack_lines(stack, &headline(warning)));
        }
        if let Some(detail) = &warning.info {
            text.push('\n');
            text.push_str(detail);
        }
        if !traced && !self.hint_shown.swap(true, Ordering::Relaxed) {
            let flag = if is_deprecation {
                "--trace-deprecation"
            } else {
                "--trace-warnings"
            };
            text.push_str(&format!(
                "\n(Use `nodule {flag} ...` to show where the warning was created)"
            ));
        }
        Some(text)
    }

    fn is_disabled(&self, warning: &ErrorRecord) -> bool {
        let listed = |text: &str| self.options.disabled.iter().any(|disabled| disabled == text);
        warning.code.as_deref().is_some_and(listed) || listed(&warning.name)
    }
}

/// `name: message`, or the one of them that is not empty.
pub(super) fn headline(warning: &ErrorRecord) -> String {
    match (warning.name.as_ref(), warning.message.as_str()) {
        (name, "") => name.to_owned(),
        ("", message) => message.to_owned(),
        (name, message) => format!("{name}: {message}"),
    }
}

/// The part of a stack that follows the headline, which begins some stacks; with its line break.
fn stack_lines<'a>(stack: &'a str, headline: &str) -> Cow<'a, str> {
    match stack.strip_prefix(headline) {
        Some(rest) if rest.is_empty() || rest.starts_with('\n') => rest.into(),
        _ => format!("\n{stack}").into(),
    }
}

/// Appends in one write, so that lines of several processes do not mix.
fn append(file: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)?
        .write_all(text.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::process::node_oracle;

    fn warning(name: &str, code: Option<&str>, message: &str, detail: Option<&str>) -> ErrorRecord {
        ErrorRecord {
            name: name.to_owned().into(),
            code: code.map(|code| code.to_owned().into()),
            message: message.to_owned(),
            stack: Some(format!("{name}: {message}\n    at here")),
            info: detail.map(str::to_owned),
            ..ErrorRecord::default()
        }
    }

    fn samples() -> Vec<ErrorRecord> {
        vec![
            warning("Warning", None, "plain", None),
            warning("Warning", Some("C1"), "with all", Some("some\ndetail")),
            warning("CustomWarning", Some("C2"), "of a type", None),
            warning(DEPRECATION, Some("DEP9999"), "old", None),
            warning("Warning", None, "", None),
            warning("Warning", None, "two\nlines", None),
            warning("Warning", None, "empty detail", Some("")),
        ]
    }

    fn printed(options: WarningOptions, flags: DeprecationFlags) -> String {
        let printer = WarningPrinter::new(options);
        samples()
            .iter()
            .filter_map(|warning| printer.print(warning, flags))
            .collect()
    }

    /// What Node prints for the samples, with our name and process in place of its own.
    fn node_prints(flags: &[&str]) -> Option<String> {
        let samples: Vec<_> = samples()
            .into_iter()
            .map(|warning| (warning.name, warning.code, warning.message, warning.info))
            .collect();
        let script = "for (const [type, code, message, detail] of JSON.parse(process.argv[1])) \
            process.emitWarning(message, {type, code: code ?? undefined, detail: detail ?? undefined});";
        let arguments: Vec<_> = flags.iter().copied().chain(["-e", script]).collect();
        let samples = serde_json::to_string(&samples).unwrap();
        let (pid, stderr) = node_oracle::stderr_of(&arguments, &[&samples])?;
        Some(
            stderr
                .replace(&format!("(node:{pid})"), &format!("(nodule:{})", std::process::id()))
                .replace("(Use `node ", "(Use `nodule "),
        )
    }

    #[test]
    fn warnings_are_printed_as_node_prints_them() {
        let cases = [
            (vec![], WarningOptions::default(), DeprecationFlags::default()),
            (
                vec!["--no-warnings"],
                WarningOptions {
                    no_warnings: true,
                    ..WarningOptions::default()
                },
                DeprecationFlags::default(),
            ),
            (
                vec!["--disable-warning=CustomWarning", "--disable-warning=C1"],
                WarningOptions {
                    disabled: vec!["CustomWarning".into(), "C1".into()],
                    ..WarningOptions::default()
                },
                DeprecationFlags::default(),
            ),
            (
                vec!["--no-deprecation"],
                WarningOptions::default(),
                DeprecationFlags {
                    no_deprecation: Some(true),
                    ..DeprecationFlags::default()
                },
            ),
        ];
        for (node_flags, options, flags) in cases {
            let Some(node) = node_prints(&node_flags) else {
                return;
            };
            assert_eq!(printed(options, flags), node, "{node_flags:?}");
        }
    }

    #[test]
    fn the_hint_names_the_flag_of_the_first_warning_once() {
        let printer = WarningPrinter::default();
        let deprecation = warning(DEPRECATION, None, "old", None);
        let first = printer.print(&deprecation, DeprecationFlags::default()).unwrap();
        assert!(first.ends_with("(Use `nodule --trace-deprecation ...` to show where the warning was created)\n"));
        let second = printer.print(&deprecation, DeprecationFlags::default()).unwrap();
        assert_eq!(
            second,
            format!("(nodule:{}) DeprecationWarning: old\n", std::process::id())
        );
    }

    #[test]
    fn a_traced_warning_shows_its_stack_and_no_hint() {
        let options = WarningOptions {
            trace_warnings: true,
            ..WarningOptions::default()
        };
        let traced = format!("(nodule:{}) [C] Warning: x\n    at here\ndetail\n", std::process::id());
        let with_headline = warning("Warning", Some("C"), "x", Some("detail"));
        let bare = ErrorRecord {
            stack: Some("    at here".into()),
            ..with_headline.clone()
        };
        for warning in [with_headline, bare] {
            let printer = WarningPrinter::new(options.clone());
            assert_eq!(printer.print(&warning, DeprecationFlags::default()).unwrap(), traced);
        }
        let flags = DeprecationFlags {
            trace_deprecation: Some(true),
            ..DeprecationFlags::default()
        };
        let printer = WarningPrinter::default();
        let deprecation = printer.print(&warning(DEPRECATION, None, "old", None), flags).unwrap();
        assert!(deprecation.ends_with("DeprecationWarning: old\n    at here\n"));
        assert!(
            !printer
                .print(&warning("Warning", None, "x", None), flags)
                .unwrap()
                .contains("at here")
        );
    }

    #[test]
    fn a_redirected_warning_goes_to_the_file_and_else_to_stderr() {
        let file = std::env::temp_dir().join(format!("nodule-warnings-{}", std::process::id()));
        std::fs::write(&file, "before\n").unwrap();
        let redirected = |redirect: PathBuf| {
            let printer = WarningPrinter::new(WarningOptions {
                redirect: Some(redirect),
                ..Default::default()
            });
            printer.print(&warning("Warning", None, "x", None), DeprecationFlags::default())
        };
        assert_eq!(redirected(file.clone()), None);
        assert_eq!(redirected(file.clone()), None);
        let written = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(written.starts_with("before\n(nodule:") && written.matches("Warning: x\n").count() == 2);
        assert!(redirected("/nonexistent/file".into()).unwrap().contains("Warning: x\n"));
    }
}
