//! How Node writes values into messages: `Received type string ('x')`, `Received 4_294_967_297`.

/// ECMAScript's text of a number (`Number.prototype.toString`): `1e+21`, `-1.5`, `NaN`; but `-0` is `-0`, as Node's
/// `inspect` writes it.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    // Both of Rust's forms have the shortest digits, as ECMAScript's; which one applies depends on the exponent.
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if exponent >= 21 => format!("{mantissa}e+{exponent}"),
        Ok(exponent) if exponent < -6 => format!("{mantissa}e{exponent}"),
        _ => value.to_string(),
    }
}

/// A number as `ERR_OUT_OF_RANGE` writes it: integers beyond 2^32 get separators.
///
/// Node groups the text from its end by threes and minds neither exponent nor sign of it (`1e_+21`); so do we.
pub fn out_of_range_number(value: f64) -> String {
    let text = number(value);
    if value.fract() == 0.0 && value.abs() > 4_294_967_296.0 {
        grouped(&text)
    } else {
        text
    }
}

/// Puts `_` before every third character from the end, keeping at least one digit in front.
fn grouped(text: &str) -> String {
    let start = usize::from(text.starts_with('-'));
    let mut end = text.len();
    let mut tail = String::new();
    while end >= start + 4 {
        tail.insert_str(0, &text[end - 3..end]);
        tail.insert(0, '_');
        end -= 3;
    }
    format!("{}{tail}", &text[..end])
}

/// A string as Node's `inspect` writes it: in the first of `'`, `"` and `` ` `` it does not hold, escaped.
pub fn quoted(text: &str) -> String {
    let quote = if !text.contains('\'') {
        '\''
    } else if !text.contains('"') {
        '"'
    } else if !text.contains('`') && !text.contains("${") {
        '`'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for char in text.chars() {
        match char {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\\' => out.push_str("\\\\"),
            '\'' if quote == '\'' => out.push_str("\\'"),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => out.push_str(&format!("\\x{:02X}", u32::from(char))),
            _ => out.push(char),
        }
    }
    out.push(quote);
    out
}

/// A string as `ERR_INVALID_ARG_VALUE` writes it: quoted, cut at 128 characters.
pub fn invalid_value(text: &str) -> String {
    let quoted = quoted(text);
    match quoted.char_indices().nth(128) {
        Some((end, _)) => format!("{}...", &quoted[..end]),
        None => quoted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_in_ecmascript() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (5.0, "5"),
            (-1.5, "-1.5"),
            (12345.678, "12345.678"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.25e-5, "0.0000125"),
            (1.5e-7, "1.5e-7"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn only_integers_beyond_32_bits_are_grouped() {
        assert_eq!(out_of_range_number(4_294_967_296.0), "4294967296");
        assert_eq!(out_of_range_number(9_007_199_254_740_992.0), "9_007_199_254_740_992");
        assert_eq!(out_of_range_number(-12_345_678_901.0), "-12_345_678_901");
        assert_eq!(out_of_range_number(12_345_678_901.5), "12345678901.5");
        assert_eq!(out_of_range_number(1e21), "1e_+21");
        assert_eq!(out_of_range_number(f64::INFINITY), "Infinity");
    }

    #[test]
    fn strings_take_the_first_free_quote() {
        assert_eq!(quoted("a\n\0\u{b}\u{7f}\\"), r"'a\n\x00\x0B\x7F\\'");
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("it's \"x\""), "`it's \"x\"`");
        assert_eq!(quoted("'\"`"), "'\\'\"`'");
        assert_eq!(invalid_value(&"x".repeat(200)).len(), 131);
    }
}
