//! `process.exitCode` of an isolate.

use nodule_abi::error::{ErrorRecord, Result};
use nodule_abi::value::Value;

use super::js_text;

/// Node's `Number.MAX_SAFE_INTEGER`.
const SAFE_INTEGER_MAX: i64 = (1 << 53) - 1;

/// The exit code a guest asked for, if any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExitCode {
    /// As it was assigned: reading gives `"2"` back, not 2.
    assigned: Value,
    /// What it means.
    code: Option<i64>,
}

impl ExitCode {
    /// Assigns an integer, a string that converts to one, `null` or `undefined` (both: none). Other types give
    /// `ERR_INVALID_ARG_TYPE`, other numbers `ERR_OUT_OF_RANGE`, and nothing changes.
    pub fn set(&mut self, value: &Value) -> Result<()> {
        self.code = check(value)?;
        self.assigned = value.clone();
        Ok(())
    }

    /// Assigns a code the host decided on, such as 1 for an uncaught error.
    pub fn set_code(&mut self, code: i64) {
        self.assigned = Value::from(code);
        self.code = Some(code);
    }

    /// The value as it was assigned; `undefined` at first.
    pub fn value(&self) -> &Value {
        &self.assigned
    }

    /// The code, untruncated; nothing when none was assigned.
    pub fn get(&self) -> Option<i64> {
        self.code
    }
}

/// What the operating system keeps of an exit code: the low 8 bits.
pub fn os_code(code: i64) -> u8 {
    code.to_le_bytes()[0]
}

/// The code a value stands for.
fn check(value: &Value) -> Result<Option<i64>> {
    let number = match value.unshared() {
        Value::Undefined | Value::Null => return Ok(None),
        Value::Number(number) => Some(*number),
        Value::String(text) if !text.is_empty() => Some(string_to_number(text)).filter(|number| !number.is_nan()),
        _ => None,
    };
    let Some(number) = number else {
        return Err(ErrorRecord::invalid_arg_type("code", "of type number", &value.describe()).into());
    };
    let received = || js_text::out_of_range_number(number);
    if number.fract() != 0.0 || !number.is_finite() {
        return Err(ErrorRecord::out_of_range("code", "an integer", &received()).into());
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a cast from f64 saturates, and both ends are refused below"
    )]
    let code = number as i64;
    if code.abs() > SAFE_INTEGER_MAX {
        let range = format!(">= -{SAFE_INTEGER_MAX} && <= {SAFE_INTEGER_MAX}");
        return Err(ErrorRecord::out_of_range("code", &range, &received()).into());
    }
    Ok(Some(code))
}

