//! Sizes in bytes: reading `64MiB` from the command line, writing `12.3 MB` for people.

/// Reads a size: bytes, or a number with a unit. `k`, `K`, `KiB` are 1024 bytes and `kB`, `KB` 1000, likewise for `M`
/// and `G`.
pub fn parse(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let example = "write it as 65536, 512k, 64MiB or 1G";
    let number: usize = match number {
        "" => return Err(format!("it does not start with a number; {example}")),
        number => number.parse().map_err(|_| "it is too large".to_owned())?,
    };
    let factor: usize = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("unknown unit '{unit}'; {example}")),
    };
    number.checked_mul(factor).ok_or_else(|| "it is too large".to_owned())
}

/// A size for people: three digits at most, with a unit of 1000 bytes.
pub fn show(bytes: usize) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    #[allow(clippy::cast_precision_loss, reason = "only three digits are shown")]
    let mut value = bytes as f64 / 1000.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024_or_of_1000() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("10b", 10),
            ("512k", 512 << 10),
            ("512K", 512 << 10),
            ("64MiB", 64 << 20),
            ("64m", 64 << 20),
            ("1G", 1 << 30),
            ("1gib", 1 << 30),
            ("2kB", 2000),
            ("3MB", 3_000_000),
            ("4GB", 4_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn bad_sizes_say_what_is_wrong() {
        for (text, reason) in [
            ("", "does not start with a number"),
            ("-1", "does not start with a number"),
            ("MiB", "does not start with a number"),
            ("1.5G", "unknown unit '.5G'"),
            ("1T", "unknown unit 'T'"),
            ("1 G", "unknown unit ' G'"),
            ("99999999999999999999", "too large"),
            ("99999999999999G", "too large"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn shown_sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (12_345_678, "12.3 MB"),
            (999_960, "1.0 MB"),
            (5_000_000_000, "5.0 GB"),
        ] {
            assert_eq!(show(bytes), text);
        }
    }
}
