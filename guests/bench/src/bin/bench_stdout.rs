//! Writes to standard output: `bench_stdout large <chunk bytes> <total bytes>` or `bench_stdout lines <count>`.

use std::io::{Error, Write as _};

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<usize>().ok());
    let mut stdout = std::io::stdout().lock();
    match (arguments.first().map(String::as_str), number(1), number(2)) {
        (Some("large"), Some(chunk), Some(total)) => {
            let buffer = vec![b'x'; chunk];
            for _ in 0..total / chunk {
                stdout.write_all(&buffer)?;
            }
            stdout.flush()
        }
        // Standard output is line-buffered: one write a line.
        (Some("lines"), Some(count), None) => (0..count).try_for_each(|line| writeln!(stdout, "line {line:010}")),
        _ => Err(Error::other(
            "arguments: large <chunk bytes> <total bytes> | lines <count>",
        )),
    }
}