/// ECMAScript's conversion of a string to a number: blanks around it do not count, none but blanks is 0, what is no
/// number is NaN.
fn string_to_number(text: &str) -> f64 {
    let is_blank = |char: char| char == '\u{feff}' || (char.is_whitespace() && char != '\u{85}');
    let text = text.trim_matches(is_blank);
    let radix_digits = |radix, digits: &str| {
        let mut value = if digits.is_empty() { f64::NAN } else { 0.0 };
        for digit in digits.chars() {
            value = value * f64::from(radix) + digit.to_digit(radix).map_or(f64::NAN, f64::from);
        }
        value
    };
    match text.get(..2) {
        Some("0x" | "0X") => return radix_digits(16, &text[2..]),
        Some("0o" | "0O") => return radix_digits(8, &text[2..]),
        Some("0b" | "0B") => return radix_digits(2, &text[2..]),
        Some(_) | None => {}
    }
    match text {
        "" => 0.0,
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        // Rust reads the same decimal forms, and names that ECMAScript does not know.
        _ if text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) =>
        {
            text.parse().unwrap_or(f64::NAN)
        }
        _ => f64::NAN,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use nodule_abi::value::{BigInt, Object};

    use super::*;
    use crate::process::node_oracle;

    /// Values and how they are written in JavaScript.
    fn samples() -> Vec<(Value, String)> {
        let texts = [
            "",
            " ",
            "2",
            "0x10",
            "0X1f",
            "0b11",
            "0o17",
            "0x",
            "-0x5",
            "a",
            "1.5",
            "NaN",
            "Infinity",
            "-Infinity",
            "infinity",
            "inf",
            " 7\n",
            "\u{feff}8\u{a0}",
            "\u{85}8",
            "1e3",
            ".5e1",
            "5.",
            ".",
            "e5",
            "-5",
            "+5",
            "1_0",
            "2.0",
            "9007199254740993",
            "9007199254740991",
            "0x20000000000001",
            "1e21",
            "-1e400",
            "it's",
            "a\nb'\"\u{1}",
            "abcdefghijklmnopqrstuvwxyzäöü",
            "abcdefghijklmnopqrstuvwxyzäö",
            "١",
            "--1",
            "1e",
            "0.00",
            "-0",
        ];
        let numbers = [
            1.0,
            -1.0,
            300.0,
            1.5,
            -0.0,
            123_456_789.5,
            4_294_967_296.5,
            4_294_967_301.0,
            -2_147_483_649.0,
            9_007_199_254_740_991.0,
            9_007_199_254_740_992.0,
            -9_007_199_254_740_992.0,
            1e21,
            1e300,
            1e-7,
            5e-324,
        ];
        let text_samples = texts.map(|text| (Value::from(text), serde_json::to_string(text).unwrap()));
        let number_samples = numbers.map(|number| (Value::Number(number), format!("{number:e}")));
        let others = [
            (Value::Undefined, "undefined"),
            (Value::Null, "null"),
            (Value::Bool(true), "true"),
            (Value::Number(f64::NAN), "NaN"),
            (Value::Number(f64::NEG_INFINITY), "-Infinity"),
            (Value::BigInt(BigInt::from(12_i64)), "12n"),
            (Value::Object(Object::new()), "{}"),
            (Value::Array(vec![]), "[]"),
            (Value::Map(vec![]), "new Map"),
            (Value::from(&[1_u8][..]), "new Uint8Array(1)"),
        ];
        let other_samples = others.into_iter().map(|(value, script)| (value, script.to_owned()));
        text_samples
            .into_iter()
            .chain(number_samples)
            .chain(other_samples)
            .collect()
    }

    /// `code or none` or the error, as one line.
    fn outcome(value: &Value) -> String {
        let mut code = ExitCode::default();
        match code.set(value) {
            Ok(()) => code
                .get()
                .map_or_else(|| "none".to_owned(), |code| os_code(code).to_string()),
            Err(error) => format!("{} {} {}", error.name, error.code.unwrap(), error.message),
        }
    }

    #[test]
    fn assignments_are_judged_as_in_node() {
        let samples = samples();
        let list: Vec<_> = samples.iter().map(|(_, script)| script.as_str()).collect();
        let script = format!(
            "const outcomes = [];
            for (const value of [{}]) {{
                try {{
                    process.exitCode = value;
                    outcomes.push(value == null ? 'none' : String(Number(value) & 0xff));
                }} catch (e) {{ outcomes.push(`${{e.name}} ${{e.code}} ${{e.message}}`); }}
            }}
            process.exitCode = 0;
            console.log(JSON.stringify(outcomes));",
            list.join(", ")
        );
        let Some(node) = node_oracle::run(&script, &[]) else {
            return;
        };
        let node: Vec<String> = serde_json::from_str(&node).unwrap();
        assert_eq!(node.len(), samples.len());
        for ((value, script), node) in samples.iter().zip(node) {
            assert_eq!(outcome(value), node, "{script}");
        }
    }

    #[test]
    fn a_refused_value_changes_nothing() {
        let mut code = ExitCode::default();
        assert_eq!((code.get(), code.value()), (None, &Value::Undefined));
        code.set(&Value::from("0x10")).unwrap();
        let error = code.set(&Value::from("")).unwrap_err();
        assert_eq!(
            error.message,
            "The \"code\" argument must be of type number. Received type string ('')"
        );
        assert_eq!((code.get(), code.value()), (Some(16), &Value::from("0x10")));
        code.set(&Value::Null).unwrap();
        assert_eq!((code.get(), code.value()), (None, &Value::Null));
        code.set_code(7);
        assert_eq!((code.get(), code.value()), (Some(7), &Value::from(7)));
    }

    #[test]
    fn the_system_keeps_the_low_bits() {
        assert_eq!([-1, 256, 300, i64::MIN, 255].map(os_code), [255, 0, 44, 0, 255]);
    }
}
