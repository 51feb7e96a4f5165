//! Numbered lines of many lengths, then an end: `stdio_lines <writer> <count> <ending>`.

use nodule_sdk::{Result, process};

/// Longest line; a write of this size is atomic.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Line `number` of a writer, as the test knows it.
fn line(writer: usize, number: usize) -> Vec<u8> {
    // Most are short, some as long as they may be.
    let len = match number % 100 {
        99 => LINE_BYTES_MAX,
        rest => rest * rest,
    };
    let mut line = format!("{writer} {number} ").into_bytes();
    line.resize(line.len().max(len - usize::from(len > 0)), b'.');
    line.push(b'\n');
    line
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let argv = process::argv();
    let [.., writer, count, ending] = &argv[..] else {
        return Ok(());
    };
    let (writer, count) = (writer.parse()?, count.parse()?);
    let stdout = process::stdout();
    for number in 0..count {
        stdout.write_all(&line(writer, number))?;
    }
    match ending.as_str() {
        "exit" => process::exit(3),
        "trap" => panic!("after the last line"),
        "loop" => {
            process::stderr().write_all(b"written")?;
            loop {
                std::hint::spin_loop();
            }
        }
        _ => Ok(()),
    }
}
