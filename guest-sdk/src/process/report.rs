//! The diagnostic report (Node: `process.report`).

use nodule_abi::hooks::Origin;
use serde::de::DeserializeOwned;

use super::attributes::attribute;
use crate::error::{Error, Result};
use crate::{sys, uncaught};

/// The report as JSON text, with `error` as what it is about (Node: `process.report.getReport`).
///
/// # Errors
/// When the host cannot make one.
pub fn get_report(error: Option<&Error>) -> Result<String> {
    sys::process::get_report(error.map(Error::record))
}

/// Writes the report to `filename`, or to the configured or default name, and gives the name
/// (Node: `process.report.writeReport`).
///
/// # Errors
/// `ERR_ACCESS_DENIED` where files must not be written, or the error of writing.
pub fn write_report(filename: Option<&str>, error: Option<&Error>) -> Result<String> {
    sys::process::write_report(filename.unwrap_or_default(), error.map(Error::record))
}

fn get<T: DeserializeOwned>(name: &str) -> T {
    attribute(name)
}

fn set_flag(name: &str, value: bool) {
    // A boolean suits these always.
    if let Err(error) = sys::process::set(name, &value) {
        uncaught::raise(&error, Origin::UncaughtException);
    }
}

macro_rules! flags {
    ($($(#[$docs:meta])* $get:ident, $set:ident = $name:literal;)*) => {$(
        $(#[$docs])*
        #[doc = concat!("\n\n(Node: `process.", $name, "`)")]
        pub fn $get() -> bool {
            get($name)
        }

        #[doc = concat!("Sets [`", stringify!($get), "`].")]
        pub fn $set(value: bool) {
            set_flag($name, value);
        }
    )*};
}

flags! {
    /// Whether reports are written as one line.
    compact, set_compact = "report.compact";
    /// Whether a fatal error of the host writes a report.
    report_on_fatal_error, set_report_on_fatal_error = "report.reportOnFatalError";
    /// Whether [`signal`] writes a report.
    report_on_signal, set_report_on_signal = "report.reportOnSignal";
    /// Whether an uncaught error writes a report.
    report_on_uncaught_exception, set_report_on_uncaught_exception = "report.reportOnUncaughtException";
    /// Whether reports leave the environment out.
    exclude_env, set_exclude_env = "report.excludeEnv";
    /// Whether reports leave network interfaces out.
    exclude_network, set_exclude_network = "report.excludeNetwork";
}

macro_rules! texts {
    ($($(#[$docs:meta])* $get:ident, $set:ident = $name:literal;)*) => {$(
        $(#[$docs])*
        #[doc = concat!("\n\n(Node: `process.", $name, "`)")]
        pub fn $get() -> String {
            get($name)
        }

        #[doc = concat!("Sets [`", stringify!($get), "`].\n\n# Errors\nNode's for a value that does not suit it.")]
        pub fn $set(value: &str) -> Result<()> {
            sys::process::set($name, value)
        }
    )*};
}

texts! {
    /// Directory that reports are written to; empty for the working directory.
    directory, set_directory = "report.directory";
    /// Name of the report file; empty for a name made of time, process, thread and counter.
    filename, set_filename = "report.filename";
    /// The signal that writes a report; setting an unknown one is `ERR_UNKNOWN_SIGNAL`.
    signal, set_signal = "report.signal";
}
