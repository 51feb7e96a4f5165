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

/// A length of a file for people.
pub fn show(bytes: usize) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB"])
}

/// A size of memory for people: a page of wasm is 64 KiB.
pub fn show_memory(bytes: usize) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

fn scaled(bytes: usize, step: f64, units: &[&str]) -> String {
    #[allow(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = bytes as f64;
    let mut units = units.iter().copied();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        // What would be shown as one whole step.
        if value < step - 0.05 {
            break;
        }
        value /= step;
        unit = next;
    }
    // No decimal that says nothing.
    let text = format!("{value:.1}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
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
            (1000, "1 kB"),
            (12_345_678, "12.3 MB"),
            (999_960, "1 MB"),
            (5_000_000_000, "5 GB"),
        ] {
            assert_eq!(show(bytes), text);
        }
        for (bytes, text) in [
            (1023, "1023 B"),
            (65536, "64 KiB"),
            (17 << 16, "1.1 MiB"),
            (4 << 30, "4 GiB"),
        ] {
            assert_eq!(show_memory(bytes), text);
        }
    }
}
