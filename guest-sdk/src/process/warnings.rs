//! Warnings.

use std::borrow::Cow;
use std::cell::Cell;

use nodule_abi::hooks::Origin;

use super::attributes::{no_deprecation, throw_deprecation};
use super::listeners::events;
use crate::error::{Error, Result};
use crate::{event_loop, sys, uncaught};

const DEPRECATION: &str = "DeprecationWarning";

/// What [`emit_warning`] warns of.
#[derive(Clone, Debug)]
pub enum Warning {
    /// A text; the options say what else belongs to it.
    Text(String),
    /// An error, which is passed on unchanged; options do not apply.
    Error(Error),
}

impl From<&str> for Warning {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Warning {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Error> for Warning {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// What else belongs to a warning that is a text. Made from `()` for none, from a name (Node: `type`), and
/// from a name and a code: Node's positional form.
#[derive(Clone, Debug, Default)]
pub struct WarningOptions {
    /// Name of the kind of warning (Node: `type`); `Warning` when not given.
    pub name: Option<Cow<'static, str>>,
    /// Code of this very warning.
    pub code: Option<Cow<'static, str>>,
    /// Text for a line of its own.
    pub detail: Option<String>,
}

impl From<()> for WarningOptions {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<&str> for WarningOptions {
    fn from(name: &str) -> Self {
        Self {
            name: Some(name.to_owned().into()),
            ..Self::default()
        }
    }
}

impl From<(&str, &str)> for WarningOptions {
    fn from((name, code): (&str, &str)) -> Self {
        Self {
            code: Some(code.to_owned().into()),
            ..name.into()
        }
    }
}

/// Warns: on the next tick the host prints the warning and `'warning'` is emitted (Node: `process.emitWarning`, both
/// forms).
///
/// ```no_run
/// use nodule_sdk::process::{WarningOptions, emit_warning};
///
/// emit_warning("disk is nearly full", ())?;
/// emit_warning("use `open_at`", ("DeprecationWarning", "DEP0001"))?;
/// emit_warning("slow", WarningOptions { detail: Some("took 5 s".into()), ..Default::default() })?;
/// # Ok::<(), nodule_sdk::Error>(())
/// ```
///
/// # Errors
/// None with arguments of these types; Node refuses other ones.
pub fn emit_warning(warning: impl Into<Warning>, options: impl Into<WarningOptions>) -> Result<()> {
    let warning = match warning.into() {
        Warning::Error(error) => error,
        Warning::Text(text) => {
            let WarningOptions { name, code, detail } = options.into();
            let mut warning = Error::new(text)
                .named(name.unwrap_or(Cow::Borrowed("Warning")))
                .with_stack();
            warning.record_mut().code = code;
            warning.record_mut().info = detail;
            warning
        }
    };
    if warning.name() == DEPRECATION {
        if no_deprecation() == Some(true) {
            return Ok(());
        }
        if throw_deprecation() == Some(true) {
            event_loop::next_tick(move || uncaught::raise(&warning, Origin::UncaughtException));
            return Ok(());
        }
    }
    event_loop::next_tick(move || {
        // A warning that cannot be printed is still an event.
        let _ = sys::process::print_warning(warning.record());
        events(|events| events.warning.emit(&warning));
    });
    Ok(())
}

/// The warning for whoever listens for `multipleResolves`, once.
pub(super) fn deprecate_multiple_resolves() {
    thread_local! {
        static WARNED: Cell<bool> = const { Cell::new(false) };
    }
    if !WARNED.replace(true) {
        // The arguments are of the right types.
        let _ = emit_warning("The multipleResolves event is deprecated.", (DEPRECATION, "DEP0160"));
    }
}
