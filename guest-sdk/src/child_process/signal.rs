//! Signals by name or number, as `child_process` takes them.

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::signal::{self, SIGNALS};

use crate::Value;
use crate::error::Result;
use crate::process::Signal;

/// Node's default.
pub(super) const SIGTERM: i32 = 15;

/// The number of a signal; 0, which tests, is one.
///
/// # Errors
/// `ERR_UNKNOWN_SIGNAL`, also for an unknown number.
pub(super) fn number(signal: Signal<'_>) -> Result<i32> {
    match signal {
        Signal::Number(0) => Ok(0),
        Signal::Number(number) => known(number, &number.to_string()),
        Signal::Name(name) => {
            let number = signal::number(&name.to_ascii_uppercase()).unwrap_or_default();
            known(number, name)
        }
    }
}

fn known(number: i32, shown: &str) -> Result<i32> {
    if SIGNALS.iter().any(|(_, known)| *known == number) {
        return Ok(number);
    }
    Err(ErrorRecord::new(ErrorCode::UnknownSignal, format!("Unknown signal: {shown}")).into())
}

/// A signal as the host takes it.
pub(super) fn value(signal: Signal<'_>) -> Value {
    match signal {
        Signal::Number(number) => number.into(),
        Signal::Name(name) => name.into(),
    }
}

/// The number of a signal that the host accepted.
pub(super) fn of_value(value: Option<&Value>) -> i32 {
    let number = match value {
        Some(Value::String(name)) => number(Signal::Name(name)).ok(),
        Some(value) => value.as_i64().and_then(|number| i32::try_from(number).ok()),
        None => None,
    };
    number.unwrap_or(SIGTERM)
}

/// The name of the signal that ended a process; those without a name are the real-time signals.
pub(super) fn name(number: i32) -> &'static str {
    signal::name(number).unwrap_or("SIGRT")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case_and_known_numbers_are_signals() {
        for signal in ["SIGKILL".into(), "sigkill".into(), 9.into()] {
            assert_eq!(number(signal).unwrap(), 9);
        }
        assert_eq!(number(().into()).unwrap(), SIGTERM);
        assert_eq!(number(0.into()).unwrap(), 0);
        for signal in ["KILL".into(), "SIGBREAK".into(), "".into(), 64.into(), (-1).into()] {
            let error = number(signal).unwrap_err();
            assert!(error.is_code("ERR_UNKNOWN_SIGNAL"), "{error}");
        }
    }
}
